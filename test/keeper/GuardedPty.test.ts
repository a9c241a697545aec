/** What only shows from inside the process that owns the terminals: its descriptors, its CPU time, its latency. */
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { GuardedPty } from "../../src/keeper/GuardedPty.ts"
import { makeInProcessHost } from "../../src/keeper/InProcessHost.ts"
import { OUTPUT_HELD_BYTES_HIGH, type PtyHost } from "../../src/keeper/PtyHost.ts"
import { SessionRecorder, spawnRequest } from "../contracts/PtyHostContract.ts"
import { gone } from "../fixtures/processes.ts"

const openDescriptors = () => readdirSync("/proc/self/fd").length
/** Descriptors of this process that are open on this file. */
const heldOn = (path: string) =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      // That of the listing itself.
      return false
    }
  }).length
const threads = () => readdirSync("/proc/self/task").length

describe("GuardedPty", () => {
  let folder: string
  let recorder: SessionRecorder
  let host: PtyHost
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "reprise-pty-"))
    recorder = new SessionRecorder()
    host = makeInProcessHost(recorder)
    recorder.host = host
  })
  afterEach(async () => {
    await host.dispose()
    rmSync(folder, { recursive: true, force: true })
  })
  const start = async (script: string) => {
    const request = spawnRequest(["sh", "-c", script])
    await host.spawn(request)
    return request.session
  }

  it("reliability row 4: writes no input to a file that was opened after the program died, 30 times", async () => {
    const files: Array<number> = []
    for (let i = 0; i < 30; i++) {
      const session = await start("stty raw -echo; echo ready; exec sleep 1000")
      await recorder.shows(session, "ready")
      await host.write(session, 1, Buffer.alloc(1024 * 1024, "SECRET "))
      await host.signal(session, "SIGKILL", "leader")
      // Before, while and after the terminal closes: one of these gets its number.
      const closed = recorder.closed(session)
      for (let n = 0; n < 20; n++) {
        files.push(openSync(join(folder, `${i}-${n}`), "w"))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await closed
      files.push(openSync(join(folder, `${i}-last`), "w"))
    }
    // Longer than the longest wait between two attempts to write.
    await new Promise((resolve) => setTimeout(resolve, 70))
    for (const fd of files) {
      assert.strictEqual(fstatSync(fd).size, 0, "bytes of input in a foreign file")
      closeSync(fd)
    }
  })

  it("holds the slave itself until the output of a program that exited was read, and not longer", async () => {
    recorder.acknowledging = false
    const session = await start("tty; exec yes")
    const record = await recorder.shows(session, "\r\n").then(() => recorder.of(session))
    const slave = record.text.slice(0, record.text.indexOf("\r"))
    assert.match(slave, /^\/dev\/pts\/\d+$/)
    assert.strictEqual(heldOn(slave), 1)
    // Nobody acknowledges: it is held back with bytes in the kernel, and killed there.
    await recorder.until(() => record.nextOffset >= OUTPUT_HELD_BYTES_HIGH)
    await host.signal(session, "SIGKILL", "leader")
    const pid = (await host.list())[0]!.pid
    await gone(pid)
    assert.isFalse(record.closed)
    assert.strictEqual(heldOn(slave), 1)
    recorder.acknowledging = true
    host.ack(session, record.nextOffset)
    await recorder.closed(session)
    assert.strictEqual(heldOn(slave), 0)
  })

  it("hostile case 15: a program prints 16,893 bytes and ends while nobody reads for 5 s: all of them, then the exit", async () => {
    const printing = async (bytes: number) => {
      const events: Array<number | "leaderExited" | "closed"> = []
      const isClosed = Promise.withResolvers<void>()
      const request = spawnRequest(["sh", "-c", `head -c ${bytes} /dev/zero | tr '\\0' x`])
      const pty = new GuardedPty(request, {
        output: (data) => events.push(data.length),
        leaderExited: () => events.push("leaderExited"),
        closed: () => {
          events.push("closed")
          isClosed.resolve()
        }
      })
      pty.pause()
      await sleep(5000)
      assert.notInclude(events, "leaderExited")
      pty.resume()
      await isClosed.promise
      assert.deepStrictEqual(events.slice(-2), ["leaderExited", "closed"])
      const sizes = events.slice(0, -2).map(Number)
      assert.strictEqual(
        sizes.reduce((sum, size) => sum + size, 0),
        bytes
      )
    }
    // It ended, or stands in its last write: how much the kernel takes at once differs from try to try. Of little it takes all.
    await Promise.all([printing(16_893), printing(2000)])
  })

  it("closes at once after a program that nobody outlives", async () => {
    const millis: Array<number> = []
    for (let i = 0; i < 20; i++) {
      const session = await start("echo done")
      const record = recorder.of(session)
      await recorder.until(() => record.exit !== null)
      const exited = performance.now()
      await recorder.closed(session)
      millis.push(performance.now() - exited)
    }
    // Not the middle: on a machine that stands still now and then most may be late, and a fixed wait would be in each.
    assert.isBelow(millis.sort((a, b) => a - b)[4]!, 30)
  })

  it("leaves no descriptor and no thread behind", async () => {
    const once = async () => {
      const session = await start("echo done")
      await recorder.closed(session)
      host.forget(session)
    }
    await once()
    const before = { descriptors: openDescriptors(), threads: threads() }
    for (let i = 0; i < 100; i++) await once()
    // The thread that waited for a program ends a moment after its last word.
    for (let look = 0; look < 100 && (openDescriptors() > before.descriptors || threads() > before.threads); look++) {
      await sleep(20)
    }
    assert.isAtMost(openDescriptors(), before.descriptors + 1)
    assert.isAtMost(threads(), before.threads + 1)
  })

  it("answers a keystroke without waiting for more", async () => {
    const session = await start("echo ready; cat > /dev/null")
    await recorder.shows(session, "ready")
    const record = recorder.of(session)
    const millis: Array<number> = []
    for (let i = 1; i <= 50; i++) {
      const before = record.nextOffset
      const pressed = performance.now()
      await host.write(session, i, Buffer.from("x"))
      await recorder.until(() => record.nextOffset > before)
      millis.push(performance.now() - pressed)
    }
    // Not the middle, for the same reason.
    assert.isBelow(millis.sort((a, b) => a - b)[9]!, 5)
  })

  it("keeps few pieces of what a program writes byte by byte", async () => {
    recorder.acknowledging = false
    const session = await start("stty -opost; i=0; while [ $i -lt 3000 ]; do printf x; i=$((i+1)); done")
    const record = await recorder.closed(session)
    assert.strictEqual(record.nextOffset, 3000)
    const deliveries = record.chunks.length
    record.chunks.length = 0
    record.nextOffset = 0
    record.outputBytes = null
    record.exit = null
    await host.attach(session, 0)
    await recorder.closed(session)
    assert.strictEqual(record.bytes.length, 3000)
    assert.isBelow(record.chunks.length, Math.min(3, deliveries + 1))
  })
})
