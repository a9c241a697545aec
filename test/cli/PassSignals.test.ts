/** What becomes of a signal to `run` and `attach` in a pipe: the program's, or this command's end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue } from "effect"
import { Caller, type CallerShape, type CallerSignal } from "../../cli/Caller.ts"
import { passSignals } from "../../cli/Follow.ts"
import { Ending } from "../../cli/Outcome.ts"
import type { SessionId } from "../../journal/Event.ts"
import { SessionEnded, SessionUnavailable } from "../../src/session/SessionError.ts"
import { Sessions, type SessionsShape } from "../../src/session/Sessions.ts"

const session = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId

const passing = (signals: Queue.Queue<CallerSignal>, signal: SessionsShape["signal"]) =>
  passSignals(session, Effect.void).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.merge(
        Layer.mock(Sessions)({ signal }),
        Layer.succeed(Caller, { signals: () => Effect.succeed(signals) } as Partial<CallerShape> as CallerShape)
      )
    )
  )

describe("a signal to a command that shows a session in a pipe", () => {
  it.effect("ends the command, and says so, where it cannot be passed on: on a full disk", () =>
    Effect.gen(function* () {
      const signals = yield* Queue.unbounded<CallerSignal>()
      yield* Queue.offer(signals, "SIGTERM")
      const full = new SessionUnavailable({ session: "", reason: "the journal's disk is full" })
      const ending = yield* Effect.flip(passing(signals, () => Effect.fail(full)))
      assert.instanceOf(ending, Ending)
      assert.strictEqual(ending.exitCode, 143)
      assert.match(ending.note, /^SIGTERM was not passed on: the journal's disk is full; session \w+ goes on/)
    })
  )

  it.effect("goes to the program; one that is over needs none", () =>
    Effect.gen(function* () {
      const signals = yield* Queue.unbounded<CallerSignal>()
      const passed = yield* Queue.unbounded<string>()
      const fiber = yield* passing(signals, (_, signal) =>
        Effect.andThen(
          Queue.offer(passed, String(signal)),
          Effect.fail(new SessionEnded({ session, status: "exited" }))
        )
      ).pipe(Effect.forkChild)
      yield* Queue.offerAll(signals, ["SIGINT", "SIGTERM"])
      assert.deepStrictEqual([yield* Queue.take(passed), yield* Queue.take(passed)], ["SIGINT", "SIGTERM"])
      yield* Fiber.interrupt(fiber)
    })
  )
})
