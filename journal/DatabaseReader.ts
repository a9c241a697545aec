/**
 * Reads a LevelDB folder without LevelDB: every entry as it is at one moment, in the order of the keys, while an engine goes on
 * writing or after LevelDB itself would refuse. Checks, backups, repairs and imports use it. It opens nothing for writing and
 * never touches LOCK; it verifies every checksum LevelDB wrote, puts single flipped bits right, and names what cannot be read.
 *
 * One moment: the manifest says which tables and logs make up the store, tables never change, and a log only grows. All of them
 * are open before the first is read, so that a table that is merged away meanwhile is still read.
 */
import { closeSync, constants, opendirSync, readSync } from "node:fs"
import { join } from "node:path"
import { setImmediate, setTimeout } from "node:timers/promises"
import { StoreRefused } from "./JournalError.ts"
import { operationsOf, readLog } from "./LogFile.ts"
import { KEY_TAG_BYTES, type Manifest, readManifest, type Table } from "./Manifest.ts"
import { type OpenedFile, openFile } from "./SmallFile.ts"
import type { KeyValue } from "./Storage.ts"
import { type KeyRange, readTable, type TableDamage } from "./TableFile.ts"

/**
 * A table or log that reprise had LevelDB write has at most 16 MiB (a write buffer of 8 MiB and two batches); nothing longer is
 * read into memory.
 */
const FILE_BYTES_MAX = 64 * 1024 * 1024
/** Logs are read at once. LevelDB has two at a time, an engine that died often leaves a few more. */
const LOGS_BYTES_MAX = 4 * FILE_BYTES_MAX
/** At 2 MiB a table, a store of 200 GB. A folder with more is not looked through. */
const FILES_MAX = 100_000
/** Each try takes milliseconds, and only an opening or a merge in these milliseconds asks for another. */
const SNAPSHOT_TRIES_MAX = 20
const SNAPSHOT_RETRY_MILLIS = 5
/**
 * Tables that may hold the same key, one of each in memory at a time. LevelDB stops writing at 12 of the first level and has
 * six more levels; without a manifest, tables that were merged and not yet deleted come on top.
 */
const OVERLAPS_MAX = 200
/** Entries handed out at a time: enough that the turn between two pages costs nothing. */
const PAGE_ENTRIES = 512

/** Something in the files that is not as LevelDB wrote it. */
export interface FileDamage {
  /** Name in the folder. */
  readonly file: string
  readonly offset: number | null
  readonly detail: string
  /** `none`: put right while it was read. `keys`: those of the range are gone. `unknown`: what was lost cannot be told. */
  readonly loss: "none" | "keys" | "unknown"
  readonly keys: KeyRange | undefined
  /** LevelDB would refuse the folder, or lose more of it by opening it. */
  readonly needsRepair: boolean
}

export interface ReadOptions {
  /** Of an entry that was found without an index: whether it is one that was written. */
  readonly isEntry: (key: Uint8Array, value: Uint8Array) => boolean
  /** Default FILES_MAX. */
  readonly filesMax?: number | undefined
}

/** from is inclusive, to exclusive. */
export interface Bounds {
  readonly from: Uint8Array
  readonly to: Uint8Array
}

interface OpenFile extends OpenedFile {
  readonly name: string
}
interface OpenTable extends OpenFile {
  readonly table: Table
}
interface Candidate {
  readonly key: Uint8Array
  readonly order: number
  readonly value: Uint8Array | undefined
}

export class DatabaseReader {
  /** What was found so far; complete when `pages` has ended. */
  readonly damages: Array<FileDamage> = []
  readonly #options: ReadOptions
  readonly #files: Array<OpenFile> = []
  readonly #tables: Array<OpenTable> = []
  readonly #logs: Array<OpenFile> = []
  #memory: ReadonlyArray<Candidate> = []

  private constructor(options: ReadOptions) {
    this.#options = options
  }

  /** Throws StoreRefused for what is no folder of LevelDB's files, and for one that is too large to be one of ours. */
  static async open(database: string, options: ReadOptions): Promise<DatabaseReader> {
    for (let tries = 1; ; tries++) {
      const reader = new DatabaseReader(options)
      try {
        if (reader.#open(database, tries === SNAPSHOT_TRIES_MAX)) return reader
      } catch (error) {
        reader.close()
        throw error
      }
      reader.close()
      await setTimeout(SNAPSHOT_RETRY_MILLIS)
    }
  }

  /** Bytes of the files that are read. */
  get bytes(): number {
    return this.#files.reduce((sum, { stat }) => sum + stat.size, 0)
  }

  get tables(): number {
    return this.#tables.length
  }

  /** Must be called once, whether `pages` was read to its end or not. */
  close(): void {
    for (const { fd } of this.#files.splice(0)) closeSync(fd)
  }

  /** False: the files changed under it, try again. The last try takes missing files for what they then are. */
  #open(database: string, isLast: boolean): boolean {
    const names = namesIn(database, this.#options.filesMax ?? FILES_MAX)
    const manifest = this.#manifest(database)
    const tables = manifest?.tables ?? names.flatMap(unlistedTable)
    if (tables.length > FILES_MAX) throw refuse(database, "foreign", `lists ${tables.length} tables; this is no store`)
    for (const table of tables) {
      const file = this.#add(database, table.name) ?? this.#add(database, table.name.replace(/ldb$/, "sst"))
      if (file !== undefined) this.#tables.push({ ...file, table })
      else if (!isLast) return false
      else {
        const keys = keysOf(table)
        this.damages.push({
          file: table.name,
          offset: null,
          detail: "is missing",
          loss: "keys",
          keys,
          needsRepair: true
        })
      }
    }
    const first = manifest?.logNumber ?? 0
    const logs = names.filter((name) => /^\d+\.log$/.test(name) && Number.parseInt(name, 10) >= first)
    // The current log always exists: a manifest that names one that is gone was replaced a moment ago.
    if (manifest !== undefined && !isLast && !logs.some((name) => Number.parseInt(name, 10) === first)) return false
    for (const name of logs.sort(byNumber)) {
      const file = this.#add(database, name)
      if (file !== undefined) this.#logs.push(file)
      else if (!isLast) return false
    }
    if (manifest !== undefined && logs.length === 0) {
      const file = `${String(first).padStart(6, "0")}.log`
      this.damages.push({ ...UNKNOWN, file, detail: "is missing, and with it what was written last" })
    }
    if (this.#logs.reduce((sum, { stat }) => sum + stat.size, 0) > LOGS_BYTES_MAX) {
      throw refuse(database, "foreign", `has more than ${LOGS_BYTES_MAX} bytes of logs; this is no store`)
    }
    this.#memory = this.#logs.flatMap((file) => this.#operations(file)).sort(byKeyAndOrder)
    return true
  }

  #manifest(database: string): Manifest | undefined {
    const current = this.#add(database, "CURRENT")
    const content = current === undefined ? "" : contentOf(current).toString("latin1")
    const name = content.trim()
    const file = /^MANIFEST-\d+$/.test(name) ? this.#add(database, name) : undefined
    if (file === undefined) {
      const what = current === undefined ? "is missing" : name === "" ? "is empty" : "names no manifest that is there"
      this.damages.push({ ...CORRECTED, file: "CURRENT", detail: what, needsRepair: true })
      return undefined
    }
    // LevelDB takes it for half written.
    if (!content.endsWith("\n")) {
      this.damages.push({ ...CORRECTED, file: "CURRENT", detail: "does not end with a line feed", needsRepair: true })
    }
    const manifest = readManifest(contentOf(file))
    if (manifest?.isSound !== true) {
      const detail = manifest === undefined ? "is damaged" : FLIPPED
      this.damages.push({ ...CORRECTED, file: name, detail, needsRepair: true })
    }
    return manifest
  }

  /** undefined when it is not there. Nothing is followed out of the folder. */
  #add(database: string, name: string): OpenFile | undefined {
    const path = join(database, name)
    const refused = (what: string, code?: string) => {
      if (code === undefined) return refuse(path, "foreign", `${what}; this is no folder of a store`)
      if (code === "ELOOP") return refuse(path, "symlink", "is a symbolic link; nothing is followed out of a store")
      return refuse(path, "permissions", what)
    }
    const opened = openFile(path, refused, constants.O_NOFOLLOW)
    if (opened === undefined) return undefined
    const file = { name, ...opened }
    this.#files.push(file)
    if (file.stat.size > FILE_BYTES_MAX) {
      throw refuse(path, "foreign", `has ${file.stat.size} bytes; no file of a store has more than ${FILE_BYTES_MAX}`)
    }
    return file
  }

  #operations(file: OpenFile): ReadonlyArray<Candidate> {
    const operations: Array<Candidate> = []
    for (const item of readLog(contentOf(file))) {
      // A write that an engine's death cut off was acknowledged to nobody; one that is being written is not yet.
      if (item._tag === "Torn") continue
      const found = item._tag === "Record" ? operationsOf(item.record) : undefined
      if (found === undefined) {
        const bytes = item._tag === "Damaged" ? item.bytes : item.record.byteLength
        const detail = `${bytes} bytes are damaged: what was written with them is gone`
        this.damages.push({ ...UNKNOWN, file: file.name, offset: item.offset, detail })
        continue
      }
      if (item._tag === "Record" && item.isCorrected) {
        // LevelDB passes over the rest of such a block, and writes the log anew without it.
        this.damages.push({ ...CORRECTED, file: file.name, offset: item.offset, needsRepair: true })
      }
      for (const operation of found) operations.push(operation)
    }
    return operations
  }

  /**
   * Every entry that is there, in the order of the keys; with bounds, those of them alone, and no table is read that has none.
   * The bytes are only good until the next page is asked for. It can be run again: the moment stays the same.
   */
  async *pages(bounds?: Bounds): AsyncGenerator<ReadonlyArray<KeyValue>> {
    const tables = this.#tables.map((file) => this.#withRange(file))
    const wanted = bounds === undefined ? tables : tables.filter(({ table }) => overlaps(table, bounds))
    const memory = bounds === undefined ? this.#memory : this.#memory.filter(({ key }) => isWithin(key, bounds))
    const runs = [memory.values(), ...disjoint(wanted).map((run) => this.#entries(run))]
    const heads = runs.map((run) => run.next())
    let page: Array<KeyValue> = []
    let last: Uint8Array | undefined
    for (;;) {
      let least = -1
      for (let index = 0; index < heads.length; index++) {
        const head = heads[index]!
        if (!head.done && (least < 0 || byKeyAndOrder(head.value, heads[least]!.value) < 0)) least = index
      }
      if (least < 0) break
      const { key, value } = heads[least]!.value as Candidate
      heads[least] = runs[least]!.next()
      // The newest write of a key comes first; older ones, in older tables, are history.
      if (last !== undefined && Buffer.compare(last, key) === 0) continue
      last = key
      if (value === undefined || (bounds !== undefined && !isWithin(key, bounds))) continue
      page.push([key, value])
      if (page.length < PAGE_ENTRIES) continue
      yield page
      page = []
      // Whoever reads a large store can still be told to stop.
      await setImmediate()
    }
    if (page.length > 0) yield page
  }

  /** Of a table that no manifest lists, the keys are only known from itself. */
  #withRange(file: OpenTable): OpenTable {
    if (file.table.bytes >= 0) return file
    let smallest: Uint8Array | undefined
    let largest: Uint8Array = new Uint8Array(0)
    for (const entries of readTable(file.table, contentOf(file), [], this.#options.isEntry)) {
      smallest ??= Uint8Array.from(userKey(entries[0]!.key))
      largest = Uint8Array.from(userKey(entries[entries.length - 1]!.key))
    }
    return { ...file, table: { ...file.table, smallest: smallest ?? largest, largest } }
  }

  /** Tables that do not overlap, one after the other: one of them is in memory at a time. */
  *#entries(run: ReadonlyArray<OpenTable>): Generator<Candidate> {
    for (const file of run) {
      const { stat, table } = file
      const found: Array<TableDamage> = []
      for (const entries of readTable(table, contentOf(file), found, this.#options.isEntry)) {
        for (const { key, value } of entries) {
          const tag = Buffer.from(key.buffer, key.byteOffset + key.byteLength - KEY_TAG_BYTES, KEY_TAG_BYTES)
          yield { key: userKey(key), order: tag.readUIntLE(1, 6), value: tag[0] === 1 ? value : undefined }
        }
      }
      const isCut = table.bytes >= 0 && stat.size !== table.bytes
      const cut = `has ${stat.size} of ${table.bytes} bytes`
      if (isCut && found.length === 0) found.push({ offset: stat.size, lost: undefined })
      for (const { lost: keys, offset } of found) {
        const detail = isCut ? cut : keys === undefined ? FLIPPED : "is damaged"
        const loss = keys === undefined ? "none" : "keys"
        this.damages.push({ file: file.name, offset, detail, loss, keys, needsRepair: isCut })
      }
    }
  }
}

const FLIPPED = "has a flipped bit"
const CORRECTED = { offset: null, detail: FLIPPED, loss: "none", keys: undefined } as const
const UNKNOWN = { offset: null, loss: "unknown", keys: undefined, needsRepair: false } as const

const refuse = (path: string, reason: StoreRefused["reason"], detail: string) =>
  new StoreRefused({ path, reason, detail })

const namesIn = (folder: string, filesMax: number): Array<string> => {
  const names: Array<string> = []
  let handle: ReturnType<typeof opendirSync>
  try {
    handle = opendirSync(folder)
  } catch (error) {
    throw refuse(folder, "incomplete", `cannot be read: ${(error as Error).message}`)
  }
  try {
    for (let entry = handle.readSync(); entry !== null; entry = handle.readSync()) {
      names.push(entry.name)
      if (names.length > filesMax)
        throw refuse(folder, "foreign", `holds more than ${filesMax} files; this is no store`)
    }
  } finally {
    handle.closeSync()
  }
  return names
}

const contentOf = ({ fd, name, stat }: OpenFile): Buffer => {
  const content = Buffer.allocUnsafe(stat.size)
  let at = 0
  try {
    while (at < content.byteLength) {
      const read = readSync(fd, content, at, content.byteLength - at, at)
      if (read === 0) break
      at += read
    }
  } catch (error) {
    throw refuse(name, "corrupt", `cannot be read: ${(error as Error).message}; check the disk`)
  }
  return content.subarray(0, at)
}

/** Without a manifest every table counts: what one of them deleted or wrote anew says the order of the writes. */
const unlistedTable = (name: string): ReadonlyArray<Table> =>
  /^\d+\.(ldb|sst)$/.test(name)
    ? [{ name, number: Number.parseInt(name, 10), level: 0, bytes: -1, smallest: NO_KEY, largest: NO_KEY }]
    : []

const NO_KEY = new Uint8Array(0)

const keysOf = ({ largest, smallest }: Table): KeyRange => ({ from: smallest, isFromLost: true, to: largest })

const userKey = (key: Uint8Array): Uint8Array => key.subarray(0, key.byteLength - KEY_TAG_BYTES)

const byNumber = (one: string, other: string): number => Number.parseInt(one, 10) - Number.parseInt(other, 10)

const byKeyAndOrder = (one: Candidate, other: Candidate): number =>
  Buffer.compare(one.key, other.key) || other.order - one.order

const isWithin = (key: Uint8Array, { from, to }: Bounds): boolean =>
  Buffer.compare(key, from) >= 0 && Buffer.compare(key, to) < 0

const overlaps = ({ largest, smallest }: Table, { from, to }: Bounds): boolean =>
  Buffer.compare(largest, from) >= 0 && Buffer.compare(smallest, to) < 0

/** As few runs as the overlaps allow: a level of LevelDB's, in one. */
const disjoint = (tables: ReadonlyArray<OpenTable>): ReadonlyArray<ReadonlyArray<OpenTable>> => {
  const runs: Array<Array<OpenTable>> = []
  for (const one of tables.toSorted((a, b) => Buffer.compare(a.table.smallest, b.table.smallest))) {
    const run = runs.find((run) => Buffer.compare(run[run.length - 1]!.table.largest, one.table.smallest) < 0)
    if (run !== undefined) run.push(one)
    else if (runs.push([one]) > OVERLAPS_MAX) {
      throw refuse(one.name, "foreign", `overlaps with ${OVERLAPS_MAX} other tables; no store has such tables`)
    }
  }
  return runs
}
