/**
 * Searches one stream of bytes (a terminal's output, a command's stdout, what was typed) for what rules find: as the
 * characters stand in it without their escape sequences, as a terminal shows them, and within control strings. The answer is
 * what to write in the place of which bytes, and does not depend on where the stream was cut. Memory is bounded by the
 * window, the screen and what was found.
 */
import { ByteScan } from "./ByteScan.ts"
import { CellGrid } from "./CellGrid.ts"
import type { FoundSecrets } from "./FoundSecrets.ts"
import { LineInput } from "./LineInput.ts"
import { type Edit, Marks } from "./Marks.ts"
import { MATCH_UNITS_MAX, type RedactRule } from "./RedactRule.ts"
import { stringViews } from "./StringText.ts"
import { type MappedText, TextWindow } from "./TextWindow.ts"

/** What the bytes are, and so how they are looked at. `text`: nothing draws it. */
export type ChannelKind =
  | { readonly _tag: "screen"; readonly cols: number; readonly rows: number }
  | { readonly _tag: "input" }
  | { readonly _tag: "text" }

/** Told of each match, once. */
export interface Finds {
  readonly rules: ReadonlyArray<RedactRule>
  readonly matches: Map<string, number>
  /** undefined: what was found is not looked for again. */
  readonly secrets: FoundSecrets | undefined
}

/** Bytes of a control string that are searched at a time. */
const STRING_BYTES_MAX = 256 * 1024

export class ChannelScan {
  readonly #finds: Finds
  readonly #marks = new Marks()
  readonly #scan: ByteScan
  readonly #window: TextWindow
  readonly #grid: CellGrid | undefined
  readonly #line: LineInput | undefined
  /** Where matches of a rule began: each is counted once, whatever it is seen in. */
  readonly #seen = new Map<string, Set<number>>()
  #string: Uint8Array = new Uint8Array(256)
  /** Where the bytes of the string stand; control characters in it are left out. */
  #stringAt = new Float64Array(256)
  #stringLength = 0
  #position = 0

  constructor(kind: ChannelKind, finds: Finds) {
    this.#finds = finds
    this.#window = new TextWindow((text) => this.#search(text))
    const search = (text: MappedText) => this.#search(text)
    this.#grid = kind._tag === "screen" ? new CellGrid(kind.cols, kind.rows, search) : undefined
    this.#line = kind._tag === "input" ? new LineInput(search) : undefined
    this.#scan = new ByteScan({
      print: (code, from, to) => {
        this.#window.push(code, from, to)
        this.#grid?.print(code, from, to)
        this.#line?.print(code, from, to)
      },
      control: (code, from, to) => {
        this.#window.push(code, from, to)
        this.#grid?.control(code)
        this.#line?.control(code)
      },
      escape: (final) => this.#grid?.escape(final),
      sequence: (final, parameters, isPrivate) => {
        this.#grid?.sequence(final, parameters, isPrivate)
        if (!isPrivate) this.#line?.sequence(final, parameters)
        // Where the cursor jumps, what follows is not behind what was before. Colours and modes are within a word.
        if (!isPrivate && "ABCDEFGHLMSTade`f".includes(String.fromCharCode(final))) this.#window.push(0x0b, 0, 0)
      },
      stringStart: () => {
        this.#stringLength = 0
      },
      stringByte: (byte, at) => {
        if (this.#stringLength === STRING_BYTES_MAX) this.#searchString(MATCH_UNITS_MAX)
        if (this.#stringLength === this.#string.length) this.#growString()
        this.#stringAt[this.#stringLength] = at
        this.#string[this.#stringLength++] = byte
      },
      stringEnd: () => this.#searchString(0)
    })
  }

  get position(): number {
    return this.#position
  }

  feed(bytes: Uint8Array): void {
    this.#scan.feed(bytes, this.#position)
    this.#position += bytes.byteLength
  }

  resize(cols: number, rows: number): void {
    this.#grid?.resize(cols, rows)
  }

  /** Nothing follows: what to write where, in order, counted from the stream's beginning. */
  end(): ReadonlyArray<Edit> {
    this.#scan.end()
    this.#window.end()
    this.#grid?.searchAll()
    this.#line?.searchAll()
    return this.#marks.edits()
  }

  #search({ bytes, codes, from, searchFrom, searchTo, text }: MappedText): void {
    for (const rule of this.#finds.rules) {
      for (const spans of rule.find(text)) {
        const first = spans[0]
        if (first === undefined || first.from < searchFrom || first.from >= searchTo) continue
        this.#found(rule, from[first.from]!, text, spans)
        for (const span of spans) {
          for (let at = span.from; at < span.to; at++) {
            const code = codes[at]!
            const isTail = code >= 0xdc00 && code <= 0xdfff
            if (code < 0x20 || code === 0x7f || bytes[at] === 0 || isTail) continue
            const isLead = code >= 0xd800 && code <= 0xdbff
            this.#marks.character(from[at]!, from[at]! + bytes[at]!, isLead ? text.codePointAt(at)! : code)
          }
        }
      }
    }
  }

  #found(
    rule: RedactRule,
    at: number,
    text: string,
    spans: ReadonlyArray<{ readonly from: number; readonly to: number }>
  ): void {
    const { matches, secrets } = this.#finds
    for (const { from, to } of spans) secrets?.add(rule, text.slice(from, to))
    const seen = this.#seen.get(rule.name) ?? new Set()
    this.#seen.set(rule.name, seen)
    if (seen.has(at)) return
    seen.add(at)
    matches.set(rule.name, (matches.get(rule.name) ?? 0) + 1)
  }

  #searchString(kept: number): void {
    const length = this.#stringLength
    const payload = this.#string.subarray(0, length)
    for (const { edits, form } of length === 0 ? [] : stringViews(payload)) {
      for (const rule of this.#finds.rules) {
        for (const spans of rule.find(form.text)) {
          this.#found(rule, this.#stringAt[form.from[spans[0]!.from]!]!, form.text, spans)
          for (const edit of edits(spans)) this.#editString(edit)
        }
      }
    }
    this.#string.copyWithin(0, length - kept, length)
    this.#stringAt.copyWithin(0, length - kept, length)
    this.#stringLength = Math.min(kept, length)
  }

  #editString({ bytes, from, to }: Edit): void {
    for (let at = from; at < to; ) {
      // Bytes that stand together; between them are control characters, which stay.
      let end = at + 1
      while (end < to && this.#stringAt[end] === this.#stringAt[end - 1]! + 1) end++
      this.#marks.replace({
        from: this.#stringAt[at]!,
        to: this.#stringAt[end - 1]! + 1,
        bytes: bytes.subarray(at - from, end - from)
      })
      at = end
    }
  }

  #growString(): void {
    const string = new Uint8Array(this.#string.length * 4)
    string.set(this.#string)
    this.#string = string
    const at = new Float64Array(string.length)
    at.set(this.#stringAt)
    this.#stringAt = at
  }
}
