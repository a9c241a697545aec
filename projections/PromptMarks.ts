/**
 * The commands of an interactive shell as its prompt marks tell them (OSC 133, and VS Code's 633): where the prompt ends,
 * where a command's output begins, and with which code it ended. Replay, places in a history and comparing commands use
 * it. It only reads the output: a shell that marks nothing has no commands here, and a mark that a program prints is
 * believed, as every terminal does.
 */
import { feedPlainText, makePlainText, openLine, type PlainText } from "./PlainText.ts"

/** Bytes of one mark that are waited for. A longer one is text. */
const MARK_BYTES_MAX = 4096
/** Characters of a command line that are kept: enough to recognize it. */
const COMMAND_LINE_CHARACTERS_MAX = 1024
/** Bytes after the prompt in which the typed command is looked for; completion menus print more than the line. */
const TYPED_BYTES_MAX = 16 * 1024

const ESC = 0x1b
const BEL = 0x07
const STARTS = [Buffer.from("\x1b]133;"), Buffer.from("\x1b]633;")]
const NOTHING = new Uint8Array(0)

export interface PromptReader {
  /** Bytes between two marks, in order; valid during the call. */
  readonly text: (bytes: Uint8Array) => void
  /** `A;cl=m` is the mark A with the parameters `cl=m`. */
  readonly mark: (letter: string, parameters: string) => void
}

/** Splits output, in pieces of any size, into marks and what is between them. */
export class PromptMarks {
  #held: Uint8Array = NOTHING

  feed(data: Uint8Array, { mark, text }: PromptReader): void {
    const bytes = this.#held.length === 0 ? asBuffer(data) : Buffer.concat([this.#held, data])
    this.#held = NOTHING
    let from = 0
    let at = bytes.indexOf(ESC)
    const flush = (to: number) => {
      if (to > from) text(bytes.subarray(from, to))
    }
    while (at !== -1) {
      const start = STARTS.find((start) => startsWith(bytes, at, start))
      const isCut = bytes.length - at < STARTS[0]!.length
      if (start === undefined || isCut) {
        if (start !== undefined) {
          flush(at)
          this.#held = Uint8Array.from(bytes.subarray(at))
          return
        }
        at = bytes.indexOf(ESC, at + 1)
        continue
      }
      const end = endOf(bytes, at + start.length)
      if (end === undefined && bytes.length - at < MARK_BYTES_MAX) {
        flush(at)
        this.#held = Uint8Array.from(bytes.subarray(at))
        return
      }
      if (end?.isWhole) {
        flush(at)
        const content = bytes.toString("utf8", at + start.length, end.at)
        mark(content.slice(0, 1), content.slice(2))
        from = end.next
      }
      at = bytes.indexOf(ESC, Math.max(at + 1, end?.isWhole ? end.next : 0))
    }
    flush(bytes.length)
  }
}

const asBuffer = (data: Uint8Array): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength)

/** As far as there are bytes. */
const startsWith = (bytes: Uint8Array, at: number, start: Uint8Array): boolean => {
  for (let index = 0; index < start.length && at + index < bytes.length; index++) {
    if (bytes[at + index] !== start[index]) return false
  }
  return true
}

const endOf = (
  bytes: Uint8Array,
  from: number
): { readonly at: number; readonly next: number; readonly isWhole: boolean } | undefined => {
  for (let at = from; at < bytes.length && at - from < MARK_BYTES_MAX; at++) {
    const byte = bytes[at]!
    if (byte === BEL) return { at, next: at + 1, isWhole: true }
    if (byte === ESC) {
      if (at + 1 === bytes.length) return undefined
      return { at, next: at + 2, isWhole: bytes[at + 1] === 0x5c }
    }
    if (byte < 0x20) return { at, next: at, isWhole: false }
  }
  return undefined
}

export interface MarkedCommand {
  /** In the session, from 1. */
  readonly number: number
  /** The line as it was typed; "" where the shell did not say it and it was not to be seen. */
  readonly line: string
}

export interface CommandReader {
  readonly started: (command: MarkedCommand) => void
  /** Bytes that the command printed; valid during the call. */
  readonly output: (command: MarkedCommand, bytes: Uint8Array) => void
  /** `exitCode` is null where the shell did not say it. */
  readonly finished: (command: MarkedCommand, exitCode: number | null) => void
}

/** Reads a terminal's output from its beginning and tells its commands. */
export class PromptCommands {
  readonly #marks = new PromptMarks()
  #count = 0
  #running: MarkedCommand | undefined
  #typed: { readonly text: PlainText; readonly lines: Array<string>; bytes: number } | undefined
  #told: string | undefined

  feed(data: Uint8Array, reader: CommandReader): void {
    this.#marks.feed(data, {
      text: (bytes) => {
        if (this.#running !== undefined) reader.output(this.#running, bytes)
        else if (this.#typed !== undefined && this.#typed.bytes < TYPED_BYTES_MAX) {
          const { lines, text } = this.#typed
          this.#typed.bytes += bytes.length
          feedPlainText(text, bytes.subarray(0, TYPED_BYTES_MAX), (line) => lines.push(line))
        }
      },
      mark: (letter, parameters) => {
        if (letter === "E") this.#told = unescapeLine(parameters.split(";", 1)[0]!)
        else if (letter === "B") this.#typed = { text: makePlainText(), lines: [], bytes: 0 }
        else if (letter === "C") this.#start(parameters, reader)
        else if (letter === "D") this.#finish(parameters, reader)
        // A prompt: what ran before is over, also where nobody said with which code.
        else if (letter === "A") this.#finish("", reader)
      }
    })
  }

  #start(parameters: string, reader: CommandReader): void {
    this.#finish("", reader)
    const line = this.#told ?? namedLine(parameters) ?? this.#typedLine()
    this.#count += 1
    this.#running = { number: this.#count, line: line.trim().slice(0, COMMAND_LINE_CHARACTERS_MAX) }
    this.#typed = undefined
    this.#told = undefined
    reader.started(this.#running)
  }

  #finish(parameters: string, reader: CommandReader): void {
    const command = this.#running
    this.#running = undefined
    if (command === undefined) return
    const code = /^-?\d{1,5}/.exec(parameters)
    reader.finished(command, code === null ? null : Number(code[0]))
  }

  #typedLine(): string {
    if (this.#typed === undefined) return ""
    const open = openLine(this.#typed.text)
    return [...this.#typed.lines, open].filter((line) => line !== "").join("\n")
  }
}

/** kitty's form: `cmdline_url=` is percent-encoded; `cmdline=` is quoted for a shell and left as it is. */
const namedLine = (parameters: string): string | undefined => {
  for (const part of parameters.split(";")) {
    if (part.startsWith("cmdline_url=")) {
      try {
        return decodeURIComponent(part.slice("cmdline_url=".length))
      } catch {
        return undefined
      }
    }
    if (part.startsWith("cmdline=")) return part.slice("cmdline=".length)
  }
  return undefined
}

/** VS Code writes `;`, control characters and the backslash as `\xHH` and `\\`. */
const unescapeLine = (text: string): string =>
  text.replace(/\\(?:\\|x([0-9a-fA-F]{2}))/g, (_, hex?: string) =>
    hex === undefined ? "\\" : String.fromCharCode(Number.parseInt(hex, 16))
  )
