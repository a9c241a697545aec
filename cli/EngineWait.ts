/** Uses a running engine for as long as it runs, and waits for the next one when there is none. It never starts one. */
import { Clock, Effect, type Layer, type Scope } from "effect"
import type { EngineError } from "../src/remote/EngineError.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { watchedEngine } from "./Store.ts"

/** Between two looks for an engine: a connection that is refused at once. */
const LOOK_MILLIS = 500
/** An engine that was used for this long was there; what ends sooner is one that cannot be used. */
const HELD_MILLIS = 1000

export type EngineServices = Layer.Success<ReturnType<typeof watchedEngine>>

/** What tells that there is no engine, or none any more. */
const GONE = new Set(["EngineAbsent", "EngineUnavailable", "SessionUnavailable"])

/** `use` is run on every engine that comes; it ends only by failing. `whileAbsent` is run once each time there is none. */
export const withRunningEngine = <E extends { readonly _tag: string }, E2, R, R2>(
  paths: StorePaths,
  options: {
    readonly use: Effect.Effect<never, E, R>
    readonly whileAbsent: Effect.Effect<void, E2, R2>
  }
): Effect.Effect<never, E | E2 | EngineError, Exclude<Exclude<R, Scope.Scope>, EngineServices> | R2> =>
  Effect.suspend(() => {
    let isTold = false
    const use = Effect.scoped(options.use).pipe(Effect.provide(watchedEngine(paths)))
    const once = Effect.gen(function* () {
      const since = yield* Clock.currentTimeMillis
      yield* use.pipe(
        Effect.catchIf(
          (error: E | EngineError) => GONE.has(error._tag),
          () => Effect.void
        )
      )
      if ((yield* Clock.currentTimeMillis) - since > HELD_MILLIS) isTold = false
      if (!isTold) yield* options.whileAbsent
      isTold = true
      yield* Effect.sleep(LOOK_MILLIS)
    })
    return Effect.forever(once)
  })
