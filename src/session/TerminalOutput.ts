/**
 * The output of one session's terminal on its way from the host into the journal: gathered while an append is in flight,
 * given to the session's rules, journaled by byte offset, and acknowledged to the host when it is durable. It never decides
 * whether output is taken (its LiveSession does) and never looks at what it says.
 *
 * Callbacks: the path of a chunk has no Effect and no string, one closure, and no allocation of bytes under a flood.
 */
import type { SessionId } from "../../journal/Event.ts"
import type { HotJournal } from "../../journal/Journal.ts"
import { killPoint } from "../../journal/KillPoint.ts"
import type { PlainOutput } from "../../projections/PlainOutput.ts"
import { isPlain } from "../../projections/PlainStretch.ts"
import { UNDRAWN_BYTES } from "../../projections/ScreenFollower.ts"
import type { CaptureStream, Replaced, SessionCapture } from "../capture/SessionCapture.ts"
import { OUTPUT_CHUNK_BYTES_MAX, type PtyHost } from "../keeper/PtyHost.ts"
import type { JournalAllowance } from "./JournalAllowance.ts"
import type { SessionExtension } from "./SessionExtension.ts"
import type { SessionStream } from "./SessionStream.ts"

/**
 * Durable output is acknowledged when this much of it has gathered (an eighth of what a host holds before it pauses the
 * program) or when this time has passed: an acknowledgement wakes the host, which an echo must not wait for.
 */
const ACK_BYTES = 128 * 1024
const ACK_MILLIS = 10

export interface OutputPort {
  readonly journal: HotJournal
  readonly nowMicros: () => number
  /**
   * UNDRAWN_BYTES more of its output are in the journal; with `outputBytes`, it was taken back and has printed so much.
   * Its screen is drawn in the background.
   */
  readonly drawLater: (session: SessionId, outputBytes?: number) => void
  /** Is told what of the terminal's output is more than text. */
  readonly plainOutput: PlainOutput
}

/** The session whose terminal it is. */
export interface OutputOwner {
  readonly host: PtyHost | undefined
  readonly extension: SessionExtension | undefined
  readonly capture: SessionCapture | undefined
  /** Microseconds since 1970. */
  activeAt: number
  /** Takes nothing more from the host. */
  pause(): void
  /** Something was printed or typed. */
  activity(): void
  /** Host and journal disagree about what was delivered. */
  outOfStep(what: string): void
}

export class TerminalOutput {
  readonly #id: SessionId
  readonly #port: OutputPort
  readonly #owner: OutputOwner
  readonly #stream: SessionStream
  readonly #allowance: JournalAllowance
  /** The output on its way through the session's rules. */
  #captured: CaptureStream | undefined
  /** Offset of the next byte to journal; everything before has its place in the stream. */
  #nextOffset = 0
  /** Everything before is durable and may be forgotten by the host. */
  #durableOffset = 0
  /** What the host was told of it. */
  #ackedOffset = 0
  #ackTimer: NodeJS.Timeout | undefined
  /** Durable since the screen was last to be drawn in the background. */
  #undrawnBytes = 0
  /** Delivered while an append is in flight, #gatheredBytes of it: the next record. */
  #gathered: Uint8Array | undefined
  #gatheredBytes = 0

  constructor(port: OutputPort, owner: OutputOwner, stream: SessionStream, allowance: JournalAllowance) {
    this.#id = stream.id
    this.#port = port
    this.#owner = owner
    this.#stream = stream
    this.#allowance = allowance
  }

  /** Bytes that have their place in the stream. */
  get bytes(): number {
    return this.#nextOffset
  }

  /** Everything before this byte is durable. */
  goOnFrom(offset: number): void {
    this.#nextOffset = offset
    this.#durableOffset = offset
    this.#ackedOffset = offset
  }

  /** The session's rules see the terminal from this byte on; those before `bytes` are journaled. */
  captureFrom(position: number, cols: number): void {
    this.#captured?.stop()
    this.#captured = this.#owner.capture?.stream({ position, outTo: this.#nextOffset, cols }, (bytes, replaced) =>
      this.#takeCaptured(bytes, replaced)
    )
  }

  /** The host delivers bytes, which are its own again when this returns. */
  push(offset: number, bytes: Uint8Array): void {
    const owner = this.#owner
    const { extension } = owner
    if (this.#captured !== undefined) {
      this.#capture(this.#captured, offset, bytes)
      return
    }
    const held = extension?.terminalHeldBytes ?? 0
    if (offset !== this.#nextOffset + this.#gatheredBytes + held) {
      owner.outOfStep(`output at byte ${offset}`)
      return
    }
    if (extension === undefined) this.#takeChunk(bytes)
    else this.#take(extension.terminalOutput(bytes))
    owner.activity()
  }

  /** As `push`, of a session with rules. */
  #capture(captured: CaptureStream, offset: number, bytes: Uint8Array): void {
    const { extension } = this.#owner
    const held = extension?.terminalHeldBytes ?? 0
    if (offset !== captured.position + held) {
      this.#owner.outOfStep(`output at byte ${offset}`)
      return
    }
    captured.push(extension?.terminalOutput(bytes) ?? bytes)
    this.#owner.activity()
    // Only looked at, they may be what the program is paused for.
    if (offset < this.#nextOffset) this.#ackTimer ??= setTimeout(() => this.acknowledge(), ACK_MILLIS)
  }

  #takeCaptured(bytes: Uint8Array, replaced: Replaced | undefined): void {
    this.#take(bytes)
    if (replaced === undefined) return
    // In the batch of the output, whatever happens: nothing of this turn is written before its end.
    this.journalGathered()
    this.#stream.tellReplaced(replaced)
  }

  /** A filter that held bytes back gives more than a delivery has: a record takes no more than that. */
  #take(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; at += OUTPUT_CHUNK_BYTES_MAX) {
      this.#takeChunk(bytes.subarray(at, at + OUTPUT_CHUNK_BYTES_MAX))
    }
  }

  #takeChunk(bytes: Uint8Array): void {
    if (this.#gatheredBytes + bytes.byteLength > OUTPUT_CHUNK_BYTES_MAX) this.journalGathered()
    // Alone it is journaled at once, so that an echo waits for nobody; under a flood the batch in flight gathers the next.
    if (this.#stream.isIdle && this.#gatheredBytes === 0) this.#journal(bytes)
    else {
      this.#gathered ??= takeBuffer()
      this.#gathered.set(bytes, this.#gatheredBytes)
      this.#gatheredBytes += bytes.byteLength
      if (this.#stream.isIdle || this.#gatheredBytes >= OUTPUT_CHUNK_BYTES_MAX) this.journalGathered()
    }
  }

  /** What was held back, by the extension or for the rules, is taken: nothing can follow, or something else comes next. */
  takeRest(): void {
    const rest = this.#owner.extension?.terminalRest()
    if (this.#captured === undefined) {
      if (rest !== undefined) this.#take(rest)
      return
    }
    if (rest !== undefined && rest.byteLength > 0) this.#captured.push(rest)
    this.#captured.release()
  }

  /** All that came so far has its place in the stream. */
  flush(): void {
    this.takeRest()
    this.journalGathered()
  }

  /** All that came so far has its place in the stream, also what was held back for the rules. */
  journalHeld(): void {
    this.#captured?.release()
    this.journalGathered()
  }

  /** Its size changes: what came at the old one stands before the event. */
  resized(cols: number): void {
    if (this.#captured !== undefined) {
      this.takeRest()
      this.#captured.resize(cols)
    }
    this.journalGathered()
  }

  /** All that came so far and is not held back has its place in the stream. */
  journalGathered(): void {
    const gathered = this.#gathered
    if (gathered === undefined) return
    const length = this.#gatheredBytes
    this.#gathered = undefined
    this.#gatheredBytes = 0
    this.#journal(gathered.subarray(0, length))
    // The journal has encoded it.
    giveBuffer(gathered)
  }

  #journal(bytes: Uint8Array): void {
    const length = bytes.byteLength
    const offset = this.#nextOffset
    this.#nextOffset += length
    this.#stream.outputBegun()
    const timeMicros = this.#port.nowMicros()
    this.#owner.activeAt = timeMicros
    const sequence = this.#port.journal.appendOutput(this.#id, "tty", 0, offset, [bytes], timeMicros, (error) => {
      this.#stream.outputSettled()
      // The engine adopts every session again when the storage is back; until then nothing is acknowledged.
      if (error !== undefined) return this.#owner.pause()
      this.#durableOffset = offset + length
      this.#undrawnBytes += length
      if (this.#undrawnBytes >= UNDRAWN_BYTES) {
        this.#undrawnBytes = 0
        this.#port.drawLater(this.#id)
      }
      this.#stream.foldOutput(sequence, timeMicros, "tty", 0, offset, length)
      if (this.#durableOffset - this.#ackedOffset >= ACK_BYTES) this.acknowledge()
      else this.#ackTimer ??= setTimeout(() => this.acknowledge(), ACK_MILLIS)
      if (this.#stream.isIdle) this.journalGathered()
    })
    if (sequence > 0 && !isPlain(bytes)) this.#port.plainOutput.note(this.#id, sequence)
  }

  /** The host may forget what is durable. */
  acknowledge(): void {
    clearTimeout(this.#ackTimer)
    this.#ackTimer = undefined
    if (this.#allowance.isUsedUp) return
    this.#ackedOffset = this.#durableOffset
    killPoint("keeper.ack.before")
    // The next engine needs also what a match may go on from.
    this.#owner.host?.ack(this.#id, this.#captured?.neededFor(this.#durableOffset) ?? this.#durableOffset)
    killPoint("keeper.ack.after")
  }

  /** What is not in the stream is forgotten: the host has it. */
  pause(): void {
    clearTimeout(this.#ackTimer)
    this.#ackTimer = undefined
    if (this.#gathered !== undefined) giveBuffer(this.#gathered)
    this.#gathered = undefined
    this.#gatheredBytes = 0
    this.end()
  }

  /** Nothing more will come. */
  end(): void {
    this.#captured?.stop()
  }
}

/**
 * Buffers that gather output, used again by whoever needs one: a flood that allocated them would be collected all the
 * time. A session holds one only while an append of it is in flight; 1 MiB of them is kept.
 */
const BUFFERS_KEPT_MAX = 16
const buffers: Array<Uint8Array> = []
const takeBuffer = (): Uint8Array => buffers.pop() ?? new Uint8Array(OUTPUT_CHUNK_BYTES_MAX)
const giveBuffer = (buffer: Uint8Array): void => {
  if (buffers.length < BUFFERS_KEPT_MAX) buffers.push(buffer)
}
