/**
 * `--format tlog`: what tlog-rec writes (JSON 2.3, a message a line), with every byte of the terminal as it was; tlog-play and
 * whatever reads tlog's messages from a log take it. It has output, sizes and, when it is wanted, input; no markers,
 * no gaps and no end. A host is in no journal: the field says `localhost`.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry } from "../../journal/Event.ts"
import { RecordedItems, type RecordingOpening } from "../session/RecordedItems.ts"
import { type TerminalItem, TerminalItems } from "../session/TerminalItems.ts"
import { type ExportFold, type ExportSource, foldEvents, type WriteExport } from "./ExportFormat.ts"
import { openingOf } from "./RecordingBeginning.ts"
import { TlogMessages } from "./TlogMessages.ts"

/** What the audit of a system gives to a login; this value says that there is none. */
const SESSION_UNSET = 4_294_967_295
const MICROS_PER_MILLI = 1000

export const tlog: WriteExport = (source) =>
  Stream.unwrap(
    Effect.map(openingOf(source), (opening) => Stream.suspend(() => foldEvents(source, messages(source, opening))))
  ).pipe(
    Stream.filter((text) => text !== ""),
    Stream.map((text) => Buffer.from(text))
  )

const messages = ({ input, losses, view }: ExportSource, opening: RecordingOpening | undefined): ExportFold => {
  const items = new RecordedItems(view, opening)
  const terminal = new TerminalItems()
  let beganMicros = 0
  let written: TlogMessages | undefined
  const write = (shown: ReadonlyArray<TerminalItem>): string => {
    let text = ""
    for (const item of shown) {
      if (written === undefined) {
        beganMicros = item.timeMicros
        written = new TlogMessages({
          host: "localhost",
          rec: view.id,
          user: view.owner,
          term: view.term,
          session: SESSION_UNSET,
          beganMillis: Math.floor(beganMicros / MICROS_PER_MILLI)
        })
      }
      const millis = Math.floor((item.timeMicros - beganMicros) / MICROS_PER_MILLI)
      switch (item._tag) {
        case "Output":
          text += written.output(millis, item.data)
          break
        case "Input":
          if (input === true) text += written.input(millis, item.data)
          else losses?.lacks(item)
          break
        case "Resize":
          text += written.resize(millis, item.size)
          break
        default:
          losses?.lacks(item)
      }
    }
    return text
  }
  return {
    page: (entries: ReadonlyArray<JournalEntry>) => write(terminal.page(items.page(entries))),
    end: () => write(terminal.page(items.end())) + (written?.end() ?? "")
  }
}
