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
import { randomBytes } from "node:crypto"
import type { JournalEntry, PayloadsRedacted, SessionId } from "./Event.ts"
import { payloadDigest, SALT_BYTES } from "./EvidenceLeaf.ts"
import { TILE_SPACE, tileKey, unsalt } from "./EvidenceRows.ts"
import type { AppendOptions, AppendRedaction, EditedEvent, Redaction, Row, RowRange } from "./Journal.ts"
import { EventRefused, JournalDamaged } from "./JournalError.ts"
import * as Keys from "./Keys.ts"
import { killPoint } from "./KillPoint.ts"
import { sha256 } from "./Merkle.ts"
import * as Record from "./Record.ts"
import type { KeyValue, Put, RangeOptions } from "./Storage.ts"

/** Space of the rows that name streams whose redaction is not finished; the key is the id in ASCII. */
export const REDACTION_SPACE = "redaction"
/** Records that one batch replaces: as large as the largest that an append writes at once. */
export const REDACTED_BYTES_MAX = 4 * 1024 * 1024
/** Events of one batch: what is told of them, some 250 bytes each and their ranges, then fits a record. */
const REDACTED_EVENTS_MAX = 2048
/** Ranges told of one event; where there are more, one range stands for all of them. */
const RANGES_MAX = 32
/** Rows deleted in one batch. */
const DELETE_KEYS_MAX = 512
/**
 * How often the files of a range are written anew. What is in memory becomes a table as it is, with what was replaced beside
 * what replaced it; only a second one above it makes LevelDB merge that table and leave out what counts no more.
 */
const REWRITES = 2

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
  /** The value of a row; undefined where there is none. */
  readonly row: (space: string, key: Uint8Array) => Promise<Uint8Array | undefined>
}

/** What became of the payloads of one stream in this process. */
type Listener = (stream: SessionId) => void

interface Replaced {
  readonly put: { readonly key: Uint8Array; readonly value: Uint8Array }
  readonly told: (typeof PayloadsRedacted.Type)["events"][number]
}

export class RedactionCore {
  readonly #port: RedactionPort
  readonly #counts = new Map<SessionId, number>()
  readonly #listeners = new Set<Listener>()

  /**
   * How often payloads of the stream were replaced by this process: whoever makes something of its events asks before it
   * reads them, and keeps nothing when the answer is another one afterwards.
   */
  count(stream: SessionId): number {
    return this.#counts.get(stream) ?? 0
  }

  /** Called when payloads of a stream were replaced, before their rows are deleted; gives back the function that stops it. */
  onReplaced(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  constructor(port: RedactionPort) {
    this.#port = port
  }

  async replace(
    stream: SessionId,
    redaction: Redaction,
    append?: AppendRedaction
  ): Promise<typeof PayloadsRedacted.Type> {
    const { actor, events, from, keptStates, reason, rules, timeMicros, to } = redaction
    if (events.length > REDACTED_EVENTS_MAX || (events.length === 0 && redaction.rows.length === 0)) {
      throw new EventRefused({
        reason: `a redaction replaces 1 to ${REDACTED_EVENTS_MAX} events, not ${events.length}`
      })
    }
    const floor = (await this.#port.removed(stream))?.sequence ?? 0
    const seal = await unsalt(
      stream,
      events.map(({ sequence }) => sequence),
      this.#port.row
    )
    const replaced: Array<Replaced> = []
    let bytes = 0
    let last = floor
    for (const event of events) {
      if (event.sequence <= last) {
        throw new EventRefused({ reason: `event ${event.sequence} was removed, or is not behind event ${last}` })
      }
      last = event.sequence
      const one = await this.#replaceOne(stream, event, seal.leaves.get(event.sequence)?.salt)
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
      events: replaced.map(({ told }) => told),
      ...(keptStates === undefined ? {} : { keptStates })
    }
    const options: AppendOptions = {
      rows: [...redaction.rows, ...seal.rows, pendingRow(stream)],
      replaced: replaced.map(({ put }) => put)
    }
    killPoint("redaction.batch.before")
    await (append ?? ((stored, given) => this.#port.append(stream, stored, given)))(
      { event, actor, timeMicros },
      options
    )
    killPoint("redaction.batch.after")
    this.forget(stream)
    return event
  }

  /** Nothing of what the stream held is served from memory any more. */
  forget(stream: SessionId): void {
    this.#counts.set(stream, this.count(stream) + 1)
    this.#port.forgetEntries(stream)
    for (const listener of this.#listeners) listener(stream)
  }

  async #replaceOne(stream: SessionId, edited: EditedEvent, salt: Uint8Array | undefined): Promise<Replaced> {
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
      original: hex(payloadDigest(salt ?? randomBytes(SALT_BYTES), payload)),
      sealed: salt !== undefined,
      replacement: hex(sha256(redacted)),
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
    // The salts of what was replaced lie there.
    const tiles = { space: TILE_SPACE, from: tileKey(bytes, 0, 0), to: tileKey(bytes, 0, Number.MAX_SAFE_INTEGER) }
    const ranges = [
      // No event has either number.
      { from: Keys.eventKey(bytes, 0), to: Keys.streamEnd(bytes) },
      ...[...stale, ...changed, tiles].map(({ from, space, to }) => ({
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

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const refused = (sequence: number, why: string) =>
  new EventRefused({ reason: `event ${sequence} cannot be redacted: ${why}` })

/** Says that the redaction of the stream is not finished. */
export const pendingRow = (stream: SessionId): Row => ({
  space: REDACTION_SPACE,
  key: Buffer.from(stream, "latin1"),
  value: new Uint8Array(0)
})

/** The smallest key behind this one. */
const afterKey = (key: Uint8Array): Buffer => Buffer.concat([key, Buffer.of(0)])
