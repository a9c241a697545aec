/**
 * Terminal output as plain lines (PlainText.ts) in which hyperlinks (OSC 8) are still known: each line comes in parts, and
 * a part has the address that the program gave it. Exports that can show links use it; nobody checks here where a link
 * leads. The same bytes give the same lines however they are split.
 */
import { makeOscScanner, type OscScanner, scanOsc } from "../../projections/OscScanner.ts"
import {
  feedPlainText,
  LINE_CHARACTERS_MAX,
  makePlainText,
  openLine,
  type PlainText,
  readingOf
} from "../../projections/PlainText.ts"

export interface LinePart {
  readonly text: string
  /** As the program wrote it; absent: no link. */
  readonly address?: string
}

/** Links on one line that are told apart; a line with more has them as text from there on. */
const LINKS_PER_LINE_MAX = 256

export class LinkedLines {
  readonly #text: PlainText = makePlainText()
  readonly #scanner: OscScanner = makeOscScanner()
  /** Addresses on the open line; the first stands for none. */
  #addresses: Array<string> = [""]
  /** Which of them is being written: 0 is none. */
  #current = 0
  /** By column of the open line; made with the first link. */
  #marks: Uint16Array | undefined

  /** `emit` gets each line that ends in the bytes. */
  feed(bytes: Uint8Array, emit: (parts: ReadonlyArray<LinePart>) => void): void {
    for (let from = 0; from < bytes.length; ) {
      const to = from + pieceLength(bytes, from, readingOf(this.#text))
      this.#feedPiece(bytes.subarray(from, to), emit)
      from = to
    }
  }

  /** The line that has not ended; an empty list where there is none. */
  open(): ReadonlyArray<LinePart> {
    const line = openLine(this.#text)
    return line === "" ? [] : this.#parts(line)
  }

  #feedPiece(piece: Uint8Array, emit: (parts: ReadonlyArray<LinePart>) => void): void {
    let from = this.#text.column
    feedPlainText(this.#text, piece, (line) => {
      this.#mark(from, this.#text.column)
      emit(this.#parts(line))
      this.#nextLine()
      from = 0
    })
    this.#mark(from, this.#text.column)
    scanOsc(this.#scanner, piece, (payload, truncated) => this.#link(payload, truncated))
  }

  /** `8;PARAMETERS;ADDRESS`; an empty address ends the link. */
  #link(payload: Uint8Array, truncated: boolean): void {
    if (payload[0] !== 0x38 || payload[1] !== 0x3b) return
    const address = truncated ? undefined : /^8;[^;]*;(.+)$/s.exec(Buffer.from(payload).toString("latin1"))?.[1]
    this.#current = address === undefined ? 0 : this.#number(address)
  }

  #number(address: string): number {
    const known = this.#addresses.indexOf(address)
    if (known > 0) return known
    return this.#addresses.length > LINKS_PER_LINE_MAX ? 0 : this.#addresses.push(address) - 1
  }

  #mark(from: number, to: number): void {
    // Without a link on the line there is nothing to tell apart.
    if (this.#addresses.length === 1 || to <= from) return
    this.#marks ??= new Uint16Array(LINE_CHARACTERS_MAX)
    this.#marks.fill(this.#current, from, to)
  }

  /** A link may go on over the end of its line. */
  #nextLine(): void {
    if (this.#addresses.length === 1) return
    const address = this.#addresses[this.#current]!
    this.#marks?.fill(0)
    this.#addresses = this.#current === 0 ? [""] : ["", address]
    this.#current = this.#current === 0 ? 0 : 1
  }

  #parts(line: string): ReadonlyArray<LinePart> {
    const marks = this.#marks
    if (marks === undefined || this.#addresses.length === 1) return [{ text: line }]
    const parts: Array<LinePart> = []
    let text = ""
    let mark = 0
    let column = 0
    const flush = () => {
      if (text !== "") parts.push(mark === 0 ? { text } : { text, address: this.#addresses[mark]! })
      text = ""
    }
    for (const character of line) {
      const next = marks[column++] ?? 0
      if (next !== mark) {
        flush()
        mark = next
      }
      text += character
    }
    flush()
    return parts
  }
}

/**
 * Bytes from `from` on in which the cursor does nothing but go forward over what is written, and in which no link begins or
 * ends but at their last one: what they wrote lies between the columns before and after.
 */
const pieceLength = (bytes: Uint8Array, from: number, reading: ReturnType<typeof readingOf>): number => {
  if (reading === "sequence") return 1
  const ends = reading === "text" ? endsText : endsString
  let to = from
  while (to < bytes.length) if (ends(bytes[to++]!)) break
  return to - from
}

/** Backspace, carriage return, escape, and what may be the end of a C1 control in UTF-8. */
const endsText = (byte: number): boolean =>
  byte === 0x08 || byte === 0x0d || byte === 0x1b || (byte >= 0x80 && byte <= 0x9f)

/** BEL, ST in both forms, CAN, SUB, another sequence. */
const endsString = (byte: number): boolean =>
  byte === 0x07 || byte === 0x18 || byte === 0x1a || byte === 0x1b || byte === 0x5c || (byte >= 0x80 && byte <= 0x9f)
