/**
 * A store that programs of several releases work on in turn: what the tests of this folder share. Whatever they start is
 * ended, and every file removed, with the scope.
 */
import { readdirSync, rmSync } from "node:fs"
import { Effect, type Scope } from "effect"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { CommandLine } from "../crash/commandLine.ts"
import type { Programs, Release } from "../fixtures/releases/Releases.ts"
import { isAlive, type TestStore, testStore } from "../session/sessionsUnderTest.ts"

/** Dozens of processes start in such a test, each of which takes seconds on a machine that has much else to do. */
export const UPGRADE_MILLIS_MAX = 300_000

export interface UpgradeStore extends TestStore {
  /** The command line of a release. */
  readonly old: (release: Release) => CommandLine
  /** That of this version. Its engine is the one of `dist`. */
  readonly own: CommandLine
  /** Kills the engine that runs, whatever its release, and waits until it is gone. Answers with its pid. */
  readonly killEngine: Effect.Effect<number>
}

export const upgradeStore = (programs: Programs): Effect.Effect<UpgradeStore, never, Scope.Scope> =>
  Effect.gen(function* () {
    const store = yield* testStore
    const own = new CommandLine(store.paths.store)
    const killEngine = Effect.promise(async () => {
      const pid = await own.enginePid()
      if (pid === null) throw new Error("no engine is running")
      process.kill(pid, "SIGKILL")
      await gone(pid)
      return pid
    })
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        const pid = await own.enginePid()
        if (pid !== null) {
          process.kill(pid, "SIGKILL")
          await gone(pid)
        }
        for (const keeper of await listKeepers(store.paths.keepers)) {
          process.kill(keeper.pid, "SIGKILL")
          await gone(keeper.pid)
        }
        rmSync(store.paths.run, { recursive: true, force: true })
      })
    )
    return {
      ...store,
      own,
      killEngine,
      old: (release) => new CommandLine(store.paths.store, programs.program(release))
    }
  })

/** Threads of a process that was killed, and with them its locks, may outlive its first one by a moment. */
const hasThreads = (pid: number): boolean => {
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1
  } catch {
    return false
  }
}

/** A process that is no child of ours tells nobody that it ended: it is asked for. */
export const gone = async (pid: number): Promise<void> => {
  while (isAlive(pid) || hasThreads(pid)) await new Promise((resolve) => setTimeout(resolve, 5))
}
