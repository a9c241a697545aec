/** Serves RetentionRpcs from the `Retention` service; EngineServer.ts puts it on the socket. It passes on, nothing else. */
import { Effect } from "effect"
import { Retention } from "../erasure/Retention.ts"
import { RetentionRpcs } from "./RetentionRpcs.ts"

export const retentionHandlers = RetentionRpcs.toLayer(
  Effect.map(Retention, (retention) =>
    RetentionRpcs.of({
      Prune: (request) => retention.prune(request),
      Hold: ({ session, reason, actor }) => retention.hold(session, reason, { actor }),
      Release: ({ session, actor }) => retention.release(session, { actor })
    })
  )
)
