/** `Terminal` over the services of an engine, wherever that runs: its input, its reader, and its end, joined. */
import type { Effect } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { AttachOptions, AttachShape } from "../session/Attach.ts"
import type { SessionsShape } from "../session/Sessions.ts"
import { textOf } from "./arguments.ts"
import { InputQueue } from "./InputQueue.ts"
import type { OutputChunk } from "./OutputChunk.ts"
import { OutputReader } from "./OutputReader.ts"
import { invalid, RepriseError } from "./RepriseError.ts"
import type { SessionEnds } from "./SessionEnds.ts"
import type { SessionExit, TerminalSize } from "./SessionInfo.ts"
import type { CloseReport, InputReceipt, Terminal } from "./Terminal.ts"

export interface LiveTerminalOptions {
  readonly session: SessionId
  readonly sessions: SessionsShape
  readonly attach: AttachShape
  readonly ends: SessionEnds
  /** Runs a call of a service for the client that this terminal is of. */
  readonly call: <A>(effect: Effect.Effect<A, unknown>) => Promise<A>
  readonly attachOptions: AttachOptions & { readonly client: string }
  /** What `await using` does at the end: `close` or only `detach`. */
  readonly ownsSession: boolean
  readonly onLeft: (terminal: LiveTerminal) => void
}

const NOTHING_TYPED: InputReceipt = { sequence: 0, hidden: false, truncatedTo: null }
const TARGETS: ReadonlySet<string> = new Set(["foreground", "leader", "session"])
const DONE = { done: true, value: undefined } as const

export class LiveTerminal implements Terminal {
  readonly sessionId: SessionId
  readonly clientId: string
  readonly ready: Promise<void>
  readonly #options: LiveTerminalOptions
  readonly #input = new InputQueue()
  readonly #reader: OutputReader
  #exit: SessionExit | undefined
  #exited: PromiseWithResolvers<SessionExit> | undefined
  /** Loops that were begun and not left. */
  #loops = 0
  #isLeft = false
  /** Who left waits for no end. */
  readonly #leaving = new AbortController()

  /** Attaches; `ready` says whether it worked. */
  constructor(options: LiveTerminalOptions) {
    const { attach, attachOptions, session } = options
    this.#options = options
    this.sessionId = session
    this.clientId = attachOptions.client
    // The size is asked for once: attached again, the terminal has the size that it was given meanwhile.
    let { size } = attachOptions
    this.#reader = new OutputReader({
      after: attachOptions.after,
      open: (after) => {
        const stream = attach.attach(session, { ...attachOptions, after, size })
        if (after !== undefined) size = undefined
        return stream
      },
      onEnd: (exit) => this.#end(exit)
    })
    this.ready = this.#reader.attach()
    this.ready.catch(() => {})
    this.#watch()
  }

  get lastSequence(): number {
    return this.#reader.sequence
  }

  get exitCode(): number | null | undefined {
    return this.#exit?.exitCode
  }

  get exitSignal(): string | null | undefined {
    return this.#exit?.signal
  }

  get exited(): Promise<SessionExit> {
    return (this.#exited ?? this.#watch()).promise
  }

  async writeStdin(data: string | Uint8Array): Promise<InputReceipt> {
    if (typeof data !== "string" && !(data instanceof Uint8Array)) {
      throw invalid("data", "must be a string or a Uint8Array")
    }
    if (data.length === 0) return NOTHING_TYPED
    // A copy: it may wait, and the caller may use its buffer again.
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : Uint8Array.from(data)
    return this.#input.add(() => this.#command((sessions, by) => sessions.write(this.sessionId, bytes, by)))
  }

  async writeStdinEOF(): Promise<void> {
    return this.#input.add(() => this.#command((sessions, by) => sessions.closeInput(this.sessionId, by)))
  }

  async resize(cols: number, rows: number): Promise<TerminalSize> {
    return this.#command((sessions, by) => sessions.resize(this.sessionId, { cols, rows }, by))
  }

  async signal(signal: string, target: "foreground" | "leader" | "session" = "foreground"): Promise<void> {
    textOf("signal", signal)
    if (!TARGETS.has(target)) throw invalid("target", `is one of ${[...TARGETS].join(", ")}`)
    return this.#command((sessions, by) => sessions.signal(this.sessionId, signal, target, by))
  }

  async close(): Promise<CloseReport> {
    const report = await this.#command((sessions, by) => sessions.close(this.sessionId, by))
    // So that its end is known from here on. What closed is closed, whether or not this finds out.
    await this.#options.ends.look(this.sessionId).catch(() => undefined)
    return report
  }

  async detach(): Promise<void> {
    if (this.#isLeft) return
    this.#isLeft = true
    this.#leaving.abort()
    if (this.#exit === undefined) {
      this.#exited ??= resolvers()
      this.#exited.reject(this.#leftError())
    }
    this.#options.onLeft(this)
    await this.#reader.close()
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<OutputChunk> {
    let isLeft = false
    this.#loops += 1
    const leave = () => {
      if (isLeft) return
      isLeft = true
      this.#loops -= 1
      this.#letGo()
    }
    const iterator: AsyncIterableIterator<OutputChunk> = {
      next: async () => {
        if (isLeft) return DONE
        try {
          const value = await this.#reader.next()
          if (value !== undefined) return { done: false, value }
        } catch (error) {
          leave()
          throw error
        }
        leave()
        return DONE
      },
      return: async () => {
        leave()
        return DONE
      },
      [Symbol.asyncIterator]: () => iterator
    }
    return iterator
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isLeft) return
    try {
      if (this.#options.ownsSession) await this.close()
    } finally {
      await this.detach()
    }
  }

  #command<A>(
    run: (sessions: SessionsShape, by: { readonly client: string }) => Effect.Effect<A, unknown>
  ): Promise<A> {
    const { call, sessions } = this.#options
    if (this.#isLeft) return Promise.reject(this.#leftError())
    return call(run(sessions, { client: this.clientId }))
  }

  #watch(): PromiseWithResolvers<SessionExit> {
    const exited = resolvers<SessionExit>()
    this.#exited = exited
    const { signal } = this.#leaving
    this.#options.ends.wait(this.sessionId, { signal, onResumed: (sequence) => this.#reader.renew(sequence) }).then(
      (exit) => this.#end(exit),
      (error) => {
        // Whoever asks again waits for another try. After it was left there is none.
        if (this.#exited === exited && !this.#isLeft) this.#exited = undefined
        exited.reject(error)
      }
    )
    return exited
  }

  /** Told by the feed, by the reader, or by both. */
  #end(exit: SessionExit): void {
    if (this.#exit !== undefined) return
    this.#exit = exit
    this.#exited ??= resolvers()
    this.#exited.resolve(exit)
    this.#letGo()
  }

  /** A session that is over needs nobody attached: what nobody reads now is read from its history later. */
  #letGo(): void {
    if (this.#exit !== undefined && this.#loops === 0) void this.#reader.letGo()
  }

  #leftError(): RepriseError {
    return new RepriseError(
      "TerminalDetached",
      "FailedPrecondition",
      `this terminal was detached from session ${this.sessionId}; reconnectTerminal attaches again`,
      { session: this.sessionId }
    )
  }
}

/** A rejection that nobody waits for is no error of the process. */
const resolvers = <A>(): PromiseWithResolvers<A> => {
  const made = Promise.withResolvers<A>()
  made.promise.catch(() => {})
  return made
}
