/**
 * The terminal in the page: the emulator that reprise itself draws screens with, without a window of its own. It is given
 * output that has passed the guard when the page was written (PlayerParts.ts), so it is never asked anything and never
 * answers. What it shows is what the engine's own screen shows at the same event.
 */
import { type IBuffer, Terminal } from "@xterm/headless"
import type { TerminalSize } from "../../../journal/Event.ts"
import { decodeSnapshot } from "../../../projections/SnapshotCodec.ts"
import {
  type CharsetTable,
  coreOf,
  makeCharsetTable,
  resizeXterm,
  writeXterm,
  type XtermHeader
} from "../../../projections/XtermState.ts"
import type { PlayerRecord } from "../PlayerFormat.ts"

/** The emulator cannot hold a screen of one column. */
const EMULATOR_COLS_MIN = 2

export class Emulator {
  readonly #scrollback: number
  #charsets: CharsetTable | undefined
  #terminal: Terminal
  #size: TerminalSize

  constructor(size: TerminalSize, scrollback: number) {
    this.#scrollback = scrollback
    this.#size = size
    this.#terminal = this.#make(size)
  }

  get size(): TerminalSize {
    return this.#size
  }

  get buffer(): IBuffer {
    return this.#terminal.buffer.active
  }

  get isAlternate(): boolean {
    return this.#terminal.buffer.active.type === "alternate"
  }

  get isCursorHidden(): boolean {
    return coreOf(this.#terminal).coreService.isCursorHidden
  }

  /** Calls back with the number of lines that went out at the top of the scrollback. */
  onTrim(trimmed: (lines: number) => void): void {
    const { lines } = coreOf(this.#terminal)._bufferService.buffers.normal as unknown as {
      readonly lines: { readonly onTrim: (listener: (lines: number) => void) => unknown }
    }
    lines.onTrim(trimmed)
  }

  apply({ data, size }: PlayerRecord): void {
    if (data !== undefined) coreOf(this.#terminal)._inputHandler.parse(data)
    else if (size !== undefined) {
      this.#size = size
      resizeXterm(this.#terminal, { cols: Math.max(size.cols, EMULATOR_COLS_MIN), rows: size.rows })
    }
  }

  /** A blank screen, or the one that a snapshot of Screen.ts holds, unpacked. */
  begin(size: TerminalSize, keyframe: Uint8Array | undefined): void {
    this.#terminal.dispose()
    this.#size = size
    this.#terminal = this.#make(size)
    if (keyframe === undefined) return
    this.#charsets ??= makeCharsetTable(this.#make({ cols: EMULATOR_COLS_MIN, rows: 1 }))
    const { parts, state } = decodeSnapshot<{ readonly xterm: XtermHeader }>(keyframe, 1)
    const cells = parts[0]!
    const words = new Uint32Array(cells.buffer, cells.byteOffset, cells.byteLength / 4)
    writeXterm(this.#terminal, { header: state.xterm, cells: words }, this.#charsets)
  }

  /** Rows of the screen as text, trailing blanks removed. */
  lines(): ReadonlyArray<string> {
    const { buffer } = this
    const { cols, rows } = this.#size
    return Array.from(
      { length: rows },
      (_, row) =>
        buffer
          .getLine(buffer.baseY + row)
          ?.translateToString(true, 0, cols)
          .trimEnd() ?? ""
    )
  }

  dispose(): void {
    this.#terminal.dispose()
  }

  #make({ cols, rows }: TerminalSize): Terminal {
    return new Terminal({
      cols: Math.max(cols, EMULATOR_COLS_MIN),
      rows,
      scrollback: this.#scrollback,
      allowProposedApi: true,
      disableStdin: true,
      logLevel: "off"
    })
  }
}
