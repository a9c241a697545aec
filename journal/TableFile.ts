/**
 * A table of LevelDB, as far as it takes to find damage in it without LevelDB, which hides some of it and ends the process
 * on some, and to read what is sound. `TableGuard` and `DatabaseReader` use it. It reads bytes that are handed to it, writes
 * no file, and knows no events.
 *
 *   data blocks (TableBlock.ts) | filter | metaindex | index | footer, 48 bytes
 */
import { ByteReader } from "./ByteReader.ts"
import { KEY_TAG_BYTES, type Table } from "./Manifest.ts"
import {
  type BlockEntry,
  blockEnd,
  correctBit,
  emptyBlock,
  entriesOf,
  isSound,
  seal,
  TRAILER_BYTES
} from "./TableBlock.ts"

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
    const handle = new ByteReader(value).handle()
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

/** A place of a table that is not as it was written. */
export interface TableDamage {
  readonly offset: number
  /** The keys that cannot be read; undefined: everything was put right. */
  readonly lost: KeyRange | undefined
}

/**
 * The entries of a table, block by block, in order. Single flipped bits are put right, blocks that cannot be are left out
 * and told to `damages`. Without an index (a table that was cut off, or one that is damaged there) blocks are found by
 * their checksums, and of what they hold only what `isEntry` knows counts: an index looks like any other block.
 */
export function* readTable(
  table: Table,
  bytes: Uint8Array,
  damages: Array<TableDamage>,
  isEntry: (key: Uint8Array, value: Uint8Array) => boolean
): Generator<ReadonlyArray<BlockEntry>> {
  const index = readIndex(bytes)
  if (index === undefined) {
    yield* scanBlocks(table, bytes, damages, isEntry)
    return
  }
  if (!index.isSound) damages.push({ offset: bytes.byteLength - FOOTER_BYTES, lost: undefined })
  let before: Uint8Array | undefined
  for (const { handle, to } of index.blocks) {
    const keys = { from: before ?? table.smallest, isFromLost: before === undefined, to }
    const finding = checkBlock(handle.offset, blockAt(bytes, handle), keys)
    before = to
    const entries = finding?.lost === undefined && entriesOf(finding?.edit.bytes ?? blockAt(bytes, handle))
    if (finding !== undefined) damages.push({ offset: finding.offset, lost: finding.lost })
    // A right checksum over something that LevelDB never writes.
    else if (entries === undefined) damages.push({ offset: handle.offset, lost: keys })
    if (entries) yield entries
  }
}

interface Index {
  readonly blocks: ReadonlyArray<{ readonly handle: Handle; readonly to: Uint8Array }>
  /** false: something of footer or index was put right. */
  readonly isSound: boolean
}

const readIndex = (bytes: Uint8Array): Index | undefined => {
  const end = bytes.byteLength - FOOTER_BYTES
  if (end < 0) return undefined
  const footer = readFooter(bytes, end)
  if (footer === undefined) return undefined
  const stored = blockAt(bytes, footer.index)
  const finding = checkBlock(footer.index.offset, stored, undefined)
  if (finding !== undefined && correctBit(stored) === undefined) return undefined
  const entries = entriesOf(finding?.edit.bytes ?? stored)
  if (entries === undefined) return undefined
  try {
    let used = 0
    const blocks = entries.map(({ key, value }) => {
      const handle = new ByteReader(value).handle()
      // An index that names one block many times would be read for hours.
      if (handle.offset < used) throw new RangeError("blocks that overlap")
      used = endOf(handle)
      return { handle, to: key.subarray(0, key.byteLength - KEY_TAG_BYTES) }
    })
    return { blocks, isSound: finding === undefined && encodeFooter(footer).equals(bytes.subarray(end)) }
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function* scanBlocks(
  table: Table,
  bytes: Uint8Array,
  damages: Array<TableDamage>,
  isEntry: (key: Uint8Array, value: Uint8Array) => boolean
): Generator<ReadonlyArray<BlockEntry>> {
  let last: Uint8Array | undefined
  let at = 0
  for (let end = blockEnd(bytes, 0); end !== undefined; end = blockEnd(bytes, at)) {
    const entries = (entriesOf(bytes.subarray(at, end)) ?? []).filter(
      ({ key, value }) =>
        key.byteLength > KEY_TAG_BYTES && isEntry(key.subarray(0, key.byteLength - KEY_TAG_BYTES), value)
    )
    at = end
    const to = entries.at(-1)?.key
    if (to !== undefined) last = to.subarray(0, to.byteLength - KEY_TAG_BYTES)
    if (entries.length > 0) yield entries
  }
  // The last block may have been the last one there ever was: LevelDB's list says which key that held.
  const isWhole = last !== undefined && Buffer.compare(last, table.largest) >= 0
  const lost = isWhole ? undefined : { from: last ?? table.smallest, isFromLost: last === undefined, to: table.largest }
  damages.push({ offset: at, lost })
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
  const reader = new ByteReader(footer)
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
