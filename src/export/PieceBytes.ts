/**
 * The bytes of a file on their way out: written one behind the other into memory that is handed on when it is full. Used by
 * the recording formats, whose output is as long as the session's: nothing is copied once it is written, and a file is
 * written in few large pieces.
 */

/** One write of a file: large enough that its cost does not count, small enough that several are no memory to speak of. */
const PIECE_BYTES = 1024 * 1024

export class PieceBytes {
  /** Where to write next, at `at`. Good until the next `room`. */
  bytes: Buffer = NOTHING
  at = 0
  #full: Array<Uint8Array> = []

  /** Makes sure that there is room for so many bytes. */
  room(bytesMax: number): void {
    if (this.bytes.length - this.at >= bytesMax) return
    this.#hand()
    // Memory of its own: whoever gets the piece may keep it.
    this.bytes = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, bytesMax))
  }

  add(data: Uint8Array): void {
    this.room(data.length)
    this.bytes.set(data, this.at)
    this.at += data.length
  }

  /** What is full; mostly nothing. */
  take(): Uint8Array {
    const full = this.#full
    if (full.length === 0) return NOTHING
    this.#full = []
    return full.length === 1 ? full[0]! : Buffer.concat(full)
  }

  /** Everything that is left. */
  end(): Uint8Array {
    this.#hand()
    return this.take()
  }

  #hand(): void {
    if (this.at > 0) this.#full.push(this.bytes.subarray(0, this.at))
    this.bytes = NOTHING
    this.at = 0
  }
}

const NOTHING = Buffer.alloc(0)
