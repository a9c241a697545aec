/** What a program is told whose engine is gone and may not be started by it. Waits as long as a client tries. */
import { assert, describe, it } from "@effect/vitest"
import { readAll, refusal, StoreUnderTest } from "./clientUnderTest.ts"

describe("an engine that is gone", () => {
  it("is Unavailable in calls, loops and exits, nothing hangs, and the same client finds the next one", async () => {
    const away = new StoreUnderTest()
    try {
      // Starts the engine; what follows may not start another.
      await (await away.connect()).close()
      const other = await away.connect({ start: false })
      const terminal = await other.terminal({ command: ["sleep", "1000"] })
      const exited = refusal(terminal.exited)
      const loop = refusal(readAll(terminal))
      await away.killEngine(other)
      const refused = await Promise.all([refusal(other.list()), loop, exited])
      assert.deepStrictEqual(
        refused.map(({ code }) => code),
        ["Unavailable", "Unavailable", "Unavailable"]
      )
      // An engine that is there again is found by the same client: nothing has to be made anew.
      await away.connect()
      await terminal.close()
      assert.strictEqual((await terminal.exited).reason, "ended")
      assert.strictEqual((await readAll(terminal)).last?.reason, "ended")
    } finally {
      await away.dispose()
    }
  })
})
