/**
 * Where UTF-8 text may be cut. Terminal output is bytes that break anywhere; whoever shows a part of it cuts at a
 * character's border and says how much was left out. Pure functions; they never change the bytes.
 */

/**
 * Bytes at the end that begin a character and do not finish it (0 to 3). Exactly the prefixes that the WHATWG decoder
 * waits on: anything else there is an error already and gives U+FFFD, whatever follows.
 */
export const incompleteTail = (bytes: Uint8Array, end = bytes.length): number => {
  for (let back = 1; back <= 3 && back <= end; back++) {
    const byte = bytes[end - back]!
    if (byte < 0x80) return 0
    if (byte < 0xc0) continue
    const needed = byte >= 0xc2 && byte <= 0xdf ? 2 : (byte & 0xf0) === 0xe0 ? 3 : byte >= 0xf0 && byte <= 0xf4 ? 4 : 0
    if (back >= needed) return 0
    if (back >= 2 && !isSecondByte(byte, bytes[end - back + 1]!)) return 0
    return back
  }
  return 0
}

/** Overlong forms, surrogates and what lies above U+10FFFF are excluded by the second byte. */
const isSecondByte = (first: number, second: number): boolean =>
  first === 0xe0
    ? second >= 0xa0
    : first === 0xed
      ? second <= 0x9f
      : first === 0xf0
        ? second >= 0x90
        : first === 0xf4
          ? second <= 0x8f
          : true

/** Continuation bytes at the start (0 to 3): the rest of a character whose beginning was cut off. */
export const orphanHead = (bytes: Uint8Array): number => {
  let count = 0
  while (count < 3 && count < bytes.length && (bytes[count]! & 0xc0) === 0x80) count++
  return count
}

/** Bytes of the well-formed UTF-8 character at `at` (RFC 3629: nothing overlong, no surrogates); 0 when there is none. */
export const characterLength = (bytes: Uint8Array, at: number): number => {
  const first = bytes[at]!
  if (first < 0x80) return 1
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0
  if (length === 0 || at + length > bytes.length) return 0
  const second = bytes[at + 1]!
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < low || second > high) return 0
  for (let index = at + 2; index < at + length; index++) {
    if ((bytes[index]! & 0xc0) !== 0x80) return 0
  }
  return length
}
