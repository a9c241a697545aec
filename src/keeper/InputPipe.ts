/**
 * A FIFO from which programs of a session read what the host writes: a bounded queue before it, and an end of file that
 * is sure to be read. Used by Pipes. Bytes are applied once for each sequence and in order; the queue never blocks a
 * thread and never spins. It writes only in the same tick in which it saw that its descriptor is open.
 */
import { closeSync, writeSync } from "node:fs"
import { Socket } from "node:net"
import { makeFifo, unlinkFifo } from "./Fifo.ts"
import { libc } from "./Libc.ts"
import { OwnReader } from "./OwnReader.ts"
import { type HeldPipe, PIPE_QUEUED_BYTES_MAX, type PipeRequest } from "./PipeHost.ts"
import { INPUT_WRITE_BYTES_MAX } from "./PtyHost.ts"
import type { WriteResult } from "./WriteResult.ts"

/**
 * Looking again whether a program opened an ended pipe, for which the kernel has no event: one system call, doubled from
 * the first to the last, so that a program waits for its end of file at most as long again as we had to wait for it.
 */
const READER_LOOK_MILLIS_MIN = 1
const READER_LOOK_MILLIS_MAX = 50

export class InputPipe {
  readonly direction = "input"
  readonly #request: PipeRequest
  /**
   * Our own reader: while there is one, writing fails for nobody's absence, and what was written waits in the kernel for
   * a program that comes later. Closed once all is written and ended.
   */
  readonly #reader: OwnReader
  /** -1 once closed. */
  #writer: number
  /**
   * Waits until the kernel takes more, and owns #writer from then on. Made when the kernel did not take all for the
   * first time: most pipes have none.
   */
  #socket: Socket | undefined
  #queuedBytes = 0
  #inputSequence = 0
  #ended = false
  #closed = false
  #timer: NodeJS.Timeout | undefined

  /** Throws PipeError. */
  constructor(request: PipeRequest) {
    this.#request = request
    const [reader, writer] = makeFifo(request.path, ["read", "write"])
    this.#writer = writer!
    this.#reader = new OwnReader(reader!, request.path, writer!)
  }

  view(): HeldPipe {
    return {
      pipe: this.#request.pipe,
      direction: this.direction,
      path: this.#request.path,
      heldFrom: 0,
      bytes: 0,
      ended: this.#ended,
      inputSequence: this.#inputSequence
    }
  }

  write(sequence: number, bytes: Uint8Array): WriteResult {
    if (sequence <= this.#inputSequence) return { outcome: "repeated" }
    if (this.#ended) return { outcome: "closed" }
    if (bytes.length > INPUT_WRITE_BYTES_MAX || this.#queuedBytes + bytes.length > PIPE_QUEUED_BYTES_MAX) {
      return { outcome: "full" }
    }
    this.#inputSequence = sequence
    const written = this.#queuedBytes === 0 ? this.#writeNow(bytes) : 0
    if (written < bytes.length) this.#queue(bytes.slice(written))
    return { outcome: "applied" }
  }

  end(sequence: number): WriteResult {
    if (sequence <= this.#inputSequence) return { outcome: "repeated" }
    if (this.#ended) return { outcome: "closed" }
    this.#inputSequence = sequence
    this.#ended = true
    this.#endWhenWritten()
    return { outcome: "applied" }
  }

  /** Drops what is queued; a reader gets the end of file after what the kernel has. */
  close(): void {
    this.#closed = true
    this.#ended = true
    clearTimeout(this.#timer)
    this.#reader.close()
    this.#closeWriter()
    unlinkFifo(this.#request.path)
  }

  /** What the kernel takes at once, which is nearly everything: no copy, no wait for the event loop. */
  #writeNow(bytes: Uint8Array): number {
    if (this.#writer < 0 || this.#socket?.destroyed === true || bytes.length === 0) return 0
    try {
      return writeSync(this.#writer, bytes)
    } catch {
      // EAGAIN: it is full. Anything else will be said again to whoever waits for it to take more.
      return 0
    }
  }

  #queue(bytes: Uint8Array): void {
    if (this.#socket === undefined) {
      this.#socket = new Socket({ fd: this.#writer, readable: false, writable: true })
      // Our own reader excludes EPIPE, the only failure there is.
      this.#socket.on("error", () => {})
    }
    this.#queuedBytes += bytes.length
    this.#socket.write(bytes, () => {
      this.#queuedBytes -= bytes.length
      this.#endWhenWritten()
    })
  }

  /**
   * Once all is in the kernel our reader goes, and the writer as soon as a program has opened the pipe: before that the
   * kernel would throw away what nobody has read, and a program that opens it would wait for a writer for ever.
   */
  #endWhenWritten(): void {
    if (!this.#ended || this.#closed || this.#queuedBytes > 0) return
    this.#reader.close()
    this.#awaitReader(READER_LOOK_MILLIS_MIN)
  }

  #awaitReader(millis: number): void {
    if (this.#socket?.destroyed === true || libc().hasReader(this.#writer)) {
      this.#closeWriter()
      return
    }
    this.#timer = setTimeout(() => this.#awaitReader(Math.min(millis * 2, READER_LOOK_MILLIS_MAX)), millis)
    this.#timer.unref()
  }

  #closeWriter(): void {
    if (this.#socket !== undefined) this.#socket.destroy()
    else if (this.#writer >= 0) closeSync(this.#writer)
    this.#writer = -1
  }
}
