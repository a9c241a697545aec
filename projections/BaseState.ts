/**
 * The states that stand for the removed beginning of a stream: what every projection that goes on from the start of a
 * history knew at the last event removed. Retention writes them in one batch with the EventsRemoved; the projections
 * begin at them as at snapshots. Unlike a snapshot such a row is the truth: nothing can make it again. So it is never
 * ignored for its version (`Projection.upcast`), and where it cannot be read, whoever asks is told.
 */
import { Effect } from "effect"
import type { SessionId } from "../journal/Event.ts"
import type { Row, RowRange } from "../journal/Journal.ts"
import { Buffers } from "./Buffers.ts"
import { Commands } from "./Commands.ts"
import { namesIn } from "./DerivedRows.ts"
import { type HistoryPoint, type Projections, stateAt } from "./ProjectionRunner.ts"
import { SCREEN_VERSION } from "./ScreenBounds.ts"
import { SCREEN_SNAPSHOT_NAME } from "./ScreenDrawing.ts"
import { lookAt, quarantineOf } from "./ScreenHistory.ts"
import { searchIndexRanges } from "./SearchIndex.ts"
import { SessionState } from "./SessionState.ts"
import { BASE_SPACE, SNAPSHOT_SPACE, snapshotKey, snapshotRowOf } from "./SnapshotRow.ts"
import { Title } from "./Title.ts"
import { WorkingDirectory } from "./WorkingDirectory.ts"

/** Kept of a session of which nothing is left but its line in a list. */
const SUMMARY_BASES = { state: SessionState, directory: WorkingDirectory, title: Title } as const
/** Kept of a session that goes on, beside its screen. */
export const ALL_BASES = { ...SUMMARY_BASES, buffers: Buffers, commands: Commands } as const
/** Of all that may be kept. */
export const BASE_NAMES: ReadonlyArray<string> = [
  ...Object.values(ALL_BASES).map(({ name }) => name),
  SCREEN_SNAPSHOT_NAME
]

/** Longest time that is drawn at a time, and how often: a long history is drawn in the background, from its last snapshot. */
const SCREEN_LOOK_MILLIS = 10_000
const SCREEN_LOOKS_MAX = 60
/** Places tried, each twice as far back: nearly every screen has a snapshot that is certain, at once or a few events before. */
const PLACES_TRIED_MAX = 8

export interface Bases {
  /** The last event to remove. */
  readonly to: number
  /** Names of the projections whose states are in the rows. */
  readonly kept: ReadonlyArray<string>
  readonly rows: ReadonlyArray<Row>
}

/** For the whole of a session that has ended: what a list tells of it. */
export const summaryBases = (stream: SessionId, to: number) => statesOf(SUMMARY_BASES, stream, to)

/**
 * Everything that goes on behind `to`, or behind an event before it whose screen can be kept, not further back than
 * `floor`. undefined when there is none.
 */
export const allBases = Effect.fnUntraced(function* (stream: SessionId, to: number, floor: number) {
  for (let tried = 0; tried < PLACES_TRIED_MAX; tried++) {
    const place = tried === 0 ? to : to - 2 ** (tried - 1)
    if (place <= floor) return undefined
    const screen = yield* screenBase(stream, place)
    if (screen === undefined) continue
    const states = yield* statesOf(ALL_BASES, stream, place)
    const bases: Bases = {
      to: place,
      kept: [...states.kept, ...screen.map(() => SCREEN_SNAPSHOT_NAME)],
      rows: [...states.rows, ...screen]
    }
    return bases
  }
  return undefined
})

const statesOf = Effect.fnUntraced(function* (projections: Projections, stream: SessionId, to: number) {
  const point: HistoryPoint = { _tag: "Sequence", sequence: to }
  const { damage, removed, states } = yield* stateAt(projections, stream, point)
  if (damage !== null) return yield* damage
  if (removed !== null) return yield* removed
  const rows = Object.entries(projections).map(([key, { encode, name, version }]) =>
    baseRow(name, version, stream, to, encode(states[key]))
  )
  const bases: Bases = { to, kept: Object.values(projections).map(({ name }) => name), rows }
  return bases
})

/** No row where the screen is quarantined from before: it is never drawn again. undefined: it cannot be kept here. */
const screenBase = Effect.fnUntraced(function* (stream: SessionId, to: number) {
  const quarantine = yield* quarantineOf(stream)
  if (quarantine !== undefined && quarantine.from <= to) return []
  for (let look = 0; look < SCREEN_LOOKS_MAX; look++) {
    const seen = yield* lookAt(stream, { _tag: "Sequence", sequence: to }, SCREEN_LOOK_MILLIS, (screens, key) =>
      screens.serialize(key)
    )
    if (seen._tag === "Unseen" || seen.damage !== null) return undefined
    // Found out on the way.
    if (seen.quarantined !== null) return []
    if (seen.behind) continue
    return seen.answer === undefined
      ? undefined
      : [baseRow(SCREEN_SNAPSHOT_NAME, SCREEN_VERSION, stream, to, seen.answer)]
  }
  return undefined
})

const baseRow = (name: string, version: number, stream: SessionId, sequence: number, state: Uint8Array): Row => ({
  ...snapshotRowOf(name, version, stream, sequence, state),
  space: BASE_SPACE
})

/**
 * Rows that are of no use behind a removal up to `to`: what stood for an earlier one, and snapshots before it; where only
 * the summary was kept, those at it too; and the search index, which holds parts of the text.
 */
export const rowsBehind = Effect.fnUntraced(function* ({ kept, to }: Pick<Bases, "kept" | "to">, stream: SessionId) {
  const ranges: Array<RowRange> = [...searchIndexRanges(stream)]
  for (const space of [BASE_SPACE, SNAPSHOT_SPACE]) {
    const last = space === SNAPSHOT_SPACE && !kept.includes(Buffers.name) ? to : to - 1
    for (const name of yield* namesIn(space)) {
      ranges.push({ space, from: snapshotKey(name, stream, 0), to: snapshotKey(name, stream, last) })
    }
  }
  return ranges
})
