/**
 * What a screen shows, row by row, as text with colours and nothing else: no cursor movement, no mode, no string. For
 * showing a recorded screen inside another picture, where nothing that a program set may reach the terminal. Pure.
 */
import { type CellLook, lookSequence, PLAIN, sameLook } from "./CellLook.ts"
import { ScreenGrid } from "./ScreenGrid.ts"
import type { XtermState } from "./XtermState.ts"

export interface ScreenPicture {
  readonly size: { readonly cols: number; readonly rows: number }
  /** Where it stands, from 0; behind the last column it is shown on it. */
  readonly cursor: { readonly x: number; readonly y: number }
  readonly cursorVisible: boolean
  /** First column and row that `rows` shows: what is around the cursor where the screen is larger than asked for. */
  readonly from: { readonly x: number; readonly y: number }
  /** Each fills its columns as far as something is there, begins and ends without colours. */
  readonly rows: ReadonlyArray<string>
}

/** Columns and rows that are shown at most. */
export interface PictureArea {
  readonly cols: number
  readonly rows: number
}

/** Code units of one cell: combining marks can pile up on it without end. */
const CELL_UNITS_MAX = 16
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/
/** Protection (DECSCA) shows nothing. */
const PROTECTED = 0x20000000

export const pictureOf = (xterm: XtermState, cols: number, area: PictureArea): ScreenPicture => {
  const { header } = xterm
  const grid = new ScreenGrid(xterm, header.alternate)
  const buffer = header.buffers[header.alternate ? 1 : 0]
  const size = { cols, rows: header.size.rows }
  const cursor = { x: Math.min(buffer.x, cols - 1), y: Math.min(buffer.y, size.rows - 1) }
  const from = {
    x: Math.max(0, Math.min(cursor.x - area.cols + 1, cols - area.cols)),
    y: Math.max(0, Math.min(cursor.y - area.rows + 1, size.rows - area.rows))
  }
  const rows: Array<string> = []
  for (let row = from.y; row < Math.min(size.rows, from.y + area.rows); row++) {
    rows.push(rowText(grid, grid.top + row, from.x, Math.min(cols, from.x + area.cols)))
  }
  return { size, cursor, cursorVisible: !header.cursorHidden, from, rows }
}

const rowText = (grid: ScreenGrid, line: number, from: number, end: number): string => {
  let text = ""
  let look: CellLook = PLAIN
  let last = end
  while (last > from && grid.isBlank(line, last - 1) && sameLook(shownLook(grid, line, last - 1), PLAIN)) last--
  for (let column = from; column < last; ) {
    const width = grid.width(line, column)
    const cell = shownLook(grid, line, column)
    if (!sameLook(cell, look)) {
      text += lookSequence(cell, PLAIN)
      look = cell
    }
    const shown = grid.text(line, column).slice(0, CELL_UNITS_MAX)
    // Half of a wide character at an edge is a blank; so is a mark without anything to stand on.
    const isShown = shown !== "" && !CONTROLS.test(shown) && width > 0 && column + width <= end
    text += isShown ? shown : " "
    column += isShown ? width : 1
  }
  return sameLook(look, PLAIN) ? text : `${text}\x1b[m`
}

const shownLook = (grid: ScreenGrid, line: number, column: number): CellLook => {
  const look = grid.look(line, column)
  return (look.bg & PROTECTED) === 0 ? look : { ...look, bg: (look.bg & ~PROTECTED) >>> 0 }
}
