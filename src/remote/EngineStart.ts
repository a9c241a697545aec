/**
 * Starts the engine of a store in the background as tmux does: its own session and process group, no terminal, its
 * messages in the store's `engine.log`, readiness told by a line on a pipe. Two clients that start one at the same time
 * both succeed: the engine that does not get the store's lock waits until the other answers, says so and ends. Connections
 * of one process start one together. Loaded only by a client that found no engine.
 */
import { spawn } from "node:child_process"
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from "node:fs"
import type { Socket } from "node:net"
import { Deferred, Effect, Exit, Schema } from "effect"
import { StoreRefused } from "../../journal/JournalError.ts"
import { engineEntry } from "../EntryPoints.ts"
import { prepareStoreFolder } from "../session/StoreFolder.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { EngineRefused, EngineUnavailable } from "./EngineError.ts"

export interface EngineStart {
  /** Start an engine when none runs. */
  readonly start: boolean
  /** `power`: every batch is fsynced. Only asked of an engine that this call starts. */
  readonly durability?: "process" | "power" | undefined
}

/** Opening a large store after a crash takes seconds on a slow disk; longer than this something is wrong. */
const START_TIMEOUT = "60 seconds"
/** The log is for people: a new engine starts an empty one when it grew beyond this. */
const LOG_BYTES_MAX = 1024 * 1024
/** Fails where a FIFO stands in the log's place, instead of waiting for its reader. */
const APPEND_AT_ONCE = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK
/** File descriptor on which the engine tells how its start went. */
export const READY_FD = 3

/** What an engine says on READY_FD, once, as a line of JSON. */
export const StartMessage = Schema.Union([
  Schema.TaggedStruct("Ready", { pid: Schema.Int }),
  /** Another engine serves this store already. */
  Schema.TaggedStruct("Running", {}),
  Schema.TaggedStruct("Refused", { reason: Schema.String, detail: Schema.String })
])
export type StartMessage = typeof StartMessage.Type
const decodeStartMessage = Schema.decodeUnknownEffect(Schema.fromJsonString(StartMessage))

type StartFailure = EngineRefused | EngineUnavailable

/** Starts of this process that are under way, by store: a client whose engine dies loses all its connections at once. */
const underWay = new Map<string, Deferred.Deferred<void, StartFailure>>()

/** Starts an engine and returns when it, or another one, serves the store. Whoever comes while one starts has its outcome. */
export const start = Effect.fn("EngineStart.start")(function* (paths: StorePaths, options: EngineStart) {
  const other = underWay.get(paths.store)
  if (other !== undefined) return yield* Deferred.await(other)
  yield* Effect.acquireUseRelease(
    Effect.sync(() => {
      const mine = Deferred.makeUnsafe<void, StartFailure>()
      underWay.set(paths.store, mine)
      return mine
    }),
    () => startOne(paths, options),
    (mine, exit) => {
      underWay.delete(paths.store)
      // Who gave up says nothing of the engine: the others look whether it is there.
      return Deferred.done(mine, Exit.hasInterrupts(exit) ? Exit.void : exit)
    }
  )
})

const startOne = Effect.fnUntraced(function* (paths: StorePaths, options: EngineStart) {
  const log = yield* Effect.try({
    try: () => openLog(paths),
    catch: (cause) =>
      new EngineRefused({
        store: paths.store,
        reason: cause instanceof StoreRefused ? cause.reason : "permissions",
        detail: cause instanceof Error ? cause.message : String(cause)
      })
  })
  const line = yield* spawnEngine(paths, options, log).pipe(
    Effect.ensuring(Effect.sync(() => closeSync(log))),
    Effect.timeoutOrElse({
      duration: START_TIMEOUT,
      orElse: () =>
        Effect.fail(
          new EngineUnavailable({
            store: paths.store,
            reason: `the engine did not start within ${START_TIMEOUT}; see ${paths.log}`
          })
        )
    })
  )
  const message = yield* decodeStartMessage(line).pipe(
    Effect.mapError(
      () => new EngineUnavailable({ store: paths.store, reason: `the engine ended while it started; see ${paths.log}` })
    )
  )
  if (message._tag === "Refused") {
    return yield* new EngineRefused({ store: paths.store, reason: message.reason, detail: message.detail })
  }
})

const openLog = (paths: StorePaths): number => {
  prepareStoreFolder(paths)
  const refused = new StoreRefused({ path: paths.log, reason: "foreign", detail: "is not a file; move it away" })
  let log: number
  try {
    log = openSync(paths.log, APPEND_AT_ONCE, 0o600)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw code === "EISDIR" || code === "ENXIO" ? refused : error
  }
  const stat = fstatSync(log)
  if (!stat.isFile()) {
    closeSync(log)
    throw refused
  }
  if (stat.size > LOG_BYTES_MAX) ftruncateSync(log)
  return log
}

/** The first line that the engine says; "" when it ended without a word. */
const spawnEngine = (paths: StorePaths, options: EngineStart, log: number): Effect.Effect<string, EngineUnavailable> =>
  Effect.callback((resume) => {
    const child = spawn(
      process.execPath,
      [engineEntry, "--store", paths.store, ...(options.durability ? ["--durability", options.durability] : [])],
      {
        // Its own session: the terminal's hang-up and Ctrl-C reach the client only.
        detached: true,
        // Not where the client is: an engine must not keep a file system busy.
        cwd: "/",
        stdio: ["ignore", log, log, "pipe"],
        env: engineEnvironment(process.env, paths)
      }
    )
    const pipe = child.stdio[READY_FD] as Socket
    let text = ""
    const finish = (effect: Effect.Effect<string, EngineUnavailable>) => {
      pipe.destroy()
      child.unref()
      resume(effect)
    }
    child.once("error", (error) =>
      finish(
        Effect.fail(new EngineUnavailable({ store: paths.store, reason: `cannot start the engine: ${error.message}` }))
      )
    )
    pipe.setEncoding("utf8")
    pipe.on("data", (chunk: string) => {
      text += chunk
      if (text.includes("\n")) finish(Effect.succeed(text))
    })
    pipe.on("error", () => finish(Effect.succeed("")))
    pipe.on("end", () => finish(Effect.succeed(text)))
    return Effect.sync(() => {
      pipe.destroy()
      child.unref()
    })
  })

/** The engine outlives its first client: what that client set for its own Node or its own session is not the engine's. */
const engineEnvironment = (env: NodeJS.ProcessEnv, { key }: StorePaths): NodeJS.ProcessEnv => {
  const { NODE_OPTIONS: _options, NODE_CHANNEL_FD: _channel, REPRISE_SESSION: _session, ...rest } = env
  // The same key as the client's, wherever that has it from.
  if (key !== undefined && "file" in key) return { ...rest, REPRISE_STORE_KEY_FILE: key.file }
  return rest
}
