/** A full disk under the real program: nothing acknowledged is lost, the user is told, and it goes on when there is room. */
import { assert, describe, it } from "vitest"
import { canMount, fillDisk, withSmallDisk } from "../fixtures/smallDisk.ts"
import { CommandLine, sequence } from "./commandLine.ts"

const seen = (text: () => string, what: string) =>
  new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (!text().includes(what)) return
      clearInterval(timer)
      resolve()
    }, 10)
  })

describe.skipIf(!canMount)(`disk full${canMount ? "" : " (skipped: mounting a tmpfs needs root)"}`, () => {
  it("a run is paused, says so, and goes on without a lost byte", () =>
    withSmallDisk(32, async (disk) => {
      const cli = new CommandLine(`${disk}/store`)
      try {
        const child = cli.spawn(["run", "--", "sh", "-c", "stty -echo; echo ready; read x; seq 1 300000; exit 3"], {
          openInput: true
        })
        let out = ""
        let err = ""
        child.stdout!.setEncoding("utf8").on("data", (chunk) => (out += chunk))
        child.stderr!.setEncoding("utf8").on("data", (chunk) => (err += chunk))
        const ended = new Promise((resolve) => child.on("close", resolve))
        await seen(() => out, "ready")
        child.stdin!.end("go\n")
        await seen(() => out, "\r\n1000\r\n")
        const free = fillDisk(disk)
        await seen(() => err, "disk is full")
        assert.include(err, "free some space")
        const refused = await cli.run(["run", "--", "true"])
        assert.notStrictEqual(refused.code, 0)
        assert.match(refused.stderr, /^reprise: .*disk is full[^\n]*\n$/)
        assert.isTrue((await cli.json(["status"])).suspended.diskFull)
        free()
        assert.strictEqual(await ended, 3)
        const expected = `ready\r\n${sequence(300_000)}`
        assert.isTrue(out === expected, "stdout is exact")
        assert.isTrue((await cli.text(["replay", "last"])) === expected, "replay is exact")
        assert.include(err, "goes on")
      } finally {
        await cli.dispose()
      }
    }))
})
