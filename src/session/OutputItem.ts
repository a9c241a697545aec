/**
 * A session's terminal output as a client wants it: bytes in large pieces, with the few events that end or interrupt
 * them. `SessionOutput` and `Attach` give streams of these, so that a byte costs little on its way: neighbouring output
 * events become one piece and nothing else of the journal crosses a socket. It never invents an end.
 */
import { Array as Arr, Effect, type Pull, Schema, Stream } from "effect"
import { type JournalEntry, OutputChannel, TerminalSize } from "../../journal/Event.ts"
import { isKeyDestroyed } from "../../projections/SessionIndex.ts"

/** Neighbouring output bytes. At most one page of the journal (256 KiB). */
export const OutputBytes = Schema.TaggedStruct("Output", {
  data: Schema.Uint8Array,
  /** Bytes of this channel (of this command) before these. */
  offset: Schema.Int,
  /** Last event these bytes come from: the cursor to go on after. */
  sequence: Schema.Int,
  /** Absent: the terminal. Else the separate stream of a command of an exec session. */
  channel: Schema.optional(OutputChannel),
  /** With `channel`: the command's number in its session. */
  exec: Schema.optional(Schema.Int)
})
/** What follows is live. Once. */
const OutputSynced = Schema.TaggedStruct("Synced", { sequence: Schema.Int })
/** The program ended. A process it left behind may go on writing. */
export const ProgramExited = Schema.TaggedStruct("Exited", {
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  sequence: Schema.Int
})
/** Bytes are missing here and will not come. `from` may lie before what the reader has already: of what was removed it is 0. */
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

/** A piece of this size is passed on as it is: copying it to join it with its neighbours costs more than it saves. */
const LARGE_PIECE_BYTES = 32 * 1024

export type SizeChanged = typeof SizeChanged.Type
/** What happens to a session, as who attaches is told of it. */
export type AttachedOutput = Exclude<OutputItem, { readonly _tag: "Synced" }> | SizeChanged

/** What a page of events means to a reader of the terminal. Small neighbours are joined; a large or single piece is not copied. */
export const outputItems = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<OutputItem> => {
  const items: Array<OutputItem> = []
  joinOutput(entries, items, { isTaken: (channel) => channel === "tty", other: otherItem })
  return items
}

interface Joining<Item> {
  readonly isTaken: (channel: OutputChannel) => boolean
  /** What stands before an event of output. */
  readonly before?: (entry: JournalEntry) => Item | undefined
  /** What an event that is no output is to the reader. */
  readonly other: (entry: JournalEntry) => Item | undefined
}

/** Adds the items of a page: neighbouring output as one piece, and what `other` makes of the rest, in order. */
export const joinOutput = <Item extends { readonly _tag: string }>(
  entries: ReadonlyArray<JournalEntry>,
  items: Array<Item | typeof OutputBytes.Type>,
  { before, isTaken, other }: Joining<Item>
): void => {
  let pieces: Array<Uint8Array> = []
  let channel: OutputChannel = "tty"
  let exec = 0
  let offset = 0
  let next = 0
  let last = 0
  const flush = () => {
    if (pieces.length === 0) return
    const data = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    items.push({ _tag: "Output", data, offset, sequence: last, ...(channel !== "tty" && { channel, exec }) })
    pieces = []
  }
  for (const entry of entries) {
    const { event, sequence } = entry
    if (event._tag !== "OutputReceived") {
      const item = other(entry)
      if (item === undefined) continue
      flush()
      items.push(item)
      continue
    }
    if (!isTaken(event.channel)) continue
    const isLarge = event.data.byteLength >= LARGE_PIECE_BYTES
    const isNext = event.offset === next && event.channel === channel && event.exec === exec
    if (pieces.length > 0 && (isLarge || !isNext)) flush()
    const item = before?.(entry)
    if (item !== undefined) {
      flush()
      items.push(item)
    }
    if (pieces.length === 0) offset = event.offset
    channel = event.channel
    exec = event.exec
    pieces.push(event.data)
    next = event.offset + event.data.byteLength
    last = sequence
    if (isLarge) flush()
  }
  flush()
}

/** In words. Of what was removed, it may not be known how much it was. */
export const describeMissing = ({ from, to, why }: Pick<typeof OutputMissing.Type, "from" | "to" | "why">): string =>
  to !== null && to <= from ? `output is missing: ${why}` : `output bytes ${from} to ${to ?? "?"} are missing: ${why}`

/** An event that is no output, to every reader; undefined where it is nothing to them. */
export const otherItem = ({
  event,
  sequence,
  timeMicros
}: JournalEntry): Exclude<OutputItem, { readonly _tag: "Synced" | "Output" }> | undefined => {
  switch (event._tag) {
    case "LeaderExited":
      return { _tag: "Exited", exitCode: event.exitCode, signal: event.signal, sequence }
    case "EventsRemoved": {
      const day = new Date(timeMicros / 1000).toISOString().slice(0, 10)
      const why = isKeyDestroyed({ removed: event })
        ? `the session's key was destroyed on ${day}`
        : `removed on ${day} (${event.policy})`
      return { _tag: "Missing", from: 0, to: event.outputBytes, why, sequence }
    }
    case "GapDetected":
      if (event.what !== "output") return undefined
      return { _tag: "Missing", from: event.from, to: event.to, why: event.why, sequence }
    case "SessionLost":
      return { _tag: "Ended", reason: "lost", exitCode: null, signal: null, detail: event.reason, sequence }
    case "SessionClosed": {
      const { exitCode, reason, signal } = event
      return { _tag: "Ended", reason, exitCode, signal, detail: "", sequence }
    }
    default:
      return undefined
  }
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
