/** `reprise state`: what lives on in a session's shell from one command to the next. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { Exec, type ShellStateView } from "../../src/exec/Exec.ts"
import { Caller } from "../Caller.ts"
import { toJsonText } from "../Escape.ts"
import { toCommandReport } from "../ExecReport.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { fields } from "../Table.ts"

export const state = Command.make(
  "state",
  {
    session: sessionArgument,
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object"))
  },
  Effect.fn("cli.state")(function* (flags) {
    const caller = yield* Caller
    const paths = yield* chosenStore
    const view = yield* Effect.gen(function* () {
      const session = yield* findSession(flags.session)
      return yield* Exec.use((exec) => exec.state(session))
    }).pipe(Effect.provide(engine(paths)))
    yield* caller.write(flags.json ? toJsonText(toReport(view)) : describe(view))
  })
).pipe(
  Command.withDescription(
    "Show the state of a session's shell: folder, exported variables that it did not start with, functions, aliases, imports, " +
      "and in JSON its last 20 commands. Variables that look like secrets are ***."
  ),
  Command.withShortDescription("Show the state of a shell"),
  Command.withExamples([{ command: "reprise state build --json | jq -r .work_dir", description: "Where it is" }])
)

const toReport = (view: ShellStateView) => ({
  session_id: view.session,
  language: view.language,
  work_dir: view.workingDirectory,
  env_vars: view.env,
  functions: view.functions,
  aliases: view.aliases,
  imports: view.imports,
  running: view.running,
  history: view.commands.map(toCommandReport)
})

const describe = (view: ShellStateView): string =>
  fields([
    ["session", view.session],
    ["language", view.language],
    ["folder", view.workingDirectory],
    ["running", view.running ?? "nothing"],
    ...Object.entries(view.env).map(([name, value]) => ["variable", `${name}=${value}`] as const),
    ...view.functions.map((name) => ["function", name] as const),
    ...Object.entries(view.aliases).map(([name, value]) => ["alias", `${name}=${value}`] as const),
    ...view.imports.map((name) => ["import", name] as const)
  ])
