/**
 * `History` for a command that stays on the screen for long and reads now and then: the store is opened for a request
 * and let go again a moment after the last one, so that a replay that is paused keeps no engine from starting. Whoever
 * has the journal then is asked: an engine that started meanwhile, or nobody.
 */
import { Context, Effect, Layer, RcRef, type Scope, Stream } from "effect"
import { History, type HistoryShape } from "../src/session/History.ts"
import { SessionUnavailable } from "../src/session/SessionError.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { reading } from "./Store.ts"

/** Between two requests of somebody who types; an engine that starts meanwhile waits for it (LOCKED_RETRIES_MAX in Store.ts is longer). */
const IDLE = "1 second"

export type HistoryOnDemand = Pick<HistoryShape, "resolve" | "get" | "redraw" | "events" | "follow">

export const makeHistoryOnDemand = (paths: StorePaths): Effect.Effect<HistoryOnDemand, never, Scope.Scope> =>
  Effect.gen(function* () {
    const opened = yield* RcRef.make({
      acquire: Effect.map(Layer.build(reading(paths, { what: "replay" })), Context.get(History)),
      idleTimeToLive: IDLE
    })
    // Where it opened the first time and does not now, it is away for the moment.
    const history = RcRef.get(opened).pipe(
      Effect.mapError((error) => new SessionUnavailable({ session: "", reason: error.message }))
    )
    const ask = <A, E>(call: (history: HistoryShape) => Effect.Effect<A, E>) =>
      Effect.scoped(Effect.flatMap(history, call))
    const read = <A, E>(call: (history: HistoryShape) => Stream.Stream<A, E>) =>
      Stream.unwrap(Effect.map(history, call))
    return {
      resolve: (reference) => ask((history) => history.resolve(reference)),
      get: (session) => ask((history) => history.get(session)),
      redraw: (session, point, options) => ask((history) => history.redraw(session, point, options)),
      events: (session, options) => read((history) => history.events(session, options)),
      follow: (session, after) => read((history) => history.follow(session, after))
    }
  })
