/**
 * A client of the engine: gives `Sessions`, `History`, `Exec`, `Attach`, `Lifecycle`, `Retention`, `Search`,
 * `SessionOutput` and `EngineControl` over the store's socket, or over a WebSocket door, so that its users know nothing of sockets. The CLI
 * uses it; so may any program.
 *
 * An engine that dies is not an error here while it can be started again: calls are repeated (commands carry an id, so
 * the engine applies each once), streams go on after the last item they delivered, without gap or duplicate. Every
 * stream has a connection of its own: a reader that stops reading holds up nothing but itself.
 */
import type { Duplex } from "node:stream"
import * as NodeSocket from "@effect/platform-node-shared/NodeSocket"
import { Context, Effect, Exit, Layer, Schedule, Scope, Semaphore, Stream } from "effect"
import { RpcClient, type RpcClientError, RpcSerialization } from "effect/rpc"
import { Socket } from "effect/socket"
import type { SessionId } from "../../journal/Event.ts"
import { EVENT_KIND_MAX } from "../../journal/EventKind.ts"
import { packageVersion } from "../EntryPoints.ts"
import { Redaction, type RedactionShape } from "../erasure/Redaction.ts"
import { Retention, type RetentionShape } from "../erasure/Retention.ts"
import { Evidence, type EvidenceShape } from "../evidence/Evidence.ts"
import { Exec } from "../exec/Exec.ts"
import { Search, type SearchShape } from "../search/Search.ts"
import { AccessLog, type AccessLogShape } from "../session/AccessLog.ts"
import { Attach, type AttachItem, type AttachShape } from "../session/Attach.ts"
import { type FollowEvents, History, type HistoryShape } from "../session/History.ts"
import { Lifecycle, type LifecycleItem, type LifecycleShape } from "../session/Lifecycle.ts"
import type { OutputItem } from "../session/OutputItem.ts"
import { InvalidRequest, SessionUnavailable } from "../session/SessionError.ts"
import { type CommandOptions, type EngineStatus, Sessions, type SessionsShape } from "../session/Sessions.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { withoutClosedWrites } from "./ClosedWrites.ts"
import { asLost, ConnectionLost } from "./ConnectionLost.ts"
import { connect } from "./EngineConnection.ts"
import { EngineError, EngineUnavailable } from "./EngineError.ts"
import type { EngineServices } from "./EngineServices.ts"
import { asSkew, type EngineGreeting, mismatchWith } from "./EngineSkew.ts"
import type { EngineStart } from "./EngineStart.ts"
import { makeExec } from "./ExecClient.ts"
import { EngineRpcs } from "./ExecRpcs.ts"
import { hasTag, persistently, reconnecting, timed } from "./Reconnecting.ts"
import { SessionOutput, type SessionOutputShape } from "./SessionOutput.ts"
import {
  CAPTURE_REVISION,
  FRAME_BYTES_MAX,
  PROTOCOL_REVISION,
  PROTOCOL_VERSION,
  REDACT_DRY_RUN_REVISION,
  type StopReport,
  WRITE_BYTES_MAX
} from "./SessionRpcs.ts"
import type { RemoteEngine } from "./WebSocketConnection.ts"

export type { RemoteEngine }

/** An engine that accepts a connection and does not answer within this is stuck. */
const HANDSHAKE_TIMEOUT = "20 seconds"
/** Behind a door the engine may have to be started first, which takes a minute at most. */
const HANDSHAKE_TIMEOUT_BEHIND_DOOR = "80 seconds"
/** Items a stream's connection reads ahead of its consumer: 4 pages of 256 KiB. */
const STREAM_ITEMS_AHEAD = 4
/** The kernel (Unix socket) or WebSocketConnection tells when the peer is gone; a ping would only take a busy peer for a dead one. */
const PING_INTERVAL = "7 days"

export interface EngineControlShape {
  readonly status: Effect.Effect<EngineStatus, SessionUnavailable>
  /** Ends the engine, and every live session first when asked to. Answered before the engine is gone; `pid` is its. */
  stop(options: {
    readonly sessions: boolean
  }): Effect.Effect<StopReport & { readonly pid: number }, SessionUnavailable>
}
export class EngineControl extends Context.Service<EngineControl, EngineControlShape>()(
  "reprise/remote/EngineControl"
) {}

/** The engine of a store of this machine and user. */
export interface LocalEngine extends EngineStart {
  readonly paths: StorePaths
}

export type EngineClientOptions = (LocalEngine | RemoteEngine) & {
  /** Who the journal says it was; e.g. `cli`. */
  readonly actor?: string | undefined
  /** Talk to an engine of another version too: enough to stop it, not to use it. */
  readonly anyVersion?: boolean | undefined
  /** What it reads for, such as `export`, and why: told with what it is given. */
  readonly purpose?: { readonly what: string; readonly reason?: string | undefined } | undefined
}

const handshakeOf = (options: EngineClientOptions) => {
  const { actor, purpose } = options
  return {
    protocol: PROTOCOL_VERSION,
    version: packageVersion,
    revision: PROTOCOL_REVISION,
    events: EVENT_KIND_MAX,
    client: `${actor ?? "client"}${"url" in options ? " over WebSocket" : ""}`,
    ...(purpose !== undefined && { what: purpose.what }),
    ...(purpose?.reason !== undefined && { reason: purpose.reason })
  }
}

type Client = RpcClient.FromGroup<typeof EngineRpcs, RpcClientError.RpcClientError>
interface Connection {
  readonly client: Client
  readonly engine: EngineGreeting
}

/** Fails when there is no engine to talk to (and none may be started), or when it is not to be talked to. */
export const layer = (
  options: EngineClientOptions
): Layer.Layer<EngineServices | SessionOutput | EngineControl, EngineError> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const remote = yield* makeRemote(options)
      return Context.make(Sessions, makeSessions(remote)).pipe(
        Context.add(History, makeHistory(remote)),
        Context.add(Exec, makeExec({ ...remote, newSessionId })),
        Context.add(Attach, makeAttach(remote)),
        Context.add(Lifecycle, makeLifecycle(remote)),
        Context.add(Retention, makeRetention(remote)),
        Context.add(Redaction, makeRedaction(remote)),
        Context.add(Search, makeSearch(remote)),
        Context.add(SessionOutput, makeOutput(remote)),
        Context.add(Evidence, makeEvidence(remote)),
        Context.add(AccessLog, makeAccessLog(remote)),
        Context.add(EngineControl, makeControl(remote))
      )
    })
  )

// --- connections -----------------------------------------------------------------------------------------------------

interface Remote {
  readonly actor: string | undefined
  /** Runs a call on the shared connection, again on a new one when it broke. */
  call<A, E>(
    f: (client: Client, engine: EngineGreeting) => Effect.Effect<A, E | RpcClientError.RpcClientError>
  ): Effect.Effect<A, Exclude<E, RpcClientError.RpcClientError> | SessionUnavailable>
  /** Runs a call once, on a connection that has just answered: for what may not happen twice. */
  once<A, E>(
    f: (client: Client) => Effect.Effect<A, E | RpcClientError.RpcClientError>
  ): Effect.Effect<A, Exclude<E, RpcClientError.RpcClientError> | SessionUnavailable>
  /**
   * Ends as EngineMismatch where the engine would ignore a part of the request that is not to be ignored. Engines without
   * revisions know it if they know a call that came with it.
   */
  knows(request: {
    readonly group?: unknown
    readonly limits?: unknown
    readonly inheritEnv?: unknown
    readonly redact?: unknown
  }): Effect.Effect<void, SessionUnavailable>
  /** Opens a stream on a connection of its own, again when it broke. `open` is called with the cursor it has reached. */
  stream<A, E>(
    open: (client: Client) => Stream.Stream<A, E | RpcClientError.RpcClientError>
  ): Stream.Stream<A, Exclude<E, RpcClientError.RpcClientError> | SessionUnavailable>
}

/** As errors name the engine: the store's folder, or the URL of the door. */
const nameOf = (options: EngineClientOptions): string => ("url" in options ? options.url : options.paths.store)

const openDuplex = (options: EngineClientOptions) =>
  "url" in options
    ? // Loaded only now: a client of the store's own socket needs none of it.
      Effect.flatMap(
        Effect.promise(() => import("./WebSocketConnection.ts")),
        (webSocket): Effect.Effect<Duplex, EngineError | ConnectionLost, Scope.Scope> => webSocket.connect(options)
      )
    : connect(options.paths, options)

/**
 * Effect's socket waits for ever for room in one that is closed: a stream whose reader paused while the engine died would
 * then neither end nor be opened anew, because it acknowledges an item first. A write that throws is a loss (`asLost`).
 */
const failOnceClosed = (duplex: Duplex): void => {
  duplex.once("close", () => {
    duplex.write = () => {
      throw new Error("the connection is closed")
    }
  })
}

const CLOSED = new Socket.SocketError({
  reason: new Socket.SocketWriteError({ cause: new Error("the connection is closed") })
})

const openConnection = Effect.fnUntraced(function* (options: EngineClientOptions) {
  const duplex = yield* openDuplex(options)
  failOnceClosed(duplex)
  const socket = withoutClosedWrites(yield* NodeSocket.fromDuplex(Effect.succeed(duplex)), duplex, Effect.fail(CLOSED))
  const protocol = yield* Layer.build(
    RpcClient.layerProtocolSocket({
      pingInterval: PING_INTERVAL,
      // Connecting again is decided above, where it is known what may be repeated.
      retryPolicy: Schedule.recurs(0)
    }).pipe(
      Layer.provide(Layer.succeed(Socket.Socket, socket)),
      Layer.provide(RpcSerialization.layerSchemaBinary({ maxFrameSize: FRAME_BYTES_MAX }))
    )
  )
  const client = yield* RpcClient.make(EngineRpcs, { disableTracing: true }).pipe(Effect.provideContext(protocol))
  const engine = yield* client.Handshake(handshakeOf(options)).pipe(
    Effect.timeoutOrElse({
      duration: "url" in options ? HANDSHAKE_TIMEOUT_BEHIND_DOOR : HANDSHAKE_TIMEOUT,
      orElse: () =>
        Effect.fail(
          new EngineUnavailable({
            store: nameOf(options),
            reason: `the engine does not answer; ${"url" in options ? "" : `see ${options.paths.log}, or `}end it and try again`
          })
        )
    }),
    Effect.catchTag("RpcClientError", (error) =>
      // A door says why it closed.
      Effect.fail(new ConnectionLost({ reason: duplex.errored?.message ?? error.message }))
    )
  )
  if (engine.protocol !== PROTOCOL_VERSION && options.anyVersion !== true) {
    return yield* mismatchWith(engine)
  }
  return { client, engine } satisfies Connection
})

const makeRemote = Effect.fnUntraced(function* (options: EngineClientOptions) {
  const scope = yield* Effect.scope
  const opening = yield* Semaphore.make(1)
  let current: { readonly connection: Connection; readonly scope: Scope.Closeable } | undefined
  let isClosed = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
    })
  )
  /** Whoever holds a service for longer than its layer is told, in calls and in streams. */
  const open = Effect.suspend(() =>
    isClosed ? Effect.fail(new SessionUnavailable({ session: "", reason: "this client is closed" })) : Effect.void
  )

  const shared = opening.withPermit(
    Effect.gen(function* () {
      if (current !== undefined) return current
      const own = yield* Scope.fork(scope)
      const connection = yield* openConnection(options).pipe(
        Scope.provide(own),
        Effect.onError(() => Scope.close(own, Exit.void))
      )
      current = { connection, scope: own }
      return current
    })
  )
  const discard = (broken: NonNullable<typeof current>) =>
    Effect.suspend(() => {
      if (current === broken) current = undefined
      return Scope.close(broken.scope, Exit.void)
    })

  // The first connection tells at once, and with its own error, why there is no engine.
  yield* shared.pipe(
    Effect.retry({ schedule: reconnecting, while: (error) => error._tag === "ConnectionLost" }),
    Effect.catchTag("ConnectionLost", (error) =>
      Effect.fail(new EngineUnavailable({ store: nameOf(options), reason: error.reason }))
    )
  )

  const gone = (error: EngineError | ConnectionLost) =>
    error._tag === "ConnectionLost"
      ? new SessionUnavailable({
          session: "",
          reason: `the connection to the engine broke (${error.reason}); try again`
        })
      : new SessionUnavailable({ session: "", reason: error.message })

  const uncertain = (error: EngineError | ConnectionLost) =>
    new SessionUnavailable({
      session: "",
      reason: `the connection to the engine broke (${error._tag === "ConnectionLost" ? error.reason : error.message}); it is not known whether this happened`
    })

  const passes = (error: { readonly _tag: string }) => PASSING_TAGS.has(error._tag)

  const attempt = <A, E>(
    f: (client: Client, engine: EngineGreeting) => Effect.Effect<A, E | RpcClientError.RpcClientError>
  ) =>
    Effect.flatMap(Effect.andThen(open, shared), (held) =>
      f(held.connection.client, held.connection.engine).pipe(
        Effect.catchCause((cause) => Effect.failCause(asSkew(held.connection.engine, asLost(cause)))),
        timed,
        Effect.tapError((error) => (error instanceof ConnectionLost ? discard(held) : Effect.void))
      )
    )

  const remote: Remote = {
    actor: options.actor,
    knows: ({ group, inheritEnv, limits, redact }) => {
      if (redact !== undefined) {
        return remote.call((_, engine) =>
          (engine.revision ?? 0) < CAPTURE_REVISION
            ? Effect.die(mismatchWith(engine, "rules that redact at capture"))
            : Effect.void
        )
      }
      if ((group ?? limits ?? inheritEnv) === undefined) return Effect.void
      return remote.call((client, { revision }) =>
        revision === undefined ? Effect.asVoid(client.Live()) : Effect.void
      )
    },
    call: (f) =>
      persistently(attempt(f), passes).pipe(Effect.mapError((error) => (isOurs(error) ? gone(error) : error))) as never,
    once: (f) =>
      remote
        .call((client) => client.Handshake(handshakeOf(options)))
        .pipe(
          Effect.andThen(attempt(f)),
          Effect.mapError((error) => (isOurs(error) ? uncertain(error) : error))
        ) as never,
    stream: (read) =>
      Stream.unwrap(
        Effect.map(Effect.andThen(open, openConnection(options)), ({ client, engine }) =>
          Stream.catchCause(read(client), (cause) => Stream.failCause(asSkew(engine, cause)))
        )
      ).pipe(
        Stream.catchCause((cause) => Stream.failCause(asLost(cause))),
        Stream.retry(reconnecting.pipe(Schedule.while(({ input }) => hasTag(input) && passes(input)))),
        Stream.mapError((error) => (isOurs(error) ? gone(error) : error))
      ) as never
  }
  return remote
})

const OUR_TAGS = new Set<string>([
  "ConnectionLost",
  ...EngineError.members.map((member) => member.fields._tag.schema.literal)
])
/** What was once there and is being replaced is absent for a moment, also for a client that may not start it. */
const PASSING_TAGS = new Set(["ConnectionLost", "EngineAbsent", "EngineUnreachable"])
const isOurs = (error: unknown): error is EngineError | ConnectionLost => hasTag(error) && OUR_TAGS.has(error._tag)

/** Loaded on use: it brings Node's cryptography, which no reading client needs. */
export const newSessionId: Effect.Effect<SessionId> = Effect.map(
  Effect.promise(() => import("ulid")),
  ({ ulid }) => ulid() as SessionId
)

// --- services --------------------------------------------------------------------------------------------------------

const makeSessions = (remote: Remote): SessionsShape => {
  /** The same id for every repetition of one command. */
  const identified = (options: CommandOptions | undefined) => ({
    actor: options?.actor ?? remote.actor,
    commandId: options?.commandId ?? crypto.randomUUID(),
    client: options?.client
  })
  return {
    create: (request) =>
      Effect.gen(function* () {
        const payload = { ...request, actor: request.actor ?? remote.actor, id: request.id ?? (yield* newSessionId) }
        yield* remote.knows(request)
        return yield* remote.call((client) => client.Create(payload))
      }),
    write: (session, data, options) =>
      Effect.suspend(() => {
        if (data.byteLength > WRITE_BYTES_MAX) {
          return Effect.fail(
            new InvalidRequest({ field: "data", reason: `at most ${WRITE_BYTES_MAX} bytes in one write` })
          )
        }
        const payload = { session, data, ...identified(options) }
        return remote.call((client) => client.Write(payload))
      }),
    closeInput: (session, options) =>
      Effect.suspend(() => {
        const payload = { session, ...identified(options) }
        return remote.call((client) => client.CloseInput(payload))
      }),
    resize: (session, size, options) =>
      Effect.suspend(() => {
        const payload = { session, size, ...identified(options) }
        return remote.call((client) => client.Resize(payload))
      }),
    signal: (session, signal, target, options) =>
      Effect.suspend(() => {
        const payload = { session, signal, target, ...identified(options) }
        return remote.call((client) => client.Signal(payload))
      }),
    close: (session, options) =>
      Effect.suspend(() => {
        const payload = { session, graceMillis: options?.graceMillis, ...identified(options) }
        return remote.call((client) => client.Close(payload))
      }),
    // The shape says that an engine always knows its own status; a client that lost it for good cannot go on.
    status: Effect.orDie(remote.call((client) => client.Status()))
  }
}

const makeHistory = (remote: Remote): HistoryShape => ({
  list: remote.call((client) => client.List()),
  resolve: (reference) => remote.call((client) => client.Resolve({ reference })),
  get: (session) => remote.call((client) => client.Get({ session })),
  stateAt: (session, point) => remote.call((client) => client.StateAt({ session, point })),
  redraw: (session, point, options) => remote.call((client) => client.Redraw({ session, point, ...options })),
  events: (session, range) =>
    Stream.suspend(() => {
      let after = range?.after ?? 0
      return remote
        .stream((client) =>
          client.Events({ session, after, until: range?.until }, { streamBufferSize: STREAM_ITEMS_AHEAD })
        )
        .pipe(
          Stream.map((page) => {
            after = page.at(-1)?.sequence ?? after
            return page
          }),
          Stream.filter((page) => page.length > 0),
          (pages) => Stream.flatMap(pages, Stream.fromArray)
        )
    }),
  follow: (session, from) =>
    Stream.suspend(() => {
      let after = from
      let synced = false
      return remote
        .stream((client) => client.Follow({ session, after }, { streamBufferSize: STREAM_ITEMS_AHEAD }))
        .pipe(
          Stream.filter((item: FollowEvents) => {
            if (item._tag === "Page") {
              after = item.entries.at(-1)?.sequence ?? after
              return true
            }
            if (synced) return false
            synced = true
            return true
          })
        )
    })
})

const makeOutput = (remote: Remote): SessionOutputShape => ({
  stream: (session, range) =>
    Stream.suspend(() => {
      let after = range?.after ?? 0
      let synced = false
      return remote
        .stream((client) =>
          client.Output(
            { session, after, until: range?.until, live: range?.live ?? true },
            { streamBufferSize: STREAM_ITEMS_AHEAD }
          )
        )
        .pipe(
          Stream.filter((item: OutputItem) => {
            if (item._tag === "Synced") {
              if (synced) return false
              synced = true
              return true
            }
            after = item.sequence
            return true
          })
        )
    })
})

const makeAttach = (remote: Remote): AttachShape => ({
  attach: (session, options = {}) =>
    Stream.suspend(() => {
      // A name that stays: the connection made anew takes the place of the broken one.
      const client = options.client ?? crypto.randomUUID()
      let { after, size } = options
      return remote
        .stream((connection) =>
          connection.Attach({ ...options, session, client, after, size }, { streamBufferSize: STREAM_ITEMS_AHEAD })
        )
        .pipe(
          Stream.map((item: AttachItem) => {
            if ("sequence" in item) after = item.sequence
            // The window may have another size by the time a connection is made anew.
            else size = undefined
            return item
          }),
          // Behind it a broken connection is no reason to attach again.
          Stream.takeUntil((item) => item._tag === "Ended")
        )
    })
})

const makeLifecycle = (remote: Remote): LifecycleShape => ({
  live: remote.call((client) => client.Live()),
  usage: (session) => remote.call((client) => client.Usage({ session })),
  feed: (from) =>
    Stream.suspend(() => {
      let after = from
      let synced = false
      return remote
        .stream((client) => client.Feed({ after }, { streamBufferSize: STREAM_ITEMS_AHEAD }))
        .pipe(
          Stream.filter((item: LifecycleItem) => {
            after = item.position
            if (item._tag === "Event") return true
            if (synced) return false
            synced = true
            return true
          })
        )
    })
})

/** Asked again, each of them finds what is done already. */
const makeRetention = ({ actor, call }: Remote): RetentionShape => ({
  prune: (request) => call((client) => client.Prune({ actor, ...request })),
  hold: (session, reason, options) => call((client) => client.Hold({ session, reason, actor, ...options })),
  release: (session, options) => call((client) => client.Release({ session, actor, ...options }))
})

/** Asked again, it finds what is done already: the same bytes are replaced by the same. */
const makeRedaction = ({ actor, call }: Remote): RedactionShape => ({
  redact: (request) =>
    call((client, engine) =>
      request.isDryRun === true && (engine.revision ?? 0) < REDACT_DRY_RUN_REVISION
        ? Effect.die(mismatchWith(engine, "telling what of removed events would be redacted"))
        : client.Redact({ actor, ...request })
    ),
  destroyKey: (request) => call((client) => client.DestroyKey({ actor, ...request }))
})

const makeSearch = (remote: Remote): SearchShape => ({
  search: (query) =>
    Stream.suspend(() => {
      let isBegun = false
      return remote
        .stream((client) =>
          // What was found already would be found again, at another place.
          isBegun
            ? Stream.fail(new SessionUnavailable({ session: "", reason: "the engine went away; search again" }))
            : client.Search(query, { streamBufferSize: STREAM_ITEMS_AHEAD })
        )
        .pipe(
          Stream.flatMap((page) => {
            isBegun = true
            return Stream.fromArray(page)
          })
        )
    })
})

const makeEvidence = ({ actor, call, once }: Remote): EvidenceShape => ({
  seal: call((client) => client.Seal()),
  // Asked again, it would rotate again.
  rotateKey: (request) => once((client) => client.RotateKey({ actor, ...request }))
})

/** An engine that knows no such call keeps no such event. */
const makeAccessLog = ({ call }: Remote): AccessLogShape => ({
  note: ({ refused, session, times, what }) =>
    Effect.ignoreCause(call((client) => client.NoteAccess({ what, session, times, refused })))
})

const makeControl = (remote: Remote): EngineControlShape => ({
  status: remote.call((client) => client.Status()),
  stop: (options) =>
    remote.call((client, { pid }) => Effect.map(client.Stop(options), (report) => ({ ...report, pid })))
})
