/** The output of a session as a stream, for those who only read it: `run`, `replay` and followers. It reads History. */
import { Context, Effect, Layer, type Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { History, type HistoryShape } from "../session/History.ts"
import { mapPages, type OutputItem, outputItems } from "../session/OutputItem.ts"
import type { HistoryDamaged, InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"

export interface OutputRange {
  /** Exclusive; 0 (the default) is the beginning. */
  readonly after?: number | undefined
  /** Inclusive. Given: the stream is finite and holds no Synced. */
  readonly until?: number | undefined
  /** Go on with what happens from now on (the default), or end with what is there. */
  readonly live?: boolean | undefined
}

export type OutputError = SessionNotFound | InvalidRequest | SessionUnavailable | HistoryDamaged

export interface SessionOutputShape {
  /** In order, gap-free, without duplicates; one chunk of the stream is one page. A slow reader delays nobody. */
  stream(session: SessionId, range?: OutputRange): Stream.Stream<OutputItem, OutputError>
}

export class SessionOutput extends Context.Service<SessionOutput, SessionOutputShape>()(
  "reprise/remote/SessionOutput"
) {
  /** From the history of the same process. */
  static readonly layer: Layer.Layer<SessionOutput, never, History> = Layer.effect(
    SessionOutput,
    Effect.map(History, (history) =>
      SessionOutput.of({ stream: (session, range) => outputOf(history, session, range) })
    )
  )
}

/** The output of a session, read through `history`. */
export const outputOf = (
  history: HistoryShape,
  session: SessionId,
  range: OutputRange = {}
): Stream.Stream<OutputItem, OutputError> => {
  if (range.until !== undefined || range.live === false) {
    return history.events(session, { after: range.after, until: range.until }).pipe(mapPages(outputItems))
  }
  return history
    .follow(session, range.after ?? 0)
    .pipe(
      mapPages((events) =>
        events.flatMap((event) => (event._tag === "Synced" ? [event as OutputItem] : outputItems(event.entries)))
      )
    )
}
