/** `Sessions` as a layer: the engine, opened over a journal, closed with its scope. Keepers and their sessions go on. */
import { Clock, Effect, Layer } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import { SUMMARY_PROJECTIONS, snapshotRowOf, stateAt, summaryOf } from "../../projections/ProjectionRunner.ts"
import { indexRow, summarize } from "../../projections/SessionIndex.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { keeperEntry, packageVersion } from "../EntryPoints.ts"
import { EngineCore } from "./EngineCore.ts"
import { History } from "./History.ts"
import * as SessionError from "./SessionError.ts"
import { Sessions } from "./Sessions.ts"
import type { StorePaths } from "./StorePaths.ts"

export interface SessionEngineOptions {
  readonly paths: StorePaths
  /** The keeper's program; the package's own if absent. */
  readonly keeperEntry?: string | undefined
  /** Holds the terminals in this process: for tests and embedding. Its sessions end with it. */
  readonly inProcess?: boolean | undefined
  readonly sessionsPerKeeper?: number | undefined
  /** The umask of the programs; that of this process if absent. */
  readonly programUmask?: number | undefined
}

export const layer = (options: SessionEngineOptions): Layer.Layer<Sessions, StorageUnavailable, Journal | History> =>
  Layer.effect(
    Sessions,
    Effect.gen(function* () {
      const journal = yield* Journal
      const history = yield* History
      const clock = yield* Clock.Clock
      const context = yield* Effect.context<Journal>()
      const run = Effect.runPromiseWith(context)

      const load = async (session: SessionId) => {
        const { damage, states } = await run(stateAt({ state: SessionState }, session))
        // Behind damage the stream goes on: what is appended now must find its number.
        if (damage !== null) states.state.sequence = await run(journal.head(session))
        return states.state
      }

      const engine = yield* Effect.acquireRelease(
        Effect.tryPromise({
          try: () =>
            EngineCore.open({
              journal,
              paths: options.paths,
              version: packageVersion,
              nowMicros: () => Number(clock.currentTimeNanosUnsafe() / 1000n),
              keeperEntry: options.inProcess ? undefined : (options.keeperEntry ?? keeperEntry),
              sessionsPerKeeper: options.sessionsPerKeeper,
              programUmask: options.programUmask,
              run,
              get: (session) => run(history.get(session)),
              load,
              creationRows: (session, created) => {
                const { directory, state, title } = SUMMARY_PROJECTIONS
                return [
                  indexRow(
                    summarize(
                      state.fold(state.initial(session), created),
                      directory.fold(directory.initial(session), created).cwd,
                      title.initial(session).title
                    )
                  )
                ]
              },
              saveState: (state) =>
                run(
                  journal.putRows([
                    snapshotRowOf(
                      SessionState.name,
                      SessionState.version,
                      state.id,
                      state.sequence,
                      SessionState.encode(state)
                    )
                  ])
                ),
              saveEnd: async (session) => {
                await run(summaryOf(session))
              }
            }),
          catch: (error) =>
            error instanceof StorageUnavailable
              ? error
              : new StorageUnavailable({
                  operation: "open",
                  reason: error instanceof Error ? error.message : String(error),
                  diskFull: false
                })
        }),
        (engine) => Effect.promise(() => engine.stop("stopped"))
      )

      return Sessions.of({
        create: (request) => command("create", () => engine.create(request)),
        write: (session, data, options) => command("write", () => engine.write(session, data, options)),
        closeInput: (session, options) => command("closeInput", () => engine.closeInput(session, options)),
        resize: (session, size, options) => command("resize", () => engine.resize(session, size, options)),
        signal: (session, signal, target, options) =>
          command("signal", () => engine.signal(session, signal, target, options)),
        close: (session, options) => command("close", () => engine.close(session, options)),
        status: Effect.gen(function* () {
          const suspended = journal.suspended()
          const sessions = yield* Effect.orElseSucceed(history.list, () => [])
          return {
            enginePid: process.pid,
            version: packageVersion,
            node: process.version,
            store: options.paths.store,
            socket: options.paths.engineSocket,
            durability: journal.durability,
            startedAt: engine.startedAt,
            keepers: engine.keepers(),
            sessions: { total: sessions.length, live: engine.liveCount },
            suspended:
              suspended === undefined
                ? null
                : { reason: suspended.reason, diskFull: suspended.diskFull, since: suspended.sinceMicros },
            damages: journal.openingDamages.map(({ from, reason, stream, to }) => ({ stream, from, to, reason }))
          }
        })
      })
    })
  )

const classes = [
  SessionError.SessionNotFound,
  SessionError.SessionEnded,
  SessionError.InvalidRequest,
  SessionError.SpawnFailed,
  SessionError.InputRefused,
  SessionError.SessionUnavailable
]

/** What the engine rejects with are the errors of its contract; a storage that is away is one of them, anything else a defect. */
const command = <A, E extends SessionError.SessionError>(
  name: string,
  evaluate: () => Promise<A>
): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    evaluate().then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => {
        if (error instanceof StorageUnavailable) {
          resume(Effect.fail(new SessionError.SessionUnavailable({ session: "", reason: error.message }) as E))
        } else if (classes.some((class_) => error instanceof class_)) resume(Effect.fail(error as E))
        else resume(Effect.die(error))
      }
    )
  }).pipe(Effect.withSpan(`Sessions.${name}`))
