/**
 * `--format text`: a session as plain text, line by line: what its terminal showed, with carriage returns, tabs and the line
 * editing of shells applied, lines that were wrapped at its edge whole, and escape sequences and full-screen programs left out (PlainText.ts). Of a shell for
 * commands each command stands behind a `$`, its output below. What is missing is named where it is missing. It holds one
 * line at a time; what a program later wrote over, cleared or scrolled away is in it, since somebody may have read it.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry } from "../../journal/Event.ts"
import { feedPlainText, makePlainText, openLine } from "../../projections/PlainText.ts"
import { escapeText } from "../SafeText.ts"
import { RecordedItems, type RecordingOpening } from "../session/RecordedItems.ts"
import { type TerminalItem, TerminalItems } from "../session/TerminalItems.ts"
import { type ExportFold, type ExportSource, foldEvents, type WriteExport } from "./ExportFormat.ts"
import { openingOf } from "./RecordingBeginning.ts"

const LINE_END = new Uint8Array([0x0a])

export const text: WriteExport = (source) =>
  Stream.unwrap(
    Effect.map(openingOf(source), (opening) => Stream.suspend(() => foldEvents(source, lines(source, opening))))
  ).pipe(
    Stream.filter((part) => part !== ""),
    Stream.map((part) => Buffer.from(part))
  )

const lines = ({ input, losses, view }: ExportSource, opening: RecordingOpening | undefined): ExportFold => {
  const items = new RecordedItems(view, opening)
  const terminal = new TerminalItems()
  const plain = makePlainText()
  let written = ""
  const put = (line: string) => {
    written += `${escapeText(line)}\n`
  }
  const write = (shown: ReadonlyArray<TerminalItem>): string => {
    written = ""
    for (const item of shown) {
      // What commands of a shell print goes through pipes: it has no rows.
      if (item._tag === "Resize" && view.kind === "terminal") plain.columns = item.size.cols
      else if (item._tag === "Output") feedPlainText(plain, item.data, put)
      else if (item._tag === "Gap") {
        if (openLine(plain) !== "") feedPlainText(plain, LINE_END, put)
        put(`[${item.label}]`)
      } else if (item._tag === "Input" && input !== true) losses?.add("inputBytes", item.data.length)
    }
    return written
  }
  return {
    page: (entries: ReadonlyArray<JournalEntry>) => write(terminal.page(items.page(entries))),
    end: () => {
      const rest = write(terminal.page(items.end()))
      const open = openLine(plain)
      return open === "" ? rest : `${rest}${escapeText(open)}\n`
    }
  }
}
