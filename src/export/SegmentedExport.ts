/**
 * `--format asciicast-segmented`: a recording in segments, for asciinema-player from 3.16 on (`format: "segmented"`). Each
 * segment begins with what draws the screen as it is there, so that a player begins anywhere and loads only what it shows:
 * a session of any length. `index.json` names the segments, which are numbered.
 *
 * The screens are those of the text that the segments hold, not of the session's bytes: the two would differ where a
 * character is cut or is none.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, TerminalSize } from "../../journal/Event.ts"
import { Screen } from "../../projections/Screen.ts"
import { secondsText } from "./AsciicastExport.ts"
import { type CastEvent, CastEvents } from "./CastEvents.ts"
import { type ExportFold, type ExportSource, type FilePiece, foldEvents, type WriteFolder } from "./ExportFormat.ts"
import { openingOf } from "./RecordingBeginning.ts"

const INDEX_FILE = "index.json"
/** Bytes of text in one segment: what a seek loads and draws at most, a tenth of a second. */
const SEGMENT_TEXT_BYTES = 512 * 1024
/** Events in one segment: many small ones cost more than their text. */
const SEGMENT_EVENTS_MAX = 10_000
/** Markers that the index lists; the rest are in the segments alone. */
const INDEX_MARKERS_MAX = 20_000

export const segmented: WriteFolder = (source) =>
  Stream.unwrap(
    Effect.map(openingOf(source), (opening) =>
      Stream.suspend(() => {
        const events = new CastEvents(source.view, { ...source, hasExit: false, opening })
        const fold = new Segments(source, events)
        return foldEvents(source, fold).pipe(
          Stream.ensuring(Effect.sync(() => fold.dispose())),
          Stream.flatMap((pieces) => Stream.fromIterable(pieces))
        )
      })
    )
  )

class Segments implements ExportFold<ReadonlyArray<FilePiece>> {
  readonly #source: ExportSource
  readonly #events: CastEvents
  readonly #starts: Array<number> = []
  readonly #markers: Array<readonly [number, string]> = []
  #pieces: Array<FilePiece> = []
  #screen: Screen | undefined
  #size: TerminalSize | undefined
  /** Of the segment that is written. */
  #text = ""
  #eventCount = 0
  #bytes = 0
  #lastMicros = 0

  constructor(source: ExportSource, events: CastEvents) {
    this.#source = source
    this.#events = events
  }

  readonly page = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<FilePiece> => {
    for (const event of this.#events.page(entries)) this.#event(event)
    return this.#taken()
  }

  readonly end = (): ReadonlyArray<FilePiece> => {
    for (const event of this.#events.end()) this.#event(event)
    this.#open()
    const segments = this.#starts.length
    // The last segment has to begin before the recording ends, and none may be empty.
    if (this.#eventCount === 0) this.#write({ micros: this.#lastMicros, code: "o", data: NOTHING })
    else if (segments > 1 && this.#lastMicros === this.#starts.at(-1)) {
      this.#write({ micros: this.#lastMicros + 1, code: "o", data: NOTHING })
    }
    this.#close()
    const { cols, rows } = this.#size!
    const duration = secondsText(this.#lastMicros)
    const starts = this.#starts.map((micros, n) => `{"url":"${segmentFile(n)}","start":${secondsText(micros)}}`)
    const markers = this.#markers.map(([micros, label]) => `[${secondsText(micros)},${JSON.stringify(label)}]`)
    const index = `{"version":1,"duration":${duration},"term":{"cols":${cols},"rows":${rows}},"markers":[${markers.join(",")}],"segments":[${starts.join(",\n")}]}\n`
    this.#pieces.push({ file: INDEX_FILE, data: Buffer.from(index), isLast: true })
    return this.#taken()
  }

  dispose(): void {
    this.#screen?.dispose()
  }

  #taken(): ReadonlyArray<FilePiece> {
    this.#flush()
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }

  #event(event: CastEvent): void {
    this.#open()
    const isFull = this.#bytes >= SEGMENT_TEXT_BYTES || this.#eventCount >= SEGMENT_EVENTS_MAX
    // All of one moment is in one segment.
    if (isFull && event.micros > this.#lastMicros) this.#next(event.micros)
    if (event.code === "m" && this.#markers.length < INDEX_MARKERS_MAX)
      this.#markers.push([event.micros, textOf(event.data)])
    this.#write(event)
    if (event.code === "o") this.#screen!.feed(event.data)
    else if (event.code === "r") {
      const [cols = 0, rows = 0] = textOf(event.data).split("x").map(Number)
      this.#screen!.resize({ cols, rows })
    }
  }

  #write({ code, data, micros }: CastEvent): void {
    this.#text += `${this.#eventCount === 0 ? "" : ",\n"}[${secondsText(micros)},"${code}",${JSON.stringify(textOf(data))}]`
    this.#eventCount++
    this.#bytes += data.length
    this.#lastMicros = micros
  }

  /** The first segment. */
  #open(): void {
    if (this.#screen !== undefined) return
    this.#size = this.#events.size ?? this.#source.view.size
    this.#screen = new Screen(this.#size)
    this.#begin(0, this.#size, "")
  }

  /** Nothing, where the screen cannot be drawn: the segment goes on. */
  #next(micros: number): void {
    const screen = this.#screen!
    const { data } = screen.redraw({ over: true, scrollback: 0 })
    if (data === undefined) return
    this.#close()
    this.#begin(micros, screen.size, Buffer.from(data).toString())
  }

  #begin(micros: number, { cols, rows }: TerminalSize, init: string): void {
    this.#starts.push(micros)
    this.#eventCount = 0
    this.#bytes = 0
    this.#text = `{"snapshot":{"cols":${cols},"rows":${rows},"init":${JSON.stringify(init)}},"events":[\n`
  }

  #close(): void {
    this.#text += "\n]}\n"
    this.#flush(true)
  }

  #flush(isLast = false): void {
    if (this.#starts.length === 0 || (this.#text === "" && !isLast)) return
    const file = segmentFile(this.#starts.length - 1)
    this.#pieces.push({ file, data: Buffer.from(this.#text), isLast })
    this.#text = ""
  }
}

const NOTHING = new Uint8Array(0)

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()

const segmentFile = (number: number): string => `segment-${number}.json`
