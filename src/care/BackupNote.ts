/** What a backup says of itself, in a file beside its journal. It reads that file; Backup.ts writes it. */
import { join } from "node:path"
import { readSmallFile } from "../../journal/SmallFile.ts"
import type { StorePaths } from "../session/StorePaths.ts"

/** What lies beside the journal of a backup. */
export interface BackupNote {
  readonly store: string
  readonly timeMicros: number
  readonly version: string
  readonly sessions: number
  readonly events: number
  readonly bytes: number
  readonly sha256: string
}

export const BACKUP_NOTE_FILE = "backup.json"
/** It has some 300, and the path of a store. */
const NOTE_BYTES_MAX = 64 * 1024

/** undefined: the folder is no backup, or does not say so any more. */
export const readNote = (paths: StorePaths): BackupNote | undefined => {
  try {
    const note = JSON.parse(readSmallFile(join(paths.store, BACKUP_NOTE_FILE), NOTE_BYTES_MAX) ?? "")
    return typeof note?.sha256 === "string" && typeof note?.store === "string" ? note : undefined
  } catch {
    return undefined
  }
}
