/**
 * A FIFO into which programs of a session write and from which the host reads: what it read and nobody acknowledged yet,
 * how far that was delivered, and whether the last program has closed it. Used by Pipes. Deliveries are in order and
 * contiguous, the end comes after everything. Above PIPE_HELD_BYTES_HIGH it stops reading, and the kernel makes the
 * writers wait: no byte is ever dropped but by `close`.
 */
import { closeSync } from "node:fs"
import { Socket } from "node:net"
import { makeFifo, unlinkFifo } from "./Fifo.ts"
import { HeldBytes } from "./HeldBytes.ts"
import type { Gate } from "./HeldTerminal.ts"
import { type HeldPipe, PIPE_HELD_BYTES_HIGH, PIPE_HELD_BYTES_LOW, type PipeRequest } from "./PipeHost.ts"
import { OUTPUT_CHUNK_BYTES_MAX, type PtyHostListener, type SpawnRequest } from "./PtyHost.ts"

/**
 * Read in one call, for all pipes: libuv reads and calls back in one go, and the bytes are copied out before the next.
 * A full pipe holds 64 KiB; the rest of it is the next read, so that each read is one delivery.
 */
const scratch = Buffer.allocUnsafeSlow(OUTPUT_CHUNK_BYTES_MAX)

/**
 * Small outputs that follow each other share a piece of memory. It grows with what the pipe has carried: most pipes
 * carry a line or two, and a thousand of them must not cost a hundred megabytes.
 */
const SLAB_BYTES_MIN = 4 * 1024
const SLAB_BYTES_MAX = 2 * OUTPUT_CHUNK_BYTES_MAX

export class OutputPipe {
  readonly direction = "output"
  readonly #request: PipeRequest
  readonly #session: SpawnRequest["session"]
  readonly #listener: PtyHostListener
  readonly #gate: Gate
  readonly #held = new HeldBytes()
  readonly #socket: Socket
  #slab: Buffer<ArrayBuffer> = Buffer.alloc(0)
  #slabAt = 0
  /** Of a pipe that stays; else -1. */
  #writer: number
  #paused = false
  #delivering = true
  #deliveredTo = 0
  #ended = false
  #endDelivered = false
  #closed = false

  /**
   * Throws PipeError. The reading end is opened before any program can open the other: the kernel then reports a hang-up
   * only once a first writer has come and all have gone, so that a pipe waits for its first writer and ends with its
   * last one. A writing end of our own, the usual way to wait, would never let it end.
   */
  constructor(session: SpawnRequest["session"], request: PipeRequest, listener: PtyHostListener, gate: Gate) {
    this.#session = session
    this.#request = request
    this.#listener = listener
    this.#gate = gate
    const [fd, writer] = makeFifo(request.path, request.stays === true ? ["read", "write"] : ["read"])
    this.#writer = writer ?? -1
    try {
      this.#socket = new Socket({
        fd: fd!,
        readable: true,
        writable: false,
        onread: {
          buffer: scratch,
          callback: (bytes) => {
            this.#onRead(bytes)
            return !this.#paused
          }
        }
      })
    } catch (error) {
      closeSync(fd!)
      this.#closeWriter()
      unlinkFifo(request.path)
      throw error
    }
    // Reading a FIFO does not fail; if it ever did, nothing more could come. `close` follows each error.
    this.#socket.on("error", () => {})
    this.#socket.on("end", () => this.#finish())
    this.#socket.on("close", () => this.#finish())
    this.#socket.resume()
  }

  view(): HeldPipe {
    return {
      pipe: this.#request.pipe,
      direction: this.direction,
      path: this.#request.path,
      heldFrom: this.#held.from,
      bytes: this.#held.to,
      ended: this.#ended,
      inputSequence: 0
    }
  }

  attach(fromOffset: number): void {
    this.#delivering = true
    this.#deliveredTo = Math.min(Math.max(fromOffset, this.#held.from), this.#held.to)
    this.#endDelivered = false
    // After the answer to the attach, so that its receiver knows from where.
    setImmediate(() => this.deliver())
  }

  detach(): void {
    this.#delivering = false
  }

  /** What was held back by the gate or is delivered again. */
  deliver(): void {
    while (this.#isTaken() && this.#deliveredTo < this.#held.to) {
      const offset = this.#deliveredTo
      const bytes = this.#held.pieceAt(offset)
      if (bytes === undefined) return
      this.#deliveredTo = offset + bytes.length
      this.#listener.pipeOutput(this.#session, this.#request.pipe, offset, bytes)
    }
    this.#deliverEnd()
  }

  ack(offset: number): void {
    this.#held.forget(offset)
    if (!this.#paused || this.#held.size >= PIPE_HELD_BYTES_LOW) return
    this.#paused = false
    if (!this.#socket.destroyed) this.#socket.resume()
  }

  /** Whoever writes from now on gets SIGPIPE. Nothing is delivered after this. */
  close(): void {
    this.#closed = true
    this.#socket.destroy()
    this.#closeWriter()
    unlinkFifo(this.#request.path)
  }

  #closeWriter(): void {
    if (this.#writer >= 0) closeSync(this.#writer)
    this.#writer = -1
  }

  #onRead(bytes: number): void {
    if (this.#closed || bytes === 0) return
    if (this.#slab.length - this.#slabAt < bytes) {
      const room = Math.min(Math.max(this.#held.to, SLAB_BYTES_MIN), SLAB_BYTES_MAX)
      this.#slab = Buffer.allocUnsafeSlow(Math.max(room, bytes))
      this.#slabAt = 0
    }
    const start = this.#slabAt
    this.#slabAt += scratch.copy(this.#slab, start, 0, bytes)
    const piece = this.#slab.subarray(start, this.#slabAt)
    const offset = this.#held.to
    this.#held.push(piece)
    if (this.#isTaken() && this.#deliveredTo === offset) {
      this.#deliveredTo = this.#held.to
      this.#listener.pipeOutput(this.#session, this.#request.pipe, offset, piece)
    }
    // Asked last: a receiver may have acknowledged within the call.
    if (this.#held.size > PIPE_HELD_BYTES_HIGH && !this.#paused) {
      this.#paused = true
      this.#socket.pause()
    }
  }

  /** The descriptor goes with the end: what opens the path again is no part of this pipe. */
  #finish(): void {
    if (this.#ended || this.#closed) return
    this.#ended = true
    this.#socket.destroy()
    this.#closeWriter()
    this.#deliverEnd()
  }

  #deliverEnd(): void {
    if (!this.#ended || this.#endDelivered || !this.#isTaken() || this.#deliveredTo !== this.#held.to) return
    this.#endDelivered = true
    this.#listener.pipeEnded(this.#session, this.#request.pipe, this.#held.to)
  }

  #isTaken(): boolean {
    return this.#delivering && this.#gate.open && !this.#closed
  }
}
