/**
 * A session's terminal output as a client wants it: bytes in large pieces, with the few events that end or interrupt
 * them. `run`, `attach` and `replay` use it, so that a byte costs little on its way: neighbouring output events become
 * one piece and nothing else of the journal crosses the socket. It reads History; it never invents an end.
 */
import { Array as Arr, Context, Effect, Layer, type Pull, Schema, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import { History, type HistoryShape } from "../session/History.ts"
import type { HistoryDamaged, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"

/** Neighbouring output bytes. At most one page of the journal (256 KiB). */
export const OutputBytes = Schema.TaggedStruct("Output", {
  data: Schema.Uint8Array,
  /** Bytes of the terminal before these. */
  offset: Schema.Int,
  /** Last event these bytes come from: the cursor to go on after. */
  sequence: Schema.Int
})
/** What follows is live. Once. */
export const OutputSynced = Schema.TaggedStruct("Synced", { sequence: Schema.Int })
/** The program ended. A process it left behind may go on writing. */
export const ProgramExited = Schema.TaggedStruct("Exited", {
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  sequence: Schema.Int
})
/** Bytes are missing here and will not come. */
export const OutputMissing = Schema.TaggedStruct("Missing", {
  from: Schema.Int,
  to: Schema.NullOr(Schema.Int),
  why: Schema.String,
  sequence: Schema.Int
})
/** The session is over; nothing follows. */
export const OutputEnded = Schema.TaggedStruct("Ended", {
  reason: Schema.Literals(["exited", "ended", "failed", "lost"]),
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** Why it is lost; "" otherwise. */
  detail: Schema.String,
  sequence: Schema.Int
})

export const OutputItem = Schema.Union([OutputBytes, OutputSynced, ProgramExited, OutputMissing, OutputEnded]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type OutputItem = typeof OutputItem.Type

export interface OutputRange {
  /** Exclusive; 0 (the default) is the beginning. */
  readonly after?: number | undefined
  /** Inclusive. Given: the stream is finite and holds no Synced. */
  readonly until?: number | undefined
  /** Go on with what happens from now on (the default), or end with what is there. */
  readonly live?: boolean | undefined
}

export type OutputError = SessionNotFound | SessionUnavailable | HistoryDamaged

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

/** Pages without an item of interest become no chunk at all, so that a reader is never woken for nothing. */
const mapPages =
  <A>(f: (page: ReadonlyArray<A>) => ReadonlyArray<OutputItem>) =>
  <E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<OutputItem, E, R> =>
    Stream.transformPull(stream, (pull) => {
      const next: typeof pull extends Pull.Pull<infer _A, infer PE, infer D, infer PR>
        ? Pull.Pull<Arr.NonEmptyReadonlyArray<OutputItem>, PE, D, PR>
        : never = Effect.flatMap(pull, (page) => {
        const items = f(page)
        return Arr.isReadonlyArrayNonEmpty(items) ? Effect.succeed(items) : next
      })
      return Effect.succeed(next)
    })

/** A piece of this size is passed on as it is: copying it to join it with its neighbours costs more than it saves. */
const LARGE_PIECE_BYTES = 32 * 1024

/** What a page of events means to a reader of output. Small neighbours are joined; a large or single piece is not copied. */
export const outputItems = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<OutputItem> => {
  const items: Array<OutputItem> = []
  let pieces: Array<Uint8Array> = []
  let offset = 0
  let next = 0
  let last = 0
  const flush = () => {
    if (pieces.length === 0) return
    const data = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    items.push({ _tag: "Output", data, offset, sequence: last })
    pieces = []
  }
  for (const { event, sequence } of entries) {
    switch (event._tag) {
      case "OutputReceived": {
        if (event.channel !== "tty") break
        const isLarge = event.data.byteLength >= LARGE_PIECE_BYTES
        if (pieces.length > 0 && (isLarge || event.offset !== next)) flush()
        if (pieces.length === 0) offset = event.offset
        pieces.push(event.data)
        next = event.offset + event.data.byteLength
        last = sequence
        if (isLarge) flush()
        break
      }
      case "LeaderExited": {
        flush()
        items.push({ _tag: "Exited", exitCode: event.exitCode, signal: event.signal, sequence })
        break
      }
      case "GapDetected": {
        if (event.what !== "output") break
        flush()
        items.push({ _tag: "Missing", from: event.from, to: event.to, why: event.why, sequence })
        break
      }
      case "SessionLost": {
        flush()
        items.push({ _tag: "Ended", reason: "lost", exitCode: null, signal: null, detail: event.reason, sequence })
        break
      }
      case "SessionClosed": {
        flush()
        items.push({
          _tag: "Ended",
          reason: event.reason,
          exitCode: event.exitCode,
          signal: event.signal,
          detail: "",
          sequence
        })
        break
      }
    }
  }
  flush()
  return items
}
