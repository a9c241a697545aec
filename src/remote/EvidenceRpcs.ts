/**
 * The part of the contract between clients and the engine about evidence and about who looked. ExecRpcs.ts merges it into what
 * the engine serves; the rules of evolution are those of SessionRpcs.ts. It holds no behaviour.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { SessionId } from "../../journal/Event.ts"
import { RotationReport, SealReport } from "../evidence/Evidence.ts"
import { SessionUnavailable } from "../session/SessionError.ts"

export class EvidenceRpcs extends RpcGroup.make(
  /** Of files that the client read beside the engine, and of what it refused to others. */
  Rpc.make("NoteAccess", {
    payload: {
      what: Schema.String,
      session: Schema.NullOr(SessionId),
      times: Schema.optional(Schema.Int),
      refused: Schema.optional(Schema.String)
    },
    error: SessionUnavailable
  }),
  Rpc.make("Seal", { success: SealReport, error: SessionUnavailable }),
  Rpc.make("RotateKey", {
    payload: { actor: Schema.optional(Schema.String) },
    success: RotationReport,
    error: SessionUnavailable
  })
) {}
