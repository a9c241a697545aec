/**
 * Tells how sessions end, from the store's feed: one subscription for all terminals of a client, so that an end is known
 * whether or not anybody reads the output. It never guesses: an end is what the journal says.
 */
import { type Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { HistoryShape } from "../session/History.ts"
import type { LifecycleItem, LifecycleShape } from "../session/Lifecycle.ts"
import { PageReader } from "./PageReader.ts"
import { closedError } from "./RepriseError.ts"
import type { SessionExit } from "./SessionInfo.ts"

export interface SessionEndsOptions {
  readonly lifecycle: LifecycleShape
  readonly history: HistoryShape
  /** Runs a call of a service for this client. */
  readonly call: <A>(effect: Effect.Effect<A, unknown>) => Promise<A>
}

export interface WaitOptions {
  /** Aborted: nobody waits any more. */
  readonly signal?: AbortSignal
  /** Called each time the session was taken back, such as by a new engine, with that event's sequence. */
  readonly onResumed?: (sequence: number) => void
}

interface Waiting extends WaitOptions {
  readonly resolve: (exit: SessionExit) => void
  readonly reject: (error: unknown) => void
}

export class SessionEnds {
  readonly #options: SessionEndsOptions
  readonly #waiting = new Map<string, Set<Waiting>>()
  #feed: PageReader<LifecycleItem> | undefined
  /** Resolves when an end that comes from now on will be seen. */
  #synced: Promise<void> | undefined

  constructor(options: SessionEndsOptions) {
    this.#options = options
  }

  /**
   * Resolves at the end of the session, at once when it is over. Rejects when the engine cannot be reached for good. When
   * its signal is aborted it does neither.
   */
  async wait(session: SessionId, options: WaitOptions = {}): Promise<SessionExit> {
    const { promise, reject, resolve } = Promise.withResolvers<SessionExit>()
    const one: Waiting = { ...options, resolve, reject }
    const waiting = this.#waiting.get(session) ?? new Set()
    this.#waiting.set(session, waiting.add(one))
    options.signal?.addEventListener("abort", () => this.#forget(session, one), { once: true })
    // Subscribed before it is looked at: what ends in between is seen by one of the two.
    this.look(session).catch((error) => this.#settle(session, (waiting) => waiting.reject(error)))
    return promise
  }

  /** How many wait, for measurements and tests. */
  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0)
  }

  async close(): Promise<void> {
    const feed = this.#feed
    this.#feed = undefined
    this.#fail(closedError())
    await feed?.close()
  }

  /** Settles who waits for a session that is over by now. */
  async look(session: SessionId): Promise<void> {
    this.#synced ??= this.#subscribe()
    await this.#synced
    const { call, history } = this.#options
    const view = await call(history.get(session))
    if (view.status === "starting" || view.status === "running" || view.terminalOpen) return
    const told = await call(
      Stream.runCollect(history.events(session, { after: Math.max(0, view.sequence - LAST_WORDS) }))
    )
    const exit = told.map(({ event }) => exitOf(event)).findLast((one) => one !== undefined)
    const { exitCode, signal, status } = view
    this.#settle(session, (waiting) =>
      waiting.resolve(exit ?? { exitCode, signal, reason: status === "exited" ? "exited" : status })
    )
  }

  #subscribe(): Promise<void> {
    const feed = new PageReader(this.#options.lifecycle.feed())
    this.#feed = feed
    const { promise, reject, resolve } = Promise.withResolvers<void>()
    const read = async () => {
      for (let items = await feed.take(); items !== undefined; items = await feed.take()) {
        for (const item of items) {
          if (item._tag === "Synced") resolve()
          else this.#see(item)
        }
      }
      throw closedError()
    }
    read().catch((error) => {
      if (this.#feed === feed) {
        this.#feed = undefined
        this.#synced = undefined
      }
      reject(error)
      this.#fail(error)
    })
    return promise
  }

  #see({ event, sequence, session }: Extract<LifecycleItem, { readonly _tag: "Event" }>): void {
    const exit = exitOf(event)
    if (event._tag === "SessionResumed")
      for (const { onResumed } of this.#waiting.get(session) ?? []) onResumed?.(sequence)
    if (exit !== undefined) this.#settle(session, (waiting) => waiting.resolve(exit))
  }

  #settle(session: string, how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(session)
    if (waiting === undefined) return
    this.#waiting.delete(session)
    for (const one of waiting) how(one)
  }

  #forget(session: string, one: Waiting): void {
    const waiting = this.#waiting.get(session)
    if (waiting?.delete(one) === true && waiting.size === 0) this.#waiting.delete(session)
  }

  #fail(error: unknown): void {
    for (const session of [...this.#waiting.keys()]) this.#settle(session, (waiting) => waiting.reject(error))
  }
}

/** A session's end is its last event but for what clients and engines do around it. */
const LAST_WORDS = 8

const exitOf = (event: { readonly _tag: string }): SessionExit | undefined => {
  const told = event as Extract<LifecycleItem, { readonly _tag: "Event" }>["event"]
  if (told._tag === "SessionClosed") return { exitCode: told.exitCode, signal: told.signal, reason: told.reason }
  if (told._tag === "SessionLost") return { exitCode: null, signal: null, reason: "lost" }
  return undefined
}
