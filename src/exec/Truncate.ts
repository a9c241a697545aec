/**
 * Views of output that is too long to show: its head and its tail (`HeadTail`), some of its lines (`lastLines`,
 * `linesFrom`), and output without the questions that a program asks its terminal (`stripCursorQueries`). Results of exec
 * and logs are made with it. A view only: the journal keeps every byte, and each view says what it leaves out. Pure; bytes
 * that are shown are never changed.
 */
import { incompleteTail, orphanHead } from "../../projections/utf8.ts"
import type { Truncation } from "./Exec.ts"

export interface HeadTailResult {
  readonly bytes: Uint8Array
  /** null: nothing is left out. */
  readonly truncation: Truncation | null
}

export interface HeadTailOptions {
  /** Bytes of the head; 0 keeps the tail only. Default: half of `maxBytes`. */
  readonly headBytes?: number | undefined
}

/** Bytes before the tail that say whether it begins inside a character: the longest character less one. */
const BEFORE_TAIL_BYTES = 3
/** Bytes of the first buffer: most output is short, and the buffer grows by doubling. */
const FIRST_BUFFER_BYTES = 4096

/**
 * Takes a stream and keeps its first and its last bytes, together at most `maxBytes`. Memory: those, and nothing of the rest.
 *
 * **Details** Cut at the borders of UTF-8 characters, so valid text stays valid; bytes that are not UTF-8 are kept as they
 * are. `result` can be asked at any time and changes nothing.
 */
export class HeadTail {
  readonly #maxBytes: number
  readonly #headMax: number
  /** Bytes of the ring behind the head. */
  readonly #ringBytes: number
  /** The head, and behind it a ring: byte n of the stream stands at headMax + (n - headMax) modulo ringBytes. */
  #buffer = new Uint8Array(0)
  #total = 0

  constructor(maxBytes: number, options: HeadTailOptions = {}) {
    this.#maxBytes = wholeBytes(maxBytes)
    this.#headMax = Math.min(this.#maxBytes, wholeBytes(options.headBytes ?? this.#maxBytes / 2))
    this.#ringBytes = this.#maxBytes - this.#headMax + BEFORE_TAIL_BYTES
  }

  /** Bytes taken so far. */
  get totalBytes(): number {
    return this.#total
  }

  push(chunk: Uint8Array): void {
    this.#reserve(this.#total + chunk.length)
    let from = 0
    if (this.#total < this.#headMax) {
      const head = chunk.subarray(0, this.#headMax - this.#total)
      this.#buffer.set(head, this.#total)
      this.#total += head.length
      from = head.length
    }
    // Of a chunk longer than the ring only the end stays.
    const skip = Math.max(0, chunk.length - from - this.#ringBytes)
    this.#total += skip
    from += skip
    while (from < chunk.length) {
      const at = (this.#total - this.#headMax) % this.#ringBytes
      const part = chunk.subarray(from, from + this.#ringBytes - at)
      this.#buffer.set(part, this.#headMax + at)
      this.#total += part.length
      from += part.length
    }
  }

  result(): HeadTailResult {
    const total = this.#total
    // The ring is longer than the tail, so it has not gone round yet.
    if (total <= this.#maxBytes) return { bytes: this.#buffer.slice(0, total), truncation: null }
    const tailFrom = total - (this.#maxBytes - this.#headMax)
    const tail = this.#read(tailFrom, total)
    const cutTail = continued(this.#read(Math.max(0, tailFrom - BEFORE_TAIL_BYTES), tailFrom), tail)
    const headBytes = this.#headMax - incompleteTail(this.#buffer, this.#headMax)
    const tailBytes = tail.length - cutTail
    const bytes = new Uint8Array(headBytes + tailBytes)
    bytes.set(this.#buffer.subarray(0, headBytes))
    bytes.set(tail.subarray(cutTail), headBytes)
    return {
      bytes,
      truncation: {
        totalBytes: total,
        headBytes,
        tailBytes,
        omittedBytes: total - headBytes - tailBytes,
        omittedFrom: headBytes,
        omittedTo: total - tailBytes
      }
    }
  }

  /** Bytes [from, to) of the stream, which the head and the ring still have. */
  #read(from: number, to: number): Uint8Array {
    const bytes = new Uint8Array(to - from)
    let length = 0
    while (length < bytes.length) {
      const offset = from + length
      const at = offset < this.#headMax ? offset : this.#headMax + ((offset - this.#headMax) % this.#ringBytes)
      const end = offset < this.#headMax ? this.#headMax : this.#headMax + this.#ringBytes
      const part = this.#buffer.subarray(at, Math.min(end, at + bytes.length - length))
      bytes.set(part, length)
      length += part.length
    }
    return bytes
  }

  #reserve(total: number): void {
    const needed = Math.min(total, this.#headMax + this.#ringBytes)
    if (needed <= this.#buffer.length) return
    const grown = new Uint8Array(
      Math.min(this.#headMax + this.#ringBytes, Math.max(needed, this.#buffer.length * 2, FIRST_BUFFER_BYTES))
    )
    grown.set(this.#buffer)
    this.#buffer = grown
  }
}

/** The same of a stream that is a part of another one, whose byte `base` is its first. */
export const shifted = (truncation: Truncation | null, base = 0): Truncation | null =>
  truncation === null
    ? null
    : { ...truncation, omittedFrom: truncation.omittedFrom + base, omittedTo: truncation.omittedTo + base }

/** The view of bytes that are there as a whole. */
export const headTail = (bytes: Uint8Array, maxBytes: number, options?: HeadTailOptions): HeadTailResult => {
  const view = new HeadTail(maxBytes, options)
  view.push(bytes)
  return view.result()
}

/** NaN and what is negative mean nothing is kept. */
const wholeBytes = (bytes: number): number => (bytes > 0 ? Math.floor(Math.min(bytes, Number.MAX_SAFE_INTEGER)) : 0)

/** Bytes at the start of `tail` that belong to a character begun in `before`. */
const continued = (before: Uint8Array, tail: Uint8Array): number => {
  const begun = incompleteTail(before)
  if (begun === 0) return 0
  const first = before[before.length - begun]!
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  return Math.min(orphanHead(tail), length - begun)
}

// --- lines -----------------------------------------------------------------------------------------------------------

export interface LinesView {
  /** The lines, joined by \n and without one at the end. */
  readonly text: string
  readonly totalLines: number
  /** Number of the first line shown, from 0; `totalLines` when none is. */
  readonly from: number
}

/** The last `limit` lines. */
export const lastLines = (text: string, limit: number): LinesView => {
  const lines = linesOf(text)
  return linesView(lines, lines.length - wholeBytes(limit), lines.length)
}

/** Up to `limit` lines (default: all) from line `offset` on; the first is 0. */
export const linesFrom = (text: string, offset: number, limit = Number.POSITIVE_INFINITY): LinesView => {
  const from = wholeBytes(offset)
  return linesView(linesOf(text), from, from + wholeBytes(limit))
}

/** A line's end at the end of the text begins no further line. */
const linesOf = (text: string): ReadonlyArray<string> => {
  const lines = text.split(/\r?\n/)
  if (lines[lines.length - 1] === "") lines.pop()
  return lines
}

const linesView = (lines: ReadonlyArray<string>, from: number, to: number): LinesView => {
  const first = Math.min(Math.max(0, from), lines.length)
  return { text: lines.slice(first, to).join("\n"), totalLines: lines.length, from: first }
}

// --- questions to the terminal -----------------------------------------------------------------------------------------

/** The answer to "where is the cursor?" of a terminal that shows nothing: first row, first column. */
export const CURSOR_ANSWER = "\x1b[1;1R"

export interface CursorQueries {
  readonly cleaned: Uint8Array
  /** Questions removed; each is answered with CURSOR_ANSWER. */
  readonly count: number
  /**
   * Bytes at the end of `cleaned` that may be the beginning of a question. Whoever reads a stream puts them before the next
   * chunk.
   */
  readonly incompleteBytes: number
}

const ESCAPE = 0x1b

/**
 * Removes the questions for the cursor's place (`ESC [ 6 n`, `ESC [ ? 6 n`): a program without a terminal waits for an answer
 * that nobody would give.
 */
export const stripCursorQueries = (bytes: Uint8Array): CursorQueries => {
  let at = bytes.indexOf(ESCAPE)
  if (at < 0) return { cleaned: bytes, count: 0, incompleteBytes: 0 }
  const cleaned = new Uint8Array(bytes.length)
  let length = 0
  let kept = 0
  let count = 0
  let incompleteBytes = 0
  for (; at >= 0; at = bytes.indexOf(ESCAPE, at + 1)) {
    const query = queryLength(bytes, at)
    if (query === "incomplete") incompleteBytes = bytes.length - at
    if (typeof query === "string") continue
    cleaned.set(bytes.subarray(kept, at), length)
    length += at - kept
    kept = at + query
    count++
  }
  cleaned.set(bytes.subarray(kept), length)
  return { cleaned: cleaned.subarray(0, length + bytes.length - kept), count, incompleteBytes }
}

const QUERIES = ["\x1b[6n", "\x1b[?6n"].map((query) => Uint8Array.from(Buffer.from(query)))

/** Length of the question there. */
const queryLength = (bytes: Uint8Array, at: number): number | "incomplete" | "none" => {
  for (const query of QUERIES) {
    let length = 0
    while (length < query.length && at + length < bytes.length && bytes[at + length] === query[length]) length++
    if (length === query.length) return length
    if (at + length === bytes.length) return "incomplete"
  }
  return "none"
}
