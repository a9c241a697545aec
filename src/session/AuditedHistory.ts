/**
 * `History` for the clients of an engine: who is given what a session holds is an event of the store (HistoryAccessed). One
 * event stands for all accesses of one kind to one session within some minutes, so that a reader who asks page by page, or
 * again and again, costs one append. A read never waits for it, and never fails because of it.
 */
import { Clock, Effect, Layer, Stream } from "effect"
import { ACTOR_ENGINE, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import { ownerName } from "./CreateRequest.ts"
import { History } from "./History.ts"

/** Accesses that lie closer together are one. */
const TOGETHER_MILLIS = 10 * 60_000
/** Sessions and kinds that are remembered; the one that was told of first is forgotten, and told of again. */
const REMEMBERED_MAX = 1000

/** Another one than the engine's own History, whose reads are nobody's. The socket lets in its user alone: that is who reads. */
export const layer: Layer.Layer<History, never, History | Journal> = Layer.effect(
  History,
  Effect.gen(function* () {
    const history = yield* History
    const journal = yield* Journal
    const scope = yield* Effect.scope
    const by = ownerName()
    const told = new Map<string, { millis: number; times: number }>()

    const note = (what: string, session: SessionId, after: number | null, until: number | null) =>
      Effect.gen(function* () {
        const millis = yield* Clock.currentTimeMillis
        const key = `${what} ${session}`
        const known = told.get(key)
        if (known !== undefined && millis - known.millis < TOGETHER_MILLIS) {
          known.times++
          return
        }
        told.delete(key)
        told.set(key, { millis, times: 0 })
        if (told.size > REMEMBERED_MAX) told.delete(told.keys().next().value!)
        // Those since the last one that was told, and this one.
        const times = (known?.times ?? 0) + 1
        const event = { _tag: "HistoryAccessed", what, session, by, through: "engine", after, until, times } as const
        yield* journal
          .append(STORE_STREAM, [{ event, actor: ACTOR_ENGINE, timeMicros: millis * 1000 }])
          .pipe(Effect.ignore, Effect.forkIn(scope))
      })
    /** Only of a session that is there: a wrong name is no access. */
    const noted = <A, E>(what: string, session: SessionId, work: Effect.Effect<A, E>) =>
      Effect.tap(work, () => note(what, session, null, null))
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
              ? note(what, session, range.after ?? 0, range.until ?? null)
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
