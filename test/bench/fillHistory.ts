/**
 * A session with a history of log lines of a given length, appended to the journal as an engine appends it in a flood.
 * Used by the programs that measure looking at a long history. It starts no process.
 */
import { Effect } from "effect"
import type { NewEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { coloredLine, plainLine } from "./logLines.ts"

/** Bytes of one event, as the engine gathers them in a flood. */
const CHUNK_BYTES = 60_000
const BATCH_EVENTS = 16
/** Chunks that are made; a longer history repeats them. */
const CHUNKS = 256
const SEED = 2

export const fillHistory = Effect.fnUntraced(function* (id: SessionId, kind: "plain" | "colored", total: number) {
  const random = seededRandom(SEED)
  const lineOf = kind === "plain" ? plainLine : coloredLine
  let lines = 0
  const makeChunk = (length: number): Uint8Array => {
    let text = ""
    while (text.length < length) text += lineOf(random, lines++).replace("\n", "\r\n")
    return Buffer.from(text.slice(0, length), "latin1")
  }
  const journal = yield* Journal
  let timeMicros = Date.now() * 1000
  const made = (event: NewEvent["event"]): NewEvent => ({ event, actor: "engine", timeMicros: timeMicros++ })
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
