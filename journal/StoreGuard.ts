/**
 * Decides whether a folder may be opened as a journal, and refuses with the reason otherwise. A store is never created
 * where anything else is, never followed through a symbolic link, never opened when parts of it are missing (LevelDB
 * would make an empty one and delete the rest). Nothing here repairs.
 *
 *   JOURNAL/              0700
 *     format.json         which format, and of an encrypted store the name of its key; written last, so that its presence means "complete"
 *     ends.json           where the streams ended at the last clean stop
 *     db/                 LevelDB
 *     unsettled, damaged/ of TableGuard.ts
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  type Stats,
  writeFileSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { crc32 } from "node:zlib"
import { type SessionId, STORE_STREAM } from "./Event.ts"
import { StoreRefused } from "./JournalError.ts"
import { readSmallFile } from "./SmallFile.ts"

/** The latest format this version reads, with those before it; later ones are refused by name. */
export const STORE_FORMAT = 3
/** What a store begins with: nothing was ever removed from it. An older reprise reads it too. */
const STORE_FORMAT_FIRST = 1
/** Beginnings of streams may have been removed. */
export const STORE_FORMAT_REMOVALS = 2
/** Its values are encrypted; anything of the formats before may be in it. */
const STORE_FORMAT_ENCRYPTED = 3

/** CURRENT and format.json are one short line. */
const LINE_BYTES_MAX = 4096
/** A thousand streams of some 50 bytes each. */
const ENDS_BYTES_MAX = 1024 * 1024

const refuse = (path: string, reason: StoreRefused["reason"], detail: string) =>
  new StoreRefused({ path, reason, detail })

const statOf = (path: string): Stats | undefined => {
  try {
    return lstatSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw refuse(path, "permissions", `cannot be looked at: ${(error as Error).message}`)
  }
}

/** One folder after the other: Node's own recursive form never returns below /proc. */
const makeFolder = (path: string): void => {
  const parent = dirname(path)
  if (parent !== path && statOf(parent) === undefined) makeFolder(parent)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Two that start at the same time make the same folders.
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return
    throw refuse(path, "permissions", `cannot be made: ${(error as Error).message}`)
  }
}

/**
 * A folder that is ours alone: made with mode 0700 when missing, tightened when it is empty, refused when it is a link,
 * another user's, or open to others and in use.
 */
export const ensurePrivateFolder = (path: string): void => {
  const stat = statOf(path)
  if (stat === undefined) {
    makeFolder(path)
    // The umask of the caller may have taken bits away or, for the last folder, be irrelevant: say it once more.
    chmodSync(path, 0o700)
    return
  }
  if (isPrivateFolder(path, stat)) return
  if (readdirSync(path).length > 0) throw isOpenToOthers(path, stat)
  chmodSync(path, 0o700)
}

/** The same question, changing nothing: throws for a folder that is missing, a link, another user's, or open to others. */
export const checkPrivateFolder = (path: string): void => {
  const stat = statOf(path)
  if (stat === undefined) throw refuse(path, "missing", "does not exist")
  if (!isPrivateFolder(path, stat)) throw isOpenToOthers(path, stat)
}

/** Throws for a link, something else than a folder, and another user's folder. One that is missing is none of them. */
export const checkOwnFolder = (path: string): void => {
  const stat = statOf(path)
  if (stat !== undefined) isPrivateFolder(path, stat)
}

/** False: it is ours, and open to others. */
const isPrivateFolder = (path: string, stat: Stats): boolean => {
  if (stat.isSymbolicLink()) throw refuse(path, "symlink", "is a symbolic link; name the folder itself")
  if (!stat.isDirectory()) throw refuse(path, "foreign", "is not a folder")
  if (process.getuid !== undefined && stat.uid !== process.getuid()) {
    throw refuse(path, "permissions", `belongs to user ${stat.uid}; use a folder of your own`)
  }
  return (stat.mode & 0o077) === 0
}

const isOpenToOthers = (path: string, { mode }: Stats): StoreRefused =>
  refuse(path, "permissions", `is open to other users (mode ${(mode & 0o777).toString(8)}); run: chmod 700 ${path}`)

export interface GuardedStore {
  readonly database: string
  /** The database does not exist yet and may be created. */
  readonly isNew: boolean
  /** Beginnings of streams may have been removed: what an older reprise would take for damage. */
  readonly hasRemovals: boolean
  /** Its values are encrypted, with the store key of this name. */
  readonly keyName: string | undefined
  /** Stream ends recorded by the last clean stop; undefined when there are none to compare with. */
  readonly ends: ReadonlyMap<SessionId, number> | undefined
  /** Why the recorded ends cannot be used, if so. */
  readonly endsDamage: string | undefined
}

/** `create: false` (readers) refuses a store that does not exist instead of making one. */
export const guardStore = (location: string, create: boolean): GuardedStore => {
  const stat = statOf(location)
  if (stat === undefined) {
    refuseHalfRepaired(location)
    if (!create) throw refuse(location, "missing", "does not exist")
  }
  ensurePrivateFolder(location)
  const database = join(location, "db")
  const names = readdirSync(location).filter((name) => !name.endsWith(".tmp"))
  const format = readFormat(location)
  const parts = databaseParts(database)
  if (format === undefined) {
    if (names.length > 0 && !names.includes("db")) {
      throw refuse(location, "foreign", "is not empty and not a journal; choose another folder")
    }
    // An engine that died while it made the store left a database in which nothing can have been recorded yet.
    if (names.every((name) => name === "db") && !holdsRecords(database)) {
      return { ...NEW_STORE, database }
    }
    throw refuse(location, "incomplete", "format.json is missing; run: reprise repair")
  }
  if (format > STORE_FORMAT) {
    throw refuse(
      location,
      "format",
      `has format ${format}, this version reads up to ${STORE_FORMAT}; use a newer reprise`
    )
  }
  if (parts !== "complete") {
    throw refuse(
      location,
      "incomplete",
      `its database is incomplete (${parts}); run: reprise repair; nothing was touched`
    )
  }
  return {
    database,
    isNew: false,
    hasRemovals: format > STORE_FORMAT_FIRST,
    keyName: readKeyName(location),
    ...readEnds(location)
  }
}

const NEW_STORE = {
  isNew: true,
  hasRemovals: false,
  keyName: undefined,
  ends: undefined,
  endsDamage: undefined
} as const

/** What a repair makes beside a journal, and what it keeps of the one before: JOURNAL.repair-TIME, JOURNAL.before-repair-TIME. */
export const REPAIR_SUFFIX = ".repair-"
export const BEFORE_REPAIR_SUFFIX = ".before-repair-"

/** Between the two renames of a repair there is no journal: whoever opens the store must not begin a new one. */
const refuseHalfRepaired = (location: string): void => {
  const folder = dirname(location)
  if (statOf(folder)?.isDirectory() !== true) return
  const kept = readdirSync(folder).find((name) => name.startsWith(`${basename(location)}${BEFORE_REPAIR_SUFFIX}`))
  if (kept === undefined) return
  throw refuse(
    location,
    "incomplete",
    `is missing, and ${kept} is there: a repair was interrupted; run: reprise repair`
  )
}

const holdsRecords = (database: string): boolean =>
  statOf(database) !== undefined &&
  readdirSync(database).some(
    (name) => name.endsWith(".ldb") || (name.endsWith(".log") && statOf(join(database, name))!.size > 0)
  )

/** `complete`, or what LevelDB needs and is not there: CURRENT and the MANIFEST it names. */
export const databaseParts = (database: string): string => {
  const stat = statOf(database)
  if (stat === undefined) return "missing"
  if (stat.isSymbolicLink()) throw refuse(database, "symlink", "is a symbolic link")
  const entries = readdirSync(database, { withFileTypes: true })
  // LevelDB would wait in one for ever.
  const odd = entries.find((entry) => entry.isFIFO() || entry.isSocket())
  if (odd !== undefined) throw refuse(join(database, odd.name), "foreign", "is not a file; move it away")
  const names = entries.map(({ name }) => name)
  if (names.length === 0) return "empty"
  const refuseCurrent = (what: string) => refuse(join(database, "CURRENT"), "foreign", `${what}; move it away`)
  const manifest = readSmallFile(join(database, "CURRENT"), LINE_BYTES_MAX, refuseCurrent)?.trim()
  if (manifest === undefined) return "CURRENT is missing"
  if (!/^MANIFEST-\d+$/.test(manifest)) return "CURRENT is damaged"
  return names.includes(manifest) ? "complete" : `${manifest} is missing`
}

/** undefined: there is none. Throws StoreRefused when it cannot be read. */
export const readFormat = (location: string): number | undefined => readFormatFile(location)?.format

/** The name of the store key that an encrypted store is encrypted with; undefined of any other. Throws as readFormat does. */
export const readKeyName = (location: string): string | undefined => readFormatFile(location)?.keyName

const readFormatFile = (location: string) => {
  const damaged = (what: string) => refuse(location, "corrupt", `format.json ${what}; run: reprise repair`)
  const text = readSmallFile(join(location, "format.json"), LINE_BYTES_MAX, damaged)
  if (text === undefined) return undefined
  try {
    const { format, key } = JSON.parse(text) as {
      readonly format?: unknown
      readonly key?: unknown
    }
    if (typeof format === "number" && Number.isInteger(format) && format > 0) {
      if (format !== STORE_FORMAT_ENCRYPTED) return { format, keyName: undefined }
      if (typeof key === "string" && /^[0-9a-f]{16}$/.test(key)) return { format, keyName: key }
    }
  } catch {
    // Falls through to the refusal: not JSON.
  }
  throw damaged("is damaged")
}

/** Written when the database is complete, with a rename, so that it is never half there. With a key it is that of an encrypted store. */
export const writeFormat = (location: string, format = STORE_FORMAT_FIRST, keyName?: string | undefined): void =>
  replaceFile(
    join(location, "format.json"),
    keyName === undefined
      ? `{"format":${format}}\n`
      : `${JSON.stringify({ format: STORE_FORMAT_ENCRYPTED, key: keyName })}\n`
  )

/** Before the first removal: from here on an older reprise refuses the store instead of calling it damaged. Durable when it returns. */
export const allowRemovals = (location: string): void => {
  writeFormat(location, STORE_FORMAT_REMOVALS)
  syncFolderOf(location)
}

/** From here on an encrypted store is opened with this key, and with no other. Durable when it returns. */
export const writeKeyName = (location: string, keyName: string): void => {
  writeFormat(location, undefined, keyName)
  syncFolderOf(location)
}

const syncFolderOf = (location: string): void => {
  const folder = openSync(location, "r")
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

export const ENDS_DAMAGE =
  "ends.json is damaged: whether the newest events of the last run are all there cannot be told"

/** Throws StoreRefused (`corrupt`) for what is no file: nothing could take its place at the next clean stop. */
export const readEnds = (location: string): Pick<GuardedStore, "ends" | "endsDamage"> => {
  const path = join(location, "ends.json")
  const text = readSmallFile(path, ENDS_BYTES_MAX, (what) =>
    refuse(location, "corrupt", `ends.json ${what}; run: reprise repair`)
  )
  if (text === undefined) return { ends: undefined, endsDamage: undefined }
  try {
    const [body = "", sum = ""] = text.split("\n")
    if (crc32(body).toString(16) !== sum) throw new Error("checksum")
    return { ends: new Map(JSON.parse(body) as ReadonlyArray<[SessionId, number]>), endsDamage: undefined }
  } catch {
    return {
      ends: undefined,
      endsDamage: ENDS_DAMAGE
    }
  }
}

export const writeEnds = (location: string, ends: ReadonlyMap<SessionId, number>): void => {
  const body = JSON.stringify([...ends])
  replaceFile(join(location, "ends.json"), `${body}\n${crc32(body).toString(16)}\n`)
}

/**
 * `damage`: that of the ends that are replaced. It is the only word of what may be gone, so it is kept in damaged/ first, with
 * the file as it was; where it cannot be kept, the file stays.
 */
export const replaceEnds = (
  location: string,
  ends: ReadonlyMap<SessionId, number>,
  damage: string | undefined
): void => {
  if (damage !== undefined) {
    const folder = join(location, "damaged")
    try {
      ensurePrivateFolder(folder)
      copyFileSync(join(location, "ends.json"), join(folder, "ends"))
      const lost = [{ stream: STORE_STREAM, from: 0, to: null, reason: damage }]
      replaceFile(join(folder, "ends.json"), JSON.stringify(lost))
      syncFolderOf(folder)
      syncFolderOf(location)
    } catch {
      // A full disk: the next opening finds the damage again.
      return
    }
  }
  writeEnds(location, ends)
}

/** Whole or not at all, whatever happens meanwhile. */
export const replaceFile = (path: string, content: string): void => {
  const temporary = join(dirname(path), `.${process.pid}.tmp`)
  writeFileSync(temporary, content, { mode: 0o600, flush: true })
  renameSync(temporary, path)
}
