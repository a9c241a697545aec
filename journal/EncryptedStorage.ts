/**
 * A storage whose values only the holder of the store's key reads: what is written is encrypted on its way, what is read is
 * opened. Wraps the storage of a journal on disk; the keys of the rows and events stay as they are, because their order is
 * what is read by. It knows no events.
 *
 * A stream gets its key with the first value that is written for it, in the same batch. Where its key was destroyed, or is
 * lost, what is written for it from then on is under the store's own key: nothing of an engine fails for that.
 */
import { DataKey, isDestroyed, isKeyRow, newDataKey, streamOfKey } from "./DataKeys.ts"
import { STORE_STREAM } from "./Event.ts"
import { StoreRefused } from "./JournalError.ts"
import * as Keys from "./Keys.ts"
import { decodeRow } from "./Record.ts"
import { sealValue, UNDER_STORE_KEY } from "./SealedValue.ts"
import type { BatchOptions, KeyValue, Put, RangeOptions, Storage } from "./Storage.ts"
import type { StoreKey } from "./StoreKey.ts"
import { cipherKeyOf, ValueKeys } from "./ValueKeys.ts"

const STORE = Keys.streamBytes(STORE_STREAM)
/** Key rows are read in pages of at most this. */
const KEY_PAGE_BYTES = 256 * 1024
const FIRST_KEY = new Uint8Array(0)
const LAST_KEY = Buffer.alloc(Keys.ROW_KEY_BYTES_MAX + Keys.SPACE_LENGTH_MAX + 3, 0xff)

export class EncryptedStorage implements Storage {
  readonly #storage: Storage
  readonly #storeKey: StoreKey
  readonly #keys: ValueKeys
  #store: DataKey

  private constructor(storage: Storage, storeKey: StoreKey, keys: ValueKeys, store: DataKey) {
    this.#storage = storage
    this.#storeKey = storeKey
    this.#keys = keys
    this.#store = store
  }

  /** Throws StoreRefused where the key of the store's own rows is gone; `location` is for its message. */
  static async open(storage: Storage, storeKey: StoreKey, location: string): Promise<EncryptedStorage> {
    const keys = new ValueKeys(storeKey, (from, to, limit) =>
      storage.range({ from, to, limit, bytesMax: KEY_PAGE_BYTES })
    )
    const found = await keys.load(STORE)
    if (found instanceof DataKey) return new EncryptedStorage(storage, storeKey, keys, found)
    const [first] = await storage.range({ from: FIRST_KEY, to: LAST_KEY, limit: 1, bytesMax: 1 })
    if (found !== undefined || first !== undefined) {
      const detail = "has lost the key of its own rows, in both places; import a backup into a new store"
      throw new StoreRefused({ path: location, reason: "corrupt", detail })
    }
    const { key, rows } = newDataKey(STORE, storeKey)
    await storage.batch(rows.map(([key, value]) => ({ key, value })))
    keys.set(STORE, key)
    return new EncryptedStorage(storage, storeKey, keys, key)
  }

  async batch(operations: ReadonlyArray<Put>, options?: BatchOptions): Promise<void> {
    const sealed: Array<Put> = []
    const made: Array<Uint8Array> = []
    for (const { key, value } of operations) if (value !== undefined && isKeyRow(key)) this.#noteKeyRow(key, value)
    let of: Uint8Array | undefined
    let dataKey: DataKey | undefined
    for (const put of operations) {
      const { key, value } = put
      if (value === undefined || isKeyRow(key)) {
        sealed.push(put)
        continue
      }
      const stream = streamOfKey(key)
      if (of === undefined || Buffer.compare(stream, of) !== 0) {
        of = stream
        const known =
          this.#keys.known(stream) ?? (await this.#keys.load(stream)) ?? (await this.#make(stream, sealed, made))
        dataKey = known instanceof DataKey ? known : undefined
      }
      sealed.push({
        key,
        value:
          dataKey === undefined
            ? sealValue(key, value, cipherKeyOf(this.#store, key), UNDER_STORE_KEY)
            : sealValue(key, value, cipherKeyOf(dataKey, key), 0)
      })
    }
    try {
      await this.#storage.batch(sealed, options)
    } catch (error) {
      // Whether they are there is not known: the rows will say.
      for (const stream of made) this.#keys.forget(stream)
      for (const { key } of operations) if (isKeyRow(key)) this.#keys.forget(key.subarray(-Keys.STREAM_ID_BYTES))
      throw error
    }
  }

  /** A key for a stream that has none, unless it has values of one that is lost. */
  async #make(stream: Uint8Array, puts: Array<Put>, made: Array<Uint8Array>): Promise<DataKey | "unreadable"> {
    const [event] = await this.#storage.range({
      from: Keys.eventKey(stream, 0),
      to: Keys.streamEnd(stream),
      limit: 1,
      bytesMax: 1
    })
    const own = Uint8Array.from(stream)
    if (event !== undefined) {
      this.#keys.set(own, "unreadable")
      return "unreadable"
    }
    const { key, rows } = newDataKey(own, this.#storeKey)
    for (const [rowKey, value] of rows) puts.push({ key: rowKey, value })
    this.#keys.set(own, key)
    made.push(own)
    return key
  }

  #noteKeyRow(key: Uint8Array, value: Uint8Array): void {
    const payload = decodeRow(key, value)
    const stream = Uint8Array.from(key.subarray(-Keys.STREAM_ID_BYTES))
    if (payload !== undefined && isDestroyed(payload)) this.#keys.set(stream, "destroyed")
    else this.#keys.forget(stream)
  }

  async range(options: RangeOptions): Promise<ReadonlyArray<KeyValue>> {
    return this.#keys.open(await this.#storage.range(options))
  }

  async compact(from: Uint8Array, to: Uint8Array): Promise<void> {
    await this.#storage.compact?.(from, to)
  }

  reopen(): Promise<void> {
    return this.#storage.reopen()
  }

  close(): Promise<void> {
    return this.#storage.close()
  }
}
