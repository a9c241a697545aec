/**
 * A terminal's cells that know which bytes drew them. It understands what moves the cursor and what changes cells, so that a
 * text is found as it stands on the screen, whatever the order was in which its letters came; colours and modes do not
 * matter to it. A row is searched before something of it is overwritten, shifted or erased, and when the cursor leaves it.
 */
import { TERMINAL_CELLS_MAX } from "../../journal/Event.ts"
import { cellsOf, isInvisible } from "./CellMask.ts"

interface GridRow {
  readonly codes: Uint32Array
  readonly from: Float64Array
  readonly bytes: Uint8Array
  /** The next row goes on with the same line. */
  wraps: boolean
  /** Something was drawn since it was searched last. */
  isDrawn: boolean
}

export interface GridText {
  readonly text: string
  readonly codes: Uint32Array
  readonly from: Float64Array
  readonly bytes: Uint8Array
  readonly searchFrom: number
  readonly searchTo: number
}

const BLANK = 0x20
/** The second cell of a wide character. */
const TAIL = 0xffffffff
const TAB_CELLS = 8
/** Of rows that only look as if a word went on in the next one, so many before and behind are looked at together. */
const JOINED_ROWS_MAX = 4
/** What a screen looks like to who must see a private key on it. */
const MULTILINE_MARK = "PRIVATE KEY"

export class CellGrid {
  #cols: number
  #rows: number
  readonly #search: (text: GridText) => void
  #screen: Array<GridRow>
  #other: Array<GridRow> | undefined
  #isAlternate = false
  #row = 0
  #col = 0
  #saved = { row: 0, col: 0 }
  #top = 0
  #bottom: number
  /** The last character of a row was drawn; the next one begins another. */
  #isPending = false
  /** The row was searched since the cursor jumped: what is overwritten on the way from there was seen. */
  #isTold = false

  constructor(cols: number, rows: number, search: (text: GridText) => void) {
    this.#cols = cols
    this.#rows = rows
    this.#search = search
    this.#bottom = rows - 1
    this.#screen = makeRows(cols, rows)
  }

  resize(cols: number, rows: number): void {
    this.searchAll()
    const above = Math.max(0, this.#row - rows + 1)
    this.#screen = fitted(this.#screen, cols, rows, above)
    if (this.#other !== undefined) this.#other = fitted(this.#other, cols, rows, above)
    this.#cols = cols
    this.#rows = rows
    this.#top = 0
    this.#bottom = rows - 1
    this.#row -= above
    this.#col = Math.min(this.#col, cols - 1)
    this.#isPending = false
  }

  print(code: number, from: number, to: number): void {
    const width = isInvisible(code) ? 0 : cellsOf(code)
    // It belongs to the cell before it.
    if (width === 0) return
    if (this.#isPending || this.#col + width > this.#cols) {
      this.#screen[this.#row]!.wraps = true
      this.#isPending = false
      this.#isTold = false
      this.#col = 0
      this.#down()
    }
    const row = this.#screen[this.#row]!
    const col = this.#col
    if (!this.#isTold && row.codes[col] !== BLANK) {
      this.#searchRow(this.#row)
      this.#isTold = true
    }
    row.codes[col] = code
    row.from[col] = from
    row.bytes[col] = to - from
    if (width === 2 && col + 1 < this.#cols) row.codes[col + 1] = TAIL
    row.isDrawn = true
    this.#col += width
    if (this.#col >= this.#cols) {
      this.#col = this.#cols - 1
      this.#isPending = true
    }
  }

  /** C0. */
  control(code: number): void {
    switch (code) {
      case 0x08:
        this.#jump()
        if (this.#col > 0) this.#col--
        return
      case 0x09:
        this.#jump()
        this.#col = Math.min(this.#cols - 1, (Math.floor(this.#col / TAB_CELLS) + 1) * TAB_CELLS)
        return
      case 0x0a:
      case 0x0b:
      case 0x0c:
        this.#jump()
        // What is written goes on below: this row is complete, unless the cursor comes back.
        this.#searchRow(this.#row)
        this.#screen[this.#row]!.wraps = false
        this.#down()
        return
      case 0x0d:
        this.#jump()
        this.#col = 0
        return
    }
  }

  escape(final: number): void {
    switch (final) {
      case 0x44: // IND
      case 0x45: // NEL
        this.control(0x0a)
        if (final === 0x45) this.#col = 0
        return
      case 0x4d: // RI
        this.#leave()
        if (this.#row === this.#top) this.#scroll(this.#top, this.#bottom, -1)
        else if (this.#row > 0) this.#row--
        return
      case 0x37:
        this.#saved = { row: this.#row, col: this.#col }
        return
      case 0x38:
        this.#move(this.#saved.row, this.#saved.col)
        return
      case 0x63: // RIS
        this.searchAll()
        this.#isAlternate = false
        this.#screen = makeRows(this.#cols, this.#rows)
        this.#other = undefined
        this.#top = 0
        this.#bottom = this.#rows - 1
        this.#move(0, 0)
    }
  }

  /** `isPrivate`: the parameters begin with `?`. */
  sequence(final: number, parameters: ReadonlyArray<number>, isPrivate: boolean): void {
    const first = parameters[0] ?? 0
    const count = Math.max(1, first)
    if (isPrivate) {
      if (
        (final === 0x68 || final === 0x6c) &&
        parameters.some((mode) => mode === 47 || mode === 1047 || mode === 1049)
      ) {
        this.#alternate(final === 0x68)
      }
      return
    }
    switch (final) {
      case 0x41: // A
        this.#move(Math.max(0, this.#row - count), this.#col)
        return
      case 0x42: // B
      case 0x65:
        this.#move(this.#row + count, this.#col)
        return
      case 0x43: // C
      case 0x61:
        this.#move(this.#row, this.#col + count)
        return
      case 0x44: // D
        this.#move(this.#row, this.#col - count)
        return
      case 0x45: // E
        this.#move(this.#row + count, 0)
        return
      case 0x46: // F
        this.#move(this.#row - count, 0)
        return
      case 0x47: // G
      case 0x60:
        this.#move(this.#row, count - 1)
        return
      case 0x64: // d
        this.#move(count - 1, this.#col)
        return
      case 0x48: // H
      case 0x66:
        this.#move(count - 1, Math.max(1, parameters[1] ?? 0) - 1)
        return
      case 0x4a: // J
        this.#eraseDisplay(first)
        return
      case 0x4b: // K
        this.#change()
        if (first === 0) this.#blank(this.#row, this.#col, this.#cols)
        else if (first === 1) this.#blank(this.#row, 0, this.#col + 1)
        else if (first === 2) this.#blank(this.#row, 0, this.#cols)
        return
      case 0x58: // X
        this.#change()
        this.#blank(this.#row, this.#col, Math.min(this.#cols, this.#col + count))
        return
      case 0x40: // @
        this.#shift(Math.min(count, this.#cols - this.#col))
        return
      case 0x50: // P
        this.#shift(-Math.min(count, this.#cols - this.#col))
        return
      case 0x4c: // L
      case 0x4d: // M
        this.#jump()
        if (this.#row >= this.#top && this.#row <= this.#bottom) {
          this.#scroll(this.#row, this.#bottom, final === 0x4c ? -count : count)
        }
        return
      case 0x53: // S
      case 0x54: // T
        this.#jump()
        this.#scroll(this.#top, this.#bottom, final === 0x53 ? count : -count)
        return
      case 0x72: {
        // r
        const top = Math.max(1, first) - 1
        const bottom =
          Math.min(this.#rows, parameters[1] === undefined || parameters[1] === 0 ? this.#rows : parameters[1]) - 1
        if (top >= bottom) return
        this.#top = top
        this.#bottom = bottom
        this.#move(0, 0)
        return
      }
      case 0x73:
        this.#saved = { row: this.#row, col: this.#col }
        return
      case 0x75:
        this.#move(this.#saved.row, this.#saved.col)
    }
  }

  /** Every row that was drawn on since it was searched. */
  searchAll(): void {
    for (let row = 0; row < this.#screen.length; row++) this.#searchRow(row)
    if (this.#other === undefined) return
    const screen = this.#screen
    this.#screen = this.#other
    for (let row = 0; row < this.#screen.length; row++) this.#searchRow(row)
    this.#other = this.#screen
    this.#screen = screen
  }

  #jump(): void {
    this.#isPending = false
    this.#isTold = false
  }

  #change(): void {
    this.#jump()
    if (this.#screen[this.#row]!.isDrawn) this.#searchRow(this.#row)
  }

  #leave(): void {
    this.#jump()
    this.#searchRow(this.#row)
  }

  #move(row: number, col: number): void {
    const to = Math.max(0, Math.min(this.#rows - 1, row))
    if (to !== this.#row) this.#leave()
    else this.#jump()
    this.#row = to
    this.#col = Math.max(0, Math.min(this.#cols - 1, col))
  }

  #down(): void {
    if (this.#row === this.#bottom) this.#scroll(this.#top, this.#bottom, 1)
    else if (this.#row < this.#rows - 1) this.#row++
  }

  /** Rows up (positive) or down between two rows. */
  #scroll(top: number, bottom: number, count: number): void {
    const height = bottom - top + 1
    const moved = Math.min(Math.abs(count), height)
    for (let index = 0; index < moved; index++) {
      const gone = count > 0 ? top : bottom
      this.#searchRow(gone)
      const [row] = this.#screen.splice(gone, 1)
      clear(row!)
      this.#screen.splice(count > 0 ? bottom : top, 0, row!)
    }
  }

  #shift(count: number): void {
    this.#change()
    const row = this.#screen[this.#row]!
    const { bytes, codes, from } = row
    const at = this.#col
    for (const cells of [codes, from, bytes]) {
      if (count > 0) cells.copyWithin(at + count, at, this.#cols - count)
      else cells.copyWithin(at, at - count, this.#cols)
    }
    if (count > 0) this.#blank(this.#row, at, at + count)
    else this.#blank(this.#row, this.#cols + count, this.#cols)
    // In its new place it is another text.
    row.isDrawn = true
  }

  #blank(row: number, from: number, to: number): void {
    const { bytes, codes } = this.#screen[row]!
    codes.fill(BLANK, from, to)
    bytes.fill(0, from, to)
    if (to >= this.#cols) this.#screen[row]!.wraps = false
  }

  #eraseDisplay(mode: number): void {
    this.#jump()
    const from = mode === 0 ? this.#row + 1 : 0
    const to = mode === 1 ? this.#row : this.#rows
    this.#searchRow(this.#row)
    for (let row = from; row < to; row++) {
      this.#searchRow(row)
      clear(this.#screen[row]!)
    }
    if (mode === 0) this.#blank(this.#row, this.#col, this.#cols)
    else if (mode === 1) this.#blank(this.#row, 0, this.#col + 1)
  }

  #alternate(isOn: boolean): void {
    this.#leave()
    if (isOn === this.#isAlternate) return
    for (let row = 0; row < this.#rows; row++) this.#searchRow(row)
    this.#isAlternate = isOn
    const kept = this.#screen
    this.#screen = isOn || this.#other === undefined ? makeRows(this.#cols, this.#rows) : this.#other
    this.#other = isOn ? kept : undefined
  }

  /** The whole line that the row is a part of; the whole screen where a key that spans lines may be on it. */
  #searchRow(at: number): void {
    if (!this.#screen[at]!.isDrawn) return
    let first = at
    while (first > 0 && this.#screen[first - 1]!.wraps) first--
    let last = at
    while (last < this.#rows - 1 && this.#screen[last]!.wraps) last++
    for (let row = first; row <= last; row++) this.#screen[row]!.isDrawn = false
    const line = (first === last ? plainRow(this.#screen[at]!) : undefined) ?? this.#textOf(first, last)
    this.#search(line)
    if (line.text.includes(MULTILINE_MARK)) this.#search(this.#textOf(0, this.#rows - 1))
    const [top, bottom] = [first, last]
    while (top - first < JOINED_ROWS_MAX && first > 0 && this.#seemsToGoOn(first - 1)) first--
    while (last - bottom < JOINED_ROWS_MAX && last < this.#rows - 1 && this.#seemsToGoOn(last)) last++
    if (first < top || last > bottom) this.#search(this.#textOf(first, last, true))
  }

  /** The row is full and a word may go on in the next one: a program moved the cursor there itself. */
  #seemsToGoOn(row: number): boolean {
    const [end, begin] = [this.#screen[row]!.codes[this.#cols - 1]!, this.#screen[row + 1]!.codes[0]!]
    return end !== BLANK && begin !== BLANK && !isFrame(end) && !isFrame(begin)
  }

  #textOf(first: number, last: number, isJoined = false): GridText {
    const length = (last - first + 1) * (this.#cols + 1)
    const codes = new Uint32Array(length)
    const from = new Float64Array(length)
    const bytes = new Uint8Array(length)
    const units: Array<string> = []
    let at = 0
    for (let index = first; index <= last; index++) {
      const row = this.#screen[index]!
      let end = this.#cols
      const wraps = row.wraps || (isJoined && index < last)
      if (!wraps) while (end > 0 && row.codes[end - 1] === BLANK) end--
      for (let col = 0; col < end; col++) {
        const code = row.codes[col]!
        if (code === TAIL) continue
        codes[at] = code
        from[at] = row.from[col]!
        bytes[at++] = row.bytes[col]!
        // One unit for each cell, so that places in the text are places of cells.
        units.push(code < 0x10000 ? String.fromCharCode(code) : "\ufffd")
      }
      if (!wraps) {
        codes[at++] = 0x0a
        units.push("\n")
      }
    }
    return { text: units.join(""), codes, from, bytes, searchFrom: 0, searchTo: at }
  }
}

/** A row as it is, without a copy of what its cells know; undefined where a cell is not a character of its own. */
const plainRow = ({ bytes, codes, from, wraps }: GridRow): GridText | undefined => {
  if (wraps) return undefined
  let end = codes.length
  while (end > 0 && codes[end - 1] === BLANK) end--
  for (let col = 0; col < end; col++) {
    const code = codes[col]!
    if (code >= 0x80) return undefined
    scratch[col] = code
  }
  return { text: scratch.toString("latin1", 0, end), codes, from, bytes, searchFrom: 0, searchTo: end }
}
/** Lines and blocks, as around windows. */
const isFrame = (code: number): boolean => (code >= 0x2500 && code < 0x25a0) || code === 0x7c

const scratch = Buffer.alloc(TERMINAL_CELLS_MAX)

const makeRows = (cols: number, rows: number): Array<GridRow> => Array.from({ length: rows }, () => makeRow(cols))

const makeRow = (cols: number): GridRow => ({
  codes: new Uint32Array(cols).fill(BLANK),
  from: new Float64Array(cols),
  bytes: new Uint8Array(cols),
  wraps: false,
  isDrawn: false
})

const clear = (row: GridRow): void => {
  row.codes.fill(BLANK)
  row.bytes.fill(0)
  row.wraps = false
  row.isDrawn = false
}

/** Without the rows `above`: the row of the cursor stays. */
const fitted = (screen: ReadonlyArray<GridRow>, cols: number, rows: number, above: number): Array<GridRow> =>
  Array.from({ length: rows }, (_, index) => {
    const row = makeRow(cols)
    const old = screen[index + above]
    if (old === undefined) return row
    row.codes.set(old.codes.subarray(0, cols))
    row.from.set(old.from.subarray(0, cols))
    row.bytes.set(old.bytes.subarray(0, cols))
    row.wraps = old.wraps && cols === old.codes.length
    return row
  })
