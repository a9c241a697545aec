/**
 * The contract of whatever owns live terminals: the keeper process (through `KeeperClient`) or the in-process host.
 * One contract suite runs against both. A host holds ptys and their unacknowledged bytes; it has no journal, no policy
 * and no idea what a session means. Plain callbacks and promises: this is the hot path, an Effect per chunk costs more
 * than the chunk. Nothing here is an event of the journal; `src/session` turns it into events.
 *
 * The promises, each a test of the contract suite:
 *  - output is delivered in order, by byte offset, and kept until it is acknowledged, also after the program ended and
 *    while nobody is connected; above OUTPUT_HELD_BYTES_HIGH unacknowledged bytes the terminal is paused, below
 *    OUTPUT_HELD_BYTES_LOW it goes on. Every byte comes before `terminalClosed`.
 *  - input is applied once for each sequence, in order; a sequence that is not above the last one applied is a no-op.
 *  - input never reaches any fd but its session's terminal, also when the program dies while input waits.
 *  - `exitCode` and `signal` are what the kernel reported.
 */
import type { SessionId, SignalTarget, TerminalSize } from "../../journal/Event.ts"
import type { PipeHost, PipeListener, PipeRequest } from "./PipeHost.ts"
import type { WriteResult } from "./WriteResult.ts"

/** Unacknowledged output of one session above which its terminal is paused: bounds memory whatever program and engine do. */
export const OUTPUT_HELD_BYTES_HIGH = 1024 * 1024
/** Below this it goes on. A quarter, so that a slow reader causes few pauses. */
export const OUTPUT_HELD_BYTES_LOW = 256 * 1024
/** Input that waits because the program does not read: more is refused with `full`, never cut. */
export const INPUT_QUEUED_BYTES_MAX = 8 * 1024 * 1024
/** One write: more is refused with `full`, so that it fits a frame. A journal record holds far less. */
export const INPUT_WRITE_BYTES_MAX = 1024 * 1024
/** One delivery: the largest output chunk, so that a journal record (64 KiB with its header) holds one. */
export const OUTPUT_CHUNK_BYTES_MAX = 63 * 1024
/** The kernel cuts a longer line in line mode to this many bytes, without a word. */
export const CANONICAL_LINE_BYTES_MAX = 4095
/** `close` with no grace of its own; also the most that it takes. */
export const CLOSE_GRACE_MILLIS_MAX = 5000

export interface SpawnRequest {
  readonly session: SessionId
  /** Program and arguments; the program is looked up in env.PATH when it holds no slash. */
  readonly argv: ReadonlyArray<string>
  readonly cwd: string
  /** The whole environment of the program: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly size: TerminalSize
  /** TERM */
  readonly term: string
  /** Made and opened before the fork, so that the program can open them at once. A failure of theirs is a SpawnError. */
  readonly pipes?: ReadonlyArray<PipeRequest> | undefined
  /** The session's note (PipeHost), at most SPAWN_NOTE_BYTES_MAX: nobody sees the program without it. */
  readonly note?: Uint8Array | undefined
  /** Takes the place of the session's program when that has ended: its terminal goes, its pipes stay. Default false. */
  readonly replace?: boolean | undefined
  /** Offset of the first byte of output: a program that takes another's place goes on in its count. Default 0. */
  readonly firstOffset?: number | undefined
  /** Inputs up to this sequence are regarded as applied. Default 0. */
  readonly inputSequence?: number | undefined
}

/** Why a spawn did not happen. Found before the fork wherever the kernel allows it. */
export type SpawnFailure =
  | "program-missing"
  | "program-not-executable"
  | "cwd-missing"
  | "invalid-argument"
  | "limit"
  | "session-exists"
  | "failed"
export class SpawnError extends Error {
  readonly failure: SpawnFailure
  constructor(failure: SpawnFailure, message: string) {
    super(message)
    this.name = "SpawnError"
    this.failure = failure
  }
}

/** The host is gone or the connection to it broke. What was not answered may or may not have happened. */
export class HostUnavailable extends Error {
  override readonly name = "HostUnavailable"
  /** Asking again is of no use: nobody listens there any more, or it does not serve this engine. */
  readonly isFinal: boolean
  constructor(message: string, options: { readonly isFinal?: boolean } = {}) {
    super(message)
    this.isFinal = options.isFinal ?? false
  }
}
/** The host does not hold this session (it never did, or it was forgotten). */
export class SessionUnknown extends Error {
  override readonly name = "SessionUnknown"
}

export interface ProcessIdentity {
  readonly pid: number
  /** Field 22 of /proc/PID/stat; "" where there is no /proc. */
  readonly startTime: string
}

export interface LeaderExit {
  /** null when a signal ended it. */
  readonly exitCode: number | null
  /** Name such as SIGKILL, or null. */
  readonly signal: string | null
  /** Microseconds since 1970 at which the host saw it. */
  readonly timeMicros: number
}

/** Everything a host knows of one session, enough for a new engine to go on where the old one stopped. */
export interface HeldSession extends ProcessIdentity {
  readonly session: SessionId
  /** First byte still held: everything before it was acknowledged. */
  readonly heldFrom: number
  /** Bytes read from the terminal so far. */
  readonly outputBytes: number
  /** Last input sequence applied; 0 before the first. */
  readonly inputSequence: number
  readonly size: TerminalSize
  readonly leaderExit: LeaderExit | null
  /** The terminal is closed: outputBytes is final. */
  readonly terminalClosed: boolean
}

/** The kernel's view of the terminal, asked and not guessed. */
export interface TerminalMode {
  readonly echo: boolean
  readonly canonical: boolean
  /** A secret is being typed: line mode without echo, or a password prompt in raw mode. */
  readonly secret: boolean
  /** The terminal's foreground process group; 0 when there is none. */
  readonly foregroundGroup: number
  /** Input accepted and not yet taken by the terminal: with it, a write that would not fit is refused before it is journaled. */
  readonly queuedBytes: number
}

export interface SurvivingProcess {
  readonly pid: number
  readonly command: string
}

export interface PtyHostListener extends PipeListener {
  /** `bytes` is valid during the call; at most OUTPUT_CHUNK_BYTES_MAX, contiguous with the delivery before it. */
  output(session: SessionId, offset: number, bytes: Uint8Array): void
  /** The program ended; output may still follow (a child of it holds the terminal). */
  leaderExited(session: SessionId, exit: LeaderExit): void
  /** After the last output. `outputBytes` is the final number of bytes. */
  terminalClosed(session: SessionId, outputBytes: number): void
  /** Nothing is delivered after this; a new connection (KeeperClient) or a restart is needed. */
  disconnected(reason: string): void
}

/** What a host can do. A keeper that an older version started lacks what that version did not know. */
export interface HostCapabilities {
  /** It is of this version: new programs are given to it. An older one only keeps those that it has. */
  readonly takesSessions: boolean
  /**
   * `openPipes`, `attachPipe`, `writePipe`, `endPipe`, `resetMode` and other programs in the place of ended ones. Without
   * it they are refused with PipeError `unsupported`, no pipe is held, and nobody is known to wait for input.
   */
  readonly pipes: boolean
  /** `setNote` and `getNote`. Without it nothing is noted, and there is never a note. */
  readonly notes: boolean
}

export interface PtyHost extends PipeHost {
  /** Names this host among its engine's: a ULID for a keeper, "" in process. */
  readonly id: string
  readonly capabilities: HostCapabilities
  readonly pid: number
  /** Sessions it takes; more are refused with the failure `limit`. */
  readonly sessionsMax: number
  /**
   * Rejects with SpawnError or HostUnavailable. Delivery starts at once, from `firstOffset`. Refused by a host that is
   * not of this version (`takesSessions`).
   */
  spawn(request: SpawnRequest): Promise<ProcessIdentity>
  /** All sessions held, live or ended and not yet forgotten. */
  list(): Promise<ReadonlyArray<HeldSession>>
  /**
   * Starts (or restarts) delivery from `fromOffset`, then repeats leaderExited and terminalClosed if they happened.
   * Bytes before `heldFrom` are gone: the answer says from where delivery really starts. `attached` is called before
   * the first delivery of this attach and after the last one of any before it: a promise is too late to tell them apart.
   */
  attach(session: SessionId, fromOffset: number, attached?: (held: HeldSession) => void): Promise<HeldSession>
  /** Everything before `offset` is durable: the host forgets it. Fire and forget. */
  ack(session: SessionId, offset: number): void
  /** `sequence` is the journal sequence of the input event. */
  write(session: SessionId, sequence: number, bytes: Uint8Array): Promise<WriteResult>
  /** Asks the kernel; at most ~60 ms when a password prompt was printed but the echo is still on (it may be about to change). */
  mode(session: SessionId): Promise<TerminalMode>
  /** Types end-of-file (VEOF; twice after an unfinished line) after all queued input; once for each sequence. */
  closeInput(session: SessionId, sequence: number): Promise<WriteResult>
  /** Applied to the kernel; the last one wins. */
  resize(session: SessionId, size: TerminalSize): Promise<void>
  /** True when at least one process got it. A pid is signalled only if its start time still matches. */
  signal(session: SessionId, signal: NodeJS.Signals, target: SignalTarget): Promise<boolean>
  /**
   * Ends every process of the session: HUP, then TERM, then KILL, within `graceMillis` (at most 5 s in all). Answers
   * with those that live on, once the leader's own exit is known. leaderExited and terminalClosed come through the
   * listener as ever.
   */
  close(session: SessionId, graceMillis?: number): Promise<ReadonlyArray<SurvivingProcess>>
  /** The session is closed and journaled: drop what is held of it, its pipes too. */
  forget(session: SessionId): void
  /** Ends the connection (KeeperClient: the keeper and its sessions go on) or, in process, every session. */
  dispose(): Promise<void>
}
