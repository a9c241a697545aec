/** A session that starts as many processes as it can: others' sessions answer meanwhile, and closing it ends them all. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type History, Sessions } from "../../src/index.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { idOf, until } from "../session/sessionsUnderTest.ts"
import { makeEchoWatch } from "./EchoWatch.ts"
import { ANOTHER_NEEDS, canBeAnother, type OtherUser, processesOf, withOtherUser } from "./otherUser.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** `npm run campaign` makes it 8. */
const BOMBS = Number(process.env.REPRISE_BOMBS ?? 1)
const PROCESSES = 200
const ECHO_MILLIS_MAX = 1000
/** How much longer than the same echo beside nothing. */
const SLOWER_MAX = 5
const CLOSE_MILLIS_MAX = 5000
/** A machine that stands still for a moment is not a slow engine: then it is tried again. */
const TRIES_MAX = 4

/** The shell that starts them is one more, and ends when the kernel refuses it a process. */
const PROCESSES_MAX = PROCESSES + 10
const BOMB = `i=0; while [ $i -lt ${PROCESSES} ]; do sleep 1000 & i=$((i+1)); done; echo bombed; wait`

describe.skipIf(!canBeAnother)(`a fork bomb (${ANOTHER_NEEDS})`, { timeout: TIMEOUT_MILLIS }, () => {
  it.live(
    `reliability row 19: ${BOMBS} times ${PROCESSES} processes: another session's echo takes less than a second`,
    () =>
      Effect.gen(function* () {
        const engine = yield* engineProcess
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const echo = yield* makeEchoWatch
          const [, usual] = yield* echo.during(Effect.sleep(500))
          const context = yield* Effect.context<Sessions | History>()
          const bombed = (user: OtherUser) =>
            Effect.gen(function* () {
              const limited = ["prlimit", `--nproc=${PROCESSES_MAX}:${PROCESSES_MAX}`, "sh", "-c", BOMB]
              const working = Effect.gen(function* () {
                const id = idOf(yield* sessions.create({ argv: [...user.as, ...limited], cwd: "/" }))
                yield* until(id, "bombed")
                return id
              })
              const [id, times] = yield* echo.during(working)
              assert.isAtLeast(processesOf(user).length, PROCESSES)
              const began = performance.now()
              const [closed, timesOfClose] = yield* echo.during(sessions.close(id))
              const closeMillis = performance.now() - began
              if (process.env.REPRISE_FIGURES) console.log({ times, timesOfClose, closeMillis, usual })
              assert.deepStrictEqual(closed, { survivors: [] })
              assert.deepStrictEqual(processesOf(user), [])
              return { closeMillis, echoMillis: Math.max(times.slowestMillis, timesOfClose.slowestMillis) }
            })
          const slack = SLOWER_MAX * usual.p99Millis
          for (let bomb = 0; bomb < BOMBS; bomb++) {
            let [close, slowestEcho] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
            const isSlow = () => close >= CLOSE_MILLIS_MAX + slack || slowestEcho >= ECHO_MILLIS_MAX + slack
            for (let tries = 0; tries < TRIES_MAX && isSlow(); tries++) {
              const { closeMillis, echoMillis } = yield* Effect.promise(() =>
                withOtherUser((user) => Effect.runPromise(Effect.provideContext(bombed(user), context)))
              )
              close = Math.min(close, closeMillis)
              slowestEcho = Math.min(slowestEcho, echoMillis)
            }
            assert.isBelow(close, CLOSE_MILLIS_MAX + slack)
            assert.isBelow(slowestEcho, ECHO_MILLIS_MAX + slack, "milliseconds of an echo")
          }
        }).pipe(Effect.scoped, Effect.provide(engine.client()))
      })
  )
})
