/** `reprise attach`: comes back to a session, as a terminal or as a pipe. */
import { Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { SessionId } from "../../journal/Event.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { Caller } from "../Caller.ts"
import { attachTerminal, beside, endWith, passSignals, showOutput, typeInput } from "../Follow.ts"
import { Ending, exitCodeOfEnd } from "../Outcome.ts"
import { chosenStore } from "../Root.ts"
import { findSession, sessionArgument } from "../SessionArgument.ts"
import { engine } from "../Store.ts"
import { makeTerminalModes } from "../TerminalModes.ts"
import { chosenDetachKey, detachKeyFlag } from "./run.ts"

/** What a person sees again of what was there before: a few screens, drawn in a moment. */
const TAIL_BYTES_MAX = 128 * 1024
/** Events that are searched for the tail: of a session that prints a character at a time, some thousands of characters. */
const TAIL_EVENTS_MAX = 2_000
const LINE_FEED = 0x0a

export const attach = Command.make(
  "attach",
  {
    session: sessionArgument,
    readOnly: Flag.Boolean("read-only").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Watch only: nothing typed reaches the program")
    ),
    after: Flag.Int("after").pipe(
      Flag.withDescription(
        "Show what came after this event (default: the recent output; everything when it is not shown on a terminal)"
      ),
      Flag.withMetavar("SEQ"),
      Flag.optional
    ),
    detachKey: detachKeyFlag
  },
  Effect.fn("cli.attach")(function* (flags) {
    const caller = yield* Caller
    const detachKey = yield* chosenDetachKey(flags.detachKey, "attach")
    const paths = yield* chosenStore

    yield* Effect.scoped(
      Effect.gen(function* () {
        const history = yield* History
        const session = yield* findSession(flags.session)
        const view = yield* history.get(session)
        const isLive = view.status === "running" || view.status === "starting" || view.terminalOpen
        const after = Option.getOrUndefined(flags.after)
        const start =
          after === undefined && caller.outputIsTerminal ? yield* tail(session, view) : { after: after ?? 0 }

        if (!isLive) {
          yield* showOutput(session, { ...start, modes: makeTerminalModes() })
          return yield* new Ending({ exitCode: exitCodeOfEnd(view), note: "" })
        }
        if (!caller.isInteractive) {
          const shown = flags.readOnly
            ? showOutput(session, start)
            : beside(showOutput(session, start), typeInput(session, { closeAtEnd: false }))
          return yield* endWith(yield* beside(shown, flags.readOnly ? Effect.never : passSignals(session, Effect.void)))
        }
        if (!flags.readOnly) yield* fitWindow(session, view)
        return yield* endWith(
          yield* attachTerminal(session, {
            ...start,
            detachKey,
            readOnly: flags.readOnly,
            modes: makeTerminalModes()
          })
        )
      })
    ).pipe(Effect.provide(engine(paths)))
  })
).pipe(
  Command.withDescription(
    "Come back to a session. In a terminal: its recent output, then live, and what you type goes to it (Enter ~. leaves). " +
      "Otherwise: its output as bytes until its program ends, with the program's exit code. A session that has ended is printed."
  ),
  Command.withShortDescription("Come back to a session"),
  Command.withExamples([
    { command: "reprise attach last", description: "The newest session" },
    { command: "reprise attach build --read-only", description: "Watch, without a chance to type into it" }
  ])
)

/** Where to begin so that about TAIL_BYTES_MAX bytes are shown, from the start of a line. */
const tail = Effect.fnUntraced(function* (session: SessionId, view: SessionView) {
  const history = yield* History
  const pieces: Array<{ readonly after: number; readonly offset: number; readonly data: Uint8Array }> = []
  let bytes = 0
  yield* history.events(session, { after: Math.max(0, view.sequence - TAIL_EVENTS_MAX), until: view.sequence }).pipe(
    Stream.runForEachArray((page) =>
      Effect.sync(() => {
        for (const { event, sequence } of page) {
          if (event._tag !== "OutputReceived" || event.channel !== "tty") continue
          pieces.push({ after: sequence - 1, offset: event.offset, data: event.data })
          bytes += event.data.byteLength
          while (pieces.length > 1 && bytes - pieces[0]!.data.byteLength >= TAIL_BYTES_MAX) {
            bytes -= pieces.shift()!.data.byteLength
          }
        }
      })
    )
  )
  const first = pieces[0]
  if (first === undefined) return { after: 0 }
  if (first.offset === 0) return { after: first.after }
  return { after: first.after, fromOffset: first.offset + first.data.indexOf(LINE_FEED) + 1 }
})

/** The session takes the size of the terminal that came to it; a full-screen program draws itself anew then. */
const fitWindow = Effect.fnUntraced(function* (session: SessionId, view: SessionView) {
  const caller = yield* Caller
  const sessions = yield* Sessions
  const size = yield* caller.terminalSize
  if (size === undefined) return
  if (size.cols === view.size.cols && size.rows === view.size.rows) {
    // The same size is no news to a program: one row less, for a moment, is.
    yield* Effect.ignore(sessions.resize(session, { cols: size.cols, rows: Math.max(1, size.rows - 1) }))
  }
  yield* Effect.ignore(sessions.resize(session, size))
})
