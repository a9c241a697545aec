/**
 * A storage that holds at most so many bytes: beyond, a write is refused before anything of it is written, as on a full
 * disk, and the journal suspends until there is room. Wraps the storage of a journal on disk; it knows no events.
 *
 * The size of a store is what its files take, and only looking tells: LevelDB compresses and compacts. It is looked at when
 * what was written since might fill the rest, so a store that is far from its quota costs an addition for each batch.
 */
import { folderBytes } from "./FolderBytes.ts"
import type { BatchOptions, KeyValue, Put, RangeOptions, Storage } from "./Storage.ts"

/** Near the quota it is looked at once for so many bytes: the store may be larger by this and by one batch (4 MiB). */
const LOOK_BYTES_MIN = 256 * 1024
/** It goes on when so much of the quota is free: one that fills again at once would only interrupt every session each time. */
const ROOM_PART = 1 / 32

export interface QuotaOptions {
  /** Everything in it counts. */
  readonly folder: string
  /** Asked at each look, so that it may be raised while the store is full. null: no quota. */
  readonly bytesMax: () => number | null
}

/** The write was not done, and everything is as it was. */
export class QuotaReached extends Error {
  override readonly name = "QuotaReached"
  readonly bytesMax: number
  constructor(bytesMax: number) {
    super(
      `the store's quota of ${bytesMax} bytes is reached and nothing can be journaled; raise limits.storeBytes in its ` +
        "config.json or remove old events with reprise prune, sessions go on by themselves then"
    )
    this.bytesMax = bytesMax
  }
}

export class JournalQuota implements Storage {
  readonly #storage: Storage
  readonly #options: QuotaOptions
  /** Bytes that may be written before it is looked at again. */
  #left = 0
  /** The last write was refused for the quota: nothing is wrong with the storage itself. */
  #isFull = false

  constructor(storage: Storage, options: QuotaOptions) {
    this.#storage = storage
    this.#options = options
  }

  async batch(operations: ReadonlyArray<Put>, options?: BatchOptions): Promise<void> {
    if (options?.makesRoom === true) return this.#makeRoom(operations)
    let bytes = 0
    for (const { key, value } of operations) bytes += key.byteLength + (value?.byteLength ?? 0)
    if (bytes > this.#left) await this.#look(bytes, operations)
    this.#left -= bytes
    await this.#storage.batch(operations)
  }

  async #makeRoom(operations: ReadonlyArray<Put>): Promise<void> {
    // Looked at before the next write, which may find room.
    this.#left = 0
    try {
      await this.#storage.batch(operations, { makesRoom: true })
    } catch (error) {
      // Something is wrong with the storage itself, whatever the last write was refused for: it must be opened again.
      this.#isFull = false
      throw error
    }
  }

  async #look(bytes: number, operations: ReadonlyArray<Put>): Promise<void> {
    const bytesMax = this.#options.bytesMax()
    if (bytesMax === null) {
      this.#left = Number.POSITIVE_INFINITY
      return
    }
    const room = bytesMax - (await folderBytes(this.#options.folder))
    this.#left = Math.max(room, LOOK_BYTES_MIN, bytes)
    // What only deletes makes room.
    if (room >= bytes || operations.every(({ value }) => value === undefined)) return
    this.#left = 0
    this.#isFull = true
    throw new QuotaReached(bytesMax)
  }

  range(options: RangeOptions): Promise<ReadonlyArray<KeyValue>> {
    return this.#storage.range(options)
  }

  async compact(from: Uint8Array, to: Uint8Array): Promise<void> {
    await this.#storage.compact?.(from, to)
  }

  async reopen(): Promise<void> {
    if (!this.#isFull) return this.#storage.reopen()
    const bytesMax = this.#options.bytesMax()
    if (bytesMax !== null && (await folderBytes(this.#options.folder)) > bytesMax * (1 - ROOM_PART)) {
      throw new QuotaReached(bytesMax)
    }
    this.#isFull = false
    this.#left = 0
  }

  close(): Promise<void> {
    return this.#storage.close()
  }
}
