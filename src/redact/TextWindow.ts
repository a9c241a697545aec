/**
 * A long text that comes a character at a time, searched in windows that overlap by more than a match can have: what is found
 * does not depend on how the bytes came. Each character knows the bytes that it was; the finder is told of them.
 */
import { isInvisible } from "./CellMask.ts"
import { MATCH_UNITS_MAX } from "./RedactRule.ts"

/** Searched at a time. */
const WINDOW_UNITS = 128 * 1024
/** Of a text that is short: a variable, an argument. An eighth of the next size, and so up to the window. */
const FIRST_UNITS = 256
/** Before a place that is searched: what a rule looks back at. */
const CONTEXT_UNITS = 256

/** A text and the bytes of each of its UTF-16 units, up to `length`. */
export interface MappedText {
  readonly text: string
  readonly codes: Uint16Array | Uint32Array
  readonly from: Float64Array
  readonly bytes: Uint8Array
  /** Matches that begin before this unit were found, or are to be. */
  readonly searchFrom: number
  readonly searchTo: number
}

export class TextWindow {
  readonly #search: (text: MappedText) => void
  #units = new Uint16Array(FIRST_UNITS)
  #from = new Float64Array(FIRST_UNITS)
  #bytes = new Uint8Array(FIRST_UNITS)
  #length = 0
  #searched = 0

  constructor(search: (text: MappedText) => void) {
    this.#search = search
  }

  /** Its bytes are [from, to); a line feed takes the place of the carriage return before it. */
  push(code: number, from: number, to: number): void {
    if (code >= 0xad && isInvisible(code)) return
    if (code === 0x0a && this.#length > 0 && this.#units[this.#length - 1] === 0x0d) this.#length--
    if (this.#length + 2 > this.#units.length) {
      if (this.#units.length < WINDOW_UNITS) this.#grow()
      else this.#move()
    }
    if (code < 0x10000) this.#put(code, from, to)
    else {
      this.#put(0xd800 + ((code - 0x10000) >> 10), from, to)
      this.#put(0xdc00 + (code & 0x3ff), from, to)
    }
  }

  #put(unit: number, from: number, to: number): void {
    const at = this.#length++
    this.#units[at] = unit
    this.#from[at] = from
    this.#bytes[at] = to - from
  }

  /** Nothing follows. */
  end(): void {
    this.#searchTo(this.#length)
    this.#length = 0
    this.#searched = 0
  }

  #searchTo(to: number): void {
    if (this.#length === 0) return
    this.#search({
      text: textOf(this.#units, this.#length),
      codes: this.#units,
      from: this.#from,
      bytes: this.#bytes,
      searchFrom: this.#searched,
      searchTo: to
    })
  }

  #grow(): void {
    const length = this.#units.length * 8
    const [units, from, bytes] = [new Uint16Array(length), new Float64Array(length), new Uint8Array(length)]
    units.set(this.#units)
    from.set(this.#from)
    bytes.set(this.#bytes)
    this.#units = units
    this.#from = from
    this.#bytes = bytes
  }

  #move(): void {
    const to = this.#length - MATCH_UNITS_MAX
    this.#searchTo(to)
    const first = to - CONTEXT_UNITS
    this.#units.copyWithin(0, first, this.#length)
    this.#from.copyWithin(0, first, this.#length)
    this.#bytes.copyWithin(0, first, this.#length)
    this.#length -= first
    this.#searched = CONTEXT_UNITS
  }
}

const textOf = (units: Uint16Array, length: number): string =>
  Buffer.from(units.buffer, units.byteOffset, length * 2).toString("utf16le")
