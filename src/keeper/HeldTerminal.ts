/**
 * One session as a host holds it: its terminal, the output that is not acknowledged yet, how far it was delivered, how
 * the program ended, and which input was applied last. Used by Terminals. Deliveries are in order and contiguous; the
 * leader's exit is delivered after the leader's output, the end of the terminal after everything. It never forgets a
 * byte that was not acknowledged, and pauses the program instead.
 */
import { GuardedPty } from "./GuardedPty.ts"
import type { HeldSession, LeaderExit, PtyHostListener, SpawnRequest, WriteResult } from "./PtyHost.ts"
import {
  INPUT_WRITE_BYTES_MAX,
  OUTPUT_CHUNK_BYTES_MAX,
  OUTPUT_HELD_BYTES_HIGH,
  OUTPUT_HELD_BYTES_LOW
} from "./PtyHost.ts"

/** Whether deliveries may go out now: a connection that takes no more closes the gate. */
export interface Gate {
  readonly open: boolean
}

export class HeldTerminal {
  readonly pty: GuardedPty
  readonly #session: SpawnRequest["session"]
  readonly #listener: PtyHostListener
  readonly #gate: Gate
  /** Contiguous, from #heldFrom to #outputBytes. Pieces that lie side by side in memory are one: few, whatever comes. */
  readonly #held: Array<Uint8Array<ArrayBuffer>> = []
  #heldFrom = 0
  #outputBytes = 0
  #delivering = true
  #deliveredTo = 0
  #leaderExit: LeaderExit | null = null
  /** The leader's output ends here at the latest: its exit is delivered from this offset on. */
  #leaderExitAt = 0
  #leaderExitDelivered = false
  #closed = false
  #closedDelivered = false
  #inputSequence = 0
  #size: SpawnRequest["size"]

  constructor(request: SpawnRequest, listener: PtyHostListener, gate: Gate, programUmask?: number) {
    this.#session = request.session
    this.#listener = listener
    this.#gate = gate
    this.#size = request.size
    this.pty = new GuardedPty(
      request,
      {
        output: (bytes) => this.#onOutput(bytes),
        leaderExited: (exit) => {
          this.#leaderExit = exit
          this.#leaderExitAt = this.#outputBytes
          this.#deliverEnds()
        },
        closed: () => {
          this.#closed = true
          this.#deliverEnds()
        }
      },
      programUmask
    )
  }

  view(): HeldSession {
    return {
      session: this.#session,
      pid: this.pty.pid,
      startTime: this.pty.startTime,
      heldFrom: this.#heldFrom,
      outputBytes: this.#outputBytes,
      inputSequence: this.#inputSequence,
      size: this.#size,
      leaderExit: this.#leaderExit,
      terminalClosed: this.#closed
    }
  }

  attach(fromOffset: number): void {
    this.#delivering = true
    this.#deliveredTo = Math.min(Math.max(fromOffset, this.#heldFrom), this.#outputBytes)
    this.#leaderExitDelivered = false
    this.#closedDelivered = false
    // After the answer to the attach, so that its receiver knows from where.
    setImmediate(() => this.deliver())
  }

  detach(): void {
    this.#delivering = false
  }

  /** What was held back by the gate or is delivered again. */
  deliver(): void {
    while (this.#delivering && this.#gate.open && this.#deliveredTo < this.#outputBytes) {
      const offset = this.#deliveredTo
      let pieceStart = this.#heldFrom
      let piece: Uint8Array | undefined
      for (piece of this.#held) {
        if (pieceStart + piece.length > offset) break
        pieceStart += piece.length
      }
      if (piece === undefined) return
      const bytes = piece.subarray(offset - pieceStart)
      this.#deliveredTo = offset + bytes.length
      this.#listener.output(this.#session, offset, bytes)
    }
    this.#deliverEnds()
  }

  ack(offset: number): void {
    const to = Math.min(offset, this.#outputBytes)
    let whole = 0
    for (const piece of this.#held) {
      if (this.#heldFrom + piece.length > to) break
      this.#heldFrom += piece.length
      whole += 1
    }
    if (whole > 0) this.#held.splice(0, whole)
    const first = this.#held[0]
    if (first !== undefined && to > this.#heldFrom) {
      this.#held[0] = first.subarray(to - this.#heldFrom)
      this.#heldFrom = to
    }
    if (this.#outputBytes - this.#heldFrom < OUTPUT_HELD_BYTES_LOW) this.pty.resume()
  }

  write(sequence: number, bytes: Uint8Array): WriteResult {
    if (sequence <= this.#inputSequence) return { outcome: "repeated" }
    if (bytes.length > INPUT_WRITE_BYTES_MAX) return { outcome: "full" }
    const result = this.pty.write(bytes)
    if (result.outcome === "applied") this.#inputSequence = sequence
    return result
  }

  closeInput(sequence: number): WriteResult {
    if (sequence <= this.#inputSequence) return { outcome: "repeated" }
    const outcome = this.pty.closeInput()
    if (outcome === "applied") this.#inputSequence = sequence
    return { outcome }
  }

  resize(size: SpawnRequest["size"]): void {
    this.#size = size
    this.pty.resize(size.cols, size.rows)
  }

  #onOutput(bytes: Uint8Array<ArrayBuffer>): void {
    const offset = this.#outputBytes
    this.#outputBytes += bytes.length
    this.#hold(bytes)
    if (this.#delivering && this.#gate.open && this.#deliveredTo === offset) {
      this.#deliveredTo = this.#outputBytes
      this.#listener.output(this.#session, offset, bytes)
    }
    // Asked last: a receiver may have acknowledged within the call.
    if (this.#outputBytes - this.#heldFrom > OUTPUT_HELD_BYTES_HIGH) this.pty.pause()
  }

  /** A program that writes byte by byte must not cost an object for each byte that is held. */
  #hold(bytes: Uint8Array<ArrayBuffer>): void {
    const last = this.#held.at(-1)
    if (
      last !== undefined &&
      last.buffer === bytes.buffer &&
      last.byteOffset + last.length === bytes.byteOffset &&
      last.length + bytes.length <= OUTPUT_CHUNK_BYTES_MAX
    ) {
      this.#held[this.#held.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + bytes.length)
    } else {
      this.#held.push(bytes)
    }
  }

  #deliverEnds(): void {
    if (!this.#delivering || !this.#gate.open) return
    if (this.#leaderExit !== null && !this.#leaderExitDelivered && this.#deliveredTo >= this.#leaderExitAt) {
      this.#leaderExitDelivered = true
      this.#listener.leaderExited(this.#session, this.#leaderExit)
    }
    if (this.#closed && !this.#closedDelivered && this.#deliveredTo === this.#outputBytes) {
      this.#closedDelivered = true
      this.#listener.terminalClosed(this.#session, this.#outputBytes)
    }
  }
}
