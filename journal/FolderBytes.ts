/** What the files of a folder take: for quotas and for whoever makes room. It follows no link and changes nothing. */
import { lstat, readdir } from "node:fs/promises"
import { join } from "node:path"

/** Of all files in the folder and below. A file that goes away meanwhile takes nothing. */
export const folderBytes = async (folder: string): Promise<number> => {
  let bytes = 0
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) bytes += await folderBytes(path)
    else if (entry.isFile()) bytes += (await lstat(path).catch(() => NOTHING)).size
  }
  return bytes
}

const NOTHING = { size: 0 }
