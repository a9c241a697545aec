/**
 * Reads and writes the whole state of an @xterm/headless terminal: every cell with its colours, the cursor, margins,
 * tab stops, character sets, saved cursor and modes. Screen.ts makes its snapshots of it, ScreenRedraw.ts its bytes. The
 * public serializer (@xterm/addon-serialize) gives escape sequences that draw something similar: margins, tab stops,
 * character sets, the saved cursor and a cursor behind the last column are lost, so what is drawn goes on differently.
 * This module therefore uses the private fields of the version that package.json pins exactly; `readXterm` throws
 * when one of them is not there, and the tests compare a restored terminal with its original field by field.
 */
import type { Terminal } from "@xterm/headless"
import type { TerminalSize } from "../journal/Event.ts"

/** State of a terminal; `cells` are the emulator's own words, three a cell, all lines of `normal` and then of `alternate`. */
export interface XtermState {
  readonly header: XtermHeader
  readonly cells: Uint32Array
}

export interface XtermHeader {
  readonly size: TerminalSize
  readonly alternate: boolean
  readonly buffers: readonly [BufferHeader, BufferHeader]
  readonly attributes: Attributes
  readonly eraseAttributes: Attributes
  readonly title: string
  readonly joinState: number
  readonly glevel: number
  readonly charset: number
  readonly charsets: ReadonlyArray<number>
  readonly insert: boolean
  readonly modes: Record<string, boolean | string | null>
  readonly cursorHidden: boolean
  readonly cursorInitialized: boolean
  readonly convertEol: boolean
  readonly cursorBlink: boolean
  readonly mouseProtocol: string
  readonly mouseEncoding: string
}

export interface BufferHeader {
  readonly lines: number
  /** Capacity. An alternate screen that was not shown while the terminal shrank keeps its old one, and scrolls by it later. */
  readonly capacity: number
  /** [line, cells]: lines of another width than the terminal. The alternate screen's are not cut when it gets narrower. */
  readonly widths: ReadonlyArray<readonly [number, number]>
  readonly wrapped: ReadonlyArray<number>
  /** [line, column, text]: cells of more than one code point. */
  readonly combined: ReadonlyArray<readonly [number, number, string]>
  /** [line, column, word]: cells with an underline style or colour. */
  readonly extended: ReadonlyArray<readonly [number, number, number]>
  readonly x: number
  readonly y: number
  readonly ybase: number
  readonly ydisp: number
  readonly scrollTop: number
  readonly scrollBottom: number
  readonly savedX: number
  readonly savedY: number
  readonly savedAttributes: Attributes
  readonly savedCharset: number
  readonly tabs: ReadonlyArray<number>
}

type Attributes = readonly [fg: number, bg: number, extended: number]

// --- the emulator's private side ---------------------------------------------------------------------------------------

interface PrivateExtended {
  ext: number
  clone(): PrivateExtended
}
interface PrivateAttributes {
  fg: number
  bg: number
  extended: PrivateExtended
}
interface PrivateLine {
  _data: Uint32Array
  _combined: Record<number, string>
  _extendedAttrs: Record<number, PrivateExtended | undefined>
  isWrapped: boolean
  length: number
}
interface PrivateBuffer {
  lines: { length: number; maxLength: number; get(index: number): PrivateLine; push(line: PrivateLine): void }
  x: number
  y: number
  ybase: number
  ydisp: number
  scrollTop: number
  scrollBottom: number
  savedX: number
  savedY: number
  savedCurAttrData: PrivateAttributes
  savedCharset: object | undefined
  tabs: Record<number, boolean | undefined>
  _memoryCleanupQueue: { clear(): void }
  getBlankLine(attributes: PrivateAttributes): PrivateLine
}
export interface PrivateCore {
  readonly _bufferService: {
    cols: number
    rows: number
    buffers: {
      readonly normal: PrivateBuffer
      readonly alt: PrivateBuffer
      readonly active: PrivateBuffer
      activateAltBuffer(): void
    }
  }
  readonly _inputHandler: {
    parse(data: Uint8Array): unknown
    _curAttrData: PrivateAttributes
    _eraseAttrDataInternal: PrivateAttributes
    _windowTitle: string
    _parser: { currentState: number; precedingJoinState: number }
  }
  readonly _charsetService: { glevel: number; charset: object | undefined; _charsets: Array<object | undefined> }
  readonly coreService: {
    isCursorHidden: boolean
    isCursorInitialized: boolean
    modes: { insertMode: boolean }
    decPrivateModes: Record<string, boolean | string | undefined>
  }
  readonly coreMouseService: { activeProtocol: string; activeEncoding: string }
  readonly optionsService: { options: { convertEol: boolean; cursorBlink: boolean } }
}

export const coreOf = (terminal: Terminal): PrivateCore => (terminal as unknown as { _core: PrivateCore })._core

/**
 * As the emulator's own `resize`, without what it would do later by a timer: giving back memory of lines that got shorter,
 * with a warning on the console where the machine is busy.
 */
export const resizeXterm = (terminal: Terminal, { cols, rows }: TerminalSize): void => {
  terminal.resize(cols, rows)
  const { alt, normal } = coreOf(terminal)._bufferService.buffers
  normal._memoryCleanupQueue.clear()
  alt._memoryCleanupQueue.clear()
}

/** Word 0 of a cell: this bit says that its text is in `_combined`. */
export const COMBINED_BIT = 0x200000
/** Word 0 of a cell: above it, how many columns its text takes. */
export const WIDTH_SHIFT = 22
/** Word 2 of a cell: this bit says that it has extended attributes. */
const EXTENDED_BIT = 0x10000000
export const CELL_WORDS = 3
/** Lines of a buffer: the tallest terminal and more scrollback than any screen here has. A snapshot cannot ask for more. */
const CAPACITY_MAX = 10_000

/**
 * Character sets have no name inside the emulator: only the objects that all terminals share. Designating each one in
 * a scratch terminal tells which is which; its place in this list is its name in a snapshot. "B" (ASCII) comes first:
 * the emulator stands for it by undefined.
 */
export const CHARSET_FINALS = ["B", "0", "A", "4", "C", "R", "Q", "K", "Y", "E", "Z", "H", "="] as const
export type CharsetTable = ReadonlyArray<object | undefined>

export const makeCharsetTable = (scratch: Terminal): CharsetTable => {
  const core = coreOf(scratch)
  return CHARSET_FINALS.map((final) => {
    core._inputHandler.parse(textEncoder.encode(`\x1b(${final}`))
    return core._charsetService._charsets[0]
  })
}

const textEncoder = new TextEncoder()

const charsetNumber = (table: CharsetTable, charset: object | undefined): number => {
  const index = table.indexOf(charset)
  if (index === -1) throw new Error("emulator: unknown character set")
  return index
}

export const readXterm = (terminal: Terminal, table: CharsetTable): XtermState => {
  const core = coreOf(terminal)
  const { cols, rows, buffers } = core._bufferService
  if (core._inputHandler._parser.currentState !== 0) throw new Error("emulator: inside a sequence")
  const normalWords = wordsOf(buffers.normal)
  const cells = new Uint32Array(normalWords + wordsOf(buffers.alt))
  const normal = readBuffer(buffers.normal, cols, cells, 0, table)
  const alternate = readBuffer(buffers.alt, cols, cells, normalWords, table)
  const modes: Record<string, boolean | string | null> = {}
  for (const [key, value] of Object.entries(core.coreService.decPrivateModes)) modes[key] = value ?? null
  return {
    header: {
      size: { cols, rows },
      alternate: buffers.active === buffers.alt,
      buffers: [normal, alternate],
      attributes: readAttributes(core._inputHandler._curAttrData),
      eraseAttributes: readAttributes(core._inputHandler._eraseAttrDataInternal),
      title: core._inputHandler._windowTitle,
      joinState: core._inputHandler._parser.precedingJoinState,
      glevel: core._charsetService.glevel,
      charset: charsetNumber(table, core._charsetService.charset),
      charsets: Array.from(core._charsetService._charsets, (charset) => charsetNumber(table, charset)),
      insert: core.coreService.modes.insertMode,
      modes,
      cursorHidden: core.coreService.isCursorHidden,
      cursorInitialized: core.coreService.isCursorInitialized,
      convertEol: core.optionsService.options.convertEol,
      cursorBlink: core.optionsService.options.cursorBlink,
      mouseProtocol: core.coreMouseService.activeProtocol,
      mouseEncoding: core.coreMouseService.activeEncoding
    },
    cells
  }
}

/** `terminal` is fresh and of the state's size. */
export const writeXterm = (terminal: Terminal, { header, cells }: XtermState, table: CharsetTable): void => {
  const core = coreOf(terminal)
  const { cols, buffers } = core._bufferService
  const template = core._inputHandler._curAttrData
  if (header.alternate) buffers.activateAltBuffer()
  const normalWords = headerWords(header.buffers[0], cols)
  if (cells.length !== normalWords + headerWords(header.buffers[1], cols)) {
    throw new Error("snapshot: wrong number of cells")
  }
  writeBuffer(buffers.normal, header.buffers[0], cells, 0, template, table)
  writeBuffer(buffers.alt, header.buffers[1], cells, normalWords, template, table)
  writeAttributes(core._inputHandler._curAttrData, header.attributes)
  writeAttributes(core._inputHandler._eraseAttrDataInternal, header.eraseAttributes)
  core._inputHandler._windowTitle = header.title
  core._inputHandler._parser.precedingJoinState = header.joinState
  core._charsetService.glevel = header.glevel
  core._charsetService.charset = table[header.charset]
  core._charsetService._charsets = header.charsets.map((number) => table[number])
  core.coreService.modes.insertMode = header.insert
  for (const [key, value] of Object.entries(header.modes)) core.coreService.decPrivateModes[key] = value ?? undefined
  core.coreService.isCursorHidden = header.cursorHidden
  core.coreService.isCursorInitialized = header.cursorInitialized
  core.optionsService.options.convertEol = header.convertEol
  core.optionsService.options.cursorBlink = header.cursorBlink
  core.coreMouseService.activeProtocol = header.mouseProtocol
  core.coreMouseService.activeEncoding = header.mouseEncoding
}

const wordsOf = (buffer: PrivateBuffer): number => {
  let cells = 0
  for (let row = 0; row < buffer.lines.length; row++) cells += buffer.lines.get(row).length
  return cells * CELL_WORDS
}

const headerWords = (header: BufferHeader, cols: number): number => {
  let cells = header.lines * cols
  for (const [, width] of header.widths) cells += width - cols
  return cells * CELL_WORDS
}

const readBuffer = (
  buffer: PrivateBuffer,
  cols: number,
  cells: Uint32Array,
  offset: number,
  table: CharsetTable
): BufferHeader => {
  const widths: Array<readonly [number, number]> = []
  const wrapped: Array<number> = []
  const combined: Array<readonly [number, number, string]> = []
  const extended: Array<readonly [number, number, number]> = []
  const lines = buffer.lines.length
  let at = offset
  for (let row = 0; row < lines; row++) {
    const line = buffer.lines.get(row)
    const width = line.length
    if (width !== cols) widths.push([row, width])
    if (line.isWrapped) wrapped.push(row)
    cells.set(line._data.subarray(0, width * CELL_WORDS), at)
    for (let column = 0; column < width; column++) {
      if ((cells[at + column * CELL_WORDS]! & COMBINED_BIT) !== 0) {
        combined.push([row, column, line._combined[column] ?? ""])
      }
      if ((cells[at + column * CELL_WORDS + 2]! & EXTENDED_BIT) !== 0) {
        extended.push([row, column, line._extendedAttrs[column]?.ext ?? 0])
      }
    }
    at += width * CELL_WORDS
  }
  const tabs = Object.entries(buffer.tabs)
    .filter(([, set]) => set)
    .map(([column]) => Number(column))
  return {
    lines,
    capacity: buffer.lines.maxLength,
    widths,
    wrapped,
    combined,
    extended,
    x: buffer.x,
    y: buffer.y,
    ybase: buffer.ybase,
    ydisp: buffer.ydisp,
    scrollTop: buffer.scrollTop,
    scrollBottom: buffer.scrollBottom,
    savedX: buffer.savedX,
    savedY: buffer.savedY,
    savedAttributes: readAttributes(buffer.savedCurAttrData),
    savedCharset: charsetNumber(table, buffer.savedCharset),
    tabs
  }
}

const writeBuffer = (
  buffer: PrivateBuffer,
  header: BufferHeader,
  cells: Uint32Array,
  offset: number,
  template: PrivateAttributes,
  table: CharsetTable
): void => {
  if (!(header.capacity >= header.lines && header.capacity <= CAPACITY_MAX)) throw new Error("snapshot: bad capacity")
  buffer.lines.maxLength = header.capacity
  while (buffer.lines.length < header.lines) buffer.lines.push(buffer.getBlankLine(template))
  if (buffer.lines.length !== header.lines) throw new Error("snapshot: wrong number of lines")
  for (const [row, width] of header.widths) {
    const line = buffer.lines.get(row)
    line._data = new Uint32Array(width * CELL_WORDS)
    line.length = width
  }
  let at = offset
  for (let row = 0; row < header.lines; row++) {
    const line = buffer.lines.get(row)
    const words = line.length * CELL_WORDS
    line._data.set(cells.subarray(at, at + words))
    line.isWrapped = false
    at += words
  }
  for (const row of header.wrapped) buffer.lines.get(row).isWrapped = true
  for (const [row, column, text] of header.combined) buffer.lines.get(row)._combined[column] = text
  for (const [row, column, word] of header.extended) {
    const extended = template.extended.clone()
    extended.ext = word
    buffer.lines.get(row)._extendedAttrs[column] = extended
  }
  const { x, y, ybase, ydisp, scrollTop, scrollBottom, savedX, savedY } = header
  Object.assign(buffer, { x, y, ybase, ydisp, scrollTop, scrollBottom, savedX, savedY })
  writeAttributes(buffer.savedCurAttrData, header.savedAttributes)
  buffer.savedCharset = table[header.savedCharset]
  buffer.tabs = {}
  for (const column of header.tabs) buffer.tabs[column] = true
}

const readAttributes = (attributes: PrivateAttributes): Attributes => [
  attributes.fg,
  attributes.bg,
  attributes.extended.ext
]

const writeAttributes = (attributes: PrivateAttributes, [fg, bg, ext]: Attributes): void => {
  attributes.fg = fg
  attributes.bg = bg
  attributes.extended = attributes.extended.clone()
  attributes.extended.ext = ext
}
