/** Looking for the processes of several sessions in one walk over the process table. */
import { type ChildProcess, spawn } from "node:child_process"
import { afterEach, assert, describe, it } from "vitest"
import { lookForProcesses } from "../../src/keeper/ProcessLook.ts"
import { processesOfSession, readProcess, SESSION_MARKER, type SessionIdentity } from "../../src/keeper/ProcessTable.ts"

const children: Array<ChildProcess> = []

/** A leader of its own kernel session, and one that left it and has only the marker. */
const start = async (marker: string): Promise<{ session: SessionIdentity; pids: ReadonlyArray<number> }> => {
  const run = () => {
    const child = spawn("sleep", ["1000"], {
      stdio: "ignore",
      detached: true,
      env: { ...process.env, [SESSION_MARKER]: marker }
    })
    children.push(child)
    return new Promise<number>((resolve) => child.once("spawn", () => resolve(child.pid!)))
  }
  const leader = await run()
  const other = await run()
  const { pid, startTime } = readProcess(leader)!
  return { session: { leader: { pid, startTime }, marker }, pids: [leader, other] }
}

const pidsIn = (entries: ReadonlyArray<{ readonly pid: number }>) => entries.map(({ pid }) => pid).sort()

describe("ProcessLook", () => {
  afterEach(async () => {
    await Promise.all(
      children.splice(0).map((child) => {
        if (child.exitCode !== null || child.signalCode !== null) return undefined
        const exit = new Promise((resolve) => child.once("exit", resolve))
        child.kill("SIGKILL")
        return exit
      })
    )
  })

  it("gives each session its own processes, as a look for it alone does", async () => {
    const sessions = await Promise.all(["LOOK-A", "LOOK-B", "LOOK-C"].map(start))
    const looks = await Promise.all(sessions.map(({ session }) => lookForProcesses(session)))
    sessions.forEach(({ pids, session }, index) => {
      assert.deepStrictEqual(pidsIn(looks[index]!), [...pids].sort())
      assert.deepStrictEqual(pidsIn(processesOfSession(session)), [...pids].sort())
    })
  })

  it("never answers with what was there before the question", async () => {
    const first = await start("LOOK-D")
    // Under way when the second one asks.
    const early = lookForProcesses(first.session)
    await new Promise((resolve) => setImmediate(resolve))
    const second = await start("LOOK-E")
    const late = lookForProcesses(second.session)
    assert.deepStrictEqual(pidsIn(await early), [...first.pids].sort())
    assert.deepStrictEqual(pidsIn(await late), [...second.pids].sort())
  })

  it("reliability row 24: does not take an older process with a session's marker for its own", async () => {
    const { pids, session } = await start("LOOK-F")
    const later = { ...session.leader, startTime: String(Number(session.leader.startTime) + 1_000_000) }
    assert.lengthOf(pids, 2)
    assert.deepStrictEqual(await lookForProcesses({ leader: later, marker: session.marker }), [])
  })
})
