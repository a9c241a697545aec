/**
 * `--format ttyrec`: frames of a time, a length and bytes. It is the one player's format that keeps every byte as it was.
 * It has no sizes: they are written as the sequence that asks a terminal to take one (`ESC [ 8 ; rows ; cols t`), which
 * players read in the first frame. It has no input, no markers and no end.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry } from "../../journal/Event.ts"
import { RecordedItems, type RecordingOpening } from "../session/RecordedItems.ts"
import { type TerminalItem, TerminalItems } from "../session/TerminalItems.ts"
import { type ExportFold, type ExportSource, foldEvents, type WriteExport } from "./ExportFormat.ts"
import { PieceBytes } from "./PieceBytes.ts"
import { openingOf } from "./RecordingBeginning.ts"

const HEADER_BYTES = 12
const MICROS_PER_SECOND = 1_000_000
const UINT32_MAX = 0xffffffff

export const ttyrec: WriteExport = (source) =>
  Stream.unwrap(Effect.map(openingOf(source), (opening) => foldEvents(source, frames(source, opening)))).pipe(
    Stream.filter((bytes) => bytes.length > 0)
  )

const frames = ({ losses, view }: ExportSource, opening: RecordingOpening | undefined): ExportFold<Uint8Array> => {
  const items = new RecordedItems(view, opening)
  const terminal = new TerminalItems()
  const pieces = new PieceBytes()
  const frame = (timeMicros: number, data: Uint8Array): void => {
    pieces.room(HEADER_BYTES + data.length)
    writeHeader(pieces.bytes, pieces.at, timeMicros, data.length)
    pieces.at += HEADER_BYTES
    pieces.add(data)
  }
  const write = (shown: ReadonlyArray<TerminalItem>): void => {
    for (const item of shown) {
      switch (item._tag) {
        case "Output":
          frame(item.timeMicros, item.data)
          break
        case "Resize":
          frame(item.timeMicros, Buffer.from(`\x1b[8;${item.size.rows};${item.size.cols}t`))
          break
        default:
          losses?.lacks(item)
      }
    }
  }
  return {
    page: (entries: ReadonlyArray<JournalEntry>) => {
      write(terminal.page(items.page(entries)))
      return pieces.take()
    },
    end: () => {
      write(terminal.page(items.end()))
      return pieces.end()
    }
  }
}

const writeHeader = (bytes: Buffer, at: number, timeMicros: number, length: number): void => {
  const seconds = Math.floor(timeMicros / MICROS_PER_SECOND)
  // The format has 32 bits of seconds: they end in 2106.
  bytes.writeUInt32LE(Math.min(Math.max(seconds, 0), UINT32_MAX), at)
  bytes.writeUInt32LE(Math.max(0, timeMicros - seconds * MICROS_PER_SECOND), at + 4)
  bytes.writeUInt32LE(length, at + 8)
}
