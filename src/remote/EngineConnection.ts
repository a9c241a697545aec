/**
 * A connection to the engine of a store, found on its socket; when nobody answers there and the caller allows it, an
 * engine is started first (EngineStart.ts). It never ends an engine, and never waits longer than it says.
 */
import { createConnection, type Socket } from "node:net"
import { Data, Effect, Result, Schedule, type Scope } from "effect"
import type { StorePaths } from "../session/StorePaths.ts"
import { EngineAbsent, type EngineRefused, EngineUnavailable } from "./EngineError.ts"
import type { EngineStart } from "./EngineStart.ts"

/** Engines that are killed while we connect to them: more than this many in a row is not bad luck. */
const CONNECT_ATTEMPTS_MAX = 6
/** Between two attempts to connect: what a dying engine needs to let go of the store. */
const CONNECT_RETRY_DELAY = "50 millis"

class ConnectFailed extends Data.TaggedError("ConnectFailed")<{ readonly code: string; readonly reason: string }> {}

/** A connection to the store's engine, closed with the scope. Starts the engine when there is none and `start` allows it. */
export const connect = (
  paths: StorePaths,
  options: EngineStart
): Effect.Effect<Socket, EngineAbsent | EngineRefused | EngineUnavailable, Scope.Scope> =>
  connectOrStart(paths, options).pipe(
    Effect.retry({
      while: (error) => error._tag === "ConnectFailed",
      times: CONNECT_ATTEMPTS_MAX - 1,
      schedule: Schedule.spaced(CONNECT_RETRY_DELAY)
    }),
    Effect.catchTag("ConnectFailed", (failure) =>
      Effect.fail(new EngineUnavailable({ store: paths.store, reason: `cannot reach the engine: ${failure.reason}` }))
    )
  )

const connectOrStart = Effect.fnUntraced(function* (paths: StorePaths, options: EngineStart) {
  const found = yield* Effect.result(connectOnce(paths.engineSocket))
  if (Result.isSuccess(found)) return found.success
  if (!nobodyThere(found.failure)) return yield* found.failure
  if (!options.start) return yield* new EngineAbsent({ store: paths.store })
  // Loaded only now: a client that finds its engine needs no child processes.
  const { start } = yield* Effect.promise(() => import("./EngineStart.ts"))
  yield* start(paths, options)
  return yield* connectOnce(paths.engineSocket)
})

const nobodyThere = (failure: ConnectFailed): boolean => failure.code === "ENOENT" || failure.code === "ECONNREFUSED"

const connectOnce = (path: string): Effect.Effect<Socket, ConnectFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Socket, ConnectFailed>((resume) => {
      const socket = createConnection(path)
      socket.once("connect", () => resume(Effect.succeed(socket)))
      // Stays for the life of the socket: an error without a listener would end the process.
      socket.on("error", (error: NodeJS.ErrnoException) =>
        resume(Effect.fail(new ConnectFailed({ code: error.code ?? "", reason: error.message })))
      )
      return Effect.sync(() => socket.destroy())
    }),
    (socket) => Effect.sync(() => socket.destroy()),
    { interruptible: true }
  )
