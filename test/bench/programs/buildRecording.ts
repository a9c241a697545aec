/**
 * Makes a store with one long session through the journal's own append, for the measurements `export` and `verify`. Run as
 * `buildRecording.ts STORE BYTES`: coloured lines of a log in chunks as a busy terminal gives them, a millisecond apart.
 * Prints one line of JSON. It starts no process.
 */
import { Effect, Layer } from "effect"
import { ulid } from "ulid"
import type { NewEvent, SessionEvent, SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { summaryOf } from "../../../projections/ProjectionRunner.ts"
import { ensureKey } from "../../../src/evidence/Keys.ts"
import { makeSealer } from "../../../src/evidence/Sealer.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { seededRandom } from "../../fixtures/seededRandom.ts"
import { coloredLine } from "../logLines.ts"

/** What a flood becomes in the journal. */
const CHUNK_BYTES = 32 * 1024
/** The lines that are repeated. */
const TEXT_BYTES = 8 * 1024 * 1024
const BATCH_EVENTS = 64
const SEED = 1

const [store = "", bytes = ""] = process.argv.slice(2)
const paths = storePaths(store)
const random = seededRandom(SEED)
let lines = ""
for (let index = 0; lines.length < TEXT_BYTES; index++) lines += coloredLine(random, index).replace("\n", "\r\n")
const text = Buffer.from(lines)
let timeMicros = Date.now() * 1000
const made = (event: SessionEvent, actor = "engine"): NewEvent => {
  timeMicros += 1000
  return { event, actor, timeMicros }
}

function* batches(): Generator<ReadonlyArray<NewEvent>> {
  const size = { cols: 80, rows: 24 }
  const facts = { argv: ["serve", "--log"], cwd: "/", envNames: [], size, term: "xterm-256color", owner: "bench" }
  yield [
    made({ _tag: "SessionCreated", ...facts, kind: "terminal" }),
    made({ _tag: "ProcessStarted", pid: 1, startTime: "1", keeper: "" })
  ]
  let offset = 0
  let batch: Array<NewEvent> = []
  while (offset < Number(bytes)) {
    const from = offset % text.length
    const data = text.subarray(from, from + CHUNK_BYTES)
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

const id = ulid() as SessionId
const build = Effect.gen(function* () {
  const journal = yield* Journal
  for (const batch of batches()) yield* journal.append(id, batch)
  // What an engine does when a session has ended, without its pauses.
  yield* summaryOf(id)
  const sealer = yield* makeSealer({ journal, signer: (nowMillis) => ensureKey(paths, nowMillis).signer })
  yield* sealer.finish
  const unsealed = yield* sealer.seal(id)
  if (unsealed !== undefined) return yield* Effect.die(new Error(unsealed))
})
await Effect.runPromise(build.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal })))))
process.stdout.write(`${JSON.stringify({ session: id })}\n`)
