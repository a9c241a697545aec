/**
 * The engine process: one for each store, started in the background by a client (EngineStart.ts), ended by
 * `reprise stop` or SIGTERM. It opens the store, takes living sessions back, serves clients, and nothing else. Sessions
 * and their keepers go on when it ends. It says on READY_FD how its start went and keeps quiet afterwards, except in the
 * store's log.
 */
import { closeSync, writeSync } from "node:fs"
import { parseArgs } from "node:util"
import { Cause, Deferred, Effect, Exit, Layer, Schedule } from "effect"
import type { Durability } from "../../journal/Journal.ts"
import type { StoreRefused } from "../../journal/JournalError.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { ScreenOptions } from "../../projections/ScreenService.ts"
import { keeperEntry } from "../EntryPoints.ts"
import { collectWhenIdle } from "../keeper/IdleMemory.ts"
import { libc } from "../keeper/Libc.ts"
import * as SessionEngine from "../SessionEngine.ts"
import * as AccessLogLive from "../session/AccessLogLive.ts"
import * as AuditedHistory from "../session/AuditedHistory.ts"
import { readEngineLimits, storeQuota } from "../session/EngineConfig.ts"
import type { EngineLimits } from "../session/EngineLimits.ts"
import * as HistoryLive from "../session/HistoryLive.ts"
import { defaultKey, type StorePaths, storePaths } from "../session/StorePaths.ts"
import * as EngineLog from "./EngineLog.ts"
import * as EngineServer from "./EngineServer.ts"
import { READY_FD, type StartMessage } from "./EngineStart.ts"
import { collectRarely } from "./HeapGrowth.ts"
import { unsupportedPlatform } from "./Platform.ts"

/** How often an engine that found the store locked looks whether the holder answers, or has let go. */
const LOCKED_RETRY_DELAY = "25 millis"
/** A reader holds the lock for moments, a starting engine until it answers: longer than this it is neither. */
const LOCKED_RETRIES_MAX = 600
/** What is left of a clean end after the last client was let go: flushing the journal. Then the process ends anyway. */
const STOP_TIMEOUT_MILLIS = 15_000

const say = (message: StartMessage): void => {
  try {
    writeSync(READY_FD, `${JSON.stringify(message)}\n`)
    closeSync(READY_FD)
  } catch {
    // Started by hand, without a pipe, or the client that started us is gone: both are fine.
  }
}

const failureOf = (error: unknown): { readonly reason: string; readonly detail: string } => {
  const fields = typeof error === "object" && error !== null ? (error as Record<string, unknown>) : {}
  const { _tag, reason } = fields
  return {
    reason: _tag === "StoreRefused" ? String(reason) : _tag === "StorageUnavailable" ? "unavailable" : "failed",
    detail: error instanceof Error ? error.message : String(error)
  }
}

const isLocked = (error: unknown): boolean => {
  const { reason } = failureOf(error)
  return reason === "locked"
}

const engine = (paths: StorePaths, durability: Durability, programUmask: number, limits: EngineLimits) =>
  EngineServer.layer(paths).pipe(
    Layer.provide(AuditedHistory.layer),
    Layer.provide(AccessLogLive.layer),
    Layer.provide(SessionEngine.layer({ paths, keeperEntry, programUmask, limits })),
    Layer.provideMerge(EngineServer.StopRequest.layer),
    Layer.provide(HistoryLive.layer),
    Layer.provide(screensStandBy),
    Layer.provide(
      JournalLevel.layer({ location: paths.journal, durability, quota: storeQuota(paths, limits), key: paths.key })
    )
  )

/** People attach to this process: the first look at a screen must not wait for a thread. */
const screensStandBy = Layer.effect(
  ScreenOptions,
  Effect.map(ScreenOptions, (options) => ({ ...options, standsBy: true }))
)

const program = (paths: StorePaths, durability: Durability, programUmask: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const limits = yield* Effect.try({
        try: () => readEngineLimits(paths),
        catch: (refused) => refused as StoreRefused
      })
      const built = yield* Layer.build(engine(paths, durability, programUmask, limits)).pipe(
        Effect.tapError((error) =>
          isLocked(error)
            ? Effect.flatMap(EngineServer.answers(paths.engineSocket), (yes) => (yes ? Effect.interrupt : Effect.void))
            : Effect.void
        ),
        Effect.retry({ while: isLocked, times: LOCKED_RETRIES_MAX, schedule: Schedule.spaced(LOCKED_RETRY_DELAY) })
      )
      say({ _tag: "Ready", pid: process.pid })
      yield* Effect.provideContext(EngineServer.StopRequest.use(Deferred.await), built)
    })
  )

const main = (): void => {
  libc().forbidDumps()
  collectRarely()
  collectWhenIdle()
  const programUmask = process.umask(0o077)
  const unsupported = unsupportedPlatform()
  if (unsupported !== undefined) {
    say({ _tag: "Refused", reason: "failed", detail: unsupported })
    process.exitCode = 1
    return
  }
  const { values } = parseArgs({
    options: {
      store: { type: "string" },
      durability: { type: "string", default: process.env.REPRISE_DURABILITY || "process" }
    }
  })
  if (values.store === undefined || (values.durability !== "process" && values.durability !== "power")) {
    say({
      _tag: "Refused",
      reason: "failed",
      detail: "engine: --store DIR, and --durability or REPRISE_DURABILITY is process or power"
    })
    process.exitCode = 2
    return
  }

  const fiber = Effect.runFork(
    program(storePaths(values.store, defaultKey(process.env)), values.durability, programUmask).pipe(
      Effect.provide(EngineLog.layer)
    )
  )
  let stopping = false
  const stop = () => {
    if (stopping) return
    stopping = true
    // Not a promise: a finalizer that hangs must not keep the store locked for ever.
    setTimeout(() => process.exit(1), STOP_TIMEOUT_MILLIS).unref()
    fiber.interruptUnsafe()
  }
  process.on("SIGTERM", stop)
  process.on("SIGINT", stop)
  // The engine has no terminal of its own; a hang-up is somebody else's.
  process.on("SIGHUP", () => {})
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit) || stopping) process.exit(0)
    if (Cause.hasInterruptsOnly(exit.cause)) {
      say({ _tag: "Running" })
      process.exit(0)
    }
    const failure = failureOf(Cause.squash(exit.cause))
    say({ _tag: "Refused", ...failure })
    Effect.runSync(Effect.logError("the engine failed", exit.cause).pipe(Effect.provide(EngineLog.layer)))
    process.exit(1)
  })
}

main()
