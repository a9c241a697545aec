/**
 * Checks the raw entries of a whole store as they are read in the order of their keys: checksums, contiguity, and where each
 * stream ends. The fold that a check, a backup, a repair and an import share; it reads nothing itself, and keeps a line for each
 * stream and each damage, whatever the length of the history.
 */
import { createHash, type Hash } from "node:crypto"
import { type SessionId, STORE_STREAM } from "./Event.ts"
import { rareKinds } from "./EventKind.ts"
import type { Damage } from "./Journal.ts"
import { keptRowDamage } from "./KeptRows.ts"
import * as Keys from "./Keys.ts"
import * as Record from "./Record.ts"
import { sealsRemoval } from "./SealedValue.ts"

/** What the events of one stream are, the store's own stream among them. */
export interface StreamCheck {
  readonly stream: SessionId
  events: number
  /** Of keys and values. */
  bytes: number
  /** Last sequence. */
  head: number
  /** Everything up to some later event was removed, and without the key of the store nobody knows up to which. */
  isEndUnknown: boolean
  /** It was created, and neither closed nor lost since. */
  isLive: boolean
}

export interface EntryReport {
  /** Without the store's own. */
  readonly sessions: number
  readonly events: number
  /** Of the keys and values of all events. */
  readonly eventBytes: number
  readonly rows: number
  /** They are left out by every reader, and made again. Not among them: what stands for removed events, which is a damage. */
  readonly damagedRows: number
  readonly streams: ReadonlyArray<StreamCheck>
  readonly damages: ReadonlyArray<Damage>
  /** The beginning of a stream was removed: an older reprise takes that for damage. */
  readonly hasRemovals: boolean
  /** Over length (u32) and bytes of key and value of every event, in the order of the keys; hex. */
  readonly sha256: string
}

/** Damages named one by one. A store with more is told as one that has more. */
const DAMAGES_MAX = 10_000
const LIVE_KINDS = new Set<number>([
  rareKinds.SessionCreated,
  rareKinds.ProcessStarted,
  rareKinds.SessionInterrupted,
  rareKinds.SessionResumed
])
const END_KINDS = new Set<number>([rareKinds.SessionLost, rareKinds.SessionClosed])

export class EntryCheck {
  readonly #hash: Hash = createHash("sha256")
  readonly #lengths = Buffer.alloc(8)
  readonly #streams: Array<StreamCheck> = []
  readonly #damages: Array<Damage> = []
  #current: StreamCheck | undefined
  #currentBytes: Uint8Array | undefined
  /** Events up to here were removed on purpose; some may still be there. */
  #removedTo = 0
  /** The same of every stream, for the rows, which come last. */
  readonly #removed = new Map<SessionId, number>()
  /** Events up to some number were removed, and which one is encrypted. */
  #isRemovedSomewhere = false
  #events = 0
  #eventBytes = 0
  #rows = 0
  #damagedRows = 0
  #hasRemovals = false

  /**
   * The entry's damage, if it is one that must not be served. `opened`: of an encrypted store, the value as it was before it was
   * encrypted, or "sealed" where there is no key: then what its checksum and its key say is all that is checked.
   */
  add(key: Uint8Array, stored: Uint8Array, opened: Uint8Array | "sealed" = stored): Damage | undefined {
    const isSealed = opened === "sealed"
    const value = isSealed ? stored : opened
    if (key[0] === Keys.ROW_PREFIX) {
      this.#rows++
      const kept = keptRowDamage(key, value)
      // What stood for fewer events than were removed since is of no use: a process died before it was deleted.
      if (kept !== undefined && (kept.to ?? 0) >= (this.#removed.get(kept.stream) ?? 0)) return this.#damage(kept)
      if (Record.decodeRow(key, value) === undefined) this.#damagedRows++
      return undefined
    }
    if (!Keys.isEventKey(key)) {
      const reason = `key ${Buffer.from(key).toString("hex")} is no event key`
      return this.#damage({ stream: STORE_STREAM, from: 0, to: null, reason })
    }
    const sequence = Keys.sequenceOf(key)
    const stream = this.#streamOf(key)
    this.#count(stream, key, stored)
    // Nobody reads it, and what it was encrypted with may be destroyed.
    if (sequence > 1 && sequence <= this.#removedTo) return undefined
    const reason = sequence === 0 ? "sequences begin with 1" : Record.damageOf(key, value)
    let damage: Damage | undefined
    if (this.#isRemovedSomewhere && sequence > stream.head + 1) {
      this.#isRemovedSomewhere = false
      stream.isEndUnknown = false
      stream.head = sequence - 1
    }
    if (sequence > this.#removedTo) {
      const expected = Math.max(stream.head, this.#removedTo) + 1
      if (sequence !== expected) {
        damage = this.#damage({ stream: stream.stream, from: expected, to: sequence - 1, reason: "missing" })
      }
      stream.head = sequence
    }
    if (reason !== undefined) return this.#damage({ stream: stream.stream, from: sequence, to: sequence, reason })
    if (isSealed) {
      if (sequence !== 1 || !sealsRemoval(key, value)) return damage
      this.#isRemovedSomewhere = true
      stream.isEndUnknown = true
      this.#hasRemovals = true
      return damage
    }
    const kind = value[5]!
    if (kind === Record.KIND_EVENTS_REMOVED && sequence === 1) {
      this.#removedTo = removedTo(value)
      this.#removed.set(stream.stream, this.#removedTo)
      stream.head = Math.max(stream.head, this.#removedTo)
      this.#hasRemovals = true
      // What it was is not among the events any more.
      stream.isLive = true
    }
    if (LIVE_KINDS.has(kind)) stream.isLive = true
    else if (END_KINDS.has(kind)) stream.isLive = false
    return damage
  }

  report(): EntryReport {
    return {
      sessions: this.#streams.filter(({ stream }) => stream !== STORE_STREAM).length,
      events: this.#events,
      eventBytes: this.#eventBytes,
      rows: this.#rows,
      damagedRows: this.#damagedRows,
      streams: this.#streams,
      damages: this.#damages,
      hasRemovals: this.#hasRemovals,
      sha256: this.#hash.copy().digest("hex")
    }
  }

  #streamOf(key: Uint8Array): StreamCheck {
    const bytes = key.subarray(0, Keys.STREAM_ID_BYTES)
    if (this.#current !== undefined && Buffer.compare(this.#currentBytes!, bytes) === 0) return this.#current
    this.#currentBytes = Uint8Array.from(bytes)
    this.#removedTo = 0
    this.#isRemovedSomewhere = false
    this.#current = { stream: Keys.streamOf(bytes), events: 0, bytes: 0, head: 0, isEndUnknown: false, isLive: false }
    this.#streams.push(this.#current)
    return this.#current
  }

  #count(stream: StreamCheck, key: Uint8Array, value: Uint8Array): void {
    const bytes = key.byteLength + value.byteLength
    stream.events++
    stream.bytes += bytes
    this.#events++
    this.#eventBytes += bytes
    this.#lengths.writeUInt32BE(key.byteLength, 0)
    this.#lengths.writeUInt32BE(value.byteLength, 4)
    this.#hash.update(this.#lengths).update(key).update(value)
  }

  #damage(damage: Damage): Damage {
    if (this.#damages.length < DAMAGES_MAX) this.#damages.push(damage)
    return damage
  }
}

/** A stream's recorded end that is not there any more. */
export const missingEnds = (
  report: EntryReport,
  ends: ReadonlyMap<SessionId, number> | undefined
): ReadonlyArray<Damage> => {
  const heads = new Map(
    report.streams.map(({ head, isEndUnknown, stream }) => [stream, isEndUnknown ? Number.MAX_SAFE_INTEGER : head])
  )
  return [...(ends ?? [])].flatMap(([stream, end]) => {
    const head = heads.get(stream) ?? 0
    return head < end ? [{ stream, from: head + 1, to: end, reason: "the end is missing" }] : []
  })
}

/** Whether an entry is one that was written: its own checksum says so. */
export const isEntry = (key: Uint8Array, value: Uint8Array): boolean =>
  key[0] === Keys.ROW_PREFIX
    ? Record.decodeRow(key, value) !== undefined
    : Keys.isEventKey(key) && Record.damageOf(key, value) === undefined

/**
 * The last sequence that the first event of a stream stands for, when the beginning of the stream was removed; else 0. It reads
 * the payload itself, so that an event of a later version is understood too.
 */
export const removedTo = (value: Uint8Array): number => {
  if (value[5] !== Record.KIND_EVENTS_REMOVED) return 0
  const { event } = Record.decodeRecord(1, value)
  try {
    const fields: { readonly to?: unknown } =
      event._tag === "Unknown" ? JSON.parse(Buffer.from(event.payload).toString()) : event
    return typeof fields.to === "number" && Number.isSafeInteger(fields.to) ? fields.to : 0
  } catch {
    return 0
  }
}
