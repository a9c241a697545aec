/**
 * Opens a store as the command line does when no engine runs, and looks at one session of it. Run as
 * `openStore.ts STORE SESSION`; prints the milliseconds of each step as one line of JSON. Loading the modules is not
 * part of any step. It appends nothing but what looking keeps (snapshots).
 */
import { Effect, Layer } from "effect"
import type { SessionId } from "../../../journal/Event.ts"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import { History } from "../../../src/session/History.ts"
import * as HistoryLive from "../../../src/session/HistoryLive.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"

const [store, session] = process.argv.slice(2)
const id = session as SessionId
const start = performance.now()

const steps = Effect.gen(function* () {
  const history = yield* History
  const open = performance.now()
  yield* history.get(id)
  const got = performance.now()
  const { screen } = yield* history.stateAt(id, { _tag: "Head" })
  const shown = performance.now()
  const listed = yield* history.list
  const end = performance.now()
  return {
    open: open - start,
    get: got - open,
    show: shown - got,
    list: end - shown,
    screen: screen.status,
    sessions: listed.length
  }
})

const layer = HistoryLive.layer.pipe(
  Layer.provide(JournalLevel.layer({ location: storePaths(store!).journal, create: false }))
)
const result = await Effect.runPromise(Effect.provide(steps, layer))
process.stdout.write(`${JSON.stringify(result)}\n`)
