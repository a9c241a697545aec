/**
 * Compares the streams of a backup with those of a store, event by event, in one pass over both. It decides what an import would
 * do with each; it writes nothing.
 */
import { removedTo } from "../../journal/EntryCheck.ts"
import type { EntryReader } from "../../journal/EntryReader.ts"
import { type KeptStates, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { rareKinds } from "../../journal/EventKind.ts"
import { KEPT_BOUNDS, keptStatesAfter } from "../../journal/KeptRows.ts"
import * as Keys from "../../journal/Keys.ts"
import { damageOf, decodeRecord, payloadAt } from "../../journal/Record.ts"
import { tombstoneOf } from "../../journal/RemovalCore.ts"
import type { KeyValue } from "../../journal/Storage.ts"
import { type Erasures, isReplacement, type SessionErasures } from "./Erasures.ts"
import { KeptCompare, type KeptFound } from "./KeptCompare.ts"

/**
 * new: is not in the store. same: all of it is, perhaps with more behind it, or was removed there on purpose. mended: some of its events are missing or damaged in
 * the store, or rows that stand for removed ones. withheld: the same, but the backup has only what was erased in the store since.
 * differs: has other events there.
 */
export type Outcome = "new" | "same" | "mended" | "withheld" | "differs"

export interface Comparison {
  readonly session: SessionId
  readonly outcome: Outcome
  /** Of the backup, and its last sequence. */
  readonly events: number
  readonly head: number
  /** From and to, inclusive: what an import would write. Empty when nothing. */
  readonly missing: ReadonlyArray<readonly [from: number, to: number]>
  /** Of their keys and values. */
  readonly missingBytes: number
  /** The first event that is another one, or none, in the store; 0 unless it differs. */
  readonly differsAt: number
  /** Its beginning was removed up to here, and rows hold the state at that place; else 0. */
  readonly removedTo: number
  /** The names of those of these rows that an import would write. */
  readonly keptRows: ReadonlyArray<string>
  /** Events that are damaged or missing in the store and that an import leaves so, and why: "event N was ...". */
  readonly withheld: ReadonlyArray<{ readonly from: number; readonly to: number; readonly reason: string }>
}

/**
 * `ends`: where the streams of the store ended at its last clean stop. `erasures`: what the backup tells of them. The store's own
 * stream is left out.
 */
export const compareStreams = async (
  backup: EntryReader,
  store: EntryReader | undefined,
  ends: ReadonlyMap<SessionId, number> | undefined,
  erasures: Erasures
): Promise<ReadonlyArray<Comparison>> => {
  if (store !== undefined) {
    for await (const page of store.pages(EVENT_BOUNDS)) {
      for (const [key, value] of page) erasures.add(key, value, "store")
    }
  }
  const done: Array<Building> = []
  const here = store === undefined ? nothing() : events(store)
  let next = await here.next()
  let current: Building | undefined
  const passOver = async (until: Uint8Array | undefined) => {
    while (!next.done && (until === undefined || Buffer.compare(next.value[0], until) < 0)) {
      current?.addHere(next.value)
      next = await here.next()
    }
  }
  for await (const entry of events(backup)) {
    const [key, value] = entry
    if (current?.holds(key) !== true) {
      await passOver(Keys.eventKey(Keys.streamBytes(Keys.streamOf(key)), 0))
      current = new Building(key, erasures.of(Keys.streamOf(key)))
      done.push(current)
    }
    await passOver(key)
    const [keyHere, valueHere] = next.done ? [] : next.value
    const isHere = keyHere !== undefined && Buffer.compare(keyHere, key) === 0
    current.add(key, value, isHere ? valueHere : undefined)
    if (isHere) next = await here.next()
  }
  await passOver(undefined)
  const kept = await compareKept(backup, store, done)
  return done.map((one) => one.finish(ends, kept.of(one.session)))
}

const compareKept = async (
  backup: EntryReader,
  store: EntryReader | undefined,
  streams: ReadonlyArray<Building>
): Promise<KeptCompare> => {
  const compare = new KeptCompare()
  for (const { kept, session } of streams) if (kept.to > 0) compare.expect(session, kept)
  if (!compare.isNeeded) return compare
  for await (const page of backup.pages(KEPT_BOUNDS)) for (const [key, value] of page) compare.backup(key, value)
  if (store === undefined) return compare
  for await (const page of store.pages(KEPT_BOUNDS)) for (const [key, value] of page) compare.store(key, value)
  return compare
}

class Building {
  readonly session: SessionId
  readonly #erased: SessionErasures
  readonly #missing: Array<[number, number]> = []
  readonly #withheld: Array<{ from: number; to: number; reason: string }> = []
  #events = 0
  #head = 0
  #missingBytes = 0
  #differsAt = 0
  #lastHere = 0
  /** Events up to here were removed on purpose. */
  #removedTo = 0
  /** The same of the store. */
  #removedHere = 0
  /** The same, as the store's own stream has it; the EventsRemoved that says so is neither there nor in the backup. */
  #erasedTo = 0
  /** The next event, of both together; whether one is in neither. */
  #next = 1
  #hasHole = false
  /** Redactions that both together tell of. */
  #redactions = 0
  /** What both together say of the rows that stand for removed events; `to` is 0 where nothing was removed. */
  kept: { readonly to: number; readonly told: KeptStates | undefined } = { to: 0, told: undefined }

  constructor(key: Uint8Array, erased: SessionErasures) {
    this.session = Keys.streamOf(key)
    this.#erased = erased
  }

  holds(key: Uint8Array): boolean {
    return Keys.streamOf(key) === this.session
  }

  /** An event of the backup, and what the store has in its place. */
  add(key: Uint8Array, value: Uint8Array, valueHere: Uint8Array | undefined): void {
    const sequence = Keys.sequenceOf(key)
    this.#events++
    // What was removed and is still there is nobody's.
    if (sequence > 1 && sequence <= this.#removedTo) return
    const here = valueHere !== undefined && damageOf(key, valueHere) === undefined ? valueHere : undefined
    if (sequence === 1) this.#begin(key, value, here)
    this.#head = Math.max(sequence, this.#removedTo)
    // Removed on purpose since: it stays so.
    if (sequence <= this.#removedHere) {
      this.#lastHere = Math.max(this.#lastHere, this.#removedHere)
      return
    }
    if (sequence <= this.#erasedTo) return
    const replacement = this.#erased.replacements.get(sequence)
    if (here === undefined && replacement !== undefined && !isReplacement(value, replacement)) {
      this.#pass(sequence)
      this.#withhold(sequence, sequence, "redacted since, and the backup has what was there before")
      return
    }
    this.#take(sequence, here ?? value)
    if (here === undefined) {
      this.#missingBytes += key.byteLength + value.byteLength
      const last = this.#missing.at(-1)
      if (last !== undefined && last[1] === sequence - 1) last[1] = sequence
      else this.#missing.push([sequence, sequence])
    } else if (
      Buffer.compare(value, here) === 0 ||
      (replacement !== undefined && isReplacement(here, replacement) && isSameEnvelope(value, here))
    ) {
      this.#lastHere = sequence
    } else if (this.#differsAt === 0) this.#differsAt = sequence
  }

  /** An event that only the store has. */
  addHere([key, value]: KeyValue): void {
    if (!this.holds(key)) return
    const sequence = Keys.sequenceOf(key)
    if (damageOf(key, value) !== undefined) {
      if (sequence >= this.#next) this.#hasHole = true
      return
    }
    this.#lastHere = sequence
    if (sequence >= this.#next) this.#take(sequence, value)
  }

  /** `kept`: the rows that stand for removed events. */
  finish(ends: ReadonlyMap<SessionId, number> | undefined, kept: KeptFound | undefined): Comparison {
    const end = ends?.get(this.session) ?? 0
    const same = this.#outcome(end)
    const isWanted = same !== "differs"
    const rows = isWanted ? (kept?.rows ?? []) : []
    const isLost = (this.#missing.length > 0 || rows.length > 0) && isWanted && this.#hasLostRedaction(end)
    if (isLost) {
      this.#withheld.length = 0
      const reason =
        "perhaps redacted since: what tells of a redaction is damaged or gone here, and the backup does not have it"
      this.#withhold(1, this.#head, reason)
    } else if (isWanted && kept?.isWithheld === true) {
      this.#withhold(
        1,
        this.kept.to,
        "removed since, and the backup does not have what was kept of them as it was recorded"
      )
    }
    const isTaken = isWanted && !isLost
    return {
      session: this.session,
      outcome: isLost ? "withheld" : same === "same" && rows.length > 0 ? "mended" : this.#withheldOr(same),
      events: this.#events,
      head: this.#head,
      missing: isTaken ? this.#missing : [],
      missingBytes: isTaken ? this.#missingBytes + (kept?.bytes ?? 0) : 0,
      differsAt: same === "differs" ? this.#differsAt || this.#missing[0]![0] : 0,
      removedTo: this.kept.to,
      keptRows: isTaken ? rows : [],
      withheld: isWanted ? this.#withheld : []
    }
  }

  #begin(key: Uint8Array, value: Uint8Array, here: Uint8Array | undefined): void {
    this.#removedTo = removedTo(value)
    const removedHere = here === undefined ? 0 : removedTo(here)
    if (removedHere >= this.#removedTo) this.#removedHere = removedHere
    const { removal } = this.#erased
    if (here === undefined && removal !== undefined && this.#removedTo <= removal.to) {
      if (tombstoneOf(key, value) !== removal.tombstone) {
        this.#erasedTo = removal.to
        this.#withhold(1, removal.to, "removed since, and the backup has what was there before")
      }
    }
    if (this.#erasedTo === 0) this.#take(1, here ?? value)
    this.#next = Math.max(this.#next, this.#erasedTo + 1, this.kept.to + 1)
  }

  /** What the store has of an event now, or would have. */
  #take(sequence: number, value: Uint8Array): void {
    this.#pass(sequence)
    const kind = value[5]
    if (kind !== rareKinds.PayloadsRedacted && (kind !== rareKinds.EventsRemoved || sequence > 1)) return
    const { event } = decodeRecord(sequence, value)
    const to = sequence === 1 ? removedTo(value) : this.kept.to
    if (event._tag === "PayloadsRedacted") this.#redactions++
    this.kept = { to, told: keptStatesAfter(event, to, this.kept.told) }
  }

  #pass(sequence: number): void {
    if (sequence > this.#next) this.#hasHole = true
    this.#next = Math.max(this.#next, sequence + 1)
  }

  #withhold(from: number, to: number, reason: string): void {
    const last = this.#withheld.at(-1)
    if (last !== undefined && last.to === from - 1 && last.reason === reason) last.to = to
    else this.#withheld.push({ from, to, reason })
  }

  /**
   * A redaction that the store's own stream tells of and that is in neither: nobody knows what else the backup has of what was
   * erased. One from before a removal may lie in what was removed, unless something else is missing.
   */
  #hasLostRedaction(end: number): boolean {
    const { redactions, redactionsSince } = this.#erased
    const hasHole = this.#hasHole || end >= this.#next
    return this.#redactions < (hasHole ? redactions : redactionsSince)
  }

  #withheldOr(outcome: Outcome): Outcome {
    return outcome === "same" && this.#withheld.length > 0 ? "withheld" : outcome
  }

  #outcome(end: number): Outcome {
    if (this.#differsAt > 0) return "differs"
    const [first] = this.#missing
    if (first === undefined) return "same"
    if (this.#lastHere === 0) return "new"
    const last = this.#missing.at(-1)![1]
    // A hole, a beginning (an import that was interrupted), or an end that is known to have been there: all of it damage.
    // A shorter stream without that is an older state of the session, and may have gone on elsewhere.
    return first[0] === 1 || this.#lastHere > last || end >= last ? "mended" : "differs"
  }
}

/** All but checksum and payload. */
const isSameEnvelope = (one: Uint8Array, other: Uint8Array): boolean =>
  Buffer.compare(one.subarray(4, payloadAt(one)), other.subarray(4, payloadAt(other))) === 0

/** The events of all sessions, in the order of their keys. */
async function* events(reader: EntryReader): AsyncGenerator<KeyValue, undefined> {
  for await (const page of reader.pages(EVENT_BOUNDS)) {
    for (const entry of page) {
      if (Keys.isEventKey(entry[0]) && Buffer.compare(entry[0], FIRST_SESSION) >= 0) yield entry
    }
  }
}

async function* nothing(): AsyncGenerator<KeyValue, undefined> {}

/** Before every row. */
const EVENT_BOUNDS = { from: new Uint8Array(0), to: Uint8Array.of(Keys.ROW_PREFIX) }
const FIRST_SESSION = Keys.streamEnd(Keys.streamBytes(STORE_STREAM))
