/**
 * Starts the files of tests that take longest first, so that no worker is left alone with one of them at the end. vitest
 * knows how long a file took from the run before, and on a fresh clone there was none. It changes no test.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Longest first; what is not named here takes seconds. */
const LONGEST: ReadonlyArray<string> = [
  "torture/Torture",
  "hostile/HostileOutput",
  "torture/Simulation",
  "remote/Attach",
  "torture/Soak",
  "journal/StoreDamage",
  "torture/DiskFaults",
  "exec/ExecCases",
  "cli/AttachClients",
  "crash/EngineKill",
  "search/Search",
  "care/StoreInUse",
  "reliability/LimitedMachine",
  "projections/ScreenRedrawTmux",
  "crash/ExecKill",
  "export/Readers",
  "readme/readme",
  "crash/RunExact",
  "reliability/Spawns",
  "crash/RetentionKill",
  "cli/execControl",
  "cli/serve",
  "client/TerminalReplay",
  "keeper/KeeperServer",
  "remote/HostileClients",
  "upgrade/Clients",
  "upgrade/Keepers",
  "session/Sessions"
]

const placeOf = ({ moduleId }: TestSpecification): number => {
  const place = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
  return place < 0 ? LONGEST.length : place
}

export default class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    return (await super.sort(files)).toSorted((one, other) => placeOf(one) - placeOf(other))
  }
}
