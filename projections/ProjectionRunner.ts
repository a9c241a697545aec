/**
 * Answers "what was the state at …": folds projections over a stream of the journal and keeps snapshots of them as
 * rows, so that a second look costs the events since the last snapshot and not the history. The engine, lists and
 * replays use it. A snapshot is never the truth: one that is missing, of another version or not readable is left out
 * and the events are folded again. A range of the journal that is damaged ends the fold, and the result says so.
 */
import { Effect, Option, Stream } from "effect"
import type { JournalEntry, SessionId } from "../journal/Event.ts"
import { Journal, type Row } from "../journal/Journal.ts"
import { JournalDamaged, JournalRemoved, type StorageUnavailable } from "../journal/JournalError.ts"
import type { Projection } from "./Projection.ts"
import { INDEX_SPACE, indexKey, indexRow, readIndexRow, type SessionSummary, summarize } from "./SessionIndex.ts"
import { SessionState } from "./SessionState.ts"
import {
  BASE_SPACE,
  readSnapshot,
  SNAPSHOT_SPACE,
  snapshotKey,
  snapshotRowOf,
  snapshotSequence
} from "./SnapshotRow.ts"
import { Title } from "./Title.ts"
import { WorkingDirectory } from "./WorkingDirectory.ts"

/** Events folded before a snapshot is worth its write: about 10 ms of reading. */
export const SNAPSHOT_EVENTS = 4096
/** Bytes of events folded before a snapshot is worth its write: about as long. */
const SNAPSHOT_BYTES = 1024 * 1024
/** Snapshots of a large state are rarer: all of them together take at most this part of the history they stand for. */
const SNAPSHOT_SHARE = 8
/** What an event weighs beside its bytes: header, key and the rest of its record. */
const EVENT_BYTES = 64
/** Snapshots looked at before the history is folded from its beginning: those of one older version end the search. */
const SNAPSHOT_TRIES = 4

/**
 * A place in a session's history. A sequence beyond the head means the head. A time means the last event at or before
 * it: see `sequenceAt`.
 */
export type HistoryPoint =
  | { readonly _tag: "Sequence"; readonly sequence: number }
  | { readonly _tag: "Time"; readonly timeMicros: number }
  | { readonly _tag: "Head" }

export const HEAD: HistoryPoint = { _tag: "Head" }

// biome-ignore lint/suspicious/noExplicitAny: the states are of any types; StateOf recovers each.
export type Projections = Readonly<Record<string, Projection<any>>>
export type StateOf<P> = P extends Projection<infer State> ? State : never

export interface StateAt<P extends Projections> {
  readonly states: { readonly [K in keyof P]: StateOf<P[K]> }
  /** Last event in the states. */
  readonly sequence: number
  /** Events read for this answer. */
  readonly eventsFolded: number
  /** The states end before this; null when they reach the point that was asked for. */
  readonly damage: JournalDamaged | null
  /** The point lies in what was removed, or a state was not kept when that was removed: then it says nothing. */
  readonly removed: JournalRemoved | null
}

/** Where a point is, and what was met while looking for it. */
export interface Place {
  readonly sequence: number
  readonly damage: JournalDamaged | null
  /** It is before the earliest place of which anything is known. */
  readonly removed: JournalRemoved | null
}

/**
 * The states of several projections at a point, in one pass.
 *
 * Snapshots are written on the way. When they cannot be (a store opened for reading, a full disk) the answer is the same.
 */
export const stateAt = Effect.fnUntraced(function* <const P extends Projections>(
  projections: P,
  stream: SessionId,
  point: HistoryPoint = HEAD
) {
  for (;;) {
    const answer = yield* stateOnce(projections, stream, point).pipe(
      Effect.catchTag("RemovedMeanwhile", () => Effect.succeed(undefined))
    )
    // Again, from what stands for the removed events now.
    if (answer !== undefined) return answer
  }
})

const stateOnce = Effect.fnUntraced(function* <const P extends Projections>(
  projections: P,
  stream: SessionId,
  point: HistoryPoint
) {
  const journal = yield* Journal
  const redactions = journal.redaction.count(stream)
  const gone = yield* journal.removal.of(stream)
  const place = yield* sequenceAt(stream, point)
  const slots: Array<Slot> = []
  for (const [key, projection] of Object.entries(projections)) {
    slots.push(
      place.removed === null
        ? yield* loadSlot(key, projection, stream, place.sequence)
        : emptySlot(key, projection, stream)
    )
  }
  if (place.removed !== null) {
    return {
      states: statesOf<P>(slots),
      sequence: 0,
      eventsFolded: 0,
      damage: place.damage,
      removed: place.removed
    } satisfies StateAt<P>
  }
  const after = Math.min(place.sequence, ...slots.map((slot) => slot.sequence))
  let sequence = place.sequence
  const unkept = gone === undefined ? NOTHING_UNKEPT : withoutBase(stream, gone, slots)
  let damage = place.damage ?? unkept.damage
  let eventsFolded = 0
  if (after < place.sequence) {
    sequence = after
    yield* journal.read(stream, { after, until: place.sequence }).pipe(
      Stream.runForEachArray((entries) => {
        // Removed since the slots were loaded: what they have would go on behind events that they never saw.
        if (entries[0]!.event._tag === "EventsRemoved" && entries[0]!.sequence !== gone?.sequence) {
          return Effect.fail({ _tag: "RemovedMeanwhile" as const })
        }
        // Nor may a snapshot keep what was replaced since it was read.
        if (journal.redaction.count(stream) !== redactions) return Effect.fail({ _tag: "RemovedMeanwhile" as const })
        for (const slot of slots) foldPage(slot, entries)
        eventsFolded += entries.length
        sequence = entries[entries.length - 1]!.sequence
        const rows = slots.filter(isDue).map((slot) => snapshotRow(slot, stream))
        return rows.length === 0 ? Effect.void : Effect.ignore(journal.putRows(rows))
      }),
      Effect.catchTag("JournalDamaged", (found) =>
        Effect.sync(() => {
          damage = found
          // Never further than the damage, not even where a snapshot lies behind it: all states are of one place.
          return found
        })
      )
    )
  }
  if (sequence < place.sequence && slots.some((slot) => slot.sequence > sequence)) {
    // A projection's snapshot lay behind the damage: it is folded again up to the place the others reached.
    for (const slot of slots) if (slot.sequence > sequence) yield* refold(slot, stream, sequence)
  }
  return { states: statesOf<P>(slots), sequence, eventsFolded, damage, removed: unkept.removed } satisfies StateAt<P>
})

const statesOf = <P extends Projections>(slots: ReadonlyArray<Slot>) =>
  Object.fromEntries(slots.map((slot) => [slot.key, slot.state])) as StateAt<P>["states"]

type Unkept = Pick<Place, "damage" | "removed">
const NOTHING_UNKEPT: Unkept = { damage: null, removed: null }

/** What cannot be known of the slots that begin before the removed events, although those are gone. */
const withoutBase = (stream: SessionId, gone: JournalEntry, slots: ReadonlyArray<Slot>): Unkept => {
  const { event, sequence } = gone
  const names = slots.filter((slot) => slot.sequence < sequence).map(({ projection }) => projection.name)
  if (event._tag !== "EventsRemoved" || names.length === 0) return NOTHING_UNKEPT
  const lost = names.filter((name) => event.kept.includes(name))
  if (lost.length === 0) return { damage: null, removed: removedError(stream, gone) }
  const reason = `removed, and what was kept in their place (${lost.join(", ")}) cannot be read`
  return { damage: new JournalDamaged({ stream, from: 1, to: sequence, reason }), removed: null }
}

/** What whoever asks for something that was removed is told. */
export const removedError = (stream: SessionId, { event, sequence, timeMicros }: JournalEntry): JournalRemoved =>
  new JournalRemoved({
    stream,
    to: sequence,
    removedAt: timeMicros,
    policy: event._tag === "EventsRemoved" ? event.policy : ""
  })

/**
 * The sequence of a point, without reading the history (a binary search for times, one event a step).
 *
 * **Times.** A time is a label and may go backwards (a clock that is set); order is the sequence. The answer for a time
 * T is a sequence s with: time(s) <= T, or s is 0; and s is the head, or time(s + 1) > T. While times do not go
 * backwards there is exactly one, "the last event at or before T". Where a clock was set back there may be several, and
 * the answer is the head if its time is at or before T, else the one that bisecting 0…head finds. The same stream with
 * the same head always gives the same answer. A damaged event counts as later than every time.
 */
export const sequenceAt: (stream: SessionId, point: HistoryPoint) => Effect.Effect<Place, StorageUnavailable, Journal> =
  Effect.fnUntraced(function* (stream, point) {
    const journal = yield* Journal
    const head = yield* journal.head(stream)
    if (point._tag === "Head") return { sequence: head, damage: null, removed: null }
    const gone = yield* journal.removal.of(stream)
    const removed = gone === undefined ? null : removedError(stream, gone)
    if (point._tag === "Sequence") {
      const sequence = Math.max(0, Math.min(point.sequence, head))
      return { sequence, damage: null, removed: removed !== null && sequence < removed.to ? removed : null }
    }
    let damage: JournalDamaged | null = null
    const isAtOrBefore = (sequence: number) =>
      journal.read(stream, { after: sequence - 1, until: sequence }).pipe(
        Stream.runHead,
        Effect.map((entry) => Option.isSome(entry) && timeOf(entry.value) <= point.timeMicros),
        Effect.catchTag("JournalDamaged", (found) =>
          Effect.sync(() => {
            if (damage === null || found.from < damage.from) damage = found
            return false
          })
        )
      )
    if (head > 0 && (yield* isAtOrBefore(head))) return { sequence: head, damage: null, removed: null }
    let low = 0
    let high = head
    while (high - low > 1) {
      const middle = low + Math.floor((high - low) / 2)
      if (yield* isAtOrBefore(middle)) low = middle
      else high = middle
    }
    // Damage matters only where it decided the answer: the next event is one that cannot be read.
    const found = damage as JournalDamaged | null
    if (removed !== null && low < removed.to) return { sequence: low, damage: null, removed }
    return { sequence: low, damage: found !== null && found.from <= low + 1 ? found : null, removed: null }
  })

/** Of what stands for removed events: when the last of them happened. */
const timeOf = ({ event, timeMicros }: JournalEntry): number =>
  event._tag === "EventsRemoved" ? event.lastTimeMicros : timeMicros

/** A session's summary, from its index row where that is current, else from the journal; the row is then renewed. */
export const summaryOf = Effect.fnUntraced(function* (stream: SessionId) {
  const journal = yield* Journal
  const redactions = journal.redaction.count(stream)
  const kept = readIndexRow(yield* journal.row(INDEX_SPACE, indexKey(stream)))
  // A closed session's row is final: whoever opens it again writes a new row in the same batch.
  if (kept !== undefined && (kept.closed || kept.sequence === (yield* journal.head(stream)))) {
    return { summary: kept, damage: null } as { summary: SessionSummary; damage: JournalDamaged | null }
  }
  const { states, damage } = yield* stateAt(SUMMARY_PROJECTIONS, stream)
  const gone = yield* journal.removal.of(stream)
  const summary = summarize(states.state, states.directory.cwd, states.title.title, gone)
  // Of a damaged stream no row is kept: it would look like the whole truth.
  const isCurrent = journal.redaction.count(stream) === redactions
  if (damage === null && summary.sequence > 0 && isCurrent) {
    // Not over the row of who has seen more: a session that has ended, or lives again, would be listed as it was before.
    yield* Effect.ignore(journal.putRows([indexRow(summary)], { stream, head: summary.sequence }))
  }
  return { summary, damage } as { summary: SessionSummary; damage: JournalDamaged | null }
})

/** What a summary is made of; the engine folds the same for its live sessions. */
export const SUMMARY_PROJECTIONS = { state: SessionState, directory: WorkingDirectory, title: Title } as const

/**
 * The latest snapshots of a name up to a sequence, newest first; last, where the beginning of the stream was removed, the
 * state that stands for it.
 */
export const snapshotsBefore = (name: string, stream: SessionId, sequence: number) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const gone = (yield* journal.removal.of(stream))?.sequence ?? 0
    // Those before it may not be deleted yet.
    if (sequence < gone) return []
    const snapshots = yield* journal
      .rows(SNAPSHOT_SPACE, {
        from: snapshotKey(name, stream, gone),
        to: snapshotKey(name, stream, sequence),
        reverse: true,
        limit: SNAPSHOT_TRIES
      })
      .pipe(Stream.runCollect)
    const base = gone === 0 ? undefined : yield* journal.row(BASE_SPACE, snapshotKey(name, stream, gone))
    return base === undefined ? snapshots : [...snapshots, base]
  })

/** One projection in a pass. */
interface Slot {
  readonly key: string
  readonly projection: Projection<unknown>
  state: unknown
  sequence: number
  /** Since the last snapshot. */
  events: number
  bytes: number
  snapshotBytes: number
}

const loadSlot = Effect.fnUntraced(function* (
  key: string,
  projection: Projection<unknown>,
  stream: SessionId,
  until: number
) {
  const slot = emptySlot(key, projection, stream)
  for (const row of yield* snapshotsBefore(projection.name, stream, until)) {
    try {
      const state = decodeRow(projection, row)
      if (state === undefined) continue
      slot.state = state
      slot.sequence = snapshotSequence(row.key)
      slot.snapshotBytes = row.value.byteLength
      break
    } catch {
      // Not what `encode` wrote: an older one, or the history itself, serves.
    }
  }
  return slot
})

const emptySlot = (key: string, projection: Projection<unknown>, stream: SessionId): Slot => ({
  key,
  projection,
  state: projection.initial(stream),
  sequence: 0,
  events: 0,
  bytes: 0,
  snapshotBytes: 0
})

/** The state in a row; undefined when it is of a version that is not to be read. Throws on what is none. */
export const decodeRow = (projection: Projection<unknown>, row: Row): unknown => {
  const found = readSnapshot(row)
  if (found === undefined) return undefined
  if (found.version === projection.version) return projection.decode(found.state)
  // A snapshot is folded anew; what stands for removed events cannot be.
  return row.space === BASE_SPACE ? projection.upcast?.(found.version, found.state) : undefined
}

const refold = Effect.fnUntraced(function* (slot: Slot, stream: SessionId, until: number) {
  const journal = yield* Journal
  const fresh = yield* loadSlot(slot.key, slot.projection, stream, until)
  yield* journal.read(stream, { after: fresh.sequence, until }).pipe(
    Stream.runForEachArray((entries) => Effect.sync(() => foldPage(fresh, entries))),
    // Up to here it was read a moment ago; if it is damaged since, the state ends there.
    Effect.catchTag("JournalDamaged", () => Effect.void)
  )
  slot.state = fresh.state
  slot.sequence = fresh.sequence
})

const foldPage = (slot: Slot, entries: ReadonlyArray<JournalEntry>): void => {
  const { projection } = slot
  let { state } = slot
  for (const entry of entries) {
    if (entry.sequence <= slot.sequence) continue
    state = projection.fold(state, entry)
    slot.events++
    slot.bytes += EVENT_BYTES + ("data" in entry.event ? entry.event.data.length : 0)
  }
  slot.state = state
  slot.sequence = Math.max(slot.sequence, entries[entries.length - 1]!.sequence)
}

const isDue = (slot: Slot): boolean =>
  (slot.events >= SNAPSHOT_EVENTS || slot.bytes >= SNAPSHOT_BYTES) && slot.bytes >= slot.snapshotBytes * SNAPSHOT_SHARE

const snapshotRow = (slot: Slot, stream: SessionId): Row => {
  const state = slot.projection.encode(slot.state)
  slot.events = 0
  slot.bytes = 0
  slot.snapshotBytes = state.byteLength
  return snapshotRowOf(slot.projection.name, slot.projection.version, stream, slot.sequence, state)
}
