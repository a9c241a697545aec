/** Reads numbers and slices of a byte array in order, as LevelDB writes them. Every step behind the end is a RangeError: damage must not read what lies elsewhere. */

export const readU32 = (bytes: Uint8Array, at: number): number => {
  if (at < 0 || at + 4 > bytes.byteLength) throw new RangeError("a number behind the end")
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

/** Every step behind the end is a RangeError. */
export class ByteReader {
  readonly #bytes: Uint8Array
  #at = 0
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }
  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.byteLength
  }
  /** Of the next byte. */
  get at(): number {
    return this.#at
  }
  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined || scale > 2 ** 63) throw new RangeError("a number behind the end")
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  slice(length: number): Uint8Array {
    const end = this.#at + length
    if (end > this.#bytes.byteLength) throw new RangeError("bytes behind the end")
    const slice = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return slice
  }
  byte(): number {
    return this.slice(1)[0]!
  }
  /** A place in a table, as an index names it. */
  handle(): { readonly offset: number; readonly size: number } {
    return { offset: this.varint(), size: this.varint() }
  }
}
