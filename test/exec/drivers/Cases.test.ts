import { execFileSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { driverOf } from "../../../src/exec/Drivers.ts"
import { loadCases } from "../cases.ts"
import { needsEngine, runCase } from "./runCase.ts"

const isInstalled = (program: string): boolean => {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** Programs that cases run by name; without them their cases can say nothing. */
const PROGRAMS: Readonly<Record<string, ReadonlyArray<string>>> = {
  zsh: ["zsh"],
  python: ["python3"],
  "bash-tty-alternate-screen-vim": ["vim"],
  "bash-tty-less": ["less"],
  "bash-tty-top": ["top"]
}

describe("acceptance cases on the drivers alone", () => {
  const cases = loadCases()
  it("are found", () => assert.isAbove(cases.length, 150))
  for (const one of cases.filter((each) => needsEngine(each) === undefined)) {
    const missing = [...(PROGRAMS[one.language] ?? []), ...(PROGRAMS[one.id] ?? [])].some((name) => !isInstalled(name))
    it.skipIf(missing)(one.id, async () => {
      assert.deepStrictEqual(await runCase(one, driverOf(one.language)), [])
    })
  }
})
