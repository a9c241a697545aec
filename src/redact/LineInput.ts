/**
 * What somebody types, as the line that a shell makes of it: keys that move and delete are done, and each character that is
 * left knows the bytes that it was. A line is searched before something is taken out of it and when it ends. Keys that
 * only the program knows (history, completion) are not followed.
 */
import type { GridText } from "./CellGrid.ts"
import { isInvisible } from "./CellMask.ts"

/** Characters of one line; beyond it the line is searched and begins anew, with as many as a match can have. */
const LINE_CHARACTERS_MAX = 64 * 1024
const KEPT_CHARACTERS = 16 * 1024

export class LineInput {
  readonly #search: (text: GridText) => void
  #codes: Array<number> = []
  #from: Array<number> = []
  #bytes: Array<number> = []
  #at = 0
  #isChanged = false

  constructor(search: (text: GridText) => void) {
    this.#search = search
  }

  print(code: number, from: number, to: number): void {
    if (code >= 0xad && isInvisible(code)) return
    this.#codes.splice(this.#at, 0, code)
    this.#from.splice(this.#at, 0, from)
    this.#bytes.splice(this.#at, 0, to - from)
    this.#at++
    this.#isChanged = true
    if (this.#codes.length < LINE_CHARACTERS_MAX) return
    this.searchAll()
    this.#take(0, this.#codes.length - KEPT_CHARACTERS)
  }

  control(code: number): void {
    switch (code) {
      case 0x7f:
      case 0x08:
        this.#delete(this.#at - 1, this.#at)
        return
      case 0x04:
        this.#delete(this.#at, this.#at + 1)
        return
      case 0x15:
        this.#delete(0, this.#at)
        return
      case 0x0b:
        this.#delete(this.#at, this.#codes.length)
        return
      case 0x17: {
        let from = this.#at
        while (from > 0 && this.#codes[from - 1] === 0x20) from--
        while (from > 0 && this.#codes[from - 1] !== 0x20) from--
        this.#delete(from, this.#at)
        return
      }
      case 0x01:
        this.#at = 0
        return
      case 0x05:
        this.#at = this.#codes.length
        return
      case 0x02:
        this.#at = Math.max(0, this.#at - 1)
        return
      case 0x06:
        this.#at = Math.min(this.#codes.length, this.#at + 1)
        return
      case 0x0d:
      case 0x0a:
      case 0x03:
        this.#end()
        return
    }
  }

  sequence(final: number, parameters: ReadonlyArray<number>): void {
    if (final === 0x44) this.control(0x02)
    else if (final === 0x43) this.control(0x06)
    else if (final === 0x48 || (final === 0x7e && (parameters[0] === 1 || parameters[0] === 7))) this.#at = 0
    else if (final === 0x46 || (final === 0x7e && (parameters[0] === 4 || parameters[0] === 8)))
      this.#at = this.#codes.length
    else if (final === 0x7e && parameters[0] === 3) this.control(0x04)
  }

  searchAll(): void {
    if (!this.#isChanged) return
    this.#isChanged = false
    this.#search({
      text: this.#codes.map((code) => (code < 0x10000 ? String.fromCharCode(code) : "\ufffd")).join(""),
      codes: Uint32Array.from(this.#codes),
      from: Float64Array.from(this.#from),
      bytes: Uint8Array.from(this.#bytes),
      searchFrom: 0,
      searchTo: this.#codes.length
    })
  }

  #delete(from: number, to: number): void {
    if (to <= from || from < 0 || from >= this.#codes.length) return
    this.searchAll()
    this.#take(from, to)
    // What is left is another text.
    this.#isChanged = true
  }

  #take(from: number, to: number): void {
    const end = Math.min(to, this.#codes.length)
    for (const list of [this.#codes, this.#from, this.#bytes]) list.splice(from, end - from)
    if (this.#at > from) this.#at = Math.max(from, this.#at - (end - from))
  }

  #end(): void {
    this.searchAll()
    this.#codes = []
    this.#from = []
    this.#bytes = []
    this.#at = 0
    this.#isChanged = false
  }
}
