/**
 * What is typed into one session: journaled first, as far as secrets and the session's rules let it be, then written to the
 * terminal with its sequence, one input after the other; and written again from the journal when the session was taken back. It
 * decides nothing about the session's life, and types nothing twice.
 */
import type { NewEvent, SessionEvent, SessionId } from "../../journal/Event.ts"
import { killPoint } from "../../journal/KillPoint.ts"
import type { Replaced, SessionCapture } from "../capture/SessionCapture.ts"
import { type HeldSession, INPUT_QUEUED_BYTES_MAX, OUTPUT_CHUNK_BYTES_MAX, type PtyHost } from "../keeper/PtyHost.ts"
import type { WriteResult } from "../keeper/WriteResult.ts"
import type { JournalAllowance } from "./JournalAllowance.ts"
import { InputRefused, type SessionEnded } from "./SessionError.ts"
import type { SessionStream } from "./SessionStream.ts"
import type { CommandOptions, WriteAck } from "./Sessions.ts"

export interface UnappliedInput {
  readonly sequence: number
  readonly kind: "written" | "hidden" | "closed"
  readonly data: Uint8Array
  readonly commandId: string | undefined
}

export interface InputPort {
  readonly nowMicros: () => number
  /** Inputs after `sequence` that nobody has said to be missing. */
  readonly inputsAfter: (session: SessionId, sequence: number) => Promise<ReadonlyArray<UnappliedInput>>
}

/** The session that it is typed into. */
export interface InputOwner {
  readonly capture: SessionCapture | undefined
  /** It is being started or taken back. */
  readonly isWaiting: boolean
  /** Microseconds since 1970. */
  activeAt: number
  /** Throws SessionEnded or SessionUnavailable. */
  liveHost(): PtyHost
  overError(): SessionEnded
  /** The host's word, or why there is none. */
  answer<A>(answer: Promise<A>): Promise<A>
  /** As `answer`, for what is journaled: a host that goes away applies it later. */
  applied<A>(answer: Promise<A>, whenAway: A): Promise<A>
  /** Something was printed or typed. */
  activity(): void
  /** What the rules have to remember for the next engine has changed. */
  saveNote(host: PtyHost): void
}

export class SessionInput {
  readonly #port: InputPort
  readonly #owner: InputOwner
  readonly #stream: SessionStream
  readonly #allowance: JournalAllowance
  /** One input at a time: their order in the journal is their order in the terminal. */
  #turn: Promise<unknown> = Promise.resolve()
  /**
   * By command id, the sequence of a hidden input that is journaled, and that nobody typed as far as is known: its sender may
   * send it again. What the host has applied of them is known when the session is taken back.
   */
  readonly #untyped = new Map<string, number>()

  constructor(port: InputPort, owner: InputOwner, stream: SessionStream, allowance: JournalAllowance) {
    this.#port = port
    this.#owner = owner
    this.#stream = stream
    this.#allowance = allowance
  }

  /** No input is on its way. Never rejects. */
  get settled(): Promise<unknown> {
    return this.#turn
  }

  /** The sequence that this command id caused before, if it was applied. */
  repeated({ commandId }: CommandOptions): number | undefined {
    if (commandId === undefined || this.#untyped.has(commandId)) return undefined
    // While it is taken back nobody knows yet which of its hidden inputs the terminal has.
    if (this.#owner.isWaiting) return undefined
    return this.#stream.state.recentCommands.get(commandId)
  }

  write(data: Uint8Array, options: CommandOptions): Promise<WriteAck> {
    if (data.byteLength === 0) return Promise.resolve({ sequence: 0, hidden: false, truncatedTo: null })
    return this.#inOrder(() => this.#write(data, options))
  }

  closeInput(options: CommandOptions): Promise<void> {
    return this.#inOrder(async () => {
      if (this.repeated(options) !== undefined || this.#stream.state.inputClosed) return
      const host = this.#owner.liveHost()
      this.#allowance.checkRoom()
      this.#owner.activeAt = this.#port.nowMicros()
      const { last } = await this.#append([{ _tag: "InputClosed" }], options)
      this.#owner.activity()
      const result = await this.#owner.applied(host.closeInput(this.#stream.id, last), { outcome: "applied" })
      await this.#checkApplied([result], last, options.commandId)
    })
  }

  /** What the journal has and the host does not: the session is being taken back. */
  async typeAgain(host: PtyHost, held: HeldSession): Promise<void> {
    const { id, state } = this.#stream
    for (const [commandId, sequence] of this.#untyped) {
      if (sequence <= held.inputSequence) this.#untyped.delete(commandId)
    }
    if (state.lastInputSequence <= held.inputSequence) return
    for (const { commandId, data, kind, sequence } of await this.#port.inputsAfter(id, held.inputSequence)) {
      if (kind === "hidden") {
        if (commandId !== undefined) this.#untyped.set(commandId, sequence)
        continue
      }
      const result = await (kind === "written" ? host.write(id, sequence, data) : host.closeInput(id, sequence))
      await this.#recordUnapplied([result], sequence, commandId)
    }
  }

  async #write(data: Uint8Array, options: CommandOptions): Promise<WriteAck> {
    const owner = this.#owner
    const { id } = this.#stream
    const repeated = this.repeated(options)
    if (repeated !== undefined) return { sequence: repeated, hidden: false, truncatedTo: null }
    const host = owner.liveHost()
    this.#allowance.checkRoom()
    owner.activeAt = this.#port.nowMicros()
    const mode = await owner.answer(host.mode(id))
    // Asking took a moment, in which it may have ended.
    owner.liveHost()
    if (mode.queuedBytes + data.byteLength > INPUT_QUEUED_BYTES_MAX) throw this.#refused()
    if (mode.secret) return this.#writeHidden(host, data, options)
    const { capture } = owner
    if (capture !== undefined && options.commandId !== undefined && this.#untyped.has(options.commandId)) {
      // Sent again, because nobody typed it: the rules have it, and found something.
      const again = capture.asterisks(data)
      return this.#writeRedacted(host, data, again.bytes, again.replaced, options)
    }
    const shown = capture?.typed(data, this.#stream.state.inputBytes + data.byteLength)
    if (shown?.isNoteNew === true) owner.saveNote(host)
    if (shown?.replaced !== undefined) return this.#writeRedacted(host, data, shown.bytes, shown.replaced, options)
    const pieces = piecesOf(data)
    const { first, last } = await this.#append(
      pieces.map((piece) => ({ _tag: "InputWritten", data: piece })),
      options
    )
    owner.activity()
    killPoint("keeper.write.before")
    const writes = pieces.map((piece, index) => host.write(id, first + index, piece))
    const results = await owner.applied(Promise.all(writes), [])
    killPoint("keeper.write.after")
    await this.#checkApplied(results, first, options.commandId)
    return {
      sequence: last,
      hidden: false,
      truncatedTo: results.find((result) => result.truncatedTo !== undefined)?.truncatedTo ?? null
    }
  }

  /** The bytes cannot come from the journal again, so they are acknowledged only when the terminal has them. */
  async #writeHidden(host: PtyHost, data: Uint8Array, options: CommandOptions): Promise<WriteAck> {
    const { last } = await this.#append([{ _tag: "InputHidden" }], options)
    return { sequence: last, hidden: true, truncatedTo: await this.#typeOnce(host, last, data, options) }
  }

  /** As hidden input: what is journaled is not what was typed, so it is acknowledged only when the terminal has it. */
  async #writeRedacted(
    host: PtyHost,
    data: Uint8Array,
    shown: Uint8Array,
    replaced: Replaced,
    options: CommandOptions
  ): Promise<WriteAck> {
    const events: ReadonlyArray<NewEvent> = piecesOf(shown).map((piece) =>
      this.#stream.event({ _tag: "InputWritten", data: piece }, options)
    )
    const told = this.#stream.event({ _tag: "SecretsRedacted", what: "input", ...replaced, events: events.length })
    const { first } = await this.#stream.append([...events, told])
    const last = first + events.length - 1
    this.#owner.activity()
    return { sequence: last, hidden: false, truncatedTo: await this.#typeOnce(host, last, data, options) }
  }

  /** What the journal does not have is typed now, or is sent again by who sent it: `#untyped` has it then. */
  async #typeOnce(host: PtyHost, sequence: number, data: Uint8Array, { commandId }: CommandOptions) {
    if (commandId !== undefined) this.#untyped.delete(commandId)
    killPoint("keeper.write.before")
    const result = await this.#owner.answer(host.write(this.#stream.id, sequence, data)).catch((error) => {
      if (commandId !== undefined) this.#untyped.set(commandId, sequence)
      throw error
    })
    killPoint("keeper.write.after")
    await this.#checkApplied([result], sequence, commandId)
    return result.truncatedTo ?? null
  }

  #append(events: ReadonlyArray<SessionEvent>, options: CommandOptions) {
    return this.#stream.append(events.map((event) => this.#stream.event(event, options)))
  }

  #inOrder<A>(command: () => Promise<A>): Promise<A> {
    const result = this.#turn.then(command, command)
    this.#turn = result.catch(() => undefined)
    return result
  }

  async #checkApplied(
    results: ReadonlyArray<WriteResult>,
    first: number,
    commandId: string | undefined
  ): Promise<void> {
    const outcome = await this.#recordUnapplied(results, first, commandId)
    if (outcome === "full") throw this.#refused()
    if (outcome === "closed") throw this.#owner.overError()
  }

  /** Journaled input that the terminal refused is said to be missing, so that nobody types it later or believes it was typed. */
  async #recordUnapplied(
    results: ReadonlyArray<WriteResult>,
    first: number,
    commandId: string | undefined
  ): Promise<WriteResult["outcome"] | undefined> {
    const refused = results.findIndex(({ outcome }) => outcome === "full" || outcome === "closed")
    if (refused < 0) return undefined
    const { outcome } = results[refused]!
    const why = outcome === "full" ? "the program does not read and its queue is full" : "the terminal was closed"
    const to = first + results.length - 1
    // With its id where nothing of the command was typed: its sender, who is told so, may send it again.
    const event = { _tag: "GapDetected", what: "input", from: first + refused, to, why } as const
    await this.#append([event], { commandId: refused === 0 ? commandId : undefined })
    return outcome
  }

  #refused(): InputRefused {
    return new InputRefused({ session: this.#stream.id, queuedBytesMax: INPUT_QUEUED_BYTES_MAX })
  }
}

/** As much as a record takes, each. */
const piecesOf = (bytes: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.byteLength / OUTPUT_CHUNK_BYTES_MAX) }, (_, index) =>
    bytes.subarray(index * OUTPUT_CHUNK_BYTES_MAX, (index + 1) * OUTPUT_CHUNK_BYTES_MAX)
  )
