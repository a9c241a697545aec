/** `Lifecycle` of a running engine: its sessions as it holds them in memory, what their processes use, and the feed. */
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { JournalShape, Row } from "../../journal/Journal.ts"
import { INDEX_SPACE, readIndexRow } from "../../projections/SessionIndex.ts"
import { ProcessUsage } from "../keeper/ProcessUsage.ts"
import { engineCall } from "./EngineCall.ts"
import type { EngineCore } from "./EngineCore.ts"
import type { LifecycleShape, LiveEntry, SessionUsage } from "./Lifecycle.ts"
import { entryOf } from "./RecentSessions.ts"
import { SessionEnded, SessionUnavailable } from "./SessionError.ts"

export interface LifecycleEngineOptions {
  readonly engine: EngineCore
  readonly journal: JournalShape
  readonly nowMicros: () => number
}

export const makeLifecycle = ({ engine, journal, nowMicros }: LifecycleEngineOptions): LifecycleShape => {
  const call = engineCall("Lifecycle")
  const measure = usageOf(engine, nowMicros)
  const earlier = withEarlier(engine, journal, nowMicros)
  return {
    feed: (after) => engine.feed.follow(after),
    live: Effect.map(earlier, () => {
      const entries: Array<LiveEntry> = []
      const add = (entry: Omit<LiveEntry, "clients">) =>
        entries.push({ ...entry, clients: engine.clients.list(entry.id) })
      // A size that was asked for is told at once, also while it waits for the one before to be drawn.
      for (const { activeAt, size, state } of engine.liveSessions) {
        if (state.sequence > 0) add({ ...entryOf(state, activeAt), size })
      }
      for (const entry of engine.recent.list(nowMicros())) add(entry)
      return entries.sort((one, other) => other.createdAt - one.createdAt || (other.id < one.id ? -1 : 1))
    }),
    usage: (session) => call("usage", () => measure(session))
  }
}

/** Those that ended before this engine's start: searched when somebody asks for the first time. */
const withEarlier = (engine: EngineCore, journal: JournalShape, nowMicros: () => number) => {
  let isKnown = false
  const add = (rows: ReadonlyArray<Row>): void => {
    for (const row of rows) {
      const summary = readIndexRow(row)
      if (summary === undefined || summary.endedAt === null || engine.liveSession(summary.id) !== undefined) continue
      engine.recent.addEarlier(entryOf(summary, summary.lastEventAt), summary.limits, nowMicros())
    }
    isKnown = true
  }
  return Effect.suspend(() =>
    isKnown
      ? Effect.void
      : journal.rows(INDEX_SPACE).pipe(
          Stream.runCollect,
          Effect.flatMap((rows) => Effect.sync(() => add(rows))),
          Effect.mapError((error) => new SessionUnavailable({ session: "", reason: error.message }))
        )
  )
}

/** What was measured when it was asked for last: a share of the CPU is a share of the time between. */
interface Measured {
  readonly atMillis: number
  readonly cpuMicros: number
  readonly cpuPercent: number
}

const usageOf = (engine: EngineCore, nowMicros: () => number) => {
  const processes = new ProcessUsage()
  const measured = new Map<SessionId, Measured>()
  return async (session: SessionId): Promise<SessionUsage> => {
    const live = engine.liveSession(session)
    if (live === undefined) {
      measured.delete(session)
      throw new SessionEnded({ session, status: (await engine.view(session)).status })
    }
    const { pid, startTime } = live.state
    const leader = { pid: pid ?? 0, startTime: startTime ?? "" }
    const used = pid === null ? NOTHING : await processes.of({ leader, marker: session })
    if (used === undefined)
      throw new SessionUnavailable({ session, reason: "this system does not tell what processes use" })
    const { atMillis, cpuMicros, rssBytes } = used
    const at = nowMicros()
    const { inputBytes, outputBytes, startedAt } = live.state
    const before = measured.get(session)
    const millis = before === undefined ? (at - (startedAt ?? at)) / 1000 : atMillis - before.atMillis
    // Asked twice of one look at the processes, it is the same moment.
    const cpuPercent =
      millis > 0 ? Math.max(0, cpuMicros - (before?.cpuMicros ?? 0)) / millis / 10 : (before?.cpuPercent ?? 0)
    measured.set(session, { atMillis, cpuMicros, cpuPercent })
    if (measured.size > engine.liveCount) {
      for (const known of measured.keys()) if (engine.liveSession(known) === undefined) measured.delete(known)
    }
    return { session, processes: used.processes, cpuMicros, cpuPercent, rssBytes, outputBytes, inputBytes, at }
  }
}

const NOTHING = { processes: 0, cpuMicros: 0, rssBytes: 0, atMillis: 0 }
