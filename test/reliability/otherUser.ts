/**
 * Another user of the machine, for tests of limits that the kernel counts by user and never applies to root: a uid that nobody
 * has, and a folder of its own. Only root can be somebody else, and only if that user can read the repository; `canBeAnother`
 * says so, and tests that need it are skipped by name otherwise.
 */
import { spawnSync } from "node:child_process"
import { chownSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { isAlive } from "../fixtures/processes.ts"

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

/** For the names of tests that need it. */
export const ANOTHER_NEEDS = "needs root, and a checkout that others may read"

export const canBeAnother = ((): boolean => {
  if (process.getuid?.() !== 0) return false
  const engine = fileURLToPath(new URL("../../dist/bin/engine.js", import.meta.url))
  const [program = "", ...args] = [...wordsOf(FIRST_UID), process.execPath, "-e", `fs.readFileSync("${engine}")`]
  return spawnSync(program, args, { cwd: "/", env: {} }).status === 0
})()

/** Those that run. Nobody else has this uid: they are this test's. */
export const processesOf = ({ uid }: OtherUser): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return statSync(`/proc/${pid}`).uid === uid && isAlive(pid)
      } catch {
        return false
      }
    })

let users = 0

/** Its processes are ended and its folder is removed afterwards. */
export const withOtherUser = async <A>(use: (user: OtherUser) => Promise<A>): Promise<A> => {
  const uid = FIRST_UID + (process.pid % 1000) * 10 + (users++ % 10)
  const folder = mkdtempSync(join(tmpdir(), "reprise-user-"))
  chownSync(folder, uid, uid)
  const user = { uid, folder, as: wordsOf(uid) }
  try {
    return await use(user)
  } finally {
    for (let pids = processesOf(user); pids.length > 0; pids = processesOf(user)) {
      for (const pid of pids) process.kill(pid, "SIGKILL")
      await sleep(5)
    }
    rmSync(folder, { recursive: true, force: true })
  }
}
