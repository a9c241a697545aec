/**
 * Segments of the search index: made in the search worker from lines, block by block, and read where a query is answered.
 * A block is a stretch of events with about 64 KiB of text; a segment has up to 128 of them, about 8 MiB, and for each
 * slot (Trigrams.ts) one bit a block. A segment of one block (a short session) keeps its bits in its own row.
 */
import type { SessionId } from "../../journal/Event.ts"
import type { Row } from "../../journal/Journal.ts"
import { BLOCK_SPACE, GRAM_SPACE, gramKey, SEGMENT_SPACE, segmentKey } from "../../projections/SearchIndex.ts"
import { decodeSnapshot, encodeSnapshot } from "../../projections/SnapshotCodec.ts"
import { BUCKET_SLOTS, BUCKETS, makeSeenSlots, markTrigrams, SLOTS } from "./Trigrams.ts"

/** Rows of another version are not read, and made again. */
const VERSION = 1
/** A block ends with the event with which it has as many characters of text … */
const BLOCK_CHARACTERS = 64 * 1024
/** … or as many bytes of any kind (a full-screen program prints no lines) … */
const BLOCK_BYTES = 256 * 1024
/** … or events (a key at a time): a page or two of the journal. */
const BLOCK_EVENTS = 4096
const SEGMENT_BLOCKS_MAX = 128
/** Bytes of a slot's bits, of 128 blocks. */
const STRIDE = SEGMENT_BLOCKS_MAX / 8
/** Slots of a segment of one block: at least twice as many as it has characters, and at least these. */
const SHORT_SLOTS_MIN = 512

/** Events `after` (exclusive) to `until` (inclusive), and the times of them. */
export interface BlockRange {
  readonly after: number
  readonly until: number
  readonly fromMicros: number
  readonly toMicros: number
}

export interface Block extends BlockRange {
  /** Of SearchText, where it begins. */
  readonly state: string
}

export interface SegmentHead extends BlockRange {
  readonly segment: number
  readonly blocks: number
  /** Characters of text. */
  readonly characters: number
  /** Of SearchText, at its end. */
  readonly state: string
  /** A line has not ended there. */
  readonly hasOpen: boolean
}

/** A segment as it comes from the worker. */
export interface MadeSegment {
  readonly head: SegmentHead
  readonly blocks: ReadonlyArray<Block>
  /** One block: a bit a slot. More: for each slot the bits of its blocks, in as few bytes as hold them. */
  readonly bits: Uint8Array<ArrayBuffer>
}

/** One at a time: its arrays are a megabyte. */
const bits = new Uint8Array(SLOTS * STRIDE)
const seen = makeSeenSlots()

const forget = (): void => {
  seen.marks.fill(0)
  seen.count = 0
}

/** Cuts what it is given into blocks, and these into segments. One at a time in a thread. */
export class SegmentBuilder {
  #segment: number
  #blocks: Array<Block> = []
  #characters = 0
  /** Of the block that is being filled. */
  #open: { state: string; after: number; fromMicros: number; toMicros: number } | undefined
  #blockCharacters = 0
  #blockBytes = 0
  #blockEvents = 0
  #until: number

  constructor(segment: number, after: number) {
    this.#segment = segment
    this.#until = after
    bits.fill(0)
    forget()
  }

  line(line: string): void {
    markTrigrams(line, seen)
    this.#blockCharacters += line.length + 1
  }

  /** Before an event; `state` is asked for where a block begins with it. */
  before(timeMicros: number, state: () => string): void {
    if (this.#open === undefined) {
      this.#open = { state: state(), after: this.#until, fromMicros: timeMicros, toMicros: timeMicros }
    }
    this.#open.fromMicros = Math.min(this.#open.fromMicros, timeMicros)
    this.#open.toMicros = Math.max(this.#open.toMicros, timeMicros)
  }

  /** Behind an event; gives back the block that ended with it. */
  behind(sequence: number, bytes: number): Block | undefined {
    this.#until = sequence
    this.#blockBytes += bytes
    this.#blockEvents++
    return this.#blockCharacters >= BLOCK_CHARACTERS ||
      this.#blockBytes >= BLOCK_BYTES ||
      this.#blockEvents >= BLOCK_EVENTS
      ? this.endBlock()
      : undefined
  }

  get isFull(): boolean {
    return this.#blocks.length === SEGMENT_BLOCKS_MAX
  }

  /** Ends the block that is being filled, if there is one. */
  endBlock(): Block | undefined {
    if (this.#open === undefined) return undefined
    const block: Block = { ...this.#open, until: this.#until }
    const index = this.#blocks.length
    const bit = 1 << (index & 7)
    const byte = index >> 3
    for (let at = 0; at < seen.count; at++) bits[seen.slots[at]! * STRIDE + byte]! |= bit
    forget()
    this.#blocks.push(block)
    this.#characters += this.#blockCharacters
    this.#open = undefined
    this.#blockCharacters = 0
    this.#blockBytes = 0
    this.#blockEvents = 0
    return block
  }

  /** The segment with the blocks that have ended, and begins the next one; undefined without any. */
  endSegment(end: Pick<SegmentHead, "state" | "hasOpen">): MadeSegment | undefined {
    const blocks = this.#blocks
    if (blocks.length === 0) return undefined
    const head: SegmentHead = {
      segment: this.#segment,
      after: blocks[0]!.after,
      until: blocks.at(-1)!.until,
      fromMicros: Math.min(...blocks.map(({ fromMicros }) => fromMicros)),
      toMicros: Math.max(...blocks.map(({ toMicros }) => toMicros)),
      blocks: blocks.length,
      characters: this.#characters,
      ...end
    }
    const made = { head, blocks, bits: blocks.length === 1 ? shortBits(head.characters) : packedBits(blocks.length) }
    this.#segment++
    this.#blocks = []
    this.#characters = 0
    bits.fill(0)
    return made
  }
}

const shortBits = (characters: number): Uint8Array<ArrayBuffer> => {
  let slots = SHORT_SLOTS_MIN
  while (slots < characters * 2 && slots < SLOTS) slots *= 2
  const packed = new Uint8Array(slots / 8)
  for (let slot = 0; slot < SLOTS; slot++) {
    if (bits[slot * STRIDE] !== 0) packed[(slot % slots) >> 3]! |= 1 << (slot & 7)
  }
  return packed
}

const packedBits = (blocks: number): Uint8Array<ArrayBuffer> => {
  const width = (blocks + 7) >> 3
  const packed = new Uint8Array(SLOTS * width)
  for (let slot = 0; slot < SLOTS; slot++) {
    for (let byte = 0; byte < width; byte++) packed[slot * width + byte] = bits[slot * STRIDE + byte]!
  }
  return packed
}

// --- rows ------------------------------------------------------------------------------------------------------------

export const segmentRows = (session: SessionId, { bits, blocks, head }: MadeSegment): ReadonlyArray<Row> => {
  const isShort = head.blocks === 1
  const key = segmentKey(session, head.segment)
  const rows: Array<Row> = []
  const size = bits.length / BUCKETS
  for (let bucket = 0; bucket < BUCKETS && !isShort; bucket++) {
    const value = bits.subarray(bucket * size, (bucket + 1) * size)
    rows.push({ space: GRAM_SPACE, key: gramKey(session, bucket, head.segment), value })
  }
  rows.push({ space: BLOCK_SPACE, key, value: encodeSnapshot({ blocks }) })
  const own = encodeSnapshot({ version: VERSION, ...head }, [isShort ? bits : new Uint8Array(0)])
  rows.push({ space: SEGMENT_SPACE, key, value: own })
  return rows
}

/** undefined: not of this version. */
export const readHead = (row: Row): { readonly head: SegmentHead; readonly bits: Uint8Array } | undefined => {
  try {
    const { parts, state } = decodeSnapshot<SegmentHead & { readonly version: number }>(row.value, 1)
    return state.version === VERSION ? { head: state, bits: parts[0]! } : undefined
  } catch {
    return undefined
  }
}

/** undefined: not readable. */
export const readBlocks = (row: Row): ReadonlyArray<Block> | undefined => {
  try {
    return decodeSnapshot<{ readonly blocks: ReadonlyArray<Block> }>(row.value).state.blocks
  } catch {
    return undefined
  }
}

/** Whether a segment of one block can hold a text with all these slots. */
export const shortHolds = (bits: Uint8Array, slots: ReadonlyArray<number>): boolean => {
  const count = bits.length * 8
  return slots.every((slot) => {
    const at = slot % count
    return (bits[at >> 3]! & (1 << (at & 7))) !== 0
  })
}

/** The bits of a slot in the row of its bucket: a bit a block. */
export const bitsIn = (bucket: Uint8Array, slot: number): Uint8Array => {
  const width = bucket.length / BUCKET_SLOTS
  const at = (slot % BUCKET_SLOTS) * width
  return bucket.subarray(at, at + width)
}
