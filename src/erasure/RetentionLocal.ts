/**
 * `Retention` and `Redaction` of a store whose engine does not run, for as long as a command has the journal open. It touches only sessions
 * that have ended: a keeper may hold the others, and what that has not typed yet comes from the journal.
 */
import { Context, Effect, Layer } from "effect"
import { Journal } from "../../journal/Journal.ts"
import { ScreenService } from "../../projections/ScreenService.ts"
import { ensureKey } from "../evidence/Keys.ts"
import { makeSealer } from "../evidence/Sealer.ts"
import { readRetention } from "../session/EngineConfig.ts"
import { openFeed } from "../session/Feed.ts"
import { History } from "../session/History.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { Redaction } from "./Redaction.ts"
import { makeRedaction } from "./RedactionEngine.ts"
import { Retention } from "./Retention.ts"
import { makeRetention } from "./RetentionEngine.ts"

/** `actor`: who asks, where a request does not say. */
export const layer = (
  paths: StorePaths,
  actor?: string
): Layer.Layer<Retention | Redaction, never, Journal | History | ScreenService> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const journal = yield* Journal
      const history = yield* History
      const sealer = yield* makeSealer({
        journal,
        signer: (nowMillis, recorded) => ensureKey(paths, nowMillis, recorded).signer
      })
      const retention = yield* makeRetention({
        journal,
        history,
        screens: yield* ScreenService,
        folder: paths.journal,
        policy: () => readRetention(paths),
        sealer,
        openFeed: openFeed(journal)
      })
      const redaction = makeRedaction({ journal, history, sealer, turn: retention.turn, openFeed: openFeed(journal) })
      yield* Effect.ignore(redaction.finish)
      return Context.make(Retention, {
        prune: (request) => retention.prune({ actor, ...request }),
        hold: (session, reason, options) => retention.hold(session, reason, { actor, ...options }),
        release: (session, options) => retention.release(session, { actor, ...options })
      }).pipe(
        Context.add(Redaction, {
          redact: (request) => redaction.redact({ actor, ...request }),
          destroyKey: (request) => redaction.destroyKey({ actor, ...request })
        })
      )
    })
  )
