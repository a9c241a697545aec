/** Whether a text is anywhere in the files of a store: as `grep -a` finds it, and in what LevelDB's tables hold packed. */
import { readFileSync } from "node:fs"
import { basename } from "node:path"
import { readTable } from "../../journal/TableFile.ts"
import { filesBelow, ifThere } from "../fixtures/filesBelow.ts"

/** Names of the files that hold it, with how. */
export const filesHolding = (folder: string, text: string | Uint8Array): ReadonlyArray<string> => {
  const needle = typeof text === "string" ? Buffer.from(text) : Buffer.from(text)
  const holding: Array<string> = []
  for (const path of filesBelow(folder)) {
    // A running engine removes files.
    const bytes = ifThere(() => readFileSync(path), undefined)
    if (bytes === undefined) continue
    const name = basename(path)
    if (bytes.includes(needle)) holding.push(name)
    else if (name.endsWith(".ldb") && inTable(bytes, needle)) holding.push(`${name} (packed)`)
  }
  return holding
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
