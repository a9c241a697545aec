/**
 * The bytes that draw a screen again on a real terminal: what somebody who attaches to a session is sent first. From the
 * emulator's state (XtermState.ts) and that of the guard in front of it (ScreenGuard.ts) to escape sequences that bring
 * a terminal of the same size, whatever state it is in, to the same cells, cursor, margins, tab stops, character sets,
 * saved cursor and modes, so that the output that follows does there what it did here. Screen.ts calls it and hands out
 * only what it has tried. Pure: it knows no session and no size but the state's own.
 *
 * **What the user had.** The drawing begins in the line the cursor is in and erases what is below; as it is as tall as
 * the screen, what was above goes up into the user's own scrollback. A full reset (RIS) would throw that scrollback
 * away, so every mode is set by its own sequence instead. `over` draws from the top left instead: for a terminal that
 * shows this session already.
 *
 * **What cannot be said in sequences** is left out, and ScreenDifference.ts lists it.
 */
import {
  type CellLook,
  hasBackground,
  isErasedLook,
  lookSequence,
  PLAIN,
  penLook,
  sameLook,
  savedLook
} from "./CellLook.ts"
import { inputModeSequences, keyboardSequences } from "./InputModes.ts"
import { ScreenGrid } from "./ScreenGrid.ts"
import { openSequence, type ScreenGuardState } from "./ScreenGuard.ts"
import { CHARSET_FINALS, type CharsetTable, type XtermState } from "./XtermState.ts"

export interface RedrawOptions {
  /** Lines above the screen that are drawn too, newest first kept; all that are there if absent. */
  readonly scrollback?: number | undefined
  /** Draws over what the terminal shows, from its top left. Default: below it. */
  readonly over?: boolean | undefined
  /** Told to the terminal (OSC 7) if given: an absolute path, and the host it is on ("" is the terminal's own). */
  readonly cwd?: { readonly path: string; readonly host: string } | undefined
}

export interface RedrawState {
  readonly xterm: XtermState
  readonly guard: ScreenGuardState
}

/**
 * To a known state, the cursor staying where it is: gives up an open sequence, ends a hyperlink; soft reset (DECSTR) for each of
 * the two screens, as margins and cursor are each one's own; the modes that it leaves alone. Around what moves the
 * cursor stands DECSC … DECRC, also around leaving the alternate screen, which restores a cursor even when it is not
 * shown. Synchronized output ends here and is never begun again.
 */
const PREAMBLE =
  "\x18\x1b\\\x1b]8;;\x1b\\\x1b[!p\x1b7\x1b[?1049l\x1b[!p\x1b7\x1b[?6l\x1b[r\x1b8" +
  "\x1b[4l\x1b[20l\x1b[?1;5;12;25;45;1004;2004;2026l\x1b[?9;1000;1002;1003;1005;1006;1015;1016l\x1b[?7h\x1b>\x1b[0 q" +
  '\x1b(B\x1b)B\x1b*B\x1b+B\x0f\x1b[0"q\x1b[m'

const MOUSE_PROTOCOLS: Readonly<Record<string, number>> = { X10: 9, VT200: 1000, DRAG: 1002, ANY: 1003 }
const MOUSE_ENCODINGS: Readonly<Record<string, number>> = { SGR: 1006, SGR_PIXELS: 1016 }
const CURSOR_STYLES: Readonly<Record<string, number>> = { block: 1, underline: 3, bar: 5 }
const CHARSET_SLOTS = ["(", ")", "*", "+"] as const
const SHIFTS = ["\x0f", "\x0e", "\x1bn", "\x1bo"] as const
/** The second half of a character's properties as the emulator keeps them: its columns. */
const JOIN_WIDTH_SHIFT = 1
const JOIN_WIDTH = 3
// What a title must not hold, whoever set it: it would end the sequence it is sent in.
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g

export const redrawBytes = (
  { guard, xterm }: RedrawState,
  charsets: CharsetTable,
  options: RedrawOptions = {}
): Uint8Array => {
  const { header } = xterm
  const pen = new Pen()
  pen.put(PREAMBLE)
  const normal = new ScreenGrid(xterm, false)
  const scrollback = Math.min(normal.top, Math.max(0, Math.floor(options.scrollback ?? normal.top)))
  if (guard.modes !== undefined) pen.put(inputModeSequences(guard.modes) + keyboardSequences(guard.modes.keyboard[0]))
  pen.put(options.over === true ? "\x1b[H\x1b[J" : "\r\x1b[J")
  drawLines(pen, normal, normal.top - scrollback)
  if (header.alternate) {
    prepare(pen, xterm, 0)
    enterAlternate(pen)
    if (guard.modes !== undefined) pen.put(keyboardSequences(guard.modes.keyboard[1]))
    const alternate = new ScreenGrid(xterm, true)
    drawLines(pen, alternate, alternate.top)
  }
  prepare(pen, xterm, header.alternate ? 1 : 0)
  const title = header.title.replace(CONTROLS, "")
  if (title !== "") pen.put(`\x1b]2;${title}\x1b\\`)
  if (options.cwd !== undefined) pen.put(directorySequence(options.cwd.path, options.cwd.host))
  finish(pen, xterm, charsets)
  return Buffer.concat([Buffer.from(pen.text()), openSequence(guard)])
}

/** OSC 7: a file URL. */
export const directorySequence = (path: string, host: string): string => {
  const url = Array.from(Buffer.from(path), (byte) =>
    UNRESERVED.test(String.fromCharCode(byte))
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
  ).join("")
  return `\x1b]7;file://${host.replace(/[^a-zA-Z0-9.:_-]/g, "")}${url}\x1b\\`
}
const UNRESERVED = /[a-zA-Z0-9/._~-]/

/** Collects the sequences and knows the look that text printed now gets. */
class Pen {
  #text = ""
  #look: CellLook = PLAIN

  put(text: string): void {
    this.#text += text
  }

  look(look: CellLook): void {
    if (!sameLook(look, this.#look)) this.setLook(look)
  }

  /** Also where it is set already: any sequence ends what the next character could combine with. */
  setLook(look: CellLook): void {
    this.#text += lookSequence(look, this.#look)
    this.#look = look
  }

  text(): string {
    return this.#text
  }
}

/**
 * The lines from `first` to the last one of the screen, one below the other. The cursor stands at the beginning of a
 * line, nothing below it; it ends on the last line.
 */
const drawLines = (pen: Pen, grid: ScreenGrid, first: number): void => {
  const end = grid.top + grid.rows
  let column = 0
  for (let line = first; line < end; line++) {
    let from = 0
    if (line > first) {
      if (grid.isWrapped(line) && wrapInto(pen, grid, line, column)) from = drawWrapped(pen, grid, line)
      else {
        // A terminal fills what it scrolls in with the background of the moment.
        pen.look(PLAIN)
        pen.put("\r\n")
      }
    }
    column = drawLine(pen, grid, line, from, endOfLine(grid, line, end))
  }
  pen.look(PLAIN)
}

/** A wide character that did not fit made the terminal wrap and left the last cell blank: it does so again. */
const endOfLine = (grid: ScreenGrid, line: number, end: number): number =>
  line + 1 < end && grid.isWrapped(line + 1) && isLeftOver(grid, line) ? grid.cols - 1 : grid.cols

const isLeftOver = (grid: ScreenGrid, line: number): boolean =>
  grid.cols > 2 &&
  grid.isBlank(line, grid.cols - 1) &&
  grid.width(line + 1, 0) === 2 &&
  sameLook(grid.look(line, grid.cols - 1), grid.look(line + 1, 0))

/** Whether a character printed at the start of the line would make the terminal wrap there by itself. */
const wrapsByItself = (grid: ScreenGrid, line: number, column: number): boolean =>
  grid.width(line, 0) > 0 && !grid.isBlank(line, 0) && (column === grid.cols || isLeftOver(grid, line - 1))

/**
 * Makes the line a continuation of the one before, in which the cursor is at `column`. True: it is in the line now or
 * will be with the next character. Where the characters on both sides of the border are not there any more, blanks are
 * printed over it and erased again.
 */
const wrapInto = (pen: Pen, grid: ScreenGrid, line: number, column: number): boolean => {
  const { cols } = grid
  if (wrapsByItself(grid, line, column)) {
    if (column < cols - 1) pen.put(`\x1b[${cols - 1 - column}C`)
    return true
  }
  const isFull = column === cols
  if (!isFull && grid.rows === 1) return false
  pen.look(PLAIN)
  if (!isFull) pen.put(`\x1b[${cols}G `)
  pen.put(" ")
  if (!isFull) {
    const look = grid.look(line - 1, cols - 1)
    pen.put(`\x1b[A\x1b[${cols}G`)
    pen.look(look)
    pen.put(isErasedLook(look) ? "\x1b[X" : " ")
    pen.look(PLAIN)
    pen.put("\x1b[B")
  }
  pen.put("\r\x1b[X")
  return true
}

/** The first character of a continued line, if it is what wraps; gives the column behind it. */
const drawWrapped = (pen: Pen, grid: ScreenGrid, line: number): number => {
  if (grid.width(line, 0) === 0 || grid.isBlank(line, 0)) return 0
  const look = grid.look(line, 0)
  pen.look(look)
  pen.put(grid.text(line, 0))
  const width = grid.width(line, 0)
  if (hasBackground(look) && width < grid.cols) {
    // Where wrapping scrolled, the new line was filled with this background.
    pen.look(PLAIN)
    pen.put("\x1b[K")
  }
  return width
}

/** Cells from `from` to `end`; the cursor stands at `from`. Gives the column it ends in. */
const drawLine = (pen: Pen, grid: ScreenGrid, line: number, from: number, end: number): number => {
  let cursor = from
  const moveTo = (column: number) => {
    if (column > cursor) pen.put(column === cursor + 1 ? "\x1b[C" : `\x1b[${column - cursor}C`)
    cursor = column
  }
  let column = from
  while (column < end) {
    const look = grid.look(line, column)
    if (grid.isBlank(line, column)) {
      let to = column + 1
      while (to < end && grid.isBlank(line, to) && sameLook(grid.look(line, to), look)) to++
      if (!sameLook(look, PLAIN)) {
        moveTo(column)
        pen.look(look)
        // Erasing to the end of a line from its beginning would end its being a continuation.
        if (!isErasedLook(look)) {
          pen.put(" ".repeat(to - column))
          cursor = to
        } else pen.put(to === grid.cols && column > 0 ? "\x1b[K" : `\x1b[${to - column}X`)
      }
      column = to
      continue
    }
    moveTo(column)
    const width = grid.width(line, column)
    // A mark that has a cell of its own was printed where it had nothing to combine with.
    if (width === 0) pen.setLook(look)
    else pen.look(look)
    pen.put(grid.text(line, column))
    column += Math.max(width, 1)
    cursor = column
  }
  return cursor
}

/** What each buffer has of its own beside its cells: tab stops, the saved cursor, margins. Moves the cursor. */
const prepare = (pen: Pen, { header }: XtermState, index: 0 | 1): void => {
  const buffer = header.buffers[index]
  const { cols, rows } = header.size
  // Where there is no soft reset, restoring the cursor brought an old origin mode back; only here it may be moved.
  pen.put("\x1b[?6l\x1b[3g")
  // The emulator has one in the first column too, where no tab goes to.
  for (const column of buffer.tabs) if (column > 0 && column < cols) pen.put(`\x1b[${column + 1}G\x1bH`)
  pen.look(savedLook(buffer.savedAttributes[0], buffer.savedAttributes[1]))
  if (buffer.savedCharset !== 0) pen.put(`\x1b(${CHARSET_FINALS[buffer.savedCharset]}`)
  const row = Math.min(Math.max(buffer.savedY - buffer.ybase, 0), rows - 1)
  pen.put(`\x1b[${row + 1};${Math.min(buffer.savedX, cols - 1) + 1}H\x1b7`)
  if (buffer.savedCharset !== 0) pen.put("\x1b(B")
  pen.look(PLAIN)
  if (buffer.scrollTop !== 0 || buffer.scrollBottom !== rows - 1) {
    pen.put(`\x1b[${buffer.scrollTop + 1};${buffer.scrollBottom + 1}r`)
  }
}

/** With the cursor and look that are saved: 1049 saves them again. */
const enterAlternate = (pen: Pen): void => {
  pen.put("\x1b8\x1b[?1049h\x1b(B")
  pen.setLook(PLAIN)
  pen.put("\x1b[r\x1b[H\x1b[2J")
}

/** Everything that is the terminal's as a whole, the look and the cursor last: those say where the output goes on. */
const finish = (pen: Pen, xterm: XtermState, table: CharsetTable): void => {
  const { header } = xterm
  const buffer = header.buffers[header.alternate ? 1 : 0]
  const { cols, rows } = header.size
  const modes = header.modes
  const grid = new ScreenGrid(xterm, header.alternate)
  const line = grid.top + buffer.y
  const look = penLook(...header.attributes)
  const origin = modes.origin === true
  if (origin) pen.put("\x1b[?6h")
  const row = origin ? Math.max(buffer.y - buffer.scrollTop, 0) : Math.min(buffer.y, rows - 1)
  const put = (column: number) => pen.put(`\x1b[${row + 1};${column + 1}H`)

  const last = lastPrinted(grid, line, buffer.x)
  // What a combining mark or a repetition (REP) that comes next refers to: the character has to be printed last of all.
  const typed = last === undefined ? undefined : untranslated(grid.text(line, last), table[header.charset])
  const isOpen =
    header.joinState !== 0 &&
    last !== undefined &&
    typed !== undefined &&
    grid.width(line, last) === ((header.joinState >>> JOIN_WIDTH_SHIFT) & JOIN_WIDTH) &&
    sameLook(grid.look(line, last), lookOfPen(look))
  // Behind the last column the cursor waits for the next character: only printing brings it there.
  if (!isOpen && buffer.x >= cols) {
    if (last !== undefined) {
      put(last)
      pen.look(grid.look(line, last))
      pen.put(grid.text(line, last))
    } else {
      put(cols - 1)
      pen.look(grid.look(line, cols - 1))
      pen.put(` ${grid.isWrapped(line) ? "\x1b[1K" : "\x1b[2K"}`)
    }
  } else if (!isOpen) put(buffer.x)

  setCharsets(pen, header)
  for (const [number, isSet] of [
    [1, modes.applicationCursorKeys],
    [12, header.cursorBlink],
    [25, !header.cursorHidden],
    [45, modes.reverseWraparound],
    [1004, modes.sendFocus],
    [2004, modes.bracketedPasteMode]
  ] as const) {
    if (isSet === true) pen.put(`\x1b[?${number}h`)
  }
  if (modes.applicationKeypad === true) pen.put("\x1b=")
  if (modes.wraparound === false) pen.put("\x1b[?7l")
  const protocol = MOUSE_PROTOCOLS[header.mouseProtocol]
  if (protocol !== undefined) pen.put(`\x1b[?${protocol}h`)
  const encoding = MOUSE_ENCODINGS[header.mouseEncoding]
  if (encoding !== undefined) pen.put(`\x1b[?${encoding}h`)
  const style = CURSOR_STYLES[String(modes.cursorStyle)]
  if (style !== undefined) pen.put(`\x1b[${modes.cursorBlink === true ? style : style + 1} q`)
  if (header.convertEol) pen.put("\x1b[20h")
  if (header.insert) pen.put("\x1b[4h")
  // Set in any case: it also ends what a mark could be added to.
  pen.setLook(look)
  if (isOpen) {
    put(last)
    // Inserting shifts the rest of the line: it is shifted back first.
    if (header.insert) pen.put(`\x1b[${grid.width(line, last)}P`)
    pen.put(typed)
  }
}

/** What has to be printed in a character set to get this text. */
const untranslated = (text: string, charset: object | undefined): string | undefined => {
  if (charset === undefined) return text
  const entries = Object.entries(charset as Readonly<Record<string, string>>)
  const [first = ""] = text
  const typed = entries.find(([, shown]) => shown === first)
  if (typed !== undefined) return typed[0] + text.slice(first.length)
  return entries.some(([key]) => key === first) ? undefined : text
}

/** The column of the character before the cursor; undefined where there is none. */
const lastPrinted = (grid: ScreenGrid, line: number, column: number): number | undefined => {
  for (const back of [1, 2]) {
    const at = Math.min(column, grid.cols) - back
    if (at < 0) return undefined
    if (!grid.isBlank(line, at)) return grid.width(line, at) === back ? at : undefined
  }
  return undefined
}

/** As a cell has it: without the colour of an underline that is not there. */
const lookOfPen = (look: CellLook): CellLook => ((look.fg & 0x10000000) === 0 ? { ...look, underline: 0 } : look)

/** Restoring a cursor brings back its character set. Terminals then have it designated; the emulator only uses it. */
const setCharsets = (pen: Pen, { charset, charsets, glevel }: XtermState["header"]): void => {
  for (const [slot, prefix] of CHARSET_SLOTS.entries()) {
    const number = slot === glevel ? charset : (charsets[slot] ?? 0)
    if (number !== 0) pen.put(`\x1b${prefix}${CHARSET_FINALS[number]}`)
  }
  if (glevel !== 0) pen.put(SHIFTS[glevel] ?? "")
}
