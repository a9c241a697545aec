/**
 * Whether the entries of a backup are ones that reprise wrote, one after the other in the order of their keys. Stricter than
 * reading, which passes on what a later version may have meant: what is imported is served for ever, so anything unknown is
 * refused, by the number of its record. It reads nothing itself.
 */
import { removedTo } from "../../journal/EntryCheck.ts"
import { STORE_STREAM } from "../../journal/Event.ts"
import * as Keys from "../../journal/Keys.ts"
import * as Record from "../../journal/Record.ts"
import { BackupRefused } from "./CareError.ts"

/** Year 10,000: no clock is there, and ISO 8601 ends there. */
const TIME_MICROS_MAX = 253_402_300_800_000_000
/** Envelope and two labels. */
const ENVELOPE_BYTES_MAX = 14 + 2 + 2 * Record.LABEL_LENGTH_MAX
/** OutputReceived, InputWritten, InputHidden. */
const KIND_IO_MAX = 3
/** What a session begins with: SessionCreated, or EventsRemoved in the place of what was removed. */
const KINDS_FIRST = new Set([16, 41])
const KIND_REMOVED = 41

export class RecordCheck {
  readonly #backup: string
  #record = 0
  #stream = ""
  #head = 0
  /** Of the stream that is being read: its beginning was removed. */
  #hasRemoval = false

  constructor(backup: string) {
    this.#backup = backup
  }

  /** Throws BackupRefused. */
  add(key: Uint8Array, value: Uint8Array): void {
    this.#record++
    if (key[0] === Keys.ROW_PREFIX) {
      this.#stream = ""
      if (value.byteLength > Record.RARE_RECORD_BYTES_MAX + 4) throw this.refuse(`a row of ${value.byteLength} bytes`)
      return
    }
    if (!Keys.isEventKey(key)) {
      this.#stream = ""
      throw this.refuse(`a key of ${key.byteLength} bytes is no event's`)
    }
    const stream = Keys.streamOf(key)
    if (stream !== this.#stream) {
      this.#stream = stream
      this.#head = 0
      this.#hasRemoval = false
    }
    const sequence = Keys.sequenceOf(key)
    if (!Number.isSafeInteger(sequence)) throw this.refuse(`sequence ${sequence} cannot be`)
    // Events that were removed on purpose may still be there; nobody reads them.
    if (this.#hasRemoval && sequence > 1 && sequence <= this.#head) return
    const kind = value[5] ?? 0
    const bytesMax = kind <= KIND_IO_MAX ? Record.RECORD_BYTES_MAX : Record.RARE_RECORD_BYTES_MAX + ENVELOPE_BYTES_MAX
    if (value.byteLength > bytesMax)
      throw this.refuse(`${value.byteLength} bytes; a record of its kind has at most ${bytesMax}`)
    const damage = Record.damageOf(key, value)
    if (damage !== undefined) throw this.refuse(damage)
    if (value[4] !== Record.FORMAT_VERSION) {
      throw this.refuse(
        `format version ${value[4]} is not known, this version reads ${Record.FORMAT_VERSION}; use a newer reprise`
      )
    }
    const { event, timeMicros } = Record.decodeRecord(sequence, value)
    if (timeMicros > TIME_MICROS_MAX) throw this.refuse(`its time ${timeMicros} lies behind the year 9999`)
    if (sequence !== this.#head + 1 && sequence > this.#head) {
      throw this.refuse(`sequence ${sequence} follows ${this.#head}: events are missing`)
    }
    if (sequence < 1 || sequence <= this.#head) throw this.refuse(`sequence ${sequence} does not follow ${this.#head}`)
    if (event._tag === "Unknown" && kind !== KIND_REMOVED) {
      throw this.refuse(`kind ${kind} is not known, or not of the shape that this version knows; use a newer reprise`)
    }
    if (sequence === 1 && stream !== STORE_STREAM && !KINDS_FIRST.has(kind)) {
      throw this.refuse("a session does not begin with its creation")
    }
    if (sequence === 1) this.#hasRemoval = kind === KIND_REMOVED
    this.#head = Math.max(this.#head, sequence === 1 && this.#hasRemoval ? removedTo(value) : sequence)
  }

  /** As what `add` throws, of the record that was looked at last. */
  refuse(reason: string): BackupRefused {
    return new BackupRefused({ backup: this.#backup, session: this.#stream, record: this.#record, reason })
  }
}
