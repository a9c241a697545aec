/**
 * The rows that hold something of what a session's events hold, and can be made again from them: what must go when payloads
 * of it are replaced. Whoever keeps such rows in a space of its own adds it here.
 */
import { Effect, Stream } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Journal, type Row, type RowRange } from "../journal/Journal.ts"
import { searchIndexRanges } from "./SearchIndex.ts"
import { INDEX_SPACE, indexKey } from "./SessionIndex.ts"
import { BASE_SPACE, SNAPSHOT_SPACE, snapshotKey, snapshotName } from "./SnapshotRow.ts"

export const derivedRows = Effect.fnUntraced(function* (stream: SessionId) {
  const ranges: Array<RowRange> = [
    { space: INDEX_SPACE, from: indexKey(stream), to: indexKey(stream) },
    ...searchIndexRanges(stream)
  ]
  for (const name of yield* namesIn(SNAPSHOT_SPACE)) ranges.push(rangeOf(SNAPSHOT_SPACE, name, stream))
  return ranges
})

/** The states that stand for removed events of the stream: nothing makes them again. */
export const keptRows = Effect.fnUntraced(function* (stream: SessionId) {
  const journal = yield* Journal
  const rows: Array<Row> = []
  for (const name of yield* namesIn(BASE_SPACE)) {
    const { from, to } = rangeOf(BASE_SPACE, name, stream)
    rows.push(...(yield* Stream.runCollect(journal.rows(BASE_SPACE, { from, to }))))
  }
  return rows
})

const rangeOf = (space: string, name: string, stream: SessionId): RowRange => ({
  space,
  from: snapshotKey(name, stream, 0),
  to: snapshotKey(name, stream, Number.MAX_SAFE_INTEGER)
})

/** The names in a space, each found with one look. */
export const namesIn = Effect.fnUntraced(function* (space: string) {
  const journal = yield* Journal
  const names: Array<string> = []
  let from = new Uint8Array(0)
  for (;;) {
    const [row] = yield* Stream.runCollect(journal.rows(space, { from, limit: 1 }))
    if (row === undefined) return names
    const name = snapshotName(row.key)
    names.push(name)
    // Behind `|`: the first key of another name.
    from = Uint8Array.from(Buffer.from(`${name}}`, "latin1"))
  }
})
