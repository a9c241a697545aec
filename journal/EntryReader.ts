/**
 * The entries of a whole store as they were before they were encrypted, read without LevelDB (DatabaseReader.ts): what exports,
 * imports, comparisons and verification read, whether a store is encrypted or not. It writes nothing, and opens no encrypted
 * store without its key.
 */
import { join } from "node:path"
import { type Bounds, DatabaseReader, type FileDamage } from "./DatabaseReader.ts"
import { KEY_CHANGE_SPACE, KEY_SPACES } from "./DataKeys.ts"
import { isEntry } from "./EntryCheck.ts"
import { STORE_STREAM } from "./Event.ts"
import { StoreRefused } from "./JournalError.ts"
import { KEY_CHANGE_KEY, type KeyChange, keyChangeOf } from "./KeyChange.ts"
import * as Keys from "./Keys.ts"
import { sealValue } from "./SealedValue.ts"
import type { KeyValue } from "./Storage.ts"
import { checkOwnFolder, readKeyName } from "./StoreGuard.ts"
import { keyFor, loadStoreKey, type StoreKey, type StoreKeySource } from "./StoreKey.ts"
import { cipherKeyOf, type ReadRange, ValueKeys } from "./ValueKeys.ts"

export interface EntryReader {
  readonly damages: ReadonlyArray<FileDamage>
  /** As `DatabaseReader.pages`. */
  pages(bounds?: Bounds): AsyncGenerator<ReadonlyArray<KeyValue>>
  /** Must be called once. */
  close(): void
}

/** Throws StoreRefused: what DatabaseReader refuses, and a key that is missing, is another, or is for a store that has none. */
export const openEntries = async (location: string, source: StoreKeySource | undefined): Promise<EntryReader> => {
  const keyName = readKeyName(location)
  const key = keyFor(location, keyName, source)
  const database = join(location, "db")
  checkOwnFolder(database)
  const reader = await DatabaseReader.open(database, { isEntry })
  if (key === undefined) return reader
  try {
    refuseKeyChanged(location, keyName)
    return new OpenedReader(reader, await valueKeysOf(reader, key))
  } catch (error) {
    reader.close()
    throw error
  }
}

class OpenedReader implements EntryReader {
  readonly #reader: DatabaseReader
  readonly #keys: ValueKeys

  constructor(reader: DatabaseReader, keys: ValueKeys) {
    this.#reader = reader
    this.#keys = keys
  }

  get damages(): ReadonlyArray<FileDamage> {
    return this.#reader.damages
  }

  async *pages(bounds?: Bounds): AsyncGenerator<ReadonlyArray<KeyValue>> {
    for await (const page of this.#reader.pages(bounds)) yield await this.#keys.open(page)
  }

  close(): void {
    this.#reader.close()
  }
}

/**
 * What was opened under one key, while the store's key was changed, is of no use: neither key may open all of it. `keyName`: as it
 * was before the files were opened.
 */
const refuseKeyChanged = (location: string, keyName: string | undefined): void => {
  if (readKeyName(location) === keyName) return
  const detail = "got another key while it was opened; try again with that one"
  throw new StoreRefused({ path: location, reason: "key", detail })
}

/** The rows that keep the keys of streams, all of them, in order: 100 bytes each. */
export const keyRowsIn = async (reader: DatabaseReader): Promise<ReadonlyArray<KeyValue>> => {
  const rows: Array<KeyValue> = []
  for (const space of KEY_SPACES) {
    const bounds = { from: Keys.rowKey(space, new Uint8Array(0)), to: Keys.spaceEnd(space) }
    for await (const page of reader.pages(bounds)) {
      for (const [key, value] of page) rows.push([Uint8Array.from(key), Uint8Array.from(value)])
    }
  }
  return rows
}

const keyChangeIn = async (reader: DatabaseReader): Promise<KeyChange | undefined> => {
  const bounds = { from: Keys.rowKey(KEY_CHANGE_SPACE, KEY_CHANGE_KEY), to: Keys.spaceEnd(KEY_CHANGE_SPACE) }
  for await (const [first] of reader.pages(bounds)) return first && keyChangeOf(first)
  return undefined
}

const valueKeysOf = async (reader: DatabaseReader, key: StoreKey): Promise<ValueKeys> =>
  new ValueKeys(key, rangeOf(await keyRowsIn(reader)))

const rangeOf =
  (rows: ReadonlyArray<KeyValue>): ReadRange =>
  async (from, to, limit) => {
    let low = 0
    let high = rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (Buffer.compare(rows[middle]![0], from) < 0) low = middle + 1
      else high = middle
    }
    let end = low
    while (end < rows.length && end - low < limit && Buffer.compare(rows[end]![0], to) < 0) end++
    return rows.slice(low, end)
  }

// --- stored and opened -----------------------------------------------------------------------------------------------

/** What a look at a journal needs of its encryption. */
export interface Opening {
  /** The name of the store's key; undefined of a store that is not encrypted. */
  readonly keyName: string | undefined
  /** false: it is encrypted, and no key was given. */
  readonly isOpened: boolean
  /** A change of the store's key that was begun and is not finished. */
  readonly change: KeyChange | undefined
  /** The page, opened; undefined where that cannot be. */
  readonly open: (page: ReadonlyArray<KeyValue>) => Promise<ReadonlyArray<KeyValue>> | undefined
  /** A row of the store's own, as it is to be stored. */
  readonly seal: (entry: KeyValue) => Promise<KeyValue>
}

const PLAIN: Opening = {
  keyName: undefined,
  isOpened: true,
  change: undefined,
  open: () => undefined,
  seal: async (entry) => entry
}

/**
 * `keyName`: as format.json has it; null: it does not say, and the rows of the keys do. Throws StoreRefused for a key that is not
 * the store's, and for one that is given for a store that is not encrypted.
 */
export const openingOf = async (
  location: string,
  reader: DatabaseReader | undefined,
  keyName: string | null | undefined,
  source: StoreKeySource | undefined
): Promise<Opening> => {
  const rows = reader === undefined || keyName === undefined ? [] : await keyRowsIn(reader)
  const name = keyName ?? (rows.length > 0 && source !== undefined ? loadStoreKey(source).name : undefined)
  if (name === undefined && rows.length === 0) {
    if (keyName !== null) keyFor(location, undefined, source)
    return PLAIN
  }
  if (typeof keyName === "string") refuseKeyChanged(location, keyName)
  const change = reader && (await keyChangeIn(reader))
  if (source === undefined) {
    return { ...PLAIN, keyName: name ?? "", isOpened: false, change }
  }
  const key = keyFor(location, name, source)!
  const keys = new ValueKeys(key, rangeOf(rows))
  return {
    keyName: key.name,
    isOpened: true,
    change,
    open: (page) => keys.open(page),
    seal: async ([full, value]) => {
      const own = await keys.load(Keys.streamBytes(STORE_STREAM))
      return typeof own === "object" ? [full, sealValue(full, value, cipherKeyOf(own, full), 0)] : [full, value]
    }
  }
}
