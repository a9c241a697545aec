/**
 * A session with a history of a given length, drawn in the background, and what the first screen of it costs somebody
 * who attaches. Run as `attachHistory.ts STORE KIND BYTES`, KIND is plain or colored; prints one line of JSON. It starts
 * no process and no engine: the history is appended to the journal as an engine appends it.
 */
import { Effect, Layer } from "effect"
import { ulid } from "ulid"
import type { SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { screenRedraw } from "../../../projections/ScreenAttach.ts"
import { makeScreenFollower } from "../../../projections/ScreenFollower.ts"
import { ScreenService } from "../../../projections/ScreenService.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { fillHistory } from "../fillHistory.ts"

const LOOKS = 15

const [store, kind, bytes] = process.argv.slice(2)
const id = ulid() as SessionId

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = performance.now()
    const value = yield* effect
    return { value, millis: performance.now() - start }
  })

const measure = Effect.gen(function* () {
  yield* fillHistory(id, kind === "plain" ? "plain" : "colored", Number(bytes))
  const follower = yield* makeScreenFollower()
  const drawn = yield* timed(
    Effect.gen(function* () {
      follower.drawLater(id, Number(bytes))
      while (follower.waiting() > 0) yield* Effect.sleep(1)
    })
  )
  const screens = yield* ScreenService
  // Starts the thread and loads the emulator.
  const cold = yield* timed(screenRedraw(id))
  const first: Array<number> = []
  const again: Array<number> = []
  for (let look = 0; look < LOOKS; look++) {
    // As for somebody who is the first to look at this session: from the snapshot on.
    yield* screens.close(id)
    first.push((yield* timed(screenRedraw(id))).millis)
    again.push((yield* timed(screenRedraw(id))).millis)
  }
  const { data, defect, reason, sequence } = cold.value
  const journal = yield* Journal
  const isHead = sequence === (yield* journal.head(id)) && reason === null && defect === null
  return { drawn: drawn.millis, cold: cold.millis, first, again, dataBytes: data.length, isHead }
})

const result = await Effect.runPromise(
  Effect.scoped(measure).pipe(
    Effect.provide(
      Layer.mergeAll(Layer.fresh(JournalLevel.layer({ location: storePaths(store!).journal })), ScreenService.layer)
    )
  )
)
process.stdout.write(`${JSON.stringify(result)}\n`)
