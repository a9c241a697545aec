/**
 * `--format commands`: JSON Lines, a line for each command (CommandRows.ts) in the order in which they began, and one for
 * what is missing. For scripts; output is text with escape sequences applied and gone: an excerpt, or all of it on request. A
 * line with all of an output is written as it comes: it may be as long as the output, and memory does not grow with it.
 *
 * A command: `type` command, `number`, `startedAt`, `command`, `commandFrom` (given, reported, echo, session), `cwd`,
 * `output`, `outputBytes`, `status`, `exitCode`, `signal`, `durationMillis`; only where true: `commandCut`, `outputCut`,
 * `exitCodeDoubtful` (its shell says 0 whatever happened), `clipboard` (it wrote to the clipboard). What is missing:
 * `type` missing, `at`, `text`. A field may be added, none changes its meaning.
 */
import { Effect, Stream } from "effect"
import type { OutputChannel } from "../../journal/Event.ts"
import { feedPlainText, makePlainText, openLine, type PlainText } from "../../projections/PlainText.ts"
import { escapeJson, toJsonText } from "../SafeText.ts"
import type { SessionView } from "../session/SessionView.ts"
import {
  type CommandKind,
  type CommandOutcome,
  type CommandRow,
  commandKindOf,
  commandRows,
  foldOf,
  type MissingPart
} from "./CommandRows.ts"
import { type ExportFold, foldPages, type WriteExport } from "./ExportFormat.ts"
import { isoTime } from "./ExportTime.ts"
import { PlainExcerpt } from "./PlainExcerpt.ts"

export const commands: WriteExport = (source) =>
  Stream.unwrap(
    Effect.map(commandKindOf(source), (kind) =>
      foldPages((view) => jsonLines(kind, view, source.whole === true))(source)
    )
  )

/** What is written of an output between the line's beginning and its end. */
interface LineOutput {
  feed(channel: OutputChannel, data: Uint8Array): string
  end(): string
  readonly isCut: boolean
}

const jsonLines = (kind: CommandKind, view: SessionView, whole: boolean): ExportFold => {
  let text = ""
  let output: LineOutput | undefined
  /** The line's beginning is not written: the command may not be known yet. */
  let unwritten: CommandRow | undefined
  /** Told within a line that is open. */
  let missing: Array<MissingPart> = []
  const writeHead = () => {
    if (unwritten === undefined) return
    text += head(unwritten)
    unwritten = undefined
  }
  const rows = commandRows(kind, view, {
    began: (row) => {
      unwritten = row
      output = whole ? new WholeOutput() : new ExcerptOutput()
    },
    output: (channel, data) => {
      writeHead()
      text += output?.feed(channel, data) ?? ""
    },
    ended: (row, outcome) => {
      writeHead()
      text += `${output?.end() ?? ""}${tail(row, outcome, output?.isCut === true)}`
      output = undefined
      for (const part of missing) text += missingLine(part)
      missing = []
    },
    missing: (part) => {
      if (output === undefined) text += missingLine(part)
      else missing.push(part)
    }
  })
  const taken = (): string => {
    const taken = text
    text = ""
    return taken
  }
  return foldOf(rows, taken)
}

const json = (value: unknown): string => escapeJson(JSON.stringify(value))

/** Up to the opening quote of the output. */
const head = (row: CommandRow): string =>
  `${json({
    type: "command",
    number: row.number,
    startedAt: row.startedAt === null ? null : isoTime(row.startedAt),
    command: row.text.toWellFormed(),
    ...(row.textCut && { commandCut: true }),
    commandFrom: row.textFrom,
    cwd: row.cwd
  }).slice(0, -1)},"output":"`

/** From the closing quote of the output on. */
const tail = (row: CommandRow, outcome: CommandOutcome, outputCut: boolean): string =>
  `",${json({
    outputBytes: outcome.outputBytes,
    ...(outputCut && { outputCut }),
    ...(row.clipboard && { clipboard: true }),
    status: outcome.status,
    exitCode: outcome.exitCode,
    ...(outcome.exitCodeDoubtful && { exitCodeDoubtful: true }),
    signal: outcome.signal,
    durationMillis: outcome.durationMillis
  }).slice(1)}\n`

const missingLine = ({ text, timeMicros }: MissingPart): string =>
  toJsonText({ type: "missing", at: isoTime(timeMicros), text })

/** Within the quotes. */
const quoted = (text: string): string => json(text).slice(1, -1)

class ExcerptOutput implements LineOutput {
  readonly #excerpt = new PlainExcerpt()

  get isCut(): boolean {
    return this.#excerpt.isCut
  }

  feed(_: OutputChannel, data: Uint8Array): string {
    this.#excerpt.feed(data)
    return ""
  }

  end(): string {
    return quoted(this.#excerpt.text())
  }
}

/** Lines of each stream as they end, joined by \n. */
class WholeOutput implements LineOutput {
  readonly isCut = false
  readonly #streams = new Map<OutputChannel, PlainText>()
  #isBegun = false

  feed(channel: OutputChannel, data: Uint8Array): string {
    let stream = this.#streams.get(channel)
    if (stream === undefined) {
      stream = makePlainText()
      this.#streams.set(channel, stream)
    }
    let text = ""
    feedPlainText(stream, data, (line) => {
      text += this.#line(line)
    })
    return text
  }

  end(): string {
    let text = ""
    for (const stream of this.#streams.values()) {
      const open = openLine(stream)
      if (open !== "") text += this.#line(open)
    }
    return text
  }

  #line(line: string): string {
    const separator = this.#isBegun ? "\\n" : ""
    this.#isBegun = true
    return separator + quoted(line)
  }
}
