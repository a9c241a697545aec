/**
 * The engine, but with two sessions in each keeper, so that the death of one keeper leaves others to look at. Said on file
 * descriptor 3 when it serves. Argument: `--store FOLDER`. Ends at SIGKILL, or when it is told to stop.
 */
import { closeSync, writeSync } from "node:fs"
import { join } from "node:path"
import { Deferred, Effect, Layer, Schedule } from "effect"
import * as JournalLevel from "../../../journal/JournalLevel.ts"
import * as EngineServer from "../../../src/remote/EngineServer.ts"
import { READY_FD } from "../../../src/remote/EngineStart.ts"
import * as SessionEngine from "../../../src/SessionEngine.ts"
import * as AccessLogLive from "../../../src/session/AccessLogLive.ts"
import * as HistoryLive from "../../../src/session/HistoryLive.ts"
import { storePaths } from "../../../src/session/StorePaths.ts"

const SESSIONS_PER_KEEPER = 2
/** The published program: it starts several times faster than its source. */
const KEEPER_ENTRY = join(import.meta.dirname, "../../../dist/bin/keeper.js")

process.umask(0o077)
const paths = storePaths(process.argv[3] ?? "")
const engine = EngineServer.layer(paths).pipe(
  Layer.provide(SessionEngine.layer({ paths, keeperEntry: KEEPER_ENTRY, sessionsPerKeeper: SESSIONS_PER_KEEPER })),
  Layer.provide(AccessLogLive.layer),
  Layer.provideMerge(EngineServer.StopRequest.layer),
  Layer.provide(HistoryLive.layer),
  Layer.provide(JournalLevel.layer({ location: paths.journal }))
)

const program = Effect.scoped(
  Effect.gen(function* () {
    const isLocked = (error: unknown) => (error as { readonly reason?: unknown }).reason === "locked"
    const built = yield* Layer.build(engine).pipe(
      Effect.retry({ while: isLocked, schedule: Schedule.spaced("25 millis") })
    )
    writeSync(READY_FD, "ready\n")
    closeSync(READY_FD)
    yield* Effect.provideContext(EngineServer.StopRequest.use(Deferred.await), built)
  })
)

await Effect.runPromise(program)
process.exit(0)
