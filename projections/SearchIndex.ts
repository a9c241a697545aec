/**
 * The rows of the search index: how they are named, and how all of a session's go. The search in src/search makes and reads
 * them. They are derived and can be deleted at any time; a search then reads the events, and they are made again. They
 * hold parts of the text (lines that had not ended where a block begins), so whoever takes text out of a journal
 * calls `deleteSearchIndex` behind it, or has `searchIndexRanges` deleted with it.
 *
 *   space search        stream (16 bytes) | segment u32            what it covers, the state at its end, groups of a short one
 *   space search-block  stream (16 bytes) | segment u32            its blocks: events, times, the state where each begins
 *   space search-gram   stream (16 bytes) | bucket u8 | segment u32   for each slot of the bucket: which blocks have it
 *
 * A bucket of all segments of a session lies together: one read tells where in a session a group of characters occurs.
 */
import { Effect, Semaphore } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Journal, type JournalShape, type Row, type RowRange } from "../journal/Journal.ts"
import type { EventRefused, StorageUnavailable } from "../journal/JournalError.ts"
import { STREAM_ID_BYTES, streamBytes } from "../journal/Keys.ts"

export const SEGMENT_SPACE = "search"
export const BLOCK_SPACE = "search-block"
export const GRAM_SPACE = "search-gram"

const SPACES = [SEGMENT_SPACE, BLOCK_SPACE, GRAM_SPACE]

export const segmentKey = (session: SessionId, segment: number): Buffer => {
  const key = Buffer.allocUnsafe(STREAM_ID_BYTES + 4)
  streamBytes(session).copy(key)
  key.writeUInt32BE(segment, STREAM_ID_BYTES)
  return key
}

export const gramKey = (session: SessionId, bucket: number, segment: number): Buffer => {
  const key = Buffer.allocUnsafe(STREAM_ID_BYTES + 5)
  streamBytes(session).copy(key)
  key[STREAM_ID_BYTES] = bucket
  key.writeUInt32BE(segment, STREAM_ID_BYTES + 1)
  return key
}

/** Number of the segment at the end of a key of any of the spaces. */
export const segmentOf = (key: Uint8Array): number =>
  new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(key.byteLength - 4)

/** All rows of a session. */
export const searchIndexRanges = (session: SessionId): ReadonlyArray<RowRange> => {
  const from = streamBytes(session)
  // Above the longest key.
  const to = Buffer.concat([from, Buffer.alloc(8, 0xff)])
  return SPACES.map((space) => ({ space, from, to }))
}

/** What readers and writers of the rows in one process agree by. */
interface Guard {
  readonly turn: Semaphore.Semaphore
  /** How often a session's rows were deleted: what was read before that may not be written behind it. */
  readonly deletions: Map<SessionId, number>
}

const guards = new WeakMap<JournalShape, Guard>()

const guardOf = (journal: JournalShape): Guard => {
  const known = guards.get(journal)
  if (known !== undefined) return known
  const guard = { turn: Semaphore.makeUnsafe(1), deletions: new Map() }
  guards.set(journal, guard)
  return guard
}

/** To be asked before the first event is read of what is to be indexed, and given to `putSearchRows`: rises with each deletion and redaction. */
export const searchIndexVersion = (journal: JournalShape, session: SessionId): number =>
  (guardOf(journal).deletions.get(session) ?? 0) + journal.redaction.count(session)

/**
 * Deletes all rows of a session. What is being indexed at the moment is given up: nothing that was read before
 * this returns is written after it.
 */
export const deleteSearchIndex = Effect.fnUntraced(function* (session: SessionId) {
  const journal = yield* Journal
  const { deletions, turn } = guardOf(journal)
  deletions.set(session, (deletions.get(session) ?? 0) + 1)
  yield* turn.withPermit(
    Effect.forEach(searchIndexRanges(session), ({ from, space, to }) => journal.deleteRows(space, from, to), {
      discard: true
    })
  )
})

/** 4 KiB each, mostly. */
const ROWS_AT_A_TIME = 32

/**
 * Writes the rows of one segment, of which the last is the one that makes the others count. false when it is not to be,
 * because rows were deleted or payloads replaced meanwhile, or someone else wrote that segment before.
 */
export const putSearchRows = (
  journal: JournalShape,
  session: SessionId,
  options: { readonly segment: number; readonly version: number; readonly rows: ReadonlyArray<Row> }
): Effect.Effect<boolean, StorageUnavailable | EventRefused> => {
  const { turn } = guardOf(journal)
  const isStale = () => searchIndexVersion(journal, session) !== options.version
  return turn.withPermit(
    Effect.gen(function* () {
      const { segment } = options
      if ((yield* journal.row(SEGMENT_SPACE, segmentKey(session, segment))) !== undefined) return false
      if (segment > 0 && (yield* journal.row(SEGMENT_SPACE, segmentKey(session, segment - 1))) === undefined)
        return false
      // A few at a time: what is journaled meanwhile waits for no megabyte.
      for (let at = 0; at < options.rows.length; at += ROWS_AT_A_TIME) {
        // Asked before each: batches are in order, so what replaces payloads or deletes rows after this goes over them.
        if (isStale()) return false
        yield* journal.putRows(options.rows.slice(at, at + ROWS_AT_A_TIME))
      }
      return true
    })
  )
}
