/**
 * Why there is no engine to talk to, one class for each thing a person can do about it. Raised when a client opens its
 * first connection; what happens later to a connection that existed is SessionUnavailable (SessionError.ts).
 */
import { Schema } from "effect"
import type { ErrorCode } from "../session/SessionError.ts"

/** No engine runs for this store, and this client may not start one. */
export class EngineAbsent extends Schema.TaggedError<EngineAbsent>()("EngineAbsent", { store: Schema.String }) {
  readonly code: ErrorCode = "Unavailable"
  override get message() {
    return `no engine is running for store ${this.store}; \`reprise run\` starts one`
  }
}

/** The engine started and would not serve this store. */
export class EngineRefused extends Schema.TaggedError<EngineRefused>()("EngineRefused", {
  store: Schema.String,
  /** The `reason` of StoreRefused; `unavailable`: the disk is full or fails; or `failed`. */
  reason: Schema.String,
  detail: Schema.String
}) {
  readonly code: ErrorCode = "FailedPrecondition"
  override get message() {
    return this.detail
  }
}

/** The engine cannot be reached or started at the moment. */
export class EngineUnavailable extends Schema.TaggedError<EngineUnavailable>()("EngineUnavailable", {
  store: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "Unavailable"
  override get message() {
    return this.reason
  }
}

/** Client and engine are of versions that do not understand each other. */
export class EngineMismatch extends Schema.TaggedError<EngineMismatch>()("EngineMismatch", {
  enginePid: Schema.NullOr(Schema.Int),
  engineVersion: Schema.String,
  engineProtocol: Schema.Int,
  /** What was added within the protocol, on either side. */
  engineRevision: Schema.optional(Schema.Int),
  clientVersion: Schema.String,
  clientProtocol: Schema.Int,
  clientRevision: Schema.optional(Schema.Int),
  /** What the older side does not know; absent where the protocols themselves differ. */
  lacks: Schema.optional(Schema.String)
}) {
  readonly code: ErrorCode = "FailedPrecondition"
  override get message() {
    const {
      clientProtocol,
      clientRevision = 0,
      clientVersion,
      engineProtocol,
      engineRevision = 0,
      engineVersion
    } = this
    const isNewer =
      engineProtocol > clientProtocol || (engineProtocol === clientProtocol && engineRevision > clientRevision)
    const lacks = this.lacks === undefined ? "" : `, which does not know ${this.lacks}`
    return isNewer
      ? `the engine of this store is newer (${engineVersion}) than this client (${clientVersion})${lacks}; upgrade this reprise`
      : `the engine of this store is older (${engineVersion}${lacks}) than this client (${clientVersion}); ` +
          "`reprise stop` ends it, the next command starts the new one and sessions go on meanwhile"
  }
}

/** Nobody serves an engine at this URL, or not one that this client may use. */
export class EngineUnreachable extends Schema.TaggedError<EngineUnreachable>()("EngineUnreachable", {
  url: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "Unavailable"
  override get message() {
    return `cannot connect to ${this.url}: ${this.reason}`
  }
}

/** The door at this URL does not let this client in: the token is wrong, or it comes from a wrong place. */
export class EngineDenied extends Schema.TaggedError<EngineDenied>()("EngineDenied", {
  url: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "PermissionDenied"
  override get message() {
    return `${this.url}: ${this.reason}`
  }
}

export const EngineError = Schema.Union([
  EngineAbsent,
  EngineRefused,
  EngineUnavailable,
  EngineMismatch,
  EngineUnreachable,
  EngineDenied
])
export type EngineError = typeof EngineError.Type
