/**
 * A backup of a store: a folder that is a store itself, with every event and every row of one moment, read while an engine goes
 * on writing and read back before it has its name. It opens nothing of the original for writing.
 *
 *   TARGET.tmp/       while it is made
 *   TARGET/           0700
 *     journal/        as in any store
 *     config.json     the original's, if it has one
 *     backup.json     what it is a backup of (BackupNote)
 */
import { join } from "node:path"
import type { SessionId } from "../../journal/Event.ts"
import type { Damage } from "../../journal/Journal.ts"
import { StorageUnavailable, StoreRefused } from "../../journal/JournalError.ts"
import { type JournalLook, lookAtJournal } from "../../journal/JournalLook.ts"
import { JournalWriter, syncFolder } from "../../journal/JournalWriter.ts"
import * as Keys from "../../journal/Keys.ts"
import { checkPrivateFolder, replaceFile } from "../../journal/StoreGuard.ts"
import { packageVersion } from "../EntryPoints.ts"
import { makeTargetFolder } from "../files/TargetFolder.ts"
import { readConfigText } from "../session/EngineConfig.ts"
import { type StorePaths, storePaths } from "../session/StorePaths.ts"
import { BACKUP_NOTE_FILE, type BackupNote } from "./BackupNote.ts"

export interface BackupReport {
  readonly target: string
  readonly sessions: number
  readonly events: number
  /** Of the keys and values of the events. */
  readonly bytes: number
  /** Over all events, in order (EntryReport). */
  readonly sha256: string
  /** What of the original could not be read; it is named in the backup too. */
  readonly damages: ReadonlyArray<Damage>
}

export interface BackupOptions {
  readonly nowMicros: number
  /** Ends the work at the next page; nothing is left behind. */
  readonly signal?: AbortSignal | undefined
}

/** Written to find out whether a disk takes writes: of no use anywhere else. */
const ROW_LEFT_OUT = Keys.rowKey("probe", new Uint8Array(0))

/** Throws StoreRefused, TargetRefused, StorageUnavailable; nothing of the backup is there then. */
export const backup = async (paths: StorePaths, target: string, options: BackupOptions): Promise<BackupReport> => {
  checkPrivateFolder(paths.store)
  const { done, target: final } = await makeTargetFolder(paths, target, (folder) => fill(paths, folder, options))
  return { ...done, target: final }
}

/** format.json is gone, and with it the name of the key. */
export const withoutKey = (paths: StorePaths): StoreRefused => {
  const detail = "is encrypted, and its format.json is missing: give the key (--key-file) and run: reprise repair"
  return new StoreRefused({ path: paths.journal, reason: "key", detail })
}

const fill = async (
  paths: StorePaths,
  folder: string,
  { nowMicros, signal }: BackupOptions
): Promise<Omit<BackupReport, "target">> => {
  // First: one that cannot be copied is told before everything else is.
  const config = readConfigText(paths)
  const journal = storePaths(folder).journal
  const writer = await JournalWriter.create(journal)
  let original: JournalLook
  try {
    original = await lookAtJournal(paths.journal, {
      key: paths.key,
      visit: (page) => {
        signal?.throwIfAborted()
        return writer.write(page.filter(([key]) => Buffer.compare(key, ROW_LEFT_OUT) !== 0))
      }
    })
  } finally {
    await writer.close()
  }
  const { damages, encryption, entries, hidden } = original
  if (encryption.keyName === "") throw withoutKey(paths)
  const format = original.format ?? (entries.hasRemovals ? 2 : 1)
  const { keyName } = encryption
  writer.finish({ format, keyName, ends: knownEnds(original), damages: hidden, name: "backup" })
  signal?.throwIfAborted()
  const copy = (await lookAtJournal(journal, { key: paths.key, visit: () => signal?.throwIfAborted() })).entries
  if (copy.sha256 !== entries.sha256 || copy.events !== entries.events) {
    const reason = `the backup does not read back as it was written (${copy.events} of ${entries.events} events); check the disk of the target`
    throw new StorageUnavailable({ operation: "append", reason, diskFull: false })
  }
  const { eventBytes: bytes, events, sessions, sha256 } = entries
  if (config !== undefined) replaceFile(storePaths(folder).config, config)
  const note: BackupNote = {
    store: paths.store,
    timeMicros: nowMicros,
    version: packageVersion,
    sessions,
    events,
    bytes,
    sha256
  }
  replaceFile(join(folder, BACKUP_NOTE_FILE), `${JSON.stringify(note)}\n`)
  syncFolder(folder)
  return { sessions, events, bytes, sha256, damages }
}

/** Where streams must end, from the last stop and from what is there: an end that was lost stays lost in a copy. */
export const knownEnds = ({ ends, entries }: JournalLook): ReadonlyMap<SessionId, number> => {
  const all = new Map(ends)
  for (const { head, stream } of entries.streams) {
    const known = all.get(stream) ?? 0
    all.delete(stream)
    all.set(stream, Math.max(known, head))
  }
  return all
}
