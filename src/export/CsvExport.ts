/**
 * `--format csv`: a table with a row for each command of a shell, in the order in which they began, or with one row for
 * a session of another program. For spreadsheets and scripts; output is an excerpt, the journal has all.
 */
import type { JournalEntry, SessionEvent } from "../../journal/Event.ts"
import { commandOf } from "../SafeText.ts"
import type { SessionView } from "../session/SessionView.ts"
import { csvRow, numberCell, textCell } from "./CsvText.ts"
import { type ExportFold, foldPages, type WriteExport } from "./ExportFormat.ts"
import { isoTime, wholeMillis } from "./ExportTime.ts"
import { PlainExcerpt } from "./PlainExcerpt.ts"

/** Public: a column is added at the end, none changes its meaning. */
export const CSV_COLUMNS = [
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

export const csv: WriteExport = foldPages((view) => (view.kind === "exec" ? commandRows(view) : sessionRow(view)))

const HEAD = csvRow(CSV_COLUMNS)

interface Row {
  readonly number: number
  readonly time: string
  readonly command: string
  readonly cwd: string
  readonly excerpt: PlainExcerpt
}

interface Outcome {
  readonly status: string
  readonly exitCode: number | null
  readonly signal: string | null
  readonly durationMillis: number | null
}

const toCsv = ({ command, cwd, excerpt, number, time }: Row, outcome: Outcome): string =>
  csvRow([
    numberCell(number),
    time,
    textCell(command),
    outcome.status,
    numberCell(outcome.exitCode),
    textCell(outcome.signal ?? ""),
    numberCell(outcome.durationMillis),
    textCell(cwd),
    numberCell(excerpt.bytes),
    textCell(excerpt.text())
  ])

type EventOf<Tag extends SessionEvent["_tag"]> = Extract<SessionEvent, { readonly _tag: Tag }>

const commandRows = (view: SessionView): ExportFold => {
  let isBegun = false
  let shellCwd = ""
  /** The last command that was started: its row waits for output that comes after its end, until the next one starts. */
  let open: { readonly row: Row; readonly isTty: boolean; outcome: Outcome | undefined } | undefined

  const begin = (
    number: number,
    time: string,
    { code, cwd, tty }: Pick<EventOf<"CommandStarted">, "code" | "cwd" | "tty">
  ) => {
    open = {
      row: { number, time, command: code, cwd: cwd ?? shellCwd, excerpt: new PlainExcerpt() },
      isTty: tty,
      outcome: undefined
    }
  }
  /** `status` of a command whose end is in no event. */
  const flush = (status: string): string => {
    if (open === undefined) return ""
    const { outcome, row } = open
    open = undefined
    return toCsv(row, outcome ?? { status, exitCode: null, signal: null, durationMillis: null })
  }

  const take = ({ event, timeMicros }: JournalEntry): string => {
    switch (event._tag) {
      case "SessionCreated":
        shellCwd = event.cwd
        return ""
      case "CommandStarted": {
        // One runs at a time: the end of one that has none here was not seen.
        const rows = flush("lost")
        begin(event.exec, isoTime(timeMicros), event)
        return rows
      }
      case "OutputReceived":
        if (
          open !== undefined &&
          (event.channel === "tty" ? open.isTty && open.outcome === undefined : event.exec === open.row.number)
        ) {
          open.row.excerpt.feed(event.data)
        }
        return ""
      case "CommandFinished": {
        let rows = ""
        if (open?.row.number !== event.exec) {
          // Its beginning is not in the journal any more.
          rows = flush("lost")
          begin(event.exec, "", { code: "", tty: false })
        }
        const { exitCode, signal, status } = event
        if (open !== undefined)
          open.outcome = { status, exitCode, signal, durationMillis: wholeMillis(event.durationMicros) }
        if (event.cwd !== "") shellCwd = event.cwd
        return rows
      }
      case "ShellRestarted":
        shellCwd = event.restored.cwd ?? shellCwd
        return ""
      default:
        return ""
    }
  }

  return {
    page: (entries) => {
      let rows = isBegun ? "" : HEAD
      isBegun = true
      for (const entry of entries) rows += take(entry)
      return rows
    },
    end: () => `${isBegun ? "" : HEAD}${flush(view.status === "running" ? "running" : "lost")}`
  }
}

const sessionRow = (view: SessionView): ExportFold => {
  const excerpt = new PlainExcerpt()
  return {
    page: (entries) => {
      for (const { event } of entries) {
        if (event._tag === "OutputReceived" && event.channel === "tty") excerpt.feed(event.data)
      }
      return ""
    },
    end: () =>
      HEAD +
      toCsv(
        {
          number: 1,
          time: isoTime(view.startedAt ?? view.createdAt),
          command: commandOf(view),
          cwd: view.cwd,
          excerpt
        },
        {
          status: view.status,
          exitCode: view.exitCode,
          signal: view.signal,
          durationMillis: view.endedAt === null ? null : wholeMillis(view.endedAt - (view.startedAt ?? view.createdAt))
        }
      )
  }
}
