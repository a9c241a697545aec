/**
 * How a command reaches a store. Commands that change something go through the engine and start it; commands that only
 * read, or that remove events, use the engine when one runs and open the journal themselves when none does, so that they
 * never start a process.
 */
import { Context, Effect, Layer, Schedule, type Scope } from "effect"
import type { SessionId } from "../journal/Event.ts"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import { Redaction } from "../src/erasure/Redaction.ts"
import { Retention } from "../src/erasure/Retention.ts"
import { Evidence } from "../src/evidence/Evidence.ts"
import * as EngineClient from "../src/remote/EngineClient.ts"
import type { EngineError } from "../src/remote/EngineError.ts"
import { SessionOutput } from "../src/remote/SessionOutput.ts"
import { Search } from "../src/search/Search.ts"
import { type Access, AccessLog } from "../src/session/AccessLog.ts"
import { History } from "../src/session/History.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import { Caller } from "./Caller.ts"
import { escapeText } from "./Escape.ts"

/** The name under which the journal keeps what this program asked for. */
export const ACTOR = "cli"
/** Another reader, or an engine that starts or ends, holds the journal for moments. */
const LOCKED_RETRY_DELAY = "50 millis"
const LOCKED_RETRIES_MAX = 100
/** What is only to be told does not wait as long. */
const TELL_RETRIES_MAX = 10

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

/** The list of who looked, through whoever has the journal. `through`: what this program is called there. */
const noting = (
  paths: StorePaths,
  through: string
): Layer.Layer<AccessLog, EngineError | StoreRefused | StorageUnavailable> =>
  whoeverHasIt(
    Effect.map(Layer.build(EngineClient.layer({ paths, start: false, actor: through })), Context.pick(AccessLog)),
    Effect.flatMap(
      Effect.promise(() => import("./LocalAccesses.ts")),
      ({ layer }) => Layer.build(layer(paths, { through: `${through} without an engine` }))
    ),
    TELL_RETRIES_MAX
  )

/** Keeps accesses, or what was refused; never fails. */
export const tell = (paths: StorePaths, accesses: ReadonlyArray<Access>, through: string): Effect.Effect<void> =>
  AccessLog.use(({ note }) => Effect.forEach(accesses, note, { discard: true })).pipe(
    Effect.provide(noting(paths, through)),
    Effect.ignoreCause
  )

/**
 * Tells of an access to the store's files past whoever has the journal, after it. `isSound`: what was looked at is as it should
 * be. Where no engine runs, anything else is left as it was found, and what cannot be written too; then standard error says
 * that nothing was told.
 */
export const tellLook = (
  paths: StorePaths,
  what: string,
  { isSound, session = null }: { readonly isSound: boolean; readonly session?: SessionId | null }
): Effect.Effect<void, never, Caller> =>
  Effect.gen(function* () {
    const access = { what, session }
    const isTold = yield* AccessLog.use(({ note }) => note(access)).pipe(
      Effect.provide(watchedEngine(paths)),
      Effect.as(true),
      Effect.catchCause(() => Effect.succeed(false))
    )
    if (isTold) return
    const why = yield* whyNotTold(paths, access, isSound)
    if (why === undefined) return
    const caller = yield* Caller
    yield* caller.writeError(`reprise: nobody is told that this was looked at: ${escapeText(why)}\n`)
  })

const whyNotTold = (paths: StorePaths, access: Access, isSound: boolean): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    if (!isSound) return "a store that is not as it should be is left as it is"
    const { readNote } = yield* Effect.promise(() => import("../src/care/BackupNote.ts"))
    if (readNote(paths) !== undefined) return "a copy is left as it was made"
    return yield* AccessLog.use(({ note }) => note(access)).pipe(
      Effect.provide(noting(paths, ACTOR)),
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error.message))
    )
  }).pipe(Effect.catchCause(() => Effect.succeed("the store cannot be opened")))

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
      ({ layer }) => Layer.build(layer(paths, ACTOR))
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
  throughJournal: Effect.Effect<Context.Context<A>, StoreRefused | StorageUnavailable, Scope.Scope>,
  retriesMax = LOCKED_RETRIES_MAX
): Layer.Layer<A, EngineError | StoreRefused | StorageUnavailable> =>
  Layer.effectContext(
    throughEngine.pipe(
      Effect.catchTag("EngineAbsent", () => throughJournal),
      Effect.retry({
        while: (error) => error._tag === "StoreRefused" && error.reason === "locked",
        times: retriesMax,
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
