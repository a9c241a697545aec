/**
 * How a cell of @xterm/headless looks: its colours and attributes without the bits that show nothing, and the escape
 * sequences (SGR, DECSCA) that set them. ScreenRedraw.ts draws with it, ScreenDifference.ts compares with it.
 */

/** `fg` and `bg` are the emulator's words of a cell, cleaned; `underline` holds style (bits 26 to 28) and colour. */
export interface CellLook {
  readonly fg: number
  readonly bg: number
  readonly underline: number
}

export const PLAIN: CellLook = { fg: 0, bg: 0, underline: 0 }

const COLOR_MODE = 0x3000000
const COLOR_16 = 0x1000000
const COLOR_RGB = 0x3000000
const COLOR = 0x3ffffff
/** SGR 59 leaves it, and so would white: the first is what programs send. */
const UNDERLINE_COLOR_NONE = COLOR
const UNDERLINE_STYLE = 0x1c000000
const UNDERLINE_STYLE_SHIFT = 26
const FG_UNDERLINE = 0x10000000
const BG_EXTENDED = 0x10000000
const BG_PROTECTED = 0x20000000
/** Attribute bits of the words and their SGR codes; underline and protection have forms of their own. */
const FG_CODES = [
  [0x8000000, "1"],
  [0x20000000, "5"],
  [0x4000000, "7"],
  [0x40000000, "8"],
  [0x80000000, "9"]
] as const
const BG_CODES = [
  [0x8000000, "2"],
  [0x4000000, "3"],
  [0x40000000, "53"]
] as const
const FG_FLAGS = 0xfc000000
const BG_FLAGS = 0x6c000000

/** The look that the words of a cell give it. */
export const lookOf = (fg: number, bg: number, extended: number): CellLook => {
  if (fg === 0 && bg === 0) return PLAIN
  let flags = fg & FG_FLAGS
  let underline = 0
  if ((flags & FG_UNDERLINE) !== 0) {
    const hasStyle = (bg & BG_EXTENDED) !== 0
    const style = hasStyle ? extended & UNDERLINE_STYLE : 1 << UNDERLINE_STYLE_SHIFT
    if (style === 0) flags &= ~FG_UNDERLINE
    else underline = style | (hasStyle ? color(extended) : 0)
  }
  return { fg: (flags | color(fg)) >>> 0, bg: ((bg & BG_FLAGS) | color(bg)) >>> 0, underline }
}

/** The look that text printed next gets. Unlike a cell's, an underline colour matters before anything is underlined. */
export const penLook = (fg: number, bg: number, extended: number): CellLook => {
  const look = lookOf(fg, bg, extended)
  return { ...look, underline: (look.underline & UNDERLINE_STYLE) | color(extended) }
}

/** What DECSC keeps of a look: not the style and the colour of the underline. */
export const savedLook = (fg: number, bg: number): CellLook => lookOf(fg, bg & ~BG_EXTENDED, 0)

export const sameLook = (one: CellLook, other: CellLook): boolean =>
  one === other || (one.fg === other.fg && one.bg === other.bg && one.underline === other.underline)

/** Nothing but a background: what erasing gives a cell. */
export const isErasedLook = ({ bg, fg, underline }: CellLook): boolean =>
  fg === 0 && underline === 0 && (bg & BG_FLAGS) === 0

export const hasBackground = ({ bg }: CellLook): boolean => (bg & COLOR_MODE) !== 0

/** The sequences that give text this look, whatever it had before; `before` only tells whether protection has to end. */
export const lookSequence = (look: CellLook, before: CellLook): string => {
  const codes: Array<string> = ["0"]
  const more: Array<string> = []
  for (const [bit, code] of FG_CODES) if ((look.fg & bit) !== 0) codes.push(code)
  for (const [bit, code] of BG_CODES) if ((look.bg & bit) !== 0) codes.push(code)
  addColor(look.fg, 30, 90, 38, codes, more)
  addColor(look.bg, 40, 100, 48, codes, more)
  const style = (look.underline & UNDERLINE_STYLE) >>> UNDERLINE_STYLE_SHIFT
  if (style === 1) codes.push("4")
  // Sequences with a colon are ones of their own: a terminal that does not know the form drops no more than them.
  else if (style > 1) more.push(`4:${style}`)
  const under = look.underline & COLOR
  if (under === UNDERLINE_COLOR_NONE) more.push("59")
  else if ((under & COLOR_MODE) === COLOR_RGB) more.push(`58:2::${rgb(under, ":")}`)
  else if (under !== 0) more.push(`58:5:${under & 0xff}`)
  const first = codes.length === 1 ? "\x1b[m" : `\x1b[${codes.join(";")}m`
  const isProtected = (look.bg & BG_PROTECTED) !== 0
  const protection = isProtected ? '\x1b[1"q' : (before.bg & BG_PROTECTED) !== 0 ? '\x1b[0"q' : ""
  return first + more.map((code) => `\x1b[${code}m`).join("") + protection
}

/** A colour without what the emulator leaves in the bits of an earlier, longer one. */
const color = (word: number): number => {
  const mode = word & COLOR_MODE
  return mode === 0 ? 0 : mode === COLOR_RGB ? word & COLOR : mode | (word & 0xff)
}

const addColor = (
  word: number,
  low: number,
  high: number,
  extended: number,
  codes: Array<string>,
  more: Array<string>
): void => {
  const mode = word & COLOR_MODE
  const index = word & 0xff
  if (mode === 0) return
  if (mode === COLOR_RGB) more.push(`${extended};2;${rgb(word, ";")}`)
  else if (mode === COLOR_16) codes.push(String(index < 8 ? low + index : high + index - 8))
  else codes.push(`${extended};5;${index}`)
}

const rgb = (word: number, separator: string): string =>
  [(word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff].join(separator)
