import { defineConfig } from "vitest/config"
import LongestFirst from "./test/sequencer.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", "./test/reporter.ts"],
    // Engines, keepers and drawing threads that tests start are the built ones, which start several times faster.
    globalSetup: ["./test/built.ts"],
    env: { REPRISE_BUILT: "1" },
    // Real processes start in most tests; a busy machine must not fail them, a hang must. Beside seven times the load that
    // the cores can take, tests of seconds took a minute.
    testTimeout: 180_000,
    hookTimeout: 60_000,
    pool: "forks",
    // No test changes what its file shares with others, and a process for each file costs a third of a second.
    isolate: false,
    // Two cores. Files of tests that mostly wait run theirs beside each other; more workers only make each wait longer.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst }
  }
})
