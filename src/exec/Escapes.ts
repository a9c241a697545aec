/**
 * Text with backslash escapes, as people and agents write bytes for a terminal on one line: read into bytes
 * (`parseEscapes`) and shown again (`showEscapes`). Known are `\n \r \t \b \f \v \\`, `\xHH` (a byte) and `\uHHHH` (a
 * character, as UTF-8). Anything else stays what it is. Pure; it never fails.
 */

const H = "[0-9a-fA-F]"
const ESCAPE = new RegExp(
  String.raw`\\(?:([nrtbfv\\])|x(${H}{2})|u([dD][89abAB]${H}{2})\\u([dD][c-fC-F]${H}{2})|u(${H}{4}))`,
  "g"
)

const BYTES: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, b: 0x08, f: 0x0c, v: 0x0b, "\\": 0x5c }
const LETTERS = new Map(Object.entries(BYTES).map(([letter, byte]) => [byte, letter]))

const textEncoder = new TextEncoder()

/**
 * The bytes that the text stands for.
 *
 * **Details** `\x80` to `\xff` are single bytes: a terminal's input is bytes, and whoever means the character writes
 * `\u0080`. Half of a surrogate pair is no character and stays as it is; both halves in a row are one.
 */
export const parseEscapes = (text: string): Uint8Array => {
  const parts: Array<Uint8Array> = []
  let at = 0
  for (const match of text.matchAll(ESCAPE)) {
    const [all, letter, hex, high, low, unit] = match
    const bytes = escaped(letter, hex, high !== undefined ? [high, low!] : unit !== undefined ? [unit] : [])
    if (bytes === undefined) continue
    parts.push(textEncoder.encode(text.slice(at, match.index)), bytes)
    at = match.index + all.length
  }
  parts.push(textEncoder.encode(text.slice(at)))
  return new Uint8Array(Buffer.concat(parts))
}

/** undefined: half of a pair, no escape after all. */
const escaped = (
  letter: string | undefined,
  hex: string | undefined,
  units: ReadonlyArray<string>
): Uint8Array | undefined => {
  if (letter !== undefined) return Uint8Array.of(BYTES[letter]!)
  if (hex !== undefined) return Uint8Array.of(Number.parseInt(hex, 16))
  const character = String.fromCharCode(...units.map((unit) => Number.parseInt(unit, 16)))
  return character.isWellFormed() ? textEncoder.encode(character) : undefined
}

/** Characters that are shown as escapes: controls, what is invisible, and what turns the writing direction around. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cn}\p{Co}]/u
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * The bytes as text on one line that `parseEscapes` reads back to the same bytes. What is not UTF-8 is shown byte by byte,
 * and so is everything that would act on the terminal it is shown on.
 */
export const showEscapes = (bytes: Uint8Array): string => {
  let shown = ""
  let at = 0
  while (at < bytes.length) {
    const length = characterLength(bytes, at)
    if (length === 1) shown += showByte(bytes[at]!)
    else {
      const character = strict.decode(bytes.subarray(at, at + length))
      shown += HIDDEN.test(character) ? showUnits(character) : character
    }
    at += length
  }
  return shown
}

const showByte = (byte: number): string => {
  const letter = LETTERS.get(byte)
  if (letter !== undefined) return `\\${letter}`
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`
}

const showUnits = (character: string): string =>
  Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`
  }).join("")

/** Bytes of the character there: 1 for ASCII, and for a byte that begins no valid one. */
const characterLength = (bytes: Uint8Array, at: number): number => {
  const first = bytes[at]!
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 1
  if (length === 1 || at + length > bytes.length) return 1
  for (let index = 1; index < length; index++) if ((bytes[at + index]! & 0xc0) !== 0x80) return 1
  // Overlong forms, surrogates and what lies above U+10FFFF: three bytes give at least U+0800, four U+10000.
  const second = bytes[at + 1]!
  if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return 1
  if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f)) return 1
  return length
}
