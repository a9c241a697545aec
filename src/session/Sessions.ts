/**
 * Live sessions: what can be done to them. Every command is journaled before it acts, so that an engine killed at any
 * instruction loses nothing and repeats nothing. Reading is `History`. This file is the promise; `SessionEngine.ts`
 * keeps it.
 */
import { Context, type Effect } from "effect"
import type { SessionId, SessionLimits, SignalTarget, TerminalSize } from "../../journal/Event.ts"
import type { CaptureRequest } from "../capture/CaptureRequest.ts"
import type { EngineLimits } from "./EngineLimits.ts"
import type {
  AccessDenied,
  InputRefused,
  InvalidRequest,
  LimitExceeded,
  SessionEnded,
  SessionNotFound,
  SessionUnavailable,
  SpawnFailed
} from "./SessionError.ts"
import type { SessionView } from "./SessionView.ts"

export interface CreateSession {
  /** Chosen by the caller (a ULID): creating the same id again gives the session that is there, so a retry is safe. */
  readonly id?: SessionId | undefined
  readonly argv: ReadonlyArray<string>
  /** Absolute; the engine's own working directory if absent. */
  readonly cwd?: string | undefined
  /** The whole environment of the program. The engine adds TERM and REPRISE_SESSION. Absent: PATH, HOME, USER, LOGNAME, SHELL, LANG and TMPDIR of the engine. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** `env` comes on top of what it would be if it were absent. */
  readonly inheritEnv?: boolean | undefined
  /** Default 80x24. 1 to 1000 each. */
  readonly size?: TerminalSize | undefined
  /** Default xterm-256color. */
  readonly term?: string | undefined
  /** At most 128 printable characters, not an id, not `last`; need not be unique: the newest wins. */
  readonly name?: string | undefined
  /** Sessions of a group are counted together (EngineLimits.sessionsPerGroup). 1 to 128 printable characters; absent: only in all. */
  readonly group?: string | undefined
  /** Absent: none. The session is kept until its program ends. */
  readonly limits?: SessionLimits | undefined
  /** What is replaced before anything is journaled, beside what the store's own rules are. */
  readonly redact?: CaptureRequest | undefined
  readonly actor?: string | undefined
}

/** Who asks and, for a safe retry, which request this is (at most 64 printable ASCII characters). */
export interface CommandOptions {
  readonly actor?: string | undefined
  readonly commandId?: string | undefined
  /** The client that asks, when it is attached (AttachOptions.client): what it attached as decides what it may do. */
  readonly client?: string | undefined
  /** Set by a door for those who give no client name: tells their connections apart. */
  readonly connection?: number | undefined
}

export interface WriteAck {
  /** Sequence of the journaled event; 0 for an empty write, which is a no-op. */
  readonly sequence: number
  /** The terminal was reading a secret: its bytes were not journaled. */
  readonly hidden: boolean
  /** A line longer than the kernel keeps was sent to a terminal in line mode: it is cut to this many bytes there. */
  readonly truncatedTo: number | null
}

export interface CloseReport {
  /** Processes of the session that lived on after HUP, TERM and KILL. */
  readonly survivors: ReadonlyArray<{ readonly pid: number; readonly command: string }>
}

export interface KeeperView {
  readonly id: string
  readonly pid: number
  readonly sessions: ReadonlyArray<string>
}

export interface EngineStatus {
  readonly enginePid: number
  readonly version: string
  readonly node: string
  readonly store: string
  readonly socket: string
  readonly durability: "process" | "power"
  readonly startedAt: number
  /** What this engine allows: its own defaults, changed by the store's `config.json`. Absent for one of an early release. */
  readonly limits?: EngineLimits
  readonly keepers: ReadonlyArray<KeeperView>
  readonly sessions: { readonly total: number; readonly live: number }
  /** null while the journal can be written; else why it cannot (sessions are paused, not ended). */
  readonly suspended: { readonly reason: string; readonly diskFull: boolean; readonly since: number } | null
  /** What was found damaged when the store was opened. */
  readonly damages: ReadonlyArray<{
    readonly stream: string
    readonly from: number
    readonly to: number | null
    readonly reason: string
  }>
}

/** Why a session cannot be acted on. */
export type ControlError = SessionNotFound | SessionEnded | AccessDenied | SessionUnavailable

export interface SessionsShape {
  /** Checks program, cwd, size and arguments before anything is journaled or forked. */
  create(
    request: CreateSession
  ): Effect.Effect<SessionView, SpawnFailed | InvalidRequest | LimitExceeded | SessionUnavailable>
  /**
   * Journals the bytes, then types them. Bytes typed at a prompt without echo are not journaled (InputHidden) and are
   * acknowledged only when the terminal has them. A whole write is accepted or refused; nothing is cut.
   */
  write(
    session: SessionId,
    data: Uint8Array,
    options?: CommandOptions
  ): Effect.Effect<WriteAck, ControlError | InputRefused | InvalidRequest | LimitExceeded>
  /** Types end-of-file after everything written before. A second time is a no-op. */
  closeInput(
    session: SessionId,
    options?: CommandOptions
  ): Effect.Effect<void, ControlError | InputRefused | InvalidRequest | LimitExceeded>
  /**
   * Whole numbers; larger than 1000 is clamped, anything below 1 or not a whole number refused. Changes that come within
   * EngineLimits.resizeDebounceMillis of each other are one: the last. Answers when this or a later one was applied: the size then.
   */
  resize(
    session: SessionId,
    size: { readonly cols: number; readonly rows: number },
    options?: CommandOptions
  ): Effect.Effect<TerminalSize, ControlError | InvalidRequest>
  /** `signal` with or without SIG. `foreground`: the terminal's foreground process group; `session`: every process of it. */
  signal(
    session: SessionId,
    signal: string,
    target: SignalTarget,
    options?: CommandOptions
  ): Effect.Effect<void, ControlError | InvalidRequest>
  /** HUP, TERM, KILL to every process of the session, within 5 s; ending an ended session is a no-op. */
  close(
    session: SessionId,
    options?: CommandOptions & { readonly graceMillis?: number | undefined }
  ): Effect.Effect<CloseReport, SessionNotFound | AccessDenied | InvalidRequest | SessionUnavailable>
  readonly status: Effect.Effect<EngineStatus>
}

export class Sessions extends Context.Service<Sessions, SessionsShape>()("reprise/session/Sessions") {}
