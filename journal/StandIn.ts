/**
 * What a reader is given in the place of a value that it cannot have, because it is encrypted and its key is gone, or because
 * it is not what was encrypted: never a record and never a row (its checksum is wrong), and `damageOf` says why. Storages give
 * it; it is never stored. Format version 0 and these kinds were never written.
 */
import { crc32 } from "node:zlib"

const REASONS: ReadonlyMap<number, string> = new Map([
  [0xf1, "the key of this session was destroyed"],
  [0xf2, "the key of this session is missing"],
  [0xf3, "cannot be decrypted: it is not what was written there"],
  [0xf4, "checksum does not match"]
])
export const KEY_DESTROYED = 0xf1
export const KEY_MISSING = 0xf2
export const NOT_AUTHENTIC = 0xf3
export const NOT_INTACT = 0xf4
const STAND_IN_BYTES = 16

export const standIn = (key: Uint8Array, reason: number): Buffer => {
  const value = Buffer.alloc(STAND_IN_BYTES)
  value[5] = reason
  value.writeUInt32BE(~crc32(value.subarray(4), crc32(key)) >>> 0, 0)
  return value
}

/** Why a value that does not verify is not there, where it is one of these. */
export const reasonOf = (value: Uint8Array): string | undefined =>
  value.byteLength === STAND_IN_BYTES && value[4] === 0 ? REASONS.get(value[5]!) : undefined
