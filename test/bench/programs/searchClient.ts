/**
 * Asks for words and tells how long each took, from the question to the end of the answer. Run as `searchClient.ts STORE
 * engine|journal SESSION|- WORD…`: through the store's engine, or with the journal open in this process. The first
 * word is asked for once before: through the journal that makes the index. Prints one line of JSON.
 */
import { performance } from "node:perf_hooks"
import { Context, Effect, Layer, Stream } from "effect"
import type { SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { BLOCK_SPACE, GRAM_SPACE, SEGMENT_SPACE } from "../../../projections/SearchIndex.ts"
import * as EngineClient from "../../../src/remote/EngineClient.ts"
import { Search } from "../../../src/search/Search.ts"
import * as SearchLocal from "../../../src/search/SearchLocal.ts"
import * as HistoryLive from "../../../src/session/HistoryLive.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"

const [store, through, only, ...words] = process.argv.slice(2)
const paths = storePaths(store!)
const session = only === "-" ? undefined : (only as SessionId)

const ask = (pattern: string) =>
  Effect.gen(function* () {
    const { search } = yield* Search
    const began = performance.now()
    const items = yield* Stream.runCollect(search({ pattern, session }))
    return { millis: performance.now() - began, found: items.length }
  })

const measure = Effect.gen(function* () {
  const cpuBegan = process.cpuUsage()
  const first = yield* ask(words[0]!)
  const { system, user } = process.cpuUsage(cpuBegan)
  const answers = []
  for (const word of words) answers.push(yield* ask(word))
  return {
    firstMillis: first.millis,
    firstCpuMillis: (system + user) / 1000,
    millis: answers.map(({ millis }) => millis),
    found: answers.map(({ found }) => found)
  }
})

/** Bytes of the index's rows, before the store compresses them. */
const indexBytes = Effect.gen(function* () {
  const journal = yield* Journal
  let bytes = 0
  for (const space of [SEGMENT_SPACE, BLOCK_SPACE, GRAM_SPACE]) {
    yield* Stream.runForEach(journal.rows(space), (row) =>
      Effect.sync(() => {
        bytes += row.value.length
      })
    )
  }
  return bytes
})

const local = SearchLocal.layer.pipe(
  Layer.provideMerge(HistoryLive.layer),
  Layer.provideMerge(JournalLevel.layer({ location: paths.journal, create: false }))
)

const throughEngine = Effect.scoped(
  Effect.flatMap(Layer.build(EngineClient.layer({ paths, start: true })), (services) =>
    Effect.provide(measure, Context.pick(Search)(services))
  )
)

const throughJournal = Effect.scoped(
  Effect.flatMap(Layer.build(local), (services) =>
    Effect.gen(function* () {
      const measured = yield* measure
      return { ...measured, indexBytes: yield* indexBytes }
    }).pipe(Effect.provideContext(services))
  )
)

const result = await (through === "engine" ? Effect.runPromise(throughEngine) : Effect.runPromise(throughJournal))
process.stdout.write(`${JSON.stringify(result)}\n`)
