/**
 * `--format script`: a folder with what script(1) writes with advanced timing (util-linux 2.35 and later): `typescript` with
 * every byte of the terminal as it was, `timing`, and `input` when what was typed is wanted. scriptreplay reads them.
 * Markers and gaps stand in the timing as headers of their own, which readers pass over.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, TerminalSize } from "../../journal/Event.ts"
import { commandOf, escapeText } from "../SafeText.ts"
import { exitStatus, RecordedItems, type RecordingOpening } from "../session/RecordedItems.ts"
import { type TerminalItem, TerminalItems } from "../session/TerminalItems.ts"
import { secondsText } from "./AsciicastExport.ts"
import { describeExit } from "./CastEvents.ts"
import { type ExportFold, type ExportSource, type FilePiece, foldEvents, type WriteFolder } from "./ExportFormat.ts"
import { openingOf } from "./RecordingBeginning.ts"

const SCRIPT_FILES = { output: "typescript", input: "input", timing: "timing" } as const
/** Characters of a value in the timing: scriptreplay has 255 bytes for one. */
const VALUE_BYTES_MAX = 200

export const script: WriteFolder = (source) =>
  Stream.unwrap(
    Effect.map(openingOf(source), (opening) =>
      Stream.suspend(() => foldEvents(source, new ScriptFiles(source, opening)))
    )
  ).pipe(Stream.flatMap((pieces) => Stream.fromIterable(pieces)))

class ScriptFiles implements ExportFold<ReadonlyArray<FilePiece>> {
  readonly #source: ExportSource
  readonly #items: RecordedItems
  readonly #terminal = new TerminalItems()
  #pieces: Array<FilePiece> = []
  #timing = ""
  #hasBegun = false
  #beganMicros = 0
  #lastMicros = 0
  #exit: Extract<TerminalItem, { readonly _tag: "Exit" }> | undefined

  constructor(source: ExportSource, opening: RecordingOpening | undefined) {
    this.#source = source
    this.#items = new RecordedItems(source.view, opening)
  }

  readonly page = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<FilePiece> => {
    for (const item of this.#terminal.page(this.#items.page(entries))) this.#item(item)
    return this.#taken()
  }

  readonly end = (): ReadonlyArray<FilePiece> => {
    for (const item of this.#terminal.page(this.#items.end())) this.#item(item)
    if (!this.#hasBegun) this.#begin(this.#source.view.createdAt, this.#source.view.size)
    const { view } = this.#source
    const isAlive = view.status === "starting" || view.status === "running"
    // Of one that ended and has no event of that, what is known of it; of one that was lost, nothing is.
    const end = this.#exit ?? (isAlive ? undefined : view)
    const status = end === undefined ? undefined : exitStatus(end)
    this.#timing += `H 0.000000 DURATION ${fixedSeconds(this.#lastMicros - this.#beganMicros)}\n`
    if (status !== undefined) this.#timing += `H 0.000000 EXIT_CODE ${status}\n`
    else if (this.#exit !== undefined) this.#source.losses?.add("exits")
    const how =
      status !== undefined
        ? `COMMAND_EXIT_CODE="${status}"`
        : end === undefined
          ? "<it was still running>"
          : `<${describeExit(end)}>`
    const foot = Buffer.from(`\nScript done on ${localTime(this.#lastMicros)} [${how}]\n`)
    this.#push(SCRIPT_FILES.output, foot)
    if (this.#source.input) this.#push(SCRIPT_FILES.input, foot)
    return this.#taken()
  }

  #taken(): ReadonlyArray<FilePiece> {
    if (this.#timing !== "") this.#push(SCRIPT_FILES.timing, Buffer.from(this.#timing))
    this.#timing = ""
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }

  #push(file: string, data: Uint8Array): void {
    this.#pieces.push({ file, data })
  }

  #item(item: TerminalItem): void {
    if (!this.#hasBegun && item._tag === "Resize") {
      this.#begin(item.timeMicros, item.size)
      return
    }
    const delay = fixedSeconds(item.timeMicros - this.#lastMicros)
    const { losses } = this.#source
    switch (item._tag) {
      case "Output":
        this.#timing += `O ${delay} ${item.data.length}\n`
        this.#push(SCRIPT_FILES.output, item.data)
        break
      case "Input":
        if (!this.#source.input) {
          losses?.add("inputBytes", item.data.length)
          return
        }
        this.#timing += `I ${delay} ${item.data.length}\n`
        this.#push(SCRIPT_FILES.input, item.data)
        break
      case "Resize":
        this.#timing += `S ${delay} SIGWINCH ROWS=${item.size.rows} COLS=${item.size.cols}\n`
        break
      case "Marker":
        this.#timing += `H ${delay} MARKER ${value(item.label)}\n`
        break
      case "Gap":
        this.#timing += `H ${delay} GAP ${value(item.label)}\n`
        break
      case "Exit":
        this.#exit = item
        this.#lastMicros = item.timeMicros
        return
      case "HiddenInput":
        return
    }
    this.#lastMicros = item.timeMicros
  }

  #begin(timeMicros: number, { cols, rows }: TerminalSize): void {
    this.#hasBegun = true
    this.#beganMicros = timeMicros
    this.#lastMicros = timeMicros
    const { input, view } = this.#source
    const term = value(view.term)
    const head = Buffer.from(
      `Script started on ${localTime(timeMicros)} [TERM="${term}" TTY="reprise" COLUMNS="${cols}" LINES="${rows}"]\n`
    )
    this.#push(SCRIPT_FILES.output, head)
    // Readers skip as many bytes of the one as of the other.
    if (input) this.#push(SCRIPT_FILES.input, head)
    const headers = {
      START_TIME: localTime(timeMicros),
      TERM: term,
      TTY: "reprise",
      COLUMNS: cols,
      LINES: rows,
      COMMAND: value(commandOf(view)),
      TIMING_LOG: SCRIPT_FILES.timing,
      OUTPUT_LOG: SCRIPT_FILES.output,
      ...(input && { INPUT_LOG: SCRIPT_FILES.input })
    }
    for (const [key, text] of Object.entries(headers)) this.#timing += `H 0.000000 ${key} ${text}\n`
  }
}

/** As script writes it, in UTC. */
const localTime = (timeMicros: number): string => {
  const date = new Date(Math.floor(timeMicros / 1000))
  return Number.isNaN(date.getTime()) ? "?" : `${date.toISOString().slice(0, 19).replace("T", " ")}+00:00`
}

const fixedSeconds = (micros: number): string => {
  const [seconds, fraction = ""] = secondsText(micros).split(".")
  return `${seconds}.${fraction.padEnd(6, "0")}`
}

/** One line of at most so many bytes. */
const value = (text: string): string => {
  const safe = Buffer.from(escapeText(text))
  return safe.length <= VALUE_BYTES_MAX
    ? safe.toString()
    : `${safe
        .subarray(0, VALUE_BYTES_MAX - 3)
        .toString()
        .replace(/\ufffd+$/, "")}…`
}
