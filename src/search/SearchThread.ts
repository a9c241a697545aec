/**
 * Search workers (SearchWorker.ts), each lent to one user at a time. A request that is not answered within the deadline ends
 * its thread, and with it whatever a pattern does there: the caller is told, the process goes on. A thread that is given back
 * in the middle of something is ended too. None keeps the process alive while it waits.
 */
import { Worker } from "node:worker_threads"
import { Data, Deferred, Effect, type Scope, Semaphore } from "effect"
import type { ScreenWorkerData } from "../../projections/BackgroundThread.ts"
import type { SearchAnswer, SearchRequest } from "./SearchWorker.ts"

export interface SearchThreadOptions {
  readonly workerUrl: URL
  /** Lent at a time; who comes later waits. */
  readonly threadsMax: number
  /** A thread that works on one answer (a page or a block, usually 5 ms) for so long is looked at, and ended the next time. */
  readonly deadlineMillis: number
  /** A thread that nobody wanted for so long ends; the next one takes about 40 ms to start. */
  readonly idleMillis: number
  /** It takes only the processor time that nobody else wants. */
  readonly isBackground?: boolean | undefined
}

/** On a busy machine loading a few files takes seconds, with the lowest priority half a minute, and says nothing of what is asked. */
const START_DEADLINE_MILLIS = 60_000
/** Waits for a thread that got no processor (measured: it used less than half of the wait) before it is given up. */
const STARVED_WAITS_MAX = 5
/** Pages, a segment's bits, and what a pattern finds in a block. */
const WORKER_HEAP_MEGABYTES = 256

/** No answer in time: for one line the pattern takes longer than anybody waits. */
export class SearchDefeated extends Data.TaggedError("SearchDefeated")<{ readonly reason: string }> {}
/** There is no thread, or it ended by itself. */
export class SearchThreadLost extends Data.TaggedError("SearchThreadLost")<{ readonly reason: string }> {
  override get message() {
    return this.reason
  }
}

export interface SearchThread {
  /** One at a time, in order. A request that fails there fails as SearchThreadLost. */
  readonly ask: <Tag extends SearchAnswer["_tag"]>(
    request: SearchRequest,
    tag: Tag
  ) => Effect.Effect<SearchAnswer & { readonly _tag: Tag }, SearchDefeated | SearchThreadLost>
}

export interface SearchThreads {
  /** A thread until the scope closes. */
  readonly borrow: Effect.Effect<SearchThread, SearchThreadLost, Scope.Scope>
}

/** They end with the scope. */
export const makeSearchThreads = Effect.fnUntraced(function* (options: SearchThreadOptions) {
  const places = yield* Semaphore.make(options.threadsMax)
  /** One that waits for its next user. */
  let spare: Thread | undefined
  let idle: NodeJS.Timeout | undefined
  const takeSpare = () => {
    clearTimeout(idle)
    const taken = spare
    spare = undefined
    return taken?.isAlive ? taken : undefined
  }
  yield* Effect.addFinalizer(() => Effect.promise(async () => takeSpare()?.end()))

  const giveBack = (thread: Thread) => {
    if (!thread.isResting || spare !== undefined) return void thread.end()
    spare = thread
    idle = setTimeout(() => void takeSpare()?.end(), options.idleMillis)
    idle.unref()
  }
  const threads: SearchThreads = {
    borrow: Effect.gen(function* () {
      yield* Effect.acquireRelease(places.take(1), () => places.release(1))
      const thread = yield* Effect.acquireRelease(
        Effect.sync(() => takeSpare() ?? new Thread(options)),
        (lent) => Effect.sync(() => giveBack(lent))
      )
      yield* thread.started
      return thread
    })
  }
  return threads
})

class Thread implements SearchThread {
  readonly #options: SearchThreadOptions
  #worker: Worker | undefined
  #waiting: Deferred.Deferred<SearchAnswer, SearchDefeated | SearchThreadLost> | undefined
  #isStarted = false

  constructor(options: SearchThreadOptions) {
    this.#options = options
  }

  get isAlive(): boolean {
    return this.#worker !== undefined
  }

  /** Nothing was asked that has no answer yet. */
  get isResting(): boolean {
    return this.isAlive && this.#isStarted && this.#waiting === undefined
  }

  get started(): Effect.Effect<void, SearchThreadLost> {
    return Effect.suspend(() => {
      if (this.#isStarted) return Effect.void
      const { isBackground, workerUrl } = this.#options
      const ready = Deferred.makeUnsafe<SearchAnswer, SearchDefeated | SearchThreadLost>()
      this.#waiting = ready
      try {
        const worker = new Worker(workerUrl, {
          resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MEGABYTES },
          workerData: { isBackground: isBackground === true } satisfies ScreenWorkerData
        })
        this.#worker = worker
        worker.on("message", (answer: SearchAnswer) => this.#settle(answer))
        worker.on("error", (error) => this.#lost(error instanceof Error ? error.message : String(error)))
        worker.on("exit", () => this.#lost("the searching thread ended"))
      } catch (error) {
        return Effect.fail(new SearchThreadLost({ reason: String(error) }))
      }
      return Deferred.await(ready).pipe(
        Effect.timeoutOrElse({
          duration: START_DEADLINE_MILLIS,
          orElse: () => {
            void this.end()
            return Effect.fail(
              new SearchThreadLost({ reason: `the searching thread did not start in ${START_DEADLINE_MILLIS} ms` })
            )
          }
        }),
        Effect.catchTag("SearchDefeated", ({ reason }) => Effect.fail(new SearchThreadLost({ reason }))),
        Effect.andThen(
          Effect.sync(() => {
            this.#isStarted = true
            this.#worker?.unref()
          })
        )
      )
    })
  }

  ask<Tag extends SearchAnswer["_tag"]>(
    request: SearchRequest,
    tag: Tag
  ): Effect.Effect<SearchAnswer & { readonly _tag: Tag }, SearchDefeated | SearchThreadLost> {
    const self = this
    return Effect.gen(function* () {
      const worker = self.#worker
      if (worker === undefined) return yield* new SearchThreadLost({ reason: "the searching thread ended" })
      const waiting = Deferred.makeUnsafe<SearchAnswer, SearchDefeated | SearchThreadLost>()
      self.#waiting = waiting
      worker.ref()
      worker.postMessage(request, "page" in request ? [request.page.bytes.buffer, request.page.numbers.buffer] : [])
      const answer = yield* self.#wait(worker, waiting)
      worker.unref()
      if (answer._tag !== tag) {
        const reason = answer._tag === "Failed" ? answer.reason : "the searching thread gave another answer"
        return yield* new SearchThreadLost({ reason })
      }
      return answer as SearchAnswer & { readonly _tag: Tag }
    })
  }

  async end(): Promise<void> {
    const worker = this.#worker
    this.#lost("the searching thread was ended")
    await worker?.terminate()
  }

  /** The deadline is of the wall, but a thread that got no processor meanwhile is not to blame and is waited for. */
  #wait(
    worker: Worker,
    waiting: Deferred.Deferred<SearchAnswer, SearchDefeated | SearchThreadLost>
  ): Effect.Effect<SearchAnswer, SearchDefeated | SearchThreadLost> {
    const { deadlineMillis } = this.#options
    const attempt = (
      left: number,
      cpuBefore?: number
    ): Effect.Effect<SearchAnswer, SearchDefeated | SearchThreadLost> =>
      Deferred.await(waiting).pipe(
        Effect.timeoutOrElse({
          duration: deadlineMillis,
          orElse: () =>
            Effect.flatMap(cpuMicros(worker), (cpu) => {
              // Asked for the first time only now: most answers come at once, and asking is not free.
              const used = cpuBefore === undefined ? 0 : cpu - cpuBefore
              if (left > 0 && used < (deadlineMillis * 1000) / 2) return attempt(left - 1, cpu)
              void this.end()
              return Effect.fail(new SearchDefeated({ reason: `no answer in ${deadlineMillis} ms` }))
            })
        })
      )
    return attempt(STARVED_WAITS_MAX)
  }

  #settle(answer: SearchAnswer): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) Deferred.doneUnsafe(waiting, Effect.succeed(answer))
  }

  #lost(reason: string): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    this.#worker?.unref()
    this.#worker = undefined
    if (waiting !== undefined) Deferred.doneUnsafe(waiting, Effect.fail(new SearchThreadLost({ reason })))
  }
}

/** Processor time the thread has used, asked of the runtime: it answers while the thread is busy. */
const cpuMicros = (worker: Worker): Effect.Effect<number> =>
  Effect.promise(async () => {
    try {
      const { user, system } = await worker.cpuUsage()
      return user + system
    } catch {
      // The thread is ending. Nothing used: its end settles the wait.
      return 0
    }
  })
