/**
 * UTF-8 as the inside of a JSON string, byte by byte: as JSON.stringify writes it, without making strings of a gigabyte of
 * output. Pure.
 */

/** The most that one byte becomes: `\\u001b`. */
export const ESCAPED_BYTES_MAX = 6

const BACKSLASH = 0x5c
/** What stands behind the backslash, by byte; 0: the byte stands for itself; 0x75 (u): as `\\u00XX`. */
const ESCAPES = new Uint8Array(256)
ESCAPES.fill(0x75, 0, 0x20)
for (const [byte, letter] of [
  [0x08, "b"],
  [0x09, "t"],
  [0x0a, "n"],
  [0x0c, "f"],
  [0x0d, "r"],
  [0x22, '"'],
  [BACKSLASH, "\\"]
] as const) {
  ESCAPES[byte] = letter.charCodeAt(0)
}
const DIGITS = Buffer.from("0123456789abcdef")

/** Writes at `at`, where there is room for ESCAPED_BYTES_MAX of each byte; gives the place behind it. */
export const writeJsonText = (target: Uint8Array, at: number, text: Uint8Array): number => {
  let to = at
  for (let from = 0; from < text.length; from++) {
    const byte = text[from]!
    const letter = ESCAPES[byte]!
    if (letter === 0) {
      target[to++] = byte
      continue
    }
    target[to++] = BACKSLASH
    target[to++] = letter
    if (letter !== 0x75) continue
    target[to++] = 0x30
    target[to++] = 0x30
    target[to++] = DIGITS[byte >> 4]!
    target[to++] = DIGITS[byte & 15]!
  }
  return to
}
