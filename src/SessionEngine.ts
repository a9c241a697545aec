/**
 * The engine as a layer, opened over a journal and closed with its scope: `Sessions`, `Exec`, `Attach`, `Lifecycle`,
 * `Retention`, `Redaction`, `Evidence` and `Search`. The one place where the parts meet; it has no behaviour of its own.
 * Keepers and their sessions go on when it ends.
 */
import { pathToFileURL } from "node:url"
import { Clock, Context, Effect, Layer } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Journal } from "../journal/Journal.ts"
import { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import { Commands } from "../projections/Commands.ts"
import { PlainOutput } from "../projections/PlainOutput.ts"
import { SUMMARY_PROJECTIONS, stateAt, summaryOf } from "../projections/ProjectionRunner.ts"
import { makeScreenFollower } from "../projections/ScreenFollower.ts"
import { makeScreenService, ScreenOptions } from "../projections/ScreenService.ts"
import { indexRow, summarize } from "../projections/SessionIndex.ts"
import { SessionState } from "../projections/SessionState.ts"
import { snapshotRowOf } from "../projections/SnapshotRow.ts"
import { keeperEntry, packageVersion, screenWorkerEntry } from "./EntryPoints.ts"
import { Redaction } from "./erasure/Redaction.ts"
import { makeRedaction } from "./erasure/RedactionEngine.ts"
import { Retention } from "./erasure/Retention.ts"
import { makeRetention, RETENTION_SCREENS } from "./erasure/RetentionEngine.ts"
import { Evidence } from "./evidence/Evidence.ts"
import { makeEvidence } from "./evidence/EvidenceEngine.ts"
import { ensureKey, makeNextKey } from "./evidence/Keys.ts"
import { makeSealer } from "./evidence/Sealer.ts"
import type { Exec } from "./exec/Exec.ts"
import { ExecEngine } from "./exec/ExecEngine.ts"
import type { PolicyDenied } from "./exec/ExecError.ts"
import { execService } from "./exec/ExecService.ts"
import { Search } from "./search/Search.ts"
import { makeSearchIndexer } from "./search/SearchIndexer.ts"
import { makeLocalSearch, searchWorkerUrl } from "./search/SearchLocal.ts"
import { refusal } from "./session/AccessLog.ts"
import { makeAccessLog } from "./session/AccessLogLive.ts"
import { Attach } from "./session/Attach.ts"
import { makeAttach } from "./session/AttachEngine.ts"
import { engineCall } from "./session/EngineCall.ts"
import { readCapture, readRetention } from "./session/EngineConfig.ts"
import { EngineCore } from "./session/EngineCore.ts"
import { ENGINE_LIMITS, type EngineLimits } from "./session/EngineLimits.ts"
import { History } from "./session/History.ts"
import type { KeeperPort } from "./session/Hosts.ts"
import { Lifecycle } from "./session/Lifecycle.ts"
import { makeLifecycle } from "./session/LifecycleEngine.ts"
import { Reader } from "./session/Reader.ts"
import type { AccessDenied } from "./session/SessionError.ts"
import { Sessions } from "./session/Sessions.ts"
import type { StorePaths } from "./session/StorePaths.ts"

export interface SessionEngineOptions {
  readonly paths: StorePaths
  /** The keeper's program; the package's own if absent. */
  readonly keeperEntry?: string | undefined
  /** Holds the terminals in this process: for tests and embedding. Its sessions end with it. */
  readonly inProcess?: boolean | undefined
  readonly sessionsPerKeeper?: number | undefined
  /** The umask of the programs; that of this process if absent. */
  readonly programUmask?: number | undefined
  /** Stands between the engine and its keepers: where faults are put in. Default: nothing does. */
  readonly keepers?: KeeperPort | undefined
  /** Field by field instead of ENGINE_LIMITS. Taken as they are: `readEngineLimits` checks them. */
  readonly limits?: Partial<EngineLimits> | undefined
}

export const layer = (
  options: SessionEngineOptions
): Layer.Layer<
  Sessions | Exec | Attach | Lifecycle | Retention | Redaction | Search | Evidence,
  StorageUnavailable | StoreRefused,
  Journal | History
> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const journal = yield* Journal
      const history = yield* History
      const clock = yield* Clock.Clock
      const context = yield* Effect.context<Journal>()
      const run = Effect.runPromiseWith(context)

      const plainOutput = yield* PlainOutput
      // Acquired before the engine, so that it ends after it.
      const follower = yield* makeScreenFollower(pathToFileURL(screenWorkerEntry))

      const load = async (session: SessionId) => {
        const { damage, removed, states } = await run(stateAt({ state: SessionState }, session))
        // Behind damage the stream goes on: what is appended now must find its number.
        if (damage !== null || removed !== null) states.state.sequence = await run(journal.head(session))
        return states.state
      }

      const screens = yield* makeScreenService({
        ...(yield* ScreenOptions),
        workerUrl: pathToFileURL(screenWorkerEntry),
        ...RETENTION_SCREENS
      })

      const indexer = makeSearchIndexer({ journal, history, workerUrl: searchWorkerUrl })

      const limits = { ...ENGINE_LIMITS, ...options.limits }
      const nowMicros = () => Number(clock.currentTimeNanosUnsafe() / 1000n)
      const monotonicMillis = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      const { note } = makeAccessLog(journal, new Map())
      const refused = ({ message, session }: AccessDenied | PolicyDenied, through = "client") =>
        void run(
          note(refusal(session as SessionId, message)).pipe(
            Effect.provideService(Reader, { through }),
            Effect.ignoreCause
          )
        )
      const exec = new ExecEngine({
        journal,
        paths: options.paths,
        nowMicros,
        run,
        refused,
        load: async (session) => (await run(stateAt({ commands: Commands }, session))).states.commands
      })

      // Acquired before the engine, so that its last seals come after the engine's last word.
      let isLive = (_: SessionId): boolean => true
      const sealer = yield* Effect.acquireRelease(
        makeSealer({
          journal,
          signer: (nowMillis, recorded) => ensureKey(options.paths, nowMillis, recorded).signer,
          nextSigner: (name, nowMillis) => makeNextKey(options.paths, name, nowMillis),
          isLive: (session) => isLive(session)
        }),
        ({ finish }) => finish
      )

      const engine = yield* Effect.acquireRelease(
        Effect.tryPromise({
          try: () =>
            EngineCore.open({
              journal,
              paths: options.paths,
              version: packageVersion,
              nowMicros,
              monotonicMillis,
              keeperEntry: options.inProcess ? undefined : (options.keeperEntry ?? keeperEntry),
              sessionsPerKeeper: options.sessionsPerKeeper,
              programUmask: options.programUmask,
              keepers: options.keepers,
              limits,
              redact: () => readCapture(options.paths),
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
              drawLater: (session, outputBytes) => {
                follower.drawLater(session, outputBytes)
                indexer.printed(session)
              },
              plainOutput,
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
                indexer.ended(session)
              },
              extend: (session) => exec.extend(session),
              refused,
              opening: (core) => {
                exec.core = core
              }
            }),
          catch: (error) => {
            if (error instanceof StoreRefused) return error
            if (error instanceof StorageUnavailable) {
              // It ends: nobody waits for room any more.
              return error.diskFull ? new StorageUnavailable({ ...error, operation: "open" }) : error
            }
            const reason = error instanceof Error ? error.message : String(error)
            return new StorageUnavailable({ operation: "open", reason, diskFull: false })
          }
        }),
        (engine) => Effect.promise(() => engine.stop("stopped"))
      )

      const atStart = journal.suspended()
      if (atStart !== undefined) yield* Effect.logWarning(`the journal cannot be written: ${atStart.reason}`)
      isLive = (session) => engine.liveSession(session) !== undefined
      yield* Effect.forkScoped(engine.timeouts.run)
      yield* Effect.forkScoped(sealer.run)

      const retention = yield* makeRetention({
        journal,
        history,
        screens,
        folder: options.paths.journal,
        policy: () => readRetention(options.paths),
        sealer,
        engine: {
          feed: engine.feed,
          notNeeded: (session) => engine.notNeeded(session),
          appendHold: (session, event, actor) => engine.appendHold(session, event, actor)
        },
        openFeed: Effect.succeed(engine.feed)
      })
      const redaction = makeRedaction({
        journal,
        history,
        sealer,
        turn: retention.turn,
        engine: {
          feed: engine.feed,
          notNeeded: (session) => engine.notNeeded(session),
          appendRedaction: (session, event, options) => engine.appendRedaction(session, event, options),
          redacted: async (session) => {
            await engine.redacted(session)
            await exec.redacted(session)
          }
        },
        openFeed: Effect.succeed(engine.feed)
      })
      yield* Effect.forkScoped(
        redaction.finish.pipe(
          Effect.catchCause((cause) => Effect.logWarning("redaction: finished at the next start", cause)),
          Effect.andThen(retention.run)
        )
      )
      yield* Effect.forkScoped(indexer.run)

      const call = engineCall("Sessions")
      const sessions = Sessions.of({
        create: (request) => call("create", () => engine.create(request)),
        write: (session, data, options) => call("write", () => engine.write(session, data, options)),
        closeInput: (session, options) => call("closeInput", () => engine.closeInput(session, options)),
        resize: (session, size, options) => call("resize", () => engine.resize(session, size, options)),
        signal: (session, signal, target, options) =>
          call("signal", () => engine.signal(session, signal, target, options)),
        close: (session, options) => call("close", () => engine.close(session, options)),
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
            limits,
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
      return Context.make(Sessions, sessions).pipe(
        Context.merge(execService(exec)),
        Context.add(
          Attach,
          makeAttach({
            history,
            engine: {
              clients: engine.clients,
              live: (session) => engine.liveSession(session)?.state,
              resize: (session, size, options) => engine.resize(session, size, options),
              defect: (session, at, detail) => engine.defect({ what: "screen-redraw", session, at, detail })
            }
          })
        ),
        Context.add(Lifecycle, makeLifecycle({ engine, journal, nowMicros })),
        Context.add(Retention, retention),
        Context.add(Redaction, redaction),
        Context.add(Evidence, makeEvidence({ journal, sealer })),
        Context.add(Search, yield* makeLocalSearch)
      )
    })
  )
