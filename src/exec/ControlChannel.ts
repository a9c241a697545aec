/**
 * What a shell says of itself and of the ends of its commands: the bytes of its control pipe, made frames, and given to its
 * session one after the other. It never decides what a frame means, and acknowledges none by itself.
 */
import type { HeldPipe } from "../keeper/PipeHost.ts"
import type { PtyHost } from "../keeper/PtyHost.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import { type ControlFrame, ControlReader } from "./ControlFrames.ts"

/** The session whose shell it is. */
export interface ControlOwner {
  readonly live: LiveSession
  readonly controlPipe: number
  /** Rises when memory is thrown away: what was begun before must not go on. */
  readonly epoch: number
  /** Of the control pipe, `end` is the offset behind the frame. A frame that is not acknowledged comes again. */
  heardFrame(frame: ControlFrame, end: number): Promise<void>
}

export class ControlChannel {
  readonly #owner: ControlOwner
  #reader = new ControlReader()
  /** Offset of the next byte. */
  #at = 0
  /** What is delivered is of this taking of the session. */
  #isTaken = true
  #frames: Promise<void> = Promise.resolve()
  #waiter: (() => void) | undefined

  constructor(owner: ControlOwner) {
    this.#owner = owner
  }

  /** Another shell speaks, from its first byte on. */
  begin(): void {
    this.#reader = new ControlReader()
    this.#at = 0
    this.#isTaken = true
  }

  /** The session was taken back: what the keeper holds comes again. */
  async resume(host: PtyHost, { heldFrom, pipe }: HeldPipe): Promise<void> {
    this.#reader = new ControlReader(heldFrom)
    this.#at = heldFrom
    await host.attachPipe(this.#owner.live.id, pipe, heldFrom, () => {
      this.#isTaken = true
    })
  }

  /** What an earlier taking of the session still has on its way is of no use. */
  forget(): void {
    this.#isTaken = false
  }

  push(pipe: number, offset: number, bytes: Uint8Array): void {
    const owner = this.#owner
    if (!this.#isTaken || pipe !== owner.controlPipe) return
    if (offset !== this.#at) {
      owner.live.outOfStep(`byte ${offset} of the control pipe`)
      return
    }
    this.#at += bytes.byteLength
    const { epoch } = owner
    for (const [frame, end] of this.#reader.push(bytes)) {
      this.#frames = this.#frames
        .then(() => (owner.epoch === epoch ? owner.heardFrame(frame, end) : undefined))
        // A journal that is away: the frame comes again when the session is adopted.
        .catch(() => undefined)
    }
    this.wake()
  }

  /** Whoever waits for the shell's word looks again. */
  wake(): void {
    this.#waiter?.()
  }

  acknowledge(offset: number): void {
    const { controlPipe, live } = this.#owner
    live.host?.ackPipe(live.id, controlPipe, offset)
  }

  /** What the shell has said so far was heard. */
  async heard(): Promise<void> {
    const owner = this.#owner
    const held = await owner.live.host?.listPipes(owner.live.id)
    const bytes = held?.find(({ pipe }) => pipe === owner.controlPipe)?.bytes ?? 0
    const { epoch } = owner
    while (this.#at < bytes && owner.epoch === epoch) {
      await new Promise<void>((resolve) => {
        this.#waiter = resolve
      })
    }
    await this.#frames
  }
}
