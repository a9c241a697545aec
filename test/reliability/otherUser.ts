/**
 * Another user of the machine, for tests of limits that the kernel counts by user and never applies to root: a uid that nobody
 * has, may run only what a test gives it, and owns a folder of its own. Only root can be somebody else, and only if that user
 * can read the repository; `canBeAnother` says so, and tests that need it are registered only then.
 */
import { spawnSync } from "node:child_process"
import { chownSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Of no account, and of no other test: the kernel counts all processes of a uid. */
const FIRST_UID = 60_100

export interface OtherUser {
  readonly uid: number
  readonly folder: string
  /** The words before a command line that make it this user's. */
  readonly as: ReadonlyArray<string>
}

const wordsOf = (uid: number): ReadonlyArray<string> => [
  "setpriv",
  `--reuid=${uid}`,
  `--regid=${uid}`,
  "--clear-groups",
  "--"
]

export const canBeAnother = ((): boolean => {
  if (process.getuid?.() !== 0) return false
  const engine = fileURLToPath(new URL("../../dist/bin/engine.js", import.meta.url))
  const [program = "", ...args] = [...wordsOf(FIRST_UID), process.execPath, "-e", `fs.readFileSync("${engine}")`]
  return spawnSync(program, args, { cwd: "/", env: {} }).status === 0
})()

let users = 0

/** Its folder is removed afterwards; its processes are the test's to end. */
export const withOtherUser = async (use: (user: OtherUser) => Promise<void>): Promise<void> => {
  const uid = FIRST_UID + (process.pid % 1000) * 10 + (users++ % 10)
  const folder = mkdtempSync(join(tmpdir(), "reprise-user-"))
  chownSync(folder, uid, uid)
  try {
    await use({ uid, folder, as: wordsOf(uid) })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
