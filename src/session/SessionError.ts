/**
 * What a caller of `Sessions` can be told, one class for each thing it can do something about. All cross a process
 * border. `code` is the family that every door (CLI exit code, RPC, HTTP) maps: it is public and tested.
 */
import { Schema } from "effect"

/** The error families of every door. */
export const ErrorCode = Schema.Literals([
  "NotFound",
  "FailedPrecondition",
  "ResourceExhausted",
  "InvalidArgument",
  "PermissionDenied",
  "Unavailable",
  "DataLoss"
])
export type ErrorCode = typeof ErrorCode.Type

export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", {
  /** What was asked for: an id, a prefix, a name or `last`. */
  session: Schema.String,
  /** Ids that match when the prefix or name is not unique; empty when nothing matches. */
  candidates: Schema.Array(Schema.String)
}) {
  readonly code: ErrorCode = "NotFound"
  override get message() {
    return this.candidates.length === 0
      ? `session "${this.session}" not found; \`reprise list\` shows those there are`
      : `"${this.session}" is not unique: ${this.candidates.slice(0, 5).join(", ")}${this.candidates.length > 5 ? ", …" : ""}`
  }
}

/** The session has ended (or was lost): it can be read for ever, but nothing can be done to it. */
export class SessionEnded extends Schema.TaggedError<SessionEnded>()("SessionEnded", {
  session: Schema.String,
  status: Schema.String
}) {
  readonly code: ErrorCode = "FailedPrecondition"
  override get message() {
    return `session ${this.session} is terminated (${this.status}); it can be replayed and inspected, nothing else`
  }
}

/** The request itself is wrong; found before anything happened. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  /** Which part: argv, cwd, env, size, signal, name, session, at … */
  field: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "InvalidArgument"
  override get message() {
    return `${this.field}: ${this.reason}`
  }
}

/**
 * Cursors are told with what was delivered, so one behind the last event is of something else. Taken, it would let what
 * happens from now on pass without a word.
 */
export const cursorBeyond = (cursor: number, head: number, field = "after"): InvalidRequest =>
  new InvalidRequest({
    field,
    reason:
      `${cursor} is behind the last event there is, ${head}: a place in another session or store, or in events that were lost ` +
      "since; begin without one"
  })

/** The program could not be started; found before a process was made wherever the kernel allows it. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  failure: Schema.Literals([
    "program-missing",
    "program-not-executable",
    "cwd-missing",
    "invalid-argument",
    "limit",
    "session-exists",
    "failed"
  ]),
  reason: Schema.String
}) {
  /** A machine or a keeper that is full has room later; everything else is wrong with the request. */
  readonly code: ErrorCode = this.failure === "limit" ? "ResourceExhausted" : "InvalidArgument"
  override get message() {
    return this.reason
  }
}

/** Input was refused as a whole: the queue to a program that does not read is full. Nothing was cut. */
export class InputRefused extends Schema.TaggedError<InputRefused>()("InputRefused", {
  session: Schema.String,
  queuedBytesMax: Schema.Int
}) {
  readonly code: ErrorCode = "ResourceExhausted"
  override get message() {
    return `session ${this.session}: its program does not read and ${this.queuedBytesMax} bytes are waiting; try again later`
  }
}

/** A limit of the engine or of the session would be exceeded; nothing was done. */
export class LimitExceeded extends Schema.TaggedError<LimitExceeded>()("LimitExceeded", {
  /** `sessions`, `group`, `input queue`, `clients`, `journal bytes` … */
  limit: Schema.String,
  max: Schema.Finite,
  /** What is full, and what makes room. */
  reason: Schema.String
}) {
  readonly code: ErrorCode = "ResourceExhausted"
  override get message() {
    return this.reason
  }
}

/** This client may look and not touch: it attached read-only, or another client has the session to itself. */
export class AccessDenied extends Schema.TaggedError<AccessDenied>()("AccessDenied", {
  session: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "PermissionDenied"
  override get message() {
    return `session ${this.session}: ${this.reason}`
  }
}

/** The keeper or the storage cannot be reached at the moment; the request may or may not have happened: retry it with the same command id. */
export class SessionUnavailable extends Schema.TaggedError<SessionUnavailable>()("SessionUnavailable", {
  session: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "Unavailable"
  override get message() {
    return this.session === "" ? this.reason : `session ${this.session}: ${this.reason}`
  }
}

/** What was asked for is in the journal but must not be served: it is damaged. */
export class HistoryDamaged extends Schema.TaggedError<HistoryDamaged>()("HistoryDamaged", {
  session: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "DataLoss"
  override get message() {
    return this.reason
  }
}

/** What was asked for was in the journal and is not any more: it was removed, on purpose. Later places are there. */
export class HistoryRemoved extends Schema.TaggedError<HistoryRemoved>()("HistoryRemoved", {
  session: Schema.String,
  /** The earliest event whose state is known; the events behind it are all there. */
  to: Schema.Int,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "NotFound"
  override get message() {
    return this.reason
  }
}

export const SessionError = Schema.Union([
  SessionNotFound,
  SessionEnded,
  InvalidRequest,
  SpawnFailed,
  InputRefused,
  LimitExceeded,
  AccessDenied,
  SessionUnavailable,
  HistoryDamaged,
  HistoryRemoved
])
export type SessionError = typeof SessionError.Type
