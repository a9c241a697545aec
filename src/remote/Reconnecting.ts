/**
 * How often, and with which pauses, a client tries again after it lost the engine. What may be tried again is decided by
 * who calls (EngineClient.ts).
 */
import { Clock, Effect, Schedule } from "effect"
import { ConnectionLost } from "./ConnectionLost.ts"

/**
 * Losses of the connection in a row that one call, or one stream between two items, survives: 10.5 s with the pauses below.
 * Who may not start an engine waits that long for the one that somebody else starts, which takes a second, and several on
 * a busy machine.
 */
export const RECONNECTS_MAX = 11
/** What lasted this long met a working engine: its loss is the first in a row. A call may wait for hours, and for many engines. */
export const CONNECTION_HELD_MILLIS = 10_000
/** First and largest pause before connecting again; most engines are back within the first few. */
const RECONNECT_DELAY_MIN = "20 millis"
const RECONNECT_DELAY_MAX = "2 seconds"

export const reconnecting = Schedule.min([
  Schedule.exponential(RECONNECT_DELAY_MIN, 2),
  Schedule.spaced(RECONNECT_DELAY_MAX)
]).pipe(Schedule.upTo({ times: RECONNECTS_MAX }))

/** Tries again while `passes` says so, as `reconnecting` allows; from its beginning after a loss of a connection that held. */
export const persistently = <A, E, R>(
  once: Effect.Effect<A, E, R>,
  passes: (error: { readonly _tag: string }) => boolean
): Effect.Effect<A, E, R> => {
  const isPassing = (error: E) => hasTag(error) && passes(error)
  return once.pipe(
    Effect.retry({ schedule: reconnecting, while: (error) => isPassing(error) && !hasHeld(error) }),
    Effect.catchIf(
      (error) => isPassing(error) && hasHeld(error),
      () => persistently(once, passes)
    )
  )
}

const hasHeld = (error: unknown): boolean =>
  error instanceof ConnectionLost && (error.heldMillis ?? 0) >= CONNECTION_HELD_MILLIS

/** The same use of a connection; when the connection is lost, the error says for how long it had held. */
export const timed = <A, E, R>(use: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.currentTimeMillis, (since) =>
    Effect.catchIf(
      use,
      (error) => error instanceof ConnectionLost,
      (lost: E & ConnectionLost) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.fail(new ConnectionLost({ reason: lost.reason, heldMillis: now - since }) as E)
        )
    )
  )

export const hasTag = (error: unknown): error is { readonly _tag: string } =>
  typeof error === "object" && error !== null && "_tag" in error
