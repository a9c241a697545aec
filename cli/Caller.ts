/**
 * Who called `reprise`, and from where: environment, folder, standard streams, terminal. The only file of the CLI that
 * touches `process`; commands ask for the service, tests give another one.
 */
import { readFileSync, write } from "node:fs"
import { isatty } from "node:tty"
import { Context, Data, Effect, Layer, Queue, type Scope, Stream } from "effect"
import type { TerminalSize } from "../journal/Event.ts"
import type { ErrorCode } from "../src/session/SessionError.ts"

/** Standard output cannot be written. Its reader went away: that is not worth a message. Else `failure` says what happened. */
export class OutputClosed extends Data.TaggedError("OutputClosed")<{
  readonly failure?: { readonly why: string; readonly code: ErrorCode }
}> {
  override get message() {
    const { failure } = this
    return failure === undefined ? "the reader of the output went away" : `cannot write standard output: ${failure.why}`
  }
}

/** As for a file: room comes back, and so may a disk. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"])

const outputClosed = ({ code = "", message }: NodeJS.ErrnoException): OutputClosed =>
  code === "EPIPE"
    ? new OutputClosed({})
    : new OutputClosed({ failure: { why: message, code: FULL.has(code) ? "ResourceExhausted" : "Unavailable" } })

export type CallerSignal = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT" | "SIGTSTP"

export interface CallerShape {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Both ends are a terminal: a person is there. */
  readonly isInteractive: boolean
  readonly inputIsTerminal: boolean
  readonly outputIsTerminal: boolean
  readonly errorIsTerminal: boolean
  /** undefined without a terminal. */
  readonly terminalSize: Effect.Effect<TerminalSize | undefined>
  /** The new size, each time the window changes. */
  readonly resizes: Stream.Stream<TerminalSize>
  /** Standard input in order; read no faster than it is consumed. Ends at end-of-file, or at once for a background job. */
  readonly input: Stream.Stream<Uint8Array>
  /** Everything, in order, or OutputClosed. Waits while the reader does not read; never drops. */
  write(data: Uint8Array | string): Effect.Effect<void, OutputClosed>
  /** Standard error; a closed one is nobody's problem. */
  writeError(data: Uint8Array | string): Effect.Effect<void>
  /** Raw mode until the scope closes, whichever way the process ends. `restore` is written then. */
  readonly rawMode: (restore: () => string) => Effect.Effect<void, never, Scope.Scope>
  /** Stops this process and its job, as ^Z does in a terminal, and succeeds when it was told to go on. */
  readonly suspend: Effect.Effect<void>
  /** These signals come to the queue until the scope closes, instead of ending the process. */
  signals(names: ReadonlyArray<CallerSignal>): Effect.Effect<Queue.Dequeue<CallerSignal>, never, Scope.Scope>
}

export class Caller extends Context.Service<Caller, CallerShape>()("reprise/cli/Caller") {
  static readonly layer: Layer.Layer<Caller> = Layer.sync(Caller, () => Caller.of(processCaller()))
}

/** A pipe that is full: how long until it is tried again, when the descriptor was left non-blocking by someone else. */
const WRITE_RETRY_MILLIS = 5
/** A reader that takes nothing is not waited for any longer than this when the write is given up. */
const WRITE_LEAVE_MILLIS = 100

/** Until a signal that was sent to oneself has been acted on. */
const SUSPEND_MILLIS = 50

/** One that was removed meanwhile has no name; what it had is refused by whoever would go there, and says which one it was. */
const currentFolder = (): string => {
  try {
    return process.cwd()
  } catch {
    return process.env.PWD || "/"
  }
}

const processCaller = (): CallerShape => {
  // Asked of the descriptors: the streams of `process` cost time to make, and most commands need none of them.
  const inputIsTerminal = isatty(0)
  const outputIsTerminal = isatty(1)
  const errorIsTerminal = isatty(2)
  const currentSize = (): TerminalSize | undefined =>
    outputIsTerminal && process.stdout.columns > 0 && process.stdout.rows > 0
      ? { cols: process.stdout.columns, rows: process.stdout.rows }
      : undefined
  return {
    env: definedOnly(process.env),
    cwd: currentFolder(),
    isInteractive: inputIsTerminal && outputIsTerminal,
    inputIsTerminal,
    outputIsTerminal,
    errorIsTerminal,
    terminalSize: Effect.sync(currentSize),
    resizes: Stream.callback<TerminalSize>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const onResize = () => {
              const size = currentSize()
              if (size !== undefined) Queue.offerUnsafe(queue, size)
            }
            process.stdout.on("resize", onResize)
            return onResize
          }),
          (onResize) => Effect.sync(() => process.stdout.off("resize", onResize))
        ),
      // Only the last size matters.
      { bufferSize: 1, strategy: "sliding" }
    ),
    input: Stream.suspend(() =>
      inputIsTerminal && isBackgroundJob()
        ? Stream.empty
        : Stream.fromAsyncIterable(standardInput(), () => new OutputClosed({})).pipe(
            // A terminal that hung up: there is no more input.
            Stream.catch(() => Stream.empty)
          )
    ),
    write: (data) => writeAll(1, toBytes(data)),
    writeError: (data) => Effect.ignore(writeAll(2, toBytes(data))),
    rawMode: (restore) =>
      Effect.acquireRelease(
        Effect.sync(() => enterRawMode(restore)),
        (leave) => Effect.sync(leave)
      ),
    suspend: Effect.gen(function* () {
      const listeners = process.listeners("SIGTSTP")
      process.removeAllListeners("SIGTSTP")
      process.kill(0, "SIGTSTP")
      // The kernel stops it within this; where there is nobody to let it go on, the kernel does not stop it at all.
      yield* Effect.sleep(SUSPEND_MILLIS)
      for (const listener of listeners) process.on("SIGTSTP", listener)
    }),
    signals: Effect.fnUntraced(function* (names) {
      const queue = yield* Queue.sliding<CallerSignal>(64)
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          names.map((name) => {
            const listener = () => Queue.offerUnsafe(queue, name)
            process.on(name, listener)
            return () => process.off(name, listener)
          })
        ),
        (removals) =>
          Effect.sync(() => {
            for (const remove of removals) remove()
          })
      )
      return queue
    })
  }
}

const definedOnly = (env: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined))

/** An iterator that leaves the stream alone when it is given up: the process may still want the terminal. */
async function* standardInput(): AsyncGenerator<Uint8Array> {
  for await (const chunk of process.stdin.iterator({ destroyOnReturn: false })) {
    yield typeof chunk === "string" ? Buffer.from(chunk) : chunk
  }
}

/** A job in the background is stopped by the kernel when it reads its terminal, so it must not. */
const isBackgroundJob = (): boolean => {
  try {
    const fields = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")
    return fields[2] !== fields[5]
  } catch {
    return false
  }
}

const toBytes = (data: Uint8Array | string): Uint8Array => (typeof data === "string" ? Buffer.from(data) : data)

/**
 * Not process.stdout: that one is synchronous on a pipe, so that a reader which pauses would stop signals and the
 * connection too. Given up in the middle, it first waits for the piece that the kernel has already, so that nothing
 * written later overtakes it.
 */
const writeAll = (fd: number, data: Uint8Array): Effect.Effect<void, OutputClosed> =>
  data.byteLength === 0
    ? Effect.void
    : Effect.callback((resume) => {
        let offset = 0
        let isWriting = false
        let whenWritten: (() => void) | undefined
        const next = () => {
          if (whenWritten !== undefined) return
          isWriting = true
          write(fd, data, offset, data.byteLength - offset, null, onWritten)
        }
        const onWritten = (error: NodeJS.ErrnoException | null, written: number) => {
          isWriting = false
          if (whenWritten !== undefined) return whenWritten()
          if (error?.code === "EAGAIN") return void setTimeout(next, WRITE_RETRY_MILLIS)
          if (error !== null) return resume(Effect.fail(outputClosed(error)))
          offset += written
          if (offset < data.byteLength) return next()
          resume(Effect.void)
        }
        next()
        return Effect.callback<void>((given) => {
          const timer = setTimeout(() => given(Effect.void), WRITE_LEAVE_MILLIS)
          whenWritten = () => {
            clearTimeout(timer)
            given(Effect.void)
          }
          if (!isWriting) whenWritten()
        })
      })

/** Node's raw mode leaves output processing on, which adds a carriage return to the line feeds that programs move with. */
const enterRawMode = (restore: () => string): (() => void) => {
  process.stdin.setRawMode(true)
  const { spawnSync } = process.getBuiltinModule("node:child_process")
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] })
  let left = false
  const leave = () => {
    if (left) return
    left = true
    process.off("exit", leave)
    process.stdin.setRawMode(false)
    process.stdin.pause()
    const text = restore()
    if (text !== "") process.stdout.write(text)
  }
  // The last resort, for a crash; signals and ordinary ends close the scope.
  process.on("exit", leave)
  return leave
}
