/** Serves RedactionRpcs from the `Redaction` service; EngineServer.ts puts it on the socket. It passes on, nothing else. */
import { Effect } from "effect"
import { Redaction } from "../erasure/Redaction.ts"
import { RedactionRpcs } from "./RedactionRpcs.ts"

export const redactionHandlers = RedactionRpcs.toLayer(
  Effect.map(Redaction, (redaction) =>
    RedactionRpcs.of({
      Redact: (request) => redaction.redact(request),
      DestroyKey: (request) => redaction.destroyKey(request)
    })
  )
)
