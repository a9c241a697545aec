/** Reading the process table, and never signalling the wrong process. */
import { type ChildProcess, spawn } from "node:child_process"
import { assert, describe, it } from "vitest"
import { parseStat, readProcess, signalGroup, signalProcess } from "../../src/keeper/ProcessTable.ts"

const exitOf = (child: ChildProcess): Promise<NodeJS.Signals | null> =>
  new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)))

describe("ProcessTable", () => {
  it("reads a line whatever the program is called", () => {
    const rest = "S 10 20 30 34816 40 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200"
    for (const name of ["cat", "a b", "a) S 1 2", "((", "\n"]) {
      assert.deepStrictEqual(parseStat(`77 (${name}) ${rest}`), {
        pid: 77,
        startTime: "987654",
        state: "S",
        group: 20,
        sessionLeader: 30,
        foregroundGroup: 40
      })
    }
    for (const line of ["", "77", "77 (cat", "77 (cat) S 1 2"]) assert.isNull(parseStat(line))
  })

  it("knows this process, and no process that is not", () => {
    assert.strictEqual(readProcess(process.pid)?.pid, process.pid)
    assert.isNull(readProcess(2 ** 30))
  })

  it("reliability row 24: signals a process only with its own start time", async () => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" })
    const exit = exitOf(child)
    const { pid, startTime } = readProcess(child.pid!)!
    assert.isFalse(signalProcess({ pid, startTime: String(Number(startTime) - 1) }, "SIGKILL"))
    assert.isFalse(signalProcess({ pid: 2 ** 30, startTime }, "SIGKILL"))
    assert.isFalse(signalProcess({ pid: 1, startTime: "" }, "SIGCONT"))
    assert.isFalse(signalProcess({ pid, startTime }, "NOSUCH" as NodeJS.Signals))
    assert.isTrue(signalProcess({ pid, startTime }, "SIGTERM"))
    assert.strictEqual(await exit, "SIGTERM")
    assert.isFalse(signalProcess({ pid, startTime }, "SIGTERM"))
  })

  it("reliability row 24: signals a group only in its own session", async () => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore", detached: true })
    const exit = exitOf(child)
    const self = readProcess(child.pid!)!
    assert.isFalse(
      signalGroup(self.pid, { pid: process.pid, startTime: readProcess(process.pid)!.startTime }, "SIGKILL")
    )
    assert.isFalse(signalGroup(0, self, "SIGKILL"))
    assert.isFalse(signalGroup(1, self, "SIGKILL"))
    assert.isTrue(signalGroup(self.pid, self, "SIGINT"))
    assert.strictEqual(await exit, "SIGINT")
  })
})
