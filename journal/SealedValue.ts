/**
 * One value of an encrypted store: how a record or a row becomes bytes that only the holder of its key reads, and back. It
 * knows no keys but those it is given (DataKeys.ts) and stores nothing.
 *
 *   u32 crc32 over (key | everything after this field)     so that damage is told from forgery, and found without a key
 *   u8  2
 *   u8  1: under the store's key, and not its stream's; 2: stands for removed events; added up
 *   12 bytes nonce, random
 *   ciphertext of the plain value, as long as it
 *   16 bytes tag
 *
 * AES-256-GCM. Additional data: the key of the entry, then the two bytes, so that nothing can be put in another place.
 */
import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from "node:crypto"
import { crc32 } from "node:zlib"
import * as Keys from "./Keys.ts"
import { KIND_EVENTS_REMOVED } from "./Record.ts"

const VERSION = 2
const HEADER_BYTES = 4 + 1 + 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** How much longer a value is. */
const SEALED_BYTES_MORE = HEADER_BYTES + NONCE_BYTES + TAG_BYTES

export const UNDER_STORE_KEY = 1
const STANDS_FOR_REMOVED = 2

/** Random bytes are drawn for so many values at a time. */
const NONCES = Buffer.alloc(NONCE_BYTES * 512)
let nonceAt = NONCES.byteLength

const nextNonce = (into: Buffer, at: number): Buffer => {
  if (nonceAt === NONCES.byteLength) {
    randomFillSync(NONCES)
    nonceAt = 0
  }
  NONCES.copy(into, at, nonceAt, nonceAt + NONCE_BYTES)
  NONCES.fill(0, nonceAt, nonceAt + NONCE_BYTES)
  nonceAt += NONCE_BYTES
  return into.subarray(at, at + NONCE_BYTES)
}

/** Of the longest key. Used within one call. */
const additional = Buffer.alloc(1 + Keys.SPACE_LENGTH_MAX + 1 + Keys.ROW_KEY_BYTES_MAX + 2)
const additionalOf = (key: Uint8Array, header: Uint8Array): Buffer => {
  // A key that no version of ours writes: it is not opened, and must not end the reader.
  if (key.byteLength + 2 > additional.byteLength) return Buffer.concat([key, header.subarray(4, HEADER_BYTES)])
  additional.set(key, 0)
  additional[key.byteLength] = header[4]!
  additional[key.byteLength + 1] = header[5]!
  return additional.subarray(0, key.byteLength + 2)
}

/** The hot path: one cipher, one allocation for what is stored. `flags`: UNDER_STORE_KEY or 0. */
export const sealValue = (key: Uint8Array, value: Uint8Array, cipherKey: KeyObject, flags: number): Buffer => {
  const sealed = Buffer.allocUnsafe(value.byteLength + SEALED_BYTES_MORE)
  sealed[4] = VERSION
  sealed[5] = flags | (standsForRemoved(key, value) ? STANDS_FOR_REMOVED : 0)
  const cipher = createCipheriv("aes-256-gcm", cipherKey, nextNonce(sealed, HEADER_BYTES))
  cipher.setAAD(additionalOf(key, sealed))
  const at = HEADER_BYTES + NONCE_BYTES
  sealed.set(cipher.update(value), at)
  cipher.final()
  sealed.set(cipher.getAuthTag(), at + value.byteLength)
  sealed.writeUInt32BE(crc32(sealed.subarray(4), crc32(key)), 0)
  return sealed
}

const standsForRemoved = (key: Uint8Array, value: Uint8Array): boolean =>
  value[5] === KIND_EVENTS_REMOVED && Keys.isEventKey(key) && Keys.sequenceOf(key) === 1

/** Flags of a value whose checksum is right; undefined of any other. */
export const flagsOf = (key: Uint8Array, sealed: Uint8Array): number | undefined => {
  if (sealed.byteLength < SEALED_BYTES_MORE || sealed[4] !== VERSION) return undefined
  const stored = ((sealed[0]! << 24) | (sealed[1]! << 16) | (sealed[2]! << 8) | sealed[3]!) >>> 0
  return crc32(sealed.subarray(4), crc32(key)) === stored ? sealed[5] : undefined
}

/** Whether a value is one that stands for removed events, told without a key. */
export const sealsRemoval = (key: Uint8Array, sealed: Uint8Array): boolean =>
  ((flagsOf(key, sealed) ?? 0) & STANDS_FOR_REMOVED) !== 0

/** The plain value, or undefined when it is not what was encrypted under this key for this place. */
export const openValue = (key: Uint8Array, sealed: Uint8Array, cipherKey: KeyObject): Buffer | undefined => {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  const at = HEADER_BYTES + NONCE_BYTES
  const decipher = createDecipheriv("aes-256-gcm", cipherKey, bytes.subarray(HEADER_BYTES, at))
  decipher.setAAD(additionalOf(key, bytes))
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  const value = decipher.update(bytes.subarray(at, -TAG_BYTES))
  try {
    decipher.final()
    return value
  } catch {
    return undefined
  }
}
