/**
 * Keeps LevelDB from meeting damage that would end the process: the tables are checked before it opens them, and what is
 * wrong is put right (one flipped bit, a footer) or taken out of its sight (a block, in the worst case a table) and
 * named. The table as it was is kept first. `JournalLevel` calls it at an opening, `verify` for all tables.
 *
 *   JOURNAL/
 *     unsettled         how many openings in a row ended neither cleanly nor after a minute
 *     damaged/          000005.ldb as it was found, 000005.ldb.json: the events that are gone with what was taken out;
 *                       ends and ends.json the same of StoreGuard.ts
 */
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync
} from "node:fs"
import { open, readFile } from "node:fs/promises"
import { join } from "node:path"
import type { SessionId } from "./Event.ts"
import { STORE_STREAM } from "./Event.ts"
import type { Damage } from "./Journal.ts"
import { StoreRefused } from "./JournalError.ts"
import * as Keys from "./Keys.ts"
import { liveTables, type Table } from "./Manifest.ts"
import { readSmallFile } from "./SmallFile.ts"
import { ensurePrivateFolder, replaceFile } from "./StoreGuard.ts"
import { checkTable, type KeyRange, type TableFinding } from "./TableFile.ts"

/**
 * What an opening checks: the newest tables, which hold the sessions that go on and which LevelDB merges first. About
 * 20 ms, most of it before the code is compiled; opening must not depend on the length of the history. A store that is no
 * larger is checked whole.
 */
const OPENING_BYTES_MAX = 4 * 1024 * 1024
/** So many engines in a row that did not live a minute: damage in an older table may end them, and all are checked. */
const UNSETTLED_OPENINGS_MAX = 2
/** Reading what ends an engine, or merging it, happens within seconds of the opening that is asked for it. */
const SETTLED_MILLIS = 60_000
/** A number. */
const UNSETTLED_BYTES_MAX = 64
/** Fails where a FIFO stands in the file's place, instead of waiting for its reader. */
const WRITE_AT_ONCE = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK
/** What was lost with one table, some 200 bytes for each of its blocks; or with a whole journal that was repaired. */
const DAMAGES_BYTES_MAX = 64 * 1024 * 1024

/** The first opening after two that died checks everything, however long that takes. */
export const openingBytesMax = (location: string): number =>
  unsettledOpenings(location) < UNSETTLED_OPENINGS_MAX ? OPENING_BYTES_MAX : Number.POSITIVE_INFINITY

const unsettledOpenings = (location: string): number => {
  try {
    return Number.parseInt(readSmallFile(join(location, "unsettled"), UNSETTLED_BYTES_MAX) ?? "", 10) || 0
  } catch {
    return 0
  }
}

/** Call before LevelDB opens a store that exists; `settle` after a clean stop, `undo` when the opening was refused. */
export const noteOpening = (location: string): { readonly settle: () => void; readonly undo: () => void } => {
  const path = join(location, "unsettled")
  const before = unsettledOpenings(location)
  const note = (openings: number) => {
    try {
      if (openings === 0) return rmSync(path, { force: true })
      const fd = openSync(path, WRITE_AT_ONCE, 0o600)
      try {
        writeSync(fd, `${openings}\n`)
      } finally {
        closeSync(fd)
      }
    } catch {
      // A full disk must not keep anybody from reading; a death is only found out later then.
    }
  }
  note(before + 1)
  const timer = setTimeout(() => note(0), SETTLED_MILLIS)
  timer.unref()
  return {
    settle: () => {
      clearTimeout(timer)
      note(0)
    },
    undo: () => {
      clearTimeout(timer)
      note(before)
    }
  }
}

/**
 * Checks the newest tables up to `bytesMax`, makes what is wrong harmless, and names it. `beforeEdit` refuses when the
 * store is another process's: nothing is written then.
 */
export const guardTables = async (
  location: string,
  database: string,
  bytesMax: number,
  beforeEdit: () => Promise<void>
): Promise<ReadonlyArray<Damage>> => {
  const damages: Array<Damage> = []
  let bytes = 0
  for (const table of newestFirst(tablesOf(database) ?? [])) {
    bytes += table.bytes
    if (bytes > bytesMax) break
    const path = join(database, table.name)
    const content = await readFile(path).catch(() => undefined)
    // Merged into another one meanwhile, or missing: LevelDB says which.
    const findings = content === undefined ? [] : checkTable(table, content)
    if (findings.length === 0) continue
    await beforeEdit()
    damages.push(...(await makeHarmless(location, path, table, findings)))
  }
  return damages
}

const tablesOf = (database: string): ReadonlyArray<Table> | undefined => {
  try {
    const manifest = readFileSync(join(database, "CURRENT"), "latin1").trim()
    return liveTables(readFileSync(join(database, manifest)))
  } catch {
    return undefined
  }
}

/** Level 0 is what was written last and is merged next. */
const newestFirst = (tables: ReadonlyArray<Table>) =>
  tables.toSorted((a, b) => Math.min(a.level, 1) - Math.min(b.level, 1) || b.number - a.number)

const makeHarmless = async (
  location: string,
  path: string,
  table: Table,
  findings: ReadonlyArray<TableFinding>
): Promise<ReadonlyArray<Damage>> => {
  const folder = join(location, "damaged")
  const lost = findings.flatMap((finding) =>
    finding.lost === undefined ? [] : damagesOf(finding.lost, `table ${table.name}, ${finding.offset}: a damaged block`)
  )
  try {
    ensurePrivateFolder(folder)
    // The first copy is the table as it was: a later one would lack what the first edit took out.
    const copy = join(folder, table.name)
    if (!existsSync(copy)) copyFileSync(path, copy, constants.COPYFILE_EXCL)
    if (lost.length > 0) {
      const list = join(folder, `${table.name}.json`)
      replaceFile(list, JSON.stringify([...(existsSync(list) ? readDamages(list) : []), ...lost]))
    }
    const file = await open(path, "r+")
    try {
      for (const { edit } of findings) await file.write(edit.bytes, 0, edit.bytes.byteLength, edit.offset)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof StoreRefused) throw cause
    const detail = `table ${table.name} is damaged and cannot be kept aside: ${(cause as Error).message}`
    throw new StoreRefused({ path: location, reason: "corrupt", detail })
  }
  const corrected = findings.filter((finding) => finding.lost === undefined)
  return [
    ...lost,
    ...corrected.map(({ offset }) => ({
      stream: STORE_STREAM,
      from: 0,
      to: null,
      reason: `table ${table.name}, ${offset}: damaged and put right; nothing is lost. The table as it was: ${folder}`
    }))
  ]
}

/** What earlier openings took out: an end of a stream that is gone leaves no hole. */
export const earlierDamages = (location: string): ReadonlyArray<Damage> => {
  const folder = join(location, "damaged")
  const stat = statSync(folder, { throwIfNoEntry: false })
  if (stat === undefined) return []
  if (!stat.isDirectory()) {
    throw new StoreRefused({ path: folder, reason: "foreign", detail: "is not a folder; move it away" })
  }
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => readDamages(join(folder, name)))
}

const readDamages = (path: string): ReadonlyArray<Damage> => {
  try {
    return JSON.parse(readSmallFile(path, DAMAGES_BYTES_MAX) ?? "[]") as ReadonlyArray<Damage>
  } catch {
    return [{ stream: STORE_STREAM, from: 0, to: null, reason: `${path} is damaged: it names events that are gone` }]
  }
}

/** The events between two keys; the streams that begin and end in between stand in the reason. */
export const damagesOf = ({ from, isFromLost, to }: KeyRange, reason: string): ReadonlyArray<Damage> => {
  const first = place(from)
  const last = place(to)
  // Rows are made again from the events.
  if (first === undefined) return [{ stream: STORE_STREAM, from: 0, to: null, reason: `${reason} of rows` }]
  const start = first.sequence + (isFromLost ? 0 : 1)
  if (first.stream === last?.stream) return [{ stream: first.stream, from: start, to: last.sequence, reason }]
  const between = `${reason}, from stream ${first.stream} to ${last?.stream ?? "the last one"}`
  return [
    { stream: first.stream, from: start, to: null, reason: between },
    ...(last === undefined ? [] : [{ stream: last.stream, from: 1, to: last.sequence, reason: between }])
  ]
}

/** LevelDB shortens the keys in an index: what is cut off counts as 0. Undefined among the rows. */
const place = (key: Uint8Array): { readonly stream: SessionId; readonly sequence: number } | undefined => {
  if (key[0] === Keys.ROW_PREFIX) return undefined
  const full = Buffer.alloc(Keys.EVENT_KEY_BYTES)
  full.set(key.subarray(0, Keys.EVENT_KEY_BYTES))
  return { stream: Keys.streamOf(full), sequence: Keys.sequenceOf(full) }
}
