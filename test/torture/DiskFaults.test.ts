/** The journal on real LevelDB and a real disk: system calls that fail, syncs that fail, and power that goes. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Layer, Stream } from "effect"
import { assert, describe, it } from "vitest"
import { Journal, JournalLevel } from "../../journal/index.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { canCutPower, eventText, withPowerDisk } from "./PowerCut.ts"

const programOf = (name: string) => fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url))

const start = (name: string, args: ReadonlyArray<string>): ChildProcess =>
  spawn(process.execPath, [programOf(name), ...args], { stdio: ["ignore", "pipe", "inherit"] })

/** The object it prints. */
const answerOf = async (name: string, ...args: ReadonlyArray<string>) => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-disk-faults-"))
  try {
    const child = start(name, [folder, ...args])
    let text = ""
    child.stdout!.setEncoding("utf8").on("data", (part: string) => {
      text += part
    })
    const code = await new Promise((resolve) => child.once("close", resolve))
    assert.strictEqual(code, 0)
    return JSON.parse(text)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const RUNS = Number(process.env.REPRISE_RUNS ?? 32)
const CUTS = Number(process.env.REPRISE_CUTS ?? 24)

// The limits and descriptors of another process are Linux's.
if (process.platform === "linux") {
  describe("real LevelDB", () => {
    it(`reliability row 13: ${RUNS} journals whose disk fails at the n-th append (EFBIG within a write, EMFILE, ENOSPC, EIO), once and for a while`, {
      timeout: 240_000 + RUNS * 5000
    }, async () => {
      const { acknowledged, damages, doubled, lost, reasons, refused, runs } = await answerOf(
        "diskFaults",
        String(RUNS),
        process.env.REPRISE_SEED ?? "1"
      )
      assert.deepInclude({ damages, doubled, lost, runs }, { damages: 0, doubled: 0, lost: 0, runs: RUNS })
      // Each run met its fault, and every kind was met.
      assert.isAtLeast(refused, RUNS)
      assert.isAbove(acknowledged, RUNS * 20)
      assert.sameMembers(Object.keys(reasons), ["File too large", "No space left", "Input/output error"])
    })

    it(`reliability row 16: in mode power no append is acknowledged without a sync: ${CUTS} that cannot be synced are refused`, {
      timeout: 240_000
    }, async () => {
      assert.deepInclude(await answerOf("syncedBatches", "power", String(CUTS)), {
        unsynced: CUTS,
        refused: CUTS,
        acknowledged: 0,
        lost: 0
      })
      // What tells the modes apart is the sync alone.
      assert.deepInclude(await answerOf("syncedBatches", "process", "2"), { refused: 0, acknowledged: 2 })
    })
  })
}

/** A writer whose power goes again and again; for each cut, events acknowledged before it, found after it, and holes. */
const cutPower = (durability: "power" | "process", cuts: number) =>
  withPowerDisk(async (disk) => {
    const random = seededRandom(Number(process.env.REPRISE_SEED ?? 1))
    const stream = newSessionId()
    const writer = start("powerWriter", [join(disk.folder, "journal"), durability, stream])
    let acknowledged = 0
    let next: (() => void) | undefined
    let text = ""
    writer.stdout!.setEncoding("latin1").on("data", (part: string) => {
      const lines = (text + part).split("\n")
      text = lines.pop()!
      acknowledged = Number(lines.at(-1) ?? acknowledged)
      next?.()
    })
    const until = async (number: number) => {
      while (acknowledged < number) await new Promise<void>((resolve) => (next = resolve))
    }
    const results: Array<{ acknowledged: number; found: number; wrong: number; damages: number }> = []
    try {
      for (let cut = 0; cut < cuts; cut++) {
        await until(acknowledged + 1 + random.below(40))
        // Nothing is written while the file is copied: a disk without power stops at one moment.
        process.kill(writer.pid!, "SIGSTOP")
        while (!/^\d+ \(.*\) T/.test(readFileSync(`/proc/${writer.pid}/stat`, "latin1"))) {
          await new Promise((resolve) => setImmediate(resolve))
        }
        // What it said before it was stopped counts.
        await new Promise((resolve) => setTimeout(resolve, 5))
        const before = acknowledged
        await disk.cut(async (folder) => {
          process.kill(writer.pid!, "SIGCONT")
          const location = join(folder, "journal")
          results.push(
            await Effect.runPromise(
              Effect.gen(function* () {
                const journal = yield* Journal
                const { damages } = yield* journal.verify
                let found = 0
                let wrong = 0
                yield* Stream.runForEach(journal.read(stream), ({ event }) =>
                  Effect.sync(() => {
                    found++
                    const data = event._tag === "OutputReceived" ? Buffer.from(event.data).toString() : ""
                    if (data !== eventText(found)) wrong++
                  })
                )
                return { acknowledged: before, found, wrong, damages: damages.length }
              }).pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location }))))
            )
          )
        })
      }
    } finally {
      writer.kill("SIGKILL")
      process.kill(writer.pid!, "SIGCONT")
      await new Promise((resolve) => writer.once("close", resolve))
    }
    return results
  })

// A file system of one's own needs root and loop devices: where they are not there, the syncs above are what is tested.
if (canCutPower) {
  describe("a power cut", () => {
    it(`reliability row 16: ${CUTS} times in mode power: no acknowledged event is lost, no hole, nothing wrong`, {
      timeout: 240_000 + CUTS * 5000
    }, async () => {
      const results = await cutPower("power", CUTS)
      assert.strictEqual(results.length, CUTS)
      for (const { acknowledged, damages, found, wrong } of results) {
        assert.isAtLeast(found, acknowledged)
        assert.deepStrictEqual({ damages, wrong }, { damages: 0, wrong: 0 })
      }
      assert.isAbove(results.at(-1)!.acknowledged, CUTS)
    })

    it("reliability row 16: without syncs the same cuts lose acknowledged events: this test can fail", {
      timeout: 240_000
    }, async () => {
      const results = await cutPower("process", 3).catch(() => "not even a store")
      if (typeof results === "string") return
      assert.isTrue(results.some(({ acknowledged, found }) => found < acknowledged))
    })
  })
}
