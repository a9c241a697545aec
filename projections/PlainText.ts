/**
 * Turns terminal output into plain text lines: escape sequences removed, carriage return, backspace, tab and the line
 * editing sequences of shells applied, full-screen programs (alternate screen) left out. Buffers.ts keeps what it gives.
 * It is a streaming fold over bytes: UTF-8 and sequences may break at any byte, and the same bytes give the same
 * lines however they are split. Invalid UTF-8 becomes U+FFFD. It is not an emulator: a wide character counts as one
 * column, and a cursor that leaves the line ends it. Where it is told how wide the terminal is, a line goes on over several
 * rows of it, as shells edit long ones; else a line is one row.
 */

/** Characters of one line. Longer ones (a minified file, a progress bar without an end) are cut with a mark. */
export const LINE_CHARACTERS_MAX = 10_000

/** Bytes of a CSI's parameters that are looked at: the sequences understood here have at most two short numbers. */
const PARAMETER_BYTES_MAX = 32
const TAB_COLUMNS = 8

const GROUND = 0
const ESCAPE = 1
const ESCAPE_INTERMEDIATE = 2
const CSI = 3
const STRING = 4
const STRING_ESCAPE = 5

export interface PlainText {
  phase: number
  /** Bytes still missing of the UTF-8 character that is being read, its bits so far, and the range of its next byte. */
  needed: number
  bits: number
  lower: number
  upper: number
  parameters: string
  /** The current line as code points. */
  readonly line: Uint32Array
  length: number
  column: number
  /** Characters of the current line beyond its cap. */
  dropped: number
  /** Of the terminal; 0: not known, a line is one row. */
  columns: number
  /** Where the cursor was last put at the beginning of a row: it is in that row, not behind the end of the one before. */
  row: number
  /** In the alternate screen: nothing is kept. */
  alternate: boolean
}

export const makePlainText = (): PlainText => ({
  phase: GROUND,
  needed: 0,
  bits: 0,
  lower: 0x80,
  upper: 0xbf,
  parameters: "",
  line: new Uint32Array(LINE_CHARACTERS_MAX),
  length: 0,
  column: 0,
  dropped: 0,
  columns: 0,
  row: 0,
  alternate: false
})

/** Where the cursor's row begins in its line. A cursor behind the last column of a row is in that row still. */
const rowStart = ({ column, columns, row }: PlainText): number =>
  columns === 0 || column === 0 ? 0 : column === row ? row : Math.floor((column - 1) / columns) * columns

/** Feeds bytes; `emit` gets each line that ends in them. */
export const feedPlainText = (text: PlainText, bytes: Uint8Array, emit: (line: string) => void): void => {
  const { line } = text
  const end = bytes.length
  for (let at = 0; at < end; at++) {
    let byte = bytes[at]!
    if (text.phase === STRING && text.needed === 0) {
      // Inside a string only what can end it matters: BEL, CAN, SUB, ESC, and a C1 control, which is not ASCII.
      while (byte < 0x80 && byte !== 0x07 && byte !== 0x18 && byte !== 0x1a && byte !== 0x1b) {
        if (++at >= end) return
        byte = bytes[at]!
      }
    }
    if (text.needed === 0 && byte < 0x80) {
      if (byte >= 0x20 && byte < 0x7f && text.phase === GROUND && text.column <= text.length && !text.alternate) {
        // Plain text, the usual case: a run of it goes straight into the line.
        let column = text.column
        let next = byte
        while (next >= 0x20 && next < 0x7f) {
          if (column < LINE_CHARACTERS_MAX) line[column++] = next
          else text.dropped++
          if (++at >= end) break
          next = bytes[at]!
        }
        at--
        text.column = column
        if (column > text.length) text.length = column
      } else character(text, byte, emit)
      continue
    }
    decode(text, byte, emit)
  }
}

/** What the next byte belongs to: text, a short sequence, or a string such as an OSC. */
export const readingOf = ({ phase }: PlainText): "text" | "sequence" | "string" =>
  phase === GROUND ? "text" : phase === STRING || phase === STRING_ESCAPE ? "string" : "sequence"

/** The line that has not ended yet. */
export const openLine = (text: PlainText): string => lineText(text)

/** The decoder of the Encoding standard, a byte at a time: an error gives U+FFFD and the byte is read again. */
const decode = (text: PlainText, byte: number, emit: (line: string) => void): void => {
  if (text.needed === 0) {
    if (byte >= 0xc2 && byte <= 0xdf) begin(text, 1, byte & 0x1f, 0x80, 0xbf)
    else if (byte >= 0xe0 && byte <= 0xef)
      begin(text, 2, byte & 0x0f, byte === 0xe0 ? 0xa0 : 0x80, byte === 0xed ? 0x9f : 0xbf)
    else if (byte >= 0xf0 && byte <= 0xf4)
      begin(text, 3, byte & 0x07, byte === 0xf0 ? 0x90 : 0x80, byte === 0xf4 ? 0x8f : 0xbf)
    else character(text, 0xfffd, emit)
    return
  }
  if (byte < text.lower || byte > text.upper) {
    begin(text, 0, 0, 0x80, 0xbf)
    character(text, 0xfffd, emit)
    if (byte < 0x80) character(text, byte, emit)
    else decode(text, byte, emit)
    return
  }
  begin(text, text.needed - 1, (text.bits << 6) | (byte & 0x3f), 0x80, 0xbf)
  if (text.needed === 0) character(text, text.bits, emit)
}

const begin = (text: PlainText, needed: number, bits: number, lower: number, upper: number): void => {
  text.needed = needed
  text.bits = bits
  text.lower = lower
  text.upper = upper
}

const character = (text: PlainText, code: number, emit: (line: string) => void): void => {
  if (code === 0x1b) {
    text.phase = text.phase === STRING ? STRING_ESCAPE : ESCAPE
    return
  }
  if (code === 0x18 || code === 0x1a) {
    text.phase = GROUND
    return
  }
  if (code >= 0x80 && code <= 0x9f) {
    // C1: CSI; DCS, SOS, OSC, PM, APC begin a string and ST ends one; NEL and IND are line ends.
    text.parameters = ""
    text.phase =
      code === 0x9b ? CSI : code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f) ? STRING : GROUND
    if (code === 0x84 || code === 0x85) control(text, 0x0a, emit)
    return
  }
  switch (text.phase) {
    case GROUND:
      if (code < 0x20) control(text, code, emit)
      else if (code !== 0x7f) print(text, code)
      return
    case ESCAPE:
      escapeSequence(text, code, emit)
      return
    case ESCAPE_INTERMEDIATE:
      if (code < 0x20) control(text, code, emit)
      else if (code > 0x2f) text.phase = GROUND
      return
    case CSI:
      if (code < 0x20) control(text, code, emit)
      else if (code < 0x40) {
        if (text.parameters.length < PARAMETER_BYTES_MAX) text.parameters += String.fromCharCode(code)
      } else {
        text.phase = GROUND
        if (code < 0x7f) controlSequence(text, code, emit)
        else if (code > 0x9f) print(text, code)
      }
      return
    case STRING:
      if (code === 0x07) text.phase = GROUND
      return
    default:
      // ESC in a string: `\` ends it, anything else ends it too and is an escape sequence of its own.
      text.phase = GROUND
      if (code !== 0x5c) escapeSequence(text, code, emit)
  }
}

const escapeSequence = (text: PlainText, code: number, emit: (line: string) => void): void => {
  text.phase = GROUND
  text.parameters = ""
  if (code < 0x20) {
    text.phase = ESCAPE
    control(text, code, emit)
  } else if (code === 0x5b) text.phase = CSI
  else if (code === 0x5d || code === 0x50 || code === 0x58 || code === 0x5e || code === 0x5f) text.phase = STRING
  else if (code <= 0x2f) text.phase = ESCAPE_INTERMEDIATE
  else if (code === 0x44 || code === 0x45) control(text, 0x0a, emit)
  else if (code > 0x7f) print(text, code)
}

const control = (text: PlainText, code: number, emit: (line: string) => void): void => {
  switch (code) {
    case 0x0a:
    case 0x0b:
    case 0x0c:
      endLine(text, emit)
      return
    case 0x0d:
      text.column = rowStart(text)
      text.row = text.column
      return
    case 0x08: {
      const start = rowStart(text)
      // From behind the last column it goes to the one before the last.
      const by = isBehindRow(text) ? 2 : 1
      text.column = Math.max(start, text.column - by)
      if (text.column === start) text.row = start
      return
    }
    case 0x09: {
      if (text.alternate) return
      const stop = (Math.floor(text.column / TAB_COLUMNS) + 1) * TAB_COLUMNS
      text.column = Math.min(stop, LINE_CHARACTERS_MAX)
      pad(text)
      return
    }
  }
}

/** CSI: what shells and progress bars use on the current line; a vertical move ends it, so that no two lines are glued. */
const controlSequence = (text: PlainText, final: number, emit: (line: string) => void): void => {
  const parameters = text.parameters
  if (parameters.startsWith("?")) {
    if ((final === 0x68 || final === 0x6c) && /^\?(?:.*;)?(?:47|1047|1049)(?:;|$)/.test(parameters)) {
      if (final === 0x68 && !text.alternate && text.length > 0) endLine(text, emit)
      text.alternate = final === 0x68
    }
    return
  }
  if (text.alternate) return
  const first = Number.parseInt(parameters, 10)
  const count = Math.min(Number.isNaN(first) || first === 0 ? 1 : first, LINE_CHARACTERS_MAX)
  switch (final) {
    case 0x43: // C: forward
      text.column = Math.min(text.column + count, LINE_CHARACTERS_MAX)
      return
    case 0x44: // D: back
      moveInRow(text, text.column - count - (isBehindRow(text) ? 1 : 0))
      return
    case 0x47: // G: column
    case 0x60:
      moveInRow(text, rowStart(text) + count - 1)
      return
    case 0x4b: // K: erase in line
      eraseInLine(text, Number.isNaN(first) ? 0 : first)
      return
    case 0x50: // P: delete characters
      if (text.column < text.length) {
        const from = Math.min(text.column + count, text.length)
        text.line.copyWithin(text.column, from, text.length)
        text.length -= from - text.column
      }
      return
    case 0x40: // @: insert blanks
      if (text.column < text.length) {
        const length = Math.min(text.length + count, LINE_CHARACTERS_MAX)
        text.line.copyWithin(Math.min(text.column + count, length), text.column, text.length)
        text.line.fill(0x20, text.column, Math.min(text.column + count, length))
        text.length = length
      }
      return
    case 0x41: // A, B: to another row of the line, or out of it, as E, F, H, d, f are
    case 0x42:
      if (moveByRows(text, final === 0x41 ? -count : count)) return
      if (text.length > 0) endLine(text, emit)
      else text.column = 0
      return
    case 0x45:
    case 0x46:
    case 0x48:
    case 0x64:
    case 0x66:
      if (text.length > 0) endLine(text, emit)
      else text.column = 0
      return
  }
}

/** The last column is full, and the next character begins a row. */
const isBehindRow = (text: PlainText): boolean => text.columns > 0 && text.column === rowStart(text) + text.columns

/** To a column of the same row. */
const moveInRow = (text: PlainText, to: number): void => {
  const start = rowStart(text)
  text.column = Math.max(start, to)
  if (text.column === start) text.row = start
}

/** False where the line has no such row. */
const moveByRows = (text: PlainText, rows: number): boolean => {
  if (text.columns === 0) return false
  const start = rowStart(text)
  const to = start + rows * text.columns
  if (to < 0 || to > text.length || (to === text.length && to !== 0)) return false
  text.column = to + Math.min(text.column - start, text.columns - 1)
  text.row = text.column === to ? to : 0
  return true
}

const eraseInLine = (text: PlainText, mode: number): void => {
  const start = rowStart(text)
  const end = start + text.columns
  if (text.columns > 0 && (start > 0 || text.length > end)) {
    // Of a line of several rows, only what stands in this one.
    const from = mode === 0 ? text.column : start
    const to = Math.min(mode === 1 ? text.column + 1 : end, end)
    if (from < text.length) text.line.fill(0x20, from, Math.min(to, text.length))
    if (to >= text.length && mode !== 1) text.length = Math.min(text.length, from)
    return
  }
  if (mode === 0) {
    text.length = Math.min(text.length, text.column)
    text.dropped = 0
  } else if (mode === 1) text.line.fill(0x20, 0, Math.min(text.column + 1, text.length))
  else if (mode === 2) {
    text.length = 0
    text.dropped = 0
  }
}

const print = (text: PlainText, code: number): void => {
  if (text.alternate) return
  if (text.column >= LINE_CHARACTERS_MAX) {
    text.dropped++
    return
  }
  pad(text)
  text.line[text.column++] = code
  if (text.column > text.length) text.length = text.column
}

/** Cells that the cursor jumped over are blanks. */
const pad = (text: PlainText): void => {
  if (text.column > text.length) {
    text.line.fill(0x20, text.length, text.column)
    text.length = text.column
  }
}

const endLine = (text: PlainText, emit: (line: string) => void): void => {
  if (!text.alternate) emit(lineText(text))
  text.length = 0
  text.column = 0
  text.row = 0
  text.dropped = 0
}

/** One line as UTF-16, surrogate pairs included. Shared: a line is made in one go. */
const scratch16 = new Uint16Array(LINE_CHARACTERS_MAX * 2)
const scratch = Buffer.from(scratch16.buffer)

const lineText = (text: PlainText): string => {
  let end = text.length
  if (text.dropped === 0) while (end > 0 && text.line[end - 1] === 0x20) end--
  // Logs are ASCII: such a line is made of bytes, which takes half the memory and a native copy.
  let all = 0
  for (let at = 0; at < end; at++) {
    const code = text.line[at]!
    all |= code
    scratch[at] = code
  }
  let result: string
  if (all < 0x80) result = scratch.toString("latin1", 0, end)
  else {
    let units = 0
    for (let at = 0; at < end; at++) {
      const code = text.line[at]!
      if (code < 0x10000) scratch16[units++] = code
      else {
        scratch16[units++] = 0xd800 + ((code - 0x10000) >> 10)
        scratch16[units++] = 0xdc00 + (code & 0x3ff)
      }
    }
    result = scratch.toString("utf16le", 0, units * 2)
  }
  return text.dropped === 0 ? result : `${result} [… ${text.dropped} more characters]`
}
