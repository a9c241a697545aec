/** A full disk loses nothing that was acknowledged, says so, and is over by itself when there is room; also before a kill -9. */
import { spawn } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { canMount, withSmallDisk } from "../fixtures/smallDisk.ts"
import { fillAndFree, journalOn } from "./diskFullWrites.ts"

const MEBIBYTES = [4, 6, 8, 24]

const assertKept = async (disk: string, stream: SessionId, acknowledged: ReadonlyArray<string>): Promise<void> => {
  const kept = await Effect.runPromise(
    Effect.gen(function* () {
      const journal = yield* Journal
      assert.deepStrictEqual((yield* journal.verify).damages, [])
      return yield* Stream.runCollect(journal.read(stream))
    }).pipe(Effect.provide(journalOn(disk)))
  )
  const texts = [...kept].map(({ event }) =>
    event._tag === "OutputReceived" ? Buffer.from(event.data).toString().replace(/\.+$/, "") : ""
  )
  assert.isAtLeast(acknowledged.length, 150)
  assert.deepStrictEqual(
    acknowledged.filter((text) => !texts.includes(text)),
    []
  )
  assert.strictEqual(new Set(texts).size, texts.length)
}

/** The same in a process of its own, which is killed right after the last write was acknowledged. */
const killedAfterwards = async (disk: string, stream: SessionId): Promise<ReadonlyArray<string>> => {
  const program = fileURLToPath(new URL("diskFullWrites.ts", import.meta.url))
  const told = `${disk}-told`
  try {
    const child = spawn(process.execPath, [program, disk, stream, told], { stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.on("data", (data) => (said += data))
    const signal = await new Promise((resolve) => child.once("close", (_, signal) => resolve(signal)))
    assert.strictEqual(signal, "SIGKILL", said)
    return JSON.parse(readFileSync(told, "utf8"))
  } finally {
    rmSync(told, { force: true })
  }
}

// Mounting a disk needs root.
if (canMount) {
  describe("reliability row 12: a full disk", () => {
    for (const mebibytes of MEBIBYTES) {
      it(`of ${mebibytes} MiB, freed, written to 50 times and killed, loses no acknowledged event`, () =>
        withSmallDisk(mebibytes, async (disk) => {
          const stream = newSessionId()
          await assertKept(disk, stream, await killedAfterwards(disk, stream))
        }))

      it(`of ${mebibytes} MiB in mode power loses no acknowledged event`, () =>
        withSmallDisk(mebibytes, async (disk) => {
          const stream = newSessionId()
          const writing = fillAndFree(disk, stream).pipe(Effect.provide(journalOn(disk, "power")))
          await assertKept(disk, stream, await Effect.runPromise(writing))
        }))
    }
  })
}
