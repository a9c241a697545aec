/** Encrypted stores for tests: a folder with a key file beside the store. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"

/** The same number, the same key. */
export const keyFile = (folder: string, number = 7): string => {
  const file = join(folder, `key-${number}`)
  writeFileSync(file, Buffer.alloc(32, number), { mode: 0o600 })
  return file
}

export const encryptedPaths = (folder: string, number = 7): StorePaths =>
  storePaths(join(folder, "store"), { file: keyFile(folder, number) })
