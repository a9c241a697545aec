/** The table that `reprise watch` draws: one line a session, for a window of a given size. Pure: entries in, text out. */
import type { LiveEntry, SessionUsage } from "../src/session/Lifecycle.ts"
import { commandOf } from "./Escape.ts"
import { describeStatus } from "./Outcome.ts"
import { formatSize } from "./Size.ts"
import { table } from "./Table.ts"

const HEAD = ["ID", "NAME", "STATUS", "CLIENTS", "SIZE", "CPU", "MEMORY", "OUTPUT", "ACTIVE", "COMMAND"]
/** The head of an id that tells when it was made: unique but for sessions of the same millisecond. */
const ID_LENGTH_MIN = 10
const UNITS = ["", "K", "M", "G", "T"]

export interface WatchedSession {
  readonly entry: LiveEntry
  /** undefined where nobody measures: without an engine, and of a session that has ended. */
  readonly usage: SessionUsage | undefined
}

export interface WatchFrame {
  readonly sessions: ReadonlyArray<WatchedSession>
  /** Microseconds since 1970. */
  readonly now: number
  /** Beside the count, such as that no engine runs. */
  readonly note: string
  readonly size: { readonly cols: number; readonly rows: number }
}

/** Of the sessions of a frame those that have a line in it: the newest live ones first, then those that ended. */
export const inOrder = (entries: ReadonlyArray<LiveEntry>): ReadonlyArray<LiveEntry> =>
  entries.toSorted(
    (one, other) =>
      Number(isOver(one)) - Number(isOver(other)) || other.createdAt - one.createdAt || (one.id < other.id ? 1 : -1)
  )

/** Lines that fit: the head of the table, the count above it, and one that says what was left out. */
export const linesForSessions = (rows: number): number => Math.max(0, rows - 3)

/** Lines without ends, no more than the window has rows, none wider than it. */
export const watchLines = ({ note, now, sessions, size }: WatchFrame): ReadonlyArray<string> => {
  const shown = sessions.slice(0, linesForSessions(size.rows))
  const length = idLength(sessions.map(({ entry }) => entry.id))
  const live = sessions.filter(({ entry }) => !isOver(entry)).length
  const count = `${live} live${live === sessions.length ? "" : `, ${sessions.length - live} ended`}`
  const title = [count, note, "q quits"].filter((part) => part !== "").join(" · ")
  const rest = sessions.length - shown.length
  return [
    cutTo(title, size.cols),
    ...table(
      HEAD,
      shown.map((session) => row(session, length, now)),
      size.cols
    )
      .trimEnd()
      .split("\n"),
    ...(rest > 0 ? [cutTo(`${rest} more`, size.cols)] : [])
  ].slice(0, size.rows)
}

/** Bytes with a unit of 1024, four or five characters. */
export const formatBytes = (bytes: number): string => {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)}${UNITS[unit]}`
}

/** How long ago, in one unit. */
export const formatAge = (micros: number): string => {
  const seconds = Math.max(0, Math.floor(micros / 1_000_000))
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

const isOver = ({ endedAt, status }: LiveEntry): boolean => endedAt !== null || status === "lost" || status === "failed"

const row = ({ entry, usage }: WatchedSession, length: number, now: number): ReadonlyArray<string> => [
  entry.id.slice(0, length),
  entry.name ?? "",
  describeStatus(entry),
  String(entry.clients.length),
  formatSize(entry.size),
  usage === undefined ? "-" : `${usage.cpuPercent.toFixed(usage.cpuPercent < 10 ? 1 : 0)}%`,
  usage === undefined ? "-" : formatBytes(usage.rssBytes),
  formatBytes(entry.outputBytes),
  formatAge(now - entry.activeAt),
  commandOf(entry)
]

/** As many characters as tell these ids apart; a command takes the beginning of an id for it. */
const idLength = (ids: ReadonlyArray<string>): number => {
  let length = ID_LENGTH_MIN
  while (length < 26 && new Set(ids.map((id) => id.slice(0, length))).size < ids.length) length += 1
  return length
}

const cutTo = (text: string, cols: number): string => (text.length > cols ? text.slice(0, cols) : text)
