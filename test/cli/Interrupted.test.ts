/** Commands that are ended by a signal, or in a place that is gone: they leave nothing behind, and say what is wrong. */
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { withinPatternTime } from "../../src/session/PatternTime.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { withDisposal } from "../fixtures/disposal.ts"

const program = join(dirname(fileURLToPath(import.meta.url)), "../../dist/bin/reprise.js")
const BYTES = 6_000_000
/** A run of one letter and another one: what `(a+)+$` tries in as many ways as there are. */
const HARD = `${"a".repeat(60)}!`
const HARD_PATTERN = "(a+)+$"
/** Ticks of the processor, 100 in a second: a command that only starts takes about 15. */
const WORKING_TICKS = 60

const withCommandLine = (use: (cli: CommandLine, folder: string) => Promise<void>): Promise<void> => {
  const cli = new CommandLine()
  const folder = mkdtempSync(join(tmpdir(), "reprise-interrupted-"))
  const dispose = async () => {
    await cli.dispose()
    rmSync(folder, { recursive: true, force: true })
  }
  return withDisposal(dispose, () => use(cli, folder))
}

const ticksOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[13])
const moment = () => new Promise((resolve) => setTimeout(resolve, 5))

describe("a command that is ended by a signal", () => {
  it("leaves no file of an export that it was writing", () =>
    withCommandLine(async (cli, folder) => {
      await cli.text(["run", "--name", "large", "--", "sh", "-c", `head -c ${BYTES} /dev/urandom | base64`])
      for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"] as const) {
        for (;;) {
          const child = cli.spawn(["export", "large", "--out", join(folder, "large.cast")])
          const finished = cli.finished(child)
          while (readdirSync(folder).length === 0) await moment()
          child.kill(signal)
          const ended = await finished
          // Written before this process came to interrupt it: again.
          if (ended.code === 0) rmSync(join(folder, "large.cast"))
          else {
            assert.strictEqual(ended.signal, signal)
            break
          }
        }
        assert.deepStrictEqual(readdirSync(folder), [])
      }
    }))

  it.skipIf(process.platform !== "linux")("ends also while a pattern takes for ever", () =>
    withCommandLine(async (cli) => {
      await cli.text(["run", "--name", "hard", "--", "echo", HARD])
      for (const args of [
        ["redact", "hard", "--pattern", HARD_PATTERN],
        ["diff", "hard", "hard", "--ignore", HARD_PATTERN]
      ]) {
        const child = cli.spawn(args)
        const finished = cli.finished(child)
        while (ticksOf(child.pid!) < WORKING_TICKS) await moment()
        child.kill("SIGINT")
        assert.strictEqual((await finished).signal, "SIGINT", args[0])
      }
    })
  )
})

describe("a pattern that takes long", () => {
  it("is refused, and what comes after it is not", async () => {
    const failed = Effect.flip(withinPatternTime("pattern", () => new RegExp(HARD_PATTERN, "u").test(HARD), 50))
    const { field, reason } = await Effect.runPromise(failed)
    assert.strictEqual(field, "pattern")
    assert.include(reason, "takes longer than 0.05 s")
    assert.strictEqual(await Effect.runPromise(withinPatternTime("pattern", () => "a".length)), 1)
  })
})

describe("a command in a folder that was removed", () => {
  it("works where it needs none, and names the folder where it does", () =>
    withCommandLine(async (cli, folder) => {
      const gone = join(folder, "gone")
      const inside = (args: string) => {
        mkdirSync(gone)
        const script = `cd '${gone}' && rmdir '${gone}' && exec '${process.execPath}' '${program}' --store '${cli.store}' ${args}`
        return new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
          execFile("sh", ["-c", script], (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }))
        })
      }
      assert.deepInclude(await inside("list --json"), { code: 0, stderr: "" })
      const { code, stderr } = await inside("run echo hi")
      assert.strictEqual(code, 64)
      assert.include(stderr, `the working directory "${gone}" does not exist`)
    }))
})
