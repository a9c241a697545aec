/** How much room a disk has, asked before something large is written to it. */
import { statfsSync } from "node:fs"
import { TargetFull } from "../files/FileError.ts"

/** Asked for on top of what is written: LevelDB's log and the tables that it merges. */
const ROOM_BYTES = 32 * 1024 * 1024

/** Bytes that the disk of a folder has left for this user. */
export const freeBytes = (folder: string): number => {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

/** Throws TargetFull when `bytes` more do not fit. */
export const checkRoom = (folder: string, bytes: number): void => {
  const free = freeBytes(folder)
  if (free >= bytes + ROOM_BYTES) return
  throw new TargetFull({ target: folder, reason: `${bytes + ROOM_BYTES} bytes are needed and ${free} are left` })
}
