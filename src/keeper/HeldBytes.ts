/**
 * Output that was read and is not acknowledged yet: a contiguous stretch of one stream, kept as the pieces in which it
 * was read. Used by HeldTerminal and OutputPipe. It copies nothing and bounds nothing; whoever reads stops in time.
 */
import { OUTPUT_CHUNK_BYTES_MAX } from "./PtyHost.ts"

export class HeldBytes {
  /** Contiguous, from #from to #to. Pieces that lie side by side in memory are one: few, whatever comes. */
  readonly #pieces: Array<Uint8Array<ArrayBuffer>> = []
  #from: number
  #to: number

  constructor(firstOffset = 0) {
    this.#from = firstOffset
    this.#to = firstOffset
  }

  /** First byte still held. */
  get from(): number {
    return this.#from
  }

  /** Behind the last byte: the bytes of the stream so far. */
  get to(): number {
    return this.#to
  }

  get size(): number {
    return this.#to - this.#from
  }

  /** A program that writes byte by byte must not cost an object for each byte that is held. */
  push(bytes: Uint8Array<ArrayBuffer>): void {
    this.#to += bytes.length
    const last = this.#pieces.at(-1)
    if (
      last !== undefined &&
      last.buffer === bytes.buffer &&
      last.byteOffset + last.length === bytes.byteOffset &&
      last.length + bytes.length <= OUTPUT_CHUNK_BYTES_MAX
    ) {
      this.#pieces[this.#pieces.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + bytes.length)
    } else {
      this.#pieces.push(bytes)
    }
  }

  /** From `offset` on, as much as lies in one piece; undefined at the end and for what is not held any more. */
  pieceAt(offset: number): Uint8Array<ArrayBuffer> | undefined {
    let start = this.#from
    if (offset < start) return undefined
    for (const piece of this.#pieces) {
      if (start + piece.length > offset) return piece.subarray(offset - start)
      start += piece.length
    }
    return undefined
  }

  /** Everything before `offset` is durable elsewhere. An offset that was forgotten before, or is not there yet, does no harm. */
  forget(offset: number): void {
    const to = Math.min(offset, this.#to)
    let whole = 0
    for (const piece of this.#pieces) {
      if (this.#from + piece.length > to) break
      this.#from += piece.length
      whole += 1
    }
    if (whole > 0) this.#pieces.splice(0, whole)
    const first = this.#pieces[0]
    if (first !== undefined && to > this.#from) {
      this.#pieces[0] = first.subarray(to - this.#from)
      this.#from = to
    }
  }
}
