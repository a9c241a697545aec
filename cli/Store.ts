/**
 * How a command reaches a store. Commands that change something go through the engine and start it; commands that only
 * read, or that remove events, use the engine when one runs and open the journal themselves when none does, so that they
 * never start a process.
 */
import { Context, Effect, Layer, Schedule, type Scope } from "effect"
import type { SessionId } from "../journal/Event.ts"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import * as EngineClient from "../src/remote/EngineClient.ts"
import type { EngineError } from "../src/remote/EngineError.ts"
import { SessionOutput } from "../src/remote/SessionOutput.ts"
import { Search } from "../src/search/Search.ts"
import { AccessLog } from "../src/session/AccessLog.ts"
import { Evidence } from "../src/session/Evidence.ts"
import { History } from "../src/session/History.ts"
import { Redaction } from "../src/session/Redaction.ts"
import { Retention } from "../src/session/Retention.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"

/** The name under which the journal keeps what this program asked for. */
const ACTOR = "cli"
/** Another reader, or an engine that starts or ends, holds the journal for moments. */
const LOCKED_RETRY_DELAY = "50 millis"
const LOCKED_RETRIES_MAX = 100

/** Live sessions: starts the engine when none runs. */
export const engine = (paths: StorePaths) => EngineClient.layer({ paths, start: true, actor: ACTOR })

/** An engine that runs, of whatever version, or EngineAbsent. */
export const runningEngine = (paths: StorePaths) =>
  EngineClient.layer({ paths, start: false, anyVersion: true, actor: ACTOR })

/** An engine of this version that runs, or EngineAbsent. */
export const watchedEngine = (paths: StorePaths) => EngineClient.layer({ paths, start: false, actor: ACTOR })

/** What a command reads for, such as `export`, and why: told with what it is given (`reprise audit`). */
export interface Purpose {
  readonly what: string
  readonly reason?: string | undefined
}

/** Reading, through whoever has the journal. Without a purpose, the reads themselves say what they are. */
export const reading = (
  paths: StorePaths,
  purpose?: Purpose
): Layer.Layer<History | SessionOutput | AccessLog, EngineError | StoreRefused | StorageUnavailable> =>
  whoeverHasIt(
    Effect.map(
      Layer.build(EngineClient.layer({ paths, start: false, actor: ACTOR, purpose })),
      Context.pick(History, SessionOutput, AccessLog)
    ),
    throughJournal(paths, purpose)
  )

/**
 * Tells an engine that runs of an access to the store's files past it. Where none runs, nothing is told: opening the journal
 * would change what was only to be looked at.
 */
export const tellEngine = (paths: StorePaths, what: string, session: SessionId | null = null): Effect.Effect<void> =>
  AccessLog.use(({ note }) => note({ what, session })).pipe(Effect.provide(watchedEngine(paths)), Effect.ignoreCause)

/** The evidence, through whoever has the journal. */
export const evidencing = (paths: StorePaths): Layer.Layer<Evidence, EngineError | StoreRefused | StorageUnavailable> =>
  whoeverHasIt(
    Effect.map(Layer.build(watchedEngine(paths)), Context.pick(Evidence)),
    Effect.flatMap(
      Effect.promise(() => import("./LocalEvidence.ts")),
      ({ layer }) => Layer.build(layer(paths))
    )
  )

/** Removing events, keeping them, and replacing what they hold, through whoever has the journal. */
export const retaining = (
  paths: StorePaths
): Layer.Layer<History | Retention | Redaction, EngineError | StoreRefused | StorageUnavailable> =>
  whoeverHasIt(
    Effect.map(Layer.build(watchedEngine(paths)), Context.pick(History, Retention, Redaction)),
    Effect.flatMap(
      Effect.promise(() => import("./LocalRetention.ts")),
      ({ layer }) => Layer.build(layer(paths))
    )
  )

/** Searching, through whoever has the journal. */
export const searching = (
  paths: StorePaths
): Layer.Layer<History | Search, EngineError | StoreRefused | StorageUnavailable> =>
  whoeverHasIt(
    Effect.map(Layer.build(watchedEngine(paths)), Context.pick(History, Search)),
    Effect.flatMap(
      Effect.promise(() => import("./LocalSearch.ts")),
      ({ layer }) => Layer.build(layer(paths))
    )
  )

const whoeverHasIt = <A>(
  throughEngine: Effect.Effect<Context.Context<A>, EngineError, Scope.Scope>,
  throughJournal: Effect.Effect<Context.Context<A>, StoreRefused | StorageUnavailable, Scope.Scope>
): Layer.Layer<A, EngineError | StoreRefused | StorageUnavailable> =>
  Layer.effectContext(
    throughEngine.pipe(
      Effect.catchTag("EngineAbsent", () => throughJournal),
      Effect.retry({
        while: (error) => error._tag === "StoreRefused" && error.reason === "locked",
        times: LOCKED_RETRIES_MAX,
        schedule: Schedule.spaced(LOCKED_RETRY_DELAY)
      })
    )
  )

const throughJournal = Effect.fnUntraced(function* (paths: StorePaths, purpose: Purpose | undefined) {
  // Loaded only now: with an engine, a reading command needs neither the database nor the emulator.
  const [{ layer }, { LOCAL_READER }] = yield* Effect.promise(() =>
    Promise.all([import("./LocalStore.ts"), import("./LocalAccesses.ts")])
  )
  return yield* Layer.build(layer(paths, { ...LOCAL_READER, ...purpose }))
})
