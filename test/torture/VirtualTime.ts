/**
 * Time that passes only when a test says so: the timers of the whole process and Effect's clock, moved together. For runs
 * that must repeat exactly, and for such as would wait for seconds. Real I/O has no place in one: nothing here waits for it.
 */
import { type Clock, Duration, Effect } from "effect"

/** Turns of the event loop without anything noted after which nothing more happens without time passing. */
const QUIET_TURNS = 6
/** Turns in which a run comes to rest; more mean that it never does. */
const TURNS_MAX = 100_000

interface Timer {
  readonly id: number
  atMillis: number
  readonly run: () => void
}

const realSetImmediate = globalThis.setImmediate

export class VirtualTime {
  /** Since the beginning of the run. */
  nowMillis = 0
  /** What is added to the wall clock; the monotonic clock never jumps. */
  jumpMillis = 0
  /** Raised by whoever does something: time waits while it changes. */
  activity = 0
  readonly #startMillis: number
  readonly #timers = new Map<number, Timer>()
  #ids = 0
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval
  }

  constructor(startMillis = 1_700_000_000_000) {
    this.#startMillis = startMillis
  }

  /** Takes the place of the process's timers until `restore`. */
  install(): void {
    const start = (run: (...args: ReadonlyArray<unknown>) => void, millis = 0, ...args: ReadonlyArray<unknown>) =>
      this.#start(() => run(...args), millis)
    const clear = (handle: { readonly id?: number } | number | undefined) => {
      const id = typeof handle === "object" ? handle?.id : handle
      if (id !== undefined) this.#timers.delete(id)
    }
    const repeat = (run: () => void, millis = 1) => {
      const again = () => {
        this.#timers.set(handle.id, { id: handle.id, atMillis: this.nowMillis + Math.max(1, millis), run: again })
        run()
      }
      const handle = this.#start(again, millis)
      return handle
    }
    Object.assign(globalThis, { setTimeout: start, clearTimeout: clear, setInterval: repeat, clearInterval: clear })
  }

  restore(): void {
    Object.assign(globalThis, this.#real)
  }

  /** Everything that happens without time passing has happened. */
  async settle(): Promise<void> {
    let seen = this.activity
    for (let quiet = 0, turns = 0; quiet < QUIET_TURNS; turns++) {
      if (turns > TURNS_MAX) throw new Error("it never comes to rest")
      await new Promise<void>((resolve) => realSetImmediate(resolve))
      quiet = this.activity === seen ? quiet + 1 : 0
      seen = this.activity
    }
  }

  /** Lets so much time pass, and in it everything happen that is due, in order. */
  async pass(millis: number): Promise<void> {
    const until = this.nowMillis + millis
    await this.settle()
    for (;;) {
      let next: Timer | undefined
      for (const timer of this.#timers.values()) {
        if (timer.atMillis > until) continue
        if (next === undefined || timer.atMillis < next.atMillis) next = timer
      }
      if (next === undefined) break
      this.#timers.delete(next.id)
      this.nowMillis = Math.max(this.nowMillis, next.atMillis)
      next.run()
      await this.settle()
    }
    this.nowMillis = until
  }

  readonly clock: Clock.Clock = (() => {
    const micros = () => BigInt(Math.round((this.#startMillis + this.jumpMillis + this.nowMillis) * 1000))
    const clock: Clock.Clock = {
      currentTimeMillisUnsafe: () => Number(micros() / 1000n),
      currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe()),
      currentTimeNanosUnsafe: () => micros() * 1000n,
      currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe()),
      monotonicTimeNanosUnsafe: () => BigInt(Math.round(this.nowMillis * 1e6)) + 1n,
      monotonicTimeNanos: Effect.sync(() => clock.monotonicTimeNanosUnsafe()),
      sleep: (duration) =>
        Effect.callback<void>((resume) => {
          const timer = setTimeout(() => resume(Effect.void), Duration.toMillis(duration))
          return Effect.sync(() => clearTimeout(timer))
        })
    }
    return clock
  })()

  #start(run: () => void, millis: number) {
    const id = ++this.#ids
    this.#timers.set(id, { id, atMillis: this.nowMillis + Math.max(1, Number(millis) || 1), run })
    const handle = {
      id,
      ref: () => handle,
      unref: () => handle,
      hasRef: () => true,
      refresh: () => handle,
      close: () => handle,
      [Symbol.toPrimitive]: () => id
    }
    return handle
  }
}
