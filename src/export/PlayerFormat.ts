/**
 * What an HTML export gives to the player in its page (player/): the output in parts, each of which can be drawn without
 * those before it, and an index of them. HtmlExport.ts writes it, player/PlayerFile.ts reads it, both of the same
 * version: nobody else relies on it. Pure, and of nothing but the language: it runs in Node and in a browser.
 *
 * A part is deflated and in base64: a header, its records, and the screen before the first of them (SnapshotCodec.ts).
 * A record: microseconds since the record before (the first: since the part's time), events since the record before,
 * both as varints; then 0, a length and that many bytes of output, or 1 and the columns and rows of a new size.
 */
import type { TerminalSize } from "../../journal/Event.ts"

/** Bytes of output in one page. Browsers open a page of this size in seconds; beyond it the page says where it ends. */
export const PLAYER_OUTPUT_BYTES_MAX = 64 * 1024 * 1024
/** Bytes of output in one part: what a seek draws at most, a few hundredths of a second. */
export const PART_BYTES_MAX = 128 * 1024
/** Records in one part: a session of single keystrokes has parts that are quick to read too. */
export const PART_RECORDS_MAX = 8192
/** Commands, markers and gaps that the page lists. */
export const MARKS_MAX = 20_000
/** Characters of a command or a marker in the page's list; the transcript has all of it. */
export const MARK_CHARACTERS_MAX = 300

export interface PartHeader {
  /** Of the part's first record, microseconds since the first event. */
  readonly time: number
  /** Events before the first record's. */
  readonly sequence: number
  readonly size: TerminalSize
}

/** A command, a marker, something that is missing, or that began anew. */
export interface PlayerMark {
  readonly kind: "command" | "marker" | "gap"
  /** Microseconds since the first event. */
  readonly time: number
  /** Records before it. */
  readonly record: number
  readonly text: string
  /** Of a command whose end is known: in words, and whether it is a success. */
  outcome?: string
  isGood?: boolean
  durationMicros?: number
}

export interface PlayerIndex {
  /** Of each part: the time of its first record, and the records before it. */
  readonly parts: ReadonlyArray<readonly [time: number, record: number]>
  readonly records: number
  /** When the last event happened, microseconds since the first. */
  readonly endTime: number
  /** When the first event happened, microseconds since 1970. */
  readonly startedAt: number
  readonly size: TerminalSize
  /** Lines that the emulator keeps above its screen. */
  readonly scrollback: number
  readonly marks: ReadonlyArray<PlayerMark>
  /** Marks beyond MARKS_MAX. */
  readonly marksLeftOut: number
  /** What is to be known of the whole page: that it was cut, that it shows commands and not a terminal. */
  readonly notices: ReadonlyArray<string>
}

const RECORD_OUTPUT = 0
const RECORD_SIZE = 1

/** What a record can take beside its output: five varints of at most 8 bytes. */
const RECORD_HEAD_BYTES_MAX = 40

/** Writes records into memory that grows with them. */
export class RecordWriter {
  #bytes = new Uint8Array(4096)
  #length = 0
  #records = 0
  #outputBytes = 0

  get records(): number {
    return this.#records
  }

  get outputBytes(): number {
    return this.#outputBytes
  }

  output(micros: number, events: number, data: Uint8Array): void {
    this.#begin(micros, events, RECORD_OUTPUT, data.length)
    this.#varint(data.length)
    this.#bytes.set(data, this.#length)
    this.#length += data.length
    this.#outputBytes += data.length
  }

  size(micros: number, events: number, { cols, rows }: TerminalSize): void {
    this.#begin(micros, events, RECORD_SIZE, 0)
    this.#varint(cols)
    this.#varint(rows)
  }

  /** What was written, and begins anew. */
  take(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#length)
    this.#length = 0
    this.#records = 0
    this.#outputBytes = 0
    return bytes
  }

  #begin(micros: number, events: number, kind: number, bytes: number): void {
    const needed = this.#length + RECORD_HEAD_BYTES_MAX + bytes
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, this.#length))
      this.#bytes = grown
    }
    this.#varint(micros)
    this.#varint(events)
    this.#varint(kind)
    this.#records++
  }

  #varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }
}

export interface PlayerRecord {
  /** Microseconds since the first event. */
  readonly time: number
  /** The event it is of. */
  readonly sequence: number
  /** Output, or a new size. */
  readonly data: Uint8Array | undefined
  readonly size: TerminalSize | undefined
}

export const readRecords = (header: PartHeader, bytes: Uint8Array): ReadonlyArray<PlayerRecord> => {
  const records: Array<PlayerRecord> = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 0x80) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
  }
  let { sequence, time } = header
  while (at < bytes.length) {
    time += varint()
    sequence += varint()
    if (varint() === RECORD_SIZE) {
      records.push({ time, sequence, data: undefined, size: { cols: varint(), rows: varint() } })
    } else {
      const length = varint()
      records.push({ time, sequence, data: bytes.subarray(at, at + length), size: undefined })
      at += length
    }
  }
  return records
}
