/**
 * Terminal I/O as messages of tlog's JSON format 2.3 (tlog's doc/log_format.md), byte for byte: what is UTF-8 stands as text, what
 * is not as numbers beside it. A message holds at most so much that any log takes it as one line. TlogExport.ts writes
 * them; Debian's tlog-play reads them. Pure.
 */
import { characterLength, incompleteTail } from "../../projections/utf8.ts"
import { escapeJson } from "../SafeText.ts"

/** Bytes of a message's five fields of data as they stand in the file: tlog's own default, and what syslog takes. */
export const TLOG_PAYLOAD_BYTES_MAX = 2048
/** Of one message: tlog's own default of what it holds back, so that the time of a message is that of its text. */
const MESSAGE_MILLIS_MAX = 10_000
/** Milliseconds that a message may stand behind the beginning (tlog's limit: 2^31 seconds). */
const POSITION_MILLIS_MAX = 2_147_483_647_999
/** What one character, or one sequence that is none, may add to a message: `\ud83d\ude00`, `,255` four times, two new timing tokens with a delay. */
const ADDED_BYTES_MAX = 64

export interface TlogHead {
  readonly host: string
  /** Names the recording; the same in all its messages. */
  readonly rec: string
  readonly user: string
  readonly term: string
  /** Of the audit; from 1. 4294967295: none. */
  readonly session: number
  /** When the recording begins, in milliseconds since 1970. */
  readonly beganMillis: number
}

interface Channel {
  /** Of a count of characters, and of characters that stand for bytes. */
  readonly text: string
  readonly binary: string
  /** Bytes that begin a character. */
  held: Uint8Array
  txt: Array<string>
  bin: Array<string>
}

const channel = (text: string, binary: string): Channel => ({
  text,
  binary,
  held: new Uint8Array(0),
  txt: [],
  bin: []
})

/** One recording. Each method gives back the messages that are complete now: lines with their line feeds, or "". */
export class TlogMessages {
  readonly #head: TlogHead
  readonly #payloadBytesMax: number
  readonly #input = channel("<", "[")
  readonly #output = channel(">", "]")
  #id = 0
  #size: { readonly cols: number; readonly rows: number } | undefined
  /** Milliseconds since the beginning: of the message, and of the last thing in it. */
  #position = 0
  #now = 0
  #timing = ""
  /** What is being counted, and not yet in #timing: what it is, characters, bytes. */
  #run: { readonly token: string; characters: number; bytes: number } | undefined
  #payloadBytes = 0
  #isEmpty = true

  constructor(head: TlogHead, options: { readonly payloadBytesMax?: number } = {}) {
    this.#head = head
    this.#payloadBytesMax = options.payloadBytesMax ?? TLOG_PAYLOAD_BYTES_MAX
  }

  /** Times are milliseconds since the beginning, and never go back. */
  output(millis: number, data: Uint8Array): string {
    return this.#bytes(this.#output, millis, data)
  }

  input(millis: number, data: Uint8Array): string {
    return this.#bytes(this.#input, millis, data)
  }

  resize(millis: number, size: { readonly cols: number; readonly rows: number }): string {
    if (this.#size?.cols === size.cols && this.#size.rows === size.rows) return ""
    const complete = this.#begin(millis)
    this.#size = size
    this.#token(`=${size.cols}x${size.rows}`)
    return complete
  }

  end(): string {
    let complete = ""
    for (const one of [this.#input, this.#output]) {
      if (one.held.length === 0) continue
      const held = one.held
      one.held = new Uint8Array(0)
      complete += this.#begin(this.#now)
      this.#invalid(one, held)
    }
    return complete + this.#flush()
  }

  #bytes(one: Channel, millis: number, data: Uint8Array): string {
    const bytes = one.held.length === 0 ? data : Buffer.concat([one.held, data])
    const end = bytes.length - incompleteTail(bytes)
    let complete = ""
    for (let at = 0; at < end; ) {
      complete += this.#begin(millis)
      const plain = plainLength(bytes, at, Math.min(end, at + Math.max(1, this.#room())))
      const length = plain > 0 ? plain : characterLength(bytes, at)
      if (length > 0) this.#text(one, bytes.subarray(at, at + length), plain > 0 ? plain : 1)
      else this.#invalid(one, bytes.subarray(at, at + brokenLength(bytes, at, end)))
      at += length > 0 ? length : brokenLength(bytes, at, end)
    }
    one.held = bytes.slice(end)
    return complete
  }

  /** The message that what happens now becomes part of, and how long after what is in it. */
  #begin(millis: number): string {
    const now = Math.min(Math.max(this.#now, Math.floor(millis)), POSITION_MILLIS_MAX)
    const complete = this.#room() < 0 || now - this.#position > MESSAGE_MILLIS_MAX ? this.#flush() : ""
    if (this.#isEmpty) {
      this.#isEmpty = false
      this.#position = now
      if (this.#size !== undefined) this.#token(`=${this.#size.cols}x${this.#size.rows}`)
    } else if (now > this.#now) this.#token(`+${now - this.#now}`)
    this.#now = now
    return complete
  }

  /** Bytes that the message takes whatever they are. */
  #room(): number {
    return this.#payloadBytesMax - ADDED_BYTES_MAX - this.#payloadBytes - this.#timing.length
  }

  /** So many whole characters; of several, each is written as it is. */
  #text(one: Channel, bytes: Uint8Array, characters: number): void {
    const code = bytes[0]!
    const text =
      characters > 1
        ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")
        : code < 0x80
          ? ESCAPED[code]!
          : escapeJson(decoder.decode(bytes))
    one.txt.push(text)
    this.#payloadBytes += Math.max(text.length, bytes.length)
    this.#count(one.text, characters, 0)
  }

  /** One sequence of bytes that is no character. */
  #invalid(one: Channel, bytes: Uint8Array): void {
    one.txt.push("\ufffd")
    this.#payloadBytes += 3
    for (const byte of bytes) {
      one.bin.push(String(byte))
      this.#payloadBytes += 4
    }
    this.#count(one.binary, 1, bytes.length)
  }

  #count(token: string, characters: number, bytes: number): void {
    if (this.#run?.token === token) {
      this.#run.characters += characters
      this.#run.bytes += bytes
      return
    }
    this.#endRun()
    this.#run = { token, characters, bytes }
  }

  #endRun(): void {
    const run = this.#run
    if (run === undefined) return
    this.#run = undefined
    const isText = run.token === this.#input.text || run.token === this.#output.text
    this.#timing += isText ? `${run.token}${run.characters}` : `${run.token}${run.characters}/${run.bytes}`
  }

  #token(token: string): void {
    this.#endRun()
    this.#timing += token
  }

  #flush(): string {
    if (this.#isEmpty) return ""
    this.#endRun()
    const { beganMillis, host, rec, session, term, user } = this.#head
    const line =
      `{"ver":"2.3","host":${json(host)},"rec":${json(rec)},"user":${json(user)},"term":${json(term)},` +
      `"session":${session},"id":${++this.#id},"pos":${this.#position},` +
      `"time":${((beganMillis + this.#position) / 1000).toFixed(3)},"timing":"${this.#timing}",` +
      `"in_txt":"${this.#input.txt.join("")}","in_bin":[${this.#input.bin.join(",")}],` +
      `"out_txt":"${this.#output.txt.join("")}","out_bin":[${this.#output.bin.join(",")}]}\n`
    for (const one of [this.#input, this.#output]) {
      one.txt = []
      one.bin = []
    }
    this.#timing = ""
    this.#payloadBytes = 0
    this.#isEmpty = true
    return line
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const json = (text: string): string => escapeJson(JSON.stringify(text))

const ESCAPED: ReadonlyArray<string> = Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code)
  if (code === 0x7f) return "\\u007f"
  return JSON.stringify(character).slice(1, -1)
})

/** Bytes from `at` on that JSON writes as they are. */
const plainLength = (bytes: Uint8Array, at: number, end: number): number => {
  let to = at
  while (to < end && bytes[to]! >= 0x20 && bytes[to]! < 0x7f && bytes[to] !== 0x22 && bytes[to] !== 0x5c) to++
  return to - at
}

/** How many bytes from `at` on are a character's as far as they go: the whole of one, or what an error replaces (at least 1). */
const brokenLength = (bytes: Uint8Array, at: number, end: number): number => {
  const first = bytes[at]!
  const length = expectedLength(first)
  let count = 1
  while (count < length && at + count < end && isContinuation(first, count, bytes[at + count]!)) count++
  return count
}

const expectedLength = (first: number): number =>
  first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0

const isContinuation = (first: number, index: number, byte: number): boolean => {
  const low = index > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = index > 1 ? 0xbf : first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  return byte >= low && byte <= high
}
