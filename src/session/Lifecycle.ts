/**
 * What happens to all sessions of a store, as one feed, and what they use right now. `reprise watch` shows it; programs
 * that manage sessions subscribe to it. It changes nothing.
 */
import { Context, type Effect, Schema, type Stream } from "effect"
import { type EventTag, SessionEvent, SessionId, TerminalSize } from "../../journal/Event.ts"
import type { SessionEnded, SessionNotFound, SessionUnavailable } from "./SessionError.ts"
import { SessionStatus } from "./SessionView.ts"

/** Events of a session that are no change in its life: input, output, what a shell tells of itself and of its commands. */
const OTHER_EVENTS: ReadonlySet<EventTag> = new Set<EventTag>([
  "OutputReceived",
  "InputWritten",
  "InputHidden",
  "InputClosed",
  "CwdChanged",
  "CommandStarted",
  "CommandInputWritten",
  "CommandFinished",
  "ShellStateChanged",
  "Unknown"
])
export const isLifecycle = ({ _tag }: SessionEvent): boolean => !OTHER_EVENTS.has(_tag)

/** A change in the life of a session. Those of the store itself (its engine's starts and stops) are none. */
export const LifecycleEvent = Schema.TaggedStruct("Event", {
  /** Place in the feed: rises, is never given twice, and is the cursor to go on after. Not dense. */
  position: Schema.Int,
  session: SessionId,
  /** The event's own sequence in that session. */
  sequence: Schema.Int,
  timeMicros: Schema.Finite,
  actor: Schema.String,
  event: SessionEvent
})
export type LifecycleEvent = typeof LifecycleEvent.Type
/** What follows is live. Once. */
const LifecycleSynced = Schema.TaggedStruct("Synced", { position: Schema.Int })
export const LifecycleItem = Schema.Union([LifecycleEvent, LifecycleSynced]).pipe(Schema.toTaggedUnion("_tag"))
export type LifecycleItem = typeof LifecycleItem.Type

/** A session that lives, or ended no longer ago than its retention (SessionLimits.retentionMillis, else 5 minutes). */
export const LiveEntry = Schema.Struct({
  id: SessionId,
  name: Schema.NullOr(Schema.String),
  group: Schema.NullOr(Schema.String),
  kind: Schema.Literals(["terminal", "exec"]),
  status: SessionStatus,
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  argv: Schema.Array(Schema.String),
  size: TerminalSize,
  pid: Schema.NullOr(Schema.Int),
  /** Names of the clients attached; `readOnly` among them only look. */
  clients: Schema.Array(Schema.Struct({ client: Schema.String, readOnly: Schema.Boolean })),
  /** Times are microseconds since 1970. */
  createdAt: Schema.Finite,
  endedAt: Schema.NullOr(Schema.Finite),
  /** Last input or output. */
  activeAt: Schema.Finite,
  outputBytes: Schema.Int,
  inputBytes: Schema.Int,
  sequence: Schema.Int
})
export type LiveEntry = typeof LiveEntry.Type

/** Read from the kernel when asked; the sum over the processes of the session that live at that moment. */
export const SessionUsage = Schema.Struct({
  session: SessionId,
  processes: Schema.Int,
  /** User and system time of those processes since each began, and of the children they have waited for. */
  cpuMicros: Schema.Finite,
  /** Of one core, since the last time it was asked for this session (since its start, the first time); of the same moment when asked again within 250 ms. */
  cpuPercent: Schema.Finite,
  rssBytes: Schema.Finite,
  outputBytes: Schema.Int,
  inputBytes: Schema.Int,
  at: Schema.Finite
})
export type SessionUsage = typeof SessionUsage.Type

export interface LifecycleShape {
  /**
   * Everything after `after` (exclusive; 0 is the beginning), then Synced, then live, gap-free and without duplicates, in
   * the order in which it became durable. Absent: only what comes. Positions go on after a restart of the engine. A slow
   * subscriber delays nobody. An event that is damaged comes as GapDetected in its place. The feed of a store that an
   * older version made begins with what this one adds.
   */
  feed(after?: number): Stream.Stream<LifecycleItem, SessionUnavailable>
  /** Newest first. */
  readonly live: Effect.Effect<ReadonlyArray<LiveEntry>, SessionUnavailable>
  usage(session: SessionId): Effect.Effect<SessionUsage, SessionNotFound | SessionEnded | SessionUnavailable>
}

export class Lifecycle extends Context.Service<Lifecycle, LifecycleShape>()("reprise/session/Lifecycle") {}
