/**
 * Opens the values of an encrypted store for whoever reads pages of it: finds the key rows of the streams that a page needs,
 * and gives every value as it was before it was encrypted, or what stands for it (StandIn.ts). EncryptedStorage.ts uses it for
 * a journal, SealedReader.ts for who reads files. It writes nothing.
 */
import type { KeyObject } from "node:crypto"
import { DataKey, isKeyRow, KEY_SPACES, type KeyState, readDataKey, streamOfKey } from "./DataKeys.ts"
import { STORE_STREAM } from "./Event.ts"
import * as Keys from "./Keys.ts"
import { flagsOf, openValue, UNDER_STORE_KEY } from "./SealedValue.ts"
import { KEY_DESTROYED, KEY_MISSING, NOT_AUTHENTIC, NOT_INTACT, standIn } from "./StandIn.ts"
import type { KeyValue } from "./Storage.ts"
import type { StoreKey } from "./StoreKey.ts"

/** Streams whose keys are in memory, some 500 bytes each. More in one page (a list's) are there for as long as it is opened. */
const STREAMS_MAX = 4096
/** From so many streams on their rows are read in one go, and not one by one. */
const STREAMS_AT_A_TIME = 8

/** Entries from `from` to `to` (exclusive), in order. */
export type ReadRange = (from: Uint8Array, to: Uint8Array, limit: number) => Promise<ReadonlyArray<KeyValue>>

export type Known = DataKey | KeyState

const STORE = Keys.streamBytes(STORE_STREAM)
const idOf = (stream: Uint8Array): string =>
  Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength).toString("latin1")
const STORE_ID = idOf(STORE)

export class ValueKeys {
  readonly #storeKey: StoreKey
  readonly #range: ReadRange
  /** Least recently loaded first. Streams without a key row are not among them: they may get one. */
  readonly #known = new Map<string, Known>()

  constructor(storeKey: StoreKey, range: ReadRange) {
    this.#storeKey = storeKey
    this.#range = range
  }

  /** From now on. */
  set(stream: Uint8Array, known: Known): void {
    const id = idOf(stream)
    this.#known.delete(id)
    this.#known.set(id, known)
  }

  forget(stream: Uint8Array): void {
    this.#known.delete(idOf(stream))
  }

  /** What is in memory. */
  known(stream: Uint8Array): Known | undefined {
    return this.#known.get(idOf(stream))
  }

  /** The key of the stream, or why there is none; undefined when it has no row. */
  async load(stream: Uint8Array): Promise<Known | undefined> {
    const known = this.known(stream)
    if (known !== undefined) return known
    let found: Known | undefined
    for (const space of KEY_SPACES) {
      const from = Keys.rowKey(space, stream)
      const [entry] = await this.#range(from, after(from), 1).catch(noEntries)
      if (entry === undefined) continue
      const read = readDataKey(entry[0], entry[1], this.#storeKey)
      if (read !== undefined) {
        found = read
        break
      }
      found = "unreadable"
    }
    // Destroyed while its row was read: what was read counts no more.
    const now = this.known(stream)
    if (now !== undefined) return now
    if (found !== undefined) this.#keep(stream, found)
    return found
  }

  #keep(stream: Uint8Array, known: Known): void {
    this.set(stream, known)
    if (this.#known.size <= STREAMS_MAX) return
    for (const id of this.#known.keys()) {
      if (this.#known.size <= STREAMS_MAX) break
      if (id !== STORE_ID) this.#known.delete(id)
    }
  }

  /** The page as it was before it was encrypted. */
  async open(page: ReadonlyArray<KeyValue>): Promise<ReadonlyArray<KeyValue>> {
    const needed = new Map<string, Known | undefined>()
    const missing = new Map<string, Uint8Array>()
    let last: Uint8Array | undefined
    for (const [key] of page) {
      if (isKeyRow(key)) continue
      // Neighbours are mostly of one stream.
      if (last !== undefined && key[0] !== Keys.ROW_PREFIX && sameStream(key, last)) continue
      last = key
      const stream = streamOfKey(key)
      const id = idOf(stream)
      if (needed.has(id)) continue
      const known = this.#known.get(id)
      needed.set(id, known)
      if (known === undefined) missing.set(id, stream)
    }
    if (missing.size >= STREAMS_AT_A_TIME) await this.#loadMany([...missing.values()], needed)
    for (const [id, stream] of missing) if (needed.get(id) === undefined) needed.set(id, await this.load(stream))
    const store = this.#known.get(STORE_ID) ?? (await this.load(STORE))
    let id = ""
    let of: Uint8Array | undefined
    return page.map(([key, value]): KeyValue => {
      if (isKeyRow(key)) return [key, value]
      if (of === undefined || key[0] === Keys.ROW_PREFIX || !sameStream(key, of)) {
        of = key
        id = idOf(streamOfKey(key))
      }
      return [key, openOne(key, value, needed.get(id), store)]
    })
  }

  async #loadMany(streams: ReadonlyArray<Uint8Array>, into: Map<string, Known | undefined>): Promise<void> {
    const sorted = streams.toSorted((one, other) => Buffer.compare(one, other))
    const wanted = new Set(sorted.map(idOf))
    let from: Uint8Array = Keys.rowKey(KEY_SPACES[0]!, sorted[0]!)
    const to = after(Keys.rowKey(KEY_SPACES[0]!, sorted[sorted.length - 1]!))
    for (;;) {
      const rows = await this.#range(from, to, 1024).catch(noEntries)
      if (rows.length === 0) return
      for (const [full, value] of rows) {
        from = after(full)
        const stream = full.subarray(-Keys.STREAM_ID_BYTES)
        if (!wanted.has(idOf(stream))) continue
        const read = readDataKey(full, value, this.#storeKey)
        if (read === undefined) continue
        const now = this.known(stream) ?? read
        into.set(idOf(stream), now)
        if (now === read) this.#keep(stream, read)
      }
    }
  }
}

const openOne = (key: Uint8Array, value: Uint8Array, own: Known | undefined, store: Known | undefined): Uint8Array => {
  const flags = flagsOf(key, value)
  if (flags === undefined) return standIn(key, NOT_INTACT)
  const of = (flags & UNDER_STORE_KEY) !== 0 ? store : own
  if (of === "destroyed") return standIn(key, KEY_DESTROYED)
  if (!(of instanceof DataKey)) return standIn(key, KEY_MISSING)
  return openValue(key, value, cipherKeyOf(of, key)) ?? standIn(key, NOT_AUTHENTIC)
}

/** Of events and rows, each its own. */
export const cipherKeyOf = (dataKey: DataKey, key: Uint8Array): KeyObject =>
  Keys.isEventKey(key) ? dataKey.events(Keys.sequenceOf(key)) : dataKey.rows

/** Both are keys of events. */
const sameStream = (one: Uint8Array, other: Uint8Array): boolean => {
  if (other[0] === Keys.ROW_PREFIX) return false
  for (let index = Keys.STREAM_ID_BYTES - 1; index >= 0; index--) if (one[index] !== other[index]) return false
  return true
}

/** The smallest key above `key`. */
const after = (key: Uint8Array): Buffer => Buffer.concat([key, Buffer.of(0)])

/** LevelDB cannot read what lies there: it is looked for in the copy. */
const noEntries = (error: unknown): ReadonlyArray<KeyValue> => {
  if (/corrupt|bad block|checksum|truncated|Invalid argument/i.test(messagesOf(error))) return []
  throw error
}

const messagesOf = (error: unknown): string =>
  error instanceof Error ? `${error.message} ${messagesOf(error.cause)}` : ""
