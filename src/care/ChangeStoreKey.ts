/**
 * Puts an encrypted store under another key, where it is: the keys of its sessions are wrapped anew, and what they encrypt stays as
 * it is. No engine may run. At every moment one of the two keys opens the store (journal/KeyChange.ts says how), and when this
 * returns, no file of it holds a key under the old one.
 */
import { existsSync, readdirSync } from "node:fs"
import { basename, join } from "node:path"
import { Effect, Layer } from "effect"
import { KEY_CHANGE_SPACE } from "../../journal/DataKeys.ts"
import { Journal } from "../../journal/Journal.ts"
import { describe } from "../../journal/JournalCore.ts"
import { StorageUnavailable, StoreRefused } from "../../journal/JournalError.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { KEY_CHANGE_KEY, type KeysWrapped, settleKeys, wrapCopies } from "../../journal/KeyChange.ts"
import { killPoint } from "../../journal/KillPoint.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { BEFORE_REPAIR_SUFFIX, checkPrivateFolder, guardStore, writeKeyName } from "../../journal/StoreGuard.ts"
import { keyFor, loadStoreKey, nameOf, type StoreKey, type StoreKeySource } from "../../journal/StoreKey.ts"
import { guardTables } from "../../journal/TableGuard.ts"
import { TargetFull } from "../files/FileError.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { StoreInUse } from "./CareError.ts"
import { lockHolder } from "./LockHolder.ts"

export interface KeyChangeReport {
  /** Names of the keys; `from` is null where the store was under the new key before, and an earlier change was at most finished. */
  readonly from: string | null
  readonly to: string
  /** Keys that are wrapped anew, the store's own among them; null with `from`. */
  readonly keys: number | null
  /** Keys that were lost before, and stay so: their sessions are told as damaged. */
  readonly lost: number
  /** Beside the journal, from earlier repairs: they still hold keys under the old one. */
  readonly left: ReadonlyArray<string>
}

export interface KeyChangeOptions {
  readonly actor: string
  readonly nowMicros: number
  readonly signal?: AbortSignal | undefined
}

/**
 * `paths.key` is the key until now. Throws StoreRefused, StoreInUse, TargetFull, StorageUnavailable; the store is under the old
 * key then, unless the message says otherwise.
 */
export const changeStoreKey = async (
  paths: StorePaths,
  source: StoreKeySource,
  options: KeyChangeOptions
): Promise<KeyChangeReport> => {
  checkPrivateFolder(paths.store)
  const { database, keyName } = guardStore(paths.journal, false)
  if (keyName === undefined) {
    const detail =
      "is not encrypted, and has no key that could be changed; an encrypted one is made of it by: " +
      "reprise --store NEW --key-file FILE import THIS"
    throw new StoreRefused({ path: paths.journal, reason: "key", detail })
  }
  const to = loadStoreKey(source)
  if (to.name === keyName && (paths.key === undefined || loadStoreKey(paths.key).name === keyName)) {
    const detail = `is encrypted with the key ${keyName}, which is the one in ${nameOf(source)}; nothing was changed`
    throw new StoreRefused({ path: paths.journal, reason: "key", detail })
  }
  const isSwitched = to.name === keyName
  const from = isSwitched ? to : keyFor(paths.journal, keyName, paths.key)!
  refuseInUse(paths, database)
  const wrapped = isSwitched ? undefined : await switchKeys(paths, database, from, to, options)
  await finish({ ...paths, key: source }, to)
  return {
    from: isSwitched ? null : from.name,
    to: to.name,
    keys: wrapped?.streams ?? null,
    lost: wrapped?.lost ?? 0,
    left: oldJournals(paths)
  }
}

/** Up to the moment from which on the new key opens the store. */
const switchKeys = async (
  paths: StorePaths,
  database: string,
  from: StoreKey,
  to: StoreKey,
  { actor, nowMicros, signal }: KeyChangeOptions
): Promise<KeysWrapped> => {
  await guardTables(paths.journal, database, Number.POSITIVE_INFINITY, async () => {
    if (await LevelStorage.isLocked(database)) throw inUse(paths, database)
  })
  const storage = await LevelStorage.open(database, "power", false).catch(async (cause: unknown) => {
    throw (await LevelStorage.isLocked(database)) ? inUse(paths, database) : failed(paths, cause)
  })
  try {
    // Another change that was begun.
    await settleKeys(storage, from)
    const change = { from: from.name, to: to.name, actor, timeMicros: nowMicros }
    const wrapped = await wrapCopies(storage, from, to, change, () => signal?.throwIfAborted())
    signal?.throwIfAborted()
    killPoint("storekey.switch.before")
    writeKeyName(paths.journal, to.name)
    killPoint("storekey.switch.after")
    return wrapped
  } catch (cause) {
    // Where that fails too, the next opening does it.
    if (guardStore(paths.journal, false).keyName === from.name) await settleKeys(storage, from).catch(() => {})
    throw signal?.aborted === true ? cause : failed(paths, cause)
  } finally {
    await storage.close()
  }
}

/** An opening does the rest, as it does behind a process that died; whether it could, the row of the change says. */
const finish = async (paths: StorePaths, to: StoreKey): Promise<void> => {
  const layer = JournalLevel.layer({ location: paths.journal, key: paths.key, create: false, durability: "power" })
  const row = await Effect.runPromise(
    Journal.use((journal) => journal.row(KEY_CHANGE_SPACE, KEY_CHANGE_KEY)).pipe(Effect.provide(Layer.fresh(layer)))
  )
  if (row === undefined || row.value.byteLength === 0) return
  const reason = `the key ${to.name} opens the store from now on, and files still hold keys under the old one: free some space, see \`reprise doctor\`, and run the same command again`
  throw new StorageUnavailable({ operation: "append", reason, diskFull: false })
}

const refuseInUse = (paths: StorePaths, database: string): void => {
  if (lockHolder(database) !== undefined) throw inUse(paths, database)
}

const inUse = (paths: StorePaths, database: string): StoreInUse =>
  new StoreInUse({ store: paths.store, pid: lockHolder(database) || null })

const failed = (paths: StorePaths, cause: unknown): unknown => {
  if (cause instanceof StoreRefused || cause instanceof StorageUnavailable || cause instanceof StoreInUse) return cause
  const reason = describe(cause)
  if (/ENOSPC|EDQUOT|No space left/i.test(reason)) return new TargetFull({ target: paths.store, reason })
  return new StorageUnavailable({ operation: "append", reason, diskFull: false })
}

/** Journals as they were before a repair, and tables that were put right. */
const oldJournals = (paths: StorePaths): ReadonlyArray<string> => [
  ...readdirSync(paths.store)
    .filter((name) => name.startsWith(basename(paths.journal) + BEFORE_REPAIR_SUFFIX))
    .map((name) => join(paths.store, name)),
  ...[join(paths.journal, "damaged")].filter((folder) => existsSync(folder) && holdsTables(folder))
]

const holdsTables = (folder: string): boolean => readdirSync(folder).some((name) => name.endsWith(".ldb"))
