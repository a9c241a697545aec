/**
 * The part of the contract between clients and the engine that `Search` needs. ExecRpcs.ts merges it into what the engine
 * serves; the rules of evolution are those of SessionRpcs.ts. It holds no behaviour.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { SessionId } from "../../journal/Event.ts"
import { SearchItem, SearchSource } from "../search/Search.ts"
import { InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"

/** Loose on purpose, as in SessionRpcs.ts. */
const Loose = Schema.optional(Schema.Number)

export class SearchRpcs extends RpcGroup.make(
  Rpc.make("Search", {
    payload: {
      pattern: Schema.String,
      regex: Schema.optional(Schema.Boolean),
      flags: Schema.optional(Schema.String),
      ignoreCase: Schema.optional(Schema.Boolean),
      in: Schema.optional(SearchSource),
      session: Schema.optional(SessionId),
      since: Loose,
      until: Loose,
      cwd: Schema.optional(Schema.String),
      exitCode: Loose,
      limit: Loose
    },
    success: Schema.Array(SearchItem),
    error: Schema.Union([SessionNotFound, InvalidRequest, SessionUnavailable]),
    stream: true
  })
) {}
