/**
 * The part of the contract between clients and the engine that `Redaction` needs. ExecRpcs.ts merges it into what the
 * engine serves; the rules of evolution are those of SessionRpcs.ts. It holds no behaviour.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { DestroyKeyReport, DestroyKeyRequest, RedactReport, RedactRequest } from "../erasure/Redaction.ts"
import { InvalidRequest, SessionNotFound, SessionUnavailable } from "../session/SessionError.ts"

export class RedactionRpcs extends RpcGroup.make(
  Rpc.make("Redact", {
    payload: RedactRequest,
    success: RedactReport,
    error: Schema.Union([SessionNotFound, InvalidRequest, SessionUnavailable])
  }),
  Rpc.make("DestroyKey", {
    payload: DestroyKeyRequest,
    success: DestroyKeyReport,
    error: Schema.Union([SessionNotFound, InvalidRequest, SessionUnavailable])
  })
) {}
