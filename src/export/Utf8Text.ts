/**
 * Bytes of a stream, cut anywhere, as text in UTF-8: what a format of text keeps of them. A character that is cut waits for
 * its rest. Bytes that are no UTF-8 become U+FFFD, as the WHATWG decoder has it, and are counted: the text has lost them.
 * What is UTF-8, which is nearly all, is passed on as it is: no string is made of it.
 */
import { isUtf8 } from "node:buffer"
import { characterLength, incompleteTail } from "../../projections/utf8.ts"

const NOTHING = new Uint8Array(0)

export class Utf8Text {
  /** The beginning of a character: at most three bytes. */
  #begun: Uint8Array = NOTHING
  #invalidBytes = 0

  /** Bytes that are in no text this gave. */
  get invalidBytes(): number {
    return this.#invalidBytes
  }

  /** Of a character whose end has not come. */
  get waitingBytes(): number {
    return this.#begun.length
  }

  /** The characters that are complete now; may be none. */
  take(data: Uint8Array): Uint8Array {
    const bytes = this.#begun.length === 0 ? data : Buffer.concat([this.#begun, data])
    const tail = incompleteTail(bytes)
    // A copy: it must not keep a page of the journal in memory.
    this.#begun = tail === 0 ? NOTHING : Uint8Array.from(bytes.subarray(bytes.length - tail))
    return this.#checked(tail === 0 ? bytes : bytes.subarray(0, bytes.length - tail))
  }

  /** What is left of the stream at its end. */
  end(): Uint8Array {
    const bytes = this.#begun
    this.#begun = NOTHING
    return this.#checked(bytes)
  }

  #checked(bytes: Uint8Array): Uint8Array {
    if (isUtf8(bytes)) return bytes
    this.#invalidBytes += countInvalid(bytes)
    return Buffer.from(decoder.decode(bytes))
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Bytes that belong to no well-formed character. They are few: what is not text is looked at a byte at a time. */
const countInvalid = (bytes: Uint8Array): number => {
  let invalid = 0
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at)
    if (length === 0) invalid++
    at += Math.max(1, length)
  }
  return invalid
}
