/**
 * Standard input of running commands: journaled first, then written into the command's pipe, one after the other, so that
 * the order in the journal is the order in the pipe. It gives nothing to a pipe while what was journaled before may not be
 * in it. It does not read the journal; who takes a session back gives it what is to be written again.
 */
import type { NewEvent, SessionEvent } from "../../journal/Event.ts"
import { HostUnavailable, INPUT_WRITE_BYTES_MAX, type PtyHost, SessionUnknown } from "../keeper/PtyHost.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import { SessionEnded } from "../session/SessionError.ts"
import type { Command } from "./Command.ts"
import { IN, pipeOf } from "./PipeNumbers.ts"

/** A record of a command's standard input. */
export interface InputPiece {
  readonly sequence: number
  readonly data: Uint8Array
  readonly end: boolean
}

type EventMaker = (event: SessionEvent, actor?: string) => NewEvent

export class CommandInput {
  readonly #live: LiveSession
  readonly #event: EventMaker
  #feeding: Promise<unknown> = Promise.resolve()
  #behind: PromiseWithResolvers<void> | undefined

  constructor(live: LiveSession, event: EventMaker) {
    this.#live = live
    this.#event = event
  }

  /** What was journaled may not be in the pipes: nothing is fed until `caughtUp`. */
  fallBehind(): void {
    this.#behind ??= Promise.withResolvers()
  }

  caughtUp(): void {
    this.#behind?.resolve()
    this.#behind = undefined
  }

  /**
   * Bytes for the standard input stream of a running command; `end` closes it. `at` is the place of the first of them in the
   * stream: what was given before is left out, so that a caller may say the same again. `ahead`: something before is missing.
   */
  feed(
    command: Command,
    data: Uint8Array,
    options: { readonly end: boolean; readonly at: number | undefined; readonly actor: string | undefined }
  ): Promise<"applied" | "full" | "closed" | "ahead"> {
    const fed = this.#feeding.then(() => this.#feed(command, data, options))
    this.#feeding = fed.catch(() => undefined)
    return fed
  }

  async #feed(
    command: Command,
    data: Uint8Array,
    { actor, at, end }: { readonly end: boolean; readonly at: number | undefined; readonly actor: string | undefined }
  ): Promise<"applied" | "full" | "closed" | "ahead"> {
    await this.#behind?.promise
    const { exec } = command
    const repeated = at === undefined ? 0 : command.inputBytes - at
    if (repeated < 0) return "ahead"
    const rest = data.subarray(Math.min(repeated, data.byteLength))
    const isEnd = end && !command.isInputEnded
    if (command.isInputEnded && rest.byteLength > 0) return "closed"
    const events: Array<SessionEvent & { readonly _tag: "CommandInputWritten" }> = []
    if (rest.byteLength > 0) {
      for (const { base64 } of inputPieces(rest)) events.push({ _tag: "CommandInputWritten", exec, base64, end: false })
    }
    if (isEnd) events.push({ _tag: "CommandInputWritten", exec, base64: "", end: true })
    if (events.length === 0) return "applied"
    const { first } = await this.#live.append(events.map((event) => this.#event(event, actor)))
    const host = this.#live.host
    if (host === undefined) return "closed"
    return this.write(
      host,
      command,
      events.map(({ base64, end }, index) => ({ sequence: first + index, data: Buffer.from(base64, "base64"), end }))
    )
  }

  /** In order, each after the one before is in: a full queue that takes a later one would leave a hole. */
  async write(
    host: PtyHost,
    command: Command,
    input: ReadonlyArray<InputPiece>
  ): Promise<"applied" | "full" | "closed"> {
    const pipe = pipeOf(command.exec, IN)
    try {
      for (let at = 0; at < input.length; ) {
        const group = inOneWrite(input, at)
        const { data, end, sequence } = group
        const { outcome } = await (end
          ? host.endPipe(this.#live.id, pipe, sequence)
          : host.writePipe(this.#live.id, pipe, sequence, data))
        if (outcome === "full" || outcome === "closed") {
          const why = outcome === "full" ? "the command does not read and its queue is full" : "the pipe was closed"
          const from = input[at]!.sequence
          const to = input.at(-1)!.sequence
          await this.#live.append([this.#event({ _tag: "GapDetected", what: "input", from, to, why })])
          return outcome
        }
        command.inputBytes += data.byteLength
        command.isInputEnded ||= end
        at = group.next
      }
    } catch (error) {
      // It is in the journal: whoever takes the session back writes it.
      if (!(error instanceof HostUnavailable))
        throw error instanceof SessionUnknown
          ? new SessionEnded({ session: this.#live.id, status: this.#live.state.status })
          : error
    }
    return "applied"
  }
}

/** Standard input in records of a size that costs a reader little. */
const INPUT_PIECE_BYTES = 48 * 1024
export const inputPieces = (data: Uint8Array): ReadonlyArray<{ readonly base64: string; readonly isLast: boolean }> => {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const count = Math.max(1, Math.ceil(bytes.length / INPUT_PIECE_BYTES))
  return Array.from({ length: count }, (_, index) => ({
    base64: bytes.toString("base64", index * INPUT_PIECE_BYTES, (index + 1) * INPUT_PIECE_BYTES),
    isLast: index === count - 1
  }))
}

/** The records from `at` on that fit one write, which is applied as a whole; the end is a write of its own. */
const inOneWrite = (input: ReadonlyArray<InputPiece>, at: number): InputPiece & { readonly next: number } => {
  const first = input[at]!
  if (first.end) return { ...first, next: at + 1 }
  const parts: Array<Uint8Array> = []
  let next = at
  for (let bytes = 0; next < input.length && !input[next]!.end; next++) {
    bytes += input[next]!.data.byteLength
    if (bytes > INPUT_WRITE_BYTES_MAX) break
    parts.push(input[next]!.data)
  }
  return { sequence: input[next - 1]!.sequence, data: Buffer.concat(parts), end: false, next }
}
