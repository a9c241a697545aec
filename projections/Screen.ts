/**
 * What a session's terminal shows: the guarded emulator. ScreenWorker.ts runs it in a thread of its own (hostile output
 * can keep any emulator busy), tests use it directly. It only draws: nothing that the output asks for is answered,
 * no clipboard is touched, no byte leaves it. It is a synchronous fold of bytes and sizes, so that replaying a history
 * gives the same screen as living through it.
 */
import xterm from "@xterm/headless"
import type { TerminalSize } from "../journal/Event.ts"
import { PlainStretches } from "./PlainStretch.ts"
import { SCREEN_SCROLLBACK_LINES, screenCells } from "./ScreenBounds.ts"
import { differenceOf } from "./ScreenDifference.ts"
import { guard, makeScreenGuard, restoreScreenGuard, type ScreenGuard, saveScreenGuard } from "./ScreenGuard.ts"
import { type PictureArea, pictureOf, type ScreenPicture } from "./ScreenPicture.ts"
import { type RedrawOptions, type RedrawState, redrawBytes } from "./ScreenRedraw.ts"
import { decodeScreen, encodeScreen, packSnapshot, SNAPSHOT_BYTES_MAX } from "./ScreenSnapshot.ts"
import { cleanTitle } from "./Title.ts"
import { type CharsetTable, coreOf, makeCharsetTable, readXterm, resizeXterm, writeXterm } from "./XtermState.ts"

/** The emulator cannot hold a screen of one column (a wide character would not fit). */
const EMULATOR_COLS_MIN = 2
/** Code units of one row in a view: combining marks can pile up on a cell without end. */
const ROW_UNITS_PER_CELL_MAX = 16
/** Bytes of one piece of output in which it is worth while to look for what need not be drawn, and between two looks. */
const SKIP_LOOK_BYTES = 32 * 1024
const NOTHING = new Uint8Array(0)
const LF = 0x0a
/** Bytes of a snapshot as it is stored. Above it replaying the output is cheaper than keeping its result. */
const SNAPSHOT_PACKED_BYTES_MAX = 1024 * 1024

/** What `SessionView.ScreenView` tells of a drawn screen. */
export interface ScreenContent {
  readonly size: TerminalSize
  readonly cursor: { readonly x: number; readonly y: number }
  readonly cursorVisible: boolean
  readonly alternate: boolean
  /** One string a row, trailing blanks removed, printable characters only. */
  readonly lines: ReadonlyArray<string>
  readonly title: string
}

export interface ScreenRedrawOptions extends RedrawOptions {
  /** The size of the terminal that is drawn on. Another one than the screen's: what is visible around the cursor. */
  readonly target?: TerminalSize | undefined
}

export interface ScreenRedraw {
  /** Draws a terminal of `size`. undefined: see `defect`. */
  readonly data: Uint8Array | undefined
  readonly size: TerminalSize
  /** What a terminal that was drawn on did not have: a mistake of ours, and no bytes are given out. */
  readonly defect: string | undefined
}

/** What a terminal can be in that is drawn on: every mode, both screens, margins, an unfinished sequence. */
const DIRTY = Buffer.from(
  "\x1b]2;old\x07\x1b[?25l\x1b[?7l\x1b[?45h\x1b[?1h\x1b=\x1b[?1003;1016;1004;2004;2026h\x1b[5 q\x1b[?12h\x1b[20h" +
    "old\r\n\x1b[44;4mold\x1b[2;3r\x1b[3g\x1b[2;3H\x1bH\x1b)0\x0e\x1b7\x1b[?1049h\x1b[1;3;4:3;38;5;9;48;2;1;2;3;58;5;3mold" +
    '\x1b[2J\x1b[1;2r\x1b[?6h\x1b[4h\x1b[1"qold\x1b(0\x1bn\x1b7old\x1b]0;open'
)

let charsets: CharsetTable | undefined

export class Screen {
  #terminal: InstanceType<typeof xterm.Terminal>
  #guard: ScreenGuard
  #size: TerminalSize
  #skippedBytes = 0

  constructor(size: TerminalSize) {
    this.#size = size
    this.#guard = makeScreenGuard(size)
    this.#terminal = makeTerminal(size)
  }

  get size(): TerminalSize {
    return this.#size
  }

  /** Cells that its lines can take, scrollback included: what its memory is counted by. */
  get cells(): number {
    return screenCells(this.#size)
  }

  /** Output that what follows it in the same bytes scrolls away is not drawn; what is there in the end is the same. */
  feed(bytes: Uint8Array): void {
    let at = 0
    if (bytes.length >= SKIP_LOOK_BYTES) {
      const stretches = new PlainStretches(bytes)
      while (bytes.length - at >= SKIP_LOOK_BYTES) at = this.#drawLines(bytes, at, this.#skip(bytes, at, stretches))
    }
    if (at < bytes.length) this.#draw(at === 0 ? bytes : bytes.subarray(at))
  }

  /**
   * Draws the end of a stretch of output of which everything before `end` was left out, and is known to be plain
   * (`isPlain`); `end` begins anywhere in it. False, and nothing is drawn, when that may not give the same screen: inside
   * a sequence, on the alternate screen, with margins, or when `end` does not scroll away all that was there.
   */
  jump(end: Uint8Array): boolean {
    if (!this.#scrollsPlainly()) return false
    const stretches = new PlainStretches(end)
    if (stretches.end(0) !== end.length) return false
    const skip = stretches.skip(0, end.length, this.#linesToScroll())
    if (skip === undefined) return false
    this.#guard.partial = NOTHING
    this.#draw(end.subarray(skip.from))
    return true
  }

  /** Draws the end of the plain stretch that begins at `at`, and gives its end; or undefined, and has drawn nothing. */
  #skip(bytes: Uint8Array, at: number, stretches: PlainStretches): number | undefined {
    if (!this.#scrollsPlainly()) return undefined
    const end = stretches.end(at)
    const skip = stretches.skip(at, end, this.#linesToScroll())
    if (skip === undefined) return undefined
    // The rest of a character that was cut is among what is left out.
    this.#guard.partial = NOTHING
    for (const color of skip.colors) this.#draw(color)
    this.#draw(bytes.subarray(skip.from, end))
    this.#skippedBytes += skip.from - at
    return end
  }

  /** Draws on to the end of a line, where a plain stretch may begin; gives the place behind it. */
  #drawLines(bytes: Uint8Array, at: number, skippedTo: number | undefined): number {
    const from = skippedTo ?? at
    // After a stretch, and in the middle of a sequence, the next line may begin one; else not soon.
    const isNear = skippedTo !== undefined || this.#guard.phase !== 0
    const line = bytes.indexOf(LF, isNear ? from : from + SKIP_LOOK_BYTES)
    const to = line === -1 ? bytes.length : line + 1
    this.#draw(bytes.subarray(from, to))
    return to
  }

  /** Bytes of all it was fed that were not drawn. */
  get skippedBytes(): number {
    return this.#skippedBytes
  }

  /** Between two sequences, on the normal screen, with margins around all of it. */
  #scrollsPlainly(): boolean {
    const { buffers, rows } = coreOf(this.#terminal)._bufferService
    const { active, normal } = buffers
    const { partial, phase } = this.#guard
    return (
      phase === 0 &&
      partial[0] !== 0xc2 &&
      active === normal &&
      normal.scrollTop === 0 &&
      normal.scrollBottom === rows - 1
    )
  }

  /** Line feeds after which no line is left that is there now, wherever the cursor is. */
  #linesToScroll(): number {
    const { buffers, rows } = coreOf(this.#terminal)._bufferService
    return buffers.normal.lines.maxLength + rows
  }

  #draw(bytes: Uint8Array): void {
    const safe = guard(this.#guard, bytes)
    // The emulator's own `write` splits its work over timers; this is the function under it, and it is synchronous.
    if (safe.length > 0) coreOf(this.#terminal)._inputHandler.parse(safe)
  }

  resize(size: TerminalSize): void {
    this.#size = size
    this.#guard.size = size
    resizeXterm(this.#terminal, { cols: Math.max(size.cols, EMULATOR_COLS_MIN), rows: size.rows })
  }

  view(): ScreenContent {
    const buffer = this.#terminal.buffer.active
    const { cols, rows } = this.#size
    const lines: Array<string> = []
    for (let row = 0; row < rows; row++) {
      const text = buffer.getLine(buffer.baseY + row)?.translateToString(true, 0, cols) ?? ""
      lines.push(
        text
          .slice(0, cols * ROW_UNITS_PER_CELL_MAX)
          .replace(CONTROLS, "")
          .trimEnd()
      )
    }
    return {
      size: this.#size,
      // Behind the last column the cursor waits for the next character; shown, it stands on the last one.
      cursor: { x: Math.min(buffer.cursorX, cols - 1), y: Math.min(buffer.cursorY, rows - 1) },
      cursorVisible: !coreOf(this.#terminal).coreService.isCursorHidden,
      alternate: buffer.type === "alternate",
      lines,
      title: cleanTitle(coreOf(this.#terminal)._inputHandler._windowTitle)
    }
  }

  /** Its rows as text with colours, as far as they fit `area`; the whole of it if absent. */
  picture(area: PictureArea = this.#size): ScreenPicture {
    return pictureOf(readXterm(this.#terminal, charsetTable()), this.#size.cols, area)
  }

  /**
   * A snapshot, or undefined when there is none that is certain to go on like this screen: then replay. It is certain
   * because it is tried: a fresh emulator restored from it must give the same snapshot, byte by byte.
   */
  serialize(): Uint8Array | undefined {
    try {
      const bytes = this.#encode()
      const packed = packSnapshot(bytes)
      if (bytes.length > SNAPSHOT_BYTES_MAX || packed.length > SNAPSHOT_PACKED_BYTES_MAX) return undefined
      const restored = Screen.restore(packed)
      const same = Buffer.compare(bytes, restored.#encode()) === 0
      restored.dispose()
      return same ? packed : undefined
    } catch {
      // A field that is not there (another emulator version), a state that has no name: no snapshot, never a wrong one.
      return undefined
    }
  }

  /** Throws on anything that `serialize` of this version did not write. */
  static restore(snapshot: Uint8Array): Screen {
    const { size, ...state } = decodeScreen(snapshot)
    return Screen.#of(size, state)
  }

  /**
   * The bytes that draw this screen on another terminal. They have been tried, on one that was used before: what it then
   * showed is what this one shows, as far as ScreenDifference.ts compares.
   */
  redraw({ target = this.#size, ...options }: ScreenRedrawOptions = {}): ScreenRedraw {
    try {
      if (target.cols !== this.#size.cols || target.rows !== this.#size.rows) {
        const resized = Screen.#of(this.#size, this.#state())
        resized.resize(target)
        const redraw = resized.redraw(options)
        resized.dispose()
        return redraw
      }
      const state = this.#state()
      const data = redrawBytes(state, charsetTable(), options)
      const scrollback = Math.min(options.scrollback ?? SCREEN_SCROLLBACK_LINES, state.xterm.header.buffers[0].ybase)
      const trial = new Screen(target)
      trial.feed(DIRTY)
      trial.feed(data)
      const defect = differenceOf(state, trial.#state(), scrollback)
      trial.dispose()
      if (defect !== undefined) return { data: undefined, size: target, defect }
      return { data, size: target, defect: undefined }
    } catch (error) {
      return { data: undefined, size: target, defect: error instanceof Error ? error.message : String(error) }
    }
  }

  static #of(size: TerminalSize, { guard, xterm }: RedrawState): Screen {
    const screen = new Screen(size)
    screen.#guard = restoreScreenGuard(size, guard)
    writeXterm(screen.#terminal, xterm, charsetTable())
    return screen
  }

  #state(): RedrawState {
    return { guard: saveScreenGuard(this.#guard), xterm: readXterm(this.#terminal, charsetTable()) }
  }

  dispose(): void {
    this.#terminal.dispose()
  }

  #encode(): Uint8Array {
    return encodeScreen({ size: this.#size, ...this.#state() })
  }
}

// Cells hold none of these: a second fence where a view leaves the process.
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g

const makeTerminal = (size: TerminalSize) =>
  new xterm.Terminal({
    cols: Math.max(size.cols, EMULATOR_COLS_MIN),
    rows: size.rows,
    scrollback: SCREEN_SCROLLBACK_LINES,
    allowProposedApi: true,
    // Nothing it would answer leaves it, and nothing of a hostile output reaches a log.
    disableStdin: true,
    logLevel: "off"
  })

const charsetTable = (): CharsetTable => {
  if (charsets === undefined) {
    const scratch = makeTerminal({ cols: EMULATOR_COLS_MIN, rows: 1 })
    charsets = makeCharsetTable(scratch)
    scratch.dispose()
  }
  return charsets
}
