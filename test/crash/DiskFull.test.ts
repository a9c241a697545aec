/** A full disk under the real program: nothing acknowledged is lost, the user is told, and it goes on when there is room. */
import { rmSync, writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { gone } from "../fixtures/processes.ts"
import { canMount, fillDisk, withSmallDisk } from "../fixtures/smallDisk.ts"
import { CommandLine, sequence } from "./commandLine.ts"

/** Waits for the words, or for the end of who says them: then it fails, with what was said. */
const seen = async (
  text: () => string,
  what: string,
  isOver: () => boolean,
  meanwhile: () => unknown = () => undefined
) => {
  while (!text().includes(what)) {
    if (isOver()) assert.fail(`it ended without "${what}": ${text().slice(-2000)}`)
    meanwhile()
    await sleep(10)
  }
}

// Mounting a disk needs root.
if (canMount) {
  describe("disk full", () => {
    it("reliability row 12: a run is paused, says so, and goes on without a lost byte", () =>
      withSmallDisk(32, async (disk) => {
        const cli = new CommandLine(`${disk}/store`)
        try {
          // The disk is full before the program prints more than that disk takes: a program that prints on its own may be
          // through before a busy machine lets this test fill the disk, and nothing would ever be refused.
          const filled = `${disk}-filled`
          const waiting = `until [ -e ${filled} ]; do sleep 0.01; done`
          const program = `stty -echo; echo ready; read x; seq 1 1000; ${waiting}; seq 1001 300000; exit 3`
          const child = cli.spawn(["run", "--", "sh", "-c", program], { openInput: true })
          let out = ""
          let err = ""
          child.stdout!.setEncoding("utf8").on("data", (chunk) => (out += chunk))
          child.stderr!.setEncoding("utf8").on("data", (chunk) => (err += chunk))
          let isOver = false
          const ended = new Promise((resolve) => child.on("close", resolve)).finally(() => {
            isOver = true
          })
          await seen(
            () => out,
            "ready",
            () => isOver
          )
          child.stdin!.end("go\n")
          await seen(
            () => out,
            "\r\n1000\r\n",
            () => isOver
          )
          const frees = [fillDisk(disk)]
          writeFileSync(filled, "")
          await seen(
            () => err,
            "disk is full",
            () => isOver,
            // What the journal gives back by itself is taken too.
            () => frees.push(fillDisk(disk))
          )
          assert.include(err, "free some space")
          const refused = await cli.run(["run", "--", "true"])
          assert.notStrictEqual(refused.code, 0)
          assert.match(refused.stderr, /^reprise: .*disk is full[^\n]*\n$/)
          assert.isTrue((await cli.json(["status"])).suspended.diskFull)
          for (const free of frees) free()
          assert.strictEqual(await ended, 3)
          const expected = `ready\r\n${sequence(300_000)}`
          assert.isTrue(out === expected, "stdout is exact")
          assert.isTrue((await cli.text(["replay", "last"])) === expected, "replay is exact")
          assert.include(err, "goes on")
        } finally {
          await cli.dispose()
          rmSync(`${disk}-filled`, { force: true })
        }
      }))

    it("an engine is not started there: it says what to do, and with room the next one goes on", () =>
      withSmallDisk(32, async (disk) => {
        const cli = new CommandLine(`${disk}/store`)
        try {
          const program = "stty -echo; echo ready; read x; echo $x; exit 3"
          await cli.text(["run", "--detach", "--name", "waiting", "--", "sh", "-c", program])
          // What is typed before that is still echoed.
          while (!(await cli.text(["replay", "waiting"])).includes("ready")) await sleep(10)
          const engine = (await cli.enginePid())!
          process.kill(engine, "SIGKILL")
          // What it held open is given back by then.
          await gone(engine)
          const free = fillDisk(disk)
          for (const args of [["run", "--detach", "--", "true"], ["list"]]) {
            const refused = await cli.run(args)
            assert.strictEqual(refused.code, 69)
            assert.match(refused.stderr, /^reprise: [^\n]*disk is full[^\n]*free 16 MiB or more and try again[^\n]*\n$/)
          }
          free()
          await cli.text(["send", "waiting", "--enter", "gone on"])
          // Until it is over.
          await cli.text(["events", "waiting", "--follow"])
          assert.strictEqual(await cli.text(["replay", "waiting"]), "ready\r\ngone on\r\n")
          assert.deepInclude(await cli.json(["inspect", "waiting"]), {
            status: "exited",
            exitCode: 3,
            interruptions: 1
          })
        } finally {
          await cli.dispose()
        }
      }))
  })
}
