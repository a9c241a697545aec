/**
 * The part of a host's contract that serves exec: FIFOs held beside a session's terminal, so that the streams of a command
 * outlive the engine as the terminal does. A pipe belongs to a session and has a number chosen by the engine. As for a
 * terminal: output is delivered in order by byte offset, kept until acknowledged, bounded, and delivered again on request;
 * input is applied once for each sequence. A host gives a pipe's bytes no meaning. One contract suite runs against the
 * keeper and the in-process host.
 */
import type { SessionId } from "../../journal/Event.ts"
import type { WriteResult } from "./WriteResult.ts"

/** Unacknowledged bytes of one pipe above which it is not read: its writer then waits, as for any full pipe. */
export const PIPE_HELD_BYTES_HIGH = 1024 * 1024
/** Below this it is read again. */
export const PIPE_HELD_BYTES_LOW = 256 * 1024
/** Bytes that wait for the reader of an input pipe: more is refused with `full`, never cut. */
export const PIPE_QUEUED_BYTES_MAX = 8 * 1024 * 1024
/** Pipes open at once in one session: two for each command that left a process behind, and a handful. */
export const SESSION_PIPES_MAX = 1024

/** A session's note: it is in the keeper's memory as long as the session, and its answer (base64) fits a frame. */
export const NOTE_BYTES_MAX = 1024 * 1024
/** The note that comes with a spawn: the frame has to hold arguments and environment too. */
export const SPAWN_NOTE_BYTES_MAX = 256 * 1024

/** The longest path of a pipe. */
export const PIPE_PATH_BYTES_MAX = 1024

export type PipeFailure =
  /** A number, path or direction that cannot be. */
  | "invalid-argument"
  /** SESSION_PIPES_MAX, or the descriptors of the host. */
  | "limit"
  /** The session holds no pipe of this number: it was never opened, or closed. */
  | "pipe-unknown"
  /** The system refused: the folder is not there, the path is taken. */
  | "failed"
  /** The keeper is of an older version, which has no pipes (HostCapabilities). */
  | "unsupported"
export class PipeError extends Error {
  readonly failure: PipeFailure
  constructor(failure: PipeFailure, message: string) {
    super(message)
    this.name = "PipeError"
    this.failure = failure
  }
}

export interface PipeRequest {
  /** Its number in the session, 1 or more; never used again in it. */
  readonly pipe: number
  /** Absolute path at which the host makes the FIFO (0600). Its folder exists and is private. At most 1024 bytes. */
  readonly path: string
  /**
   * output: programs write, the host reads. The pipe ends when the last program has closed it; before the first has opened
   * it, it waits.
   * input: the host writes, programs read. The host opens it for reading as well, so that it never gets EPIPE and a program
   * that opens it never waits; `endPipe` closes both, and the program reads the end of file after what was queued.
   */
  readonly direction: "output" | "input"
  /**
   * output: programs open it again and again, each time for a moment: the host holds a writing end of its own, and the pipe
   * ends only when it is closed. Default false.
   */
  readonly stays?: boolean | undefined
}

/** Everything a host knows of one pipe, enough for a new engine to go on. */
export interface HeldPipe {
  readonly pipe: number
  readonly direction: "output" | "input"
  readonly path: string
  /** output: first byte still held. */
  readonly heldFrom: number
  /** output: bytes read so far. */
  readonly bytes: number
  /** output: no program holds it any more and `bytes` is final. input: `endPipe` was applied. */
  readonly ended: boolean
  /** input: last sequence applied; 0 before the first. */
  readonly inputSequence: number
}

/** The kernel's view of who waits for what: is a process of the session blocked in reading the terminal? */
export interface InputWait {
  /**
   * text: a read of the terminal in line mode with echo. secret: the same without echo. raw: a program with the terminal in
   * raw mode waits in read, poll, select or epoll.
   */
  readonly kind: "text" | "secret" | "raw"
  readonly pid: number
  /** kernel: /proc/PID/syscall said so. heuristic: it cannot be read here (hardened container), so wchan and termios did. */
  readonly confidence: "kernel" | "heuristic"
}

export interface PipeListener {
  /** `bytes` is contiguous with the delivery before it, at most OUTPUT_CHUNK_BYTES_MAX. */
  pipeOutput(session: SessionId, pipe: number, offset: number, bytes: Uint8Array): void
  /** After the last output: no program holds it any more. */
  pipeEnded(session: SessionId, pipe: number, bytes: number): void
}

export interface PipeHost {
  /**
   * Makes and opens them; output is delivered at once, from offset 0. A pipe that is open already is left as it is. All
   * or none: rejects with PipeError and leaves nothing behind. Applied in the order of the calls, as are the others: a
   * `writePipe` right behind it needs no answer to this one.
   */
  openPipes(session: SessionId, pipes: ReadonlyArray<PipeRequest>): Promise<void>
  /** All pipes of the session that were not closed. */
  listPipes(session: SessionId): Promise<ReadonlyArray<HeldPipe>>
  /**
   * Delivers again from `fromOffset` (at least heldFrom), then on, and tells the end again. `attached` is called in the
   * moment it begins. An input pipe only answers. Rejects with PipeError `pipe-unknown`.
   */
  attachPipe(
    session: SessionId,
    pipe: number,
    fromOffset: number,
    attached?: (held: HeldPipe) => void
  ): Promise<HeldPipe>
  /** Everything before `offset` is durable: the host forgets it. Fire and forget. */
  ackPipe(session: SessionId, pipe: number, offset: number): void
  /**
   * Queues bytes for the readers of an input pipe, once for each sequence, in order. `full`: nothing was queued (a write
   * of more than INPUT_WRITE_BYTES_MAX never is). `closed`: no such pipe, none for input, or ended.
   */
  writePipe(session: SessionId, pipe: number, sequence: number, bytes: Uint8Array): Promise<WriteResult>
  /**
   * End of file after everything queued, once for each sequence. The pipe waits for a program that has not opened it
   * yet: it reads all that was queued, then the end. One that opens it after that waits for ever, as on any FIFO.
   */
  endPipe(session: SessionId, pipe: number, sequence: number): Promise<WriteResult>
  /** Closes and unlinks: writers get SIGPIPE, readers the end of file. Unknown numbers are ignored. Fire and forget. */
  closePipes(session: SessionId, pipes: ReadonlyArray<number>): void
  /**
   * Which process of the session waits for terminal input, or null. Some 100 microseconds for each descendant of the
   * leader. Others (their parent has ended, a daemon started them) are looked for only now and then: ask again.
   */
  inputWait(session: SessionId): Promise<InputWait | null>
  /**
   * A note of the engine to its successor, replaced as a whole, held in memory until the session is forgotten and never
   * looked at: what must outlive the engine and may not be stored. At most NOTE_BYTES_MAX, else it throws PipeError
   * `limit`. Fire and forget, in order with the other calls: what follows finds it done.
   */
  setNote(session: SessionId, bytes: Uint8Array): void
  /** null when there is none. */
  getNote(session: SessionId): Promise<Uint8Array | null>
  /** Puts the terminal's modes back to those it started with (a program may have left it raw or without echo). */
  resetMode(session: SessionId): Promise<void>
}
