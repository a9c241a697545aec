/**
 * How events and rows are named in the ordered store, and nothing else. Byte order is reading order: all events of a
 * stream lie together, in sequence; rows lie after every stream.
 *
 *   event  stream id (16 bytes) | sequence (u64 big-endian)        24 bytes, first byte never 0xFF
 *   row    0xFF | space (ASCII) | 0x00 | key
 */
import type { SessionId } from "./Event.ts"

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
const DIGITS = new Map(Array.from(ALPHABET, (letter, index) => [letter, BigInt(index)]))

/** First byte of every row. A ULID gets there in the year 10,889; until then no stream can be mistaken for a row. */
export const ROW_PREFIX = 0xff
export const EVENT_KEY_BYTES = 24
export const STREAM_ID_BYTES = 16
export const SPACE_LENGTH_MAX = 16
export const ROW_KEY_BYTES_MAX = 200

/** The 16 bytes of a ULID. Its callers have checked the pattern. */
export const streamBytes = (stream: SessionId): Buffer => {
  let value = 0n
  for (const letter of stream) value = (value << 5n) | (DIGITS.get(letter) ?? 0n)
  const bytes = Buffer.allocUnsafe(STREAM_ID_BYTES)
  bytes.writeBigUInt64BE(value >> 64n, 0)
  bytes.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, 8)
  return bytes
}

export const streamOf = (bytes: Uint8Array): SessionId => {
  let value = 0n
  for (let index = 0; index < STREAM_ID_BYTES; index++) value = (value << 8n) | BigInt(bytes[index] ?? 0)
  let text = ""
  for (let shift = 125n; shift >= 0n; shift -= 5n) text += ALPHABET[Number((value >> shift) & 31n)]
  return text as SessionId
}

/** `stream` is `streamBytes(id)`, kept by callers that append often. */
export const eventKey = (stream: Uint8Array, sequence: number): Buffer => {
  const key = Buffer.allocUnsafe(EVENT_KEY_BYTES)
  key.set(stream, 0)
  key.writeUInt32BE(Math.floor(sequence / 0x1_0000_0000), 16)
  key.writeUInt32BE(sequence >>> 0, 20)
  return key
}

export const sequenceOf = (key: Uint8Array): number => {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength)
  return view.getUint32(16) * 0x1_0000_0000 + view.getUint32(20)
}

export const isEventKey = (key: Uint8Array): boolean => key.byteLength === EVENT_KEY_BYTES && key[0] !== ROW_PREFIX

/** Above every event key of the stream, below every key of the next one. */
export const streamEnd = (stream: Uint8Array): Buffer => eventKey(stream, Number.MAX_SAFE_INTEGER)

export const rowKey = (space: string, key: Uint8Array): Buffer => {
  const full = Buffer.allocUnsafe(2 + space.length + key.byteLength)
  full[0] = ROW_PREFIX
  full.write(space, 1, "latin1")
  full[1 + space.length] = 0
  full.set(key, 2 + space.length)
  return full
}

/** The first key after every row of the space. */
export const spaceEnd = (space: string): Buffer => {
  const end = rowKey(space, new Uint8Array(0))
  end[end.byteLength - 1] = 1
  return end
}

export const rowKeyOf = (space: string, full: Uint8Array): Uint8Array => full.subarray(2 + space.length)
