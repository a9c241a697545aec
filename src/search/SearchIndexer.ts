/**
 * Keeps the search index of a running engine up to date: sessions that have ended, and of those that live what fills a
 * segment. It works behind everything else: told of sessions and not asked, in a thread of the lowest priority, a page of the
 * journal at a time with pauses. It is never needed: a search goes through what is not indexed itself.
 */
import { Cause, Clock, Effect } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { JournalShape } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import { streamBytes } from "../../journal/Keys.ts"
import { SCREEN_SNAPSHOT_BYTES } from "../../projections/ScreenDrawing.ts"
import type { HistoryShape } from "../session/History.ts"
import type { SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"
import {
  makeSearchThreads,
  type SearchDefeated,
  type SearchThreadLost,
  type SearchThreadOptions
} from "./SearchThread.ts"
import { indexedTo, passBehind, readIndexes } from "./SessionSearch.ts"

/** Between two rounds: many sessions that end are one piece of work, and an engine that starts has others to do first. */
const ROUND_INTERVAL = "20 seconds"
/** A session with less output than SCREEN_SNAPSHOT_BYTES is read in no time: many of them are indexed at once, so many rounds later. */
const LATER_ROUNDS = 30
/** Output of a session that lives until it is looked at: it fills a segment, mostly. */
const LIVE_BYTES = 8 * 1024 * 1024
const LIVE_CALLS = Math.ceil(LIVE_BYTES / SCREEN_SNAPSHOT_BYTES)
/** Of each page's time as a pause: the engine's own thread reads the journal for at most a fifth of the time. */
const PAUSE_SHARE = 4
/** A thread of the lowest priority waits for others. */
const DEADLINE_MILLIS = 30_000
const IDLE_MILLIS = 5000
/** Sessions that wait; more than an engine has at a time. What is forgotten is found at the next start. */
const WAITING_MAX = 4096

export interface SearchIndexer {
  /** SCREEN_SNAPSHOT_BYTES more were journaled. Costs nothing here. */
  readonly printed: (session: SessionId) => void
  readonly ended: (session: SessionId) => void
  /** Works until it is interrupted. */
  readonly run: Effect.Effect<void>
  /** Brings the index of these up to date, as `run` does when their time has come. */
  readonly index: (
    sessions: ReadonlyArray<SessionId>
  ) => Effect.Effect<
    void,
    SessionNotFound | SessionUnavailable | StorageUnavailable | SearchDefeated | SearchThreadLost
  >
}

export const makeSearchIndexer = (options: {
  readonly journal: JournalShape
  readonly history: HistoryShape
  readonly workerUrl: SearchThreadOptions["workerUrl"]
}): SearchIndexer => {
  const { history, journal, workerUrl } = options
  const calls = new Map<SessionId, number>()
  const due = new Set<SessionId>()
  const later = new Set<SessionId>()
  let rounds = 0
  const wait = (session: SessionId, isLong: boolean) => {
    const waiting = isLong ? due : later
    if (waiting.size < WAITING_MAX) waiting.add(session)
  }

  /** As long as the last page took, several times over. */
  const pacing = Effect.map(Clock.Clock, (clock) => {
    const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    let began = now()
    return Effect.suspend(() => {
      const spent = now() - began
      return Effect.andThen(
        Effect.sleep(Math.min(spent * PAUSE_SHARE, 1000)),
        Effect.sync(() => {
          began = now()
        })
      )
    })
  })

  const indexAll = (sessions: ReadonlyArray<SessionId>) =>
    Effect.scoped(
      Effect.gen(function* () {
        const threads = yield* makeSearchThreads({
          workerUrl,
          threadsMax: 1,
          deadlineMillis: DEADLINE_MILLIS,
          idleMillis: IDLE_MILLIS,
          isBackground: true
        })
        const thread = yield* threads.borrow
        yield* thread.ask({ _tag: "Query", query: null }, "Ready")
        for (const session of sessions) {
          const view = yield* history.get(session)
          const index = (yield* readIndexes(journal, session)).get(streamBytes(session).toString("hex")) ?? []
          if (view.sequence <= indexedTo(index)) continue
          const cut = !view.terminalOpen && view.endedAt !== null
          yield* passBehind(journal, thread, session, { index, until: view.sequence, cut, pause: yield* pacing })
        }
      })
    )

  const round = Effect.suspend(() => {
    const isLater = ++rounds % LATER_ROUNDS === 0
    const sessions = isLater ? [...due, ...later] : [...due]
    due.clear()
    if (isLater) later.clear()
    return sessions.length === 0 ? Effect.void : indexAll(sessions)
  }).pipe(Effect.catchCause((cause) => (Cause.hasInterrupts(cause) ? Effect.failCause(cause) : logged(cause))))

  /** What engines before this one left undone. */
  const missed = Effect.gen(function* () {
    const indexes = yield* readIndexes(journal)
    for (const view of yield* history.list) {
      const index = indexes.get(streamBytes(view.id).toString("hex")) ?? []
      // A hold that is placed and released has no text.
      const isOver = !view.terminalOpen && view.endedAt !== null
      if (isOver && index.length === 0) wait(view.id as SessionId, view.outputBytes >= SCREEN_SNAPSHOT_BYTES)
      else if (!isOver && view.outputBytes >= LIVE_BYTES) wait(view.id as SessionId, true)
    }
  }).pipe(Effect.catchCause(logged))

  return {
    index: indexAll,
    printed: (session) => {
      const count = (calls.get(session) ?? 0) + 1
      calls.set(session, count)
      if (count % LIVE_CALLS === 0) wait(session, true)
    },
    ended: (session) => {
      wait(session, calls.has(session))
      calls.delete(session)
    },
    run: Effect.sleep(ROUND_INTERVAL).pipe(
      Effect.andThen(missed),
      Effect.andThen(Effect.forever(Effect.andThen(round, Effect.sleep(ROUND_INTERVAL)))),
      Effect.ignore
    ) as Effect.Effect<void>
  }
}

const logged = (cause: Cause.Cause<unknown>) => Effect.logWarning("search index: tried again later", cause)
