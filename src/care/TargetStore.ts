/**
 * A store that an import writes into: opened past the engine, which must not run, with every batch fsynced, and with records
 * put in as they are. What may be written is decided before, by who imports.
 */

import { EncryptedStorage } from "../../journal/EncryptedStorage.ts"
import type { SessionId } from "../../journal/Event.ts"
import { describe, SEALED_STREAMS_MAX } from "../../journal/JournalCore.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import * as Keys from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import type { KeyValue, Put, Storage } from "../../journal/Storage.ts"
import { guardStore, readEnds, readFormat, replaceEnds, writeFormat } from "../../journal/StoreGuard.ts"
import { keyFor, loadStoreKey } from "../../journal/StoreKey.ts"
import { guardTables } from "../../journal/TableGuard.ts"
import { TargetFull } from "../files/FileError.ts"
import { prepareStoreFolder } from "../session/StoreFolder.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { StoreInUse } from "./CareError.ts"
import { lockHolder } from "./LockHolder.ts"
import { liveRow } from "./Repair.ts"

/** One batch: large enough that its fsync costs little. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024

/** `format`: what the records that are brought need. Throws StoreInUse, StoreRefused, StorageUnavailable, and what `use` throws. */
export const withTarget = async <A>(
  paths: StorePaths,
  format: number,
  use: (storage: Storage) => Promise<A>
): Promise<A> => {
  prepareStoreFolder(paths)
  const { database, isNew, keyName } = guardStore(paths.journal, true)
  const key = isNew ? paths.key && loadStoreKey(paths.key) : keyFor(paths.journal, keyName, paths.key)
  if (!isNew) await guardTables(paths.journal, database, Number.POSITIVE_INFINITY, () => refuseLocked(paths, database))
  const storage = await LevelStorage.open(database, "power", isNew).catch(async (cause: unknown) => {
    await refuseLocked(paths, database)
    throw unavailable(cause)
  })
  try {
    const now = readFormat(paths.journal)
    if (now === undefined) writeFormat(paths.journal, undefined, key?.name)
    // An older reprise must not take what was removed for damage.
    if (key === undefined && (now ?? 1) < format) writeFormat(paths.journal, format)
    return await use(key === undefined ? storage : await EncryptedStorage.open(storage, key, paths.journal))
  } finally {
    await storage.close()
  }
}

const refuseLocked = async (paths: StorePaths, database: string): Promise<void> => {
  if (!(await LevelStorage.isLocked(database))) return
  throw new StoreInUse({ store: paths.store, pid: lockHolder(database) || null })
}

/** The engine looks at it when it starts next: nobody holds the process of a session that was running when it was backed up. */
export const begin = (batch: Batch, [key, value]: KeyValue): undefined => {
  batch.put(...liveRow(Keys.streamOf(key)))
  batch.put(key, value)
}

export class Batch {
  readonly #storage: Storage
  #puts: Array<Put> = []
  #bytes = 0

  constructor(storage: Storage) {
    this.#storage = storage
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#puts.push({ key, value })
    this.#bytes += key.byteLength + value.byteLength
  }

  /** Once it is as large as a batch should be. */
  async flushFull(): Promise<void> {
    if (this.#bytes >= BATCH_BYTES_MAX) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#puts.length === 0) return
    const puts = this.#puts
    this.#puts = []
    this.#bytes = 0
    await this.#storage.batch(puts).catch((cause: unknown) => {
      throw unavailable(cause)
    })
  }
}

/** Where the streams end now: what the next opening must find. */
export const noteEnds = (paths: StorePaths, heads: ReadonlyArray<readonly [SessionId, number]>): void => {
  const before = readEnds(paths.journal)
  const ends = new Map(before.ends)
  for (const [stream, head] of heads) {
    const known = ends.get(stream) ?? 0
    ends.delete(stream)
    ends.set(stream, Math.max(known, head))
  }
  replaceEnds(paths.journal, new Map([...ends].slice(-SEALED_STREAMS_MAX)), before.endsDamage)
}

const unavailable = (cause: unknown): Error => {
  const reason = describe(cause)
  return /ENOSPC|EDQUOT|No space left/i.test(reason)
    ? new TargetFull({ target: "the store", reason })
    : new StorageUnavailable({ operation: "append", reason, diskFull: false })
}
