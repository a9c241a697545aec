/**
 * The journal: what happened, durably. One dense stream of events for each session, appended by one engine, read by
 * anyone, verified at every read. Projections, sessions and exports use it; it knows none of them.
 *
 * It never serves a byte that does not verify, never skips one silently, and never acknowledges what would not survive
 * the engine's death (mode `process`) or the machine's (mode `power`).
 */
import { Context, type Effect, type Stream } from "effect"
import type {
  JournalEntry,
  KeptStates,
  NewEvent,
  OutputChannel,
  PayloadsRedacted,
  RemovalReason,
  SessionEvent,
  SessionId
} from "./Event.ts"
import type { EventRefused, JournalDamaged, SequenceConflict, StorageUnavailable } from "./JournalError.ts"

/** Survives kill -9 of the engine (`process`), or loss of power too: every batch is fsynced (`power`). One opening of a store has one mode: mixing them leaves holes. */
export type Durability = "process" | "power"

/** Events of one page of a read: bounds what a reader holds at a time. */
export const PAGE_EVENTS_MAX = 1024
/** Bytes of one page. Large enough that a page costs little, small enough that 1,000 readers fit in memory. */
export const PAGE_BYTES_MAX = 256 * 1024

/** A derived value kept beside the events (snapshot, checkpoint, index row). Never the truth: lost or damaged, it is rebuilt. */
export interface Row {
  /** Space (at most 16 ASCII characters) and key (at most 200 bytes) name it. */
  readonly space: string
  readonly key: Uint8Array
  readonly value: Uint8Array
}

export interface AppendOptions {
  /** Head the writer believes in; another head refuses the append with SequenceConflict. */
  readonly expected?: number | undefined
  /**
   * Written in the same atomic batch as the events. A function is told the sequence of the first event, when it is known
   * that nothing can come between: batches are durable in the order of these calls, whatever their streams are.
   */
  readonly rows?: ReadonlyArray<Row> | ((first: number) => ReadonlyArray<Row>) | undefined
  /** Records that take the place of earlier ones of the same stream, in the same batch: only `redaction` makes them. */
  readonly replaced?: ReadonlyArray<ReplacedRecord> | undefined
}

/** A record with its key, as the storage has it. */
export interface ReplacedRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** The state of a stream that rows were made of. */
export interface StreamPlace {
  readonly stream: SessionId
  readonly head: number
}

export interface Appended {
  /** Sequences of the first and last event appended. */
  readonly first: number
  readonly last: number
}

export interface ReadOptions {
  /** Exclusive: 0 (the default) starts at the first event. */
  readonly after?: number | undefined
  /** Inclusive; the head when the read starts if absent. */
  readonly until?: number | undefined
}

/** Marks the place in a follow where history ends and the live part begins. */
export interface Synced {
  readonly _tag: "Synced"
  /** Head at that moment. */
  readonly sequence: number
}
export interface Page {
  readonly _tag: "Page"
  /** Contiguous, never empty. */
  readonly entries: ReadonlyArray<JournalEntry>
}
export type FollowItem = Page | Synced

/** What was found wrong when the store was opened or verified; the store serves what is intact. */
export interface Damage {
  readonly stream: SessionId
  readonly from: number
  readonly to: number | null
  readonly reason: string
}

export interface VerifyReport {
  readonly streams: number
  readonly events: number
  readonly damages: ReadonlyArray<Damage>
}

/**
 * The plain door for the hot path (output of a live terminal): no Effect, no promise for each chunk. What is handed in
 * stands in the stream in the order of the calls, across both methods, once the stream's head is known (after `append`,
 * `head` or a read of it): nothing is awaited before the event has its place.
 */
export interface HotJournal {
  /**
   * The chunks, one after the other, become one event (together at most CHUNK_BYTES_MAX of Record.ts). They are encoded
   * at once and may be used again. `done` is called when the event is durable, or with the error. Answers the sequence,
   * 0 when it was refused at once.
   */
  appendOutput(
    stream: SessionId,
    channel: OutputChannel,
    exec: number,
    offset: number,
    chunks: ReadonlyArray<Uint8Array>,
    timeMicros: number,
    done: (error: StorageUnavailable | undefined) => void
  ): number
  /** As `append`; rejects with the same errors. */
  append(stream: SessionId, events: ReadonlyArray<NewEvent>, options?: AppendOptions): Promise<Appended>
  /** Nothing more is appended for now: what is known of the stream's end need not be kept. The next append reads it again. */
  forget(stream: SessionId): void
}

/** Rows of a space, both ends included. */
export interface RowRange {
  readonly space: string
  readonly from: Uint8Array
  readonly to: Uint8Array
}

/** Removes the events up to `to`. */
export interface Removal {
  readonly to: number
  readonly reason: RemovalReason
  /** The rule in words. */
  readonly policy: string
  readonly actor: string
  readonly timeMicros: number
  /** Projections whose state at `to` is among the rows. */
  readonly kept: ReadonlyArray<string>
  /** Written in the same batch. They are no derived rows any more: nothing can make them again. */
  readonly rows: ReadonlyArray<Row>
  /** Events of the store's own stream, in the same batch. */
  readonly told?: ReadonlyArray<SessionEvent> | undefined
  /** Records that do not verify are removed with the others: they are hashed as they are found, and holes are passed over. */
  readonly takesDamaged?: boolean | undefined
}

/** Events, and bytes of their records, that a removal would take away. */
export interface Removable {
  readonly events: number
  readonly bytes: number
}

/**
 * Removing the beginning of a stream. Every reader is then given one EventsRemoved, at the sequence of the last event
 * removed, in the place of what was removed, and goes on behind it: also one that starts in the middle of it. A stream of
 * which everything was removed keeps its head, and goes on there. Works also while the store's quota is reached.
 */
export interface RemovalJournal {
  /** The EventsRemoved that the stream begins with; undefined where nothing was removed. */
  of(stream: SessionId): Effect.Effect<JournalEntry | undefined, StorageUnavailable>
  /** Reads all of them: they verify, or it fails. */
  measure(stream: SessionId, to: number): Effect.Effect<Removable, JournalDamaged | StorageUnavailable>
  /** The last event to remove so that the records behind it take at most `bytesMax`; 0 when all of them do. */
  endKeeping(stream: SessionId, bytesMax: number): Effect.Effect<number, JournalDamaged | StorageUnavailable>
  /**
   * Returns when the events are deleted and the space they took is given back. `stale`: rows that are deleted with them.
   * A process that dies on the way leaves either all of the events or none of them in the stream.
   */
  remove(
    stream: SessionId,
    removal: Removal,
    stale: ReadonlyArray<RowRange>
  ): Effect.Effect<JournalEntry, JournalDamaged | StorageUnavailable | EventRefused>
  /** Does what a removal that was cut off has left undone. */
  finish(stream: SessionId, stale: ReadonlyArray<RowRange>): Effect.Effect<void, JournalDamaged | StorageUnavailable>
  /** Streams whose removal was cut off. */
  readonly unfinished: Effect.Effect<ReadonlyArray<SessionId>, StorageUnavailable>
}

/** A stream that was appended to, and its last event. */
export interface ChangedStream {
  readonly stream: SessionId
  readonly head: number
}

/** Keys and values as they are stored; `damage` is what follows them. */
export interface RecordPage {
  readonly records: ReadonlyArray<readonly [key: Uint8Array, value: Uint8Array]>
  readonly damage: JournalDamaged | undefined
}

/** What sealing needs (docs/evidence.md): which streams have grown, and the bytes of their events. */
export interface SealingJournal {
  /**
   * Streams that are appended to are remembered from now on, for the one who calls this. Answers the function that takes
   * them. `wake` is called when there is one and was none before; it must return at once.
   */
  watchChanges(wake: () => void): () => ReadonlyArray<ChangedStream>
  /** A page of records behind `after` and behind what was removed, up to `until`, checksums verified. */
  records(stream: SessionId, after: number, until: number): Effect.Effect<RecordPage, StorageUnavailable>
}

/** Bytes `from` to `to` (exclusive) of a payload become these. */
export interface PayloadEdit {
  readonly from: number
  readonly to: number
  readonly bytes: Uint8Array
}

export interface EditedEvent {
  readonly sequence: number
  /** In order, none overlaps another; of output and input each is as long as what it replaces. */
  readonly edits: ReadonlyArray<PayloadEdit>
  /** The whole payload, instead of edits: of events that are JSON. */
  readonly payload?: Uint8Array | undefined
}

export interface Redaction {
  readonly from: number
  readonly to: number
  readonly rules: ReadonlyArray<{ readonly rule: string; readonly matches: number }>
  readonly reason: string
  readonly actor: string
  readonly timeMicros: number
  /** Ascending; together at most REDACTED_BYTES_MAX of records. None where only rows are replaced. */
  readonly events: ReadonlyArray<EditedEvent>
  /** Written in the same batch, in the place of what held the same. */
  readonly rows: ReadonlyArray<Row>
  /** Where some of the rows stand for removed events: all that do, with them. */
  readonly keptStates?: KeptStates | undefined
}

/** How the event of a redaction comes into its stream: who writes to the stream of a session that lives does it. */
export type AppendRedaction = (event: NewEvent, options: AppendOptions) => Promise<unknown>

/**
 * Replacing payloads where they stand. What was replaced is gone from the journal's files when `finish` returns; a process
 * that dies before leaves all of a `replace` or nothing of it, and the name of its stream in `unfinished`. Works also
 * while the store's quota is reached where `append` does.
 */
export interface RedactionJournal {
  /** One batch: the payloads, a PayloadsRedacted, the rows. Refuses what would not be the same kind of event any more. */
  replace(
    stream: SessionId,
    redaction: Redaction,
    append?: AppendRedaction
  ): Effect.Effect<typeof PayloadsRedacted.Type, JournalDamaged | StorageUnavailable | SequenceConflict | EventRefused>
  /**
   * Deletes `stale` rows, and has everything that was ever stored in the place of the stream, of them and of `changed` taken out
   * of the files. Followers read on from the disk.
   */
  finish(
    stream: SessionId,
    stale: ReadonlyArray<RowRange>,
    changed: ReadonlyArray<RowRange>
  ): Effect.Effect<void, JournalDamaged | StorageUnavailable>
  /** Streams whose redaction was cut off. */
  readonly unfinished: Effect.Effect<ReadonlyArray<SessionId>, StorageUnavailable>
  /**
   * How often payloads of the stream were replaced by this process: whoever makes something of its events asks before it
   * reads them, and keeps nothing when the answer is another one afterwards.
   */
  readonly count: (stream: SessionId) => number
  /** Called when payloads of a stream were replaced; gives back the function that stops it. */
  readonly onReplaced: (listener: (stream: SessionId) => void) => () => void
  /** What the stream held is not to be served any more: as when payloads of it were replaced. */
  readonly forget: (stream: SessionId) => void
}

export interface JournalShape {
  readonly durability: Durability
  /** Values are encrypted, those of each stream with a key of its own that can be destroyed. Default false. */
  readonly isEncrypted?: boolean | undefined
  /**
   * Appends all events or none, and returns after they are durable. Sequences are dense and follow the call order.
   * After StorageUnavailable it is unknown whether they are there: read the head before trying again.
   */
  append(
    stream: SessionId,
    events: ReadonlyArray<NewEvent>,
    options?: AppendOptions
  ): Effect.Effect<Appended, SequenceConflict | StorageUnavailable | EventRefused>
  /** Last sequence of a stream; 0 when it has none. */
  head(stream: SessionId): Effect.Effect<number, StorageUnavailable>
  /** A finite read, a page at a time (one chunk of the stream is one page), verified; fails with the range where it does not verify. */
  read(stream: SessionId, options?: ReadOptions): Stream.Stream<JournalEntry, JournalDamaged | StorageUnavailable>
  /** Backwards from `before` (exclusive; the head if absent): newest first, verified. */
  readBackwards(
    stream: SessionId,
    options?: { readonly before?: number | undefined }
  ): Stream.Stream<JournalEntry, JournalDamaged | StorageUnavailable>
  /**
   * History after `after`, then Synced once, then what is appended, with no gap and no duplicate. A slow reader costs no
   * memory (it pages from disk) and never delays a writer. Ends only with its reader. Survives a reopened store.
   */
  follow(stream: SessionId, after: number): Stream.Stream<FollowItem, JournalDamaged | StorageUnavailable>
  /** Ids of all streams after `after`, in id order, found in the events themselves (the store's own stream excluded). */
  streams(after?: SessionId): Stream.Stream<SessionId, StorageUnavailable>
  /**
   * Writes rows without events. Rows that tell the latest state of a stream are told with the head they were made of, and
   * are not written when the stream has gone on since: what was written with or after its newer events knows more.
   */
  putRows(rows: ReadonlyArray<Row>, madeOf?: StreamPlace): Effect.Effect<void, StorageUnavailable | EventRefused>
  /** The row, or undefined when it is missing or damaged. */
  row(space: string, key: Uint8Array): Effect.Effect<Row | undefined, StorageUnavailable>
  /** Rows of a space with from <= key <= to, ascending or (reverse) descending; damaged ones are left out. */
  rows(
    space: string,
    range?: {
      readonly from?: Uint8Array | undefined
      readonly to?: Uint8Array | undefined
      readonly reverse?: boolean | undefined
      readonly limit?: number | undefined
    }
  ): Stream.Stream<Row, StorageUnavailable>
  deleteRows(space: string, from: Uint8Array, to: Uint8Array): Effect.Effect<void, StorageUnavailable>
  /** Reads everything: checksums, contiguity, and the ends that the last clean stop recorded. */
  readonly verify: Effect.Effect<VerifyReport, StorageUnavailable>
  /** What opening the store found wrong. */
  readonly openingDamages: ReadonlyArray<Damage>
  /** undefined while the store can be written; else why not, since when. It comes back by itself. */
  readonly suspended: () =>
    | {
        readonly reason: string
        readonly diskFull: boolean
        /** The quota that is reached, if it is for that. What there is can be read meanwhile. */
        readonly quotaBytes?: number | undefined
        readonly sinceMicros: number
      }
    | undefined
  /** Called after each change of `suspended`; gives back the function that stops it. */
  readonly onSuspended: (listener: () => void) => () => void
  readonly hot: HotJournal
  readonly removal: RemovalJournal
  readonly sealing: SealingJournal
  readonly redaction: RedactionJournal
}

export class Journal extends Context.Service<Journal, JournalShape>()("reprise/journal/Journal") {}
