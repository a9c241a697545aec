/**
 * Puts the caller's terminal onto a session: what the program prints goes to the terminal, what is typed goes to the
 * program, until the session ends or the person leaves. The terminal gets its modes back whichever way that happens.
 * `attach` and `run` use it where both ends are a terminal. It never ends a session.
 */
import { Deferred, Effect, Queue, type Scope, Stream } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Attach, type AttachError } from "../src/session/Attach.ts"
import type { History } from "../src/session/History.ts"
import type { SessionUnavailable } from "../src/session/SessionError.ts"
import type { Sessions } from "../src/session/Sessions.ts"
import { Caller, type OutputClosed } from "./Caller.ts"
import { type DetachKey, makeDetachFilter } from "./DetachKey.ts"
import { ExitCode } from "./ExitCode.ts"
import { leftBySignal, type Shown, showItems } from "./Follow.ts"
import { Ending } from "./Outcome.ts"
import { makeTerminalModes } from "./TerminalModes.ts"
import { makeTerminalView } from "./TerminalView.ts"
import { typeBytes } from "./Typing.ts"

/** Pieces of input that wait for a program that does not read; a paste that is longer waits in the person's terminal. */
const INPUT_PIECES_MAX = 64
/** Who leaves does not wait longer for what was typed before: it is told then. */
const LEAVE_TIMEOUT = "500 millis"
/** The terminal's own title is put aside and comes back (xterm; others ignore it). */
const KEEP_TITLE = "\x1b[22;0t"
const RESTORE_TITLE = "\x1b[23;0t"
const BELL = "\x07"
/** Says of itself what a terminal is, where its cursor is, that it got the focus: not typed by a person. */
const REPORT = /^\x1b(?:\[[?>]?[\d;]*[cRnu]|\[[IO]|\]|P|_)/

export interface TerminalOptions {
  readonly detachKey: DetachKey
  readonly readOnly: boolean
  readonly exclusive: boolean
  /** The program may fill the clipboard of this terminal. */
  readonly clipboard: boolean
  /** Everything after this event is shown again. Absent: the screen, and what comes. */
  readonly after?: number | undefined
  /** The session was made for this terminal. */
  readonly isNew: boolean
  /** As the person calls the session. */
  readonly reference: string
  /** A shell for commands: its program may be started anew. */
  readonly isShell: boolean
  /** Says how the session ended, and not only why it was left. */
  readonly isEndTold: boolean
}

/** A name among the clients of a session. */
export const clientName = (): string => `cli-${crypto.randomUUID().slice(0, 8)}`

export const attachTerminal: (
  session: SessionId,
  options: TerminalOptions
) => Effect.Effect<
  Shown,
  Ending | OutputClosed | AttachError | SessionUnavailable,
  Attach | Sessions | History | Caller | Scope.Scope
> = Effect.fnUntraced(function* (session, options) {
  const caller = yield* Caller
  const attach = yield* Attach
  const client = clientName()
  const modes = makeTerminalModes()
  const signals = yield* caller.signals(["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])
  let isOver = false
  let isNoted = true
  let isKept = false
  const view = yield* makeTerminalView(session, { ...options, client, modes })
  yield* caller.rawMode(() => {
    // A program that ended by itself tidied up; one that is left, or was killed, may not have.
    const newLine = isNoted && !modes.isAlternate && !view.isAtLineStart() ? "\r\n" : ""
    return `${modes.reset()}${isKept ? RESTORE_TITLE : ""}${newLine}`
  })

  const ended = yield* Deferred.make<Shown, Ending | OutputClosed | AttachError>()
  /** Opened anew, a stream takes the place of the one before, which the engine ends then: its end means nothing. */
  const showStream = (after: number | undefined) => {
    const display = view.nextDisplay()
    return attach
      .attach(session, {
        after,
        client,
        readOnly: options.readOnly,
        exclusive: options.exclusive,
        size: view.window()
      })
      .pipe(
        (items) => showItems(session, items, { display, untilProgramEnds: !options.isShell }),
        Effect.exit,
        Effect.flatMap((exit) => (display.isReplaced() ? Effect.void : Deferred.done(ended, exit))),
        Effect.forkScoped
      )
  }
  const showing = Effect.gen(function* () {
    yield* caller.write(KEEP_TITLE)
    isKept = true
    yield* showStream(options.after)
    yield* view.outdated.pipe(
      Effect.andThen(Effect.suspend(() => showStream(undefined))),
      Effect.forever,
      Effect.forkScoped
    )
    const shown = yield* Deferred.await(ended)
    isOver = true
    isNoted = options.isEndTold || shown.end.exitCode === null
    return shown
  })

  const typing = readKeys(session, client, options, view.beforeTyping).pipe(
    // The terminal hung up.
    Effect.andThen(Effect.suspend(() => (isOver ? Effect.never : leftBySignal(options.reference, "SIGHUP"))))
  )
  const interrupted = Queue.take(signals).pipe(Effect.flatMap((signal) => leftBySignal(options.reference, signal)))

  return yield* showing.pipe(
    Effect.raceFirst(typing),
    Effect.raceFirst(interrupted),
    Effect.raceFirst(view.followWindow),
    Effect.raceFirst(view.drawPictures),
    Effect.raceFirst(view.watchLag)
  )
})

/** Passes keys on until the person leaves (an Ending) or the terminal has hung up. The detach key is seen also while the program takes no input. */
const readKeys = Effect.fnUntraced(function* (
  session: SessionId,
  client: string,
  options: TerminalOptions,
  beforeTyping: Effect.Effect<void>
) {
  const caller = yield* Caller
  const filter = makeDetachFilter(options.detachKey)
  const keys = yield* Queue.bounded<Uint8Array | Deferred.Deferred<void>>(INPUT_PIECES_MAX)

  /** Bytes of which the engine did not say yet that they are journaled. */
  let untyped = 0
  const reading = Stream.runForEach(caller.input, (chunk): Effect.Effect<unknown, Ending> => {
    const { bytes, detach } = filter(chunk)
    const isDropped = options.readOnly || bytes.byteLength === 0
    if (!isDropped) untyped += bytes.byteLength
    const typed: Effect.Effect<unknown> = isDropped ? Effect.void : Queue.offer(keys, bytes)
    if (!detach) return typed
    return Effect.gen(function* () {
      const isTyped = yield* Deferred.make<void>()
      yield* typed.pipe(
        Effect.andThen(Queue.offer(keys, isTyped)),
        Effect.andThen(Deferred.await(isTyped)),
        Effect.timeoutOption(LEAVE_TIMEOUT)
      )
      return yield* detached(options.reference, untyped)
    })
  })

  const typing = Effect.gen(function* () {
    while (true) {
      const next = yield* Queue.take(keys)
      if (!(next instanceof Uint8Array)) {
        yield* Deferred.succeed(next, undefined)
        continue
      }
      if (!REPORT.test(Buffer.from(next.subarray(0, 32)).toString("latin1"))) yield* beforeTyping
      yield* typeBytes(session, next, client).pipe(
        Effect.catchTag("SessionEnded", () => Effect.void),
        // Somebody else has the session to itself at the moment.
        Effect.catchTag("AccessDenied", () => Effect.ignore(caller.write(BELL)))
      )
      untyped -= next.byteLength
    }
  }).pipe(Effect.mapError((error) => new Ending({ exitCode: ExitCode.unavailable, note: error.message })))

  return yield* Effect.raceFirst(reading, typing)
})

const detached = (reference: string, untyped: number) =>
  Effect.fail(
    new Ending({
      exitCode: ExitCode.detached,
      note: `detached${untyped > 0 ? `, and the last ${untyped} bytes you typed may not have arrived` : ""}; \`reprise attach ${reference}\` comes back`,
      isBracketed: true
    })
  )
