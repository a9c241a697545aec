/**
 * Cuts the bytes of one connection into the engine's messages: a length (LEB128, at most FRAME_BYTES_MAX), then as many
 * bytes. GuardedServer.ts uses it, so that the decoder behind sees whole messages only and what has come of an unfinished
 * one is counted. Of a message it looks at the beginning alone, which is the same for all of them: rubbish that happens to
 * begin with a possible length is not waited for.
 */

/** Seven bits a byte: five hold any length that is allowed, and a longer one need not be read to its end. */
const LENGTH_BYTES_MAX = 5
/** First room for an unfinished message, and how it grows as bytes come: a length that is only claimed costs nothing. */
const ROOM_BYTES_MIN = 1024
const ROOM_GROWTH = 4

export interface SplitResult {
  readonly messages: ReadonlyArray<Uint8Array>
  /** Why nothing more can be read from this connection; undefined when all is well. */
  readonly refusal?: string
}

export class MessageSplitter {
  /** The beginning of a message whose end has not come, with its length prefix. */
  #room: Uint8Array = NOTHING
  #used = 0
  readonly #beginning: Uint8Array

  /** `beginning`: what every message has behind its length. */
  constructor(beginning: Uint8Array) {
    this.#beginning = beginning
  }

  /** Memory that the unfinished message takes. */
  get heldBytes(): number {
    return this.#room.byteLength
  }

  /** A message is given as it lies in `chunk` when all of it does, so the chunk must not be changed afterwards. */
  push(chunk: Uint8Array, messageBytesMax: number): SplitResult {
    const messages: Array<Uint8Array> = []
    let at = 0
    while (at < chunk.byteLength) {
      if (this.#used === 0) {
        const length = messageLength(chunk, at, chunk.byteLength, messageBytesMax)
        if (typeof length === "string") return { messages, refusal: length }
        if (length > 0 && length <= chunk.byteLength - at) {
          messages.push(chunk.subarray(at, at + length))
          at += length
          continue
        }
      }
      // Up to the end of the length, then up to the end of the message.
      const known = messageLength(this.#room, 0, this.#used, messageBytesMax)
      if (typeof known === "string") return { messages, refusal: known }
      const wanted = known === 0 ? 1 : Math.min(known - this.#used, chunk.byteLength - at)
      this.#append(chunk.subarray(at, at + wanted), known)
      at += wanted
      if (known > 0 && !this.#beginsWell()) return { messages, refusal: "this is no message of the protocol" }
      if (known > 0 && this.#used === known) {
        messages.push(this.#room.subarray(0, this.#used))
        this.#room = NOTHING
        this.#used = 0
      }
    }
    return { messages }
  }

  /** As far as it has come. */
  #beginsWell(): boolean {
    let at = 0
    while (this.#room[at]! >= 0x80) at++
    const body = this.#room.subarray(at + 1, this.#used)
    return this.#beginning.subarray(0, body.byteLength).every((byte, index) => body[index] === byte)
  }

  #append(bytes: Uint8Array, known: number): void {
    const needed = this.#used + bytes.byteLength
    if (needed > this.#room.byteLength) {
      const grown = Math.max(ROOM_BYTES_MIN, needed, this.#room.byteLength * ROOM_GROWTH)
      const room = new Uint8Array(known === 0 ? ROOM_BYTES_MIN : Math.min(known, grown))
      room.set(this.#room.subarray(0, this.#used))
      this.#room = room
    }
    this.#room.set(bytes, this.#used)
    this.#used = needed
  }
}

const NOTHING = new Uint8Array(0)

/** Bytes of the message that begins at `at`, with its length; 0 while the length is not complete; text when it is refused. */
const messageLength = (bytes: Uint8Array, at: number, end: number, messageBytesMax: number): number | string => {
  let length = 0
  for (let index = 0; at + index < end; index++) {
    if (index >= LENGTH_BYTES_MAX) return "the length of a message is not one"
    const byte = bytes[at + index]!
    length += (byte & 0x7f) * 128 ** index
    if (length > messageBytesMax) return `a message is at most ${messageBytesMax} bytes`
    if (byte < 0x80) return length === 0 ? "a message is empty" : index + 1 + length
  }
  return 0
}
