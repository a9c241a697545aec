/**
 * Whether two terminals show the same and will go on alike: Screen.ts compares what it has drawn again with what it drew
 * it from. Not compared, as no sequence can say it:
 *
 * - whether the first line is a continuation of one that is not there; lines above those that were asked for;
 * - a blank cell with attributes (an inverse or underlined one) and a space with them;
 * - tab stops in the first column and beyond the last one; a saved cursor that has left the screen;
 * - what the screen that is not shown has saved: the alternate one's cells and cursor, the normal one's own cursor while
 *   the alternate one is shown (leaving that restores the saved one);
 * - what is designated in the place of a character set that came back with a restored cursor;
 * - synchronized output, which must be off in the second; a title that was never set.
 */
import { isErasedLook, lookOf, PLAIN, penLook, sameLook } from "./CellLook.ts"
import { ScreenGrid } from "./ScreenGrid.ts"
import type { RedrawState } from "./ScreenRedraw.ts"
import { cleanTitle } from "./Title.ts"
import type { BufferHeader, XtermHeader } from "./XtermState.ts"

/** The first thing in which `found` is not what was `wanted`; undefined when nothing is. */
export const differenceOf = (wanted: RedrawState, found: RedrawState, scrollback: number): string | undefined => {
  const one = wanted.xterm.header
  const other = found.xterm.header
  if (one.size.cols !== other.size.cols || one.size.rows !== other.size.rows) return "size"
  if (one.alternate !== other.alternate) return "alternate screen"
  const normal = cellsDiffer(new ScreenGrid(wanted.xterm, false), new ScreenGrid(found.xterm, false), scrollback)
  if (normal !== undefined) return `normal screen: ${normal}`
  if (one.alternate) {
    const alternate = cellsDiffer(new ScreenGrid(wanted.xterm, true), new ScreenGrid(found.xterm, true), 0)
    if (alternate !== undefined) return `alternate screen: ${alternate}`
  }
  for (const index of one.alternate ? ([0, 1] as const) : ([0] as const)) {
    const [left, right] = [bufferParts(one, index), bufferParts(other, index)]
    for (const [key, value] of Object.entries(left)) {
      if (value !== right[key as keyof typeof right]) return `${index === 0 ? "normal" : "alternate"} screen: ${key}`
    }
  }
  const [left, right] = [terminalParts(one), terminalParts(other)]
  for (const [key, value] of Object.entries(left)) {
    if (value !== right[key as keyof typeof right]) return key
  }
  if (other.modes.synchronizedOutput === true) return "synchronized output"
  if (one.title !== "" && cleanTitle(one.title) !== cleanTitle(other.title)) return "title"
  const { held, partial, phase } = wanted.guard
  if (phase !== found.guard.phase || partial !== found.guard.partial || (phase !== 0 && held !== found.guard.held)) {
    return "unfinished sequence"
  }
  if (inputParts(wanted) !== inputParts(found)) return "input modes"
  return undefined
}

const inputParts = ({ guard, xterm }: RedrawState): string => {
  const { keyboard = [[0], [0]], modifyOtherKeys = 0, private: privates = [] } = guard.modes ?? {}
  return JSON.stringify([privates, modifyOtherKeys, keyboard[0], xterm.header.alternate ? keyboard[1] : []])
}

const cellsDiffer = (one: ScreenGrid, other: ScreenGrid, scrollback: number): string | undefined => {
  if (other.top < scrollback) return "lines above the screen"
  for (let row = -scrollback; row < one.rows; row++) {
    const line = one.top + row
    const otherLine = other.top + row
    if (row > -scrollback && one.isWrapped(line) !== other.isWrapped(otherLine)) return `wrapping into row ${row}`
    for (let column = 0; column < one.cols; column++) {
      if (!sameCell(one, line, other, otherLine, column)) return `cell ${column} of row ${row}`
    }
  }
  return undefined
}

const sameCell = (one: ScreenGrid, line: number, other: ScreenGrid, otherLine: number, column: number): boolean => {
  if (one.isSame(line, column, other, otherLine)) return true
  const look = one.look(line, column)
  if (!sameLook(look, other.look(otherLine, column))) return false
  const [left, right] = [shown(one, line, column), shown(other, otherLine, column)]
  if (left === right) return true
  return !isErasedLook(look) && (left === "" || left === " ") && (right === "" || right === " ")
}

/** Text and width of a cell; half a character without its other half is none. */
const shown = (grid: ScreenGrid, line: number, column: number): string => {
  const width = grid.width(line, column)
  if (!grid.isBlank(line, column)) return width === 1 ? grid.text(line, column) : `${width}${grid.text(line, column)}`
  return width === 0 && column > 0 && grid.width(line, column - 1) === 2 ? "half" : ""
}

/** As numbers and strings, which are equal when their meaning is. */
const bufferParts = ({ buffers, size }: XtermHeader, index: 0 | 1) => {
  const buffer: BufferHeader = buffers[index]
  const { cols, rows } = size
  const { bg, fg } = lookOf(buffer.savedAttributes[0], buffer.savedAttributes[1] & ~0x10000000, 0)
  return {
    margins: `${buffer.scrollTop} ${buffer.scrollBottom}`,
    "tab stops": buffer.tabs.filter((column) => column > 0 && column < cols).join(),
    "saved cursor": `${Math.min(buffer.savedX, cols - 1)} ${Math.min(Math.max(buffer.savedY - buffer.ybase, 0), rows - 1)}`,
    "saved look": `${fg} ${bg}`,
    "saved character set": buffer.savedCharset
  }
}

const terminalParts = (header: XtermHeader) => {
  const { modes } = header
  const buffer = header.buffers[header.alternate ? 1 : 0]
  const look =
    header.attributes[0] === 0 && header.attributes[1] === 0 && header.attributes[2] === 0
      ? PLAIN
      : penLook(...header.attributes)
  return {
    cursor: `${Math.min(buffer.x, header.size.cols)} ${buffer.y}`,
    look: `${look.fg} ${look.bg} ${look.underline}`,
    "character sets": [0, 1, 2, 3]
      .map((slot) => (slot === header.glevel ? header.charset : (header.charsets[slot] ?? 0)))
      .join(),
    shift: header.glevel,
    "insert mode": header.insert,
    "new line mode": header.convertEol,
    "cursor visible": !header.cursorHidden,
    "cursor blink": header.cursorBlink,
    "cursor style": modes.cursorStyle === null ? null : `${modes.cursorStyle} ${modes.cursorBlink}`,
    mouse: `${header.mouseProtocol} ${header.mouseEncoding}`,
    "cursor keys": modes.applicationCursorKeys,
    keypad: modes.applicationKeypad,
    "bracketed paste": modes.bracketedPasteMode,
    origin: modes.origin,
    "reverse wrap": modes.reverseWraparound,
    focus: modes.sendFocus,
    wrap: modes.wraparound,
    // What a combining mark that comes next would be added to.
    "last character": header.joinState
  }
}
