/**
 * Keeps a client's terminal from clearing the prompt when it is resized. A shell that marks its prompt (OSC 133;A) tells
 * the terminal that it will draw the prompt again by itself; the terminal then wipes it on every change of size. The
 * shell of a session hears of the change late or, when another client decides the size, not at all, and the prompt is
 * gone. This filter says `redraw=0` in each of these marks on their way to a client. The journal keeps the bytes as
 * they were; this is for showing only.
 *
 * Bytes come in any pieces. Nothing is held back but the beginning of a sequence that may still become such a mark.
 */

/** Bytes of a mark that are kept until it ends. A longer one is passed on as it is. */
const MARK_BYTES_MAX = 1024

const ESC = 0x1b
const BEL = 0x07
const CAN = 0x18
const SUB = 0x1a
const START = Buffer.from("\x1b]133;A")
const NOTHING = new Uint8Array(0)

export interface PromptMarkFilter {
  /** The bytes to show for `data`. Either `data` itself or memory of its own. */
  readonly feed: (data: Uint8Array) => Uint8Array
  /** What is held back, at the end of the stream. */
  readonly end: () => Uint8Array
}

export const makePromptMarkFilter = (): PromptMarkFilter => {
  let held: Uint8Array = NOTHING
  const feed = (data: Uint8Array): Uint8Array => {
    const bytes = held.length === 0 ? data : Buffer.concat([held, data])
    held = NOTHING
    const parts: Array<Uint8Array> = []
    let from = 0
    let at = bytes.indexOf(ESC)
    while (at !== -1) {
      const matched = matchedLength(bytes, at)
      if (matched === START.length) {
        const end = endOf(bytes, at + START.length)
        if (end === undefined) {
          if (bytes.length - at < MARK_BYTES_MAX) {
            held = bytes.slice(at)
            break
          }
        } else {
          const mark = end.isMark ? rewritten(bytes.subarray(at + START.length, end.at)) : undefined
          if (mark !== undefined) {
            parts.push(bytes.subarray(from, at), START, mark)
            from = end.at
          }
        }
      } else if (at + matched === bytes.length) {
        held = bytes.slice(at)
        break
      }
      at = bytes.indexOf(ESC, at + Math.max(matched, 1))
    }
    const to = bytes.length - held.length
    if (parts.length === 0) return from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)
    parts.push(bytes.subarray(from, to))
    return Buffer.concat(parts)
  }
  return {
    feed,
    end: () => {
      const rest = held
      held = NOTHING
      return rest
    }
  }
}

/** How many bytes from `at` on are those that begin a mark. */
const matchedLength = (bytes: Uint8Array, at: number): number => {
  let length = 0
  while (length < START.length && bytes[at + length] === START[length]) length++
  return length
}

/** Where the string ends (the place of BEL, or of the ESC of ST), and whether as a string does; undefined: not yet. */
const endOf = (bytes: Uint8Array, from: number): { readonly at: number; readonly isMark: boolean } | undefined => {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === BEL) return { at, isMark: true }
    if (byte === CAN || byte === SUB) return { at, isMark: false }
    if (byte === ESC) return at + 1 === bytes.length ? undefined : { at, isMark: bytes[at + 1] === 0x5c }
  }
  return undefined
}

/** The mark's parameters with `redraw=0`; undefined when they say so already, or it is another mark (`133;AB`). */
const rewritten = (parameters: Uint8Array): Uint8Array | undefined => {
  const text = Buffer.from(parameters).toString("latin1")
  if (text !== "" && !text.startsWith(";")) return undefined
  const kept = text.split(";").slice(1)
  const others = kept.filter((part) => !part.startsWith("redraw="))
  if (others.length + 1 === kept.length && kept.includes("redraw=0")) return undefined
  return Buffer.from(["", ...others, "redraw=0"].join(";"), "latin1")
}
