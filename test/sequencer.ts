/**
 * Starts the files of tests that take longest first, so that no worker is left alone with one of them at the end. vitest
 * knows how long a file took from the run before, and on a fresh clone there was none. It changes no test.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Longest first; what is not named here takes seconds. */
const LONGEST: ReadonlyArray<string> = [
  "hostile/HostileOutput",
  "torture/Torture",
  "torture/Simulation",
  "crash/RetentionKill",
  "exec/ExecCases",
  "torture/DiskFaults",
  "remote/Attach",
  "reliability/SlowClients",
  "keeper/InProcessHost",
  "cli/AttachClients",
  "export/Readers",
  "reliability/LimitedMachine",
  "crash/EngineKill",
  "readme/readme",
  "journal/StoreDamage",
  "projections/ScreenRedrawTmux",
  "remote/Presence",
  "keeper/KeeperClient",
  "care/Backup",
  "remote/HostileClients",
  "care/StoreInUse",
  "upgrade/Clients",
  "keeper/KeeperServer",
  "cli/Replay",
  "search/Search",
  "client/TerminalReplay",
  "cli/serve",
  "crash/ExecKill",
  "keeper/IdleMemory",
  "torture/Soak",
  "reliability/Spawns",
  "upgrade/Stores",
  "crash/RunExact",
  "remote/EngineClient",
  "evidence/Bundle",
  "export/HtmlPlayer",
  "hostile/Names",
  "session/JournalBytes",
  "cli/DeltaRows",
  "upgrade/CrashedUpgrade"
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
