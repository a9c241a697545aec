/**
 * Compares the streams of a backup with those of a store, event by event, in one pass over both. It decides what an import would
 * do with each; it writes nothing.
 */
import { removedTo } from "../../journal/EntryCheck.ts"
import type { EntryReader } from "../../journal/EntryReader.ts"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import * as Keys from "../../journal/Keys.ts"
import { damageOf } from "../../journal/Record.ts"
import type { KeyValue } from "../../journal/Storage.ts"

/**
 * new: is not in the store. same: all of it is, perhaps with more behind it, or was removed there on purpose. mended: some of its events are missing or damaged in
 * the store. differs: has other events there.
 */
export type Outcome = "new" | "same" | "mended" | "differs"

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
  /** Its beginning was removed: rows hold the state at that place. */
  readonly hasRemoval: boolean
}

/** `ends`: where the streams of the store ended at its last clean stop. The store's own stream is left out. */
export const compareStreams = async (
  backup: EntryReader,
  store: EntryReader | undefined,
  ends: ReadonlyMap<SessionId, number> | undefined
): Promise<ReadonlyArray<Comparison>> => {
  const done: Array<Comparison> = []
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
      if (current !== undefined) done.push(current.finish(ends))
      current = new Building(key)
    }
    await passOver(key)
    const [keyHere, valueHere] = next.done ? [] : next.value
    const isHere = keyHere !== undefined && Buffer.compare(keyHere, key) === 0
    current.add(key, value, isHere ? valueHere : undefined)
    if (isHere) next = await here.next()
  }
  await passOver(undefined)
  if (current !== undefined) done.push(current.finish(ends))
  return done
}

class Building {
  readonly #session: SessionId
  readonly #missing: Array<[number, number]> = []
  #events = 0
  #head = 0
  #missingBytes = 0
  #differsAt = 0
  #lastHere = 0
  /** Events up to here were removed on purpose. */
  #removedTo = 0
  /** The same of the store. */
  #removedHere = 0

  constructor(key: Uint8Array) {
    this.#session = Keys.streamOf(key)
  }

  holds(key: Uint8Array): boolean {
    return Keys.streamOf(key) === this.#session
  }

  /** An event of the backup, and what the store has in its place. */
  add(key: Uint8Array, value: Uint8Array, valueHere: Uint8Array | undefined): void {
    const sequence = Keys.sequenceOf(key)
    this.#events++
    // What was removed and is still there is nobody's.
    if (sequence > 1 && sequence <= this.#removedTo) return
    const isSoundHere = valueHere !== undefined && damageOf(key, valueHere) === undefined
    if (sequence === 1) {
      this.#removedTo = removedTo(value)
      const here = isSoundHere ? removedTo(valueHere) : 0
      if (here >= this.#removedTo) this.#removedHere = here
    }
    this.#head = Math.max(sequence, this.#removedTo)
    // Removed on purpose since: it stays so.
    if (sequence <= this.#removedHere) {
      this.#lastHere = Math.max(this.#lastHere, this.#removedHere)
      return
    }
    if (!isSoundHere) {
      this.#missingBytes += key.byteLength + value.byteLength
      const last = this.#missing.at(-1)
      if (last !== undefined && last[1] === sequence - 1) last[1] = sequence
      else this.#missing.push([sequence, sequence])
    } else if (Buffer.compare(value, valueHere) === 0) this.#lastHere = sequence
    else if (this.#differsAt === 0) this.#differsAt = sequence
  }

  /** An event that only the store has. */
  addHere([key, value]: KeyValue): void {
    if (this.holds(key) && damageOf(key, value) === undefined) this.#lastHere = Keys.sequenceOf(key)
  }

  finish(ends: ReadonlyMap<SessionId, number> | undefined): Comparison {
    const outcome = this.#outcome(ends?.get(this.#session) ?? 0)
    const isWanted = outcome === "new" || outcome === "mended"
    return {
      session: this.#session,
      outcome,
      events: this.#events,
      head: this.#head,
      missing: isWanted ? this.#missing : [],
      missingBytes: isWanted ? this.#missingBytes : 0,
      differsAt: outcome === "differs" ? this.#differsAt || this.#missing[0]![0] : 0,
      hasRemoval: this.#removedTo > 0
    }
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

/** The events of all sessions, in the order of their keys. */
async function* events(reader: EntryReader): AsyncGenerator<KeyValue, undefined> {
  for await (const page of reader.pages()) {
    for (const entry of page) {
      if (Keys.isEventKey(entry[0]) && Buffer.compare(entry[0], FIRST_SESSION) >= 0) yield entry
    }
  }
}

async function* nothing(): AsyncGenerator<KeyValue, undefined> {}

const FIRST_SESSION = Keys.streamEnd(Keys.streamBytes(STORE_STREAM))
