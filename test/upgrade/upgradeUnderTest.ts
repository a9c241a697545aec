/**
 * A store that programs of several releases work on in turn: what the tests of this folder share. Whatever they start is
 * ended, and every file removed, with the scope.
 */
import { Effect, type Scope } from "effect"
import { CommandLine } from "../crash/commandLine.ts"
import { gone, kill } from "../fixtures/processes.ts"
import type { Programs, Release } from "../fixtures/releases/Releases.ts"
import { type TestStore, testStore } from "../session/sessionsUnderTest.ts"

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
      kill(pid)
      await gone(pid)
      return pid
    })
    return {
      ...store,
      own,
      killEngine,
      old: (release) => new CommandLine(store.paths.store, programs.program(release))
    }
  })
