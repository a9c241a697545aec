/**
 * `Evidence` of a store whose engine does not run, for as long as a command has the journal open. A store that is not under
 * the key that is beside it, such as a copy without one, is left as it is.
 */
import { Effect, Layer, References } from "effect"
import { Journal } from "../../journal/Journal.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { verifierKey } from "../../journal/SignedNote.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { Evidence } from "./Evidence.ts"
import { makeEvidence } from "./EvidenceEngine.ts"
import { ensureKey, makeNextKey } from "./Keys.ts"
import { makeSealer } from "./Sealer.ts"

export const layer = (paths: StorePaths): Layer.Layer<Evidence, never, Journal> =>
  Layer.effect(
    Evidence,
    Effect.gen(function* () {
      const journal = yield* Journal
      const sealer = yield* makeSealer({
        journal,
        signer: (nowMillis, recorded) => {
          const signer = ensureKey(paths, nowMillis, recorded, "only the recorded one").signer
          if (recorded === undefined || recorded === verifierKey(signer)) return signer
          const detail = "is another key than the evidence is under; put back the one there was"
          throw new StoreRefused({ path: paths.evidenceKey, reason: "foreign", detail })
        },
        nextSigner: (name, nowMillis) => makeNextKey(paths, name, nowMillis)
      })
      const { rotateKey, seal } = makeEvidence({ journal, sealer })
      // What is wrong is in the report; a line of log would stand in what the command prints.
      const quiet = Effect.provideService(References.MinimumLogLevel, "None")
      return { seal: quiet(seal), rotateKey: (request) => quiet(rotateKey(request)) }
    })
  )
