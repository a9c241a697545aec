/** Ending a session on a machine that stands still meanwhile: time that nobody had is nobody's grace. */
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it, vi } from "vitest"
import { makeInProcessHost } from "../../src/keeper/InProcessHost.ts"
import { CLOSE_GRACE_MILLIS_MAX } from "../../src/keeper/PtyHost.ts"
import { spawnRequest } from "../contracts/PtyHostContract.ts"
import { silent } from "./keeperUnderTest.ts"

describe("a session that is ended", () => {
  it("has its time to save its work between TERM and KILL also when the time before that was used up at once", async () => {
    const folder = mkdtempSync(join(tmpdir(), "reprise-end-"))
    const at = (name: string) => join(folder, name)
    const host = makeInProcessHost(silent)
    let now = performance.now()
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now)
    try {
      const script = `
        trap ': > ${at("hung-up")}' HUP
        trap 'sleep 0.1; : > ${at("saved")}; exit 0' TERM
        : > ${at("ready")}
        while :; do sleep 0.01; done`
      const request = spawnRequest(["sh", "-c", script])
      await host.spawn(request)
      while (!existsSync(at("ready"))) await sleep(5)
      const closing = host.close(request.session, CLOSE_GRACE_MILLIS_MAX)
      while (!existsSync(at("hung-up"))) await sleep(5)
      now += CLOSE_GRACE_MILLIS_MAX
      assert.deepStrictEqual(await closing, [])
      assert.isTrue(existsSync(at("saved")))
    } finally {
      clock.mockRestore()
      await host.dispose()
      rmSync(folder, { recursive: true })
    }
  })
})
