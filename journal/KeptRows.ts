/**
 * The rows that stand for removed events: the only ones that nothing can make again, so that one that does not verify is
 * damage. An event of the stream has a digest of them (KeptStates in Event.ts), which is sealed as every event is. What they
 * hold is up to whoever removes.
 *
 *   key    name, `|`, the id in ASCII, `|`, the last event removed as u64 big-endian
 */
import { createHash } from "node:crypto"
import { type KeptStates, SESSION_ID_PATTERN, type SessionEvent, type SessionId, STORE_STREAM } from "./Event.ts"
import type { Damage, Row } from "./Journal.ts"
import * as Keys from "./Keys.ts"
import * as Record from "./Record.ts"

export const KEPT_SPACE = "base"

const KEPT_PREFIX = Keys.rowKey(KEPT_SPACE, new Uint8Array(0))

/** What a key in the space says; `stream` is what stands in the place of an id. */
const partsOf = (key: Uint8Array) => {
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  const [name = "", stream = ""] = bytes.toString("latin1").split("|")
  return { name, stream, to: key.byteLength < 8 ? 0 : Number(bytes.readBigUInt64BE(key.byteLength - 8)) }
}

/** As `partsOf`, of the full key of an entry; undefined of any that is no such row. */
export const keptRowParts = (key: Uint8Array) =>
  Buffer.compare(key.subarray(0, KEPT_PREFIX.byteLength), KEPT_PREFIX) === 0
    ? partsOf(Keys.rowKeyOf(KEPT_SPACE, key))
    : undefined

/** All of them. */
export const KEPT_BOUNDS = { from: KEPT_PREFIX, to: Keys.spaceEnd(KEPT_SPACE) }

/** What is wrong with a row that stands for removed events; undefined of any other, and when nothing is. `key`: the full key. */
export const keptRowDamage = (key: Uint8Array, value: Uint8Array): Damage | undefined => {
  const parts = keptRowParts(key)
  if (parts === undefined || Record.decodeRow(key, value) !== undefined) return undefined
  const { name, stream, to } = parts
  const reason = `what was kept of removed events (${name.slice(0, 40)}) does not verify`
  if (!SESSION_ID_PATTERN.test(stream)) return { stream: STORE_STREAM, from: 0, to: null, reason }
  return { stream: stream as SessionId, from: 1, to, reason }
}

/** The digest of those of the rows that stand for the events up to `to`, in the order of their keys. */
export const keptStatesOf = (rows: ReadonlyArray<Row>, to: number): KeptStates => {
  const digest = new KeptDigest(to)
  const kept = rows.filter(({ space }) => space === KEPT_SPACE)
  for (const { key, value } of kept.toSorted((one, other) => Buffer.compare(one.key, other.key))) {
    digest.add(key, value)
  }
  return { to, sha256: digest.hex() }
}

/** Of one row. */
export const keptHash = (value: Uint8Array): string => createHash("sha256").update(value).digest("hex")

/** As `keptStatesOf`, of the hashes of the rows at one place by their names. */
export const keptDigestOf = (hashes: ReadonlyMap<string, string>): string => {
  const hash = createHash("sha256")
  // In the order of their keys, in which `|` stands behind each name.
  const inOrder = [...hashes].sort(([one], [other]) => (`${one}|` < `${other}|` ? -1 : 1))
  for (const [name, each] of inOrder) hash.update(lineOf(name, each), "latin1")
  return hash.digest("hex")
}

const lineOf = (name: string, hash: string): string => `${name} ${hash}\n`

/** Over the name and the hash of each row, as lines of text. */
class KeptDigest {
  readonly #to: number
  readonly #hash = createHash("sha256")

  constructor(to: number) {
    this.#to = to
  }

  add(key: Uint8Array, value: Uint8Array): void {
    const { name, to } = partsOf(key)
    if (to !== this.#to) return
    this.#hash.update(lineOf(name, keptHash(value)), "latin1")
  }

  hex(): string {
    return this.#hash.digest("hex")
  }
}

/**
 * What the events of a stream, in order, say last of what is kept: of rows that were replaced since, and of an earlier removal
 * nothing holds any more. `known`: from the events before this one.
 */
export const keptStatesAfter = (event: SessionEvent, removedTo: number, known: KeptStates | undefined) => {
  if (event._tag === "EventsRemoved") return event.keptStates
  const told = event._tag === "PayloadsRedacted" ? event.keptStates : undefined
  return told?.to === removedTo ? told : known
}

/** Whether the rows are those that were told of; false also where nothing is told, as of stores from before it was. */
export const isKeptAsTold = (rows: ReadonlyArray<Row>, told: KeptStates | undefined): boolean =>
  told !== undefined && keptStatesOf(rows, told.to).sha256 === told.sha256

/** Compares the rows of many streams, given in the order of their keys, with what is told of each. */
export class KeptRowsCheck {
  readonly #digests = new Map<string, { readonly told: KeptStates; readonly digest: KeptDigest }>()

  expect(stream: SessionId, told: KeptStates): void {
    this.#digests.set(stream, { told, digest: new KeptDigest(told.to) })
  }

  get isNeeded(): boolean {
    return this.#digests.size > 0
  }

  row(key: Uint8Array, value: Uint8Array): void {
    this.#digests.get(partsOf(key).stream)?.digest.add(key, value)
  }

  /** Streams whose rows are not those that are told of, and up to which event they stand for removed ones. */
  wrong(): ReadonlyArray<{ readonly stream: SessionId; readonly to: number }> {
    return [...this.#digests].flatMap(([stream, { digest, told }]) =>
      digest.hex() === told.sha256 ? [] : [{ stream: stream as SessionId, to: told.to }]
    )
  }
}
