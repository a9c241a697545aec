/**
 * A session as lines to search in: what its terminal and its commands printed as plain text, what was typed, the commands
 * it was given, and the titles it had. A fold over its events, with a state that is kept where a block of the index
 * begins, so that a search reads from there. The search worker uses it; it knows no pattern and no index.
 *
 * A line belongs to the event in which it ended; one that has not ended, to the last event that changed it.
 */
import type { JournalEntry } from "../../journal/Event.ts"
import {
  makeOscScanner,
  type OscScanner,
  restoreScanner,
  scannerHeader,
  scannerPart,
  scanOsc
} from "../../projections/OscScanner.ts"
import {
  feedPlainText,
  LINE_CHARACTERS_MAX,
  makePlainText,
  openLine,
  type PlainText
} from "../../projections/PlainText.ts"
import { cleanTitle } from "../../projections/Title.ts"
import { WorkingDirectory, type WorkingDirectoryState } from "../../projections/WorkingDirectory.ts"
import { type PackedPage, type SearchStep, StepKind, stepsOf } from "./SearchPage.ts"

export type SearchSource = "output" | "input" | "commands" | "titles"
export type SearchChannel = "tty" | "stdout" | "stderr"

/** Where a line comes from. `exec`: number of the command, 0 for none. */
export interface LinePlace {
  readonly source: SearchSource
  readonly channel: SearchChannel | null
  readonly exec: number
  readonly sequence: number
  readonly timeMicros: number
}

export type EmitLine = (line: string, place: LinePlace) => void

/** Called before and behind each event. */
export interface StepHooks {
  readonly before: (step: SearchStep) => void
  readonly behind: (step: SearchStep) => void
}

/** Commands whose output is read at a time: one runs, and what those before it left behind may still print. */
const STREAMS_MAX = 8

/** One sequence of bytes that is read as text. */
interface Reading {
  readonly place: Omit<LinePlace, "sequence" | "timeMicros">
  readonly plain: PlainText
  /** The last event that changed its open line. */
  sequence: number
  timeMicros: number
}

type SavedPlain = Omit<PlainText, "line"> & { readonly line: string }
interface Saved {
  readonly directory: string
  readonly title: { readonly phase: number; readonly truncated: boolean; readonly part: string }
  readonly running: number
  readonly readings: ReadonlyArray<Omit<Reading, "plain"> & { readonly key: string; readonly plain: SavedPlain }>
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

export class SearchText {
  readonly #emit: EmitLine
  readonly #readings = new Map<string, Reading>()
  #directory: WorkingDirectoryState
  #titles: OscScanner = makeOscScanner()
  /** The command that the terminal's output belongs to. */
  #running = 0

  /** `state`: what `state()` gave; absent at a session's beginning. */
  constructor(emit: EmitLine, state?: string | undefined) {
    this.#emit = emit
    this.#directory = WorkingDirectory.initial("" as never)
    if (state !== undefined) this.#restore(JSON.parse(state) as Saved)
  }

  get cwd(): string {
    return this.#directory.cwd
  }

  /** Whether a line has begun and not ended. */
  get hasOpen(): boolean {
    for (const { plain } of this.#readings.values()) if (plain.length > 0) return true
    return false
  }

  /** Everything in order. */
  feed(page: PackedPage, around?: StepHooks): void {
    for (const step of stepsOf(page)) {
      around?.before(step)
      this.#step(step)
      around?.behind(step)
    }
  }

  /** Emits the lines that have not ended, as they are. They go on afterwards. */
  flush(): void {
    for (const { place, plain, sequence, timeMicros } of this.#readings.values()) {
      const line = plain.alternate ? "" : openLine(plain)
      if (line !== "") this.#emit(line, { ...place, sequence, timeMicros })
    }
  }

  state(): string {
    const saved: Saved = {
      directory: Buffer.from(WorkingDirectory.encode(this.#directory)).toString("base64"),
      title: { ...scannerHeader(this.#titles), part: Buffer.from(scannerPart(this.#titles)).toString("base64") },
      running: this.#running,
      readings: [...this.#readings].map(([key, { plain, ...reading }]) => ({
        key,
        ...reading,
        plain: { ...plain, line: textOf(plain.line.subarray(0, plain.length)) }
      }))
    }
    return JSON.stringify(saved)
  }

  #restore({ directory, readings, running, title }: Saved): void {
    this.#directory = WorkingDirectory.decode(Buffer.from(directory, "base64"))
    this.#titles = restoreScanner(title, Buffer.from(title.part, "base64"))
    this.#running = running
    for (const { key, plain, ...reading } of readings) {
      const line = new Uint32Array(LINE_CHARACTERS_MAX)
      let length = 0
      for (const character of plain.line) line[length++] = character.codePointAt(0)!
      // What an earlier version did not know of is as at the beginning.
      this.#readings.set(key, { ...reading, plain: { ...makePlainText(), ...plain, line } })
    }
  }

  #step(step: SearchStep): void {
    const { data, exec, kind } = step
    switch (kind) {
      case StepKind.tty: {
        this.#read(step, "tty", { source: "output", channel: "tty", exec: this.#running }, data)
        scanOsc(this.#titles, data, (payload) => {
          if (payload.length >= 2 && (payload[0] === 0x30 || payload[0] === 0x32) && payload[1] === 0x3b) {
            this.#line(step, cleanTitle(decoder.decode(payload.subarray(2))), "titles", 0)
          }
        })
        this.#move(step, { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 0, data })
        return
      }
      case StepKind.stdout:
      case StepKind.stderr: {
        const channel = kind === StepKind.stdout ? "stdout" : "stderr"
        this.#read(step, `${channel} ${exec}`, { source: "output", channel, exec }, data)
        return
      }
      case StepKind.input:
        this.#read(step, "input", { source: "input", channel: null, exec: 0 }, typed(data))
        return
      case StepKind.commandInput:
        this.#read(step, `stdin ${exec}`, { source: "input", channel: null, exec }, data)
        return
      case StepKind.created: {
        const { command, cwd, name } = JSON.parse(decoder.decode(data))
        this.#directory.cwd = cwd
        this.#directory.sequence = step.sequence
        this.#line(step, command, "commands", 0)
        if (name !== undefined) this.#line(step, name, "titles", 0)
        return
      }
      case StepKind.cwd: {
        const { cwd, source } = JSON.parse(decoder.decode(data))
        this.#move(step, { _tag: "CwdChanged", cwd, source })
        return
      }
      case StepKind.commandStarted:
        this.#running = exec
        for (const line of decoder.decode(data).split("\n")) this.#line(step, line, "commands", exec)
        return
      case StepKind.commandFinished:
        if (this.#running === exec) this.#running = 0
    }
  }

  #move({ sequence, timeMicros }: SearchStep, event: JournalEntry["event"]): void {
    this.#directory = WorkingDirectory.fold(this.#directory, { sequence, timeMicros, actor: "", event })
  }

  #line({ sequence, timeMicros }: SearchStep, line: string, source: SearchSource, exec: number): void {
    if (line !== "") this.#emit(line, { source, channel: null, exec, sequence, timeMicros })
  }

  #read({ sequence, timeMicros }: SearchStep, key: string, place: Reading["place"], data: Uint8Array): void {
    let reading = this.#readings.get(key)
    if (reading === undefined || reading.place.exec !== place.exec) {
      reading = { place, plain: reading?.plain ?? makePlainText(), sequence, timeMicros }
      this.#readings.set(key, reading)
      if (this.#readings.size > STREAMS_MAX) this.#drop()
    }
    const here: LinePlace = { ...place, sequence, timeMicros }
    feedPlainText(reading.plain, data, (line) => {
      if (line !== "") this.#emit(line, here)
    })
    reading.sequence = sequence
    reading.timeMicros = timeMicros
  }

  /** The one of a command that printed longest ago ends. */
  #drop(): void {
    let oldest: string | undefined
    for (const [key, { sequence }] of this.#readings) {
      if (key === "tty" || key === "input") continue
      if (oldest === undefined || sequence < this.#readings.get(oldest)!.sequence) oldest = key
    }
    if (oldest === undefined) return
    const { place, plain, sequence, timeMicros } = this.#readings.get(oldest)!
    this.#readings.delete(oldest)
    const line = openLine(plain)
    if (line !== "") this.#emit(line, { ...place, sequence, timeMicros })
  }
}

const textOf = (line: Uint32Array): string => {
  let text = ""
  for (const code of line) text += String.fromCodePoint(code)
  return text
}

/** Keys as a line editor takes them: Enter, ^C and ^U end a line, the backspace key takes a character back. */
const typed = (data: Uint8Array): Uint8Array => {
  if (!data.some((byte) => byte === 0x0d || byte === 0x7f || byte === 0x03 || byte === 0x15)) return data
  const text: Array<number> = []
  for (const byte of data) {
    if (byte === 0x7f) text.push(0x08, 0x1b, 0x5b, 0x4b)
    else text.push(byte === 0x0d || byte === 0x03 || byte === 0x15 ? 0x0a : byte)
  }
  return Uint8Array.from(text)
}
