/**
 * The way of input into one terminal: a bounded queue before the non-blocking master. node-pty's own writer goes on
 * writing to the number of a closed descriptor, which by then can be any file, and spins while a program does not read.
 * Used by GuardedPty. It writes only in the same tick in which it saw that the terminal is open, waits with a timer,
 * and drops what is queued when the program ends.
 */
import { writeSync } from "node:fs"
import { libc } from "./Libc.ts"
import { CANONICAL_LINE_BYTES_MAX, INPUT_QUEUED_BYTES_MAX } from "./PtyHost.ts"

/** The kernel takes about 15 KB of unread input, so there is nothing to gain from larger pieces. */
const WRITE_BYTES_MAX = 16 * 1024
/** Written in one turn of the event loop; then others get theirs. */
const TURN_BYTES_MAX = 128 * 1024
/** Waiting for a program that does not read: doubled from the first to the last, at the cost of ~1 % of a core. */
const RETRY_MILLIS_MIN = 1
const RETRY_MILLIS_MAX = 50

/** Looking again whether the terminal has an end of file: costs two system calls. */
const END_OF_FILE_RETRY_MILLIS = 50

const LINE_FEED = 10
const CARRIAGE_RETURN = 13
/** With the usual keys that send a line without its end (Ctrl-D) or throw it away (Ctrl-C, Ctrl-U, Ctrl-Z, Ctrl-\\). */
const LINE_ENDS: ReadonlySet<number> = new Set([LINE_FEED, CARRIAGE_RETURN, 3, 4, 21, 26, 28])

export interface InputTarget {
  readonly fd: number
  /** False once `fd` is closed or about to be: its number may mean another file in the next tick. */
  isOpen(): boolean
}

type Item = { bytes: Uint8Array; at: number } | "end-of-file"

export class InputWriter {
  readonly #target: InputTarget
  readonly #queue: Array<Item> = []
  #queuedBytes = 0
  #timer: NodeJS.Timeout | undefined
  #retryMillis = RETRY_MILLIS_MIN
  /** The last byte that went into the terminal: whether a line is unfinished. */
  #lastByte = LINE_FEED
  /** Bytes since the last end of line, queued ones included; only counted in line mode. */
  #lineBytes = 0

  constructor(target: InputTarget) {
    this.#target = target
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** False when the queue has no room for all of it; then none of it is taken. */
  write(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true
    if (this.#queuedBytes + bytes.length > INPUT_QUEUED_BYTES_MAX) return false
    const item = { bytes, at: 0 }
    this.#queue.push(item)
    this.#queuedBytes += bytes.length
    // While the timer runs, the terminal was full a moment ago: trying at each write would be the spin it prevents.
    if (this.#timer === undefined) this.#pump()
    // The caller may use its buffer again; what goes out at once, which is nearly everything, needs no copy.
    if (item.at < bytes.length) item.bytes = Uint8Array.from(bytes)
    return true
  }

  /** End-of-file after all that is queued. */
  end(): void {
    this.#queue.push("end-of-file")
    if (this.#timer === undefined) this.#pump()
  }

  /** Whether these bytes, written now in line mode, make a line longer than the kernel keeps. Counts them. */
  exceedsLine(bytes: Uint8Array, canonical: boolean): boolean {
    if (!canonical) {
      this.#lineBytes = 0
      return false
    }
    let exceeds = false
    for (const byte of bytes) {
      if (LINE_ENDS.has(byte)) this.#lineBytes = 0
      else if (++this.#lineBytes > CANONICAL_LINE_BYTES_MAX) exceeds = true
    }
    return exceeds
  }

  /** Nothing more reaches the terminal. */
  drop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#queue.length = 0
    this.#queuedBytes = 0
  }

  #pump(): void {
    this.#timer = undefined
    let budget = TURN_BYTES_MAX
    for (let item = this.#queue[0]; item !== undefined; item = this.#queue[0]) {
      // The check and the write stand in one tick: no close can come between.
      if (!this.#target.isOpen()) {
        this.drop()
        return
      }
      if (budget <= 0) {
        this.#later(0)
        return
      }
      if (item === "end-of-file") {
        if (!this.#hasEndOfFile()) {
          this.#later(END_OF_FILE_RETRY_MILLIS)
          return
        }
        const bytes = this.#endOfFile()
        this.#queue[0] = { bytes, at: 0 }
        this.#queuedBytes += bytes.length
        continue
      }
      const written = this.#writeSome(item.bytes, item.at)
      if (written < 0) {
        this.drop()
        return
      }
      if (written === 0) {
        this.#later(this.#retryMillis)
        this.#retryMillis = Math.min(this.#retryMillis * 2, RETRY_MILLIS_MAX)
        return
      }
      this.#retryMillis = RETRY_MILLIS_MIN
      item.at += written
      this.#queuedBytes -= written
      this.#lastByte = item.bytes[item.at - 1]!
      budget -= written
      if (item.at === item.bytes.length) this.#queue.shift()
    }
  }

  #later(millis: number): void {
    this.#timer = setTimeout(() => this.#pump(), millis)
  }

  /** Bytes written; 0 when the terminal takes none now; -1 when it takes none ever again. */
  #writeSome(bytes: Uint8Array, at: number): number {
    try {
      return writeSync(this.#target.fd, bytes, at, Math.min(bytes.length - at, WRITE_BYTES_MAX))
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EAGAIN" ? 0 : -1
    }
  }

  /**
   * In raw mode with echo the character would be data, and shown: a program between two modes, or one that wants every
   * byte. The end of input waits for a terminal that has one.
   */
  #hasEndOfFile(): boolean {
    const termios = libc().termios(this.#target.fd)
    return termios === null || termios.canonical || !termios.echo
  }

  /** In an unfinished line the first one only hands the line over; the next one, at its start, ends the input. */
  #endOfFile(): Uint8Array {
    const termios = libc().termios(this.#target.fd)
    const character = termios?.endOfFile ?? 4
    const finished = this.#lastByte === LINE_FEED || this.#lastByte === CARRIAGE_RETURN || this.#lastByte === character
    return termios?.canonical === true && !finished ? Uint8Array.of(character, character) : Uint8Array.of(character)
  }
}
