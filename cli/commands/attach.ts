/** `reprise attach`: comes back to a session, as a terminal or as a pipe. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { SessionId } from "../../journal/Event.ts"
import { Attach } from "../../src/session/Attach.ts"
import { History } from "../../src/session/History.ts"
import { InvalidRequest } from "../../src/session/SessionError.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { attachTerminal, clientName } from "../AttachTerminal.ts"
import { Caller } from "../Caller.ts"
import { beside, type Display, endWith, passSignals, pipeDisplay, type Shown, showItems } from "../Follow.ts"
import { describeEnd, Ending, exitCodeOfEnd } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { makeTerminalModes } from "../TerminalModes.ts"
import { typeInput } from "../Typing.ts"
import { Usage } from "../Usage.ts"
import { chosenDetachKey, clipboardFlag, detachKeyFlag } from "./run.ts"

export const attach = Command.make(
  "attach",
  {
    session: sessionArgument,
    readOnly: Flag.Boolean("read-only").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Watch only: nothing typed reaches the program, and its size stays")
    ),
    exclusive: Flag.Boolean("exclusive").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Nobody else may type, resize or signal meanwhile; refused when somebody has it so")
    ),
    after: Flag.Int("after").pipe(
      Flag.withDescription(
        "Show everything after this event (default: the screen as it is; in a pipe 0, everything from the start)"
      ),
      Flag.withMetavar("SEQ"),
      Flag.optional
    ),
    detachKey: detachKeyFlag,
    clipboard: clipboardFlag
  },
  Effect.fn("cli.attach")(function* (flags) {
    const caller = yield* Caller
    const detachKey = yield* chosenDetachKey(flags.detachKey, "attach")
    if (flags.readOnly && flags.exclusive) {
      return yield* new Usage({ reason: "--read-only and --exclusive exclude each other", command: "attach" })
    }
    const after = Option.getOrUndefined(flags.after)
    if (after !== undefined && after < 0) {
      return yield* new Usage({ reason: "--after: not an event's number", command: "attach" })
    }
    const paths = yield* chosenStore

    yield* Effect.scoped(
      Effect.gen(function* () {
        const session = yield* findSession(flags.session)
        if (caller.outputIsTerminal && caller.env.REPRISE_SESSION === session) {
          const reason = "this terminal is that session's own; it would show itself without end"
          return yield* new InvalidRequest({ field: "session", reason })
        }
        const view = yield* History.use((history) => history.get(session))
        const options = { after, readOnly: flags.readOnly, exclusive: flags.exclusive }
        const isShell = view.kind === "exec"
        if (!isLive(view)) {
          const shown = yield* printEnded(session, options)
          return yield* caller.isInteractive ? tellEnd(shown) : endWith(shown)
        }
        if (!caller.isInteractive) return yield* endWith(yield* attachPipe(session, { ...options, isShell }))
        const shown = yield* attachTerminal(session, {
          ...options,
          isNew: false,
          detachKey,
          clipboard: flags.clipboard,
          // The newest session may be another one by the time this is read.
          reference: flags.session === "last" ? session : flags.session,
          isShell,
          isEndTold: true
        })
        return yield* tellEnd(shown)
      })
    ).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Come back to a session. In a terminal: its screen at once, then live, and what you type goes to it (Enter ~. leaves). " +
      "Otherwise: its output as bytes until its program ends, and standard input is typed into it. " +
      "Ends with the program's exit code, or with 80 when you leave. A session that has ended is printed."
  ),
  Command.withShortDescription("Come back to a session"),
  Command.withExamples([
    { command: "reprise attach last", description: "The newest session" },
    { command: "reprise attach build --read-only", description: "Watch, without a chance to type into it" },
    { command: "reprise attach build --read-only > build.log", description: "All it printed, and what it prints" }
  ])
)

interface Options {
  readonly after: number | undefined
  readonly readOnly: boolean
  readonly exclusive: boolean
}

const isLive = (view: SessionView): boolean =>
  view.status === "running" || view.status === "starting" || view.terminalOpen

const attachPipe = Effect.fnUntraced(function* (session: SessionId, options: Options & { readonly isShell: boolean }) {
  const service = yield* Attach
  const display = yield* pipeDisplay({ isPrinted: true })
  const client = clientName()
  const { exclusive, isShell, readOnly } = options
  const items = service.attach(session, { after: options.after ?? 0, client, readOnly, exclusive })
  const showing = showItems(session, items, { display, untilProgramEnds: !isShell })
  if (readOnly) return yield* showing
  return yield* beside(
    beside(showing, typeInput(session, { closeAtEnd: false, client })),
    passSignals(session, Effect.void, client)
  )
})

/** On a terminal its last screen, in a pipe all its bytes. */
const printEnded = Effect.fnUntraced(function* (session: SessionId, options: Options) {
  const service = yield* Attach
  const caller = yield* Caller
  const pipe = yield* pipeDisplay({ isPrinted: true })
  if (!caller.outputIsTerminal) {
    const items = service.attach(session, { after: options.after ?? 0, readOnly: true })
    return yield* showItems(session, items, { display: pipe, untilProgramEnds: false })
  }
  const modes = makeTerminalModes()
  const display: Display = {
    ...pipe,
    write: (data) => {
      modes.watch(data)
      return pipe.write(data)
    }
  }
  const items = service.attach(session, { after: options.after, readOnly: true, size: yield* caller.terminalSize })
  const giveBack = Effect.gen(function* () {
    const { isAlternate } = modes
    yield* caller.write(modes.reset())
    const history = yield* History
    const { screen } = yield* history.stateAt(session, { _tag: "Head" })
    // What is told next begins a line of its own.
    if (!isAlternate && screen.cursor.x > 0) yield* caller.write("\r\n")
  })
  return yield* showItems(session, items, { display, untilProgramEnds: false }).pipe(
    Effect.ensuring(Effect.ignore(giveBack))
  )
})

/** Ends with the program's code, and says so to the person in front of the terminal. */
const tellEnd = ({ end }: Shown): Effect.Effect<never, Ending> =>
  Effect.fail(new Ending({ exitCode: exitCodeOfEnd(end), note: describeEnd(end), isBracketed: true }))
