/**
 * The part of the contract between clients and the engine that `Retention` needs. ExecRpcs.ts merges it into what the
 * engine serves; the rules of evolution are those of SessionRpcs.ts. It holds no behaviour.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { SessionId } from "../../journal/Event.ts"
import { PruneReport } from "../erasure/Retention.ts"
import { InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"
import { SessionView } from "../session/SessionView.ts"

const Errors = Schema.Union([SessionNotFound, InvalidRequest, SessionUnavailable])
/** Loose on purpose, as in SessionRpcs.ts. */
const Limit = Schema.optional(Schema.Number)

export class RetentionRpcs extends RpcGroup.make(
  Rpc.make("Prune", {
    payload: {
      sessions: Schema.optional(Schema.Array(SessionId)),
      policy: Schema.optional(
        Schema.Struct({
          session: Schema.Struct({ maxAgeMillis: Limit, maxBytes: Limit, maxEvents: Limit }),
          store: Schema.Struct({ maxAgeMillis: Limit, maxBytes: Limit, maxSessions: Limit })
        })
      ),
      dryRun: Schema.optional(Schema.Boolean),
      actor: Schema.optional(Schema.String)
    },
    success: PruneReport,
    error: Errors
  }),
  Rpc.make("Hold", {
    payload: { session: SessionId, reason: Schema.String, actor: Schema.optional(Schema.String) },
    success: SessionView,
    error: Errors
  }),
  Rpc.make("Release", {
    payload: { session: SessionId, actor: Schema.optional(Schema.String) },
    success: SessionView,
    error: Errors
  })
) {}
