/**
 * `Retention` over a journal: finds what the rules say, keeps the states that go on behind it (BaseState.ts), and removes
 * it, one session at a time, page by page, so that whatever else the process does goes on beside it. A running engine
 * applies the store's own rules at its start and every hour; without an engine only sessions that have ended are touched.
 */
import { Clock, Duration, Effect, Semaphore } from "effect"
import { ACTOR_ENGINE, type JournalEntry, type SessionEvent, type SessionId } from "../../journal/Event.ts"
import { folderBytes } from "../../journal/FolderBytes.ts"
import { Journal, type JournalShape, type Row } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import { isKeptAsTold } from "../../journal/KeptRows.ts"
import { allBases, rowsBehind, summaryBases } from "../../projections/BaseState.ts"
import { Commands } from "../../projections/Commands.ts"
import { keptRows } from "../../projections/DerivedRows.ts"
import { SUMMARY_PROJECTIONS, sequenceAt, stateAt, summaryOf } from "../../projections/ProjectionRunner.ts"
import { ScreenService, type ScreenServiceShape } from "../../projections/ScreenService.ts"
import { deleteSearchIndex } from "../../projections/SearchIndex.ts"
import { indexRow, isKeyDestroyed, isRemoved, summarize } from "../../projections/SessionIndex.ts"
import { SessionState } from "../../projections/SessionState.ts"
import type { Sealer } from "../evidence/Sealer.ts"
import { actorOf } from "../session/Actor.ts"
import type { Feed } from "../session/Feed.ts"
import type { HistoryShape } from "../session/History.ts"
import {
  checkPolicy,
  hasRules,
  inWords,
  KEEP_EVERYTHING,
  type RetentionPolicy,
  type SessionRules,
  type StoreRules
} from "../session/RetentionPolicy.ts"
import { InvalidRequest, SessionUnavailable } from "../session/SessionError.ts"
import type { SessionView } from "../session/SessionView.ts"
import { tellAdministered } from "../session/StoreStream.ts"
import type { PruneItem, PruneReport, PruneRequest, RetentionShape } from "./Retention.ts"
import { toldStates } from "./ToldStates.ts"

/** Between two runs by the store's own rules: what is too old goes at most this much later. */
const RUN_INTERVAL = Duration.hours(1)
/** Of the reason of a hold: a sentence and where the order is filed. */
const HOLD_REASON_LENGTH_MAX = 1000

/**
 * Screens that are kept for removed events are drawn rarely, one at a time, in a thread of their own that ends soon. Not of
 * the lowest priority: one that got no processor for long would be taken for output that defeats the emulator.
 */
export const RETENTION_SCREENS = { isBackground: false, standsBy: false, idleMillis: 5000, screensMax: 2 }

/** What it needs of a running engine; absent where none runs. */
export interface RetentionPort {
  readonly feed: Feed
  /**
   * Of a session that lives: its last event that its program and its keeper need no more. undefined: it does not live.
   * Rejects with SessionUnavailable while that cannot be told.
   */
  readonly notNeeded: (session: SessionId) => Promise<number | undefined>
  /** Journals a hold of a session that lives; false when it does not. */
  readonly appendHold: (session: SessionId, event: SessionEvent, actor: string) => Promise<boolean>
}

export interface RetentionOptions {
  readonly journal: JournalShape
  readonly history: HistoryShape
  readonly screens: ScreenServiceShape
  /** Of the journal's files. */
  readonly folder: string
  /** The store's own rules, asked at each run. */
  readonly policy: () => RetentionPolicy
  /** What is removed was sealed before, and keeps its hashes. */
  readonly sealer: Pick<Sealer, "seal" | "forgetRemoved">
  readonly engine?: RetentionPort | undefined
  /** For sessions that have ended, where no engine runs. */
  readonly openFeed: Effect.Effect<Feed, StorageUnavailable>
}

export interface RetentionEngine extends RetentionShape {
  /** Goes on with what was cut off, and applies the store's own rules, now and every hour. Ends when it is interrupted. */
  readonly run: Effect.Effect<void>
  /** Whoever holds it changes what is journaled of sessions; one at a time does. */
  readonly turn: Semaphore.Semaphore
}

interface Target extends Pick<PruneItem, "to" | "reason" | "policy"> {
  readonly view: SessionView
}

export const makeRetention = Effect.fnUntraced(function* (options: RetentionOptions) {
  const { engine, folder, history, journal, screens } = options
  /** A hold and a removal of the same session must not overlap: whichever is first, the other sees it. */
  const turn = yield* Semaphore.make(1)
  const nowMicros = Effect.map(Clock.Clock, (clock) => Number(clock.currentTimeNanosUnsafe() / 1000n))
  const size = Effect.promise(() => folderBytes(folder))

  const provided = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(Effect.provideService(Journal, journal), Effect.provideService(ScreenService, screens))

  const isEnded = (view: SessionView) =>
    !view.terminalOpen && (view.status === "exited" || view.status === "lost" || view.status === "failed")

  /** The last event that may go; a session that lives keeps at least one. */
  const limitOf = Effect.fnUntraced(function* (view: SessionView) {
    const session = view.id as SessionId
    const head = yield* journal.head(session)
    const live = engine === undefined ? undefined : yield* fromEngine(session, () => engine.notNeeded(session))
    if (live === undefined) {
      if (isEnded(view)) return { limit: head, isLive: false }
      return yield* new SessionUnavailable({ session, reason: "it may still run, and no engine holds it" })
    }
    if (view.kind !== "exec") return { limit: Math.min(live, head - 1), isLive: true }
    const { states } = yield* stateAt({ commands: Commands }, session)
    let limit = Math.min(live, head - 1)
    for (const number of [states.commands.running, states.commands.assumedLost]) {
      const command = number === null ? undefined : states.commands.commands.get(number)
      if (command !== undefined) limit = Math.min(limit, command.firstSequence - 1)
    }
    return { limit, isLive: true }
  })

  /** What the rules for sessions say of one; undefined when they leave it as it is. */
  const byRules = Effect.fnUntraced(function* (view: SessionView, rules: SessionRules) {
    const session = view.id as SessionId
    const found: Array<Target> = []
    const { maxAgeMillis, maxBytes, maxEvents } = rules
    if (maxAgeMillis !== undefined) {
      const timeMicros = (yield* nowMicros) - maxAgeMillis * 1000
      const place = yield* sequenceAt(session, { _tag: "Time", timeMicros })
      const policy = `older than ${inWords(maxAgeMillis)}`
      if (place.removed === null) found.push({ view, to: place.sequence, reason: "age", policy })
    }
    if (maxEvents !== undefined) {
      const to = (yield* journal.head(session)) - maxEvents
      found.push({ view, to, reason: "count", policy: `at most ${maxEvents} events of a session` })
    }
    if (maxBytes !== undefined) {
      const to = yield* journal.removal.endKeeping(session, maxBytes)
      found.push({ view, to, reason: "bytes", policy: `at most ${maxBytes} bytes of a session` })
    }
    return found.reduce(
      (one: Target | undefined, other) => (one !== undefined && one.to >= other.to ? one : other),
      undefined
    )
  })

  const itemOf = (target: Target, fields: Partial<PruneItem> & Pick<PruneItem, "outcome">): PruneItem => ({
    session: target.view.id,
    name: target.view.name,
    detail: "",
    to: 0,
    events: 0,
    bytes: 0,
    whole: false,
    reason: target.reason,
    policy: target.policy,
    ...fields
  })

  /** Whether what stands for events that were removed before is what the session's events tell of it. */
  const isKept = Effect.fnUntraced(function* (session: SessionId) {
    const gone = yield* journal.removal.of(session)
    const told = gone === undefined ? undefined : yield* toldStates(journal, session, gone)
    return told === undefined || isKeptAsTold(yield* keptRows(session), told)
  })

  /** Removes it, or finds out why not. undefined: there is nothing to remove. */
  const removeOne = (target: Target, request: PruneRequest) =>
    Effect.gen(function* () {
      const session = target.view.id as SessionId
      const floor = (yield* journal.removal.of(session))?.sequence ?? 0
      const { limit, isLive } = yield* limitOf(target.view)
      if (isLive && target.to === EVERYTHING) {
        return itemOf(target, { outcome: "skipped", detail: "it has not ended" })
      }
      const to = Math.min(target.to, limit)
      if (to <= floor) return undefined
      const { summary, damage } = yield* summaryOf(session)
      if (damage !== null) return itemOf(target, { outcome: "skipped", detail: damage.message })
      if (summary.hold !== null) return itemOf(target, { outcome: "held", detail: summary.hold.reason })
      if (!(yield* isKept(session))) return itemOf(target, { outcome: "skipped", detail: KEPT_OTHERWISE })
      const head = yield* journal.head(session)
      const whole = !isLive && to === head
      if (request.dryRun === true) {
        const { bytes, events } = yield* journal.removal.measure(session, to)
        return itemOf(target, { outcome: "would be removed", to, events, bytes, whole })
      }
      const bases = whole ? yield* summaryBases(session, to) : yield* allBases(session, to, floor)
      if (bases === undefined) {
        return itemOf(target, { outcome: "skipped", detail: "its screen at that place cannot be kept" })
      }
      const timeMicros = yield* nowMicros
      const { policy, reason } = target
      const before = yield* journal.removal.of(session)
      const row = indexRow({ ...summary, removed: { to: bases.to, at: timeMicros, reason, policy } })
      const actor = request.actor ?? ACTOR_ENGINE
      const removal = { ...bases, rows: [...bases.rows, row], reason, policy, actor, timeMicros }
      // At the store's quota nothing can be sealed: what is not has no hash then, and says so.
      yield* Effect.ignore(options.sealer.seal(session))
      const { event } = yield* journal.removal.remove(session, removal, yield* rowsBehind(bases, session))
      yield* Effect.ignore(options.sealer.forgetRemoved(session))
      // Again: someone may have been indexing what is gone now.
      yield* deleteSearchIndex(session)
      return itemOf(target, {
        outcome: "removed",
        to: bases.to,
        events: bases.to - floor,
        bytes: bytesOf(event) - (before === undefined ? 0 : bytesOf(before.event)),
        whole
      })
    }).pipe(
      Effect.catchTag(["JournalDamaged", "JournalRemoved", "EventRefused", "SessionUnavailable"], (error) =>
        // One session that cannot be pruned keeps no other from it.
        Effect.succeed(itemOf(target, { outcome: "skipped", detail: error.message }))
      ),
      turn.withPermit
    )

  const pruneStore = Effect.fnUntraced(function* (request: PruneRequest, policy: RetentionPolicy) {
    const items: Array<PruneItem> = []
    const remove = Effect.fnUntraced(function* (target: Target) {
      const item = yield* removeOne(target, request)
      if (item !== undefined) items.push(item)
      yield* Effect.yieldNow
      return item
    })
    // Of those whose key was destroyed nothing is left to remove, and they take no other's place.
    const views = (yield* history.list).filter((view) => !isKeyDestroyed(view))
    const ended = views.filter(isEnded).sort((one, other) => endOf(one) - endOf(other))
    const now = yield* nowMicros
    const whole = new Set<string>()
    for (const target of wholeSessions(ended, views.length, policy.store, now)) {
      whole.add(target.view.id)
      yield* remove(target)
    }
    if (hasRules(policy.session)) {
      for (const view of views) {
        if (whole.has(view.id)) continue
        const target = yield* byRules(view, policy.session).pipe(Effect.catchTag("JournalDamaged", () => NO_TARGET))
        if (target !== undefined) yield* remove(target)
      }
    }
    const { maxBytes } = policy.store
    if (maxBytes !== undefined) {
      const rule = {
        to: EVERYTHING,
        reason: "bytes",
        policy: `at most ${maxBytes} bytes of a store`
      } as const
      let wouldFree = 0
      for (const item of items) wouldFree += item.outcome === "would be removed" ? item.bytes : 0
      for (const view of ended) {
        if (whole.has(view.id)) continue
        if ((yield* size) - wouldFree <= maxBytes) break
        const item = yield* remove({ view, ...rule })
        if (item?.outcome === "would be removed") wouldFree += item.bytes
      }
    }
    return items
  })

  const pruneSessions = Effect.fnUntraced(function* (
    request: PruneRequest,
    sessions: ReadonlyArray<SessionId>,
    policy: RetentionPolicy
  ) {
    const items: Array<PruneItem> = []
    const views = yield* Effect.forEach(sessions, (session) => history.get(session))
    const isWhole = !hasRules(policy.session)
    const living = views.find((view) => isWhole && !isEnded(view))
    if (living !== undefined) {
      const reason = `${living.id} has not ended: end it first, or say which of its events may go`
      return yield* new InvalidRequest({ field: "session", reason })
    }
    for (const view of views) {
      const target = isWhole
        ? ({ view, to: EVERYTHING, reason: "asked", policy: "asked for" } as const)
        : yield* byRules(view, policy.session).pipe(Effect.catchTag("JournalDamaged", () => NO_TARGET))
      const item = target === undefined ? undefined : yield* removeOne(target, request)
      if (item !== undefined) items.push(item)
    }
    return items
  })

  const prune = Effect.fn("Retention.prune")(function* (request: PruneRequest) {
    const { sessions } = request
    const given = request.policy ?? (sessions === undefined ? yield* ownPolicy(options) : KEEP_EVERYTHING)
    const policy = checkPolicy(given)
    if (typeof policy === "string") return yield* new InvalidRequest({ field: "policy", reason: `it${policy}` })
    if (sessions === undefined && !hasRules(policy.session) && !hasRules(policy.store)) {
      const reason = "the store's config.json has no `retention`: say what may go, such as --older-than 30d"
      return yield* new InvalidRequest({ field: "policy", reason })
    }
    yield* actorOf(request)
    const bytesBefore = yield* size
    const items = yield* provided(
      // Named twice, it is one session.
      sessions === undefined ? pruneStore(request, policy) : pruneSessions(request, [...new Set(sessions)], policy)
    ).pipe(Effect.catchTag("StorageUnavailable", (error) => Effect.fail(unavailable(error))))
    const report: PruneReport = { dryRun: request.dryRun === true, items, bytesBefore, bytesAfter: yield* size }
    return report
  })

  /** Also of a session that has ended: these two events may stand behind its last word. */
  const appendHold = Effect.fnUntraced(function* (session: SessionId, event: SessionEvent, actor: string) {
    yield* history.get(session)
    if (engine !== undefined && (yield* fromEngine(session, () => engine.appendHold(session, event, actor)))) return
    const { states, damage } = yield* stateAt(SUMMARY_PROJECTIONS, session)
    const head = yield* journal.head(session)
    const timeMicros = yield* nowMicros
    const gone = yield* journal.removal.of(session)
    const entry: JournalEntry = { sequence: head + 1, event, actor, timeMicros }
    const rows: ReadonlyArray<Row> =
      damage === null
        ? [indexRow(summarize(SessionState.fold(states.state, entry), states.directory.cwd, states.title.title, gone))]
        : []
    const feed = engine?.feed ?? (yield* options.openFeed)
    const placed = feed.place(session, [entry], rows)
    yield* journal.append(session, [entry], { expected: head, rows: placed?.rows ?? rows })
    placed?.durable()
  })

  const changeHold = (session: SessionId, event: SessionEvent, request: { readonly actor?: string | undefined }) =>
    provided(
      Effect.gen(function* () {
        const actor = yield* actorOf(request)
        const view = yield* history.get(session)
        const kept = view.hold?.reason ?? null
        if (kept === (event._tag === "HoldPlaced" ? event.reason : null)) return view
        if (event._tag === "HoldPlaced" && isRemoved((yield* summaryOf(session)).summary)) {
          const reason = `${session} is not there to be held: all of it was removed (${view.removed?.policy})`
          return yield* new InvalidRequest({ field: "session", reason })
        }
        yield* appendHold(session, event, actor)
        const [what, detail] =
          event._tag === "HoldPlaced" ? (["hold", event.reason] as const) : (["release", ""] as const)
        yield* tellAdministered(journal, { what, session, detail, actor })
        return yield* history.get(session)
      })
    ).pipe(
      Effect.catchTag(["StorageUnavailable", "SequenceConflict"], (error) => Effect.fail(unavailable(error, session))),
      Effect.catchTag("EventRefused", ({ reason }) => Effect.fail(new InvalidRequest({ field: "reason", reason }))),
      turn.withPermit
    )

  /** What a process that died in the middle of a removal left to do. */
  const finish = Effect.gen(function* () {
    for (const session of yield* journal.removal.unfinished) {
      const gone = yield* journal.removal.of(session)
      const stale = gone?.event._tag === "EventsRemoved" ? yield* provided(rowsBehind(gone.event, session)) : []
      yield* turn.withPermit(journal.removal.finish(session, stale))
    }
  })

  const once = finish.pipe(
    Effect.andThen(Effect.suspend(() => ownPolicy(options))),
    Effect.flatMap((policy) => (hasRules(policy.session) || hasRules(policy.store) ? prune({ policy }) : Effect.void)),
    Effect.catch((error) => Effect.logWarning(`retention: tried again in an hour: ${error.message}`)),
    Effect.catchCause((cause) => Effect.logWarning("retention: tried again in an hour", cause))
  )

  const retention: RetentionEngine = {
    prune: (request) => Effect.andThen(Effect.mapError(finish, unavailable), prune(request)),
    hold: (session, reason, request = {}) =>
      reason.length < 1 || reason.length > HOLD_REASON_LENGTH_MAX
        ? Effect.fail(
            new InvalidRequest({ field: "reason", reason: `must have 1 to ${HOLD_REASON_LENGTH_MAX} characters` })
          )
        : changeHold(session, { _tag: "HoldPlaced", reason }, request),
    release: (session, request = {}) => changeHold(session, { _tag: "HoldReleased" }, request),
    turn,
    run: Effect.forever(Effect.andThen(once, Effect.sleep(RUN_INTERVAL)))
  }
  return retention
})

/** The sessions that the rules for the store take as a whole, those that ended first in front. */
const wholeSessions = (
  ended: ReadonlyArray<SessionView>,
  count: number,
  { maxAgeMillis, maxSessions }: StoreRules,
  now: number
): ReadonlyArray<Target> => {
  const to = EVERYTHING
  const targets: Array<Target> = []
  let left = count
  for (const view of ended) {
    if (maxAgeMillis !== undefined && endOf(view) <= now - maxAgeMillis * 1000) {
      targets.push({ view, to, reason: "age", policy: `ended longer than ${inWords(maxAgeMillis)} ago` })
    } else if (maxSessions !== undefined && left > maxSessions) {
      targets.push({ view, to, reason: "sessions", policy: `at most ${maxSessions} sessions` })
    } else continue
    // One that is held stays, and no other goes in its place.
    left--
  }
  return targets
}

const KEPT_OTHERWISE =
  "what was kept of events that were removed before is not what was recorded of it; a backup may have it: reprise import"

/** Up to the head, wherever that is by then: only of a session that has ended. */
const EVERYTHING = Number.MAX_SAFE_INTEGER

const endOf = (view: SessionView): number => view.endedAt ?? view.lastEventAt

const bytesOf = (event: SessionEvent): number => (event._tag === "EventsRemoved" ? event.bytes : 0)

const NO_TARGET = Effect.succeed(undefined)

const ownPolicy = ({ policy }: RetentionOptions) =>
  Effect.try({
    try: policy,
    catch: (error) =>
      new InvalidRequest({ field: "config.json", reason: error instanceof Error ? error.message : String(error) })
  })

const unavailable = (error: { readonly message: string }, session = ""): SessionUnavailable =>
  new SessionUnavailable({ session, reason: error.message })

const fromEngine = <A>(session: SessionId, ask: () => Promise<A>): Effect.Effect<A, SessionUnavailable> =>
  Effect.tryPromise({
    try: ask,
    catch: (error) => (error instanceof SessionUnavailable ? error : unavailable(error as Error, session))
  })
