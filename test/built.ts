/**
 * Before the first test: builds `dist` when a source is newer than it. Tests start the built programs, and a change must
 * not be tested with the programs from before it. Run by vitest; it changes nothing but `dist`.
 */
import { execFileSync } from "node:child_process"
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")
const SOURCES = [
  "journal",
  "projections",
  "src",
  "cli",
  "build.ts",
  "package.json",
  "package-lock.json",
  "tsconfig.build.json"
]

const changedAt = (path: string): number => {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return 0
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => changedAt(join(path, name))))
}

export const setup = (): void => {
  const builtAt = changedAt(join(root, "dist/bin/engine.js"))
  if (SOURCES.some((source) => changedAt(join(root, source)) > builtAt)) {
    execFileSync(process.execPath, ["build.ts"], { cwd: root, stdio: "inherit" })
  }
}
