/**
 * Replacing payloads where they stand, so that what they held is nowhere in the journal's files any more, and the stream says
 * so itself. The journal's core uses it; what is to be replaced, and by what, is decided by whoever asks. It never changes
 * the number, kind, time or actor of an event, nor how many bytes of terminal output or input an event stands for.
 *
 * 1. One batch puts the replaced records at their keys, appends a PayloadsRedacted with a digest of each payload that went,
 *    and a row that says that the redaction is not finished. From here on nobody is served what was there.
 * 2. Rows that were derived from it are deleted.
 * 3. The storage is made to write its files anew, without what was replaced, and the row goes.
 *
 * A process that dies in between leaves a store that reads right; `finish` does the rest.
 */
import { createHash, randomBytes } from "node:crypto"
import type { JournalEntry, PayloadsRedacted, SessionId } from "./Event.ts"
import type { AppendOptions, AppendRedaction, EditedEvent, Redaction, Row, RowRange } from "./Journal.ts"
import { EventRefused, JournalDamaged } from "./JournalError.ts"
import * as Keys from "./Keys.ts"
import { killPoint } from "./KillPoint.ts"
import * as Record from "./Record.ts"
import type { KeyValue, Put, RangeOptions } from "./Storage.ts"

/** Space of the rows that name streams whose redaction is not finished; the key is the id in ASCII. */
export const REDACTION_SPACE = "redaction"
/** Records that one batch replaces: as large as the largest that an append writes at once. */
export const REDACTED_BYTES_MAX = 4 * 1024 * 1024
/** Events of one batch: what is told of them, some 250 bytes each and their ranges, then fits a record. */
export const REDACTED_EVENTS_MAX = 2048
/** Ranges told of one event; where there are more, one range stands for all of them. */
const RANGES_MAX = 32
/** Rows deleted in one batch. */
const DELETE_KEYS_MAX = 512
const SALT_BYTES = 16
/**
 * How often the files of a range are written anew. What is in memory becomes a table as it is, with what was replaced beside
 * what replaced it; only a second one above it makes LevelDB merge that table and leave out what counts no more.
 */
const REWRITES = 2

/** What is known of the leaf of an event under the seals of its session. */
export interface SealedLeaf {
  readonly salt: Uint8Array
}

/** The evidence beside the events, where a store has some. */
export interface RedactionSeal {
  /** The leaves of those events that are sealed, and the rows without their salts: written in the same batch. */
  readonly unsalt: (
    stream: SessionId,
    sequences: ReadonlyArray<number>
  ) => Promise<{ readonly leaves: ReadonlyMap<number, SealedLeaf>; readonly rows: ReadonlyArray<Row> }>
}

/** What it needs of the journal. */
export interface RedactionPort {
  /** Rejects with JournalDamaged where LevelDB itself finds damage. */
  readonly range: (stream: SessionId, options: Omit<RangeOptions, "bytesMax">) => Promise<ReadonlyArray<KeyValue>>
  readonly append: (
    stream: SessionId,
    event: Parameters<AppendRedaction>[0],
    options: AppendOptions
  ) => Promise<unknown>
  /** Also while the store has as many bytes as it may have. */
  readonly write: (puts: ReadonlyArray<Put>) => Promise<void>
  readonly removed: (stream: SessionId) => Promise<JournalEntry | undefined>
  readonly compact: (from: Uint8Array, to: Uint8Array) => Promise<void>
  /** Resolves when every read that has begun before has ended: the storage keeps for each what there was then. */
  readonly readsEnded: () => Promise<void>
  /** Followers that have events in memory read them again. */
  readonly forgetEntries: (stream: SessionId) => void
  readonly seal?: RedactionSeal | undefined
}

interface Replaced {
  readonly put: { readonly key: Uint8Array; readonly value: Uint8Array }
  readonly told: (typeof PayloadsRedacted.Type)["events"][number]
}

export class RedactionCore {
  readonly #port: RedactionPort

  constructor(port: RedactionPort) {
    this.#port = port
  }

  async replace(
    stream: SessionId,
    redaction: Redaction,
    append?: AppendRedaction
  ): Promise<typeof PayloadsRedacted.Type> {
    const { actor, events, from, reason, rules, timeMicros, to } = redaction
    if (events.length === 0 || events.length > REDACTED_EVENTS_MAX) {
      throw new EventRefused({
        reason: `a redaction replaces 1 to ${REDACTED_EVENTS_MAX} events, not ${events.length}`
      })
    }
    const floor = (await this.#port.removed(stream))?.sequence ?? 0
    const seal = await this.#port.seal?.unsalt(
      stream,
      events.map(({ sequence }) => sequence)
    )
    const replaced: Array<Replaced> = []
    let bytes = 0
    let last = floor
    for (const event of events) {
      if (event.sequence <= last) {
        throw new EventRefused({ reason: `event ${event.sequence} was removed, or is not behind event ${last}` })
      }
      last = event.sequence
      const one = await this.#replaceOne(stream, event, seal?.leaves.get(event.sequence))
      bytes += one.put.value.byteLength
      replaced.push(one)
    }
    if (bytes > REDACTED_BYTES_MAX) {
      throw new EventRefused({ reason: `redacted records of ${bytes} bytes; at most ${REDACTED_BYTES_MAX} at a time` })
    }
    const event: typeof PayloadsRedacted.Type = {
      _tag: "PayloadsRedacted",
      from,
      to,
      rules,
      reason,
      events: replaced.map(({ told }) => told)
    }
    const options: AppendOptions = {
      rows: [...redaction.rows, ...(seal?.rows ?? []), pendingRow(stream)],
      replaced: replaced.map(({ put }) => put)
    }
    killPoint("redaction.batch.before")
    await (append ?? ((stored, given) => this.#port.append(stream, stored, given)))(
      { event, actor, timeMicros },
      options
    )
    killPoint("redaction.batch.after")
    this.#port.forgetEntries(stream)
    return event
  }

  async #replaceOne(stream: SessionId, edited: EditedEvent, leaf: SealedLeaf | undefined): Promise<Replaced> {
    const { sequence } = edited
    const key = Keys.eventKey(Keys.streamBytes(stream), sequence)
    const [found] = await this.#port.range(stream, { from: key, to: afterKey(key), limit: 1 })
    const damage = found === undefined ? "missing" : Record.damageOf(key, found[1])
    if (found === undefined || damage !== undefined) {
      throw new JournalDamaged({ stream, from: sequence, to: sequence, reason: damage ?? "missing" })
    }
    const value = found[1]
    const payload = value.subarray(Record.payloadAt(value))
    const edits =
      edited.payload === undefined ? edited.edits : [{ from: 0, to: payload.byteLength, bytes: edited.payload }]
    const redacted = applyEdits(payload, edits)
    if (redacted === undefined) throw refused(sequence, "an edit is not within its payload")
    const { event: before } = Record.decodeRecord(sequence, value)
    const put = { key, value: Record.withPayload(key, value, redacted) }
    const { event: after } = Record.decodeRecord(sequence, put.value)
    if (before._tag === "PayloadsRedacted" || before._tag === "EventsRemoved" || before._tag === "Unknown") {
      throw refused(sequence, `of kind ${before._tag}, which nothing replaces`)
    }
    if (after._tag !== before._tag) throw refused(sequence, `it would not be of kind ${before._tag} any more`)
    if ("data" in before && redacted.byteLength !== payload.byteLength) {
      throw refused(sequence, "its bytes would not be as many any more")
    }
    if (before._tag === "OutputReceived" && edits.some((edit) => edit.from < Record.OUTPUT_DATA_AT)) {
      throw refused(sequence, "its header is no part of what it holds")
    }
    const ranges = edits.map(({ from, to }): readonly [number, number] => [from, to])
    const covering = [[edits[0]!.from, edits[edits.length - 1]!.to]] as const
    const told = {
      sequence,
      original: sha256(leaf?.salt ?? randomBytes(SALT_BYTES), payload),
      sealed: leaf !== undefined,
      replacement: sha256(redacted),
      ranges: ranges.length > RANGES_MAX ? covering : ranges
    }
    return { put, told }
  }

  /** Goes on with a redaction that was begun. */
  async finish(stream: SessionId, stale: ReadonlyArray<RowRange>, changed: ReadonlyArray<RowRange>): Promise<void> {
    this.#port.forgetEntries(stream)
    killPoint("redaction.rows.before")
    for (const range of stale) await this.#deleteRows(stream, range)
    await this.#port.readsEnded()
    killPoint("redaction.compact.before")
    const bytes = Keys.streamBytes(stream)
    const ranges = [
      // No event has either number.
      { from: Keys.eventKey(bytes, 0), to: Keys.streamEnd(bytes) },
      ...[...stale, ...changed].map(({ from, space, to }) => ({
        from: Keys.rowKey(space, from.subarray(0, -1)),
        to: afterKey(Keys.rowKey(space, to))
      }))
    ]
    for (let round = 0; round < REWRITES; round++) {
      for (const { from, to } of ranges) {
        // Nothing has these keys. Deleted, they make one table that overlaps every one that holds something of the range.
        await this.#port.write([
          { key: from, value: undefined },
          { key: to, value: undefined }
        ])
        await this.#port.compact(from, afterKey(to))
      }
    }
    killPoint("redaction.finish.before")
    await this.#port.write([{ key: Keys.rowKey(REDACTION_SPACE, pendingRow(stream).key), value: undefined }])
  }

  async #deleteRows(stream: SessionId, { from, space, to }: RowRange): Promise<void> {
    for (;;) {
      const found = await this.#port.range(stream, {
        from: Keys.rowKey(space, from),
        to: afterKey(Keys.rowKey(space, to)),
        limit: DELETE_KEYS_MAX
      })
      if (found.length === 0) return
      await this.#port.write(found.map(([key]) => ({ key, value: undefined })))
    }
  }
}

/** undefined when an edit is not within the payload, or not behind the one before it. */
const applyEdits = (payload: Uint8Array, edits: EditedEvent["edits"]): Uint8Array | undefined => {
  const parts: Array<Uint8Array> = []
  let at = 0
  for (const { bytes, from, to } of edits) {
    if (!(from >= at && to >= from && to <= payload.byteLength)) return undefined
    parts.push(payload.subarray(at, from), bytes)
    at = to
  }
  return edits.length === 0 ? undefined : Buffer.concat([...parts, payload.subarray(at)])
}

const sha256 = (...parts: ReadonlyArray<Uint8Array>): string => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest("hex")
}

const refused = (sequence: number, why: string) =>
  new EventRefused({ reason: `event ${sequence} cannot be redacted: ${why}` })

const pendingRow = (stream: SessionId): Row => ({
  space: REDACTION_SPACE,
  key: Buffer.from(stream, "latin1"),
  value: new Uint8Array(0)
})

/** The smallest key behind this one. */
const afterKey = (key: Uint8Array): Buffer => Buffer.concat([key, Buffer.of(0)])
