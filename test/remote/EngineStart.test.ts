/** Starting a store's engine in the background, for connections of one process that all found none. */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { start } from "../../src/remote/EngineStart.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { kill } from "../fixtures/processes.ts"
import { testStore } from "../session/sessionsUnderTest.ts"

/** Engine processes of the store, also those that will find another one and end. */
const enginesOf = (store: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      try {
        return pid > 0 && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(`engine.js\0--store\0${store}\0`)
      } catch {
        // It has ended.
        return false
      }
    })

describe("EngineStart", () => {
  it.live("connections of one process start one engine together, also when the first of them gives up", () =>
    Effect.gen(function* () {
      const { paths } = yield* testStore
      // None has a session; those that are still starting would be there a moment later.
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => enginesOf(paths.store).filter((pid) => kill(pid)).length).pipe(
          Effect.repeat({ until: (left) => left === 0, schedule: Schedule.spaced("5 millis") })
        )
      )
      const starting = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkScoped(start(paths, { start: true }), { startImmediately: true })
      )
      assert.lengthOf(enginesOf(paths.store), 1)
      yield* Fiber.interrupt(starting[0]!)
      for (const other of starting.slice(1)) yield* Fiber.join(other)
      // Who was left looks for itself whether it is there.
      const { enginePid } = yield* Sessions.use(({ status }) => status).pipe(
        Effect.provide(EngineClient.layer({ paths, start: true, actor: "test" }))
      )
      assert.include(enginesOf(paths.store), enginePid)
    })
  )
})
