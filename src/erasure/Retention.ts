/**
 * Taking old events out of a store, and keeping them from being taken out: what `reprise prune`, `hold` and `release` ask
 * for, and what an engine does by itself by the rules of the store's `config.json`. Without a rule nothing is ever removed.
 * What is removed leaves an EventsRemoved in its place; what follows it reads as before. RetentionEngine.ts does it.
 */
import { Context, type Effect, Schema } from "effect"
import { RemovalReason, SessionId } from "../../journal/Event.ts"
import type { RetentionPolicy } from "../session/RetentionPolicy.ts"
import type { InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"
import type { SessionView } from "../session/SessionView.ts"

export interface PruneRequest {
  /** Only these: by the rules for sessions, or, without a rule, all that is there of them; they must have ended. Absent: the store. */
  readonly sessions?: ReadonlyArray<SessionId> | undefined
  /** Absent: those of the store's `config.json`; with `sessions`, none. */
  readonly policy?: RetentionPolicy | undefined
  /** Only tells what would be removed. */
  readonly dryRun?: boolean | undefined
  readonly actor?: string | undefined
}

/** What became of one session, or would. */
export const PruneItem = Schema.Struct({
  session: SessionId,
  name: Schema.NullOr(Schema.String),
  /** held: nothing of it may be removed, `detail` says why. skipped: it could not be done now, `detail` says why. */
  outcome: Schema.Literals(["removed", "would be removed", "held", "skipped"]),
  detail: Schema.String,
  /** Its last event that is removed, 0 when none is; `events` and `bytes` (of their records) are those that were still there. */
  to: Schema.Int,
  events: Schema.Int,
  bytes: Schema.Finite,
  /** Nothing of it is left but this, and it is not listed any more. */
  whole: Schema.Boolean,
  reason: RemovalReason,
  /** The rule in words. */
  policy: Schema.String
})
export type PruneItem = typeof PruneItem.Type

export const PruneReport = Schema.Struct({
  dryRun: Schema.Boolean,
  items: Schema.Array(PruneItem),
  /** Bytes of the journal's files before and after; the same after a dry run. */
  bytesBefore: Schema.Finite,
  bytesAfter: Schema.Finite
})
export type PruneReport = typeof PruneReport.Type

export interface RetentionShape {
  /** Returns when the space is free again. Can be asked again after a failure. */
  prune(request: PruneRequest): Effect.Effect<PruneReport, SessionNotFound | InvalidRequest | SessionUnavailable>
  /** From when it returns nothing of the session is removed, by nobody. Held already: the reason becomes this one. */
  hold(
    session: SessionId,
    reason: string,
    options?: { readonly actor?: string | undefined }
  ): Effect.Effect<SessionView, SessionNotFound | InvalidRequest | SessionUnavailable>
  /** Not held: nothing happens. */
  release(
    session: SessionId,
    options?: { readonly actor?: string | undefined }
  ): Effect.Effect<SessionView, SessionNotFound | InvalidRequest | SessionUnavailable>
}

export class Retention extends Context.Service<Retention, RetentionShape>()("reprise/erasure/Retention") {}
