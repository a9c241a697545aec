/** Input that waits for a program that does not read, in a real keeper: it costs next to nothing, and goes nowhere else. */
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { connectKeeper } from "../../src/keeper/KeeperClient.ts"
import { INPUT_WRITE_BYTES_MAX, type PtyHost } from "../../src/keeper/PtyHost.ts"
import { SessionRecorder, spawnRequest } from "../contracts/PtyHostContract.ts"
import { cpuMillisOf } from "../fixtures/processFigures.ts"
import { endSessions, type KeeperUnderTest, startTestKeeper } from "../keeper/keeperUnderTest.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** Of one core, while it waits. A writer that tries again at once takes 80 %. */
const CPU_PART_MAX = 0.1
const WATCHED_MILLIS = 1000
const LOOKS_MAX = 5

describe("input that waits", { timeout: TIMEOUT_MILLIS }, () => {
  let keeper: KeeperUnderTest
  let recorder: SessionRecorder
  let host: PtyHost
  beforeAll(async () => {
    keeper = await startTestKeeper()
    recorder = new SessionRecorder()
    host = await connectKeeper({ socket: keeper.socket, generation: 1, listener: recorder })
    recorder.host = host
  })
  afterAll(() => keeper.dispose())

  const start = async (script: string) => {
    const request = spawnRequest(["sh", "-c", script])
    await host.spawn(request)
    return request.session
  }
  /** The least of a few looks, as soon as one is little: what came before may still be cleaned up in the first of them. */
  const cpuPart = async () => {
    let least = Number.POSITIVE_INFINITY
    for (let look = 0; look < LOOKS_MAX && least >= CPU_PART_MAX; look++) {
      const before = cpuMillisOf(keeper.pid)
      const began = performance.now()
      await sleep(WATCHED_MILLIS)
      least = Math.min(least, (cpuMillisOf(keeper.pid) - before) / (performance.now() - began))
    }
    return least
  }

  it("reliability row 6: a mebibyte for each of three programs that do not read costs less than 10 % of a core", async () => {
    const sessions = await Promise.all([
      start("stty raw -echo; echo ready; exec sleep 1000"),
      start("stty raw -echo; echo ready; kill -STOP $$; exec cat >/dev/null"),
      start("stty -echo; echo ready; exec sleep 1000")
    ])
    for (const session of sessions) {
      await recorder.shows(session, "ready")
      const lines = Buffer.alloc(INPUT_WRITE_BYTES_MAX, "a line that nobody reads\n")
      assert.strictEqual((await host.write(session, 1, lines)).outcome, "applied")
    }
    for (const session of sessions) assert.isAbove((await host.mode(session)).queuedBytes, INPUT_WRITE_BYTES_MAX / 2)
    assert.isBelow(await cpuPart(), CPU_PART_MAX)
    await endSessions(host)
  })

  it("hostile case 17: a mebibyte pasted into sleep, which is then killed: each write was answered, nobody else gets a byte", async () => {
    const session = await start("stty -echo; echo ready; exec sleep 1000")
    await recorder.shows(session, "ready")
    const pieces = 16
    const bytes = Buffer.alloc(INPUT_WRITE_BYTES_MAX / pieces, "PASTED TEXT\n")
    for (let sequence = 1; sequence <= pieces; sequence++) {
      assert.strictEqual((await host.write(session, sequence, bytes)).outcome, "applied")
    }
    const held = (await host.list()).find((one) => one.session === session)
    assert.strictEqual(held?.inputSequence, pieces)
    assert.isBelow(await cpuPart(), CPU_PART_MAX)
    await host.signal(session, "SIGKILL", "leader")
    // Terminals that are opened while the other one closes: one of them gets its number.
    const others: Array<string> = []
    const ended = recorder.closed(session)
    for (let i = 0; i < 10; i++) others.push(await start("stty raw; echo ready; exec cat"))
    await ended
    assert.strictEqual((await host.write(session, pieces + 1, bytes)).outcome, "closed")
    // Longer than the longest wait between two attempts to write.
    await sleep(70)
    for (const other of others) {
      const id = other as typeof session
      await recorder.shows(id, "ready")
      await host.write(id, 1, Buffer.from("own"))
      await recorder.shows(id, "own")
      assert.notInclude(recorder.of(id).text, "PASTED")
    }
  })
})
