/** `reprise start`: a shell or an interpreter that takes commands with `reprise exec`. */
import { resolve } from "node:path"
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Exec } from "../../src/exec/Exec.ts"
import { newSessionId } from "../../src/remote/EngineClient.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { limitFlags, limitsOf } from "../LimitFlags.ts"
import { redactFlags, redactOf } from "../RedactFlags.ts"
import { chosenStore } from "../Root.ts"
import { parseSize } from "../Size.ts"
import { engine } from "../Store.ts"
import { Usage } from "../Usage.ts"
import { envFlag, parseVariables, secretEnvFlag, secretVariables } from "../Variables.ts"

/**
 * Of the caller's environment: what describes its terminal, and the programs that would wait for a person there. Commands
 * find PAGER=cat, EDITOR=true and TERM=dumb unless `--env` says otherwise.
 */
const NOT_INHERITED = [
  "COLUMNS",
  "LINES",
  "TERM",
  "PAGER",
  "GIT_PAGER",
  "MANPAGER",
  "EDITOR",
  "VISUAL",
  "GIT_EDITOR",
  "OLDPWD"
]

export const start = Command.make(
  "start",
  {
    language: Flag.Literals("lang", ["bash", "zsh", "python", "node"]).pipe(
      Flag.withDescription("What its commands are written in (default: what SHELL's name says, else bash)"),
      Flag.optional
    ),
    name: Flag.String("name").pipe(Flag.withDescription("A name for the session"), Flag.optional),
    cwd: Flag.String("cwd").pipe(
      Flag.withDescription("Folder to start in (default: this one)"),
      Flag.withMetavar("DIR"),
      Flag.optional
    ),
    env: envFlag("Set a variable, on top of the caller's"),
    secretEnv: secretEnvFlag,
    size: Flag.String("size").pipe(
      Flag.withDescription("Size of its terminal (default: 120x40)"),
      Flag.withMetavar("COLSxROWS"),
      Flag.optional
    ),
    ...limitFlags,
    ...redactFlags,
    shell: Argument.String("shell").pipe(
      Argument.withMetavar("SHELL"),
      Argument.withDescription(
        "Program: bash, zsh, python3, node, or the path of one (default: bash, or what --lang says)"
      ),
      Argument.optional
    )
  },
  Effect.fn("cli.start")(function* (flags) {
    const caller = yield* Caller
    const asked = Option.getOrUndefined(flags.size)
    const size = asked === undefined ? undefined : parseSize(asked)
    if (asked !== undefined && size === undefined) {
      return yield* new Usage({ reason: `--size: "${asked}" is not COLSxROWS, such as 120x40`, command: "start" })
    }
    const secretEnv = yield* secretVariables(flags.secretEnv, "start")
    const env: Record<string, string> = { ...caller.env }
    for (const name of [...NOT_INHERITED, ...flags.secretEnv]) delete env[name]
    const cwd = resolve(
      caller.cwd,
      Option.getOrElse(flags.cwd, () => ".")
    )
    env.PWD = cwd
    Object.assign(env, yield* parseVariables(flags.env, "start"))
    const terms = { ...(yield* limitsOf(flags, "start")), ...(yield* redactOf(flags, "start")) }
    const paths = yield* chosenStore

    const shell = Option.getOrUndefined(flags.shell)
    const language = Option.getOrUndefined(flags.language)
    const view = yield* Effect.gen(function* () {
      // Chosen here: when the engine dies while it answers, asking again gives the same session.
      const id = yield* newSessionId
      return yield* Exec.use((exec) =>
        exec.start({
          id,
          shell,
          language,
          cwd,
          env,
          secretEnv,
          size,
          name: Option.getOrUndefined(flags.name),
          ...terms
        })
      )
    }).pipe(Effect.provide(engine(paths)))
    const report = {
      session_id: view.id,
      command: shell ?? language ?? "bash",
      work_dir: view.cwd,
      status: "active",
      ...(view.name !== null && { name: view.name })
    }
    yield* caller.write(toJsonText(report))
  })
).pipe(
  Command.withDescription(
    "Start a shell (bash, zsh) or an interpreter (python, node) that takes commands with `reprise exec`: directory, " +
      "variables, functions and imports live on from one command to the next, also when the engine is killed meanwhile. " +
      "Prints one line of JSON: session_id, command, work_dir, status. `reprise end` ends it."
  ),
  Command.withShortDescription("Start a shell for commands"),
  Command.withExamples([
    { command: "reprise start --name build", description: "bash in this folder, under a name" },
    { command: "reprise start python3 | jq -r .session_id", description: "The id of a Python session" },
    { command: "TOKEN=… reprise start --secret-env TOKEN", description: "A variable whose value is stored nowhere" }
  ])
)
