/**
 * Shows a session's output to the caller and finds out how it ends: what `run` and `attach` have in common, with or
 * without a terminal.
 */
import { Effect, Fiber, Option, Queue, Ref, Schedule, type Scope, Stream } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { collectRarely } from "../src/remote/HeapGrowth.ts"
import { SessionOutput } from "../src/remote/SessionOutput.ts"
import type { OutputItem } from "../src/session/OutputItem.ts"
import { Sessions } from "../src/session/Sessions.ts"
import { Caller } from "./Caller.ts"
import { type DetachKey, makeDetachFilter } from "./DetachKey.ts"
import { escapeText } from "./Escape.ts"
import { ExitCode } from "./ExitCode.ts"
import { type End, Ending, exitCodeOfEnd, signalNumber } from "./Outcome.ts"
import { storageNotices } from "./StorageNotice.ts"
import type { TerminalModes } from "./TerminalModes.ts"

/** One write of input: small enough that echo starts at once, large enough that a byte costs little. */
const INPUT_BYTES_MAX = 32 * 1024
/** A program that does not read fills its queue: how soon the rest is offered again. */
const INPUT_RETRY = Schedule.min([Schedule.exponential("20 millis", 2), Schedule.spaced("500 millis")])

export interface Shown {
  readonly end: End
  readonly endedBy: "program" | "session"
}

export interface ShowOptions {
  readonly after?: number | undefined
  /** false: the output is only waited for (`--json`). */
  readonly isPrinted?: boolean | undefined
  readonly modes?: TerminalModes | undefined
  /** First byte to show: those before it are a part of something that was cut off. */
  readonly fromOffset?: number | undefined
}

/**
 * Prints until the program has ended and everything it printed was shown. A process that it left behind may go on
 * writing: nobody waits for it.
 */
export const showOutput = (
  session: SessionId,
  options: ShowOptions = {}
): Effect.Effect<Shown, Ending | Effect.Error<ReturnType<typeof showItems>>, SessionOutput | Sessions | Caller> =>
  showItems(session, options).pipe(
    Effect.flatMap((shown) =>
      Option.isSome(shown)
        ? Effect.succeed(shown.value)
        : Effect.fail(
            new Ending({ exitCode: ExitCode.lost, note: `session ${session}: its output ended without its end` })
          )
    )
  )

const showItems = Effect.fnUntraced(function* (session: SessionId, options: ShowOptions) {
  collectRarely()
  const output = yield* SessionOutput
  const caller = yield* Caller
  const isPrinted = options.isPrinted ?? true
  let shown = options.fromOffset ?? 0

  const show = (
    item: OutputItem
  ): Effect.Effect<Shown | undefined, Effect.Error<ReturnType<typeof caller.write>> | Ending> => {
    switch (item._tag) {
      case "Output": {
        // By offset, so that whatever was repeated on the way is shown once.
        const skipped = Math.max(0, shown - item.offset)
        if (skipped >= item.data.byteLength) return Effect.succeed(undefined)
        const data = skipped === 0 ? item.data : item.data.subarray(skipped)
        shown = item.offset + item.data.byteLength
        options.modes?.watch(data)
        return isPrinted ? Effect.as(caller.write(data), undefined) : Effect.succeed(undefined)
      }
      case "Synced":
        return Effect.succeed(undefined)
      case "Exited":
        return Effect.succeed({ end: item, endedBy: "program" })
      case "Missing":
        return Effect.as(
          caller.writeError(
            `reprise: output bytes ${item.from} to ${item.to ?? "?"} are missing: ${escapeText(item.why)}\n`
          ),
          undefined
        )
      case "Ended":
        return item.reason === "lost"
          ? Effect.fail(
              new Ending({
                exitCode: ExitCode.lost,
                note: `session ${session} is lost: ${item.detail}; how its program ended is not known`
              })
            )
          : item.reason === "failed"
            ? Effect.fail(new Ending({ exitCode: ExitCode.notExecutable, note: `session ${session} did not start` }))
            : Effect.succeed({ end: item, endedBy: "session" })
    }
  }

  const showing = output.stream(session, { after: options.after }).pipe(
    Stream.mapEffect(show),
    Stream.filter((result) => result !== undefined),
    Stream.runHead
  )
  return yield* Effect.raceFirst(
    showing,
    storageNotices(() => shown)
  )
})

// --- without a terminal ----------------------------------------------------------------------------------------------

/** Types standard input, in order and no faster than the program takes it. */
export const typeInput = Effect.fnUntraced(function* (session: SessionId, options: { readonly closeAtEnd: boolean }) {
  const sessions = yield* Sessions
  const caller = yield* Caller
  yield* caller.input.pipe(
    Stream.runForEach((chunk) => typeBytes(session, chunk)),
    // The program is gone, or goes without more input: that is not an error of the run.
    Effect.catchTag("SessionEnded", () => Effect.void)
  )
  if (options.closeAtEnd) {
    yield* sessions.closeInput(session).pipe(
      Effect.retry({ while: (error) => error._tag === "InputRefused", schedule: INPUT_RETRY }),
      Effect.catchTag("SessionEnded", () => Effect.void)
    )
  }
})

const typeBytes = Effect.fnUntraced(function* (session: SessionId, bytes: Uint8Array) {
  const sessions = yield* Sessions
  for (let at = 0; at < bytes.byteLength; at += INPUT_BYTES_MAX) {
    yield* sessions
      .write(session, bytes.subarray(at, at + INPUT_BYTES_MAX))
      .pipe(Effect.retry({ while: (error) => error._tag === "InputRefused", schedule: INPUT_RETRY }))
  }
})

/**
 * Passes SIGINT, SIGTERM and SIGQUIT on to the program; a hang-up ends only this client. Forked before the session
 * exists, so that no signal falls in between.
 */
export const passSignals = Effect.fnUntraced(function* (session: SessionId, isStarted: Effect.Effect<void>) {
  const caller = yield* Caller
  const sessions = yield* Sessions
  const signals = yield* caller.signals(["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"])
  yield* isStarted
  while (true) {
    const signal = yield* Queue.take(signals)
    if (signal === "SIGHUP") return yield* hungUp(session, signal)
    yield* sessions.signal(session, signal, "foreground").pipe(Effect.ignore)
  }
})

const hungUp = (session: SessionId, signal: string) =>
  Effect.fail(
    new Ending({
      exitCode: ExitCode.signalBase + signalNumber(signal),
      note: `${signal}; session ${session} goes on, \`reprise attach ${session}\` comes back to it`
    })
  )

// --- with a terminal -------------------------------------------------------------------------------------------------

export interface AttachOptions extends ShowOptions {
  readonly detachKey: DetachKey
  readonly readOnly: boolean
  readonly modes: TerminalModes
}

/** Puts the caller's terminal onto the session until it ends or the person leaves. */
export const attachTerminal: (
  session: SessionId,
  options: AttachOptions
) => Effect.Effect<
  Shown,
  Effect.Error<ReturnType<typeof showOutput>>,
  SessionOutput | Sessions | Caller | Scope.Scope
> = Effect.fnUntraced(function* (session, options) {
  const caller = yield* Caller
  const sessions = yield* Sessions
  const isOver = yield* Ref.make(false)
  // A program that ended by itself tidied up; one that we leave, or that was killed, may not have.
  yield* caller.rawMode(() => options.modes.reset())
  const signals = yield* caller.signals(["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])

  const filter = makeDetachFilter(options.detachKey)
  const typing = caller.input.pipe(
    Stream.runForEach((chunk) => {
      const { bytes, detach } = filter(chunk)
      const typed = options.readOnly || bytes.byteLength === 0 ? Effect.void : typeBytes(session, bytes)
      return detach ? Effect.andThen(typed, Effect.fail(detached(session))) : typed
    }),
    Effect.catchTag("SessionEnded", () => Effect.void),
    // The terminal hung up.
    Effect.andThen(Effect.flatMap(Ref.get(isOver), (over) => (over ? Effect.never : hungUp(session, "SIGHUP")))),
    Effect.catchIf(
      (error) => error._tag !== "Ending",
      (error) => Effect.fail(new Ending({ exitCode: ExitCode.unavailable, note: error.message }))
    )
  )
  const resizing = caller.resizes.pipe(
    // A size that could not be applied is corrected by the next one.
    Stream.runForEach((size) => Effect.ignore(sessions.resize(session, size)))
  )
  const interrupted = Queue.take(signals).pipe(Effect.flatMap((signal) => hungUp(session, signal)))

  if (!options.readOnly) yield* Effect.forkScoped(resizing)
  return yield* showOutput(session, options).pipe(
    Effect.ensuring(Ref.set(isOver, true)),
    Effect.raceFirst(typing),
    Effect.raceFirst(interrupted)
  )
})

const detached = (session: SessionId) =>
  new Ending({
    exitCode: ExitCode.detached,
    note: `detached from ${session}, which goes on; \`reprise attach ${session}\` comes back to it`
  })

/** Ends with the program's own code. */
export const endWith = (shown: Shown): Effect.Effect<never, Ending> =>
  Effect.fail(new Ending({ exitCode: exitCodeOfEnd(shown.end), note: "" }))

/** Runs beside the output, and ends with it; what makes it fail ends the whole. */
export const beside = <A, E, R, E2, R2>(
  output: Effect.Effect<A, E, R>,
  other: Effect.Effect<unknown, E2, R2>
): Effect.Effect<A, E | E2, R | R2> =>
  Effect.scoped(
    Effect.gen(function* () {
      const fiber = yield* Effect.forkScoped(other)
      return yield* Effect.raceFirst(output, Effect.andThen(Fiber.join(fiber), Effect.never))
    })
  )
