/**
 * `History` for those who look into a store: who is given what a session holds is told to the AccessLog. The engine's own
 * reads, which are nobody's, use the one below. A read never fails because of it.
 */
import { Effect, Layer, Stream } from "effect"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { AccessLog } from "./AccessLog.ts"
import { History } from "./History.ts"

export const layer: Layer.Layer<History, never, History | AccessLog> = Layer.effect(
  History,
  Effect.gen(function* () {
    const history = yield* History
    const { note } = yield* AccessLog

    /** Only of a session that is there: a wrong name is no access. */
    const noted = <A, E>(what: string, session: SessionId, work: Effect.Effect<A, E>) =>
      Effect.tap(work, () => note({ what, session }))
    const notedStream = <A, E>(
      what: string,
      session: SessionId,
      range: { readonly after?: number | undefined; readonly until?: number | undefined },
      items: Stream.Stream<A, E>
    ) =>
      Stream.unwrap(
        Effect.as(
          Effect.flatMap(Effect.option(history.get(session)), (found) =>
            found._tag === "Some" || session === STORE_STREAM
              ? note({ what, session, after: range.after ?? 0, until: range.until ?? null })
              : Effect.void
          ),
          items
        )
      )
    return History.of({
      ...history,
      stateAt: (session, point) => noted("inspect", session, history.stateAt(session, point)),
      redraw: (session, point, options) => noted("inspect", session, history.redraw(session, point, options)),
      events: (session, options = {}) => notedStream("read", session, options, history.events(session, options)),
      follow: (session, after) => notedStream("follow", session, { after }, history.follow(session, after))
    })
  })
)
