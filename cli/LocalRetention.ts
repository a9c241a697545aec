/** Retention of a store without an engine: opens the journal in this process for as long as the command needs it. */
import { Layer } from "effect"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import type { Redaction } from "../src/erasure/Redaction.ts"
import type { Retention } from "../src/erasure/Retention.ts"
import * as RetentionLocal from "../src/erasure/RetentionLocal.ts"
import type { History } from "../src/session/History.ts"
import * as HistoryLive from "../src/session/HistoryLive.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import * as LocalJournal from "./LocalJournal.ts"

export const layer = (
  paths: StorePaths,
  actor: string
): Layer.Layer<History | Retention | Redaction, StoreRefused | StorageUnavailable> =>
  RetentionLocal.layer(paths, actor).pipe(
    Layer.provideMerge(HistoryLive.layerWithScreens),
    Layer.provide(LocalJournal.layer(paths))
  )
