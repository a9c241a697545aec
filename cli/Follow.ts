/**
 * Shows what a session prints and finds out how it ends: what `run` and `attach` have in common, on a terminal
 * (`AttachTerminal.ts`) or as a pipe. It types nothing and starts nothing.
 */
import { Effect, Fiber, Option, Queue, Stream } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { collectRarely } from "../src/remote/HeapGrowth.ts"
import type { AttachItem } from "../src/session/Attach.ts"
import { describeMissing, type OutputItem } from "../src/session/OutputItem.ts"
import { Sessions } from "../src/session/Sessions.ts"
import { Caller, type OutputClosed } from "./Caller.ts"
import { escapeText } from "./Escape.ts"
import { ExitCode } from "./ExitCode.ts"
import { type End, Ending, exitCodeOfEnd, signalNumber } from "./Outcome.ts"
import { makeReplayFilter } from "./ReplayFilter.ts"
import { storageNotices } from "./StorageNotice.ts"

export interface Shown {
  readonly end: End
  readonly endedBy: "program" | "session"
}

/** Where the output goes. Calls come one after the other. */
export interface Display {
  readonly cursor: ShownCursor
  /** Told every item first. True: it needs no more showing. */
  readonly take?: (item: AttachItem | OutputItem) => Effect.Effect<boolean, OutputClosed>
  readonly write: (data: Uint8Array) => Effect.Effect<void, OutputClosed>
  /** What a command in a shell for commands writes to its own standard output or error. */
  readonly writeCommandOutput: (data: Uint8Array, channel: "stdout" | "stderr") => Effect.Effect<void, OutputClosed>
  /** A line beside the output, for the person. */
  readonly tell: (text: string) => Effect.Effect<void>
}

/** How much of the terminal's output was shown, in bytes: whatever is repeated on the way is shown once. */
export interface ShownCursor {
  offset: number
}

export interface ShowOptions {
  readonly display: Display
  /** The program's end is the end. False for a session that may start another one, and for one that has ended. */
  readonly untilProgramEnds: boolean
}

/**
 * Shows items until the program has ended and everything it printed was shown. A process that it left behind may go on
 * writing: nobody waits for it.
 */
export const showItems = <E, R>(
  session: SessionId,
  items: Stream.Stream<AttachItem | OutputItem, E, R>,
  { display, untilProgramEnds }: ShowOptions
): Effect.Effect<Shown, Ending | OutputClosed | E, R | Sessions> =>
  Effect.suspend(() => {
    collectRarely()
    const { cursor } = display
    let shownItems = 0
    const show = (item: AttachItem | OutputItem): Effect.Effect<Shown | undefined, OutputClosed | Ending> => {
      switch (item._tag) {
        case "Output": {
          if (item.channel !== undefined && item.channel !== "tty") {
            return Effect.as(display.writeCommandOutput(item.data, item.channel), undefined)
          }
          const skipped = Math.max(0, cursor.offset - item.offset)
          if (skipped >= item.data.byteLength) return Effect.succeed(undefined)
          cursor.offset = item.offset + item.data.byteLength
          return Effect.as(display.write(item.data.subarray(skipped)), undefined)
        }
        case "Screen":
          return Effect.as(display.write(item.data), undefined)
        case "Attached":
        case "Resized":
        case "ReplayComplete":
        case "Synced":
          return Effect.succeed(undefined)
        case "Exited":
          return Effect.succeed(untilProgramEnds ? { end: item, endedBy: "program" } : undefined)
        case "Missing":
          return Effect.as(display.tell(escapeText(describeMissing(item))), undefined)
        case "Ended":
          return ended(session, item)
      }
    }
    const takeOrShow = (item: AttachItem | OutputItem) => {
      shownItems += 1
      return display.take === undefined
        ? show(item)
        : Effect.flatMap(display.take(item), (isTaken) => (isTaken ? Effect.succeed(undefined) : show(item)))
    }

    const showing = items.pipe(
      Stream.mapEffect(takeOrShow),
      Stream.filter((result) => result !== undefined),
      Stream.runHead,
      Effect.flatMap((result) =>
        Option.isSome(result)
          ? Effect.succeed(result.value)
          : Effect.fail(
              new Ending({ exitCode: ExitCode.lost, note: `session ${session}: its output ended without its end` })
            )
      )
    )
    return Effect.raceFirst(
      showing,
      storageNotices(() => shownItems, display.tell)
    )
  })

const ended = (
  session: string,
  item: Extract<OutputItem, { readonly _tag: "Ended" }>
): Effect.Effect<Shown, Ending> => {
  if (item.reason === "failed") {
    return Effect.fail(new Ending({ exitCode: ExitCode.notExecutable, note: `session ${session} did not start` }))
  }
  if (item.reason !== "lost") return Effect.succeed({ end: item, endedBy: "session" })
  const why = item.detail === "" ? "" : `: ${item.detail}`
  return Effect.fail(
    new Ending({
      exitCode: ExitCode.lost,
      note: `session ${session} is lost${why}; how its program ended is not known`
    })
  )
}

/**
 * Standard output and error of the caller, for bytes: exact, but for what a terminal would answer. Nobody there types its
 * answers into the session; they would be typed into the caller's shell.
 */
export const pipeDisplay = Effect.fnUntraced(function* (options: { readonly isPrinted: boolean }) {
  const caller = yield* Caller
  const toOutput = (data: Uint8Array) => caller.write(data)
  const output = shownOn(caller.outputIsTerminal, toOutput)
  const commandOutput = {
    stdout: shownOn(caller.outputIsTerminal, toOutput),
    stderr: shownOn(caller.errorIsTerminal, (data) => caller.writeError(data))
  }
  const display: Display = {
    cursor: { offset: 0 },
    write: (data) => (options.isPrinted ? output(data) : Effect.void),
    writeCommandOutput: (data, channel) => (options.isPrinted ? commandOutput[channel](data) : Effect.void),
    tell: (text) => caller.writeError(`reprise: ${text}\n`)
  }
  return display
})

/** `print` for one stream of bytes. */
export const shownOn = <E>(
  isTerminal: boolean,
  print: (data: Uint8Array) => Effect.Effect<void, E>
): ((data: Uint8Array) => Effect.Effect<void, E>) => {
  if (!isTerminal) return print
  const filter = makeReplayFilter()
  return (data) => print(filter.feed(data))
}

/**
 * Passes SIGINT, SIGTERM and SIGQUIT on to the program; a hang-up ends only this client, and so does a signal that cannot
 * be passed on: whoever asked for an end must not wait for a disk that is full. Forked before the session exists, so that
 * no signal falls in between.
 */
export const passSignals = Effect.fnUntraced(function* (
  session: SessionId,
  isStarted: Effect.Effect<void>,
  client?: string
) {
  const caller = yield* Caller
  const sessions = yield* Sessions
  const signals = yield* caller.signals(["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"])
  yield* isStarted
  while (true) {
    const signal = yield* Queue.take(signals)
    if (signal === "SIGHUP") return yield* leftBySignal(session, signal)
    yield* sessions.signal(session, signal, "foreground", { client }).pipe(
      Effect.catch((error) =>
        // What is over needs no signal; its last output comes.
        error.code === "FailedPrecondition" || error.code === "NotFound"
          ? Effect.void
          : leftBySignal(session, signal, `was not passed on: ${error.message}`)
      )
    )
  }
})

export const leftBySignal = (session: string, signal: string, why = ""): Effect.Effect<never, Ending> =>
  Effect.fail(
    new Ending({
      exitCode: ExitCode.signalBase + signalNumber(signal),
      note: `${signal}${why === "" ? "" : ` ${why}`}; session ${session} goes on, \`reprise attach ${session}\` comes back to it`
    })
  )

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
