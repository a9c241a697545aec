/** The journal of a store whose engine does not run, in this process for as long as a command needs it. It makes no store. */
import type { Layer } from "effect"
import type { Journal } from "../journal/Journal.ts"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import * as JournalLevel from "../journal/JournalLevel.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"

export const layer = ({ journal, key }: StorePaths): Layer.Layer<Journal, StoreRefused | StorageUnavailable> => {
  // LevelDB writes files when it is opened, also for reading: they are as private as the engine's.
  process.umask(0o077)
  return JournalLevel.layer({ location: journal, create: false, key })
}
