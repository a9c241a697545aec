/**
 * Changing the key of an encrypted store: the keys of its sessions are wrapped with another one, and nothing that they encrypt
 * is touched. Whoever changes it (src/care/changeStoreKey.ts) and every opening of a journal use it; it knows no events, and leaves
 * `format.json`, which says whose turn it is, to them.
 *
 * Each wrapped key is there twice (DataKeys.ts), and that is what makes the change safe:
 *
 *   1  a row says that a change has begun, from which key to which
 *   2  every copy (space wrap) is wrapped with the new key; space key is still under the old one
 *   3  every copy is read back
 *   4  format.json names the new key: the one moment before which the old key opens the store, and the new one afterwards
 *   5  space key follows, and the files are written anew, so that nothing under the old key is in any of them
 *   6  the store's own stream tells of it, and the row of the first step is emptied in the same batch
 *
 * A reader goes on to the copy where a row does not open (ValueKeys.ts). So whenever a process dies, the key that format.json
 * names opens everything; and the next opening brings both spaces under that one: it finishes the change, or takes it back.
 */
import { KEY_CHANGE_SPACE, KEY_COPY_SPACE, KEY_SPACE, KEY_SPACES, unwrapDataKey, wrapDataKey } from "./DataKeys.ts"
import { StorageUnavailable } from "./JournalError.ts"
import * as Keys from "./Keys.ts"
import { killPoint } from "./KillPoint.ts"
import { decodeRow, encodeRow } from "./Record.ts"
import type { KeyValue, Put, Storage } from "./Storage.ts"
import type { StoreKey } from "./StoreKey.ts"

export interface KeyChange {
  /** Names of keys (StoreKey.ts). */
  readonly from: string
  readonly to: string
  readonly actor: string
  readonly timeMicros: number
}

export interface KeysWrapped {
  /** Streams whose keys are wrapped with the new key now, or were destroyed: the sessions and the store itself. */
  readonly streams: number
  /** Streams whose keys were lost before, in both places. */
  readonly lost: number
}

/** Streams at a time: some 100 KiB of rows. */
const STREAMS_AT_A_TIME = 512
const PAGE_BYTES = 256 * 1024
/** As for what was redacted: what is in memory becomes a table as it is, and only a second one makes LevelDB merge that table. */
const REWRITES = 2

export const KEY_CHANGE_KEY = Buffer.from("store")
const CHANGE = Keys.rowKey(KEY_CHANGE_SPACE, KEY_CHANGE_KEY)

/** The change that has begun and is not told yet; undefined: there is none. */
const readKeyChange = async (storage: Storage): Promise<KeyChange | undefined> => {
  const [found] = await storage.range({ from: CHANGE, to: afterKey(CHANGE), limit: 1, bytesMax: PAGE_BYTES })
  return found && keyChangeOf(found)
}

/** `row`: of KEY_CHANGE_SPACE. */
export const keyChangeOf = ([key, value]: KeyValue): KeyChange | undefined => {
  const payload = decodeRow(key, value)
  if (payload === undefined || payload.byteLength === 0) return undefined
  return JSON.parse(Buffer.from(payload).toString()) as KeyChange
}

/** Steps 1 to 3. `check` is called between pages and may throw: then, and after any other failure, `settleKeys` takes it back. */
export const wrapCopies = async (
  storage: Storage,
  from: StoreKey,
  to: StoreKey,
  change: KeyChange,
  check: () => void
): Promise<KeysWrapped> => {
  killPoint("storekey.begin.before")
  await storage.batch([{ key: CHANGE, value: encodeRow(CHANGE, Buffer.from(JSON.stringify(change))) }])
  killPoint("storekey.begin.after")
  let streams = 0
  let lost = 0
  for await (const pairs of pairsIn(storage)) {
    check()
    const puts: Array<Put> = []
    for (const pair of pairs) {
      const { found, known } = openPair(pair, from)
      if (known === undefined) lost++
      else streams++
      if (known === undefined || known === "destroyed") continue
      // Under the old key it is in one place only from now on: there it must be good.
      if (found[0] === undefined) puts.push(put(wrapDataKey(KEY_SPACE, pair.stream, known, from)))
      puts.push(put(wrapDataKey(KEY_COPY_SPACE, pair.stream, known, to)))
      forget(found)
    }
    killPoint("storekey.copies.before")
    if (puts.length > 0) await storage.batch(puts)
    killPoint("storekey.copies.after")
  }
  for await (const pairs of pairsIn(storage)) {
    check()
    for (const { rows, stream } of pairs) {
      const [old, copy] = rows.map((row, space) => open(space, stream, row, space === 0 ? from : to))
      const isSame = Buffer.isBuffer(old) ? Buffer.isBuffer(copy) && old.equals(copy) : true
      forget([old, copy])
      if (isSame) continue
      const reason = "the wrapped keys do not read back as they were written; check the disk; the key was not changed"
      throw new StorageUnavailable({ operation: "append", reason, diskFull: false })
    }
  }
  return { streams, lost }
}

/**
 * Step 5, and the way back from the steps before: brings every key under `key`, the one that format.json names, in both places,
 * and has the files written anew. Answers the change when that is what it finished, and it is still to be told; undefined when
 * there was nothing to do, or it was taken back.
 */
export const settleKeys = async (storage: Storage, key: StoreKey): Promise<KeyChange | undefined> => {
  const change = await readKeyChange(storage)
  if (change === undefined) return undefined
  for await (const pairs of pairsIn(storage)) {
    const puts: Array<Put> = []
    for (const pair of pairs) {
      const { destroyed, found, known } = openPair(pair, key)
      if (known === undefined) continue
      for (const [index, space] of KEY_SPACES.entries()) {
        if (found[index] !== undefined) continue
        if (known !== "destroyed") puts.push(put(wrapDataKey(space, pair.stream, known, key)))
        else puts.push(put(rowOf(space, pair.stream, destroyed)))
      }
      forget(found)
    }
    killPoint("storekey.rows.before")
    if (puts.length > 0) await storage.batch(puts)
    killPoint("storekey.rows.after")
  }
  killPoint("storekey.compact.before")
  for (let round = 0; round < REWRITES; round++) {
    for (const space of KEY_SPACES) {
      // No row has these keys. Deleted, they make one table that overlaps every one that holds something of the space.
      const first = Keys.rowKey(space, new Uint8Array(0))
      const last = Keys.rowKey(space, Buffer.alloc(Keys.STREAM_ID_BYTES + 1, 0xff))
      await storage.batch([
        { key: first, value: undefined },
        { key: last, value: undefined }
      ])
      await storage.compact?.(first, afterKey(last))
    }
  }
  killPoint("storekey.compact.after")
  if (change.to === key.name) return change
  await storage.batch([{ key: CHANGE, value: undefined }])
  return undefined
}

/** What takes the place of the first step's row, in one batch with the event that tells of the change. */
export const KEY_CHANGE_TOLD = { space: KEY_CHANGE_SPACE, key: KEY_CHANGE_KEY, value: new Uint8Array(0) }

// --- pairs -----------------------------------------------------------------------------------------------------------

/** What both spaces have of a stream. */
interface Pair {
  readonly stream: Uint8Array
  /** In the order of KEY_SPACES. */
  readonly rows: Array<Uint8Array | undefined>
}

type Opened = Buffer | "destroyed" | undefined

/** Every stream with a key row, in order. */
async function* pairsIn(storage: Storage): AsyncGenerator<ReadonlyArray<Pair>> {
  let from: Uint8Array = new Uint8Array(0)
  for (;;) {
    const rows = await rowsOf(storage, KEY_SPACE, from, undefined)
    const isLast = rows.length === 0
    const until = isLast ? undefined : afterKey(rows[rows.length - 1]![0])
    const copies: Array<KeyValue> = []
    let copiesFrom = from
    for (;;) {
      const page = await rowsOf(storage, KEY_COPY_SPACE, copiesFrom, until)
      if (page.length === 0) break
      copies.push(...page)
      copiesFrom = afterKey(page[page.length - 1]![0])
    }
    const pairs = new Map<string, Pair>()
    for (const [space, found] of [rows, copies].entries()) {
      for (const [stream, value] of found) {
        const id = Buffer.from(stream).toString("latin1")
        const pair = pairs.get(id) ?? { stream, rows: [undefined, undefined] }
        pair.rows[space] = value
        pairs.set(id, pair)
      }
    }
    if (pairs.size > 0) yield [...pairs.values()]
    if (until === undefined) return
    from = until
  }
}

/** Rows of whole streams only; each with the stream instead of its key. */
const rowsOf = async (
  storage: Storage,
  space: string,
  from: Uint8Array,
  to: Uint8Array | undefined
): Promise<ReadonlyArray<KeyValue>> => {
  const page = await storage.range({
    from: Keys.rowKey(space, from),
    to: to === undefined ? Keys.spaceEnd(space) : Keys.rowKey(space, to),
    limit: STREAMS_AT_A_TIME,
    bytesMax: PAGE_BYTES
  })
  return page.map(([key, value]) => [Keys.rowKeyOf(space, key), value] as const)
}

/** What opens with `key`, in both places; `known`: in either. */
const openPair = ({ rows, stream }: Pair, key: StoreKey) => {
  const found = rows.map((row, space) => open(space, stream, row, key))
  const at = found.indexOf("destroyed")
  return {
    found,
    known: at < 0 ? (found[0] ?? found[1]) : ("destroyed" as const),
    destroyed: at < 0 ? undefined : decodeRow(Keys.rowKey(KEY_SPACES[at]!, stream), rows[at]!)
  }
}

const open = (space: number, stream: Uint8Array, row: Uint8Array | undefined, key: StoreKey): Opened =>
  row === undefined ? undefined : unwrapDataKey(Keys.rowKey(KEY_SPACES[space]!, stream), row, key)

const forget = (found: ReadonlyArray<Opened>): void => {
  for (const one of found) if (Buffer.isBuffer(one)) one.fill(0)
}

const put = ([key, value]: KeyValue): Put => ({ key, value })

const rowOf = (space: string, stream: Uint8Array, payload: Uint8Array | undefined): KeyValue => {
  const key = Keys.rowKey(space, stream)
  return [key, encodeRow(key, payload ?? new Uint8Array(0))]
}

/** The smallest key above `key`. */
const afterKey = (key: Uint8Array): Buffer => Buffer.concat([key, Buffer.of(0)])
