/**
 * Sessions that ended a short time ago, as they are listed among the live ones: for who manages sessions and looks a little
 * later. `EngineCore` tells it of every end; those from before its engine's start come from the store's list, once, when
 * somebody asks. It is a convenience: the history of a session does not end with it.
 */
import type { SessionId, SessionLimits } from "../../journal/Event.ts"
import type { SessionState } from "../../projections/SessionState.ts"
import type { LiveEntry } from "./Lifecycle.ts"

/** Of a session whose limits say nothing else. */
export const RETENTION_MILLIS = 5 * 60_000
/** Then the one that ended first goes, however young: as many as live ones by default. */
const SESSIONS_MAX = 1000

/** A session without those who are attached: they come and go. */
export type EndedEntry = Omit<LiveEntry, "clients">

export class RecentSessions {
  /** In the order of their end. */
  readonly #sessions = new Map<SessionId, { readonly entry: EndedEntry; readonly until: number }>()

  add(entry: EndedEntry, limits: SessionLimits): void {
    this.#sessions.delete(entry.id)
    this.#sessions.set(entry.id, { entry, until: endOf(entry, limits) })
    if (this.#sessions.size <= SESSIONS_MAX) return
    for (const oldest of this.#sessions.keys()) {
      this.#sessions.delete(oldest)
      break
    }
  }

  /** One that ended before those that are known already: it takes nobody's place. */
  addEarlier(entry: EndedEntry, limits: SessionLimits, nowMicros: number): void {
    const until = endOf(entry, limits)
    if (until <= nowMicros || this.#sessions.size >= SESSIONS_MAX || this.#sessions.has(entry.id)) return
    this.#sessions.set(entry.id, { entry, until })
  }

  /** It lives again. */
  delete(session: SessionId): void {
    this.#sessions.delete(session)
  }

  list(nowMicros: number): ReadonlyArray<EndedEntry> {
    for (const [session, { until }] of this.#sessions) if (until <= nowMicros) this.#sessions.delete(session)
    return Array.from(this.#sessions.values(), ({ entry }) => entry)
  }
}

type Listed = Pick<
  SessionState,
  | "id"
  | "name"
  | "group"
  | "kind"
  | "status"
  | "exitCode"
  | "signal"
  | "argv"
  | "size"
  | "pid"
  | "createdAt"
  | "endedAt"
  | "outputBytes"
  | "inputBytes"
  | "sequence"
>

/** Of the state of a live session, or of a row of the store's list. */
export const entryOf = (session: Listed, activeAt: number): EndedEntry => ({
  id: session.id,
  name: session.name,
  group: session.group,
  kind: session.kind,
  status: session.status,
  exitCode: session.exitCode,
  signal: session.signal,
  argv: session.argv,
  size: session.size,
  pid: session.pid,
  createdAt: session.createdAt,
  endedAt: session.endedAt,
  activeAt,
  outputBytes: session.outputBytes,
  inputBytes: session.inputBytes,
  sequence: session.sequence
})

const endOf = ({ activeAt, endedAt }: EndedEntry, { retentionMillis = RETENTION_MILLIS }: SessionLimits): number =>
  (endedAt ?? activeAt) + retentionMillis * 1000
