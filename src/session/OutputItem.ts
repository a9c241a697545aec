/**
 * A session's terminal output as a client wants it: bytes in large pieces, with the few events that end or interrupt
 * them. `SessionOutput` and `Attach` give streams of these, so that a byte costs little on its way: neighbouring output
 * events become one piece and nothing else of the journal crosses a socket. It never invents an end.
 */
import { Array as Arr, Effect, type Pull, Schema, Stream } from "effect"
import { type JournalEntry, OutputChannel, TerminalSize } from "../../journal/Event.ts"

/** Neighbouring output bytes. At most one page of the journal (256 KiB). */
export const OutputBytes = Schema.TaggedStruct("Output", {
  data: Schema.Uint8Array,
  /** Bytes of this channel before these. */
  offset: Schema.Int,
  /** Last event these bytes come from: the cursor to go on after. */
  sequence: Schema.Int,
  /** Absent: the terminal. Else the separate stream of a command of an exec session. */
  channel: Schema.optional(OutputChannel)
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
/** The terminal has another size from here on. Only told to those who attach. */
export const SizeChanged = Schema.TaggedStruct("Resized", { size: TerminalSize, sequence: Schema.Int })
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
export type SizeChanged = typeof SizeChanged.Type

/** A piece of this size is passed on as it is: copying it to join it with its neighbours costs more than it saves. */
const LARGE_PIECE_BYTES = 32 * 1024

/** What a page of events means to a reader of the terminal. Small neighbours are joined; a large or single piece is not copied. */
export const outputItems = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<OutputItem> => {
  const items: Array<OutputItem> = []
  collect(entries, items, false)
  return items
}

/** The same for who attaches: with changes of size, and with the separate streams of an exec session's commands. */
export const attachedItems = (
  entries: ReadonlyArray<JournalEntry>
): ReadonlyArray<Exclude<OutputItem, { readonly _tag: "Synced" }> | SizeChanged> => {
  const items: Array<Exclude<OutputItem, { readonly _tag: "Synced" }> | SizeChanged> = []
  collect(entries, items as Array<OutputItem | SizeChanged>, true)
  return items
}

const collect = (
  entries: ReadonlyArray<JournalEntry>,
  items: Array<OutputItem> | Array<OutputItem | SizeChanged>,
  isAttached: boolean
): void => {
  const add = (item: OutputItem | SizeChanged) => (items as Array<OutputItem | SizeChanged>).push(item)
  let pieces: Array<Uint8Array> = []
  let channel: OutputChannel = "tty"
  let offset = 0
  let next = 0
  let last = 0
  const flush = () => {
    if (pieces.length === 0) return
    const data = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    add({ _tag: "Output", data, offset, sequence: last, ...(channel !== "tty" && { channel }) })
    pieces = []
  }
  for (const { event, sequence } of entries) {
    switch (event._tag) {
      case "OutputReceived": {
        if (event.channel !== "tty" && !isAttached) break
        const isLarge = event.data.byteLength >= LARGE_PIECE_BYTES
        if (pieces.length > 0 && (isLarge || event.offset !== next || event.channel !== channel)) flush()
        if (pieces.length === 0) offset = event.offset
        channel = event.channel
        pieces.push(event.data)
        next = event.offset + event.data.byteLength
        last = sequence
        if (isLarge) flush()
        break
      }
      case "Resized": {
        if (!isAttached) break
        flush()
        add({ _tag: "Resized", size: event.size, sequence })
        break
      }
      case "LeaderExited": {
        flush()
        add({ _tag: "Exited", exitCode: event.exitCode, signal: event.signal, sequence })
        break
      }
      case "GapDetected": {
        if (event.what !== "output") break
        flush()
        add({ _tag: "Missing", from: event.from, to: event.to, why: event.why, sequence })
        break
      }
      case "SessionLost": {
        flush()
        add({ _tag: "Ended", reason: "lost", exitCode: null, signal: null, detail: event.reason, sequence })
        break
      }
      case "SessionClosed": {
        flush()
        add({
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
}

/** Pages without an item of interest become no chunk at all, so that a reader is never woken for nothing. */
export const mapPages =
  <A, B>(f: (page: ReadonlyArray<A>) => ReadonlyArray<B>) =>
  <E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<B, E, R> =>
    Stream.transformPull(stream, (pull) => {
      const next: typeof pull extends Pull.Pull<infer _A, infer PE, infer D, infer PR>
        ? Pull.Pull<Arr.NonEmptyReadonlyArray<B>, PE, D, PR>
        : never = Effect.flatMap(pull, (page) => {
        const items = f(page)
        return Arr.isReadonlyArrayNonEmpty(items) ? Effect.succeed(items) : next
      })
      return Effect.succeed(next)
    })
