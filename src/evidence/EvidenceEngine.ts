/** `Evidence` over the sealer of an open store: what it did to the key is told in the store's own stream. */
import { Effect } from "effect"
import * as Rows from "../../journal/EvidenceRows.ts"
import type { JournalShape } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import { actorOf } from "../session/Actor.ts"
import { SessionUnavailable } from "../session/SessionError.ts"
import { tellAdministered } from "../session/StoreStream.ts"
import { type EvidenceShape, UNSEALED_NAMED_MAX } from "./Evidence.ts"
import type { Sealer } from "./Sealer.ts"

export interface EvidenceOptions {
  readonly journal: JournalShape
  readonly sealer: Pick<Sealer, "sealAll" | "rotate">
}

export const makeEvidence = ({ journal, sealer }: EvidenceOptions): EvidenceShape => {
  const unavailable = ({ message }: StorageUnavailable) => new SessionUnavailable({ session: "", reason: message })
  return {
    seal: Effect.gen(function* () {
      const unsealed = yield* sealer.sealAll
      const row = yield* journal.row(Rows.STORE_SPACE, Rows.STORE_CHECKPOINT_KEY)
      return {
        checkpoint: row === undefined ? null : Buffer.from(row.value).toString("utf8"),
        unsealed: unsealed.slice(0, UNSEALED_NAMED_MAX)
      }
    }).pipe(Effect.catchTag("StorageUnavailable", (error) => Effect.fail(unavailable(error)))),
    rotateKey: Effect.fn("Evidence.rotateKey")(function* (request = {}) {
      const actor = yield* actorOf(request).pipe(
        Effect.mapError((error) => new SessionUnavailable({ session: "", reason: error.message }))
      )
      const rotated = yield* sealer.rotate.pipe(
        Effect.catchTag("StorageUnavailable", (error) => Effect.fail(unavailable(error)))
      )
      if (typeof rotated === "string") return yield* new SessionUnavailable({ session: "", reason: rotated })
      yield* tellAdministered(journal, { what: "rotate-key", session: null, detail: rotated.to, actor })
      return rotated
    })
  }
}
