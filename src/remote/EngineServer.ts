/**
 * The engine's door: serves Sessions, History and Exec to local clients over a Unix socket. The engine process uses it after
 * it holds the store's lock, so at most one server of a store exists. Nothing a client sends can end it: a message that
 * does not decode ends its own connection (GuardedServer.ts), a handler that dies fails its own call.
 */
import { chmodSync, lstatSync, unlinkSync } from "node:fs"
import { createConnection } from "node:net"
import * as NodeSocketServer from "@effect/platform-node-shared/NodeSocketServer"
import { Array as Arr, Cause, Context, Deferred, Effect, Exit, Layer, Schema, Stream } from "effect"
import { RpcSchema, RpcSerialization, RpcServer } from "effect/rpc"
import { SocketServer } from "effect/socket"
import { packageVersion } from "../EntryPoints.ts"
import { Exec } from "../exec/Exec.ts"
import { AccessLog } from "../session/AccessLog.ts"
import { Attach } from "../session/Attach.ts"
import { History } from "../session/History.ts"
import { Lifecycle } from "../session/Lifecycle.ts"
import { HistoryDamaged } from "../session/SessionError.ts"
import { Sessions } from "../session/Sessions.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import type { EngineServices } from "./EngineServices.ts"
import { evidenceHandlers } from "./EvidenceHandlers.ts"
import { execHandlers } from "./ExecHandlers.ts"
import { EngineRpcs } from "./ExecRpcs.ts"
import { type Guard, makeGuard } from "./GuardedServer.ts"
import * as KnownEvents from "./KnownEvents.ts"
import * as MessageGuard from "./MessageGuard.ts"
import * as Readers from "./Readers.ts"
import { redactionHandlers } from "./RedactionHandlers.ts"
import { retentionHandlers } from "./RetentionHandlers.ts"
import { searchHandlers } from "./SearchHandlers.ts"
import { outputOf } from "./SessionOutput.ts"
import { PROTOCOL_REVISION, PROTOCOL_VERSION, SessionRpcs } from "./SessionRpcs.ts"
import { checkSocketPath, makeSocketFolder, type SocketFolderRefused } from "./SocketFolder.ts"

/** Sessions that `Stop` ends at a time: each may need seconds of HUP, TERM, KILL, and a keeper looks for all of them at once. */
const CLOSE_CONCURRENCY = 256

/** Connections that wait to be accepted: the most that Linux allows. Beyond it clients try again. */
const BACKLOG = 4096

/** Completed when a client asked the engine to stop and was answered. */
export class StopRequest extends Context.Service<StopRequest, Deferred.Deferred<void>>()("reprise/remote/StopRequest") {
  static readonly layer: Layer.Layer<StopRequest> = Layer.effect(StopRequest, Deferred.make<void>())
}

/** The socket could not be offered. */
export class SocketRefused extends Schema.TaggedError<SocketRefused>()("SocketRefused", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `socket ${this.path}: ${this.reason}`
  }
}

const sessionHandlers = SessionRpcs.toLayer(
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const history = yield* History
    const exec = yield* Exec
    const attach = yield* Attach
    const lifecycle = yield* Lifecycle
    const stopRequest = yield* StopRequest
    const accesses = yield* AccessLog

    const endAll = Effect.gen(function* () {
      const live = (yield* history.list).filter((view) => view.status === "running" || view.terminalOpen)
      const reports = yield* Effect.forEach(
        live,
        (view) =>
          (view.kind === "exec" ? exec.end(view.id) : sessions.close(view.id)).pipe(
            // It ended by itself meanwhile; the others are never said to who is no client and asks for nothing special.
            Effect.catchTags({
              SessionNotFound: () => Effect.succeed({ survivors: [] }),
              AccessDenied: () => Effect.succeed({ survivors: [] }),
              InvalidRequest: () => Effect.succeed({ survivors: [] })
            })
          ),
        { concurrency: CLOSE_CONCURRENCY }
      )
      return { ended: live.map((view) => view.id), survivors: reports.flatMap((report) => report.survivors) }
    })

    return SessionRpcs.of({
      Handshake: (said, { client }) =>
        Effect.sync(() => {
          KnownEvents.keep(client, said)
          Readers.keep(client, said)
          return {
            protocol: PROTOCOL_VERSION,
            revision: PROTOCOL_REVISION,
            version: packageVersion,
            pid: process.pid
          }
        }),
      Status: () => sessions.status,
      Stop: ({ sessions: also }) =>
        Effect.gen(function* () {
          const report = also ? yield* endAll : { ended: [], survivors: [] }
          // The request's scope closes after the answer was written; stopping before would cut it off.
          yield* Effect.addFinalizer(() => Deferred.succeed(stopRequest, undefined))
          return report
        }),

      List: () => history.list,
      Resolve: ({ reference }) => history.resolve(reference),
      Get: ({ session }) => history.get(session),
      StateAt: ({ session, point }, { client }) =>
        history.stateAt(session, point).pipe(
          Effect.catchTag("HistoryRemoved", (error) =>
            // An earlier client cannot read that error: it is told what it can, with the same reason.
            Effect.fail(KnownEvents.isSilent(client) ? new HistoryDamaged({ session, reason: error.reason }) : error)
          ),
          Readers.as(client)
        ),
      Redraw: ({ session, point, ...options }, { client }) =>
        history.redraw(session, point, options).pipe(Readers.as(client)),
      Events: ({ session, after, until }, { client }) => {
        const known = KnownEvents.forClient(client)
        return history.events(session, { after, until }).pipe(
          Stream.mapArray((page) => Arr.of(page.map(known))),
          Stream.mapError(KnownEvents.refusedCursor(client, session)),
          Readers.as(client)
        )
      },
      Follow: ({ session, after }, { client }) => {
        const known = KnownEvents.forClient(client)
        return Stream.map(history.follow(session, after), (item) =>
          item._tag === "Page" ? { ...item, entries: item.entries.map(known) } : item
        ).pipe(Stream.mapError(KnownEvents.refusedCursor(client, session)), Readers.as(client))
      },
      Output: ({ session, after, until, live }, { client }) =>
        outputOf(history, session, { after, until, live }).pipe(
          Stream.mapError(KnownEvents.refusedCursor(client, session)),
          Readers.as(client)
        ),

      Attach: ({ session, ...options }, { client }) =>
        Stream.onFirst(attach.attach(session, { ...options, isBroken }), () =>
          accesses.note({ what: "attach", session, after: options.after ?? null }).pipe(Readers.as(client))
        ),
      Feed: ({ after }, { client }) => {
        const known = KnownEvents.forClient(client)
        return Stream.map(lifecycle.feed(after), (item) => (item._tag === "Event" ? known(item) : item))
      },
      Live: () => lifecycle.live,
      Usage: ({ session }) => lifecycle.usage(session),

      Create: (request) => sessions.create(request),
      Write: ({ session, data, ...options }, { client }) =>
        sessions.write(session, data, { ...options, connection: client.id }),
      CloseInput: ({ session, ...options }, { client }) =>
        sessions.closeInput(session, { ...options, connection: client.id }),
      Resize: ({ session, size, ...options }) => sessions.resize(session, size, options),
      Signal: ({ session, signal, target, ...options }) => sessions.signal(session, signal, target, options),
      Close: ({ session, ...options }) => sessions.close(session, options)
    })
  })
)

/** A client that leaves says so before it goes; a stream that is ended without that has lost its connection. */
const isBroken = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) &&
  Cause.hasInterruptsOnly(exit.cause) &&
  Context.getOrUndefined(Cause.annotations(exit.cause), RpcSchema.ClientAbort) === undefined

/**
 * Listens on the store's engine socket until its scope closes. The caller holds the store's lock: a socket file on which
 * nobody answers is then a dead engine's and is removed.
 */
export const layer = (
  paths: StorePaths
): Layer.Layer<never, SocketFolderRefused | SocketRefused, EngineServices | StopRequest> =>
  Layer.unwrap(
    Effect.map(RpcSerialization.RpcSerialization, (serialization) => {
      const guard = makeGuard(MessageGuard.messageBeginning(serialization))
      // Built last, so its end is the first thing that happens when the server ends.
      return Layer.effectDiscard(Effect.addFinalizer(() => guard.endSoon)).pipe(
        Layer.provideMerge(
          RpcServer.layer(EngineRpcs, {
            disableTracing: true,
            // A handler that dies is a bug of ours: it fails its call and is logged, the connection's other calls go on.
            disableFatalDefects: true
          })
        ),
        Layer.provide([
          sessionHandlers,
          execHandlers,
          retentionHandlers,
          redactionHandlers,
          searchHandlers,
          evidenceHandlers
        ]),
        Layer.provide(RpcServer.layerProtocolSocketServer),
        Layer.provide(socketServer(paths, guard))
      )
    })
  ).pipe(Layer.provide(MessageGuard.layer))

const socketServer = (paths: StorePaths, { guard }: Guard) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const path = paths.engineSocket
      yield* checkSocketPath(path)
      yield* makeSocketFolder(paths.run, !paths.run.startsWith(paths.store))
      yield* removeStaleSocket(path)
      return Layer.effect(
        SocketServer.SocketServer,
        Effect.map(NodeSocketServer.make({ path, backlog: BACKLOG }), guard)
      ).pipe(
        Layer.catchTag("SocketServerError", (error) =>
          Layer.effectContext(Effect.fail(new SocketRefused({ path, reason: String(error.cause) })))
        ),
        // The folder keeps others out from the first moment; the mode is for whoever copies or moves the socket.
        Layer.tap(() => Effect.sync(() => chmodSync(path, 0o600)))
      )
    })
  )

/** Asks first: a socket that answers belongs to a living process and is never taken away. */
const removeStaleSocket = Effect.fnUntraced(function* (path: string) {
  const kind = yield* Effect.sync(() => lstatSync(path, { throwIfNoEntry: false }))
  if (kind === undefined) return
  if (!kind.isSocket()) return yield* new SocketRefused({ path, reason: "is not a socket; move it away" })
  if (yield* answers(path)) {
    return yield* new SocketRefused({ path, reason: "another process answers on it; `reprise status` shows which" })
  }
  yield* Effect.try({
    try: () => unlinkSync(path),
    catch: (cause) => new SocketRefused({ path, reason: `cannot remove the stale socket: ${String(cause)}` })
  })
})

/** True when a process accepts connections there. */
export const answers = (path: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = createConnection(path)
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })
