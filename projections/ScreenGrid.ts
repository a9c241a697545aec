/**
 * The lines of one buffer in an `XtermState`, cell by cell. ScreenRedraw.ts draws them, ScreenDifference.ts compares
 * them. It reads the state and never changes it.
 */
import { type CellLook, lookOf, PLAIN } from "./CellLook.ts"
import type { XtermState } from "./XtermState.ts"

const CELL_WORDS = 3
const CODE_POINT = 0x1fffff
const COMBINED = 0x200000
const CONTENT = 0x3fffff
const WIDTH_SHIFT = 22
const EXTENDED = 0x10000000

export class ScreenGrid {
  readonly cols: number
  readonly rows: number
  /** Index of the screen's first line; those before it are its scrollback. */
  readonly top: number
  readonly #cells: Uint32Array
  readonly #lineCount: number
  /** Where a line's first word is, and one past its last cell. */
  readonly #offsets: ReadonlyArray<number>
  readonly #widths: ReadonlyMap<number, number>
  readonly #wrapped: ReadonlySet<number>
  readonly #combined: ReadonlyMap<number, string>
  readonly #extended: ReadonlyMap<number, number>

  constructor({ cells, header }: XtermState, alternate: boolean) {
    const buffer = header.buffers[alternate ? 1 : 0]
    const { cols, rows } = header.size
    this.cols = cols
    this.rows = rows
    this.top = buffer.ybase
    this.#cells = cells
    this.#lineCount = buffer.lines
    this.#widths = new Map(buffer.widths)
    this.#wrapped = new Set(buffer.wrapped)
    this.#combined = new Map(buffer.combined.map(([line, column, text]) => [keyOf(line, column), text]))
    this.#extended = new Map(buffer.extended.map(([line, column, word]) => [keyOf(line, column), word]))
    const offsets: Array<number> = []
    let at = alternate ? header.buffers[0].lines * cols * CELL_WORDS : 0
    if (alternate) for (const [, width] of header.buffers[0].widths) at += (width - cols) * CELL_WORDS
    for (let line = 0; line < buffer.lines; line++) {
      offsets.push(at)
      at += (this.#widths.get(line) ?? cols) * CELL_WORDS
    }
    this.#offsets = offsets
  }

  /** The line goes on what the line before it began. */
  isWrapped(line: number): boolean {
    return this.#wrapped.has(line)
  }

  /** "" is a cell that nothing was printed in, or the second half of a wide character. */
  text(line: number, column: number): string {
    const word = this.#word(line, column, 0)
    if ((word & COMBINED) !== 0) return this.#combined.get(keyOf(line, column)) ?? ""
    const code = word & CODE_POINT
    return code === 0 ? "" : String.fromCodePoint(code)
  }

  isBlank(line: number, column: number): boolean {
    return (this.#word(line, column, 0) & CONTENT) === 0
  }

  /** Columns that the cell's character takes; 0 is the second half of a wide one, or a mark with a cell of its own. */
  width(line: number, column: number): number {
    return this.#isInside(line, column) ? this.#word(line, column, 0) >>> WIDTH_SHIFT : 1
  }

  /** Whether a cell of another grid is the same by its words alone; false says nothing. */
  isSame(line: number, column: number, other: ScreenGrid, otherLine: number): boolean {
    if (!this.#isInside(line, column) || !other.#isInside(otherLine, column)) return false
    const at = this.#offsets[line]! + column * CELL_WORDS
    const otherAt = other.#offsets[otherLine]! + column * CELL_WORDS
    const content = this.#cells[at]!
    const bg = this.#cells[at + 2]!
    return (
      content === other.#cells[otherAt] &&
      this.#cells[at + 1] === other.#cells[otherAt + 1] &&
      bg === other.#cells[otherAt + 2] &&
      (content & COMBINED) === 0 &&
      (bg & EXTENDED) === 0
    )
  }

  look(line: number, column: number): CellLook {
    const fg = this.#word(line, column, 1)
    const bg = this.#word(line, column, 2)
    if (fg === 0 && bg === 0) return PLAIN
    return lookOf(fg, bg, (bg & EXTENDED) === 0 ? 0 : (this.#extended.get(keyOf(line, column)) ?? 0))
  }

  #isInside(line: number, column: number): boolean {
    if (line >= this.#lineCount) return false
    return column < (this.#widths.size === 0 ? this.cols : (this.#widths.get(line) ?? this.cols))
  }

  #word(line: number, column: number, word: number): number {
    return this.#isInside(line, column) ? this.#cells[this.#offsets[line]! + column * CELL_WORDS + word]! : 0
  }
}

/** No line is wider than 16 bits. */
const keyOf = (line: number, column: number): number => line * 65536 + column
