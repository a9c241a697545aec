/** Programs that print without end, beside a session that somebody types into: memory, ^C and the other session's echo. */
import { cpus, loadavg } from "node:os"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Attach, Sessions } from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { MIB, residentBytesOf } from "../fixtures/processFigures.ts"
import { makeEchoWatch } from "./EchoWatch.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

const FLOODS = 3
/** Of each; `npm run campaign` makes it 10,000. */
const FLOOD_MILLIS = Number(process.env.REPRISE_FLOOD_MILLIS ?? 2000)
const GROWTH_BYTES_MAX = 64 * MIB
/** Of a single flood on a busy machine, where garbage is collected later: 73 MiB were seen once. */
const PEAK_BYTES_MAX = 96 * MIB
/** Runnable processes for each core, at least 1: everything, the collection of garbage too, comes so much later. */
const crowd = (): number => Math.max(1, loadavg()[0]! / cpus().length)
/** Of a machine that has nothing else to do; on a busy one everything takes longer, with and without a flood. */
const INTERRUPT_MILLIS_MAX = 500
const ECHO_MILLIS_MAX = 50
/** How much longer than the same echo beside nothing. */
const SLOWER_MAX = 5

/** Of what should not take long: a machine that stands still for a moment does so in one flood, and hardly in each. */
const bestOf = (millis: ReadonlyArray<number>): number => Math.min(...millis)

const middleOf = (figures: ReadonlyArray<number>): number =>
  [...figures].sort((one, other) => one - other)[figures.length >> 1]!

describe("floods", { timeout: TIMEOUT_MILLIS + 3 * FLOODS * FLOOD_MILLIS }, () => {
  it.live(`reliability row 20: ${FLOODS} times yes for ${FLOOD_MILLIS} ms: memory, ^C, and the echo of others`, () =>
    Effect.gen(function* () {
      const engine = yield* engineProcess
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const attach = yield* Attach
        const echo = yield* makeEchoWatch
        const [, usual] = yield* echo.during(Effect.sleep(FLOOD_MILLIS / 2))
        const slack = SLOWER_MAX * usual.p99Millis
        const { enginePid } = yield* sessions.status
        const keepers = yield* Effect.promise(() => listKeepers(storePaths(engine.store).keepers))
        const pids = [enginePid, ...keepers.map(({ pid }) => pid)]
        const p99s: Array<number> = []
        const overdue: Array<number> = []
        const growths: Array<number> = []
        for (let flood = 0; flood < FLOODS; flood++) {
          const before = pids.map(residentBytesOf)
          const growth = pids.map(() => 0)
          const { id } = yield* sessions.create({ argv: ["yes"], cwd: "/" })
          let flooded = 0
          const reading = yield* attach.attach(id, { after: 0 }).pipe(
            Stream.runForEach((item) =>
              Effect.sync(() => {
                if (item._tag === "Output") flooded += item.data.byteLength
              })
            ),
            Effect.forkScoped
          )
          const watching = yield* Effect.forkScoped(
            Effect.forever(
              Effect.suspend(() => {
                for (const [at, pid] of pids.entries()) {
                  growth[at] = Math.max(growth[at]!, residentBytesOf(pid) - before[at]!)
                }
                return Effect.sleep(20)
              })
            )
          )
          const [, times] = yield* echo.during(Effect.sleep(FLOOD_MILLIS))
          const began = performance.now()
          yield* sessions.write(id, Buffer.from([3]))
          yield* Fiber.join(reading)
          const end = performance.now() - began
          yield* Fiber.interrupt(watching)
          p99s.push(times.p99Millis)
          if (process.env.REPRISE_FIGURES) console.log({ mib: growth.map((bytes) => bytes / MIB), times, usual, end })
          assert.isAbove(flooded, MIB / 4, "it was a flood")
          growths.push(Math.max(...growth))
          // The echoes beside this flood say how busy the machine is at this moment.
          const slackNow = slack + SLOWER_MAX * times.p99Millis
          overdue.push(end - slackNow)
        }
        assert.isBelow(bestOf(overdue), INTERRUPT_MILLIS_MAX, "milliseconds from ^C to the end at a client")
        assert.isBelow(bestOf(p99s), (ECHO_MILLIS_MAX + slack) * crowd(), "milliseconds of an echo, p99")
        assert.isBelow(middleOf(growths), GROWTH_BYTES_MAX * crowd(), "resident bytes")
        assert.isBelow(Math.max(...growths), PEAK_BYTES_MAX * crowd(), "resident bytes of the worst flood")
      }).pipe(Effect.scoped, Effect.provide(engine.client()))
    })
  )
})
