/**
 * Replacing what events hold, where they stand: what `reprise redact` asks for once it has found what is to go. The search
 * itself (src/redact) runs in the process of whoever asks, so that no pattern keeps an engine from its sessions. The events
 * keep their places; a PayloadsRedacted in the session tells what became of them. RedactionEngine.ts does it.
 */
import { Context, type Effect, Schema } from "effect"
import { SessionId } from "../../journal/Event.ts"
import type { InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"

/** Bytes of records that one request may replace, and so its size: it fits a message to an engine. */
export const REDACT_REQUEST_BYTES_MAX = 2 * 1024 * 1024
/** Events of one request. */
export const REDACT_REQUEST_EVENTS_MAX = 2048
/** Texts of one request that are looked for in what stands for removed events. */
export const REDACT_SECRETS_MAX = 10_000

export const RedactRequest = Schema.Struct({
  session: SessionId,
  /** The events that were looked at, both included. */
  from: Schema.Int,
  to: Schema.Int,
  rules: Schema.Array(Schema.Struct({ rule: Schema.String, matches: Schema.Int })),
  reason: Schema.String,
  /** Ascending. */
  events: Schema.Array(
    Schema.Struct({
      sequence: Schema.Int,
      /** Its program or shell may still need it as it is: it is left until it was typed. */
      isInput: Schema.Boolean,
      edits: Schema.Array(Schema.Struct({ from: Schema.Int, to: Schema.Int, bytes: Schema.Uint8Array })),
      payload: Schema.optional(Schema.Uint8Array)
    })
  ),
  /** What was found: it goes also from the states that stand for removed events. */
  secrets: Schema.Array(Schema.String),
  /** Another request of the same redaction follows: the files are written anew behind the last one. */
  isLast: Schema.Boolean,
  /** Nothing is changed: only what stands for removed events is looked at, and told of. An engine of revision 7 knows it. */
  isDryRun: Schema.optional(Schema.Boolean),
  actor: Schema.optional(Schema.String)
})
export type RedactRequest = typeof RedactRequest.Type

export const RedactReport = Schema.Struct({
  /** Events whose payloads were replaced. */
  events: Schema.Int,
  /** Input that is not typed yet, or of a command that runs: ask again when it is done. */
  left: Schema.Array(Schema.Int),
  /** States that stand for removed events, of which something was replaced. Absent from an engine before revision 7. */
  keptStates: Schema.optional(Schema.Int),
  /** Names of those that cannot be read, and are as they were: what they hold is not known. */
  unreadable: Schema.optional(Schema.Array(Schema.String))
})
export type RedactReport = typeof RedactReport.Type

export const DestroyKeyRequest = Schema.Struct({
  session: SessionId,
  reason: Schema.String,
  actor: Schema.optional(Schema.String)
})
export type DestroyKeyRequest = typeof DestroyKeyRequest.Type

export const DestroyKeyReport = Schema.Struct({
  /** That nobody reads any more; 0: the key was destroyed before. */
  events: Schema.Int
})
export type DestroyKeyReport = typeof DestroyKeyReport.Type

export interface RedactionShape {
  /**
   * When it returns from the last request, nothing of what was replaced is in the journal's files, and readers are given what
   * took its place. Can be asked again after a failure: what was done is done. A session that is held is refused.
   */
  redact(request: RedactRequest): Effect.Effect<RedactReport, SessionNotFound | InvalidRequest | SessionUnavailable>
  /**
   * Of a store that is encrypted: destroys the key of a session that has ended, for ever. When it returns, neither the key nor
   * an event that was encrypted with it is in the journal's files; what is left says that it was so, when, and by whom.
   * A session that is held is refused.
   */
  destroyKey(
    request: DestroyKeyRequest
  ): Effect.Effect<DestroyKeyReport, SessionNotFound | InvalidRequest | SessionUnavailable>
}

export class Redaction extends Context.Service<Redaction, RedactionShape>()("reprise/erasure/Redaction") {}
