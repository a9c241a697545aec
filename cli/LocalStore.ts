/**
 * Reading a store without an engine: opens the journal in this process for as long as the command needs it. A store that
 * does not exist reads as empty, and is not made. Of what is read, one event tells (LocalAccesses.ts).
 */
import { Effect, Layer, Stream } from "effect"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import { SessionOutput } from "../src/remote/SessionOutput.ts"
import { AccessLog } from "../src/session/AccessLog.ts"
import { History } from "../src/session/History.ts"
import * as HistoryLive from "../src/session/HistoryLive.ts"
import type { ReaderShape } from "../src/session/Reader.ts"
import { SessionNotFound } from "../src/session/SessionError.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { audited, LOCAL_READER } from "./LocalAccesses.ts"
import * as LocalJournal from "./LocalJournal.ts"

export const layer = (
  paths: StorePaths,
  reader: ReaderShape = LOCAL_READER
): Layer.Layer<History | SessionOutput | AccessLog, StoreRefused | StorageUnavailable> =>
  SessionOutput.layer.pipe(
    Layer.provideMerge(
      audited(paths, reader).pipe(
        Layer.provide(HistoryLive.layer),
        Layer.provide(LocalJournal.layer(paths)),
        Layer.catchTag(
          "StoreRefused",
          (refused): Layer.Layer<History | AccessLog, StoreRefused> =>
            refused.reason === "missing"
              ? Layer.merge(emptyHistory, AccessLog.layerNone)
              : Layer.effectContext(Effect.fail(refused))
        )
      )
    )
  )

/** Of a store that does not exist. */
export const emptyHistory: Layer.Layer<History> = Layer.sync(History, () => {
  const missing = (session: string) => new SessionNotFound({ session, candidates: [] })
  return History.of({
    list: Effect.succeed([]),
    resolve: (reference) => Effect.fail(missing(reference)),
    get: (session) => Effect.fail(missing(session)),
    stateAt: (session) => Effect.fail(missing(session)),
    redraw: (session) => Effect.fail(missing(session)),
    events: (session) => Stream.fail(missing(session)),
    follow: (session) => Stream.fail(missing(session))
  })
})
