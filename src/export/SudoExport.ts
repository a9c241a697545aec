/**
 * `--format sudo`: a folder as sudo's I/O log of one command: `log`, `log.json`, `timing`, and a file for each stream there was
 * (`ttyout`, `stdout`, `stderr`, and `ttyin`, `stdin` when what was typed is wanted), each with every byte as it was.
 * sudoreplay reads it. It has no markers and no gaps. Numbers are whole, `log.json` is spread over lines and
 * holds no escape for a character beyond ASCII: its reader takes it no other way. A host is in no journal: the field says
 * `localhost`.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, TerminalSize } from "../../journal/Event.ts"
import { commandOf, escapeText } from "../SafeText.ts"
import { type RecordedItem, RecordedItems, type RecordingOpening } from "../session/RecordedItems.ts"
import { type ExportFold, type ExportSource, type FilePiece, foldEvents, type WriteFolder } from "./ExportFormat.ts"
import { openingOf } from "./RecordingBeginning.ts"

/** Streams as `timing` numbers them. */
const STREAMS = ["stdin", "stdout", "stderr", "ttyin", "ttyout"] as const
type StreamName = (typeof STREAMS)[number]
const WINDOW_SIZE = 5
const HOST = "localhost"
/** There is no device any more, and sudoreplay wants a name. */
const TERMINAL = "reprise"
const MICROS_PER_SECOND = 1_000_000

export const sudo: WriteFolder = (source) =>
  Stream.unwrap(
    Effect.map(openingOf(source), (opening) => Stream.suspend(() => foldEvents(source, new SudoFiles(source, opening))))
  ).pipe(Stream.flatMap((pieces) => Stream.fromIterable(pieces)))

class SudoFiles implements ExportFold<ReadonlyArray<FilePiece>> {
  readonly #source: ExportSource
  readonly #items: RecordedItems
  #streams = new Map<StreamName, Array<Uint8Array>>()
  #timing = ""
  #size: TerminalSize | undefined
  #beganMicros: number
  #lastMicros = 0
  #exit: Extract<RecordedItem, { readonly _tag: "Exit" }> | undefined

  constructor(source: ExportSource, opening: RecordingOpening | undefined) {
    this.#source = source
    this.#items = new RecordedItems(source.view, opening)
    this.#beganMicros = source.view.createdAt
  }

  readonly page = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<FilePiece> => {
    for (const item of this.#items.page(entries)) this.#item(item)
    return this.#taken()
  }

  readonly end = (): ReadonlyArray<FilePiece> => {
    for (const item of this.#items.end()) this.#item(item)
    // A reader waits for more as long as somebody may write the timing.
    const isComplete = this.#exit !== undefined || this.#source.view.status !== "running"
    return [
      ...this.#taken(),
      { file: "ttyout", data: new Uint8Array(0) },
      { file: "timing", data: new Uint8Array(0), isLast: true, isReadOnly: isComplete },
      { file: "log", data: Buffer.from(this.#log()) },
      { file: "log.json", data: Buffer.from(`${JSON.stringify(this.#facts(), null, 4)}\n`) }
    ]
  }

  #taken(): ReadonlyArray<FilePiece> {
    const pieces: Array<FilePiece> = []
    for (const [file, parts] of this.#streams) pieces.push({ file, data: Buffer.concat(parts) })
    if (this.#timing !== "") pieces.push({ file: "timing", data: Buffer.from(this.#timing) })
    this.#streams = new Map()
    this.#timing = ""
    return pieces
  }

  #item(item: RecordedItem): void {
    const { input, losses } = this.#source
    switch (item._tag) {
      case "Resize":
        if (this.#size === undefined) {
          this.#beganMicros = item.timeMicros
          this.#lastMicros = item.timeMicros
          this.#size = item.size
        } else this.#timed(item, WINDOW_SIZE, `${item.size.rows} ${item.size.cols}`)
        break
      case "Output":
        this.#bytes(item, item.channel === "tty" ? "ttyout" : item.channel)
        break
      case "Input":
        if (input === true) this.#bytes(item, item.exec === 0 ? "ttyin" : "stdin")
        else losses?.lacks(item)
        break
      case "Marker":
      case "Gap":
        losses?.lacks(item)
        break
      case "Exit":
        this.#exit = item
        break
    }
  }

  #bytes(item: Extract<RecordedItem, { readonly data: Uint8Array }>, stream: StreamName): void {
    if (item.data.length === 0) return
    this.#timed(item, STREAMS.indexOf(stream), String(item.data.length))
    const parts = this.#streams.get(stream)
    if (parts === undefined) this.#streams.set(stream, [item.data])
    else parts.push(item.data)
  }

  #timed({ timeMicros }: RecordedItem, event: number, rest: string): void {
    const { nanoseconds, seconds } = parts(timeMicros - this.#lastMicros)
    this.#timing += `${event} ${seconds}.${String(nanoseconds).padStart(9, "0")} ${rest}\n`
    this.#lastMicros = timeMicros
  }

  /** The older of the two: without it a session is not listed. */
  #log(): string {
    const { cwd, owner } = this.#source.view
    const { cols, rows } = this.#size ?? this.#source.view.size
    const user = escapeText(owner).replaceAll(":", "_")
    return (
      `${parts(this.#beganMicros).seconds}:${user}:${user}::${TERMINAL}:${rows}:${cols}\n` +
      `${escapeText(cwd)}\n${commandOf(this.#source.view)}\n`
    )
  }

  #facts(): Readonly<Record<string, unknown>> {
    const { argv, cwd, kind, owner } = this.#source.view
    const { cols, rows } = this.#size ?? this.#source.view.size
    const user = escapeText(owner)
    // Of a shell for commands its program, without the driver's own arguments.
    const asked = (kind === "exec" ? argv.slice(0, 1) : argv).map(escapeText)
    const { exitCode = null, signal = null } = this.#exit ?? {}
    return {
      timestamp: parts(this.#beganMicros),
      columns: cols,
      command: asked[0] ?? "",
      lines: rows,
      runargv: asked,
      runenv: [],
      runuser: user,
      runcwd: escapeText(cwd),
      submitcwd: escapeText(cwd),
      submithost: HOST,
      submituser: user,
      ttyname: TERMINAL,
      ...(exitCode !== null && { exit_value: exitCode }),
      ...(signal !== null && { signal: escapeText(signal.replace(/^SIG/, "")) }),
      run_time: parts(this.#lastMicros - this.#beganMicros)
    }
  }
}

const parts = (micros: number): { readonly seconds: number; readonly nanoseconds: number } => {
  const whole = Math.max(0, Math.round(micros))
  return { seconds: Math.floor(whole / MICROS_PER_SECOND), nanoseconds: (whole % MICROS_PER_SECOND) * 1000 }
}
