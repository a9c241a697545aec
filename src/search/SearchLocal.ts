/** `Search` over a journal that this process has open: of an engine, or of a command where none runs. */
import { pathToFileURL } from "node:url"
import { Effect, Layer } from "effect"
import { Journal } from "../../journal/Journal.ts"
import { searchWorkerEntry } from "../EntryPoints.ts"
import { History } from "../session/History.ts"
import { Search } from "./Search.ts"
import { makeSearch } from "./SearchEngine.ts"
import { makeSearchThreads } from "./SearchThread.ts"

/** Searches at a time; each has a thread. Who comes later waits. */
const SEARCHES_MAX = 4
/** One line of at most 10,000 characters takes microseconds, with a bad pattern years. */
const DEADLINE_MILLIS = 1000
const IDLE_MILLIS = 30_000

export const searchWorkerUrl = pathToFileURL(searchWorkerEntry)

/** Ends with its scope, and its threads with it. */
export const makeLocalSearch = Effect.gen(function* () {
  const threads = yield* makeSearchThreads({
    workerUrl: searchWorkerUrl,
    threadsMax: SEARCHES_MAX,
    deadlineMillis: DEADLINE_MILLIS,
    idleMillis: IDLE_MILLIS
  })
  return Search.of(makeSearch({ journal: yield* Journal, history: yield* History, threads }))
})

export const layer: Layer.Layer<Search, never, Journal | History> = Layer.effect(Search, makeLocalSearch)
