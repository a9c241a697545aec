/** `reprise run`: starts a program in a session and stays with it, as a terminal or as a pipe, until it ends. */
import { resolve } from "node:path"
import { Clock, Deferred, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { SessionId, TerminalSize } from "../../journal/Event.ts"
import { newSessionId } from "../../src/remote/EngineClient.ts"
import { SessionOutput } from "../../src/remote/SessionOutput.ts"
import { History } from "../../src/session/History.ts"
import { type CreateSession, Sessions } from "../../src/session/Sessions.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { attachTerminal } from "../AttachTerminal.ts"
import { Caller } from "../Caller.ts"
import { DEFAULT_DETACH_KEY, describeDetachKey, parseDetachKey } from "../DetachKey.ts"
import { toJsonText } from "../Escape.ts"
import { beside, endWith, passSignals, pipeDisplay, type Shown, showItems } from "../Follow.ts"
import { type ChosenLimits, limitFlags, limitsOf } from "../LimitFlags.ts"
import { exitCodeOfEnd } from "../Outcome.ts"
import { type ChosenRedact, redactFlags, redactOf } from "../RedactFlags.ts"
import { chosenStore } from "../Root.ts"
import { parseSize } from "../Size.ts"
import { engine } from "../Store.ts"
import { typeInput } from "../Typing.ts"
import { Usage } from "../Usage.ts"
import { envFlag, parseVariables } from "../Variables.ts"

/** Set by a terminal's owner for its own size; in a session they would contradict the session's. */
const NOT_INHERITED = ["COLUMNS", "LINES"]

export const detachKeyFlag = Flag.String("detach-key").pipe(
  Flag.withDescription(
    "How to leave the session running: a character (typed after Enter and followed by a dot, as in ssh), a control " +
      "character such as ^], or none (default: REPRISE_DETACH_KEY, else ~)"
  ),
  Flag.withMetavar("KEY"),
  Flag.optional
)

/** The flag, else the environment variable, else the default. */
export const chosenDetachKey = Effect.fnUntraced(function* (flag: Option.Option<string>, command: string) {
  const { env } = yield* Caller
  const [source, text] = Option.isSome(flag)
    ? ["--detach-key", flag.value]
    : ["REPRISE_DETACH_KEY", env.REPRISE_DETACH_KEY || DEFAULT_DETACH_KEY]
  const key = parseDetachKey(text)
  if (key === undefined)
    return yield* new Usage({ reason: `${source}: "${text}" is not a character, ^X or none`, command })
  return key
})

export const clipboardFlag = Flag.Boolean("clipboard").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Let the program fill this terminal's clipboard (OSC 52); reading it is never possible")
)

export const run = Command.make(
  "run",
  {
    name: Flag.String("name").pipe(Flag.withDescription("A name for the session"), Flag.optional),
    cwd: Flag.String("cwd").pipe(
      Flag.withDescription("Folder to start in (default: this one)"),
      Flag.withMetavar("DIR"),
      Flag.optional
    ),
    env: envFlag("Set a variable for the program, on top of the caller's"),
    size: Flag.String("size").pipe(
      Flag.withDescription("Terminal size (default: the caller's terminal, else 80x24)"),
      Flag.withMetavar("COLSxROWS"),
      Flag.optional
    ),
    ...limitFlags,
    ...redactFlags,
    detach: Flag.Boolean("detach").pipe(
      Flag.withDefault(false),
      Flag.withAlias("d"),
      Flag.withDescription("Print the id and leave it running")
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Print one line of JSON instead of the output: the session, and how it ended")
    ),
    detachKey: detachKeyFlag,
    clipboard: clipboardFlag,
    command: Argument.String("command").pipe(
      Argument.withDescription("Program and arguments; put -- before them"),
      Argument.variadic({ min: 1 })
    )
  },
  Effect.fn("cli.run")(function* (flags) {
    const caller = yield* Caller
    const detachKey = yield* chosenDetachKey(flags.detachKey, "run")
    const request = yield* toRequest(flags)
    const paths = yield* chosenStore
    const isAttached = caller.isInteractive && !flags.detach && !flags.json

    yield* Effect.scoped(
      Effect.gen(function* () {
        const startedAt = yield* Clock.currentTimeMillis
        if (flags.detach) {
          const sessions = yield* Sessions
          const view = yield* sessions.create(request)
          return yield* caller.write(flags.json ? toJsonText(view) : `${view.id}\n`)
        }
        if (isAttached) {
          const sessions = yield* Sessions
          yield* sessions.create(request)
          return yield* endWith(
            yield* attachTerminal(request.id, {
              after: 0,
              isNew: true,
              detachKey,
              readOnly: false,
              exclusive: false,
              clipboard: flags.clipboard,
              reference: request.name ?? request.id,
              isShell: false,
              isEndTold: false
            })
          )
        }
        const shown = yield* runHeadless(request, !flags.json)
        if (!flags.json) return yield* endWith(shown)
        const view = yield* History.use((history) => history.get(request.id))
        const millis = (yield* Clock.currentTimeMillis) - startedAt
        yield* caller.write(toJsonText(report(view, shown, millis)))
        return yield* endWith(shown)
      })
    ).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Run a program in a new session and keep all that happens to it. In a terminal you are attached to it " +
      `(${describeDetachKey({ _tag: "Escape", byte: 126 })} leaves it running). Otherwise its output goes to standard ` +
      "output, standard input is typed into it, and the end of standard input is typed as end-of-file. Signals are passed on. " +
      "Ends with the program's exit code, 128+N when signal N ended it."
  ),
  Command.withShortDescription("Run a program in a new session"),
  Command.withExamples([
    { command: "reprise run -- bash", description: "A shell that can be left and come back to" },
    { command: "reprise run -- make test > test.log", description: "Output as bytes, exit code of make" },
    { command: "reprise run --detach --name web -- npm start", description: "In the background, under a name" }
  ])
)

interface Flags extends ChosenLimits, ChosenRedact {
  readonly name: Option.Option<string>
  readonly cwd: Option.Option<string>
  readonly env: ReadonlyArray<string>
  readonly size: Option.Option<string>
  readonly command: ReadonlyArray<string>
}

const toRequest = Effect.fnUntraced(function* (flags: Flags) {
  const caller = yield* Caller
  const env: Record<string, string> = { ...caller.env }
  for (const name of NOT_INHERITED) delete env[name]
  let term = caller.isInteractive ? caller.env.TERM : undefined
  const cwd = resolve(
    caller.cwd,
    Option.getOrElse(flags.cwd, () => ".")
  )
  if (Option.isSome(flags.cwd)) env.PWD = cwd
  const given = yield* parseVariables(flags.env, "run")
  Object.assign(env, given)
  if (given.TERM !== undefined) term = given.TERM
  const asked = Option.getOrUndefined(flags.size)
  const size: TerminalSize | undefined = asked === undefined ? yield* caller.terminalSize : parseSize(asked)
  if (asked !== undefined && size === undefined) {
    return yield* new Usage({ reason: `--size: "${asked}" is not COLSxROWS, such as 80x24`, command: "run" })
  }
  const request: CreateSession & { readonly id: SessionId } = {
    // Chosen here: when the engine dies while it answers, asking again gives the same session.
    id: yield* newSessionId,
    argv: flags.command,
    cwd,
    env,
    size,
    term: term === "" ? undefined : term,
    name: Option.getOrUndefined(flags.name),
    ...(yield* limitsOf(flags, "run")),
    ...(yield* redactOf(flags, "run"))
  }
  return request
})

const runHeadless = (request: CreateSession & { readonly id: SessionId }, isPrinted: boolean) =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const started = yield* Deferred.make<void>()
    const output = yield* SessionOutput
    const display = yield* pipeDisplay({ isPrinted })
    const showing = Effect.gen(function* () {
      yield* sessions.create(request)
      yield* Deferred.succeed(started, undefined)
      return yield* beside(
        showItems(request.id, output.stream(request.id), { display, untilProgramEnds: true }),
        typeInput(request.id, { closeAtEnd: true })
      )
    })
    return yield* beside(showing, passSignals(request.id, Deferred.await(started)))
  })

const report = (view: SessionView, shown: Shown, durationMillis: number) => ({
  ...view,
  // The view is of this moment; the end is the one that was seen.
  exitCode: shown.end.exitCode,
  signal: shown.end.signal,
  code: exitCodeOfEnd(shown.end),
  durationMillis
})
