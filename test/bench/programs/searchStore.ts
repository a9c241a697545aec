/**
 * Makes the store that `search` is measured with: one session that printed `BYTES` of a log, in chunks as a terminal gives
 * them, with rare words in it, and `SESSIONS` short ones. Run as `searchStore.ts STORE BYTES SESSIONS TYPESCRIPT`; the same
 * bytes go to the file TYPESCRIPT. Prints one line of JSON. It starts no process.
 */
import { closeSync, openSync, writeSync } from "node:fs"
import { Effect, Layer } from "effect"
import { monotonicFactory } from "ulid"
import type { NewEvent, SessionEvent, SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { summaryOf } from "../../../projections/ProjectionRunner.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"
import { seededRandom } from "../../fixtures/seededRandom.ts"
import { coloredLine } from "../logLines.ts"

/** What a terminal under load gives at a time. */
const CHUNK_BYTES = 48 * 1024
/** Of the long session's chunks, those that are made; they are repeated, the rare words are not. */
const CHUNKS = 512
const SHORT_BYTES = 8 * 1024
const SEED = 3
/** Rare words, evenly spread. */
const NEEDLES = 20

const [store, bytes, sessions, typescript] = process.argv.slice(2)
const random = seededRandom(SEED)
const nextId = monotonicFactory()
const total = Number(bytes)

const created: SessionEvent = {
  _tag: "SessionCreated",
  argv: ["serve", "--log"],
  cwd: "/",
  envNames: ["HOME", "LANG", "PATH"],
  size: { cols: 80, rows: 24 },
  term: "xterm-256color",
  owner: "bench",
  kind: "terminal"
}

let line = 0
let chunks = 0
const kept: Array<string> = []
const lines = (size: number): string => {
  const known = size === CHUNK_BYTES ? kept[chunks++ % CHUNKS] : undefined
  if (known !== undefined) return known
  let text = ""
  while (text.length < size) text += coloredLine(random, line++).replace("\n", "\r\n")
  if (size === CHUNK_BYTES) kept.push(text)
  return text
}
const chunk = (size: number, needle?: string): Buffer =>
  Buffer.from(`${needle === undefined ? "" : `the needle is ${needle} here\r\n`}${lines(size)}`, "latin1")

const made = (event: SessionEvent, actor = "engine"): NewEvent => ({ event, actor, timeMicros: Date.now() * 1000 })
const ends = (outputBytes: number): ReadonlyArray<NewEvent> => [
  made({ _tag: "LeaderExited", exitCode: 0, signal: null }, "program"),
  made({ _tag: "TerminalClosed", outputBytes }),
  made({ _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] })
]

const session = Effect.fnUntraced(function* (size: number, chunkBytes: number, keep: (data: Buffer) => void) {
  const journal = yield* Journal
  const id = nextId() as SessionId
  yield* journal.append(id, [made(created), made({ _tag: "ProcessStarted", pid: 1, startTime: "1", keeper: "" })])
  const needles: Array<string> = []
  let offset = 0
  while (offset < size) {
    let needle: string | undefined
    if (needles.length < NEEDLES && offset >= (size / NEEDLES) * needles.length) {
      needle = `zq${needles.length}x${random.below(2 ** 32).toString(36)}wv`
      needles.push(needle)
    }
    const data = chunk(chunkBytes, needle)
    keep(data)
    yield* journal.append(id, [made({ _tag: "OutputReceived", channel: "tty", exec: 0, offset, data }, "program")])
    offset += data.length
  }
  yield* journal.append(id, ends(offset))
  yield* summaryOf(id)
  return { id, needles, bytes: offset }
})

const build = Effect.gen(function* () {
  const fd = openSync(typescript!, "w", 0o600)
  const long = yield* session(total, CHUNK_BYTES, (data) => void writeSync(fd, data))
  closeSync(fd)
  const short: Array<string> = []
  for (let index = 0; index < Number(sessions); index++) {
    const { needles } = yield* session(SHORT_BYTES, SHORT_BYTES, () => {})
    short.push(needles[0]!)
  }
  return { ...long, short }
})

const result = await Effect.runPromise(
  build.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location: storePaths(store!).journal }))))
)
process.stdout.write(`${JSON.stringify(result)}\n`)
