/**
 * What of an event is under the hash tree of its session: the leaf. Everything that the store says of an event is in it
 * (stream, sequence, kind, time, actor, command), the payload through a salted digest: so a payload can be replaced or
 * removed and the leaf still proven. Pure functions over stored bytes; whoever checks a leaf needs nothing else of ours.
 *
 *   leaf data   event key (24 bytes) | record header | payload digest (32 bytes)
 *   header      the stored value from its format version (byte 4) to the end of the command id
 *   digest      SHA-256(salt (16 bytes) | payload), the payload being all bytes of the stored value behind the header
 *   leaf hash   SHA-256(0x00 | leaf data)
 *
 * The checksum of the stored value is not in the leaf: it follows from the rest, and changes with the payload.
 */
import { leafHash, sha256 } from "./Merkle.ts"

export const SALT_BYTES = 16
/** Stands for a salt that was thrown away, so that nobody can guess the payload from its digest. */
export const NO_SALT: Uint8Array = new Uint8Array(SALT_BYTES)
export const isNoSalt = (salt: Uint8Array): boolean => Buffer.compare(salt, NO_SALT) === 0

/** The stored value begins with its checksum. */
const HEADER_AT = 4
/** Format version, kind, time: then come the two labels, each behind its length. */
const LABELS_AT = HEADER_AT + 1 + 1 + 8

export interface RecordParts {
  readonly header: Uint8Array
  readonly payload: Uint8Array
}

/** Header and payload of a stored value, as views of it; undefined when it is too short to have both. */
export const splitRecord = (value: Uint8Array): RecordParts | undefined => {
  const actorLength = value[LABELS_AT]
  if (actorLength === undefined) return undefined
  const commandAt = LABELS_AT + 1 + actorLength
  const commandLength = value[commandAt]
  if (commandLength === undefined) return undefined
  const payloadAt = commandAt + 1 + commandLength
  if (payloadAt > value.byteLength) return undefined
  return { header: value.subarray(HEADER_AT, payloadAt), payload: value.subarray(payloadAt) }
}

/** Salt and payload in one piece, for one call of the hash: payloads of terminal output fit, and allocate nothing. */
const salted = Buffer.alloc(SALT_BYTES + 64 * 1024)

export const payloadDigest = (salt: Uint8Array, payload: Uint8Array): Buffer => {
  const bytes = salt.byteLength + payload.byteLength
  if (bytes > salted.byteLength) return sha256(Buffer.concat([salt, payload]))
  salted.set(salt)
  salted.set(payload, salt.byteLength)
  return sha256(salted.subarray(0, bytes))
}

const leafData = (key: Uint8Array, header: Uint8Array, digest: Uint8Array): Buffer =>
  Buffer.concat([key, header, digest])

/** The leaf hash of an event whose payload digest is known: also of one whose payload is gone. */
export const eventLeafHash = (key: Uint8Array, header: Uint8Array, digest: Uint8Array): Buffer =>
  leafHash(leafData(key, header, digest))

/** The leaf hash of an event as it is stored; undefined for a value that is no record. */
export const storedLeafHash = (key: Uint8Array, value: Uint8Array, salt: Uint8Array): Buffer | undefined => {
  const parts = splitRecord(value)
  return parts && eventLeafHash(key, parts.header, payloadDigest(salt, parts.payload))
}

/**
 * The leaf hash of an event that was not there, or could not be read, when its session was sealed: of its key alone. The tree
 * has a place for every sequence, and says of this one that it attests nothing.
 */
export const absentLeafHash = (key: Uint8Array): Buffer => leafHash(key)
