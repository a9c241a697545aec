/**
 * Random jumps in a session of a given length, forward and backward, as replay makes them: the screen of an event as bytes,
 * through History. Run as `seekHistory.ts STORE KIND BYTES`, KIND is plain or colored; prints one line of JSON. It starts
 * no engine: the history is appended to the journal and drawn in the background as an engine does both.
 */
import { Effect, Layer } from "effect"
import { ulid } from "ulid"
import type { SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { makeScreenFollower } from "../../../projections/ScreenFollower.ts"
import { History } from "../../../src/session/History.ts"
import * as HistoryLive from "../../../src/session/HistoryLive.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { seededRandom } from "../../fixtures/seededRandom.ts"
import { fillHistory } from "../fillHistory.ts"

const JUMPS = 200
const SEED = 7

const [store, kind, bytes] = process.argv.slice(2)
const id = ulid() as SessionId

const measure = Effect.gen(function* () {
  yield* fillHistory(id, kind === "plain" ? "plain" : "colored", Number(bytes))
  const follower = yield* makeScreenFollower()
  follower.drawLater(id, Number(bytes))
  while (follower.waiting() > 0) yield* Effect.sleep(1)
  const journal = yield* Journal
  const history = yield* History
  const head = yield* journal.head(id)
  const random = seededRandom(SEED)
  const forward: Array<number> = []
  const backward: Array<number> = []
  let inexact = 0
  const cpuMillis: Array<number> = []
  // Starts the thread and loads the emulator.
  let at = head
  yield* history.redraw(id, { _tag: "Sequence", sequence: at })
  for (let jump = 0; jump < JUMPS; jump++) {
    const sequence = 1 + random.below(head)
    const start = performance.now()
    const cpu = process.cpuUsage()
    const screen = yield* history.redraw(id, { _tag: "Sequence", sequence })
    const list = sequence > at ? forward : backward
    list.push(performance.now() - start)
    const used = process.cpuUsage(cpu)
    cpuMillis.push((used.user + used.system) / 1000)
    if (screen.sequence !== sequence || screen.reason !== null) inexact++
    at = sequence
  }
  return { forward, backward, inexact, events: head, cpuMillis }
})

const result = await Effect.runPromise(
  Effect.scoped(measure).pipe(
    Effect.provide(
      HistoryLive.layer.pipe(
        Layer.provideMerge(Layer.fresh(JournalLevel.layer({ location: storePaths(store!).journal })))
      )
    )
  )
)
process.stdout.write(`${JSON.stringify(result)}\n`)
