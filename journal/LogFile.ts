/**
 * LevelDB's logs (the manifest is one): records in blocks of 32 KiB, each with a checksum. It finds what is damaged, puts a
 * single flipped bit right, and goes on behind the rest as LevelDB does. It reads bytes that are handed to it, and writes
 * nothing.
 *
 *   record   masked CRC-32C of type and bytes, u32 | length u16 | type u8 (1 whole, 2 first, 3 middle, 4 last) | bytes
 *   batch    (in a log of writes) sequence u64 | number of operations u32 | operations; all little-endian
 *   operation  type u8 (1 put, 0 delete) | key | value of a put; each with its length in front
 */
import { ByteReader, readU32 } from "./ByteReader.ts"
import { crc32c, mask } from "./Crc32c.ts"
import { correctBit } from "./TableBlock.ts"

const BLOCK_BYTES = 32 * 1024
const HEADER_BYTES = 7
const BATCH_HEADER_BYTES = 12
const WHOLE = 1
const FIRST = 2
const MIDDLE = 3
const LAST = 4

export type LogItem =
  | { readonly _tag: "Record"; readonly record: Uint8Array; readonly isCorrected: boolean; readonly offset: number }
  /** The rest of a block that is passed over, as LevelDB passes over it. */
  | { readonly _tag: "Damaged"; readonly offset: number; readonly bytes: number }
  /** The log ends in the middle of a record: it was being written. Always the last item. */
  | { readonly _tag: "Torn"; readonly offset: number; readonly bytes: number }

export function* readLog(log: Uint8Array): Generator<LogItem> {
  let parts: Array<Uint8Array> = []
  let begun: number | undefined
  let isCorrected = false
  let at = 0
  const damaged = (from: number, to: number): LogItem => {
    parts = []
    begun = undefined
    isCorrected = false
    return { _tag: "Damaged", offset: from, bytes: to - from }
  }
  while (at + HEADER_BYTES <= log.byteLength) {
    const blockEnd = at - (at % BLOCK_BYTES) + BLOCK_BYTES
    if (blockEnd - at < HEADER_BYTES) {
      at = blockEnd
      continue
    }
    let length = log[at + 4]! | (log[at + 5]! << 8)
    // Room that was made in advance and never written.
    if (log[at + 6] === 0 && length === 0 && readU32(log, at) === 0) {
      at = blockEnd
      continue
    }
    let fragment = fragmentAt(log, at, length, blockEnd)
    if (fragment === undefined || !isSound(fragment, log, at)) {
      const other = LENGTH_BITS.map((bit) => length ^ bit).find((candidate) => {
        const fragment = fragmentAt(log, at, candidate, blockEnd)
        return fragment !== undefined && isSound(fragment, log, at)
      })
      const corrected =
        other === undefined
          ? fragment && correctBit(Buffer.concat([fragment, log.subarray(at, at + 4)]))?.subarray(0, -4)
          : fragmentAt(log, at, other, blockEnd)
      if (corrected === undefined) {
        if (fragment === undefined && log.byteLength <= blockEnd) break
        yield damaged(begun ?? at, Math.min(blockEnd, log.byteLength))
        at = blockEnd
        continue
      }
      isCorrected = true
      fragment = corrected
      length = other ?? length
    }
    const type = fragment[0]!
    const isBeginning = type === WHOLE || type === FIRST
    // A beginning inside of another record, or a continuation of none: a part is gone, and was told as damage.
    if (isBeginning && begun !== undefined) yield damaged(begun, at)
    if (isBeginning || (begun !== undefined && (type === MIDDLE || type === LAST))) {
      begun ??= at
      parts.push(fragment.subarray(1))
    }
    if ((type === WHOLE || type === LAST) && begun !== undefined) {
      yield {
        _tag: "Record",
        record: parts.length === 1 ? parts[0]! : Buffer.concat(parts),
        isCorrected,
        offset: begun
      }
      parts = []
      begun = undefined
      isCorrected = false
    }
    at += HEADER_BYTES + length
  }
  const from = begun ?? at
  if (from < log.byteLength) yield { _tag: "Torn", offset: from, bytes: log.byteLength - from }
}

const LENGTH_BITS = Array.from({ length: 16 }, (_, bit) => 1 << bit)

/** Type and bytes; undefined when they would reach behind the block or the log. */
const fragmentAt = (log: Uint8Array, at: number, length: number, blockEnd: number): Uint8Array | undefined => {
  const end = at + HEADER_BYTES + length
  return end > blockEnd || end > log.byteLength ? undefined : log.subarray(at + HEADER_BYTES - 1, end)
}

const isSound = (fragment: Uint8Array, log: Uint8Array, at: number): boolean =>
  readU32(log, at) === mask(crc32c(fragment, 0, fragment.byteLength))

export interface Operation {
  readonly key: Uint8Array
  /** LevelDB's own order of all writes: of two for one key the higher one counts. */
  readonly order: number
  /** undefined deletes the key. */
  readonly value: Uint8Array | undefined
}

/** What one record of a log of writes did; undefined if it is nothing that LevelDB writes. */
export const operationsOf = (batch: Uint8Array): ReadonlyArray<Operation> | undefined => {
  if (batch.byteLength < BATCH_HEADER_BYTES) return undefined
  try {
    const first = readU32(batch, 0) + readU32(batch, 4) * 0x1_0000_0000
    const count = readU32(batch, 8)
    const reader = new ByteReader(batch.subarray(BATCH_HEADER_BYTES))
    const operations: Array<Operation> = []
    while (!reader.isAtEnd) {
      const type = reader.byte()
      if (type > 1) return undefined
      const key = reader.slice(reader.varint())
      const value = type === 1 ? reader.slice(reader.varint()) : undefined
      operations.push({ key, order: first + operations.length, value })
    }
    return operations.length === count ? operations : undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
