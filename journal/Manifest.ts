/**
 * LevelDB's manifest: which tables a store consists of, and from which log on nothing is in a table yet. It reads bytes that
 * are handed to it, and writes nothing.
 */
import { ByteReader } from "./ByteReader.ts"
import { readLog } from "./LogFile.ts"

export interface Table {
  readonly name: string
  readonly number: number
  readonly level: number
  readonly bytes: number
  /** User keys, inclusive. */
  readonly smallest: Uint8Array
  readonly largest: Uint8Array
}

/** Sequence and kind, which LevelDB puts behind each key. */
export const KEY_TAG_BYTES = 8

export interface Manifest {
  readonly tables: ReadonlyArray<Table>
  /** What older logs held is in tables. */
  readonly logNumber: number
  /** false: a flipped bit was put right while it was read. LevelDB refuses such a manifest. */
  readonly isSound: boolean
}

/** undefined when it cannot be read to its end. */
export const readManifest = (bytes: Uint8Array): Manifest | undefined => {
  const state = { tables: new Map<number, Table>(), logNumber: 0 }
  let isSound = true
  let records = 0
  try {
    for (const item of readLog(bytes)) {
      // A record that is still being written, or a torn end: what is before it counts.
      if (item._tag === "Torn") break
      if (item._tag === "Damaged") return undefined
      isSound &&= !item.isCorrected
      records++
      applyEdit(item.record, state)
    }
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
  return records === 0 ? undefined : { tables: [...state.tables.values()], logNumber: state.logNumber, isSound }
}

/** The tables that a store consists of; undefined when the manifest is damaged, which LevelDB says itself. */
export const liveTables = (bytes: Uint8Array): ReadonlyArray<Table> | undefined => {
  const manifest = readManifest(bytes)
  return manifest?.isSound ? manifest.tables : undefined
}

/** One step of the store's history: tables that came and went. */
const applyEdit = (record: Uint8Array, state: { readonly tables: Map<number, Table>; logNumber: number }): void => {
  const reader = new ByteReader(record)
  const userKey = () => {
    const key = reader.slice(reader.varint())
    return key.subarray(0, Math.max(0, key.byteLength - KEY_TAG_BYTES))
  }
  while (!reader.isAtEnd) {
    const tag = reader.varint()
    if (tag === 1) reader.slice(reader.varint())
    else if (tag === 2) state.logNumber = reader.varint()
    else if (tag === 3 || tag === 4 || tag === 9) reader.varint()
    else if (tag === 5) {
      reader.varint()
      userKey()
    } else if (tag === 6) {
      reader.varint()
      state.tables.delete(reader.varint())
    } else if (tag === 7) {
      const level = reader.varint()
      const number = reader.varint()
      const bytes = reader.varint()
      const name = `${String(number).padStart(6, "0")}.ldb`
      state.tables.set(number, { name, number, level, bytes, smallest: userKey(), largest: userKey() })
    } else throw new RangeError(`a manifest with the unknown tag ${tag}`)
  }
}
