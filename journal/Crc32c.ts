/** CRC-32C as LevelDB's tables and logs use it. Node has only the other CRC-32. Pure functions over bytes. */

/** The remainders of each byte at eight distances from the end: eight bytes at a time, about 700 MB/s. */
const TABLES = Array.from({ length: 8 }, () => new Int32Array(256))
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  TABLES[0]![byte] = crc
}
for (let table = 1; table < 8; table++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = TABLES[table - 1]![byte]!
    TABLES[table]![byte] = (before >>> 8) ^ TABLES[0]![before & 255]!
  }
}
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array
]

export const crc32c = (bytes: Uint8Array, from: number, to: number): number => {
  let crc = ~0
  let at = from
  for (; at + 8 <= to; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      T7[crc & 255]! ^
      T6[(crc >>> 8) & 255]! ^
      T5[(crc >>> 16) & 255]! ^
      T4[crc >>> 24]! ^
      T3[bytes[at + 4]!]! ^
      T2[bytes[at + 5]!]! ^
      T1[bytes[at + 6]!]! ^
      T0[bytes[at + 7]!]!
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ T0[(crc ^ bytes[at]!) & 255]!
  return ~crc
}

/** LevelDB stores a checksum changed, so that the checksum of bytes that hold one is not degenerate. */
const MASK_DELTA = 0xa282ead8
export const mask = (crc: number): number => (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0
export const unmask = (masked: number): number => {
  const rotated = (masked - MASK_DELTA) | 0
  return (rotated >>> 17) | (rotated << 15)
}

/** What one flipped bit of the last byte changes in a CRC. */
export const bitRemainder = (bit: number): number => TABLES[0]![1 << bit]! | 0
/** The same bit one byte further from the end. */
export const furtherRemainder = (remainder: number): number => (remainder >>> 8) ^ T0[remainder & 255]!

/** One byte more, for checksums of every length that a beginning can have; starts with ~0, `~` of it is the CRC. */
export const addByte = (running: number, byte: number): number => T0[(running ^ byte) & 255]! ^ (running >>> 8)
