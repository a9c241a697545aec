/**
 * Removing the beginning of a stream, so that readers notice nothing but an `EventsRemoved` in its place. The journal's
 * core uses it; what may be removed, and what is to be kept of it, is decided by whoever asks. It never removes from the
 * middle of a stream, and never an event whose place nothing has taken.
 *
 * 1. One batch puts EventsRemoved at the key of event 1, the rows that stand for the removed events, and a row that says
 *    that the removal is not finished. From here on the events 2 to `to` are no part of the stream.
 * 2. Their keys are deleted, batch by batch, and rows that are of no use any more.
 * 3. The storage gives the space back, and the row goes.
 *
 * A process that dies in between leaves a store that reads right; `finish` does the rest.
 */
import { createHash } from "node:crypto"
import type { EventsRemoved, JournalEntry, NewEvent, RemovalRecorded, SessionId } from "./Event.ts"
import { PAGE_EVENTS_MAX, type Removable, type Removal, type Row, type RowRange } from "./Journal.ts"
import { EventRefused, JournalDamaged } from "./JournalError.ts"
import { keptStatesOf } from "./KeptRows.ts"
import * as Keys from "./Keys.ts"
import { killPoint } from "./KillPoint.ts"
import * as Record from "./Record.ts"
import type { KeyValue, Put, RangeOptions } from "./Storage.ts"

/** Keys deleted in one batch: a millisecond of the engine's thread. */
const DELETE_KEYS_MAX = 512
/** Space of the rows that name streams whose removal is not finished; the key is the id in ASCII. */
export const REMOVAL_SPACE = "removal"

/** What it needs of the journal. */
export interface RemovalPort {
  /** Rejects with JournalDamaged where LevelDB itself finds damage. */
  readonly range: (stream: SessionId, options: Omit<RangeOptions, "bytesMax">) => Promise<ReadonlyArray<KeyValue>>
  /** Also while the store has as many bytes as it may have. `told`: events of the store's own stream, in the same batch. */
  readonly write: (puts: ReadonlyArray<Put>, told?: ReadonlyArray<NewEvent>) => Promise<void>
  readonly head: (stream: SessionId) => Promise<number>
  readonly removed: (stream: SessionId) => Promise<JournalEntry | undefined>
  /** Called when it is durable: readers are given it from now on. */
  readonly setRemoved: (stream: SessionId, entry: JournalEntry) => Promise<void>
  /** Called before the first removal of a store. */
  readonly allow: () => void
  readonly compact: (from: Uint8Array, to: Uint8Array) => Promise<void>
  readonly rowPut: (row: Row) => Put
}

export class RemovalCore {
  readonly #port: RemovalPort

  constructor(port: RemovalPort) {
    this.#port = port
  }

  /** What stands at `to` and before, and would be removed. */
  async measure(stream: SessionId, to: number): Promise<Removable> {
    let events = 0
    let bytes = 0
    await this.#scan(stream, to, (sequence, _key, value) => {
      if (sequence === 1 && isRemoval(value)) return
      events++
      bytes += value.byteLength
    })
    return { events, bytes }
  }

  /** The last event to remove so that the records behind it take at most `bytesMax`; 0 when all of them do. */
  async endKeeping(stream: SessionId, bytesMax: number): Promise<number> {
    const bytes = Keys.streamBytes(stream)
    const floor = (await this.#port.removed(stream))?.sequence ?? 0
    let sequence = await this.#port.head(stream)
    let kept = 0
    while (sequence > floor) {
      const found = await this.#port.range(stream, {
        from: Keys.eventKey(bytes, floor + 1),
        to: Keys.eventKey(bytes, sequence + 1),
        reverse: true,
        limit: PAGE_EVENTS_MAX
      })
      if (found.length === 0) break
      for (const [key, value] of found) {
        kept += value.byteLength
        if (kept > bytesMax) return Keys.sequenceOf(key)
        sequence = Keys.sequenceOf(key) - 1
      }
    }
    return 0
  }

  async remove(stream: SessionId, removal: Removal, stale: ReadonlyArray<RowRange>): Promise<JournalEntry> {
    const head = await this.#port.head(stream)
    const earlier = await this.#port.removed(stream)
    if (removal.to < 1 || removal.to > head || removal.to <= (earlier?.sequence ?? 0)) {
      throw new EventRefused({
        reason: `events up to ${removal.to} cannot be removed: there are ${(earlier?.sequence ?? 0) + 1} to ${head}`
      })
    }
    await this.#deleteEvents(stream, earlier?.sequence ?? 0)
    const event = await this.#describe(stream, removal)
    const key = Keys.eventKey(Keys.streamBytes(stream), 1)
    const stored: NewEvent = { event, actor: removal.actor, timeMicros: removal.timeMicros }
    const value = Record.encodeRecord(key, stored)
    const puts: Array<Put> = [{ key, value }]
    for (const row of [...removal.rows, pendingRow(stream)]) puts.push(this.#port.rowPut(row))
    this.#port.allow()
    killPoint("retention.tombstone.before")
    const told = [...(removal.told ?? []), removalRecorded(stream, event, key, value)]
    await this.#port.write(
      puts,
      told.map((one) => ({ ...stored, event: one }))
    )
    killPoint("retention.tombstone.after")
    const entry: JournalEntry = { ...stored, commandId: undefined, sequence: event.to }
    await this.#port.setRemoved(stream, entry)
    await this.finish(stream, stale)
    return entry
  }

  /** Goes on with a removal that was begun. `stale`: rows that are of no use behind it. */
  async finish(stream: SessionId, stale: ReadonlyArray<RowRange>): Promise<void> {
    const removed = await this.#port.removed(stream)
    if (removed !== undefined) {
      await this.#deleteEvents(stream, removed.sequence)
      for (const range of stale) await this.#deleteRows(stream, range)
      killPoint("retention.compact.before")
      const bytes = Keys.streamBytes(stream)
      // From event 1: what was stored there before is still on the disk.
      await this.#port.compact(Keys.eventKey(bytes, 1), Keys.eventKey(bytes, removed.sequence + 1))
      for (const { from, space, to } of stale) {
        await this.#port.compact(Keys.rowKey(space, from), afterRow(space, to))
      }
    }
    await this.#port.write([{ key: Keys.rowKey(REMOVAL_SPACE, pendingRow(stream).key), value: undefined }])
  }

  async #describe(
    stream: SessionId,
    { kept, policy, reason, rows, takesDamaged, to }: Removal
  ): Promise<typeof EventsRemoved.Type> {
    const hash = createHash("sha256")
    let bytes = 0
    let outputBytes = 0
    let lastTimeMicros = 0
    const take = (sequence: number, key: Uint8Array, value: Uint8Array) => {
      hash.update(key).update(value)
      if (takesDamaged === true && Record.damageOf(key, value) !== undefined) {
        bytes += value.byteLength
        return
      }
      const { event, timeMicros } = Record.decodeRecord(sequence, value)
      if (event._tag === "EventsRemoved" && sequence === 1) {
        bytes += event.bytes
        outputBytes = event.outputBytes
        lastTimeMicros = event.lastTimeMicros
        return
      }
      bytes += value.byteLength
      lastTimeMicros = timeMicros
      if (event._tag === "OutputReceived" && event.channel === "tty") {
        outputBytes = Math.max(outputBytes, event.offset + event.data.byteLength)
      }
    }
    await this.#scan(stream, to, take, takesDamaged)
    const sha256 = hash.digest("hex")
    return {
      _tag: "EventsRemoved",
      from: 1,
      to,
      events: to,
      bytes,
      outputBytes,
      lastTimeMicros,
      sha256,
      reason,
      policy,
      kept,
      keptStates: keptStatesOf(rows, to)
    }
  }

  /** Every record up to `to` as it is stored, verified: first what stands for an earlier removal, if there was one. */
  async #scan(
    stream: SessionId,
    to: number,
    take: (sequence: number, key: Uint8Array, value: Uint8Array) => void,
    takesDamaged = false
  ): Promise<void> {
    const bytes = Keys.streamBytes(stream)
    const removed = await this.#port.removed(stream)
    let expected = 1
    while (expected <= to) {
      const isRemoved = expected === 1 && removed !== undefined
      const found = await this.#port.range(stream, {
        from: Keys.eventKey(bytes, expected),
        to: Keys.eventKey(bytes, to + 1),
        limit: isRemoved ? 1 : PAGE_EVENTS_MAX
      })
      if (found.length === 0 && takesDamaged) return
      if (found.length === 0) throw new JournalDamaged({ stream, from: expected, to, reason: "missing" })
      for (const [key, value] of found) {
        const sequence = Keys.sequenceOf(key)
        const reason = sequence === expected ? Record.damageOf(key, value) : "missing"
        if (takesDamaged) expected = sequence
        else if (reason !== undefined) throw new JournalDamaged({ stream, from: expected, to: expected, reason })
        take(sequence, key, value)
        expected++
      }
      if (isRemoved) expected = removed.sequence + 1
    }
  }

  async #deleteEvents(stream: SessionId, to: number): Promise<void> {
    if (to < 2) return
    const bytes = Keys.streamBytes(stream)
    const range = { from: Keys.eventKey(bytes, 2), to: Keys.eventKey(bytes, to + 1), limit: 1 }
    const [first] = await this.#port.range(stream, range).catch((error: unknown) => {
      // Damage in what goes away: it goes all the same.
      if (error instanceof JournalDamaged) return [[range.from, range.from] as const]
      throw error
    })
    if (first === undefined) return
    for (let sequence = Keys.sequenceOf(first[0]); sequence <= to; sequence += DELETE_KEYS_MAX) {
      const count = Math.min(DELETE_KEYS_MAX, to - sequence + 1)
      killPoint("retention.delete.before")
      await this.#port.write(
        Array.from({ length: count }, (_, at) => ({ key: Keys.eventKey(bytes, sequence + at), value: undefined }))
      )
      killPoint("retention.delete.after")
    }
  }

  async #deleteRows(stream: SessionId, { from, space, to }: RowRange): Promise<void> {
    for (;;) {
      const found = await this.#port.range(stream, {
        from: Keys.rowKey(space, from),
        to: afterRow(space, to),
        limit: DELETE_KEYS_MAX
      })
      if (found.length === 0) return
      await this.#port.write(found.map(([key]) => ({ key, value: undefined })))
    }
  }
}

/** The EventsRemoved that a stream begins with, as readers are given it; undefined when this is none, or damaged. */
export const removalOf = (found: KeyValue | undefined): JournalEntry | undefined => {
  if (found === undefined || Keys.sequenceOf(found[0]) !== 1 || !isRemoval(found[1])) return undefined
  if (Record.damageOf(found[0], found[1]) !== undefined) return undefined
  const entry = Record.decodeRecord(1, found[1])
  return entry.event._tag === "EventsRemoved" ? { ...entry, sequence: entry.event.to } : undefined
}

/** What the store's own stream tells of an EventsRemoved as it is stored; it is written in the same batch. */
export const removalRecorded = (
  session: SessionId,
  { policy, reason, sha256, to }: typeof EventsRemoved.Type,
  key: Uint8Array,
  value: Uint8Array
): typeof RemovalRecorded.Type => ({
  _tag: "RemovalRecorded",
  session,
  to,
  sha256,
  tombstone: tombstoneOf(key, value),
  reason,
  policy
})

/** Names an EventsRemoved as it is stored: hex. */
export const tombstoneOf = (key: Uint8Array, value: Uint8Array): string =>
  createHash("sha256").update(key).update(value).digest("hex")

const isRemoval = (value: Uint8Array): boolean => value[5] === Record.KIND_EVENTS_REMOVED

const pendingRow = (stream: SessionId): Row => ({
  space: REMOVAL_SPACE,
  key: Buffer.from(stream, "latin1"),
  value: new Uint8Array(0)
})

/** The smallest key behind the row. */
const afterRow = (space: string, key: Uint8Array): Buffer => Buffer.concat([Keys.rowKey(space, key), Buffer.of(0)])
