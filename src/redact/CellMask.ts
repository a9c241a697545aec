/**
 * The character that takes another's place so that nothing behind it moves: as many bytes of UTF-8, as many cells. A
 * character is replaced by one of its own kind, because terminals differ in how wide they take some kinds to be.
 */

const of = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "utf8"))

const ASCII = of("*")
const TWO_BYTES = of("\u00a6")
const TWO_BYTES_COMBINING = of("\u034f")
const THREE_BYTES = of("\u2217")
const THREE_BYTES_WIDE = of("\uff0a")
const THREE_BYTES_COMBINING = of("\u200b")
const FOUR_BYTES = of("\u{10101}")
const FOUR_BYTES_IDEOGRAPH = of("\u{20000}")
const FOUR_BYTES_PICTURE = of("\u{1f534}")
const FOUR_BYTES_COMBINING = of("\u{e0100}")

/** Cells of a character: 0, 1 or 2. */
export const cellsOf = (code: number): number => {
  if (code < 0x300) return 1
  if (isCombining(code)) return 0
  return isWide(code) || (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3ffff) ? 2 : 1
}

/**
 * Format characters that a terminal shows nothing of, and that nobody types: soft hyphen, zero width spaces and joiners,
 * directions. Within a word they hide it from a search and from nobody else.
 */
export const isInvisible = (code: number): boolean =>
  code === 0xad ||
  (code >= 0x200b && code <= 0x200f) ||
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2060 && code <= 0x206f) ||
  code === 0xfeff

/** The same text without them. */
export const visibleOf = (text: string): string =>
  text.replace(/[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/gu, "")

const isCombining = (code: number): boolean => /^[\p{Mn}\p{Me}\p{Cf}]$/u.test(String.fromCodePoint(code))

/** East Asian wide and fullwidth, below 0x10000. */
const isWide = (code: number): boolean =>
  (code >= 0x1100 && code <= 0x115f) ||
  (code >= 0x2e80 && code <= 0x303e) ||
  (code >= 0x3041 && code <= 0x4dbf) ||
  (code >= 0x4e00 && code <= 0xa4cf) ||
  (code >= 0xa960 && code <= 0xa97f) ||
  (code >= 0xac00 && code <= 0xd7a3) ||
  (code >= 0xf900 && code <= 0xfaff) ||
  (code >= 0xfe30 && code <= 0xfe6f) ||
  (code >= 0xff01 && code <= 0xff60) ||
  (code >= 0xffe0 && code <= 0xffe6)

/** The mask of a character that takes `bytes` bytes, fewer than its UTF-8 where those were not right. */
export const maskOf = (code: number, bytes: number): Uint8Array => {
  switch (bytes) {
    case 1:
      return ASCII
    case 2:
      return isCombining(code) ? TWO_BYTES_COMBINING : TWO_BYTES
    case 3:
      return isCombining(code) ? THREE_BYTES_COMBINING : isWide(code) ? THREE_BYTES_WIDE : THREE_BYTES
    default:
      if (isCombining(code)) return FOUR_BYTES_COMBINING
      if (code >= 0x20000 && code <= 0x3ffff) return FOUR_BYTES_IDEOGRAPH
      return code >= 0x1f000 && code <= 0x1faff ? FOUR_BYTES_PICTURE : FOUR_BYTES
  }
}
