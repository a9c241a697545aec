/**
 * Draws the emulator's screen into the page: a row is an element, and a run of cells that look the same is one in it.
 * Everything is set as text and as single properties of style, which the page's policy allows; nothing is ever parsed as
 * markup. Characters that could turn text around are left out. A row that has not changed is not touched, so that a
 * selection in it stays.
 */
import type { IBufferCell } from "@xterm/headless"
import { escapeText } from "../../SafeText.ts"
import type { Emulator } from "./Emulator.ts"

/** Steps of a channel in the 6x6x6 cube of the 256 colours. */
const CUBE = [0, 95, 135, 175, 215, 255]
/** Code units shown in one cell: marks can pile up without end. */
const CELL_UNITS_MAX = 16

interface Run {
  text: string
  /** Columns of a character that gets a box of its own; 0: as many as it has characters. */
  readonly box: number
  readonly classes: string
  readonly color: string
  readonly background: string
}

export class ScreenRows {
  readonly #element: HTMLElement
  readonly #emulator: Emulator
  readonly #shown: Array<string> = []
  #cell: IBufferCell | undefined
  /** Lower case; "" for none. */
  wanted = ""

  constructor(element: HTMLElement, emulator: Emulator) {
    this.#element = element
    this.#emulator = emulator
  }

  draw(): void {
    const { buffer, isCursorHidden, size } = this.#emulator
    this.#element.style.width = `${size.cols}ch`
    while (this.#element.childElementCount > size.rows) this.#element.lastElementChild!.remove()
    this.#shown.length = Math.min(this.#shown.length, size.rows)
    while (this.#element.childElementCount < size.rows) this.#element.append(document.createElement("div"))
    const rows = this.#element.children
    for (let row = 0; row < size.rows; row++) {
      const cursor = !isCursorHidden && row === buffer.cursorY ? Math.min(buffer.cursorX, size.cols - 1) : -1
      const runs = this.#runs(row, cursor)
      const key = JSON.stringify(runs)
      if (this.#shown[row] === key) continue
      this.#shown[row] = key
      rows[row]!.replaceChildren(...runs.map(elementOf))
    }
  }

  #runs(row: number, cursor: number): ReadonlyArray<Run> {
    const { buffer, size } = this.#emulator
    const line = buffer.getLine(buffer.baseY + row)
    if (line === undefined) return []
    const texts: Array<string> = []
    let last = cursor
    let first = -1
    for (let column = 0; column < size.cols; column++) {
      this.#cell = line.getCell(column, this.#cell) ?? this.#cell
      const cell = this.#cell!
      texts.push(cell.getWidth() === 0 ? "" : textOf(cell))
      if (cell.getChars().trim() !== "" || !cell.isBgDefault() || cell.isInverse() !== 0 || cell.isUnderline() !== 0) {
        last = Math.max(last, column)
      }
    }
    const hits = this.wanted === "" ? undefined : hitColumns(texts, this.wanted)
    const runs: Array<Run> = []
    for (let column = 0; column <= last; column++) {
      this.#cell = line.getCell(column, this.#cell) ?? this.#cell
      const cell = this.#cell!
      const width = cell.getWidth()
      if (width === 0) continue
      const text = texts[column]!
      const run = lookOf(cell, text, width, column === cursor, hits?.has(column) === true)
      const before = runs.at(-1)
      if (before !== undefined && first >= 0 && isSameLook(before, run)) before.text += run.text
      else runs.push(run)
      first = column
    }
    return runs
  }
}

const textOf = (cell: IBufferCell): string => {
  const text = cell.getChars()
  if (text === "") return " "
  if (text.length === 1 && text >= " " && text <= "~") return text
  // What SafeText would escape is longer than a cell: it has nothing that can be seen.
  let safe = ""
  for (const character of text.slice(0, CELL_UNITS_MAX)) if (escapeText(character) === character) safe += character
  return safe === "" ? " " : safe
}

const lookOf = (cell: IBufferCell, text: string, width: number, isCursor: boolean, isHit: boolean): Run => {
  let color = colorOf(cell.isFgDefault(), cell.isFgRGB(), cell.getFgColor(), "f")
  let background = colorOf(cell.isBgDefault(), cell.isBgRGB(), cell.getBgColor(), "b")
  let classes = ""
  if (cell.isInverse() !== 0) {
    ;[color, background] = [background === "" ? "var(--bg)" : background, color === "" ? "var(--fg)" : color]
  }
  const exact = exactOf(background)
  if (exact !== undefined && exactOf(color) === undefined) classes += isDark(exact) ? " on-dark" : " on-light"
  if (exact !== undefined && color === "") color = "var(--fg)"
  if (isCursor) classes += " cursor"
  if (isHit) classes += " hit"
  if (cell.isBold() !== 0) classes += " t-b"
  if (cell.isDim() !== 0) classes += " t-d"
  if (cell.isItalic() !== 0) classes += " t-i"
  const isUnderlined = cell.isUnderline() !== 0
  const isStruck = cell.isStrikethrough() !== 0
  if (isUnderlined || isStruck) classes += isUnderlined && isStruck ? " t-us" : isStruck ? " t-s" : " t-u"
  if (cell.isInvisible() !== 0) classes += " t-v"
  // A font may not have the width that a terminal gives to a character: only ASCII is trusted to line up.
  const box = /^[ -~]$/.test(text) ? 0 : width
  return {
    text,
    box,
    classes: isCursor ? classes : classes,
    color: isCursor ? "" : color,
    background: isCursor ? "" : background
  }
}

const isSameLook = (one: Run, other: Run): boolean =>
  one.box === 0 &&
  other.box === 0 &&
  one.classes === other.classes &&
  one.color === other.color &&
  one.background === other.background

const elementOf = ({ background, box, classes, color, text }: Run): Node => {
  if (box === 0 && classes === "" && color === "" && background === "") return document.createTextNode(text)
  const element = document.createElement("span")
  element.textContent = text
  element.className = `${box === 0 ? "" : `w${box}`}${classes}`.trim()
  if (color !== "") element.style.color = color
  if (background !== "") element.style.backgroundColor = background
  return element
}

/** "" is the default; the first sixteen are the page's own. */
const colorOf = (isDefault: boolean, isRgb: boolean, value: number, kind: "f" | "b"): string => {
  if (isDefault) return ""
  if (isRgb) return rgb(value)
  if (value < 16) return `var(--${kind}${value})`
  if (value >= 232) {
    const gray = 8 + (value - 232) * 10
    return rgb((gray << 16) | (gray << 8) | gray)
  }
  const cube = value - 16
  return rgb((CUBE[Math.floor(cube / 36)]! << 16) | (CUBE[Math.floor(cube / 6) % 6]! << 8) | CUBE[cube % 6]!)
}

const rgb = (value: number): string => `#${value.toString(16).padStart(6, "0")}`

const exactOf = (color: string): number | undefined =>
  color.startsWith("#") ? Number.parseInt(color.slice(1), 16) : undefined

/** By the weights that luminance is commonly made with. */
const isDark = (color: number): boolean =>
  0.299 * ((color >> 16) & 0xff) + 0.587 * ((color >> 8) & 0xff) + 0.114 * (color & 0xff) < 140

/** Columns whose text is part of what is looked for. */
const hitColumns = (texts: ReadonlyArray<string>, wanted: string): ReadonlySet<number> => {
  const columns: Array<number> = []
  let line = ""
  for (const [column, text] of texts.entries()) {
    const lower = text.toLowerCase()
    line += lower
    for (let unit = 0; unit < lower.length; unit++) columns.push(column)
  }
  const hits = new Set<number>()
  for (let at = line.indexOf(wanted); at !== -1; at = line.indexOf(wanted, at + 1)) {
    for (let unit = at; unit < at + wanted.length; unit++) hits.add(columns[unit]!)
  }
  return hits
}
