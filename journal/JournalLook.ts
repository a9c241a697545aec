/**
 * A journal's folder looked at without being opened: whether an engine would open it, what is in it, what is damaged. Nothing
 * is written and no lock is taken, so an engine may be using it. Checks, backups, repairs and imports begin with it.
 */
import { lstatSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { DatabaseReader, type FileDamage } from "./DatabaseReader.ts"
import { EntryCheck, type EntryReport, isEntry, missingEnds } from "./EntryCheck.ts"
import { type Opening, openingOf } from "./EntryReader.ts"
import { type SessionId, STORE_STREAM } from "./Event.ts"
import type { Damage } from "./Journal.ts"
import { StoreRefused } from "./JournalError.ts"
import type { KeyValue } from "./Storage.ts"
import {
  checkOwnFolder,
  checkPrivateFolder,
  databaseParts,
  ENDS_DAMAGE,
  readEnds,
  readFormat,
  readKeyName,
  STORE_FORMAT
} from "./StoreGuard.ts"
import type { StoreKeySource } from "./StoreKey.ts"
import { damagesOf, earlierDamages } from "./TableGuard.ts"

export interface JournalLook {
  /** Why it cannot be opened as it is; undefined: it can. */
  readonly refused: StoreRefused | undefined
  /** A repair makes it one that can be opened, or keeps what opening would lose. */
  readonly needsRepair: boolean
  /** undefined: format.json does not say. */
  readonly format: number | undefined
  /** Where streams ended at the last clean stop, as far as that is known. */
  readonly ends: ReadonlyMap<SessionId, number> | undefined
  readonly files: ReadonlyArray<FileDamage>
  /** Files of the journal that others may read, or that are another user's; by name. */
  readonly exposed: ReadonlyArray<string>
  /** Everything that is known to be gone or wrong, in the events' terms. */
  readonly damages: ReadonlyArray<Damage>
  /** Those of them that reading the events does not show: what a copy of the events must be told of. */
  readonly hidden: ReadonlyArray<Damage>
  readonly entries: EntryReport
  /** Bytes of the database's files. */
  readonly bytes: number
  /** Without a key an encrypted journal is looked at too: its checksums are checked, and that the events follow one another. */
  readonly encryption: Pick<Opening, "keyName" | "isOpened" | "change" | "seal">
}

export interface LookOptions {
  /** Of an encrypted journal. One that is given and is not its key is refused. */
  readonly key?: StoreKeySource | undefined
  /**
   * Gets every entry as it is stored, in the order of the keys, and as it was before it was encrypted, where that can be known;
   * the bytes are only good until it returns.
   */
  readonly visit?:
    | ((page: ReadonlyArray<KeyValue>, opened: ReadonlyArray<KeyValue>) => Promise<void> | void)
    | undefined
}

/** Throws StoreRefused for what cannot be looked at (a link, another user's folder, a later format, another key). */
export const lookAtJournal = async (location: string, options: LookOptions = {}): Promise<JournalLook> => {
  checkPrivateFolder(location)
  const database = join(location, "db")
  const { format, refusedFormat } = formatOf(location)
  checkOwnFolder(database)
  const parts = databaseParts(database)
  const check = new EntryCheck()
  const keyName = format === undefined ? null : readKeyName(location)
  const reader = parts === "missing" ? undefined : await DatabaseReader.open(database, { isEntry })
  // Closed, it has none any more.
  const bytes = reader?.bytes ?? 0
  let encryption: Opening
  try {
    encryption = await openingOf(location, reader, keyName, options.key)
    const isSealed = encryption.keyName !== undefined && !encryption.isOpened
    if (reader !== undefined) {
      for await (const page of reader.pages()) {
        const opened = await encryption.open(page)
        page.forEach(([key, value], index) => {
          check.add(key, value, isSealed ? "sealed" : opened?.[index]?.[1])
        })
        await options.visit?.(page, opened ?? page)
      }
    }
  } finally {
    reader?.close()
  }
  const files = reader?.damages ?? []
  const entries = check.report()
  const { ends, endsDamage, refusedEnds } = endsOf(location)
  const hidden = [
    ...earlierDamages(location),
    ...files.flatMap(eventsOf),
    ...(endsDamage === undefined ? [] : [{ stream: STORE_STREAM, from: 0, to: null, reason: endsDamage }])
  ]
  const damages = [...hidden, ...entries.damages, ...missingEnds(entries, ends)]
  const refused = refusedFormat ?? refusalOf(location, parts, format, files, entries) ?? refusedEnds
  return {
    refused,
    needsRepair: refused !== undefined || files.some(({ needsRepair }) => needsRepair),
    format,
    ends,
    files,
    exposed: exposedFiles(location),
    damages: withoutRepetitions(damages),
    hidden: withoutRepetitions(hidden),
    entries,
    bytes,
    encryption
  }
}

const formatOf = (location: string) => {
  try {
    const format = readFormat(location)
    if (format === undefined || format <= STORE_FORMAT) return { format, refusedFormat: undefined }
  } catch (error) {
    if (!(error instanceof StoreRefused) || error.reason !== "corrupt") throw error
    return { format: undefined, refusedFormat: error }
  }
  const detail = `has format ${readFormat(location)}, this version reads up to ${STORE_FORMAT}; use a newer reprise`
  throw new StoreRefused({ path: location, reason: "format", detail })
}

const endsOf = (location: string) => {
  try {
    return { ...readEnds(location), refusedEnds: undefined }
  } catch (error) {
    if (!(error instanceof StoreRefused) || error.reason !== "corrupt") throw error
    return { ends: undefined, endsDamage: ENDS_DAMAGE, refusedEnds: error }
  }
}

const refusalOf = (
  location: string,
  parts: string,
  format: number | undefined,
  files: ReadonlyArray<FileDamage>,
  entries: EntryReport
): StoreRefused | undefined => {
  const refuse = (reason: StoreRefused["reason"], detail: string) =>
    new StoreRefused({ path: location, reason, detail: `${detail}; run: reprise repair` })
  // An engine that died while it made the store left no record; the next one makes it anew.
  const isUnfinished = format === undefined && entries.events + entries.rows === 0
  if (parts !== "complete")
    return isUnfinished ? undefined : refuse("incomplete", `its database is incomplete (${parts})`)
  if (format === undefined && !isUnfinished) return refuse("incomplete", "format.json is missing")
  const [worst] = files.filter(({ file, needsRepair }) => needsRepair && !file.endsWith(".log"))
  return worst && refuse("corrupt", `db/${worst.file} ${worst.detail}`)
}

/** What a damage of a file means for the events. */
const eventsOf = ({ detail, file, keys, loss, offset }: FileDamage): ReadonlyArray<Damage> => {
  const reason = `${file}${offset === null ? "" : `, ${offset}`}: ${detail}`
  if (loss === "keys" && keys !== undefined) return damagesOf(keys, reason)
  return loss === "unknown" ? [{ stream: STORE_STREAM, from: 0, to: null, reason }] : []
}

const withoutRepetitions = (damages: ReadonlyArray<Damage>): ReadonlyArray<Damage> => [
  ...new Map(damages.map((damage) => [JSON.stringify(damage), damage])).values()
]

const exposedFiles = (location: string): ReadonlyArray<string> =>
  ["", "db", "damaged"].flatMap((folder) => {
    let names: ReadonlyArray<string>
    try {
      names = readdirSync(join(location, folder))
    } catch {
      return []
    }
    return names
      .map((name) => join(folder, name))
      .filter((name) => {
        const stat = lstatSync(join(location, name), { throwIfNoEntry: false })
        return (
          stat !== undefined && ((stat.mode & 0o077) !== 0 || stat.uid !== process.getuid?.()) && !stat.isSymbolicLink()
        )
      })
  })
