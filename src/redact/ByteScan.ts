/**
 * Reads a stream of terminal bytes, wherever it is cut, and hands on what is in it: characters, control characters, escape
 * sequences and strings (OSC, DCS, APC, PM, SOS), each character with the bytes that it was. Invalid UTF-8 is U+FFFD, as a
 * terminal shows it. It keeps nothing but the character or sequence that it is in.
 */

export interface ByteScanSink {
  readonly print: (code: number, from: number, to: number) => void
  /** C0 without ESC, and DEL. */
  readonly control: (code: number, from: number, to: number) => void
  readonly escape: (final: number) => void
  readonly sequence: (final: number, parameters: ReadonlyArray<number>, isPrivate: boolean) => void
  /** A string has begun; its kind is the byte behind ESC. */
  readonly stringStart: (kind: number) => void
  /** A byte of the string, which stands at `at`. */
  readonly stringByte: (byte: number, at: number) => void
  readonly stringEnd: () => void
}

const GROUND = 0
const ESCAPE = 1
const INTERMEDIATE = 2
const CSI = 3
const STRING = 4
const STRING_ESCAPE = 5
/** C2 in a string: with 9C it ends. */
const STRING_C2 = 6

const PARAMETER_BYTES_MAX = 64

export class ByteScan {
  readonly #sink: ByteScanSink
  #phase = GROUND
  #parameters = ""
  #needed = 0
  #bits = 0
  #lower = 0x80
  #upper = 0xbf
  #from = 0

  constructor(sink: ByteScanSink) {
    this.#sink = sink
  }

  /** Between characters and sequences: what comes next begins one. */
  get isGround(): boolean {
    return this.#phase === GROUND && this.#needed === 0
  }

  /** `base`: where the first byte stands in the stream. */
  feed(bytes: Uint8Array, base: number): void {
    for (let index = 0; index < bytes.length; index++) this.#byte(bytes[index]!, base + index)
  }

  end(): void {
    if (this.#phase >= STRING) this.#sink.stringEnd()
    this.#phase = GROUND
    this.#needed = 0
  }

  #byte(byte: number, at: number): void {
    switch (this.#phase) {
      case GROUND:
        this.#text(byte, at)
        return
      case ESCAPE:
        this.#escape(byte)
        return
      case INTERMEDIATE:
        if (byte === 0x1b) this.#phase = ESCAPE
        else if (byte > 0x2f || byte < 0x20) this.#phase = GROUND
        return
      case CSI:
        this.#csi(byte, at)
        return
      case STRING_ESCAPE:
        this.#endString()
        if (byte === 0x5c) return
        this.#phase = ESCAPE
        this.#escape(byte)
        return
      case STRING_C2:
        if (byte === 0x9c) {
          this.#endString()
          return
        }
        this.#phase = STRING
        this.#sink.stringByte(0xc2, at - 1)
        this.#byte(byte, at)
        return
      default:
        if (byte === 0x07 || byte === 0x18 || byte === 0x1a) {
          this.#endString()
          return
        }
        if (byte === 0x1b) this.#phase = STRING_ESCAPE
        else if (byte === 0xc2) this.#phase = STRING_C2
        else if (byte >= 0x20) this.#sink.stringByte(byte, at)
    }
  }

  #endString(): void {
    this.#phase = GROUND
    this.#sink.stringEnd()
  }

  #escape(byte: number): void {
    this.#phase = GROUND
    this.#parameters = ""
    if (byte === 0x5b) this.#phase = CSI
    else if (byte === 0x5d || byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f) this.#begin(byte)
    else if (byte === 0x1b) this.#phase = ESCAPE
    else if (byte >= 0x20 && byte <= 0x2f) this.#phase = INTERMEDIATE
    else if (byte >= 0x30 && byte < 0x7f) this.#sink.escape(byte)
  }

  #begin(kind: number): void {
    this.#phase = STRING
    this.#sink.stringStart(kind)
  }

  #csi(byte: number, at: number): void {
    if (byte === 0x1b) {
      this.#phase = ESCAPE
      return
    }
    if (byte < 0x20) {
      if (byte === 0x18 || byte === 0x1a) this.#phase = GROUND
      else this.#sink.control(byte, at, at + 1)
      return
    }
    if (byte < 0x40) {
      if (this.#parameters.length < PARAMETER_BYTES_MAX) this.#parameters += String.fromCharCode(byte)
      return
    }
    this.#phase = GROUND
    if (byte > 0x7e) return
    const text = this.#parameters
    const isPrivate = text.startsWith("?")
    const parameters = (isPrivate ? text.slice(1) : text).split(";").map((part) => Number.parseInt(part, 10) || 0)
    // Others than `?` are of other functions than those of the same letter.
    if (!/^[<=>]|[ -/]/.test(text)) this.#sink.sequence(byte, parameters, isPrivate)
  }

  #text(byte: number, at: number): void {
    if (this.#needed > 0) {
      if (byte >= this.#lower && byte <= this.#upper) {
        this.#bits = (this.#bits << 6) | (byte & 0x3f)
        this.#lower = 0x80
        this.#upper = 0xbf
        if (--this.#needed === 0) this.#character(this.#bits, at + 1)
        return
      }
      this.#needed = 0
      this.#sink.print(0xfffd, this.#from, at)
    }
    this.#from = at
    if (byte < 0x20 || byte === 0x7f) {
      if (byte === 0x1b) this.#phase = ESCAPE
      else this.#sink.control(byte, at, at + 1)
    } else if (byte < 0x7f) this.#sink.print(byte, at, at + 1)
    else if (byte >= 0xc2 && byte <= 0xdf) this.#start(1, byte & 0x1f, 0x80, 0xbf)
    else if (byte >= 0xe0 && byte <= 0xef)
      this.#start(2, byte & 0x0f, byte === 0xe0 ? 0xa0 : 0x80, byte === 0xed ? 0x9f : 0xbf)
    else if (byte >= 0xf0 && byte <= 0xf4)
      this.#start(3, byte & 0x07, byte === 0xf0 ? 0x90 : 0x80, byte === 0xf4 ? 0x8f : 0xbf)
    else this.#sink.print(0xfffd, at, at + 1)
  }

  #start(needed: number, bits: number, lower: number, upper: number): void {
    this.#needed = needed
    this.#bits = bits
    this.#lower = lower
    this.#upper = upper
  }

  #character(code: number, to: number): void {
    if (code >= 0xa0) {
      this.#sink.print(code, this.#from, to)
      return
    }
    // C1, in UTF-8.
    this.#parameters = ""
    if (code === 0x9b) this.#phase = CSI
    else if (code === 0x90 || code === 0x98 || code >= 0x9d) this.#begin(code - 0x40)
    else if (code === 0x84 || code === 0x85 || code === 0x8d) this.#sink.escape(code - 0x40)
  }
}
