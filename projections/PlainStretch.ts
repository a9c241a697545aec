/**
 * Finds output that need not be drawn because what follows it scrolls all of it away. Screen.ts asks; programs that
 * print logs are drawn many times faster. It only looks at bytes, and is on the careful side: what it does not know as
 * harmless ends the stretch.
 *
 * **Why leaving out is exact.** A stretch holds text, control characters that move the cursor or nothing, colours (SGR)
 * and erasing in the line (EL): beside cells and cursor it changes only the colours. In a terminal whose margins are the
 * whole screen every line feed at the bottom gives a new line. If the end of the stretch has as many line feeds as the
 * terminal has lines, and at most a screen more to get to the bottom, every line there is in the end is new since that
 * part began; it begins with CR LF, so the column is known; and the colours are those that the sequences before it left.
 */

/** Where to go on drawing, and the colour sequences to run before. */
export interface Skip {
  readonly from: number
  readonly colors: ReadonlyArray<Uint8Array>
}

/** Bytes left out that are worth looking for. */
const SKIP_BYTES_MIN = 8 * 1024
/** Bytes of one colour sequence's parameters; longer ones end the stretch. */
const PARAMETERS_BYTES_MAX = 64

/** Bytes looked at one by one before the runtime searches. */
const NEAR_BYTES = 64

const LF = 0x0a
const CR = 0x0d
const SO = 0x0e
const SI = 0x0f
const ESC = 0x1b
const FINAL_SGR = 0x6d
const FINAL_EL = 0x4b

/** Looks through one piece of output from front to back. */
export class PlainStretches {
  readonly #bytes: Uint8Array
  /** Where the next of each is, so that no byte is searched twice. */
  readonly #next = new Map<number, number>()

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** One past the stretch that begins at `from`, where the terminal is between two sequences. */
  end(from: number): number {
    const limit = Math.min(this.#nextOf(SO, from), this.#nextOf(SI, from), this.#nextControl(from))
    let at = this.#nextOf(ESC, from)
    while (at < limit) {
      const to = sequenceEnd(this.#bytes, at)
      if (to === undefined) return at
      at = this.#nextEscape(to)
    }
    return limit
  }

  /** Colours stand close together: the next one is a few bytes on, where a search by the runtime costs more than it saves. */
  #nextEscape(from: number): number {
    const bytes = this.#bytes
    const near = Math.min(from + NEAR_BYTES, bytes.length)
    for (let at = from; at < near; at++) if (bytes[at] === ESC) return at
    return this.#nextOf(ESC, near)
  }

  /** What can be left out of the stretch from `from` to `to` in a terminal that has `lineFeeds` to be scrolled by. */
  skip(from: number, to: number, lineFeeds: number): Skip | undefined {
    const bytes = this.#bytes
    if (to - from < SKIP_BYTES_MIN) return undefined
    let at = to
    for (let left = lineFeeds; left > 0; left--) {
      at = at <= from ? -1 : bytes.lastIndexOf(LF, at - 1)
      if (at < from) return undefined
    }
    while (at > from && bytes[at - 1] !== CR) {
      at = bytes.lastIndexOf(LF, at - 1)
    }
    if (at - 1 - from < SKIP_BYTES_MIN) return undefined
    return { from: at - 1, colors: this.#colors(from, at - 1) }
  }

  /** The colour sequences of a stretch from the last one on that begins with a reset. */
  #colors(from: number, to: number): ReadonlyArray<Uint8Array> {
    const bytes = this.#bytes
    const colors: Array<Uint8Array> = []
    let at = bytes.lastIndexOf(ESC, to - 1)
    while (at >= from) {
      const end = sequenceEnd(bytes, at)!
      if (bytes[end - 1] === FINAL_SGR) {
        colors.push(bytes.subarray(at, end))
        if (isReset(bytes, at)) break
      }
      if (at === 0) break
      at = bytes.lastIndexOf(ESC, at - 1)
    }
    return colors.reverse()
  }

  #nextOf(byte: number, from: number): number {
    const known = this.#next.get(byte)
    if (known !== undefined && known >= from) return known
    const found = this.#bytes.indexOf(byte, from)
    const next = found === -1 ? this.#bytes.length : found
    this.#next.set(byte, next)
    return next
  }

  /** A C1 control in its UTF-8 form (U+0080 to U+009F), or what may become one. */
  #nextControl(from: number): number {
    const bytes = this.#bytes
    const known = this.#next.get(0xc2)
    if (known !== undefined && known >= from) return known
    let at = bytes.indexOf(0xc2, from)
    while (at !== -1 && bytes[at + 1] !== undefined && bytes[at + 1]! >= 0xa0) at = bytes.indexOf(0xc2, at + 1)
    const next = at === -1 ? bytes.length : at
    this.#next.set(0xc2, next)
    return next
  }
}

/**
 * True when these bytes hold nothing but text and control characters that move the cursor or do nothing: after a look at
 * each by the runtime, so it costs a flood little. Bytes whose end may begin a C1 control are not plain.
 */
export const isPlain = (bytes: Uint8Array): boolean => {
  if (bytes.indexOf(ESC) !== -1 || bytes.indexOf(SO) !== -1 || bytes.indexOf(SI) !== -1) return false
  for (let at = bytes.indexOf(0xc2); at !== -1; at = bytes.indexOf(0xc2, at + 1)) {
    const next = bytes[at + 1]
    if (next === undefined || next < 0xa0) return false
  }
  return true
}

/** One past a complete SGR or EL at `at`; undefined for anything else. */
const sequenceEnd = (bytes: Uint8Array, at: number): number | undefined => {
  if (bytes[at + 1] !== 0x5b) return undefined
  for (let index = at + 2; index < at + 2 + PARAMETERS_BYTES_MAX; index++) {
    const byte = bytes[index]
    if (byte === FINAL_SGR || byte === FINAL_EL) return index + 1
    if (byte === undefined || byte < 0x30 || byte > 0x3b) return undefined
  }
  return undefined
}

/** `CSI m`, `CSI 0 m`, `CSI ; …` and `CSI 0 ; … m` forget all colours before. */
const isReset = (bytes: Uint8Array, at: number): boolean => {
  const first = bytes[at + 2]
  const second = bytes[at + 3]
  return first === FINAL_SGR || first === 0x3b || (first === 0x30 && (second === FINAL_SGR || second === 0x3b))
}
