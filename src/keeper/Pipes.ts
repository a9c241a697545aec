/**
 * The pipes of one session, by number: finds them, bounds how many there are, opens all of a request or none, and closes
 * them. Used by Terminals. What a pipe does with its bytes is OutputPipe's and InputPipe's own.
 */
import { checkPipe } from "./Fifo.ts"
import type { Gate } from "./HeldTerminal.ts"
import { InputPipe } from "./InputPipe.ts"
import { OutputPipe } from "./OutputPipe.ts"
import { type HeldPipe, PipeError, type PipeRequest, SESSION_PIPES_MAX } from "./PipeHost.ts"
import type { PtyHostListener, SpawnRequest } from "./PtyHost.ts"
import type { WriteResult } from "./WriteResult.ts"

export class Pipes {
  readonly #session: SpawnRequest["session"]
  readonly #listener: PtyHostListener
  readonly #gate: Gate
  readonly #pipes = new Map<number, OutputPipe | InputPipe>()

  constructor(session: SpawnRequest["session"], listener: PtyHostListener, gate: Gate) {
    this.#session = session
    this.#listener = listener
    this.#gate = gate
  }

  /** Throws PipeError, and then has opened none. */
  open(requests: ReadonlyArray<PipeRequest>): void {
    if (!Array.isArray(requests)) throw new PipeError("invalid-argument", "the request for pipes is malformed")
    for (const request of requests) checkPipe(request)
    const opened: Array<number> = []
    try {
      for (const request of requests) {
        if (this.#pipes.has(request.pipe)) continue
        if (this.#pipes.size >= SESSION_PIPES_MAX) {
          throw new PipeError("limit", `all ${SESSION_PIPES_MAX} pipes of this session are open: close some`)
        }
        const pipe =
          request.direction === "output"
            ? new OutputPipe(this.#session, request, this.#listener, this.#gate)
            : new InputPipe(request)
        this.#pipes.set(request.pipe, pipe)
        opened.push(request.pipe)
      }
    } catch (error) {
      this.close(opened)
      throw error
    }
  }

  list(): ReadonlyArray<HeldPipe> {
    return [...this.#pipes.values()].map((pipe) => pipe.view())
  }

  inputPaths(): ReadonlyArray<string> {
    return this.list()
      .filter(({ direction }) => direction === "input")
      .map(({ path }) => path)
  }

  /** Throws PipeError for a number that is not open. */
  attach(number: number, fromOffset: number): HeldPipe {
    const pipe = this.#pipes.get(number)
    if (pipe === undefined) throw new PipeError("pipe-unknown", `pipe ${number} of this session is not open`)
    if (pipe.direction === "output") pipe.attach(fromOffset)
    return pipe.view()
  }

  ack(number: number, offset: number): void {
    const pipe = this.#pipes.get(number)
    if (pipe?.direction === "output") pipe.ack(offset)
  }

  write(number: number, sequence: number, bytes: Uint8Array): WriteResult {
    const pipe = this.#pipes.get(number)
    return pipe?.direction === "input" ? pipe.write(sequence, bytes) : { outcome: "closed" }
  }

  end(number: number, sequence: number): WriteResult {
    const pipe = this.#pipes.get(number)
    return pipe?.direction === "input" ? pipe.end(sequence) : { outcome: "closed" }
  }

  close(numbers: ReadonlyArray<number>): void {
    for (const number of numbers) {
      this.#pipes.get(number)?.close()
      this.#pipes.delete(number)
    }
  }

  closeAll(): void {
    this.close([...this.#pipes.keys()])
  }

  /** Nobody listens any more: everything is held until someone attaches. */
  detach(): void {
    for (const pipe of this.outputs()) pipe.detach()
  }

  outputs(): ReadonlyArray<OutputPipe> {
    return [...this.#pipes.values()].filter((pipe) => pipe.direction === "output")
  }
}
