/** The feed of a store through a real engine that is killed again and again, and what it costs to ask for many sessions at once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, type Scope, Stream } from "effect"
import type { EventTag } from "../../journal/Event.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { Lifecycle, type LifecycleEvent } from "../../src/session/Lifecycle.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { type EngineProcess, engineProcess } from "../exec/engineProcess.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

/** REPRISE_SEED moves the kills, REPRISE_KILLS and REPRISE_USAGE_SESSIONS raise their numbers (`npm run campaign`). */
const SEED = Number(process.env.REPRISE_SEED ?? Math.floor(Math.random() * 2 ** 31))
const KILLS = Number(process.env.REPRISE_KILLS ?? 5)
const SESSIONS = Number(process.env.REPRISE_USAGE_SESSIONS ?? 50)

const live = (
  title: string,
  test: (engine: EngineProcess, paths: StorePaths) => Effect.Effect<void, unknown, Scope.Scope>
) =>
  it.live(
    title,
    () =>
      Effect.scoped(Effect.flatMap(engineProcess, (engine) => test(engine, storePaths(engine.store)))).pipe(
        Effect.tapCause(() => Effect.sync(() => console.error(`REPRISE_SEED=${SEED}`)))
      ),
    180_000 + KILLS * 5000
  )

const services = (paths: StorePaths) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(Layer.fresh(EngineClient.layer({ paths, start: false, actor: "test" })))
    return yield* Effect.provide(Effect.all({ lifecycle: Lifecycle, sessions: Sessions }), context)
  })

const SESSIONS_A_KILL = 4

/** Without those of an engine's death, of which there are as many as there are sessions at that moment. */
const WHOLE: ReadonlyArray<EventTag> = [
  "SessionCreated",
  "ProcessStarted",
  "LeaderExited",
  "TerminalClosed",
  "SessionClosed"
]

describe("feed over a socket", () => {
  live(
    `${KILLS} kills of the engine: every change of every session once, in its order, for who follows and for who comes later`,
    (engine, paths) =>
      Effect.gen(function* () {
        const random = seededRandom(SEED)
        const { lifecycle, sessions } = yield* services(paths)
        const following: Array<LifecycleEvent> = []
        let isOver = (_: LifecycleEvent) => false
        const reading = yield* lifecycle.feed(0).pipe(
          Stream.takeUntil((item) => {
            if (item._tag !== "Event") return false
            following.push(item)
            return isOver(item)
          }),
          Stream.runDrain,
          Effect.forkScoped
        )
        const ids: Array<string> = []
        let isKilled = false
        const working = yield* Effect.forkScoped(
          Effect.gen(function* () {
            while (ids.length < SESSIONS_A_KILL * (KILLS + 1) || !isKilled) {
              const { id } = yield* sessions.create({ argv: ["sh", "-c", "sleep 0.05; exit 3"], cwd: "/" })
              ids.push(id)
            }
          })
        )
        for (let kill = 0; kill < KILLS; kill++) {
          // More deaths in a row than a client tries to connect again are more than it promises to survive.
          const [created, seen] = [ids.length, following.length]
          while (ids.length === created || following.length === seen) {
            // It only ends before its time by failing, which is what there is to tell then.
            if (working.pollUnsafe() !== undefined) yield* Fiber.join(working)
            yield* Effect.sleep(5)
          }
          yield* Effect.sleep(random.below(100))
          yield* engine.kill("engine")
          yield* engine.start
        }
        isKilled = true
        yield* Fiber.join(working)
        const last = yield* sessions.create({ argv: ["sh", "-c", "exit 9"], cwd: "/" })
        const ended = new Set(
          following.flatMap(({ event, session }) => (event._tag === "SessionClosed" ? [session as string] : []))
        )
        const haveAllEnded = () => ended.has(last.id) && ids.every((id) => ended.has(id))
        isOver = ({ event, session }) => {
          if (event._tag === "SessionClosed") ended.add(session)
          return haveAllEnded()
        }
        // What comes last may have come before it was waited for.
        yield* haveAllEnded() ? Fiber.interrupt(reading) : Fiber.join(reading)

        const positions = following.map(({ position }) => position)
        assert.deepStrictEqual(
          positions,
          [...new Set(positions)].sort((one, other) => one - other)
        )
        for (const id of ids) {
          const own = following.filter(({ session }) => session === id)
          assert.deepStrictEqual(
            own.map(({ event }) => event._tag).filter((tag) => WHOLE.includes(tag)),
            WHOLE,
            id
          )
          const sequences = own.map(({ sequence }) => sequence)
          assert.deepStrictEqual(
            sequences,
            [...new Set(sequences)].sort((one, other) => one - other)
          )
        }
        const known = (after: number) =>
          lifecycle.feed(after).pipe(
            Stream.takeUntil(({ _tag }) => _tag === "Synced"),
            Stream.filter((item) => item._tag === "Event" && item.position <= positions.at(-1)!),
            Stream.runCollect
          )
        assert.deepStrictEqual(yield* known(0), following)
        const middle = positions[positions.length >> 1]!
        assert.deepStrictEqual(
          yield* known(middle),
          following.filter(({ position }) => position > middle)
        )
      })
  )

  live(`the live list and the usage of ${SESSIONS} sessions can be asked for every second`, (_, paths) =>
    Effect.gen(function* () {
      const { lifecycle, sessions } = yield* services(paths)
      const ids = yield* Effect.forEach(
        Array.from({ length: SESSIONS }, (_, i) => i),
        () => Effect.map(sessions.create({ argv: ["sleep", "1000"], cwd: "/" }), ({ id }) => id),
        { concurrency: 8 }
      )
      const ask = Effect.gen(function* () {
        const began = performance.now()
        const entries = yield* lifecycle.live
        const used = yield* Effect.forEach(ids, (id) => lifecycle.usage(id), { concurrency: "unbounded" })
        return { entries, used, millis: performance.now() - began }
      })
      // A program that is just being started may not be itself yet.
      const { entries } = yield* Effect.repeat(Effect.delay(ask, 50), {
        until: ({ used }) => used.every(({ processes, rssBytes }) => processes === 1 && rssBytes > 0),
        times: 200
      })
      assert.lengthOf(entries, SESSIONS)
      const times: Array<number> = []
      for (let round = 0; round < 5; round++) {
        yield* Effect.sleep(250)
        const { millis, used } = yield* ask
        times.push(millis)
        assert.isTrue(used.every(({ processes, rssBytes }) => processes === 1 && rssBytes > 0))
      }
      if (process.env.REPRISE_FIGURES) console.log("millis", times)
      assert.isBelow(Math.min(...times), 1000, "milliseconds")
      yield* Effect.forEach(ids, (id) => sessions.signal(id, "KILL", "session"), { concurrency: 16 })
    })
  )
})
