/**
 * One session as a host holds it: its terminal, the output that is not acknowledged yet, how far it was delivered, how
 * the program ended, and which input was applied last. Used by Terminals. Deliveries are in order and contiguous; the
 * leader's exit is delivered after the leader's output, the end of the terminal after everything. It never forgets a
 * byte that was not acknowledged, and pauses the program instead.
 */
import { GuardedPty } from "./GuardedPty.ts"
import { HeldBytes } from "./HeldBytes.ts"
import type { HeldSession, LeaderExit, PtyHostListener, SpawnRequest } from "./PtyHost.ts"
import { INPUT_WRITE_BYTES_MAX, OUTPUT_HELD_BYTES_HIGH, OUTPUT_HELD_BYTES_LOW } from "./PtyHost.ts"
import type { WriteResult } from "./WriteResult.ts"

/** Whether deliveries may go out now: a connection that takes no more closes the gate. */
export interface Gate {
  readonly open: boolean
}

export class HeldTerminal {
  readonly pty: GuardedPty
  readonly #session: SpawnRequest["session"]
  readonly #listener: PtyHostListener
  readonly #gate: Gate
  readonly #held: HeldBytes
  #delivering = true
  #deliveredTo: number
  #leaderExit: LeaderExit | null = null
  /** The leader's output ends here at the latest: its exit is delivered from this offset on. */
  #leaderExitAt = 0
  #leaderExitDelivered = false
  #closed = false
  #closedDelivered = false
  #inputSequence: number
  #size: SpawnRequest["size"]

  constructor(request: SpawnRequest, listener: PtyHostListener, gate: Gate, programUmask?: number) {
    this.#session = request.session
    this.#listener = listener
    this.#gate = gate
    this.#size = request.size
    this.#held = new HeldBytes(request.firstOffset)
    this.#deliveredTo = this.#held.from
    this.#inputSequence = request.inputSequence ?? 0
    this.pty = new GuardedPty(
      request,
      {
        output: (bytes) => this.#onOutput(bytes),
        leaderExited: (exit) => {
          this.#leaderExit = exit
          this.#leaderExitAt = this.#held.to
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
      heldFrom: this.#held.from,
      outputBytes: this.#held.to,
      inputSequence: this.#inputSequence,
      size: this.#size,
      leaderExit: this.#leaderExit,
      terminalClosed: this.#closed
    }
  }

  attach(fromOffset: number): void {
    this.#delivering = true
    this.#deliveredTo = Math.min(Math.max(fromOffset, this.#held.from), this.#held.to)
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
    while (this.#delivering && this.#gate.open && this.#deliveredTo < this.#held.to) {
      const offset = this.#deliveredTo
      const bytes = this.#held.pieceAt(offset)
      if (bytes === undefined) return
      this.#deliveredTo = offset + bytes.length
      this.#listener.output(this.#session, offset, bytes)
    }
    this.#deliverEnds()
  }

  ack(offset: number): void {
    this.#held.forget(offset)
    if (this.#held.size < OUTPUT_HELD_BYTES_LOW) this.pty.resume()
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

  /** Drops what is kept only to be used again. */
  releaseMemory(): void {
    // What is held lies in it: it would only be left half empty.
    if (this.#held.size === 0) this.pty.releaseMemory()
  }

  #onOutput(bytes: Uint8Array<ArrayBuffer>): void {
    const offset = this.#held.to
    this.#held.push(bytes)
    if (this.#delivering && this.#gate.open && this.#deliveredTo === offset) {
      this.#deliveredTo = this.#held.to
      this.#listener.output(this.#session, offset, bytes)
    }
    // Asked last: a receiver may have acknowledged within the call.
    if (this.#held.size > OUTPUT_HELD_BYTES_HIGH) this.pty.pause()
  }

  #deliverEnds(): void {
    if (!this.#delivering || !this.#gate.open) return
    if (this.#leaderExit !== null && !this.#leaderExitDelivered && this.#deliveredTo >= this.#leaderExitAt) {
      this.#leaderExitDelivered = true
      this.#listener.leaderExited(this.#session, this.#leaderExit)
    }
    if (this.#closed && !this.#closedDelivered && this.#deliveredTo === this.#held.to) {
      this.#closedDelivered = true
      this.#listener.terminalClosed(this.#session, this.#held.to)
    }
  }
}
