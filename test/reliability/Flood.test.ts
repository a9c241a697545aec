/** Programs that print without end, beside a session that somebody types into: memory, ^C and the other session's echo. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Attach, Sessions } from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { makeEchoWatch } from "./EchoWatch.ts"
import { MIB, residentBytesOf } from "./processFigures.ts"

const FLOODS = 3
/** Of each; `npm run campaign` makes it 10,000. */
const FLOOD_MILLIS = Number(process.env.REPRISE_FLOOD_MILLIS ?? 2000)
const GROWTH_BYTES_MAX = 64 * MIB
/** Of a machine that has nothing else to do; on a busy one everything takes longer, with and without a flood. */
const INTERRUPT_MILLIS_MAX = 500
const ECHO_MILLIS_MAX = 50
/** How much longer than the same echo beside nothing. */
const SLOWER_MAX = 5

describe("floods", { timeout: 60_000 + 3 * FLOODS * FLOOD_MILLIS }, () => {
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
        for (let flood = 0; flood < FLOODS; flood++) {
          const before = pids.map(residentBytesOf)
          const growth = pids.map(() => 0)
          const { id } = yield* sessions.create({ argv: ["yes"], cwd: "/" })
          const reading = yield* attach.attach(id, { after: 0 }).pipe(Stream.runDrain, Effect.forkScoped)
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
          for (const bytes of growth) assert.isBelow(bytes, GROWTH_BYTES_MAX, "resident bytes")
          assert.isBelow(end, INTERRUPT_MILLIS_MAX + slack, "milliseconds from ^C to the end at a client")
          assert.isBelow(times.slowestMillis, INTERRUPT_MILLIS_MAX + slack, "milliseconds of the slowest echo")
        }
        const middle = p99s.sort((one, other) => one - other)[FLOODS >> 1]!
        assert.isBelow(middle, ECHO_MILLIS_MAX + slack, "milliseconds of an echo, p99")
      }).pipe(Effect.scoped, Effect.provide(engine.client()))
    })
  )
})
