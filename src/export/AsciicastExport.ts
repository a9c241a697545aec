/**
 * `--format asciicast` and `asciicast3`: recordings of asciinema, version 2 (what every player reads) and version 3. One
 * JSON value on a line. Times are exact to the microsecond in version 2; version 3 counts from event to event in whole
 * milliseconds, and what that rounds is carried on, so that no time is wrong by more than half a millisecond.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry } from "../../journal/Event.ts"
import { type CastEvent, CastEvents, castFacts } from "./CastEvents.ts"
import { type ExportFold, type ExportSource, foldEvents, type WriteExport } from "./ExportFormat.ts"
import { ESCAPED_BYTES_MAX, writeJsonText } from "./JsonBytes.ts"
import { PieceBytes } from "./PieceBytes.ts"
import { openingOf } from "./RecordingBeginning.ts"

const MICROS_PER_SECOND = 1_000_000
const MICROS_PER_MILLI = 1000

/** What stands before the text of an event. */
type LineHead = (event: CastEvent) => string

const asciicast =
  (version: 2 | 3): WriteExport =>
  (source) =>
    Stream.unwrap(
      Effect.map(openingOf(source), (opening) =>
        foldEvents(
          source,
          fold(version, source, new CastEvents(source.view, { ...source, hasExit: version === 3, opening }))
        )
      )
    ).pipe(Stream.filter((bytes) => bytes.length > 0))

/** asciicast v2: absolute times. */
export const asciicast2: WriteExport = asciicast(2)

/** asciicast v3: times since the event before. */
export const asciicast3: WriteExport = asciicast(3)

const fold = (version: 2 | 3, { view }: ExportSource, events: CastEvents): ExportFold<Uint8Array> => {
  const lineHead: LineHead = version === 2 ? absoluteHead : intervalHeads()
  const pieces = new PieceBytes()
  let hasHead = false
  const write = (found: ReadonlyArray<CastEvent>): void => {
    if (!hasHead)
      pieces.add(Buffer.from(`${JSON.stringify(version === 2 ? head2(view, events) : head3(view, events))}\n`))
    hasHead = true
    for (const event of found) {
      pieces.room(LINE_BYTES_MAX + event.data.length * ESCAPED_BYTES_MAX)
      const { bytes } = pieces
      const at = pieces.at + bytes.write(lineHead(event), pieces.at, "latin1")
      const end = writeJsonText(bytes, at, event.data)
      bytes[end] = QUOTE
      bytes[end + 1] = BRACKET
      bytes[end + 2] = LINE_FEED
      pieces.at = end + 3
    }
  }
  return {
    page: (entries: ReadonlyArray<JournalEntry>) => {
      write(events.page(entries))
      return pieces.take()
    },
    end: () => {
      write(events.end())
      return pieces.end()
    }
  }
}

/** Of a line without its text: time, code and what is around them. */
const LINE_BYTES_MAX = 64
const QUOTE = 0x22
const BRACKET = 0x5d
const LINE_FEED = 0x0a

const head2 = (view: ExportSource["view"], { beganMicros, size = view.size }: CastEvents) => {
  const { command, env, title } = castFacts(view)
  const timestamp = wholeSeconds(beganMicros)
  return { version: 2, width: size.cols, height: size.rows, timestamp, command, title, env }
}

const head3 = (view: ExportSource["view"], { beganMicros, size = view.size }: CastEvents) => {
  const { command, env, title } = castFacts(view)
  const term = { cols: size.cols, rows: size.rows, type: env.TERM }
  return { version: 3, term, timestamp: wholeSeconds(beganMicros), command, title, env }
}

/** A reader of asciinema's takes no fraction here. */
const wholeSeconds = (micros: number): number => Math.max(0, Math.floor(micros / MICROS_PER_SECOND))

const absoluteHead: LineHead = ({ code, micros }) => `[${secondsText(micros)}, "${code}", "`

const intervalHeads = (): LineHead => {
  const interval = makeIntervals()
  return ({ code, micros }) => {
    const millis = String(interval(micros)).padStart(4, "0")
    return `[${millis.slice(0, -3)}.${millis.slice(-3)}, "${code}", "`
  }
}

/** Microseconds as seconds with one decimal at least and six at most. */
export const secondsText = (micros: number): string => {
  const seconds = Math.floor(micros / MICROS_PER_SECOND)
  const fraction = String(micros - seconds * MICROS_PER_SECOND).padStart(6, "0")
  let end = 6
  while (end > 1 && fraction.charCodeAt(end - 1) === 48) end--
  return `${seconds}.${fraction.slice(0, end)}`
}

/** From absolute microseconds that never fall to whole milliseconds since the one before. */
export const makeIntervals = (): ((micros: number) => number) => {
  let before = 0
  return (micros) => {
    const millis = Math.round(micros / MICROS_PER_MILLI)
    const interval = millis - before
    before = millis
    return interval
  }
}
