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
