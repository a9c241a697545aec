/**
 * A session with a history of a given length, drawn in the background, and what the first screen of it costs somebody
 * who attaches. Run as `attachHistory.ts STORE KIND BYTES`, KIND is plain or colored; prints one line of JSON. It starts
 * no process and no engine: the history is appended to the journal as an engine appends it.
 */
import { Effect, Layer } from "effect"
import { ulid } from "ulid"
import type { NewEvent, SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { screenRedraw } from "../../../projections/ScreenAttach.ts"
import { makeScreenFollower } from "../../../projections/ScreenFollower.ts"
import { ScreenService } from "../../../projections/ScreenService.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { seededRandom } from "../../fixtures/seededRandom.ts"
import { coloredLine, plainLine } from "../logLines.ts"

/** Bytes of one event, as the engine gathers them in a flood. */
const CHUNK_BYTES = 60_000
const BATCH_EVENTS = 16
/** Chunks that are made; a longer history repeats them. */
const CHUNKS = 256
const LOOKS = 15
const SEED = 2

const [store, kind, bytes] = process.argv.slice(2)
const id = ulid() as SessionId
const random = seededRandom(SEED)
const lineOf = kind === "plain" ? plainLine : coloredLine

let lines = 0
const makeChunk = (length: number): Uint8Array => {
  let text = ""
  while (text.length < length) text += lineOf(random, lines++).replace("\n", "\r\n")
  return Buffer.from(text.slice(0, length), "latin1")
}

const fill = Effect.gen(function* () {
  const journal = yield* Journal
  let timeMicros = Date.now() * 1000
  const made = (event: NewEvent["event"]): NewEvent => ({ event, actor: "engine", timeMicros: timeMicros++ })
  const total = Number(bytes)
  const chunks: Array<Uint8Array> = []
  let batch: Array<NewEvent> = [
    made({
      _tag: "SessionCreated",
      argv: ["serve", "--log"],
      cwd: "/",
      envNames: [],
      size: { cols: 80, rows: 24 },
      term: "xterm-256color",
      owner: "bench",
      kind: "terminal"
    })
  ]
  for (let offset = 0, index = 0; offset < total; index++) {
    const length = Math.min(CHUNK_BYTES, total - offset)
    if (chunks.length < CHUNKS) chunks.push(makeChunk(length))
    const data = chunks[index % CHUNKS]!.subarray(0, length)
    batch.push(made({ _tag: "OutputReceived", channel: "tty", exec: 0, offset, data }))
    offset += length
    if (batch.length < BATCH_EVENTS && offset < total) continue
    yield* journal.append(id, batch)
    batch = []
  }
})

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = performance.now()
    const value = yield* effect
    return { value, millis: performance.now() - start }
  })

const measure = Effect.gen(function* () {
  yield* fill
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
