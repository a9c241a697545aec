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

/** The digest of those of the rows that stand for the events up to `to`. */
export const keptStatesOf = (rows: ReadonlyArray<Row>, to: number): KeptStates => {
  const hashes = new Map<string, string>()
  for (const { key, space, value } of rows) {
    const parts = partsOf(key)
    if (space === KEPT_SPACE && parts.to === to) hashes.set(parts.name, keptHash(value))
  }
  return { to, sha256: keptDigestOf(hashes) }
}

/** Of one row. */
export const keptHash = (value: Uint8Array): string => createHash("sha256").update(value).digest("hex")

/** Of the hashes of the rows at one place by their names, as lines of text. */
export const keptDigestOf = (hashes: ReadonlyMap<string, string>): string => {
  const hash = createHash("sha256")
  // In the order of their keys, in which `|` stands behind each name.
  const inOrder = [...hashes].sort(([one], [other]) => (`${one}|` < `${other}|` ? -1 : 1))
  for (const [name, each] of inOrder) hash.update(`${name} ${each}\n`, "latin1")
  return hash.digest("hex")
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

/** Compares the rows of many streams with what is told of each. */
export class KeptRowsCheck {
  readonly #streams = new Map<string, { readonly told: KeptStates; readonly hashes: Map<string, string> }>()

  expect(stream: SessionId, told: KeptStates): void {
    this.#streams.set(stream, { told, hashes: new Map() })
  }

  get isNeeded(): boolean {
    return this.#streams.size > 0
  }

  row(key: Uint8Array, value: Uint8Array): void {
    const { name, stream, to } = partsOf(key)
    const known = this.#streams.get(stream)
    if (known?.told.to === to) known.hashes.set(name, keptHash(value))
  }

  /** Streams whose rows are not those that are told of, and up to which event they stand for removed ones. */
  wrong(): ReadonlyArray<{ readonly stream: SessionId; readonly to: number }> {
    return [...this.#streams].flatMap(([stream, { hashes, told }]) =>
      keptDigestOf(hashes) === told.sha256 ? [] : [{ stream: stream as SessionId, to: told.to }]
    )
  }
}
