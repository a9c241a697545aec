/** Programs that come and go by the thousand: a keeper holds on to nothing of them. */
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { connectKeeper } from "../../src/keeper/KeeperClient.ts"
import { SessionRecorder, spawnRequest } from "../contracts/PtyHostContract.ts"
import {
  descriptorsOf,
  INSIDE_NEEDS,
  MIB,
  residentBytesOf,
  seesInside,
  threadsOf,
  zombiesOf
} from "../fixtures/processFigures.ts"
import { startTestKeeper } from "../keeper/keeperUnderTest.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** `npm run campaign` makes it 20,000. */
const SPAWNS = Number(process.env.REPRISE_SPAWNS ?? 1500)
/** At the same time: the most that a keeper has open meanwhile. */
const AT_ONCE = 16
/** What runs once is there afterwards: code that was compiled, threads that serve the file system. */
const WARMING_SPAWNS = 100
const GROWTH_BYTES_MAX = 30 * MIB
/** An idle keeper looks every 2 s whether there is memory to give back. */
const SETTLING_MILLIS_MAX = 30_000

describe("programs that come and go", { timeout: TIMEOUT_MILLIS + SPAWNS * 40 }, () => {
  it.skipIf(!seesInside)(
    `reliability row 25: ${SPAWNS} of them leave no descriptor, thread or zombie, and less than 30 MiB (${INSIDE_NEEDS})`,
    async () => {
      const keeper = await startTestKeeper()
      try {
        const recorder = new SessionRecorder()
        const host = await connectKeeper({ socket: keeper.socket, generation: 1, listener: recorder })
        recorder.host = host
        const spawnAll = async (count: number) => {
          let left = count
          const one = async () => {
            while (left-- > 0) {
              const request = spawnRequest(["true"])
              await host.spawn(request)
              const { exit } = await recorder.closed(request.session)
              assert.strictEqual(exit?.exitCode, 0)
              host.forget(request.session)
            }
          }
          await Promise.all(Array.from({ length: AT_ONCE }, one))
          assert.deepStrictEqual(await host.list(), [])
        }
        const looked = () => ({
          descriptors: descriptorsOf(keeper.pid),
          threads: threadsOf(keeper.pid),
          bytes: residentBytesOf(keeper.pid)
        })
        await spawnAll(WARMING_SPAWNS)
        const before = looked()
        await spawnAll(SPAWNS)
        const isOver = () => {
          const { bytes, descriptors, threads } = looked()
          return (
            bytes - before.bytes < GROWTH_BYTES_MAX &&
            descriptors <= before.descriptors + 1 &&
            threads <= before.threads &&
            zombiesOf(keeper.pid) === 0
          )
        }
        for (const began = performance.now(); !isOver() && performance.now() - began < SETTLING_MILLIS_MAX; ) {
          await sleep(50)
        }
        const after = looked()
        if (process.env.REPRISE_FIGURES) console.log({ before, after })
        assert.isAtMost(after.descriptors, before.descriptors + 1)
        assert.isAtMost(after.threads, before.threads)
        assert.isBelow(after.bytes - before.bytes, GROWTH_BYTES_MAX)
        assert.strictEqual(zombiesOf(keeper.pid), 0)
      } finally {
        await keeper.dispose()
      }
    }
  )
})
