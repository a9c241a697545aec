/**
 * Shows the output of a command in a session while it runs, complete and byte for byte: what `exec` and `poll` have in
 * common. Standard output and standard error keep their order each; between the two it is only as exact as the polling.
 */
import { Clock, Effect, Queue, Schedule, Stream } from "effect"
import { Flag } from "effect/cli"
import type { SessionId } from "../journal/Event.ts"
import { Exec, type ExecInput, type ExecResult, MESSAGE_OUTPUT_BYTES_MAX } from "../src/exec/Exec.ts"
import { Caller, type CallerShape, type OutputClosed } from "./Caller.ts"
import { describeNeed, describeOutcome, exitCodeOfResult, isLive } from "./ExecReport.ts"
import { ExitCode } from "./ExitCode.ts"
import { shownOn } from "./Follow.ts"
import { Ending, signalNumber } from "./Outcome.ts"
import { storageNotices } from "./StorageNotice.ts"

/** Between two looks at a running command: soon enough to watch it; the end of it is told at once in any case. */
export const POLL_MILLIS_MIN = 100
/** A command that is quiet is asked less often. */
const POLL_MILLIS_MAX = 500
/** A command that waits in the engine is asked for again after this, so that no call lasts for ever. */
const WAIT_MILLIS = 30_000
/** One piece of standard input: a command that does not read holds back the next. */
const INPUT_BYTES_MAX = 64 * 1024
/** A command that does not read, or does not run yet: how soon the same input is offered again. */
const INPUT_RETRY = Schedule.min([Schedule.exponential("20 millis", 2), Schedule.spaced("500 millis")])
/** An interrupt that comes before the engine has the command is tried again for some seconds. */
const INTERRUPT_RETRY = Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 100 }))

/** When to leave a command that still runs; undefined: when it has ended. */
export type Deadline = number | undefined

export const deadlineIn = (millis: number | undefined): Effect.Effect<Deadline> =>
  millis === undefined ? Effect.succeed(undefined) : Effect.map(Clock.currentTimeMillis, (now) => now + millis)

const remaining = (deadline: Deadline, most: number): Effect.Effect<number> =>
  deadline === undefined
    ? Effect.succeed(most)
    : Effect.map(Clock.currentTimeMillis, (now) => Math.max(0, Math.min(most, deadline - now)))

export interface ShowOptions {
  readonly deadline: Deadline
  /** What the terminal shows is the command's output (`--tty`). */
  readonly isTerminalShown: boolean
}

/**
 * Prints `first` and what follows it, until the command has ended or the deadline has come. Gives the last answer. Says so
 * when the journal cannot be written meanwhile.
 */
export const showCommand = (first: ExecResult, options: ShowOptions) => {
  let cursor = first.cursor
  const showing = showAnswers(first, options, (result) => {
    cursor = result.cursor
  })
  return Effect.raceFirst(
    showing,
    Caller.use((caller) =>
      storageNotices(
        () => cursor,
        (text) => caller.writeError(`reprise: ${text}\n`)
      )
    )
  )
}

const showAnswers = Effect.fnUntraced(function* (
  first: ExecResult,
  options: ShowOptions,
  onAnswer: (result: ExecResult) => void
) {
  const exec = yield* Exec
  const caller = yield* Caller
  let result = first
  let pause = POLL_MILLIS_MIN
  let isNeedTold = false
  const printers = makePrinters(caller)
  while (true) {
    onAnswer(result)
    yield* printOutput(result, options, printers)
    if (!isLive(result.status)) return result
    if (result.status !== "needs_input") isNeedTold = false
    // Whoever set a time wants to know; everybody else may be the one who answers, from elsewhere.
    else if (options.deadline !== undefined) return result
    else if (!isNeedTold) {
      isNeedTold = true
      yield* caller.writeError(`reprise: ${describeNeed(result)}\n`)
    }
    const yieldMillis = yield* remaining(options.deadline, pause)
    if (yieldMillis === 0) return result
    const { session, execId, cursor } = result
    result = yield* exec.poll(session, execId, {
      after: cursor,
      yieldMillis,
      maxOutputBytes: MESSAGE_OUTPUT_BYTES_MAX
    })
    pause = result.cursor === cursor ? Math.min(pause * 1.5, POLL_MILLIS_MAX) : POLL_MILLIS_MIN
  }
})

/** Waits for the end, or the deadline, without showing anything; the answer has the output from the beginning. */
export const awaitCommand = Effect.fnUntraced(function* (
  first: ExecResult,
  deadline: Deadline,
  maxOutputBytes: number | undefined
) {
  const exec = yield* Exec
  let result = first
  while (isLive(result.status)) {
    const yieldMillis = yield* remaining(deadline, WAIT_MILLIS)
    if (yieldMillis === 0) break
    result = yield* exec.poll(result.session, result.execId, { yieldMillis, maxOutputBytes })
    if (result.status === "needs_input" && deadline !== undefined) break
  }
  return result
})

interface Printers {
  readonly stdout: (data: Uint8Array) => Effect.Effect<void, OutputClosed>
  readonly tty: (data: Uint8Array) => Effect.Effect<void, OutputClosed>
  readonly stderr: (data: Uint8Array) => Effect.Effect<void>
}

const makePrinters = (caller: CallerShape): Printers => {
  const toOutput = (data: Uint8Array) => caller.write(data)
  return {
    stdout: shownOn(caller.outputIsTerminal, toOutput),
    tty: shownOn(caller.outputIsTerminal, toOutput),
    stderr: shownOn(caller.errorIsTerminal, (data) => caller.writeError(data))
  }
}

const printOutput = Effect.fnUntraced(function* (
  result: ExecResult,
  { isTerminalShown }: ShowOptions,
  printers: Printers
) {
  yield* printStream(result, "stdout", printers.stdout)
  if (isTerminalShown) yield* printStream(result, "tty", printers.tty)
  yield* printStream(result, "stderr", printers.stderr)
})

/** Also the middle of it, which an answer leaves out when the command printed much since the last one. */
const printStream = Effect.fnUntraced(function* <E>(
  result: ExecResult,
  channel: "stdout" | "stderr" | "tty",
  print: (data: Uint8Array) => Effect.Effect<void, E>
) {
  const bytes = result[channel]
  const cut = result.truncated[channel]
  if (cut === null) return yield* print(bytes)
  const exec = yield* Exec
  const caller = yield* Caller
  yield* print(bytes.subarray(0, cut.headBytes))
  for (let from = cut.omittedFrom; from < cut.omittedTo; ) {
    const to = Math.min(cut.omittedTo, from + MESSAGE_OUTPUT_BYTES_MAX)
    const piece = yield* exec.output(result.session, result.execId, { channel, from, to })
    if (piece.byteLength === 0) {
      yield* caller.writeError(`reprise: bytes ${from} to ${cut.omittedTo} of ${channel} are missing\n`)
      break
    }
    yield* print(piece)
    from += piece.byteLength
  }
  yield* print(bytes.subarray(cut.headBytes))
})

/** Gives standard input to a command that was started with a stream, in order and no faster than it reads. */
export const feedInput = <E, R>(session: SessionId, execId: string, input: Stream.Stream<Uint8Array, E, R>) =>
  Effect.gen(function* () {
    const exec = yield* Exec
    // Of what was given so far: the engine may die under any of it, and is then told the same again.
    let given = 0
    const send = (data: ExecInput) =>
      exec.send(session, execId, data).pipe(
        Effect.retry({
          while: (error) => error._tag === "InputRefused" || error._tag === "ExecNotFound",
          schedule: INPUT_RETRY
        })
      )
    yield* Stream.runForEach(input, (chunk) =>
      Effect.gen(function* () {
        for (let at = 0; at < chunk.byteLength; at += INPUT_BYTES_MAX) {
          const bytes = chunk.subarray(at, at + INPUT_BYTES_MAX)
          yield* send({ bytes, at: given })
          given += bytes.byteLength
        }
      })
    )
    yield* send({ eof: true, at: given })
  }).pipe(
    // It ended, or it goes on without more input: that is not an error of the command.
    Effect.catchTag(["ExecFinished", "SessionEnded"], () => Effect.void)
  )

export const resultJsonFlag = Flag.Boolean("json").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Print one JSON object with output and outcome instead of the output")
)
export const maxOutputFlag = Flag.Int("max-output").pipe(
  Flag.withDescription("With --json: bytes of each stream, its beginning and its end (default: all, up to 64 MiB)"),
  Flag.withMetavar("BYTES"),
  Flag.optional
)

/** The first Ctrl-C is the command's; the second one leaves it running. */
export const passInterrupts = Effect.fnUntraced(function* (session: SessionId, execId: string) {
  const caller = yield* Caller
  const exec = yield* Exec
  const signals = yield* caller.signals(["SIGINT"])
  yield* Queue.take(signals)
  yield* exec.interrupt(session, execId).pipe(
    Effect.retry({ while: (error) => error._tag === "ExecNotFound", schedule: INTERRUPT_RETRY }),
    Effect.ignore,
    // While it is asked for, too.
    Effect.andThen(Effect.never),
    Effect.raceFirst(Queue.take(signals))
  )
  return yield* new Ending({
    exitCode: ExitCode.signalBase + signalNumber("SIGINT"),
    note: `left; command ${execId} may go on, \`reprise kill ${session} ${execId}\` ends it`
  })
})

/** Ends with the command's code, and says what the code alone does not. */
export const endWithResult = (result: ExecResult, isTold: boolean): Effect.Effect<void, Ending> => {
  const exitCode = exitCodeOfResult(result)
  const note = isTold ? describeOutcome(result) : ""
  return exitCode === ExitCode.ok && note === "" ? Effect.void : Effect.fail(new Ending({ exitCode, note }))
}
