/**
 * Standard output and error of the commands of one session on their way from the keeper into the journal: secrets are
 * replaced, the session's rules looked at, each byte journaled at its offset and acknowledged when it is durable; and when a
 * command's output is complete. It knows no shell and never ends a command.
 *
 * Callbacks: the path of a chunk has no Effect and no string.
 */
import type { CommandEntry } from "../../projections/Commands.ts"
import type { CaptureStream } from "../capture/SessionCapture.ts"
import type { HeldPipe } from "../keeper/PipeHost.ts"
import { OUTPUT_CHUNK_BYTES_MAX, type PtyHost } from "../keeper/PtyHost.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import { type Command, type CommandStream, type KeptBytes, keep } from "./Command.ts"
import { ERR, groupOf, kindOf, OUT, pipeOf } from "./PipeNumbers.ts"
import type { StreamRedactor } from "./Secrets.ts"

/** After the shell's word of the end: what its children still hold open after this is late output. */
const STREAMS_GRACE_MILLIS = 120
/** The most that the kernel holds of a pipe (fs.pipe-max-size): what a command wrote is read within this much more. */
const PIPE_CAPACITY_BYTES_MAX = 1024 * 1024
/** The terminal delivers a command's mark a moment after the shell wrote it; without it something ate it. */
const MARK_WAIT_MILLIS = 3000

/** The session whose commands they are. */
export interface StreamsOwner {
  readonly live: LiveSession
  readonly running: Command | undefined
  /** Rises when memory is thrown away: what was begun before must not go on. */
  readonly epoch: number
  /** Looks for the secrets of a command; undefined when it has none. */
  redactor(exec: number): StreamRedactor | undefined
  /** Nothing more comes of a command's streams. */
  drained(exec: number): void
}

export class CommandStreams {
  readonly #owner: StreamsOwner
  readonly #streams = new Map<number, CommandStream>()
  /** Pipes that deliver to this taking of the session: what an earlier one still has on its way is of no use. */
  readonly #taken = new Set<number>()
  #waiter: (() => void) | undefined

  constructor(owner: StreamsOwner) {
    this.#owner = owner
  }

  /** The command's streams are about to be opened, or were. */
  expect(command: Command): void {
    if (command.request.tty === true) return
    for (const kind of [OUT, ERR]) {
      const pipe = pipeOf(command.exec, kind)
      command.streams.set(pipe, this.#stream(pipe, { pieces: [], length: 0 }))
    }
  }

  /** Of a command that got this number before, and then could not be journaled: other secrets were looked for. */
  disown(exec: number): void {
    for (const kind of [OUT, ERR]) this.#streams.delete(pipeOf(exec, kind))
  }

  /** The pipe is opened now: what comes of it is for us. */
  take(pipe: number): void {
    this.#taken.add(pipe)
  }

  /** The session was taken back: what the keeper holds of a stream comes again, and goes on behind what is journaled. */
  async resume(host: PtyHost, { heldFrom, pipe }: HeldPipe, command: CommandEntry | undefined): Promise<void> {
    const { live } = this.#owner
    const journaled =
      command === undefined ? heldFrom : kindOf(pipe) === OUT ? command.stdoutBytes : command.stderrBytes
    const from = Math.max(heldFrom, journaled)
    const stream = this.#stream(pipe)
    stream.journaled = from
    // With rules, from what a match may go on from.
    stream.next = stream.capture === undefined ? from : heldFrom
    if (stream.capture !== undefined) stream.capture = this.#captureOf(pipe, stream)
    host.ackPipe(live.id, pipe, stream.next)
    await host.attachPipe(live.id, pipe, stream.next, () => this.#taken.add(pipe))
  }

  /** Something of a command may still come. */
  has(exec: number): boolean {
    return this.#streams.has(pipeOf(exec, OUT)) || this.#streams.has(pipeOf(exec, ERR))
  }

  /** Bytes of it that have their place in the stream of the session. */
  bytesOf(command: CommandEntry, kind: typeof OUT | typeof ERR): number {
    const stream = this.#streams.get(pipeOf(command.exec, kind))
    return stream?.journaled ?? (kind === OUT ? command.stdoutBytes : command.stderrBytes)
  }

  /** The first bytes that a command printed, once: late output is nobody's answer. */
  takeKept(command: Command, kind: typeof OUT | typeof ERR): KeptBytes | undefined {
    const stream = command.streams.get(pipeOf(command.exec, kind))
    const kept = stream?.kept
    if (stream !== undefined) stream.kept = undefined
    return kept
  }

  /** The keeper delivers bytes, which are its own again when this returns. */
  push(pipe: number, offset: number, bytes: Uint8Array): void {
    if (!this.#taken.has(pipe)) return
    const stream = this.#stream(pipe)
    if (offset !== stream.next) {
      this.#owner.live.outOfStep(`byte ${offset} of pipe ${pipe}`)
      return
    }
    stream.next = offset + bytes.byteLength
    const given = stream.redactor?.push(bytes) ?? bytes
    if (stream.capture === undefined) {
      this.#journal(pipe, stream, given)
      return
    }
    stream.capture.push(given)
    // Only looked at, they may be what the command waits for.
    if (offset < stream.journaled) this.#owner.live.ackPipe(pipe, stream.capture.neededFor(offset))
  }

  /** Nobody holds the pipe any more. */
  end(pipe: number): void {
    const stream = this.#streams.get(pipe)
    if (stream === undefined || !this.#taken.has(pipe)) return
    const rest = stream.redactor?.flush()
    if (stream.capture === undefined) {
      if (rest !== undefined) this.#journal(pipe, stream, rest)
    } else {
      if (rest !== undefined) stream.capture.push(rest)
      stream.capture.release()
    }
    stream.ended = true
    // Of a command that has ended, this was the last of its late output.
    if (groupOf(pipe) !== this.#owner.running?.exec) this.#drop([pipe])
    else this.look()
  }

  /** What the rules hold back of a command's streams is journaled: its end stands behind it. */
  release(command: Command): void {
    for (const { capture } of command.streams.values()) capture?.release()
  }

  /** The command has its outcome: of its streams that have not ended, late output may come. */
  settled(command: Command): void {
    const ended = [...command.streams].flatMap(([pipe, stream]) => (stream.ended ? [pipe] : []))
    if (ended.length > 0) this.#drop(ended)
  }

  #drop(pipes: ReadonlyArray<number>): void {
    const { live } = this.#owner
    for (const pipe of pipes) {
      this.#streams.get(pipe)?.capture?.stop()
      this.#streams.delete(pipe)
      this.#taken.delete(pipe)
    }
    live.host?.closePipes(live.id, pipes)
    for (const pipe of pipes) this.#owner.drained(groupOf(pipe))
  }

  /** Its streams ended, or what still holds them is a child that it left behind. */
  async untilComplete(command: Command): Promise<void> {
    if (command.request.tty === true) {
      if (!command.isMarkSeen) {
        await this.#changed(command.mark === "" ? STREAMS_GRACE_MILLIS : MARK_WAIT_MILLIS, () => command.isMarkSeen)
      }
      return
    }
    const { epoch, live } = this.#owner
    const areEnded = () => this.#owner.epoch !== epoch || [...command.streams.values()].every((stream) => stream.ended)
    await this.#changed(STREAMS_GRACE_MILLIS, areEnded)
    // What it wrote itself may be on its way on a busy machine: all that its pipes held when it ended belongs to it, and
    // without more to come for two looks that is all.
    let bytes = -1
    let bytesMax = Number.POSITIVE_INFINITY
    while (!areEnded() && !live.isEnded) {
      const held = (await live.host?.listPipes(live.id)) ?? []
      const read = held.filter(({ pipe }) => command.streams.has(pipe)).reduce((sum, pipe) => sum + pipe.bytes, 0)
      const delivered = [...command.streams.values()].reduce((sum, stream) => sum + stream.next, 0)
      if (delivered >= bytesMax || (delivered >= read && read === bytes)) return
      bytesMax = Math.min(bytesMax, read + command.streams.size * PIPE_CAPACITY_BYTES_MAX)
      if (read === bytes) await this.#changed(STREAMS_GRACE_MILLIS, areEnded)
      bytes = read
    }
  }

  /** Until it is so, or the time is over. */
  async #changed(millis: number, isSo: () => boolean): Promise<void> {
    if (isSo()) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, millis)
      function done() {
        clearTimeout(timer)
        resolve()
      }
      this.#waiter = () => {
        if (isSo() || this.#owner.live.isEnded) done()
      }
    })
    this.#waiter = undefined
  }

  /** Whoever waits for a command's output looks again. */
  look(): void {
    this.#waiter?.()
  }

  /** Nothing is taken from the keeper until the session was taken back. */
  pause(): void {
    for (const { capture } of this.#streams.values()) capture?.stop()
  }

  forget(): void {
    this.#taken.clear()
    this.#waiter = undefined
    this.#streams.clear()
  }

  #stream(pipe: number, kept?: KeptBytes): CommandStream {
    const known = this.#streams.get(pipe)
    if (known !== undefined) return known
    const stream: CommandStream = {
      next: 0,
      journaled: 0,
      ended: false,
      redactor: this.#owner.redactor(groupOf(pipe)),
      capture: undefined,
      kept
    }
    stream.capture = this.#captureOf(pipe, stream)
    this.#streams.set(pipe, stream)
    return stream
  }

  /** The session's rules on a stream, from its next byte on; undefined without rules. */
  #captureOf(pipe: number, stream: CommandStream): CaptureStream | undefined {
    const { live } = this.#owner
    return live.capture?.stream({ position: stream.next, outTo: stream.journaled }, (bytes, replaced) => {
      this.#journal(pipe, stream, bytes)
      if (replaced !== undefined) live.tellReplaced(replaced)
    })
  }

  #journal(pipe: number, stream: CommandStream, bytes: Uint8Array): void {
    const { live } = this.#owner
    const channel = kindOf(pipe) === OUT ? "stdout" : "stderr"
    keep(stream, bytes)
    // A redactor that held bytes back gives more than a delivery has: a record takes no more than that.
    for (let at = 0; at < bytes.byteLength; at += OUTPUT_CHUNK_BYTES_MAX) {
      const chunk = bytes.subarray(at, at + OUTPUT_CHUNK_BYTES_MAX)
      const from = stream.journaled
      const end = from + chunk.byteLength
      stream.journaled = end
      live.appendOutput(channel, groupOf(pipe), from, chunk, () =>
        live.ackPipe(pipe, stream.capture?.neededFor(end) ?? end)
      )
    }
  }
}
