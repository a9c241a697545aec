/**
 * What can go wrong with a journal, one class for each thing a caller can do something about. All of them can cross a
 * process border. The message says what happened and what to do; the fields are for programs.
 */
import { Schema } from "effect"

/** The stream's head is not the one the writer expected: another writer was there first, or the writer is old. */
export class SequenceConflict extends Schema.TaggedError<SequenceConflict>()("SequenceConflict", {
  stream: Schema.String,
  expected: Schema.Int,
  actual: Schema.Int
}) {
  override get message() {
    return `stream ${this.stream}: expected head ${this.expected}, found ${this.actual}; read it again and retry`
  }
}

/** Stored bytes that must not be served: a checksum, a sequence or a length is wrong. The range is named, not skipped. */
export class JournalDamaged extends Schema.TaggedError<JournalDamaged>()("JournalDamaged", {
  stream: Schema.String,
  /** First and last sequence that cannot be served; `to` is null when the end is not known. */
  from: Schema.Int,
  to: Schema.NullOr(Schema.Int),
  reason: Schema.String
}) {
  override get message() {
    const range =
      this.to === null ? `from ${this.from} on` : this.from === this.to ? `${this.from}` : `${this.from} to ${this.to}`
    return `stream ${this.stream}: events ${range} are damaged (${this.reason}); what is before them is intact`
  }
}

/** What was asked for was in the stream and is not any more: it was removed, on purpose. */
export class JournalRemoved extends Schema.TaggedError<JournalRemoved>()("JournalRemoved", {
  stream: Schema.String,
  /** The events 1 to `to`; behind them everything is there. */
  to: Schema.Int,
  /** Microseconds since 1970. */
  removedAt: Schema.Finite,
  /** The rule in words. */
  policy: Schema.String
}) {
  override get message() {
    const day = new Date(this.removedAt / 1000).toISOString().slice(0, 10)
    return `events 1 to ${this.to} of stream ${this.stream} were removed on ${day} (${this.policy}); the earliest state is at event ${this.to}`
  }
}

/** The store cannot be written or read at the moment (disk full, I/O error). Nothing of the refused append is acknowledged. */
export class StorageUnavailable extends Schema.TaggedError<StorageUnavailable>()("StorageUnavailable", {
  operation: Schema.Literals(["append", "read", "open"]),
  reason: Schema.String,
  diskFull: Schema.Boolean
}) {
  override get message() {
    if (!this.diskFull) return `the journal cannot ${this.operation}: ${this.reason}`
    // What LevelDB has in its log it writes into tables when it opens, and nobody waits for the space meanwhile.
    return this.operation === "open"
      ? "the journal's disk is full: the store cannot be opened; free 16 MiB or more and try again, nothing is lost and sessions go on then"
      : "the journal's disk is full: nothing was written; free some space, sessions go on by themselves then"
  }
}

/** The folder is not a store that may be opened: locked, foreign, incomplete, of a newer format, with a config.json that cannot be used, with keepers of another time, encrypted with a key that was not given. It was not touched. */
export class StoreRefused extends Schema.TaggedError<StoreRefused>()("StoreRefused", {
  path: Schema.String,
  reason: Schema.Literals([
    "locked",
    "missing",
    "incomplete",
    "foreign",
    "symlink",
    "permissions",
    "format",
    "corrupt",
    "config",
    "keeper",
    "key"
  ]),
  detail: Schema.String
}) {
  override get message() {
    return `store ${this.path}: ${this.detail}`
  }
}

/** An event that cannot be stored: too large, or not of its schema. */
export class EventRefused extends Schema.TaggedError<EventRefused>()("EventRefused", { reason: Schema.String }) {
  override get message() {
    return `event refused: ${this.reason}`
  }
}

export const JournalError = Schema.Union([
  SequenceConflict,
  JournalDamaged,
  JournalRemoved,
  StorageUnavailable,
  StoreRefused,
  EventRefused
])
export type JournalError = typeof JournalError.Type
