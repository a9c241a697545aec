/**
 * A session as the events of an asciicast, of whatever version: a time since the beginning, a code of one letter, a text.
 * Used by the formats of that family. What asciicast has no place for is counted, never invented.
 */
import type { JournalEntry, TerminalSize } from "../../journal/Event.ts"
import { commandOf, escapeText } from "../SafeText.ts"
import { exitStatus, RecordedItems, type RecordingOpening } from "../session/RecordedItems.ts"
import type { SessionView } from "../session/SessionView.ts"
import { type TerminalItem, TerminalItems } from "../session/TerminalItems.ts"
import type { ExportSource } from "./ExportFormat.ts"
import { Utf8Text } from "./Utf8Text.ts"

/** o: output, i: input, r: a new size, m: marker, x: exit status. Readers take only these for granted. */
export type CastCode = "o" | "i" | "r" | "m" | "x"

export interface CastEvent {
  /** Microseconds since the beginning. */
  readonly micros: number
  readonly code: CastCode
  /** UTF-8, and whole characters. */
  readonly data: Uint8Array
}

export interface CastOptions extends Pick<ExportSource, "input" | "losses"> {
  /** The version has a code for the end; else a marker tells it. */
  readonly hasExit: boolean
  readonly opening?: RecordingOpening | undefined
}

export class CastEvents {
  readonly #items: RecordedItems
  readonly #terminal = new TerminalItems()
  readonly #options: CastOptions
  readonly #output = new Utf8Text()
  readonly #input = new Utf8Text()
  #events: Array<CastEvent> = []
  /** When the first event happened, microseconds since 1970; 0 before there is one. */
  #beganMicros = 0
  #size: TerminalSize | undefined

  constructor(view: SessionView, options: CastOptions) {
    this.#items = new RecordedItems(view, options.opening)
    this.#options = options
  }

  get beganMicros(): number {
    return this.#beganMicros
  }

  /** The size it begins with; undefined before the first page. */
  get size(): TerminalSize | undefined {
    return this.#size
  }

  page(entries: ReadonlyArray<JournalEntry>): ReadonlyArray<CastEvent> {
    for (const item of this.#terminal.page(this.#items.page(entries))) this.#item(item)
    return this.#taken()
  }

  end(): ReadonlyArray<CastEvent> {
    const items = this.#terminal.page(this.#items.end())
    // What a character lacks does not come any more: before anything that stands for the end.
    const micros = this.#micros(items[0]?.timeMicros ?? this.#lastMicros)
    this.#pushText(micros, "o", this.#output.end())
    if (this.#options.input) this.#pushText(micros, "i", this.#input.end())
    for (const item of items) this.#item(item)
    this.#options.losses?.add("invalidUtf8", this.#output.invalidBytes + this.#input.invalidBytes)
    return this.#taken()
  }

  #lastMicros = 0

  #taken(): ReadonlyArray<CastEvent> {
    const events = this.#events
    this.#events = []
    return events
  }

  #micros(timeMicros: number): number {
    return timeMicros - this.#beganMicros
  }

  #push(micros: number, code: CastCode, data: string): void {
    this.#events.push({ micros, code, data: Buffer.from(data) })
  }

  #pushText(micros: number, code: CastCode, data: Uint8Array): void {
    if (data.length > 0) this.#events.push({ micros, code, data })
  }

  #item(item: TerminalItem): void {
    this.#lastMicros = item.timeMicros
    const micros = this.#micros(item.timeMicros)
    switch (item._tag) {
      case "Output":
        this.#pushText(micros, "o", this.#output.take(item.data))
        break
      case "Input":
        if (this.#options.input) this.#pushText(micros, "i", this.#input.take(item.data))
        else this.#options.losses?.add("inputBytes", item.data.length)
        break
      case "HiddenInput":
        if (this.#options.input) this.#push(micros, "m", "hidden input")
        break
      case "Resize":
        if (this.#size === undefined) {
          this.#size = item.size
          this.#beganMicros = item.timeMicros
        } else this.#push(micros, "r", `${item.size.cols}x${item.size.rows}`)
        break
      case "Marker":
        this.#push(micros, "m", escapeText(item.label))
        break
      case "Gap":
        this.#push(micros, "m", `gap: ${item.label}`)
        break
      case "Exit": {
        const status = exitStatus(item)
        if (this.#options.hasExit && status !== undefined) this.#push(micros, "x", String(status))
        else this.#push(micros, "m", describeExit(item))
        break
      }
    }
  }
}

export const describeExit = (exit: { readonly exitCode: number | null; readonly signal: string | null }): string =>
  exit.signal !== null
    ? `ended by ${escapeText(exit.signal)}`
    : exit.exitCode !== null
      ? `exited with ${exit.exitCode}`
      : "how it ended is not known"

/** What the headers of all versions say beside the size. Names of variables alone are in the journal, but for TERM. */
export const castFacts = (view: SessionView) => ({
  command: commandOf(view),
  title: view.name === null ? undefined : escapeText(view.name),
  env: { TERM: escapeText(view.term) }
})
