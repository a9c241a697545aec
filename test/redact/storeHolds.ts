/** Whether a text is anywhere in the files of a store: as `grep -a` finds it, and in what LevelDB's tables hold packed. */
import { type Dirent, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { readTable } from "../../journal/TableFile.ts"

/** Names of the files that hold it, with how. */
export const filesHolding = (folder: string, text: string | Uint8Array): ReadonlyArray<string> => {
  const needle = typeof text === "string" ? Buffer.from(text) : Buffer.from(text)
  const holding: Array<string> = []
  for (const entry of entriesBelow(folder)) {
    if (!entry.isFile()) continue
    const bytes = readIfThere(join(entry.parentPath, entry.name))
    if (bytes === undefined) continue
    if (bytes.includes(needle)) holding.push(entry.name)
    else if (entry.name.endsWith(".ldb") && inTable(bytes, needle)) holding.push(`${entry.name} (packed)`)
  }
  return holding
}

/** A running engine removes folders: when one goes away meanwhile, all is listed again. */
const entriesBelow = (folder: string): ReadonlyArray<Dirent> => {
  for (;;) {
    try {
      return readdirSync(folder, { recursive: true, withFileTypes: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    }
  }
}

const inTable = (bytes: Buffer, needle: Buffer): boolean => {
  const none = new Uint8Array(0)
  const table = { name: "", level: 0, number: 0, bytes: bytes.byteLength, smallest: none, largest: none }
  for (const entries of readTable(table, bytes, [], () => true)) {
    for (const { key, value } of entries)
      if (Buffer.from(value).includes(needle) || Buffer.from(key).includes(needle)) return true
  }
  return false
}

/** A running engine removes files. */
const readIfThere = (path: string): Buffer | undefined => {
  try {
    return readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}
