/**
 * One block of a LevelDB table: its checksum, its entries, and what can be done when it is damaged. Pure functions over
 * bytes that are handed in; they know no files and no keys of ours.
 *
 *   content | type u8 (0 plain, 1 snappy) | masked CRC-32C of both
 *   content: entries | restarts | their number u32
 */
import { ByteReader, readU32 } from "./ByteReader.ts"
import { addByte, bitRemainder, crc32c, furtherRemainder, mask, unmask } from "./Crc32c.ts"

export const TRAILER_BYTES = 5
const SNAPPY = 1
/** A block ends with the entry that makes it longer than 4 KiB, and no entry has more than 4 MiB. */
const CONTENT_BYTES_MAX = 16 * 1024 * 1024

export interface BlockEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** The entries of a block with a right checksum; undefined if it is nothing that LevelDB writes. */
export const entriesOf = (block: Uint8Array): ReadonlyArray<BlockEntry> | undefined => {
  try {
    const size = block.byteLength - TRAILER_BYTES
    const content = block[size] === SNAPPY ? unsnap(block.subarray(0, size)) : block.subarray(0, size)
    const restarts = readU32(content, content.byteLength - 4)
    const reader = new ByteReader(content.subarray(0, Math.max(0, content.byteLength - 4 * (restarts + 1))))
    const entries: Array<BlockEntry> = []
    let previous: Uint8Array = new Uint8Array(0)
    while (!reader.isAtEnd) {
      const shared = reader.varint()
      const own = reader.varint()
      const valueBytes = reader.varint()
      const rest = reader.slice(own)
      const key = shared === 0 ? rest : Buffer.concat([previous.subarray(0, shared), rest])
      entries.push({ key, value: reader.slice(valueBytes) })
      previous = key
    }
    return entries
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** A block of the same length in which LevelDB finds nothing: its number of restarts is 0. */
export const emptyBlock = (block: Uint8Array): Uint8Array => {
  const empty = Buffer.alloc(block.byteLength)
  return seal(empty)
}

export const isSound = (block: Uint8Array): boolean => {
  const at = block.byteLength - 4
  return at > 0 && readU32(block, at) === mask(crc32c(block, 0, at))
}

export const seal = (block: Buffer): Buffer => {
  block.writeUInt32LE(mask(crc32c(block, 0, block.byteLength - 4)), block.byteLength - 4)
  return block
}

/**
 * The block with the one bit turned back that makes its checksum right; undefined when no single bit does. A CRC is
 * linear: the difference of the two checksums is that of the flipped bit alone, whatever else stands in the block.
 */
export const correctBit = (block: Uint8Array): Uint8Array | undefined => {
  const at = block.byteLength - 4
  if (at <= 0) return undefined
  const actual = crc32c(block, 0, at)
  const corrected = Buffer.from(block)
  const inChecksum = (mask(actual) ^ readU32(block, at)) >>> 0
  if ((inChecksum & (inChecksum - 1)) === 0) return seal(corrected)
  const difference = actual ^ unmask(readU32(block, at))
  const bits = Array.from({ length: 8 }, (_, bit) => bitRemainder(bit))
  for (let index = at - 1; index >= 0; index--) {
    for (let bit = 0; bit < 8; bit++) {
      const one = bits[bit]!
      if (one === difference) {
        corrected[index]! ^= 1 << bit
        return corrected
      }
      bits[bit] = furtherRemainder(one)
    }
  }
  return undefined
}

/**
 * Where the block that begins at `from` ends, found by its checksum alone: for tables whose index is gone. undefined when
 * nothing from there on is a whole block.
 */
export const blockEnd = (bytes: Uint8Array, from: number): number | undefined => {
  let running = ~0
  for (let at = from; at + TRAILER_BYTES <= bytes.byteLength; at++) {
    running = addByte(running, bytes[at]!)
    // A block is never shorter than its number of restarts and its type.
    if (at - from >= 4 && readU32(bytes, at + 1) === mask(~running)) return at + TRAILER_BYTES
  }
  return undefined
}

/** Snappy: literals, and copies of what is already there. Most of the time of reading a whole store goes here: no views. */
const unsnap = (bytes: Uint8Array): Uint8Array => {
  const reader = new ByteReader(bytes)
  const length = reader.varint()
  // A byte of input stands for at most 64 / 2 bytes of output, so a damaged length cannot ask for all memory.
  if (length > bytes.byteLength * 32 || length > CONTENT_BYTES_MAX)
    throw new RangeError("a length that snappy cannot reach")
  const output = Buffer.alloc(length)
  const end = bytes.byteLength
  let from = reader.at
  let at = 0
  while (from < end) {
    const tag = bytes[from++]!
    const kind = tag & 3
    if (kind === 0) {
      let size = tag >>> 2
      if (size >= 60) {
        const count = size - 59
        size = littleEndian(bytes, from, count)
        from += count
      }
      size++
      if (from + size > end || at + size > length) throw new RangeError("bytes behind the end")
      if (size > LITERAL_LOOP_MAX) output.set(bytes.subarray(from, from + size), at)
      else for (let index = 0; index < size; index++) output[at + index] = bytes[from + index]!
      from += size
      at += size
      continue
    }
    const size = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    const count = kind === 1 ? 1 : kind === 2 ? 2 : 4
    const low = littleEndian(bytes, from, count)
    const back = kind === 1 ? ((tag >>> 5) << 8) | low : low
    from += count
    if (back === 0 || back > at || at + size > length) throw new RangeError("a copy from outside")
    // Byte by byte: a copy may reach into what it is itself writing.
    for (const to = at + size; at < to; at++) output[at] = output[at - back]!
  }
  if (at !== length) throw new RangeError("an end that came too early")
  return output
}

/** A view costs more than a loop over so many bytes. */
const LITERAL_LOOP_MAX = 64

const littleEndian = (bytes: Uint8Array, from: number, count: number): number => {
  if (from + count > bytes.byteLength) throw new RangeError("a number behind the end")
  let value = 0
  for (let index = from + count - 1; index >= from; index--) value = value * 256 + bytes[index]!
  return value
}
