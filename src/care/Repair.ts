/**
 * Makes a journal that an engine would refuse, or lose more of by opening it, one that can be opened: everything that verifies is
 * written into a new journal beside it, read back, and put in its place. The old one is kept as it was. What is gone stays
 * named; nothing is made up for it.
 *
 *   STORE/journal.repair-TIME/           while it is made, complete once it has a format.json
 *   STORE/journal.before-repair-TIME/    the journal as it was
 */
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs"
import { basename, join } from "node:path"
import { isEntry } from "../../journal/EntryCheck.ts"
import type { SessionId } from "../../journal/Event.ts"
import type { Damage } from "../../journal/Journal.ts"
import { describe } from "../../journal/JournalCore.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import { type JournalLook, lookAtJournal } from "../../journal/JournalLook.ts"
import { JournalWriter, syncFolder } from "../../journal/JournalWriter.ts"
import * as Keys from "../../journal/Keys.ts"
import { encodeRow } from "../../journal/Record.ts"
import type { KeyValue } from "../../journal/Storage.ts"
import { BEFORE_REPAIR_SUFFIX, checkPrivateFolder, REPAIR_SUFFIX } from "../../journal/StoreGuard.ts"
import { keyFor } from "../../journal/StoreKey.ts"
import { TargetFull } from "../files/FileError.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { knownEnds, withoutKey } from "./Backup.ts"
import { StoreInUse } from "./CareError.ts"
import { checkRoom } from "./FreeSpace.ts"
import { lockHolder } from "./LockHolder.ts"

/** What a repair would do. */
export interface RepairPlan {
  /**
   * `sound`: nothing is wrong. `damaged`: it can be opened, and what is gone cannot be brought back. `repairable`: a repair has
   * something to do. `unfinished`: a repair was interrupted between its two renames, and is only finished.
   */
  readonly state: "sound" | "damaged" | "repairable" | "unfinished"
  /** Why an engine would refuse it, or what it would lose. */
  readonly reasons: ReadonlyArray<string>
  readonly sessions: number
  readonly events: number
  /** Of the database's files: a repair needs about as many more. */
  readonly fileBytes: number
  readonly damages: ReadonlyArray<Damage>
}

export interface RepairReport extends RepairPlan {
  /** Where the journal is that was there before; null when nothing was done. */
  readonly kept: string | null
}

export interface RepairOptions {
  readonly nowMicros: number
  readonly signal?: AbortSignal | undefined
}

/** Reads everything, changes nothing. */
export const planRepair = async (paths: StorePaths, signal?: AbortSignal): Promise<RepairPlan> => {
  checkPrivateFolder(paths.store)
  if (interrupted(paths) !== undefined) {
    return {
      state: "unfinished",
      reasons: ["a repair was interrupted"],
      sessions: 0,
      events: 0,
      fileBytes: 0,
      damages: []
    }
  }
  return planOf(await lookAtJournal(paths.journal, { key: paths.key, visit: () => signal?.throwIfAborted() }), paths)
}

const planOf = (look: JournalLook, paths: StorePaths): RepairPlan => {
  const { bytes, damages, encryption, entries, files, needsRepair, refused } = look
  // Which sessions lived, an encrypted journal tells with its key only.
  if (needsRepair && !encryption.isOpened) {
    if (encryption.keyName === "") throw withoutKey(paths)
    keyFor(paths.journal, encryption.keyName, undefined)
  }
  return {
    state: needsRepair ? "repairable" : damages.length > 0 ? "damaged" : "sound",
    reasons: [
      ...(refused === undefined ? [] : [refused.detail.replace(/; run: reprise repair.*$/, "")]),
      ...files.filter(({ needsRepair }) => needsRepair).map(({ detail, file }) => `db/${file} ${detail}`)
    ],
    sessions: entries.sessions,
    events: entries.events,
    fileBytes: bytes,
    damages
  }
}

/** Throws StoreRefused, StoreInUse, TargetFull, StorageUnavailable; the journal is as it was then. */
export const repair = async (paths: StorePaths, { nowMicros, signal }: RepairOptions): Promise<RepairReport> => {
  checkPrivateFolder(paths.store)
  refuseInUse(paths)
  const begun = interrupted(paths)
  if (begun !== undefined) return finish(paths, begun)
  const plan = await planRepair(paths, signal)
  if (plan.state !== "repairable") return { ...plan, kept: null }
  removeUnfinished(paths)
  checkRoom(paths.store, plan.fileBytes)
  const time = new Date(nowMicros / 1000).toISOString().replace(/[-:]|\.\d+/g, "")
  const made = paths.journal + REPAIR_SUFFIX + time
  const kept = paths.journal + BEFORE_REPAIR_SUFFIX + time
  try {
    await make(paths, made, signal)
    refuseInUse(paths)
    signal?.throwIfAborted()
  } catch (error) {
    rmSync(made, { recursive: true, force: true })
    throw error
  }
  renameSync(paths.journal, kept)
  renameSync(made, paths.journal)
  syncFolder(paths.store)
  return { ...plan, kept }
}

const make = async (paths: StorePaths, folder: string, signal: AbortSignal | undefined): Promise<void> => {
  const writer = await JournalWriter.create(folder)
  let original: JournalLook
  try {
    original = await lookAtJournal(paths.journal, {
      key: paths.key,
      visit: async (page) => {
        signal?.throwIfAborted()
        // Events that do not verify are kept as they are, and named by every read; rows are made again.
        await writer.write(page.filter(([key, value]) => key[0] !== Keys.ROW_PREFIX || isEntry(key, value)))
      }
    })
    const { seal } = original.encryption
    const live = original.entries.streams.filter(({ isLive }) => isLive)
    await writer.write(await Promise.all(live.map(({ stream }) => seal(liveRow(stream)))))
  } catch (error) {
    if (!(error instanceof StorageUnavailable) || !error.diskFull) throw error
    throw new TargetFull({ target: paths.store, reason: describe(error) })
  } finally {
    await writer.close()
  }
  const copy = await lookAtJournal(folder, { key: paths.key, visit: () => signal?.throwIfAborted() })
  if (copy.entries.sha256 !== original.entries.sha256 || copy.files.length > 0) {
    const reason = "the repaired journal does not read back as it was written; check the disk"
    throw new StorageUnavailable({ operation: "append", reason, diskFull: false })
  }
  const format = original.format ?? (original.entries.hasRemovals ? 2 : 1)
  const { keyName } = original.encryption
  writer.finish({ format, keyName, ends: knownEnds(original), damages: original.hidden, name: basename(folder) })
}

/** As the engine writes it for a session that is not closed: a starting engine must look at it. */
export const liveRow = (stream: SessionId): KeyValue => {
  const key = Keys.rowKey("live", Buffer.from(stream, "latin1"))
  return [key, encodeRow(key, new Uint8Array(0))]
}

const refuseInUse = (paths: StorePaths): void => {
  const pid = lockHolder(join(paths.journal, "db"))
  if (pid !== undefined) throw new StoreInUse({ store: paths.store, pid: pid === 0 ? null : pid })
}

/** The journal that was moved away, when nothing took its place yet. */
const interrupted = (paths: StorePaths): string | undefined =>
  existsSync(paths.journal)
    ? undefined
    : readdirSync(paths.store)
        .filter((name) => name.startsWith(basename(paths.journal) + BEFORE_REPAIR_SUFFIX))
        .sort()
        .at(-1)

const finish = async (paths: StorePaths, name: string): Promise<RepairReport> => {
  const kept = join(paths.store, name)
  const made = kept.replace(BEFORE_REPAIR_SUFFIX, REPAIR_SUFFIX)
  // Complete before the first rename was done; without it the journal goes back to where it was.
  const isComplete = existsSync(join(made, "format.json"))
  renameSync(isComplete ? made : kept, paths.journal)
  syncFolder(paths.store)
  const plan = await planRepair(paths)
  return { ...plan, state: "unfinished", kept: isComplete ? kept : null }
}

const removeUnfinished = (paths: StorePaths): void => {
  for (const name of readdirSync(paths.store)) {
    const path = join(paths.store, name)
    if (!name.startsWith(basename(paths.journal) + REPAIR_SUFFIX) || existsSync(join(path, "format.json"))) continue
    rmSync(path, { recursive: true, force: true })
  }
}
