/**
 * One stream, read page by page with Promises. The stream runs from the start, a few pages ahead of its reader: a reader
 * that does not take holds the stream, and with it its connection, where it is. Whoever makes one closes it.
 */
import { Effect, Exit, Fiber, Stream } from "effect"
import { unwrap } from "./failureOf.ts"

/** Pages of at most 256 KiB that wait for the reader: enough that it does not wait for each. */
const PAGES_AHEAD_MAX = 4

export class PageReader<A> {
  #pages: Array<ReadonlyArray<A>> = []
  /** Lets the stream go on, which waits for room. */
  #resume: (() => void) | undefined
  #end: Exit.Exit<void, unknown> | undefined
  #taker: (() => void) | undefined
  readonly #fiber: Fiber.Fiber<void, unknown>

  /** `onPage` sees each page when it comes, which may be long before it is taken. */
  constructor(stream: Stream.Stream<A, unknown>, onPage?: (items: ReadonlyArray<A>) => void) {
    const room = Effect.callback<void>((resume) => {
      this.#resume = () => resume(Effect.void)
    })
    const pages = Stream.runForEachArray(stream, (items) =>
      Effect.suspend(() => {
        onPage?.(items)
        this.#pages.push(items)
        this.#wake()
        return this.#pages.length < PAGES_AHEAD_MAX ? Effect.void : room
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
    if (this.#pages.length === 0 && this.#end === undefined) {
      await new Promise<void>((resolve) => {
        this.#taker = resolve
      })
    }
    const page = this.#pages.shift()
    if (page !== undefined) {
      const resume = this.#resume
      this.#resume = undefined
      resume?.()
      return page
    }
    if (this.#end !== undefined && !Exit.hasInterrupts(this.#end)) unwrap(this.#end)
    return undefined
  }

  /** Resolves when the stream has let go of everything, its connection too. */
  async close(): Promise<void> {
    this.#pages = []
    await Effect.runPromise(Fiber.interrupt(this.#fiber))
  }

  #wake(): void {
    this.#taker?.()
    this.#taker = undefined
  }
}
