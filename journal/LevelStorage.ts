/**
 * LevelDB as a `Storage`. It opens, writes, pages and closes, and knows nothing of events.
 *
 * LevelDB 1.20, as classic-level builds it, hides damage (no paranoid checks, no checksum verification on reads) and
 * goes on acknowledging after a failed write. Both are the journal's to answer: every value carries a checksum, and
 * `reopen` is called after the first failure. Some damage it meets with an assertion: `TableGuard` looks first. Nobody may ever open its LOCK file: closing any fd of it drops the lock.
 */
import { Level as LevelDatabase } from "level"
import type { Durability } from "./Journal.ts"
import type { KeyValue, Put, RangeOptions, Storage } from "./Storage.ts"

/**
 * Memory before a table is written, and the length of the log that the next opening reads again: 8 MiB opens in about
 * 40 ms and writes a flood at half the cost of LevelDB's own 4 MiB.
 */
const WRITE_BUFFER_BYTES = 8 * 1024 * 1024
/** Readers page forwards; a small cache of blocks is enough. */
const CACHE_BYTES = 8 * 1024 * 1024
/** A shorter page may stay in its iterator until V8 collects that. */
const LEFT_BYTES_MAX = 16 * 1024

const options = {
  keyEncoding: "view",
  valueEncoding: "view",
  writeBufferSize: WRITE_BUFFER_BYTES,
  cacheSize: CACHE_BYTES,
  compression: true
} as const

/** `level` gives classic-level wherever there is a file system, and its types say only what is the same everywhere. */
type Level = LevelDatabase<Uint8Array, Uint8Array> & {
  compactRange(from: Uint8Array, to: Uint8Array): Promise<void>
}

export class LevelStorage implements Storage {
  readonly #location: string
  readonly #sync: boolean
  #level: Level

  private constructor(location: string, durability: Durability, level: Level) {
    this.#location = location
    this.#sync = durability === "power"
    this.#level = level
  }

  /** `create` only for a folder known to be empty: LevelDB deletes the tables of a store whose CURRENT is missing. */
  static async open(location: string, durability: Durability, create: boolean): Promise<LevelStorage> {
    return new LevelStorage(location, durability, await openLevel(location, { createIfMissing: create }))
  }

  /** Whether another process has the store. LevelDB looks for its lock first, and here refuses before it reads anything. */
  static async isLocked(location: string): Promise<boolean> {
    try {
      await openLevel(location, { createIfMissing: false, errorIfExists: true })
      return false
    } catch (error) {
      return error instanceof Error && (error.cause as NodeJS.ErrnoException | undefined)?.code === "LEVEL_LOCKED"
    }
  }

  batch(operations: ReadonlyArray<Put>): Promise<void> {
    const batch = operations.map(({ key, value }) =>
      value === undefined ? ({ type: "del", key } as const) : ({ type: "put", key, value } as const)
    )
    return this.#level.batch(batch, { sync: this.#sync })
  }

  async range({ bytesMax, from, limit, reverse, to }: RangeOptions): Promise<ReadonlyArray<KeyValue>> {
    // An iterator for each page: none is left open over a slow reader, and none outlives a reopen.
    const iterator = this.#level.iterator({
      gte: from,
      lt: to,
      reverse: reverse ?? false,
      // One more than is taken: an iterator at its limit is not asked any further, and keeps its last page.
      limit: limit + 1,
      highWaterMarkBytes: bytesMax
    })
    try {
      const page = await iterator.nextv(limit)
      let bytes = 0
      for (const [, value] of page) bytes += value.byteLength
      if (bytes > LEFT_BYTES_MAX) {
        // classic-level keeps a copy of the page with the iterator, closed or not, until V8 collects it, which knows nothing
        // of that memory: a gigabyte read was 200 MB. Asked beyond its end, it lets go of it.
        iterator.seek(to)
        await iterator.nextv(1).catch(() => [])
      }
      return page
    } finally {
      await iterator.close()
    }
  }

  async compact(from: Uint8Array, to: Uint8Array): Promise<void> {
    await this.#level.compactRange(from, to)
  }

  async reopen(): Promise<void> {
    await this.#level.close()
    this.#level = await openLevel(this.#location, { createIfMissing: false })
  }

  close(): Promise<void> {
    return this.#level.close()
  }
}

const openLevel = async (
  location: string,
  how: { readonly createIfMissing: boolean; readonly errorIfExists?: boolean }
): Promise<Level> => {
  const level = new LevelDatabase(location, { ...options, ...how }) as Level
  await level.open()
  return level
}
