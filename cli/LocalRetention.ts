/** Retention of a store without an engine: opens the journal in this process for as long as the command needs it. */
import { Layer } from "effect"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import * as JournalLevel from "../journal/JournalLevel.ts"
import type { History } from "../src/session/History.ts"
import * as HistoryLive from "../src/session/HistoryLive.ts"
import type { Redaction } from "../src/session/Redaction.ts"
import type { Retention } from "../src/session/Retention.ts"
import * as RetentionLocal from "../src/session/RetentionLocal.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"

export const layer = (
  paths: StorePaths
): Layer.Layer<History | Retention | Redaction, StoreRefused | StorageUnavailable> => {
  process.umask(0o077)
  return RetentionLocal.layer(paths).pipe(
    Layer.provideMerge(HistoryLive.layerWithScreens),
    Layer.provide(JournalLevel.layer({ location: paths.journal, create: false, key: paths.key }))
  )
}
