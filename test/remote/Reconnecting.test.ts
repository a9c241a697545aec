import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { ConnectionLost } from "../../src/remote/ConnectionLost.ts"
import { CONNECTION_HELD_MILLIS, persistently, RECONNECTS_MAX, timed } from "../../src/remote/Reconnecting.ts"

/** Opens a connection, which takes long, and loses it `losses` times, each `millis` after it was there. */
const losing = (losses: number, millis: number) => {
  let tries = 0
  const once = Effect.suspend(() => {
    tries += 1
    if (tries > losses) return Effect.succeed(tries)
    const lost = Effect.andThen(Effect.sleep(millis), Effect.fail(new ConnectionLost({ reason: "" })))
    return Effect.andThen(Effect.sleep("1 minute"), timed(lost))
  })
  return { once, tries: () => tries }
}

const run = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.result(effect))
    yield* TestClock.adjust("30 days")
    return yield* Fiber.join(fiber)
  })

describe("persistently", () => {
  it.effect("gives up after losses in a row", () =>
    Effect.gen(function* () {
      const { once, tries } = losing(1000, 5)
      assert.strictEqual((yield* run(persistently(once, () => true)))._tag, "Failure")
      assert.strictEqual(tries(), RECONNECTS_MAX + 1)
    })
  )

  it.effect("does not count losses of connections that held", () =>
    Effect.gen(function* () {
      const { once } = losing(200, CONNECTION_HELD_MILLIS)
      const result = yield* run(persistently(once, () => true))
      assert.isTrue(result._tag === "Success" && result.success === 201)
    })
  )

  it.effect("tries nothing again that may not be", () =>
    Effect.gen(function* () {
      for (const millis of [0, CONNECTION_HELD_MILLIS]) {
        const { once, tries } = losing(5, millis)
        assert.strictEqual((yield* run(persistently(once, () => false)))._tag, "Failure")
        assert.strictEqual(tries(), 1)
      }
    })
  )
})
