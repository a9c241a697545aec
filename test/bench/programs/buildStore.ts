/**
 * Makes a store with a long history through the journal's own append, in large batches, for the measurement `opening`.
 * Run as `buildStore.ts STORE SESSIONS EVENTS_PER_SESSION`: ended sessions whose events are lines of a log, with the row
 * in the list that an engine keeps of each. Prints one line of JSON. It starts no process and leaves no engine's events.
 */
import { Effect, Layer } from "effect"
import { monotonicFactory } from "ulid"
import type { NewEvent, SessionEvent, SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { summaryOf } from "../../../projections/ProjectionRunner.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { seededRandom } from "../../fixtures/seededRandom.ts"
import { coloredLine } from "../logLines.ts"

/** Events of one append. */
const BATCH_EVENTS = 2000
/** Events that begin and end a session. */
const FRAME_EVENTS = 5
const SEED = 1

const [store, sessions, eventsPerSession] = process.argv.slice(2)
const random = seededRandom(SEED)
const nextId = monotonicFactory()

/** A session from its first to its last event, a batch at a time. */
function* batches(count: number): Generator<ReadonlyArray<NewEvent>> {
  let timeMicros = Date.now() * 1000
  const made = (event: SessionEvent, actor = "engine"): NewEvent => ({ event, actor, timeMicros: timeMicros++ })
  let batch = [
    made({
      _tag: "SessionCreated",
      argv: ["serve", "--log"],
      cwd: "/",
      envNames: ["HOME", "LANG", "PATH"],
      size: { cols: 80, rows: 24 },
      term: "xterm-256color",
      owner: "bench",
      kind: "terminal"
    }),
    made({ _tag: "ProcessStarted", pid: 1, startTime: "1", keeper: "" })
  ]
  let offset = 0
  for (let index = 0; index < count - FRAME_EVENTS; index++) {
    const data = Buffer.from(coloredLine(random, index), "latin1")
    batch.push(made({ _tag: "OutputReceived", channel: "tty", exec: 0, offset, data }, "program"))
    offset += data.length
    if (batch.length < BATCH_EVENTS) continue
    yield batch
    batch = []
  }
  batch.push(made({ _tag: "LeaderExited", exitCode: 0, signal: null }, "program"))
  batch.push(made({ _tag: "TerminalClosed", outputBytes: offset }))
  batch.push(made({ _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] }))
  yield batch
}

const build = Effect.gen(function* () {
  const journal = yield* Journal
  const ids: Array<SessionId> = []
  for (let session = 0; session < Number(sessions); session++) {
    const id = nextId() as SessionId
    ids.push(id)
    for (const batch of batches(Number(eventsPerSession))) yield* journal.append(id, batch)
    // As the engine does at a session's end.
    yield* summaryOf(id)
  }
  return { first: ids[0], middle: ids[ids.length >> 1] }
})

const result = await Effect.runPromise(
  build.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location: storePaths(store!).journal }))))
)
process.stdout.write(`${JSON.stringify(result)}\n`)
