/**
 * Live screens of sessions, drawn in one worker thread off the hot path. ScreenHistory.ts feeds it from the journal.
 * It keeps the thread's emulators within a bound (the least recently used go first), asks one thing at a time, and ends
 * the thread when an answer takes longer than the deadline: output that defeats the emulator then costs its own session
 * the screen (`ScreenDefeated`: the caller quarantines it) and nobody else anything but a redraw (`ScreenLost`). It
 * never reads the journal, and the thread never keeps the process alive on its own.
 */
import { Worker } from "node:worker_threads"
import { Context, Data, Deferred, Effect, Layer, Semaphore } from "effect"
import type { TerminalSize } from "../journal/Event.ts"
import type { ScreenWorkerData } from "./BackgroundThread.ts"
import type { ScreenContent, ScreenRedraw, ScreenRedrawOptions } from "./Screen.ts"
import { screenCells } from "./ScreenBounds.ts"
import type { PictureArea, ScreenPicture } from "./ScreenPicture.ts"
import type { ScreenAnswer, ScreenRequest, ScreenStep } from "./ScreenWorker.ts"

export interface ScreenOptions {
  /** The worker's module. */
  readonly workerUrl: URL
  /** Longest wait for one answer, and that is one page of output (256 KiB) drawn: usually 10 ms. */
  readonly deadlineMillis: number
  /** A thread that had nothing to do for so long ends; the next request starts another (about 100 ms). */
  readonly idleMillis: number
  /** Emulators held at a time. */
  readonly screensMax: number
  /** Cells of all of them, 12 bytes each: 4 Mi are about 50 MB. One larger screen alone is always possible. */
  readonly cellsMax: number
  /** The thread takes only the processor time that nobody else wants; by default that of ScreenFollower.ts does. */
  readonly isBackground?: boolean | undefined
  /**
   * The thread is started soon and does not end for want of work, so that the first look at a screen does not wait for
   * it. About 20 MB; for a process that people attach to.
   */
  readonly standsBy?: boolean | undefined
}

/** After the start of a process that has other things to do first, and that often ends before anybody looks. */
const STAND_BY_DELAY = "3 seconds"

/** Loading the emulator's module; on a busy machine this takes seconds, and it says nothing about any session. */
const START_DEADLINE_MILLIS = 20_000
/** Waits for a thread that got no processor (measured: it used less than half of the wait) before it is given up. */
const STARVED_WAITS_MAX = 5
/** The emulators' own memory and what hostile output can add to it; a thread above it is ended by the runtime. */
const WORKER_HEAP_MEGABYTES = 512

// From source and as compiled module by module the worker is the file beside this one; in a bundle this code stands in
// a file of another name, and every entry of the bundle is in one folder.
const defaultWorkerUrl = (): URL => {
  const own = /\/ScreenService\.(ts|js)$/.exec(import.meta.url)
  return new URL(own === null ? "./screen-worker.js" : `./ScreenWorker.${own[1]}`, import.meta.url)
}

/** Tunables. A program that is not bundled as ours is gives the worker's URL here. */
export const ScreenOptions = Context.Reference<ScreenOptions>("reprise/projections/ScreenOptions", {
  defaultValue: () => ({
    workerUrl: defaultWorkerUrl(),
    deadlineMillis: 2000,
    idleMillis: 60_000,
    screensMax: 64,
    cellsMax: 4 * 1024 * 1024
  })
})

/** This session's request was not answered: its output (or its snapshot) defeats the emulator. */
export class ScreenDefeated extends Data.TaggedError("ScreenDefeated")<{ readonly reason: string }> {}
/** The emulator is not there any more, for no fault of this session: open it again. */
export class ScreenLost extends Data.TaggedError("ScreenLost")<{ readonly reason: string }> {}
/** No worker can be started. */
export class ScreenUnavailable extends Data.TaggedError("ScreenUnavailable")<{ readonly reason: string }> {}
export type ScreenError = ScreenDefeated | ScreenLost | ScreenUnavailable

export interface ScreenServiceShape {
  /** Last sequence drawn on the live screen of this key; undefined when there is none. */
  readonly position: (key: string) => number | undefined
  /** A blank screen, as it is after `sequence`. Replaces one of the same key. */
  readonly open: (key: string, sequence: number, size: TerminalSize) => Effect.Effect<void, ScreenError>
  /** A screen from a snapshot taken after `sequence`; false when the snapshot is not one of this version. */
  readonly restore: (key: string, sequence: number, snapshot: Uint8Array) => Effect.Effect<boolean, ScreenError>
  /** Draws in order; afterwards the position is `sequence`. The steps' bytes are handed over and empty afterwards. */
  readonly draw: (key: string, steps: ReadonlyArray<ScreenStep>, sequence: number) => Effect.Effect<void, ScreenError>
  /** Draws the end of plain output without what is before it (`Screen.jump`), and the position is `sequence`; or false, and nothing is drawn. */
  readonly jump: (key: string, end: Uint8Array, sequence: number) => Effect.Effect<boolean, ScreenError>
  readonly view: (key: string) => Effect.Effect<ScreenContent, ScreenError>
  /** What it shows as rows of text with colours, as far as they fit the area. */
  readonly picture: (key: string, area?: PictureArea) => Effect.Effect<ScreenPicture, ScreenError>
  /** The bytes that draw the screen on another terminal, or why there are none. */
  readonly redraw: (key: string, options: ScreenRedrawOptions) => Effect.Effect<ScreenRedraw, ScreenError>
  /** undefined: this screen has no certain snapshot at the moment. */
  readonly serialize: (key: string) => Effect.Effect<Uint8Array | undefined, ScreenError>
  readonly close: (key: string) => Effect.Effect<void>
  /** Runs one user of a key at a time: drawing takes several requests that must not mix with another's. */
  readonly exclusively: (key: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export class ScreenService extends Context.Service<ScreenService, ScreenServiceShape>()(
  "reprise/projections/ScreenService"
) {
  static readonly layer = Layer.effect(
    ScreenService,
    Effect.flatMap(ScreenOptions, (options) => makeScreenService(options))
  )
}

/** Screens of their own, in a thread of their own that ends with the scope. */
export const makeScreenService = Effect.fnUntraced(function* (options: ScreenOptions) {
  const hub = new ScreenHub(options)
  yield* Effect.addFinalizer(() => Effect.promise(() => hub.end()))
  return ScreenService.of(yield* makeService(hub, options.standsBy === true))
})

const makeService = Effect.fnUntraced(function* (hub: ScreenHub, standsBy: boolean) {
  const turn = yield* Semaphore.make(1)
  // One request at a time: so a late answer names its session, and a waiting session's deadline has not begun.
  const ask = (request: ScreenRequest): Effect.Effect<ScreenAnswer, ScreenError> =>
    turn.withPermit(
      Effect.gen(function* () {
        const answer = yield* hub.ask(request)
        if (answer._tag === "Missing") {
          hub.forget(request.key)
          return yield* new ScreenLost({ reason: "the screen was given up to make room" })
        }
        return answer
      })
    )
  // What is asked does not matter: the thread is there to answer it.
  if (standsBy) {
    yield* Effect.ignore(ask({ _tag: "Close", key: "" })).pipe(Effect.delay(STAND_BY_DELAY), Effect.forkScoped)
  }
  const locks = new Map<string, { readonly semaphore: Semaphore.Semaphore; users: number }>()
  const exclusively =
    (key: string) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        const lock = locks.get(key) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
        locks.set(key, lock)
        lock.users++
        return lock.semaphore.withPermit(effect).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              if (--lock.users === 0) locks.delete(key)
            })
          )
        )
      })
  const make = Effect.fnUntraced(function* (request: ScreenRequest, sequence: number) {
    const answer = yield* ask(request)
    if (answer._tag !== "Done" || answer.size === null) return false
    for (const key of hub.admit(request.key, sequence, answer.size)) yield* ask({ _tag: "Close", key })
    return true
  })
  return {
    exclusively,
    position: (key: string) => hub.position(key),
    open: (key: string, sequence: number, size: TerminalSize) =>
      Effect.flatMap(make({ _tag: "Open", key, size }, sequence), (made) =>
        made ? Effect.void : Effect.fail(new ScreenUnavailable({ reason: "the emulator cannot be made" }))
      ),
    restore: (key: string, sequence: number, snapshot: Uint8Array) =>
      make({ _tag: "Restore", key, snapshot }, sequence),
    draw: Effect.fnUntraced(function* (key: string, steps: ReadonlyArray<ScreenStep>, sequence: number) {
      const answer = yield* ask({ _tag: "Draw", key, steps })
      if (answer._tag === "Failed") {
        // Half drawn: not a state of this session.
        yield* ask({ _tag: "Close", key })
        hub.forget(key)
        return yield* new ScreenDefeated({ reason: answer.reason })
      }
      if (answer._tag === "Done" && answer.size !== null) {
        for (const old of hub.admit(key, sequence, answer.size)) yield* ask({ _tag: "Close", key: old })
      }
    }),
    jump: Effect.fnUntraced(function* (key: string, end: Uint8Array, sequence: number) {
      const answer = yield* ask({ _tag: "Jump", key, end })
      if (answer._tag === "Failed") {
        yield* ask({ _tag: "Close", key })
        hub.forget(key)
        return yield* new ScreenDefeated({ reason: answer.reason })
      }
      const jumped = answer._tag === "Jumped" && answer.jumped
      if (jumped) hub.moved(key, sequence)
      return jumped
    }),
    view: Effect.fnUntraced(function* (key: string) {
      const answer = yield* ask({ _tag: "View", key })
      if (answer._tag === "Content") return answer.content
      return yield* new ScreenDefeated({ reason: answer._tag === "Failed" ? answer.reason : "unexpected answer" })
    }),
    picture: Effect.fnUntraced(function* (key: string, area?: PictureArea) {
      const answer = yield* ask({ _tag: "Picture", key, area })
      if (answer._tag === "Pictured") return answer.picture
      return yield* new ScreenDefeated({ reason: answer._tag === "Failed" ? answer.reason : "unexpected answer" })
    }),
    redraw: Effect.fnUntraced(function* (key: string, options: ScreenRedrawOptions) {
      const answer = yield* ask({ _tag: "Redraw", key, options })
      if (answer._tag === "Redrawn") return answer.redraw
      return yield* new ScreenDefeated({ reason: answer._tag === "Failed" ? answer.reason : "unexpected answer" })
    }),
    serialize: (key: string) =>
      Effect.map(ask({ _tag: "Serialize", key }), (answer) =>
        answer._tag === "Snapshot" ? answer.snapshot : undefined
      ),
    close: (key: string) =>
      Effect.suspend(() => {
        if (hub.position(key) === undefined) return Effect.void
        hub.forget(key)
        return Effect.ignore(ask({ _tag: "Close", key }))
      })
  } satisfies ScreenServiceShape
})

interface Held {
  readonly sequence: number
  readonly cells: number
}

/** The thread and what it holds. Plain code: its state changes in callbacks of the thread. */
class ScreenHub {
  readonly #options: ScreenOptions
  /** Least recently used first. */
  readonly #held = new Map<string, Held>()
  #worker: Worker | undefined
  #waiting: Deferred.Deferred<ScreenAnswer, ScreenError> | undefined
  #idle: NodeJS.Timeout | undefined

  constructor(options: ScreenOptions) {
    this.#options = options
  }

  position(key: string): number | undefined {
    return this.#held.get(key)?.sequence
  }

  /** The screen of this key was drawn on to a place. */
  moved(key: string, sequence: number): void {
    const held = this.#held.get(key)
    if (held !== undefined) this.#held.set(key, { ...held, sequence })
  }

  forget(key: string): void {
    this.#held.delete(key)
  }

  /** Notes a screen as the most recently used; gives back the keys that must go for it. */
  admit(key: string, sequence: number, size: TerminalSize): ReadonlyArray<string> {
    this.#held.delete(key)
    this.#held.set(key, { sequence, cells: screenCells(size) })
    let cells = 0
    for (const held of this.#held.values()) cells += held.cells
    const gone: Array<string> = []
    for (const [old, held] of this.#held) {
      if (old === key || (this.#held.size <= this.#options.screensMax && cells <= this.#options.cellsMax)) break
      cells -= held.cells
      this.#held.delete(old)
      gone.push(old)
    }
    return gone
  }

  ask(request: ScreenRequest): Effect.Effect<ScreenAnswer, ScreenError> {
    const self = this
    return Effect.gen(function* () {
      clearTimeout(self.#idle)
      const worker = yield* self.#running()
      const waiting = Deferred.makeUnsafe<ScreenAnswer, ScreenError>()
      self.#waiting = waiting
      // While something is asked the thread keeps the process alive; a waiting caller is a reason to stay.
      worker.ref()
      const cpu = yield* cpuMicros(worker)
      yield* Effect.sync(() => worker.postMessage(request, transferable(request)))
      const answer = yield* self.#wait(worker, waiting, cpu)
      worker.unref()
      return answer
    }).pipe(
      // A caller that goes away leaves a thread that is in the middle of something: its answer would be taken for the
      // next one's.
      Effect.onInterrupt(() => Effect.sync(() => self.#drop(new ScreenLost({ reason: "interrupted" })))),
      Effect.ensuring(Effect.sync(() => self.#rest()))
    )
  }

  async end(): Promise<void> {
    clearTimeout(this.#idle)
    const worker = this.#worker
    this.#drop(new ScreenUnavailable({ reason: "the engine ends" }))
    await worker?.terminate()
  }

  #running(): Effect.Effect<Worker, ScreenError> {
    const self = this
    return Effect.gen(function* () {
      if (self.#worker !== undefined) return self.#worker
      const ready = Deferred.makeUnsafe<ScreenAnswer, ScreenError>()
      self.#waiting = ready
      const worker = yield* Effect.try({
        try: () =>
          new Worker(self.#options.workerUrl, {
            resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MEGABYTES },
            workerData: { isBackground: self.#options.isBackground === true } satisfies ScreenWorkerData
          }),
        catch: (error) => new ScreenUnavailable({ reason: String(error) })
      })
      self.#worker = worker
      worker.on("message", (answer: ScreenAnswer) => self.#settle(worker, answer))
      worker.on("error", (error) => self.#died(worker, error instanceof Error ? error.message : String(error)))
      worker.on("exit", () => self.#died(worker, "the drawing thread ended"))
      yield* Deferred.await(ready).pipe(
        Effect.catchTag("ScreenDefeated", ({ reason }) => Effect.fail(new ScreenUnavailable({ reason }))),
        Effect.timeoutOrElse({
          duration: START_DEADLINE_MILLIS,
          orElse: () => {
            self.#drop(new ScreenUnavailable({ reason: "start" }))
            return Effect.fail(
              new ScreenUnavailable({ reason: `the drawing thread did not start in ${START_DEADLINE_MILLIS} ms` })
            )
          }
        })
      )
      return worker
    })
  }

  /** The deadline is of the wall, but a thread that got no processor meanwhile is not to blame and is waited for. */
  #wait(
    worker: Worker,
    waiting: Deferred.Deferred<ScreenAnswer, ScreenError>,
    cpuBefore: number
  ): Effect.Effect<ScreenAnswer, ScreenError> {
    const self = this
    const { deadlineMillis } = this.#options
    const attempt = (left: number): Effect.Effect<ScreenAnswer, ScreenError> =>
      Deferred.await(waiting).pipe(
        Effect.timeoutOrElse({
          duration: deadlineMillis,
          orElse: () =>
            Effect.gen(function* () {
              const used = (yield* cpuMicros(worker)) - cpuBefore
              if (left > 0 && used < (deadlineMillis * 1000) / 2) return yield* attempt(left - 1)
              self.#drop(new ScreenLost({ reason: "the drawing thread was ended" }))
              return yield* new ScreenDefeated({ reason: `no answer in ${deadlineMillis} ms` })
            })
        })
      )
    return attempt(STARVED_WAITS_MAX)
  }

  #settle(worker: Worker, answer: ScreenAnswer): void {
    if (worker !== this.#worker || this.#waiting === undefined) return
    const waiting = this.#waiting
    this.#waiting = undefined
    Deferred.doneUnsafe(waiting, Effect.succeed(answer))
  }

  /** The thread ended on its own (out of memory, a fatal error) while it worked on what is asked. */
  #died(worker: Worker, reason: string): void {
    if (worker === this.#worker) this.#drop(new ScreenDefeated({ reason }))
  }

  /** Ends the thread; who waits for it gets `error`, and all its screens are gone. */
  #drop(error: ScreenError): void {
    const worker = this.#worker
    const waiting = this.#waiting
    this.#worker = undefined
    this.#waiting = undefined
    this.#held.clear()
    if (waiting !== undefined) Deferred.doneUnsafe(waiting, Effect.fail(error))
    worker?.unref()
    worker?.terminate().catch(() => undefined)
  }

  #rest(): void {
    if (this.#worker === undefined || this.#options.standsBy === true) return
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => this.#drop(new ScreenLost({ reason: "idle" })), this.#options.idleMillis)
    this.#idle.unref()
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

/** Pages of output change hands instead of being copied. */
const transferable = (request: ScreenRequest): Array<ArrayBuffer> => {
  const buffers = new Set<ArrayBuffer>()
  const add = (bytes: Uint8Array) => {
    // A view of a larger buffer (a page of the store, Node's pool) belongs to others and is copied.
    if (bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength) buffers.add(bytes.buffer)
  }
  // A snapshot is not: it is the store's.
  if (request._tag === "Draw") for (const step of request.steps) if (step instanceof Uint8Array) add(step)
  return [...buffers]
}
