/**
 * One session and its index: going through the events that are not indexed, which makes the index of them, and finding the
 * blocks that may hold something in those that are. SearchEngine.ts puts sessions together to a search, SearchIndexer.ts
 * keeps the index up to date. Text is only ever looked at in the thread.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import { Journal, type JournalShape, type Row } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import {
  BLOCK_SPACE,
  deleteSearchIndex,
  GRAM_SPACE,
  gramKey,
  putSearchRows,
  SEGMENT_SPACE,
  searchIndexVersion,
  segmentKey,
  segmentOf
} from "../../projections/SearchIndex.ts"
import { packPage } from "./SearchPage.ts"
import type { SearchThread } from "./SearchThread.ts"
import type { FedBlock, FoundLine, SearchAnswer } from "./SearchWorker.ts"
import { type Block, bitsIn, readBlocks, readHead, type SegmentHead, segmentRows, shortHolds } from "./Segments.ts"
import { BUCKET_SLOTS } from "./Trigrams.ts"

const SEGMENT_NUMBER_MAX = 0xffff_ffff
/** Blocks that are read at once rather than asked about any further. */
const BLOCKS_FEW = 2
/** Segments whose rows are asked for one by one: a row of 4 KiB of each of a hundred others costs more than so many lookups. */
const SEGMENTS_FEW = 8

/** A segment as a search knows it. */
export interface IndexedSegment {
  readonly head: SegmentHead
  /** Of a segment of one block. */
  readonly bits: Uint8Array
}

/** What an index covers: segments from the session's first event on, each behind the one before. */
export type SessionIndex = ReadonlyArray<IndexedSegment>

/** Of a session, or of all that have one. Rows that do not follow each other are no index: they are deleted. */
export const readIndexes = Effect.fnUntraced(function* (journal: JournalShape, only?: SessionId) {
  const range = only === undefined ? {} : { from: segmentKey(only, 0), to: segmentKey(only, SEGMENT_NUMBER_MAX) }
  const indexes = new Map<string, Array<IndexedSegment>>()
  yield* journal.rows(SEGMENT_SPACE, range).pipe(
    Stream.runForEachArray((rows) =>
      Effect.sync(() => {
        for (const row of rows) {
          const stream = Buffer.from(row.key.subarray(0, 16)).toString("hex")
          const index = indexes.get(stream) ?? []
          indexes.set(stream, index)
          const read = readHead(row)
          const last = index.at(-1)?.head
          if (
            read !== undefined &&
            segmentOf(row.key) === index.length &&
            read.head.segment === index.length &&
            read.head.after === (last?.until ?? 0)
          ) {
            index.push(read)
          }
        }
      })
    )
  )
  return indexes
})

/** The last event that is indexed. */
export const indexedTo = (index: SessionIndex): number => index.at(-1)?.head.until ?? 0

/** What was found out by going through the events behind an index. */
export interface Passed {
  readonly blocks: ReadonlyArray<FedBlock>
  /** Lines that have not ended at its end. */
  readonly open: ReadonlyArray<FoundLine>
  /** The last event, and why it is not the head. */
  readonly to: number
  readonly gap: string | undefined
}

/** Goes through the events behind an index, and writes the segments that are complete; with `cut`, the last one too. */
export const passBehind = Effect.fnUntraced(function* (
  journal: JournalShape,
  thread: SearchThread,
  session: SessionId,
  options: {
    readonly index: SessionIndex
    readonly until: number
    readonly cut: boolean
    /** Before each page. */
    readonly pause?: Effect.Effect<void> | undefined
  }
) {
  const { cut, index, pause = Effect.void, until } = options
  const after = indexedTo(index)
  if (after === 0 && (yield* journal.row(SEGMENT_SPACE, segmentKey(session, 0))) !== undefined) {
    // Of another version, or of events that were removed.
    yield* Effect.ignore(Effect.provideService(deleteSearchIndex(session), Journal, journal))
  }
  const version = searchIndexVersion(journal, session)
  const blocks: Array<FedBlock> = []
  let isWriting = true
  const keep = Effect.fnUntraced(function* (answer: SearchAnswer & { readonly _tag: "Fed" | "Ended" }) {
    blocks.push(...answer.blocks)
    for (const made of answer.segments) {
      if (!isWriting) return
      const rows = segmentRows(session, made)
      // A store that takes nothing at the moment keeps no search from answering: it is made again.
      isWriting = yield* putSearchRows(journal, session, { segment: made.head.segment, version, rows }).pipe(
        Effect.orElseSucceed(() => false)
      )
    }
  })
  yield* thread.ask({ _tag: "Begin", segment: index.length, after, state: index.at(-1)?.head.state }, "Ready")
  let to = after
  const gap = yield* journal.read(session, { after, until }).pipe(
    Stream.runForEachArray((entries) =>
      Effect.gen(function* () {
        yield* pause
        to = entries.at(-1)!.sequence
        yield* keep(yield* thread.ask({ _tag: "Feed", page: packPage(entries) }, "Fed"))
      })
    ),
    Effect.as(undefined),
    Effect.catchTag("JournalDamaged", (damage) => Effect.succeed(damage.message))
  )
  const ended = yield* thread.ask({ _tag: "End", cut: cut && gap === undefined }, "Ended")
  yield* keep(ended)
  const passed: Passed = { blocks, open: ended.open, to, gap }
  return passed
})

/** Blocks of an index that may hold a text with all these slots, the last one first. */
export const candidates = Effect.fnUntraced(function* (
  journal: JournalShape,
  session: SessionId,
  index: SessionIndex,
  slots: ReadonlyArray<number>,
  within: (range: { readonly fromMicros: number; readonly toMicros: number }) => boolean
) {
  /** Per segment the blocks that are left, a bit a block; absent: none. */
  const left = new Map<number, Uint8Array>()
  for (const { bits, head } of index) {
    if (!within(head)) continue
    if (head.blocks === 1 && !shortHolds(bits, slots)) continue
    left.set(head.segment, allBits(head.blocks))
  }
  let long = index.filter(({ head }) => head.blocks > 1 && left.has(head.segment)).map(({ head }) => head.segment)
  for (const slot of slots) {
    // A segment without a block that is left needs no further row.
    long = long.filter((segment) => count(left.get(segment)) > 0)
    if (long.reduce((blocks, segment) => blocks + count(left.get(segment)), 0) <= BLOCKS_FEW) break
    const bucket = Math.floor(slot / BUCKET_SLOTS)
    const take = ({ key, value }: Row) => narrow(left, segmentOf(key), bitsIn(value, slot))
    if (long.length <= SEGMENTS_FEW) {
      const rows = yield* Effect.forEach(
        long,
        (segment) => journal.row(GRAM_SPACE, gramKey(session, bucket, segment)),
        { concurrency: SEGMENTS_FEW }
      )
      for (const row of rows) if (row !== undefined) take(row)
      continue
    }
    const range = { from: gramKey(session, bucket, long[0]!), to: gramKey(session, bucket, long.at(-1)!) }
    yield* journal.rows(GRAM_SPACE, range).pipe(Stream.runForEachArray((rows) => Effect.sync(() => rows.forEach(take))))
  }
  return [...left].filter(([, bits]) => count(bits) > 0).sort(([one], [other]) => other - one)
})

/** The blocks of a segment whose bits are set, the last one first. A row that is gone: the segment as one, read from where it begins. */
export const blocksOf = Effect.fnUntraced(function* (
  journal: JournalShape,
  session: SessionId,
  index: SessionIndex,
  [segment, bits]: readonly [number, Uint8Array]
) {
  const row = yield* journal.row(BLOCK_SPACE, segmentKey(session, segment))
  const blocks = row && readBlocks(row)
  if (blocks === undefined) {
    const { after, fromMicros, toMicros, until } = index[segment]!.head
    const whole: ReadonlyArray<ReadBlock["block"]> = [
      { after, until, fromMicros, toMicros, state: index[segment - 1]?.head.state }
    ]
    return whole
  }
  return blocks.filter((_, at) => (bits[at >> 3]! & (1 << (at & 7))) !== 0).reverse()
})

/** A block's events; undefined state: from the session's first event. */
export interface ReadBlock {
  readonly block: Omit<Block, "state"> & { readonly state: string | undefined }
  readonly entries: ReadonlyArray<JournalEntry>
  readonly gap: string | undefined
}

export const readBlock = (
  journal: JournalShape,
  session: SessionId,
  block: ReadBlock["block"]
): Effect.Effect<ReadBlock, StorageUnavailable> =>
  Effect.suspend(() => {
    const entries: Array<JournalEntry> = []
    return journal.read(session, { after: block.after, until: block.until }).pipe(
      Stream.runForEachArray((page) =>
        Effect.sync(() => {
          // What stands for removed events may reach beyond the block.
          for (const entry of page) if (entry.sequence <= block.until) entries.push(entry)
        })
      ),
      Effect.as(undefined),
      Effect.catchTag("JournalDamaged", (damage) => Effect.succeed(damage.message)),
      Effect.map((gap) => ({ block, entries, gap }))
    )
  })

/** What is found in a block, in order. */
export const scanBlock = (thread: SearchThread, { block, entries }: ReadBlock) =>
  Effect.map(
    thread.ask({ _tag: "Scan", state: block.state, page: packPage(entries), flush: false }, "Scanned"),
    ({ lines }) => lines
  )

const allBits = (blocks: number): Uint8Array => {
  const bits = new Uint8Array((blocks + 7) >> 3)
  for (let at = 0; at < blocks; at++) bits[at >> 3]! |= 1 << (at & 7)
  return bits
}

const narrow = (left: Map<number, Uint8Array>, segment: number, bits: Uint8Array): void => {
  const kept = left.get(segment)
  if (kept === undefined || kept.length !== bits.length) return
  for (let at = 0; at < kept.length; at++) kept[at]! &= bits[at]!
}

const count = (bits: Uint8Array | undefined): number => {
  let found = 0
  for (const byte of bits ?? []) for (let rest = byte; rest !== 0; rest &= rest - 1) found++
  return found
}
