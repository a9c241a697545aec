/** What `reprise redact` loads when it is used: no other command pays for it. */
import { closeSync, openSync, readdirSync, readSync } from "node:fs"
import { join, relative } from "node:path"
import type { StorePaths } from "../src/session/StorePaths.ts"

export { redactSession } from "../src/erasure/redactSession.ts"
export { patternRule, REDACT_RULES, ruleNamed, textRule } from "../src/redact/RedactRule.ts"

/** Read at a time. */
const PIECE_BYTES = 1024 * 1024
/** Longer texts are looked for by their beginning. */
const TEXT_BYTES_MAX = 4096

/**
 * Files of the store beside the database in which one of the texts stands: copies of damaged tables, what a repair left
 * behind, the log. Nothing is done to them; paths are relative to the store.
 */
export const filesHolding = (
  { journal, run, store }: StorePaths,
  texts: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const needles = texts.map((text) => Buffer.from(text).subarray(0, TEXT_BYTES_MAX))
  if (needles.length === 0) return []
  const database = join(journal, "db")
  const holding: Array<string> = []
  for (const entry of readdirSync(store, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.parentPath === database || entry.parentPath.startsWith(run)) continue
    const path = join(entry.parentPath, entry.name)
    if (holds(path, needles)) holding.push(relative(store, path))
  }
  return holding
}

const holds = (path: string, needles: ReadonlyArray<Buffer>): boolean => {
  const fd = openSync(path, "r")
  try {
    const buffer = Buffer.alloc(PIECE_BYTES + TEXT_BYTES_MAX)
    let kept = 0
    for (;;) {
      const read = readSync(fd, buffer, kept, PIECE_BYTES, null)
      if (read === 0) return false
      const piece = buffer.subarray(0, kept + read)
      if (needles.some((needle) => piece.includes(needle))) return true
      kept = Math.min(TEXT_BYTES_MAX, piece.length)
      piece.copyWithin(0, piece.length - kept)
    }
  } finally {
    closeSync(fd)
  }
}
