/**
 * Takes the sessions of a backup into a store. Everything is checked before anything is written, every session keeps its id, and
 * what the store has already is compared (StreamCompare.ts) and never changed. No engine may be using the store; the backup is
 * only read.
 */
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { EntryCheck, missingEnds } from "../../journal/EntryCheck.ts"
import { type EntryReader, openEntries } from "../../journal/EntryReader.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { KEPT_BOUNDS, keptRowParts } from "../../journal/KeptRows.ts"
import * as Keys from "../../journal/Keys.ts"
import type { KeyValue, Storage } from "../../journal/Storage.ts"
import {
  checkOwnFolder,
  checkPrivateFolder,
  guardStore,
  readEnds,
  readFormat,
  readKeyName,
  STORE_FORMAT,
  STORE_FORMAT_REMOVALS
} from "../../journal/StoreGuard.ts"
import type { StoreKeySource } from "../../journal/StoreKey.ts"
import { type StorePaths, storePaths } from "../session/StorePaths.ts"
import { BackupRefused, SessionDiffers } from "./CareError.ts"
import { Erasures } from "./Erasures.ts"
import { checkRoom } from "./FreeSpace.ts"
import { RecordCheck } from "./RecordCheck.ts"
import { type Comparison, compareStreams } from "./StreamCompare.ts"
import { Batch, begin, noteEnds, withTarget } from "./TargetStore.ts"

export interface ImportReport {
  readonly backup: string
  readonly isDryRun: boolean
  readonly sessions: ReadonlyArray<Comparison>
}

export interface ImportOptions {
  /** Compares and writes nothing. */
  readonly dryRun: boolean
  /** A session that differs is left alone and the others are taken; else one refuses all. */
  readonly skipDifferent: boolean
  /** Of an encrypted backup, where that is another one than the store's. */
  readonly backupKey?: StoreKeySource | undefined
  readonly signal?: AbortSignal | undefined
}

/** Throws BackupRefused, SessionDiffers, StoreInUse, StoreRefused, TargetFull, StorageUnavailable. */
export const importBackup = async (
  paths: StorePaths,
  folder: string,
  options: ImportOptions
): Promise<ImportReport> => {
  const backup = storePaths(resolve(folder), options.backupKey ?? paths.key)
  const { format, reader } = await openBackup(backup, paths)
  try {
    const erasures = new Erasures()
    await checkBackup(backup, reader, erasures, options.signal)
    const sessions = options.dryRun
      ? await compareWith(paths, reader, erasures)
      : await withTarget(paths, format, async (storage) => {
          const found = await compareWith(paths, reader, erasures)
          const different = found.find(({ outcome }) => outcome === "differs")
          if (different !== undefined && !options.skipDifferent) {
            throw new SessionDiffers({ session: different.session, sequence: different.differsAt })
          }
          await write(paths, storage, reader, found, options.signal)
          return found
        })
    return { backup: backup.store, isDryRun: options.dryRun, sessions }
  } finally {
    reader.close()
  }
}

// --- the backup ------------------------------------------------------------------------------------------------------

const openBackup = async (backup: StorePaths, paths: StorePaths) => {
  const refuse = (reason: string) => new BackupRefused({ backup: backup.store, session: "", record: 0, reason })
  if (backup.store === paths.store) throw refuse("is the store itself")
  checkOwnFolder(backup.store)
  checkPrivateFolder(backup.journal)
  const format = readFormat(backup.journal)
  if (format === undefined) throw refuse(`has no format.json; run: reprise repair --store ${backup.store}`)
  if (format > STORE_FORMAT) {
    const detail = `has format ${format}, this version reads up to ${STORE_FORMAT}; use a newer reprise`
    throw new StoreRefused({ path: backup.journal, reason: "format", detail })
  }
  const key = readKeyName(backup.journal) === undefined ? undefined : backup.key
  // What its records need of a store, encrypted or not.
  return { format: Math.min(format, STORE_FORMAT_REMOVALS), reader: await openEntries(backup.journal, key) }
}

/** Reads all of it before anything is written anywhere. */
const checkBackup = async (
  backup: StorePaths,
  reader: EntryReader,
  erasures: Erasures,
  signal: AbortSignal | undefined
) => {
  const refuse = (session: string, reason: string) =>
    new BackupRefused({ backup: backup.store, session, record: 0, reason })
  const records = new RecordCheck(backup.store)
  const entries = new EntryCheck()
  for await (const page of reader.pages()) {
    signal?.throwIfAborted()
    for (const [key, value] of page) {
      records.add(key, value)
      entries.add(key, value)
      erasures.add(key, value, "backup")
    }
  }
  const [damage] = reader.damages.filter(({ loss, needsRepair }) => needsRepair || loss !== "none")
  if (damage !== undefined) throw refuse("", `db/${damage.file} ${damage.detail}`)
  const { ends, endsDamage } = readEnds(backup.journal)
  if (endsDamage !== undefined) throw refuse("", endsDamage)
  const [missing] = missingEnds(entries.report(), ends)
  if (missing !== undefined) {
    throw refuse(
      missing.stream,
      `session ${missing.stream}: events ${missing.from} to ${missing.to} are missing at its end`
    )
  }
}

// --- the store -------------------------------------------------------------------------------------------------------

/** Reads the store beside whoever has it open. */
const compareWith = async (
  paths: StorePaths,
  backup: EntryReader,
  erasures: Erasures
): Promise<ReadonlyArray<Comparison>> => {
  if (!existsSync(paths.journal)) return compareStreams(backup, undefined, undefined, erasures)
  const { ends, isNew } = guardStore(paths.journal, false)
  if (isNew) return compareStreams(backup, undefined, undefined, erasures)
  const store = await openEntries(paths.journal, paths.key)
  try {
    return await compareStreams(backup, store, ends, erasures)
  } finally {
    store.close()
  }
}

const write = async (
  paths: StorePaths,
  storage: Storage,
  backup: EntryReader,
  sessions: ReadonlyArray<Comparison>,
  signal: AbortSignal | undefined
): Promise<void> => {
  const wanted = new Map(
    sessions
      .filter(({ keptRows, missing }) => missing.length > 0 || keptRows.length > 0)
      .map((one) => [one.session as string, one])
  )
  checkRoom(
    paths.store,
    [...wanted.values()].reduce((sum, { missingBytes }) => sum + missingBytes, 0)
  )
  const batch = new Batch(storage)
  const eachPage = async (put: (entry: KeyValue) => void) => {
    for await (const page of backup.pages()) {
      signal?.throwIfAborted()
      page.forEach(put)
      await batch.flushFull()
    }
  }
  // Before the events that need them.
  for await (const page of backup.pages(KEPT_BOUNDS)) {
    signal?.throwIfAborted()
    for (const [key, value] of page) {
      const { name = "", stream = "", to } = keptRowParts(key) ?? {}
      const one = wanted.get(stream)
      if (one?.removedTo === to && one?.keptRows.includes(name)) batch.put(key, value)
    }
    await batch.flushFull()
  }
  // A session without its first event is one whose import was interrupted, and is finished by the next: so that comes last.
  let first: KeyValue | undefined
  await eachPage(([key, value]) => {
    const one = Keys.isEventKey(key) ? wanted.get(Keys.streamOf(key)) : undefined
    const sequence = one === undefined ? 0 : Keys.sequenceOf(key)
    if (first !== undefined && sequence <= 1) first = begin(batch, first)
    if (one?.missing.some(([from, to]) => sequence >= from && sequence <= to) !== true) return
    if (sequence === 1) first = [Uint8Array.from(key), Uint8Array.from(value)]
    else batch.put(key, value)
  })
  if (first !== undefined) begin(batch, first)
  await batch.flush()
  noteEnds(
    paths,
    [...wanted.values()].map(({ head, session }) => [session, head])
  )
}
