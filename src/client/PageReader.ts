/**
 * One stream, read page by page with Promises. The stream runs from the start, one page ahead of its reader: a reader that
 * does not take holds the stream, and with it its connection, where it is. Whoever makes one closes it.
 */
import { Effect, Exit, Fiber, Stream } from "effect"
import { unwrap } from "./failureOf.ts"

export class PageReader<A> {
  #page: { readonly items: ReadonlyArray<A>; readonly resume: () => void } | undefined
  #end: Exit.Exit<void, unknown> | undefined
  #taker: (() => void) | undefined
  readonly #fiber: Fiber.Fiber<void, unknown>

  constructor(stream: Stream.Stream<A, unknown>) {
    const pages = Stream.runForEachArray(stream, (items) =>
      Effect.callback<void>((resume) => {
        this.#page = { items, resume: () => resume(Effect.void) }
        this.#wake()
      })
    )
    this.#fiber = Effect.runFork(pages)
    this.#fiber.addObserver((exit) => {
      this.#end = exit
      this.#wake()
    })
  }

  /** The next page; undefined at the end and once it is closed. Rejects with what the stream fails with. One call at a time. */
  async take(): Promise<ReadonlyArray<A> | undefined> {
    if (this.#page === undefined && this.#end === undefined) {
      await new Promise<void>((resolve) => {
        this.#taker = resolve
      })
    }
    const page = this.#page
    if (page !== undefined) {
      this.#page = undefined
      page.resume()
      return page.items
    }
    if (this.#end !== undefined && !Exit.hasInterrupts(this.#end)) unwrap(this.#end)
    return undefined
  }

  /** Resolves when the stream has let go of everything, its connection too. */
  async close(): Promise<void> {
    this.#page = undefined
    await Effect.runPromise(Fiber.interrupt(this.#fiber))
  }

  #wake(): void {
    this.#taker?.()
    this.#taker = undefined
  }
}
