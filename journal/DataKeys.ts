/**
 * The keys that the values of an encrypted store are under: one of 256 random bits for each stream, kept in two rows wrapped
 * with the store's key, or, once it was destroyed, a marker in its place. It decides which stream's key a value is under;
 * SealedValue.ts encrypts with it. It reads and writes nothing itself.
 *
 *   space key   stream (16 bytes)      the row that counts
 *   space wrap  stream (16 bytes)      the same again, far from it: one damaged block must not take every session of it
 *
 *   value  0x01 | nonce (12) | wrapped key (32) | tag (16)     AES-256-GCM, with the stream as additional data
 *          0x02 | JSON: when, who, why                         destroyed
 *
 * No key is used as it is: events are under HMAC-SHA256(key, "events" | u32 sequence >> 24), rows under HMAC-SHA256(key,
 * "rows"). So a key with random nonces encrypts some 2^24 events, and GCM's bound of 2^32 is never near, however long a session is.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from "node:crypto"
import { SESSION_ID_PATTERN, type SessionId, STORE_STREAM } from "./Event.ts"
import type { Row } from "./Journal.ts"
import * as Keys from "./Keys.ts"
import { decodeRow, encodeRow } from "./Record.ts"
import type { KeyValue } from "./Storage.ts"
import type { StoreKey } from "./StoreKey.ts"

export const KEY_SPACE = "key"
export const KEY_COPY_SPACE = "wrap"
export const KEY_SPACES = [KEY_SPACE, KEY_COPY_SPACE]
/** One row: that the store's key is being changed (KeyChange.ts). */
export const KEY_CHANGE_SPACE = "rewrap"

const DATA_KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const KIND_WRAPPED = 1
const KIND_DESTROYED = 2
const WRAPPED_BYTES = 1 + NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES
/** Events under one derived key. */
const EVENTS_PER_KEY_BITS = 24

/** Why there is no key of a stream. */
export type KeyState = "destroyed" | "unreadable"

export interface Destruction {
  readonly timeMicros: number
  readonly actor: string
  readonly reason: string
}

/** The derived keys of one stream. */
export class DataKey {
  readonly #key: KeyObject
  readonly rows: KeyObject
  #events: KeyObject | undefined
  #chunk = -1

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key)
    this.rows = createSecretKey(createHmac("sha256", this.#key).update("rows").digest())
  }

  /** For the event of this sequence. */
  events(sequence: number): KeyObject {
    const chunk = Math.floor(sequence / 2 ** EVENTS_PER_KEY_BITS)
    if (this.#events !== undefined && chunk === this.#chunk) return this.#events
    const label = Buffer.from("events....")
    label.writeUInt32BE(chunk >>> 0, 6)
    this.#events = createSecretKey(createHmac("sha256", this.#key).update(label).digest())
    this.#chunk = chunk
    return this.#events
  }
}

/** A new key of a stream, and the rows that keep it. `stream`: its 16 bytes. */
export const newDataKey = (
  stream: Uint8Array,
  storeKey: StoreKey
): { readonly key: DataKey; readonly rows: ReadonlyArray<KeyValue> } => {
  const key = randomBytes(DATA_KEY_BYTES)
  const made = { key: new DataKey(key), rows: KEY_SPACES.map((space) => wrapDataKey(space, stream, key, storeKey)) }
  key.fill(0)
  return made
}

/** The row of a space that keeps the key of a stream, wrapped with the store's. */
export const wrapDataKey = (space: string, stream: Uint8Array, key: Uint8Array, storeKey: StoreKey): KeyValue => {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv("aes-256-gcm", storeKey.wrapping, nonce)
  cipher.setAAD(stream)
  const wrapped = Buffer.concat([
    Buffer.of(KIND_WRAPPED),
    nonce,
    cipher.update(key),
    cipher.final(),
    cipher.getAuthTag()
  ])
  const full = Keys.rowKey(space, stream)
  return [full, encodeRow(full, wrapped)]
}

/** What a row of KEY_SPACES says; undefined: nothing, because it is damaged, or wrapped with another key. */
export const readDataKey = (
  full: Uint8Array,
  value: Uint8Array,
  storeKey: StoreKey
): DataKey | "destroyed" | undefined => {
  const key = unwrapDataKey(full, value, storeKey)
  if (key === undefined || key === "destroyed") return key
  const read = new DataKey(key)
  key.fill(0)
  return read
}

/** As `readDataKey`, with the 32 bytes themselves: for who wraps them anew, and then fills them with zeros. */
export const unwrapDataKey = (
  full: Uint8Array,
  value: Uint8Array,
  storeKey: StoreKey
): Buffer | "destroyed" | undefined => {
  const payload = decodeRow(full, value)
  if (payload === undefined) return undefined
  if (payload[0] === KIND_DESTROYED) return "destroyed"
  if (payload[0] !== KIND_WRAPPED || payload.byteLength !== WRAPPED_BYTES) return undefined
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  const decipher = createDecipheriv("aes-256-gcm", storeKey.wrapping, bytes.subarray(1, 1 + NONCE_BYTES))
  decipher.setAAD(full.subarray(-Keys.STREAM_ID_BYTES))
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()])
  } catch {
    return undefined
  }
}

/** What stands for the key of a stream from now on: written over both rows. */
export const destroyedRows = (stream: SessionId, destruction: Destruction): ReadonlyArray<Row> => {
  const value = Buffer.concat([Buffer.of(KIND_DESTROYED), Buffer.from(JSON.stringify(destruction), "utf8")])
  return KEY_SPACES.map((space) => ({ space, key: Keys.streamBytes(stream), value }))
}

/** Whether a row says that the key of its stream was destroyed. `value`: of the row. */
export const isDestroyed = (value: Uint8Array): boolean => value[0] === KIND_DESTROYED

// --- which key -------------------------------------------------------------------------------------------------------

const STORE = Keys.streamBytes(STORE_STREAM)

type Place = "binary" | "text" | "named"
/** Where the key of a row names the session whose text its value holds. Rows of other spaces hold none, and are the store's. */
const PLACES: ReadonlyMap<string, Place> = new Map<string, Place>([
  ["search", "binary"],
  ["search-block", "binary"],
  ["search-gram", "binary"],
  ["index", "text"],
  ["quarantine", "text"],
  ["exec", "text"],
  ["snap", "named"],
  ["base", "named"]
])
const ID_LENGTH = 26

/** The 16 bytes of the stream whose key a value is under. The first bytes of `key` itself where it is an event's. */
export const streamOfKey = (key: Uint8Array): Uint8Array =>
  key[0] === Keys.ROW_PREFIX ? streamOfRow(key) : key.subarray(0, Keys.STREAM_ID_BYTES)

const streamOfRow = (key: Uint8Array): Uint8Array => {
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  const end = bytes.indexOf(0)
  const place = PLACES.get(bytes.toString("latin1", 1, end))
  if (place === undefined) return STORE
  const at = end + 1
  if (place === "binary") return bytes.byteLength >= at + 16 ? bytes.subarray(at, at + 16) : STORE
  const from = place === "text" ? at : bytes.indexOf("|", at) + 1
  const id = bytes.toString("latin1", from, from + ID_LENGTH)
  return SESSION_ID_PATTERN.test(id) ? Keys.streamBytes(id as SessionId) : STORE
}

/** Rows that say of keys; they are not encrypted. */
export const isKeyRow = (key: Uint8Array): boolean =>
  key[0] === Keys.ROW_PREFIX && KEY_PREFIXES.some((prefix) => hasPrefix(key, prefix))

const KEY_PREFIXES = [...KEY_SPACES, KEY_CHANGE_SPACE].map((space) => Keys.rowKey(space, new Uint8Array(0)))
const hasPrefix = (key: Uint8Array, prefix: Uint8Array): boolean => {
  for (let index = 0; index < prefix.byteLength; index++) if (key[index] !== prefix[index]) return false
  return true
}
