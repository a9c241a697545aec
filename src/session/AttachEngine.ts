/**
 * `Attach` over a session's history. It gives every client a stream of its own: the screen or what it missed, then what
 * happens, then the end, whether the session lives, has ended, or ends meanwhile.
 */
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { AttachError, AttachItem, AttachOptions, AttachShape } from "./Attach.ts"
import type { HistoryShape } from "./History.ts"
import { attachedItems, mapPages } from "./OutputItem.ts"
import { InvalidRequest } from "./SessionError.ts"
import type { SessionView } from "./SessionView.ts"

export interface AttachEngineOptions {
  readonly history: HistoryShape
}

export const makeAttach = ({ history }: AttachEngineOptions): AttachShape => ({
  attach: (session, options = {}) => Stream.unwrap(begin(history, session, options))
})

const begin = Effect.fnUntraced(function* (history: HistoryShape, session: SessionId, options: AttachOptions) {
  const { after, readOnly = false } = options
  if (after !== undefined && !(Number.isInteger(after) && after >= 0)) {
    return yield* new InvalidRequest({ field: "after", reason: "must be a whole number of 0 or more" })
  }
  const view = yield* history.get(session)
  const opening: Array<AttachItem> = [
    {
      _tag: "Attached",
      session,
      client: options.client ?? crypto.randomUUID(),
      status: view.status,
      size: view.size,
      head: view.sequence,
      readOnly
    }
  ]
  let from = after ?? 0
  if (after === undefined) {
    const { data, reason, sequence, size } = yield* history.redraw(session, { _tag: "Head" }, options)
    opening.push({ _tag: "Screen", data, size, sequence, reason })
    from = sequence
  }
  return Stream.concat(Stream.fromIterable(opening), withEnd(history, session, from))
})

/** What follows `after`, with an Ended as the last item also where the stream holds none behind it. */
const withEnd = (history: HistoryShape, session: SessionId, after: number): Stream.Stream<AttachItem, AttachError> =>
  Stream.suspend(() => {
    let ended = false
    const items = history.follow(session, after).pipe(
      mapPages(
        (events): ReadonlyArray<AttachItem> =>
          events.flatMap(
            (event): ReadonlyArray<AttachItem> =>
              event._tag === "Synced"
                ? [{ _tag: "ReplayComplete", sequence: event.sequence }]
                : attachedItems(event.entries)
          )
      ),
      Stream.tap((item) =>
        Effect.sync(() => {
          if (item._tag === "Ended") ended = true
        })
      )
    )
    const end = Stream.unwrap(
      Effect.suspend(() =>
        ended ? Effect.succeed(Stream.empty) : Effect.map(history.get(session), (view) => Stream.succeed(endOf(view)))
      )
    )
    return Stream.concat(items, end)
  })

const endOf = ({ exitCode, sequence, signal, status }: SessionView): AttachItem => ({
  _tag: "Ended",
  reason: status === "lost" || status === "failed" ? status : "exited",
  exitCode,
  signal,
  detail: "",
  sequence
})
