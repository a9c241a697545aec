/**
 * Takes texts out of a screen that stands for removed events: of the lines of both of its buffers as they are read, over
 * rows that wrap, of the title, and of a title that has begun. What takes a character's place has as many cells and its
 * colours, so that everything goes on as it would have. It knows the cells of the emulator (XtermState.ts) and not the emulator.
 */
import { maskScreenGuard } from "./ScreenGuard.ts"
import { decodeScreen, encodeScreen, packSnapshot } from "./ScreenSnapshot.ts"
import type { TextMask } from "./TextMask.ts"
import { type BufferHeader, CELL_WORDS, COMBINED_BIT, WIDTH_SHIFT, type XtermState } from "./XtermState.ts"

const CODE_POINT = 0x1fffff
const CONTENT = CODE_POINT | COMBINED_BIT
/** By the cells that they take. A mark that has a cell of its own is replaced by one that shows nothing. */
const MASKS = [0x34f, 0x2a, 0xff0a]
const BLANK = " "
/** Of rows that only look as if a word went on in the next one, so many are looked at together: as when events are searched. */
const JOINED_ROWS_MAX = 4
/** Shown as nothing: within a word they hide it from a search and from nobody else. */
const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u

const isInvisible = (character: string): boolean => character >= "\u00ad" && INVISIBLE.test(character)

/** Throws on anything that is no snapshot of a screen. */
export const maskScreen = (packed: Uint8Array, mask: TextMask): Uint8Array => {
  const { guard, size, xterm } = decodeScreen(packed)
  return packSnapshot(encodeScreen({ size, guard: maskScreenGuard(guard, mask), xterm: maskXterm(xterm, mask) }))
}

const maskXterm = ({ cells, header }: XtermState, mask: TextMask): XtermState => {
  const [normal, alternate] = header.buffers
  const buffers = [
    maskBuffer(normal, header.size.cols, cells, 0, mask),
    maskBuffer(alternate, header.size.cols, cells, wordsOf(normal, header.size.cols), mask)
  ] as const
  return { cells, header: { ...header, buffers, title: mask.text(header.title) } }
}

const wordsOf = ({ lines, widths }: BufferHeader, cols: number): number =>
  (lines * cols + widths.reduce((sum, [, width]) => sum + width - cols, 0)) * CELL_WORDS

/** Changes `cells`; gives the header without the texts of cells that had more than one character. */
const maskBuffer = (
  header: BufferHeader,
  cols: number,
  cells: Uint32Array,
  offset: number,
  mask: TextMask
): BufferHeader => {
  const lines = new BufferLines(header, cols, cells, offset)
  for (const isJoined of [false, true]) {
    const { at, text } = lines.text(isJoined)
    for (const { from, to } of mask.find(text)) {
      for (let unit = from; unit < to; unit++) lines.mask(at[unit]!)
    }
  }
  return { ...header, combined: lines.combined() }
}

class BufferLines {
  readonly #cells: Uint32Array
  readonly #header: BufferHeader
  /** Where a line's first word is, and behind the last line's last. */
  readonly #offsets: ReadonlyArray<number>
  readonly #wrapped: ReadonlySet<number>
  /** By the place of the cell's first word. */
  readonly #combined = new Map<number, string>()

  constructor(header: BufferHeader, cols: number, cells: Uint32Array, offset: number) {
    this.#cells = cells
    this.#header = header
    this.#wrapped = new Set(header.wrapped)
    const widths = new Map(header.widths)
    const offsets = [offset]
    for (let line = 0; line < header.lines; line++) {
      offsets.push(offsets[line]! + (widths.get(line) ?? cols) * CELL_WORDS)
    }
    this.#offsets = offsets
    for (const [line, column, text] of header.combined) this.#combined.set(this.#cellAt(line, column), text)
  }

  /**
   * All lines, and the cell of each unit of it (-1: none). `isJoined`: also rows that a program filled to the end and went on
   * below, moving the cursor itself.
   */
  text(isJoined: boolean): { readonly text: string; readonly at: ReadonlyArray<number> } {
    const units: Array<string> = []
    const at: Array<number> = []
    const put = (text: string, cell: number) => {
      units.push(text)
      for (let unit = 0; unit < text.length; unit++) at.push(cell)
    }
    let joined = 0
    for (let line = 0; line < this.#header.lines; line++) {
      const wraps = this.#wrapped.has(line + 1)
      const joins = !wraps && isJoined && joined < JOINED_ROWS_MAX - 1 && this.#seemsToGoOn(line)
      joined = joins ? joined + 1 : 0
      const end = wraps || joins ? this.#endOfWrapped(line) : this.#endOfText(line)
      for (let cell = this.#offsets[line]!; cell < end; cell += CELL_WORDS) {
        const text = this.#textOf(cell)
        if (text === "") {
          // The second half of a wide character has none.
          if (this.#cells[cell]! >>> WIDTH_SHIFT !== 0) put(BLANK, cell)
        } else for (const character of text) if (!isInvisible(character)) put(character, cell)
      }
      if (!wraps && !joins) put("\n", -1)
    }
    return { text: units.join(""), at }
  }

  /** A cell that nothing was printed in stays as it is. */
  mask(cell: number): void {
    if (cell < 0 || this.#isBlank(cell)) return
    const width = this.#cells[cell]! >>> WIDTH_SHIFT
    this.#cells[cell] = ((width << WIDTH_SHIFT) | (MASKS[width] ?? MASKS[1]!)) >>> 0
    this.#combined.delete(cell)
  }

  /** As in a header. */
  combined(): BufferHeader["combined"] {
    return this.#header.combined.filter(([line, column]) => this.#combined.has(this.#cellAt(line, column)))
  }

  #cellAt(line: number, column: number): number {
    return this.#offsets[line]! + column * CELL_WORDS
  }

  #textOf(cell: number): string {
    const word = this.#cells[cell]!
    if ((word & COMBINED_BIT) !== 0) return this.#combined.get(cell) ?? ""
    const code = word & CODE_POINT
    return code === 0 ? "" : String.fromCodePoint(code)
  }

  #isBlank(cell: number): boolean {
    return (this.#cells[cell]! & CONTENT) === 0
  }

  #endOfText(line: number): number {
    let end = this.#offsets[line + 1]!
    const first = this.#offsets[line]!
    while (end > first && this.#isEmpty(end - CELL_WORDS)) end -= CELL_WORDS
    return end
  }

  #isEmpty(cell: number): boolean {
    return (this.#isBlank(cell) && this.#cells[cell]! >>> WIDTH_SHIFT !== 0) || this.#textOf(cell) === BLANK
  }

  /** A wide character that did not fit left the last cell blank. */
  #endOfWrapped(line: number): number {
    const end = this.#offsets[line + 1]!
    const isLeftOver = this.#isBlank(end - CELL_WORDS) && this.#cells[end - CELL_WORDS]! >>> WIDTH_SHIFT !== 0
    return isLeftOver && this.#cells[end]! >>> WIDTH_SHIFT === 2 ? end - CELL_WORDS : end
  }

  /** Its last cell and the first one below have something in them. */
  #seemsToGoOn(line: number): boolean {
    const next = this.#offsets[line + 1]!
    return line + 1 < this.#header.lines && !this.#isEmpty(next - CELL_WORDS) && !this.#isEmpty(next)
  }
}
