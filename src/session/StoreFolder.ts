/**
 * The store's own folder: made private when it is new, refused when it is somebody else's or holds other things. Whoever
 * is about to write into a store (an engine, or the client that starts one) calls it first.
 */
import { existsSync, readdirSync } from "node:fs"
import { StoreRefused } from "../../journal/JournalError.ts"
import { ensurePrivateFolder } from "../../journal/StoreGuard.ts"
import type { StorePaths } from "./StorePaths.ts"

/** Throws StoreRefused. Nothing is changed in a folder that is refused. */
export const prepareStoreFolder = (paths: StorePaths): void => {
  if (existsSync(paths.store) && !existsSync(paths.journal) && readdirSync(paths.store).some(isForeign)) {
    const detail = "is not empty and not a store; choose another folder, or a new one in it"
    throw new StoreRefused({ path: paths.store, reason: "foreign", detail })
  }
  ensurePrivateFolder(paths.store)
}

/** What an engine that did not get to its journal may have left, and what may be written before the first one. */
const isForeign = (name: string): boolean =>
  !["config.json", "evidence.key", "run", "engine.log", "lost+found"].includes(name)
