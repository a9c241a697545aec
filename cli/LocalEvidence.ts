/** Evidence of a store without an engine: opens the journal in this process for as long as the command needs it. */
import { Layer } from "effect"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import * as JournalLevel from "../journal/JournalLevel.ts"
import type { Evidence } from "../src/session/Evidence.ts"
import * as EvidenceLocal from "../src/session/EvidenceLocal.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"

export const layer = (paths: StorePaths): Layer.Layer<Evidence, StoreRefused | StorageUnavailable> => {
  process.umask(0o077)
  return EvidenceLocal.layer(paths).pipe(
    Layer.provide(JournalLevel.layer({ location: paths.journal, create: false, key: paths.key }))
  )
}
