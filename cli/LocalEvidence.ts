/** Evidence of a store without an engine: opens the journal in this process for as long as the command needs it. */
import { Layer } from "effect"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import type { Evidence } from "../src/evidence/Evidence.ts"
import * as EvidenceLocal from "../src/evidence/EvidenceLocal.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import * as LocalJournal from "./LocalJournal.ts"

export const layer = (paths: StorePaths): Layer.Layer<Evidence, StoreRefused | StorageUnavailable> =>
  EvidenceLocal.layer(paths).pipe(Layer.provide(LocalJournal.layer(paths)))
