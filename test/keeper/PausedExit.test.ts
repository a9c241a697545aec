/** Programs that end while their terminal is paused, which is when node-pty alone throws away the rest. */
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { GuardedPty } from "../../src/keeper/GuardedPty.ts"
import { spawnRequest } from "../contracts/PtyHostContract.ts"
import { sequence } from "../crash/commandLine.ts"

const TRIES = Number(process.env.REPRISE_PAUSES ?? 60)
const PAUSES = ["before", "at", "after"] as const
/** 31 bytes, 14 KB (the kernel holds it all, so the program ends meanwhile), 109 KB (the program waits in its write). */
const LASTS = [10, 3000, 20_000]
/** Longer than the 200 ms after which node-pty destroys a terminal whose program has ended. */
const PAUSE_MILLIS = [100, 300, 1000, 2000]
const AT_ONCE = 20

interface Try {
  readonly pause: (typeof PAUSES)[number]
  readonly last: number
  readonly millis: number
}

const run = async ({ last, millis, pause }: Try) => {
  const chunks: Array<Buffer> = []
  const order: Array<string> = []
  let pauseOnce = () => {}
  const paused = new Promise<void>((resolve) => {
    pauseOnce = () => {
      pty.pause()
      resolve()
    }
  })
  const closed = Promise.withResolvers<void>()
  const pty = new GuardedPty(spawnRequest(["seq", "1", String(last)]), {
    output: (bytes) => {
      chunks.push(Buffer.from(bytes))
      order.push("output")
      if ((pause === "at" && chunks.length === 1) || (pause === "after" && chunks.length === 2)) pauseOnce()
    },
    leaderExited: () => order.push("leaderExited"),
    closed: () => {
      order.push("closed")
      closed.resolve()
    }
  })
  if (pause === "before") pauseOnce()
  // A short output may be over before its second piece.
  await Promise.race([paused, closed.promise])
  // What fits into the kernel lets the program end while nobody reads.
  if (pause === "before" && last <= 3000) while (!pty.exited) await sleep(5)
  await sleep(millis)
  const exitedPaused = pty.exited && !order.includes("closed")
  pty.resume()
  await closed.promise
  assert.strictEqual(Buffer.concat(chunks).toString(), sequence(last), `${pause}, ${last}, ${millis} ms`)
  assert.deepStrictEqual(order.slice(-2), ["leaderExited", "closed"])
  return exitedPaused
}

describe("a program that ends while its terminal is paused", () => {
  it(`reliability row 2: ${TRIES} times before, at and after the first piece, for up to 2 s: 0 bytes are missing`, {
    timeout: 180_000 + TRIES * 1000
  }, async () => {
    const tries = Array.from({ length: TRIES }, (_, i) => ({
      pause: PAUSES[i % 3]!,
      last: LASTS[Math.floor(i / 3) % 3]!,
      millis: PAUSE_MILLIS[Math.floor(i / 9) % 4]!
    }))
    let exitedPaused = 0
    const worker = async () => {
      for (let one = tries.shift(); one !== undefined; one = tries.shift()) if (await run(one)) exitedPaused++
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    // Else nothing was tried.
    assert.isAtLeast(exitedPaused, Math.floor(TRIES / 6))
  })
})
