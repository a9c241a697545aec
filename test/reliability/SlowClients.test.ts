/** Clients that stop reading, while a program prints at a steady pace: the journal has everything at once, and nothing is kept for them. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { Attach, type AttachItem } from "../../src/index.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { MIB } from "../fixtures/processFigures.ts"
import { proxy } from "../remote/proxy.ts"
import { idOf } from "../session/sessionsUnderTest.ts"
import { SoakEngine } from "../torture/SoakEngine.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

const SLOW_CLIENTS = 5
/** Milliseconds for which they stop at least; `npm run campaign` makes it 10,000. */
const STALL_MILLIS = Number(process.env.REPRISE_STALL_MILLIS ?? 3000)
/** Printed at each step. */
const STEP_BYTES = MIB
/** Kept for the clients, they would be several times the growth that is allowed. */
const STEPS = 8
const GROWTH_BYTES_MAX = 8 * MIB
/** What it has printed is sealed and indexed meanwhile, which takes memory of its own. */
const SETTLING_MILLIS_MAX = 30_000

const sampledEngine = Effect.acquireRelease(
  Effect.promise(async () => {
    const engine = new SoakEngine()
    await engine.start()
    return engine
  }),
  (engine) => Effect.promise(() => engine.dispose())
)

const clientOf = (paths: StorePaths) =>
  Layer.build(Layer.fresh(EngineClient.layer({ paths, start: false, actor: "test" })))

describe("slow clients", { timeout: TIMEOUT_MILLIS + 2 * STALL_MILLIS }, () => {
  it.live(
    `reliability row 21: ${SLOW_CLIENTS} clients that stop reading for ${STALL_MILLIS} ms: the journal lags by nothing, memory grows by less than 8 MiB`,
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const engine = yield* sampledEngine
          const { paths } = engine
          const context = yield* clientOf(paths)
          const [sessions, history, attach] = yield* Effect.provide(Effect.all([Sessions, History, Attach]), context)
          const ready = "ready\r\n"
          const script = `stty -echo; echo ready; while read go; do head -c ${STEP_BYTES} /dev/zero | tr '\\0' x; done`
          const id = idOf(yield* sessions.create({ argv: ["sh", "-c", script], cwd: "/" }))
          let printed = ready.length
          let read = 0
          let wake = () => {}
          const reading = yield* attach.attach(id, { after: 0 }).pipe(
            Stream.runForEach((item) =>
              Effect.sync(() => {
                if (item._tag === "Output") read = item.offset + item.data.byteLength
                wake()
              })
            ),
            Effect.forkScoped
          )
          const isRead = Effect.callback<void>((resume) => {
            wake = () => {
              if (read >= printed) resume(Effect.void)
            }
            wake()
          })
          const print = Effect.fnUntraced(function* (pauseMillis: number) {
            for (let i = 0; i < STEPS; i++) {
              yield* sessions.write(id, Buffer.from("go\n"))
              printed += STEP_BYTES
              yield* isRead
              // A client has only what is in the journal.
              assert.strictEqual((yield* history.get(id)).outputBytes, printed)
              yield* Effect.sleep(pauseMillis)
            }
          })
          /** Heap and buffers after a collection: its resident bytes are mostly what it gives back once it has nothing to do. */
          const heldBytes = Effect.promise(() => engine.heldBytes())
          yield* isRead
          // The first megabytes cost memory that is there once: code is compiled, tables are written.
          yield* print(0)

          const slow = yield* Effect.forEach(
            Array.from({ length: SLOW_CLIENTS }, (_, i) => `slow-${i}`),
            Effect.fnUntraced(function* (client) {
              const door = yield* proxy(paths, client)
              const theirs = yield* Effect.provide(Attach, yield* clientOf(door.paths))
              const state: { bytes: number; last: AttachItem | undefined } = { bytes: printed, last: undefined }
              const begun = yield* Deferred.make<void>()
              const { sequence } = yield* history.get(id)
              const reading = yield* theirs.attach(id, { after: sequence, client }).pipe(
                Stream.runForEach((item) =>
                  Effect.sync(() => {
                    state.last = item
                    if (item._tag === "ReplayComplete") Deferred.doneUnsafe(begun, Effect.void)
                    if (item._tag !== "Output") return
                    assert.strictEqual(item.offset, state.bytes)
                    state.bytes += item.data.byteLength
                  })
                ),
                Effect.forkScoped
              )
              yield* Deferred.await(begun)
              return { door, reading, state }
            })
          )
          const before = yield* heldBytes
          for (const { door } of slow) door.hold()
          yield* print(STALL_MILLIS / STEPS)
          let growth = (yield* heldBytes) - before
          for (
            const printedAt = performance.now();
            growth >= GROWTH_BYTES_MAX && performance.now() - printedAt < SETTLING_MILLIS_MAX;
            growth = (yield* heldBytes) - before
          ) {
            yield* Effect.sleep(100)
          }
          if (process.env.REPRISE_FIGURES) console.log("MiB", growth / MIB)
          for (const { state } of slow) assert.isBelow(state.bytes, printed, "it stopped reading")
          assert.isBelow(growth, GROWTH_BYTES_MAX, "bytes that the engine holds")
          // Their connections break, and they go on where they stopped.
          for (const { door } of slow) door.cut()
          yield* sessions.close(id)
          yield* Fiber.join(reading)
          for (const { reading, state } of slow) {
            yield* Fiber.join(reading)
            assert.strictEqual(state.bytes, printed)
            assert.strictEqual(state.last?._tag, "Ended")
          }
        })
      )
  )
})
