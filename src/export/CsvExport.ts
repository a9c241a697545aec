/**
 * `--format csv`: a table with a row for each command (CommandRows.ts), in the order in which they began, or with one row for
 * a session of another program. For spreadsheets and scripts; output is an excerpt, the journal has all. What is missing
 * is a row too: without a number, its status `missing`, told in words in place of the output.
 */
import { Effect, Stream } from "effect"
import type { SessionView } from "../session/SessionView.ts"
import {
  type CommandKind,
  type CommandOutcome,
  type CommandRow,
  commandKindOf,
  commandRows,
  foldOf
} from "./CommandRows.ts"
import { csvRow, numberCell, textCell } from "./CsvText.ts"
import { type ExportFold, foldPages, type WriteExport } from "./ExportFormat.ts"
import { isoTime } from "./ExportTime.ts"
import { PlainExcerpt } from "./PlainExcerpt.ts"

/** Public: a column is added at the end, none changes its meaning. */
const CSV_COLUMNS = [
  "number",
  "time",
  "command",
  "status",
  "exit_code",
  "signal",
  "duration_ms",
  "cwd",
  "output_bytes",
  "output"
] as const

export const csv: WriteExport = (source) =>
  Stream.unwrap(Effect.map(commandKindOf(source), (kind) => foldPages((view) => table(kind, view))(source)))

const table = (kind: CommandKind, view: SessionView): ExportFold => {
  let text = csvRow(CSV_COLUMNS)
  let excerpt = new PlainExcerpt()
  const rows = commandRows(kind, view, {
    began: () => {
      excerpt = new PlainExcerpt()
    },
    output: (_, data) => excerpt.feed(data),
    ended: (row, outcome) => {
      text += toCsv(row, outcome, excerpt.text())
    },
    missing: (part) => {
      const empty = ""
      text += csvRow([
        empty,
        isoTime(part.timeMicros),
        empty,
        "missing",
        empty,
        empty,
        empty,
        empty,
        empty,
        textCell(part.text)
      ])
    }
  })
  const taken = (): string => {
    const taken = text
    text = ""
    return taken
  }
  return foldOf(rows, taken)
}

const toCsv = (row: CommandRow, outcome: CommandOutcome, output: string): string =>
  csvRow([
    numberCell(row.number),
    row.startedAt === null ? "" : isoTime(row.startedAt),
    textCell(row.text),
    outcome.status,
    numberCell(outcome.exitCode),
    textCell(outcome.signal ?? ""),
    numberCell(outcome.durationMillis),
    textCell(row.cwd),
    numberCell(outcome.outputBytes),
    textCell(output)
  ])
