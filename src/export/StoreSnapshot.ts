/**
 * The events of sessions as they lie on disk, byte for byte, and rows beside them, all of one moment: what exports need that
 * must lose nothing. It reads the store's files itself (DatabaseReader.ts), so it needs no engine and disturbs none, and
 * writes nothing.
 */
import { removedTo } from "../../journal/EntryCheck.ts"
import { type EntryReader, openEntries } from "../../journal/EntryReader.ts"
import type { SessionId } from "../../journal/Event.ts"
import type { Row } from "../../journal/Journal.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import * as Keys from "../../journal/Keys.ts"
import { damageOf, decodeRow } from "../../journal/Record.ts"
import { checkPrivateFolder, readEnds, readFormat, STORE_FORMAT } from "../../journal/StoreGuard.ts"
import { BASE_SPACE } from "../../projections/SnapshotRow.ts"
import type { StorePaths } from "../session/StorePaths.ts"

/** One event as it is stored. What stands for a removed beginning lies at the key of event 1 and has the sequence of the last one removed. */
export interface StoredEvent {
  readonly _tag: "Event"
  readonly sequence: number
  readonly key: Uint8Array
  readonly value: Uint8Array
}
/** Events that should be there and are not, or do not verify; `to` null: nobody knows up to where. */
export interface StoredGap {
  readonly _tag: "Gap"
  readonly from: number
  readonly to: number | null
  readonly reason: string
}
export type StoredItem = StoredEvent | StoredGap

export class StoreSnapshot {
  readonly #reader: EntryReader
  readonly #ends: ReadonlyMap<SessionId, number>

  private constructor(reader: EntryReader, ends: ReadonlyMap<SessionId, number>) {
    this.#reader = reader
    this.#ends = ends
  }

  /** Throws StoreRefused. Whoever opens it closes it. */
  static async open(paths: StorePaths): Promise<StoreSnapshot> {
    checkPrivateFolder(paths.journal)
    const format = readFormat(paths.journal) ?? 0
    if (format > STORE_FORMAT) {
      const detail = `has format ${format}, this version reads up to ${STORE_FORMAT}; use a newer reprise`
      throw new StoreRefused({ path: paths.journal, reason: "format", detail })
    }
    // Before the files: what they hold is not older than these.
    const { ends = new Map<SessionId, number>() } = readEnds(paths.journal)
    return new StoreSnapshot(await openEntries(paths.journal, paths.key), ends)
  }

  close(): void {
    this.#reader.close()
  }

  /** In order, each verified; what does not is a gap in its place. The bytes are good until the next page is asked for. */
  async *events(stream: SessionId): AsyncGenerator<ReadonlyArray<StoredItem>, undefined> {
    const bytes = Keys.streamBytes(stream)
    let last = 0
    for await (const page of this.#reader.pages({ from: Keys.eventKey(bytes, 0), to: Keys.streamEnd(bytes) })) {
      const items: Array<StoredItem> = []
      for (const [key, value] of page) {
        const at = Keys.sequenceOf(key)
        // Removed on purpose, and not deleted yet.
        if (at > 1 && at <= last) continue
        if (at > last + 1) items.push({ _tag: "Gap", from: last + 1, to: at - 1, reason: "missing" })
        const reason = damageOf(key, value)
        const sequence = reason === undefined && at === 1 ? Math.max(1, removedTo(value)) : at
        items.push(
          reason === undefined ? { _tag: "Event", sequence, key, value } : { _tag: "Gap", from: at, to: at, reason }
        )
        last = sequence
      }
      if (items.length > 0) yield items
    }
    const end = this.#ends.get(stream) ?? 0
    if (end > last) yield [{ _tag: "Gap", from: last + 1, to: end, reason: "the end is missing" }]
    // LevelDB's own checksums: where a write was lost, nobody knows whose.
    const lost = this.#reader.damages.find(({ loss }) => loss === "unknown")
    if (lost !== undefined) {
      yield [{ _tag: "Gap", from: Math.max(last, end) + 1, to: null, reason: `${lost.file} ${lost.detail}` }]
    }
  }

  /** Rows of a space whose keys begin so, in order; those that do not verify are left out. */
  async *rows(space: string, prefix: Uint8Array = new Uint8Array(0)): AsyncGenerator<Row, undefined> {
    const from = Keys.rowKey(space, prefix)
    const to = Buffer.concat([from, Buffer.alloc(Keys.ROW_KEY_BYTES_MAX + 1, 0xff)])
    for await (const page of this.#reader.pages({ from, to })) {
      for (const [full, stored] of page) {
        const value = decodeRow(full, stored)
        if (value !== undefined) yield { space, key: Keys.rowKeyOf(space, full), value }
      }
    }
  }

  /** What was kept of removed events of a session: nothing can make these rows again. */
  async kept(stream: SessionId): Promise<ReadonlyArray<Row>> {
    const kept: Array<Row> = []
    for await (const row of this.rows(BASE_SPACE)) {
      if (Buffer.from(row.key).toString("latin1").split("|")[1] !== stream) continue
      kept.push({ ...row, key: Uint8Array.from(row.key), value: Uint8Array.from(row.value) })
    }
    return kept
  }
}
