/**
 * LevelDB's own files, as far as it takes to find damage in them without LevelDB, which hides some of it and ends the
 * process on some: which tables the manifest lists, and whether each block of a table has the checksum it was written
 * with. `TableGuard` uses it. It reads bytes that are handed to it, writes no file, and knows no events.
 *
 *   table   data blocks | filter | metaindex | index | footer, 48 bytes
 *   block   content | type u8 (0 plain, 1 snappy) | masked CRC-32C of both; content: entries | restarts | their number u32
 *   log     (the manifest) blocks of 32 KiB with records: masked CRC-32C | length u16 | type u8 | bytes
 */

export interface Table {
  readonly name: string
  readonly number: number
  readonly level: number
  readonly bytes: number
  /** User keys, inclusive. */
  readonly smallest: Uint8Array
  readonly largest: Uint8Array
}

/** What must be written into a table so that LevelDB survives reading it. */
export interface Edit {
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface TableFinding {
  readonly offset: number
  readonly edit: Edit
  /** The keys that LevelDB does not find after the edit; none when the edit puts back what was written. */
  readonly lost: KeyRange | undefined
}

export interface KeyRange {
  readonly from: Uint8Array
  /** A block begins behind the last key of the one before it, a table with its own first key. */
  readonly isFromLost: boolean
  /** Inclusive. */
  readonly to: Uint8Array
}

interface Handle {
  readonly offset: number
  readonly size: number
}

const FOOTER_BYTES = 48
const MAGIC = Buffer.from("57fb808b247547db", "hex")
const TRAILER_BYTES = 5
const LOG_BLOCK_BYTES = 32 * 1024
const LOG_HEADER_BYTES = 7
/** Sequence and kind, which LevelDB puts behind each key. */
const KEY_TAG_BYTES = 8
const SNAPPY = 1

// --- manifest --------------------------------------------------------------------------------------------------------

/** The tables that a store consists of; undefined when the manifest cannot be read to its end, which LevelDB says itself. */
export const liveTables = (manifest: Uint8Array): ReadonlyArray<Table> | undefined => {
  const tables = new Map<number, Table>()
  try {
    for (const record of logRecords(manifest)) applyEdit(record, tables)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
  return [...tables.values()]
}

function* logRecords(log: Uint8Array): Generator<Uint8Array> {
  let parts: Array<Uint8Array> = []
  for (let at = 0; at + LOG_HEADER_BYTES <= log.byteLength; ) {
    const left = LOG_BLOCK_BYTES - (at % LOG_BLOCK_BYTES)
    if (left < LOG_HEADER_BYTES) {
      at += left
      continue
    }
    const end = at + LOG_HEADER_BYTES + (log[at + 4]! | (log[at + 5]! << 8))
    // A record that is still being written, or a torn end: what is before it counts.
    if (end > log.byteLength) return
    if (readU32(log, at) !== mask(crc32c(log, at + 6, end))) throw new RangeError("a record of the manifest is damaged")
    const type = log[at + 6]!
    parts = type === 1 || type === 2 ? [] : parts
    parts.push(log.subarray(at + LOG_HEADER_BYTES, end))
    if (type === 1 || type === 4) yield Buffer.concat(parts)
    at = end
  }
}

/** One step of the store's history: tables that came and went. */
const applyEdit = (record: Uint8Array, tables: Map<number, Table>): void => {
  const reader = new Reader(record)
  const userKey = () => {
    const key = reader.slice(reader.varint())
    return key.subarray(0, Math.max(0, key.byteLength - KEY_TAG_BYTES))
  }
  while (!reader.isAtEnd) {
    const tag = reader.varint()
    if (tag === 1) reader.slice(reader.varint())
    else if (tag === 2 || tag === 3 || tag === 4 || tag === 9) reader.varint()
    else if (tag === 5) {
      reader.varint()
      userKey()
    } else if (tag === 6) {
      reader.varint()
      tables.delete(reader.varint())
    } else if (tag === 7) {
      const level = reader.varint()
      const number = reader.varint()
      const bytes = reader.varint()
      const name = `${String(number).padStart(6, "0")}.ldb`
      tables.set(number, { name, number, level, bytes, smallest: userKey(), largest: userKey() })
    } else throw new RangeError(`a manifest with the unknown tag ${tag}`)
  }
}

// --- tables ----------------------------------------------------------------------------------------------------------

/** Everything of a table whose checksum is wrong, or that points elsewhere than it must. */
export const checkTable = (table: Table, bytes: Uint8Array): ReadonlyArray<TableFinding> => {
  const whole = { from: table.smallest, isFromLost: true, to: table.largest }
  const end = table.bytes - FOOTER_BYTES
  // Too short to be edited in place. LevelDB names that itself.
  if (bytes.byteLength !== table.bytes || end < 0) return []
  const findings: Array<TableFinding> = []
  const read = (handle: Handle) => blockAt(bytes, handle)
  const footer = readFooter(bytes, end)
  if (footer === undefined) return [{ offset: end, edit: emptyTable(table.bytes), lost: whole }]
  const index = checkBlock(footer.index.offset, read(footer.index), whole)
  if (index?.lost !== undefined) return [{ ...index, edit: emptyTable(table.bytes) }]
  if (index !== undefined) findings.push(index)
  const entries = entriesOf(index?.edit.bytes ?? read(footer.index))
  if (entries === undefined) return [{ offset: footer.index.offset, edit: emptyTable(table.bytes), lost: whole }]
  const encoded = encodeFooter(footer)
  if (!encoded.equals(bytes.subarray(end))) {
    findings.push({ offset: end, edit: { offset: end, bytes: encoded }, lost: undefined })
  }
  let before: Uint8Array | undefined
  for (const { key, value } of entries) {
    const to = key.subarray(0, key.byteLength - KEY_TAG_BYTES)
    const handle = new Reader(value).handle()
    const from = before ?? table.smallest
    const finding = checkBlock(handle.offset, read(handle), { from, isFromLost: before === undefined, to })
    if (finding !== undefined) findings.push(finding)
    before = to
  }
  // The metaindex names the filter, which only makes LevelDB's get faster: without it nothing is lost.
  const meta = checkBlock(footer.meta.offset, read(footer.meta), undefined)
  if (meta !== undefined) findings.push(meta)
  return findings
}

const checkBlock = (offset: number, block: Uint8Array, keys: KeyRange | undefined): TableFinding | undefined => {
  if (isSound(block)) return undefined
  const corrected = correctBit(block)
  return corrected === undefined
    ? { offset, edit: { offset, bytes: emptyBlock(block) }, lost: keys }
    : { offset, edit: { offset, bytes: corrected }, lost: undefined }
}

interface Footer {
  readonly meta: Handle
  readonly index: Handle
}

/** Metaindex, index and footer lie side by side: a footer that says otherwise is damaged, by one bit if another fits. */
const readFooter = (bytes: Uint8Array, end: number): Footer | undefined => {
  const footer = Buffer.from(bytes.subarray(end))
  const said = fittingFooter(footer, end)
  if (said !== undefined) return said
  for (let bit = 0; bit < 8 * (FOOTER_BYTES - MAGIC.byteLength); bit++) {
    footer[bit >>> 3]! ^= 1 << (bit & 7)
    const fitting = fittingFooter(footer, end)
    // More than one bit may make the numbers fit: what they point to must be there.
    if (fitting !== undefined && [fitting.meta, fitting.index].every((at) => isSound(blockAt(bytes, at))))
      return fitting
    footer[bit >>> 3]! ^= 1 << (bit & 7)
  }
  return undefined
}

const fittingFooter = (footer: Uint8Array, end: number): Footer | undefined => {
  const reader = new Reader(footer)
  try {
    const [meta, index] = [reader.handle(), reader.handle()]
    const isFitting = endOf(meta) === index.offset && endOf(index) === end
    return isFitting ? { meta, index } : undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

const blockAt = (bytes: Uint8Array, handle: Handle) => bytes.subarray(handle.offset, endOf(handle))

const endOf = ({ offset, size }: Handle): number => offset + size + TRAILER_BYTES

interface Entry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** The entries of a block with a right checksum; undefined if it is nothing that LevelDB writes. */
const entriesOf = (block: Uint8Array): ReadonlyArray<Entry> | undefined => {
  try {
    const size = block.byteLength - TRAILER_BYTES
    const content = block[size] === SNAPPY ? unsnap(block.subarray(0, size)) : block.subarray(0, size)
    const restarts = readU32(content, content.byteLength - 4)
    const reader = new Reader(content.subarray(0, Math.max(0, content.byteLength - 4 * (restarts + 1))))
    const entries: Array<Entry> = []
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
const emptyBlock = (block: Uint8Array): Uint8Array => {
  const empty = Buffer.alloc(block.byteLength)
  return seal(empty)
}

/** The end of a table in which LevelDB finds nothing: an empty index and a footer that points to it. */
const emptyTable = (tableBytes: number): Edit => {
  const index = { offset: tableBytes - FOOTER_BYTES - TRAILER_BYTES - 4, size: 4 }
  const bytes = Buffer.concat([seal(Buffer.alloc(index.size + TRAILER_BYTES)), encodeFooter({ meta: index, index })])
  return { offset: index.offset, bytes }
}

const encodeFooter = ({ index, meta }: Footer): Buffer => {
  const footer = Buffer.alloc(FOOTER_BYTES)
  let at = 0
  for (const number of [meta.offset, meta.size, index.offset, index.size]) {
    let rest = number
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) footer[at++] = (rest % 0x80) | 0x80
    footer[at++] = rest
  }
  footer.set(MAGIC, FOOTER_BYTES - MAGIC.byteLength)
  return footer
}

// --- checksums -------------------------------------------------------------------------------------------------------

const isSound = (block: Uint8Array): boolean => {
  const at = block.byteLength - 4
  return at > 0 && readU32(block, at) === mask(crc32c(block, 0, at))
}

const seal = (block: Buffer): Buffer => {
  block.writeUInt32LE(mask(crc32c(block, 0, block.byteLength - 4)), block.byteLength - 4)
  return block
}

/**
 * The block with the one bit turned back that makes its checksum right; undefined when no single bit does. A CRC is
 * linear: the difference of the two checksums is that of the flipped bit alone, whatever else stands in the block.
 */
const correctBit = (block: Uint8Array): Uint8Array | undefined => {
  const at = block.byteLength - 4
  if (at <= 0) return undefined
  const actual = crc32c(block, 0, at)
  const corrected = Buffer.from(block)
  const inChecksum = (mask(actual) ^ readU32(block, at)) >>> 0
  if ((inChecksum & (inChecksum - 1)) === 0) return seal(corrected)
  const difference = actual ^ unmask(readU32(block, at))
  const bits = Array.from({ length: 8 }, (_, bit) => TABLES[0]![1 << bit]! | 0)
  for (let index = at - 1; index >= 0; index--) {
    for (let bit = 0; bit < 8; bit++) {
      const one = bits[bit]!
      if (one === difference) {
        corrected[index]! ^= 1 << bit
        return corrected
      }
      bits[bit] = (one >>> 8) ^ TABLES[0]![one & 255]!
    }
  }
  return undefined
}

/** CRC-32C, eight bytes at a time: about 700 MB/s. Node has only the other CRC-32. */
const TABLES = Array.from({ length: 8 }, () => new Int32Array(256))
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  TABLES[0]![byte] = crc
}
for (let table = 1; table < 8; table++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = TABLES[table - 1]![byte]!
    TABLES[table]![byte] = (before >>> 8) ^ TABLES[0]![before & 255]!
  }
}
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array
]

export const crc32c = (bytes: Uint8Array, from: number, to: number): number => {
  let crc = ~0
  let at = from
  for (; at + 8 <= to; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      T7[crc & 255]! ^
      T6[(crc >>> 8) & 255]! ^
      T5[(crc >>> 16) & 255]! ^
      T4[crc >>> 24]! ^
      T3[bytes[at + 4]!]! ^
      T2[bytes[at + 5]!]! ^
      T1[bytes[at + 6]!]! ^
      T0[bytes[at + 7]!]!
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ T0[(crc ^ bytes[at]!) & 255]!
  return ~crc
}

/** LevelDB stores a checksum changed, so that the checksum of bytes that hold one is not degenerate. */
const MASK_DELTA = 0xa282ead8
const mask = (crc: number): number => (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0
const unmask = (masked: number): number => {
  const rotated = (masked - MASK_DELTA) | 0
  return (rotated >>> 17) | (rotated << 15)
}

// --- bytes -----------------------------------------------------------------------------------------------------------

const readU32 = (bytes: Uint8Array, at: number): number => {
  if (at < 0 || at + 4 > bytes.byteLength) throw new RangeError("a number behind the end")
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

/** Every step behind the end is a RangeError. */
class Reader {
  readonly #bytes: Uint8Array
  #at = 0
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }
  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.byteLength
  }
  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined || scale > 2 ** 63) throw new RangeError("a number behind the end")
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  slice(length: number): Uint8Array {
    const end = this.#at + length
    if (end > this.#bytes.byteLength) throw new RangeError("bytes behind the end")
    const slice = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return slice
  }
  byte(): number {
    return this.slice(1)[0]!
  }
  handle(): Handle {
    return { offset: this.varint(), size: this.varint() }
  }
}

/** Snappy: literals, and copies of what is already there. */
const unsnap = (bytes: Uint8Array): Uint8Array => {
  const reader = new Reader(bytes)
  const length = reader.varint()
  // A byte of input stands for at most 64 / 2 bytes of output, so a damaged length cannot ask for all memory.
  if (length > bytes.byteLength * 32) throw new RangeError("a length that snappy cannot reach")
  const output = Buffer.alloc(length)
  let at = 0
  while (!reader.isAtEnd) {
    const tag = reader.byte()
    const kind = tag & 3
    if (kind === 0) {
      let size = tag >>> 2
      if (size >= 60) size = littleEndian(reader.slice(size - 59))
      output.set(reader.slice(size + 1), at)
      at += size + 1
      continue
    }
    const size = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    const back = kind === 1 ? ((tag >>> 5) << 8) | reader.byte() : littleEndian(reader.slice(kind === 2 ? 2 : 4))
    if (back === 0 || back > at || at + size > length) throw new RangeError("a copy from outside")
    // Byte by byte: a copy may reach into what it is itself writing.
    for (let left = size; left > 0; left--, at++) output[at] = output[at - back]!
  }
  if (at !== length) throw new RangeError("an end that came too early")
  return output
}

const littleEndian = (bytes: Uint8Array): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0)
