/**
 * What the Promise client tells of sessions: plain data. Times are microseconds since 1970; they are labels, order is the
 * sequence.
 */
import type { EndReason } from "./OutputChunk.ts"

export interface TerminalSize {
  readonly cols: number
  readonly rows: number
}

/** starting: no process yet. exited: the program ended. lost: how it ended is unknown. failed: it never started. */
export type SessionStatus = "starting" | "running" | "exited" | "lost" | "failed"

/** A session of the store, live or not. */
export interface SessionInfo {
  readonly id: string
  readonly name: string | null
  readonly kind: "terminal" | "exec"
  readonly status: SessionStatus
  /** What the kernel reported; null while it runs, when a signal ended it, and when it is not known. */
  readonly exitCode: number | null
  readonly signal: string | null
  /** A process of the session still holds its terminal. */
  readonly terminalOpen: boolean
  readonly argv: ReadonlyArray<string>
  readonly cwd: string
  readonly size: TerminalSize
  /** As the program set it; "" if it did not. */
  readonly title: string
  readonly owner: string
  readonly pid: number | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly lastEventAt: number
  readonly outputBytes: number
  readonly inputBytes: number
  /** Its last event. */
  readonly sequence: number
}

/** A session that lives, or ended a short while ago (its retention, 5 minutes by default). */
export interface LiveSession {
  readonly id: string
  readonly name: string | null
  readonly group: string | null
  readonly kind: "terminal" | "exec"
  readonly status: SessionStatus
  readonly exitCode: number | null
  readonly signal: string | null
  readonly argv: ReadonlyArray<string>
  readonly size: TerminalSize
  readonly pid: number | null
  /** Who is attached. */
  readonly clients: ReadonlyArray<{ readonly client: string; readonly readOnly: boolean }>
  readonly createdAt: number
  readonly endedAt: number | null
  /** Last input or output. */
  readonly activeAt: number
  readonly outputBytes: number
  readonly inputBytes: number
  readonly sequence: number
}

/** What the processes of a session use, read from the kernel when asked. */
export interface SessionUsage {
  readonly session: string
  readonly processes: number
  /** User and system time of the processes that live, since each began. */
  readonly cpuMicros: number
  /** Of one core, since the last time it was asked for this session (its start, the first time). */
  readonly cpuPercent: number
  readonly rssBytes: number
  readonly outputBytes: number
  readonly inputBytes: number
  readonly at: number
}

/** A change in the life of a session. */
export interface LifecycleEvent {
  /** The cursor of the feed: `lifecycle(position)` goes on behind it. Rises; not dense. */
  readonly position: number
  readonly session: string
  /** The event's own sequence in that session. */
  readonly sequence: number
  readonly timeMicros: number
  readonly actor: string
  /** SessionCreated, ProcessStarted, Resized, ClientAttached, LeaderExited, SessionClosed, SessionLost … (docs/journal-format.md). */
  readonly type: string
  /** The event's fields. */
  readonly event: Readonly<Record<string, unknown>>
}

/** How a session ended. */
export interface SessionExit {
  /** What the kernel reported; null when a signal ended the program, and when it is not known. Never invented. */
  readonly exitCode: number | null
  /** Such as SIGKILL; null when no signal ended it. */
  readonly signal: string | null
  readonly reason: EndReason
}

export interface EngineInfo {
  readonly enginePid: number
  readonly version: string
  readonly node: string
  readonly store: string
  readonly durability: "process" | "power"
  readonly startedAt: number
  readonly sessions: { readonly total: number; readonly live: number }
  /** null while the journal can be written; else why it cannot: sessions are paused, not ended. */
  readonly suspended: { readonly reason: string; readonly diskFull: boolean; readonly since: number } | null
}
