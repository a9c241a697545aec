/**
 * Writes a whole journal folder from raw entries: what a backup and a repair make. The folder must not exist before; until
 * `finish` it has no format.json, so that nobody takes a part of it for a store. Nothing is decoded, every batch is fsynced.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs"
import { join } from "node:path"
import type { SessionId } from "./Event.ts"
import type { Damage } from "./Journal.ts"
import { describe, SEALED_STREAMS_MAX } from "./JournalCore.ts"
import { StorageUnavailable } from "./JournalError.ts"
import { LevelStorage } from "./LevelStorage.ts"
import type { KeyValue, Put } from "./Storage.ts"
import { replaceFile, writeEnds, writeFormat } from "./StoreGuard.ts"

/** One batch: large enough that its fsync costs little. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024

export interface JournalEnd {
  readonly format: number
  /** Of an encrypted store. */
  readonly keyName?: string | undefined
  /** Where the streams end, oldest first; the newest are kept. */
  readonly ends: ReadonlyMap<SessionId, number>
  /** What of the original is not in it: named in every later opening. */
  readonly damages: ReadonlyArray<Damage>
  /** Of the list of damages. */
  readonly name: string
}

export class JournalWriter {
  readonly #location: string
  readonly #storage: LevelStorage
  #puts: Array<Put> = []
  #bytes = 0

  private constructor(location: string, storage: LevelStorage) {
    this.#location = location
    this.#storage = storage
  }

  /** Throws when the folder is there, and StorageUnavailable when it cannot be made. */
  static async create(location: string): Promise<JournalWriter> {
    mkdirSync(location, { mode: 0o700 })
    const database = join(location, "db")
    mkdirSync(database, { mode: 0o700 })
    return new JournalWriter(location, await LevelStorage.open(database, "power", true).catch(unavailable))
  }

  /** The bytes may be used again when it resolves. */
  async write(entries: ReadonlyArray<KeyValue>): Promise<void> {
    for (const [key, value] of entries) {
      this.#puts.push({ key, value })
      this.#bytes += key.byteLength + value.byteLength
      if (this.#bytes >= BATCH_BYTES_MAX) await this.#flush()
    }
    await this.#flush()
  }

  async #flush(): Promise<void> {
    if (this.#puts.length === 0) return
    const puts = this.#puts
    this.#puts = []
    this.#bytes = 0
    await this.#storage.batch(puts).catch(unavailable)
  }

  /** Ends the writing, with or without `finish`. */
  close(): Promise<void> {
    return this.#storage.close()
  }

  /** After `close`, and after whoever writes has seen that it is all there. */
  finish({ damages, ends, format, keyName, name }: JournalEnd): void {
    if (damages.length > 0) {
      mkdirSync(join(this.#location, "damaged"), { mode: 0o700 })
      replaceFile(join(this.#location, "damaged", `${name}.json`), JSON.stringify(damages))
      syncFolder(join(this.#location, "damaged"))
    }
    writeEnds(this.#location, new Map([...ends].slice(-SEALED_STREAMS_MAX)))
    writeFormat(this.#location, format, keyName)
    syncFolder(this.#location)
  }
}

/** A rename is only durable once its folder is. */
export const syncFolder = (path: string): void => {
  const fd = openSync(path, "r")
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const unavailable = (cause: unknown): never => {
  const reason = describe(cause)
  throw new StorageUnavailable({ operation: "append", reason, diskFull: /ENOSPC|EDQUOT|No space left/i.test(reason) })
}
