/**
 * A WebSocket door to a store's engine, for clients that cannot open its Unix socket: other machines, containers, web
 * pages. `reprise serve` runs it, in a process of its own. Each WebSocket is joined, byte for byte, to a connection of its
 * own to the engine's socket, so the engine's restarts do not end the door and hostile bytes meet two fences. It knows
 * nothing of the messages that pass and keeps none.
 *
 * Before the upgrade every request is judged by DoorAccess.ts; a token is always needed, because any user of the machine
 * reaches a loopback port. Whatever is not let in costs one of CONNECTING_MAX places for at most a moment.
 */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import type { Duplex } from "node:stream"
import { Effect, FiberSet, type Scope } from "effect"
import { type WebSocket, WebSocketServer } from "ws"
import { deadline } from "../keeper/Deadline.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { refusalFor, type WrongTokenCount, WrongTokens } from "./DoorAccess.ts"
import { DoorRefused } from "./DoorRefused.ts"
import { connect } from "./EngineConnection.ts"
import type { EngineStart } from "./EngineStart.ts"
import {
  CloseCode,
  isLoopback,
  PEER_SILENT_MILLIS_MAX,
  PING_INTERVAL_MILLIS,
  SUBPROTOCOL,
  WEBSOCKET_MESSAGE_BYTES_MAX
} from "./WebSocketProtocol.ts"

/** Clients inside. A client has a connection for its calls and one for each stream that it reads. */
const CONNECTIONS_MAX = 512
/** Connections that have not shown a token yet; one more ends the oldest, so that silent ones cannot lock others out. */
const CONNECTING_MAX = 128
/** From the connection to a complete request: on this machine, and over a network with TLS. */
const OPEN_MILLIS_MAX = 1_000
const OPEN_REMOTE_MILLIS_MAX = 10_000
/** The head of a request: a token and what a proxy adds. */
const HEAD_BYTES_MAX = 8 * 1024
/** Before a wrong token is told. Always the same, so it tells nothing; it makes a guesser hold a place meanwhile. */
const WRONG_TOKEN_DELAY_MILLIS = 250
/** Wrong tokens are told together: a flood of them is a few events a minute. */
const WRONG_TOKENS_TOLD_MILLIS = 60_000
/** What waits for a client that reads slowly: above it the engine's connection is not read, below the half it is again. */
const QUEUED_BYTES_MAX = 256 * 1024
/** A peer that does not answer a close within this is cut off. */
const CLOSE_MILLIS_MAX = 1_000
/** A reason in a close frame. */
const CLOSE_REASON_BYTES_MAX = 123

/** `start`: an engine is started for a client that finds none. */
export interface DoorOptions extends EngineStart {
  readonly paths: StorePaths
  readonly host: string
  /** 0: one that is free. */
  readonly port: number
  readonly token: string
  readonly allowedOrigins: ReadonlyArray<string>
  /** PEM. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined
  /** Told of wrong tokens, at most once in WRONG_TOKENS_TOLD_MILLIS and when the door closes. */
  readonly wrongTokens?: ((counts: ReadonlyArray<WrongTokenCount>) => Effect.Effect<void>) | undefined
}

export interface Door {
  readonly url: string
  readonly port: number
}

/** Open until the scope closes; then clients are told that it goes away (1001). */
export const open = Effect.fn("WebSocketDoor.open")(function* (options: DoorOptions) {
  const hostname = options.host.includes(":") ? `[${options.host}]` : options.host
  const isLocal = isLoopback(hostname)
  if (!isLocal && options.tls === undefined) {
    return yield* new DoorRefused({
      code: "InvalidArgument",
      reason: `${options.host} can be reached from other machines: give --tls-cert and --tls-key, or listen on 127.0.0.1`
    })
  }
  const fibers = yield* FiberSet.make()
  const runFork = yield* FiberSet.runtime(fibers)<never>()
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: true,
    maxPayload: WEBSOCKET_MESSAGE_BYTES_MAX,
    // Its memory has no bound that we could name, and terminal output in small messages gains nothing.
    perMessageDeflate: false,
    handleProtocols: () => SUBPROTOCOL
  })
  const access = {
    token: options.token,
    allowedOrigins: options.allowedOrigins,
    isEncrypted: options.tls !== undefined
  }
  const wrongTokens = new WrongTokens()

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, admitted: () => void): void => {
    socket.on("error", () => {})
    const refusal = refusalFor(request.headers, access)
    if (refusal?.status === 401) {
      wrongTokens.came(request.socket.remoteAddress ?? "unknown")
      if (!wrongTokens.admit(performance.now())) socket.destroy()
      else setTimeout(() => refuse(socket, 401, refusal.reason), WRONG_TOKEN_DELAY_MILLIS)
    } else if (refusal !== undefined) {
      refuse(socket, refusal.status, refusal.reason)
    } else if (pathOf(request) !== "/") {
      refuse(socket, 404, "nothing is served at this path; the door is /")
    } else if (webSockets.clients.size >= CONNECTIONS_MAX) {
      refuse(socket, 503, `${CONNECTIONS_MAX} clients are connected; try again later`)
    } else {
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        admitted()
        // An error is followed by a close; ours to hear, because without a listener it ends the process.
        webSocket.on("error", () => {})
        runFork(joined(webSocket, options, isLocal ? OPEN_MILLIS_MAX : OPEN_REMOTE_MILLIS_MAX))
      })
    }
  }

  const { wrongTokens: tellCounts } = options
  if (tellCounts !== undefined) {
    const tell = Effect.suspend(() => {
      const counts = wrongTokens.take()
      return counts.length === 0 ? Effect.void : tellCounts(counts)
    })
    yield* Effect.addFinalizer(() => tell)
    yield* Effect.forkScoped(Effect.forever(Effect.delay(tell, WRONG_TOKENS_TOLD_MILLIS)))
  }
  const server = yield* listening(options, isLocal, onUpgrade)
  yield* Effect.acquireRelease(
    Effect.sync(() => keepAlive(webSockets)),
    (timer) => Effect.sync(() => clearInterval(timer))
  )
  // Runs first: no new ones while the old ones are told.
  yield* Effect.addFinalizer(() => closeAll(server, webSockets))
  const { port } = server.address() as AddressInfo
  return { url: `${options.tls === undefined ? "ws" : "wss"}://${hostname}:${port}/`, port } satisfies Door
})

// --- HTTP ------------------------------------------------------------------------------------------------------------

const pathOf = (request: IncomingMessage): string => (request.url ?? "").split("?")[0]!

type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, admitted: () => void) => void

const listening = (
  options: DoorOptions,
  isLocal: boolean,
  onUpgrade: OnUpgrade
): Effect.Effect<Server, DoorRefused, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Server, DoorRefused>((resume) => {
      const refused = (code: DoorRefused["code"], error: Error) =>
        resume(
          Effect.fail(
            new DoorRefused({ code, reason: `cannot listen on ${options.host}:${options.port}: ${error.message}` })
          )
        )
      let server: Server
      try {
        server = makeServer(options)
      } catch (error) {
        // A certificate or key that is none.
        refused("InvalidArgument", error as Error)
        return
      }
      server.once("error", (error) => refused("Unavailable", error))
      serveHttp(server, isLocal ? OPEN_MILLIS_MAX : OPEN_REMOTE_MILLIS_MAX, onUpgrade)
      server.listen(options.port, options.host, () => {
        // Out of descriptors, for example: the door stays open for whoever comes later.
        server.on("error", () => {})
        resume(Effect.succeed(server))
      })
      return Effect.sync(() => server.close())
    }),
    (server) => Effect.sync(() => server.close())
  )

const makeServer = ({ tls }: DoorOptions): Server => {
  const limits = { maxHeaderSize: HEAD_BYTES_MAX, keepAlive: true, noDelay: true }
  return tls === undefined ? createServer(limits) : createTlsServer({ ...limits, ...tls, minVersion: "TLSv1.2" })
}

const serveHttp = (server: Server, openMillisMax: number, onUpgrade: OnUpgrade): void => {
  const connecting = new Map<string, Socket>()
  /** With TLS the request comes on another object than the connection: the two ends name both. */
  const nameOf = (socket: Socket) => `${socket.remoteAddress} ${socket.remotePort}`
  server.on("connection", (socket: Socket) => {
    const name = nameOf(socket)
    connecting.set(name, socket)
    const cancel = deadline(openMillisMax, () => {
      if (connecting.get(name) === socket) socket.destroy()
    })
    socket.once("close", () => {
      cancel()
      if (connecting.get(name) === socket) connecting.delete(name)
    })
    if (connecting.size > CONNECTING_MAX) connecting.values().next().value?.destroy()
  })
  server.on("request", (request, response) => {
    const status = pathOf(request) === "/" ? 426 : 404
    const line = status === 426 ? `this is a WebSocket door; upgrade with subprotocol ${SUBPROTOCOL}` : "not here"
    response.writeHead(status, {
      connection: "close",
      "content-type": "text/plain; charset=utf-8",
      ...(status === 426 && { upgrade: "websocket" })
    })
    response.end(`${line}\n`)
  })
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const name = nameOf(request.socket)
    onUpgrade(request, socket, head, () => connecting.delete(name))
  })
  for (const event of ["clientError", "tlsClientError"]) {
    server.on(event, (_error: Error, socket: Duplex) => socket.destroy())
  }
}

/** The connection still counts as connecting: if this is not read, its time runs out. */
const refuse = (socket: Duplex, status: number, reason: string): void => {
  const body = `${reason}\n`
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

// --- WebSockets ------------------------------------------------------------------------------------------------------

/** The whole life of one client, from its first message on: only then is there a reason to wake an engine. */
const joined = (webSocket: WebSocket, options: DoorOptions, firstMillisMax: number): Effect.Effect<void> => {
  const arriving = arrivals(webSocket)
  return arriving.first(firstMillisMax).pipe(
    Effect.flatMap((hasCome) =>
      hasCome
        ? connect(options.paths, options).pipe(
            Effect.flatMap((engine) => join(webSocket, arriving, engine)),
            Effect.catch((error) => Effect.sync(() => closeWith(webSocket, CloseCode.engineAbsent, error.message)))
          )
        : Effect.sync(() => webSocket.readyState === webSocket.OPEN && webSocket.terminate())
    ),
    Effect.scoped
  )
}

interface Arrivals {
  /** Whether a message came in time, and before the end. */
  first(millisMax: number): Effect.Effect<boolean>
  /** Gives what has come, then what comes. */
  passTo(sink: (data: Buffer) => void): void
}

/**
 * Listens from the beginning: a paused WebSocket still gives the messages that it has read already, at most as many as
 * fit one read of its socket. They are held until there is somebody to take them.
 */
const arrivals = (webSocket: WebSocket): Arrivals => {
  const held: Array<Buffer> = []
  let sink: ((data: Buffer) => void) | undefined
  webSocket.on("message", (data: Buffer, isBinary: boolean) => {
    if (!isBinary) return closeWith(webSocket, CloseCode.unsupportedData, "send binary messages")
    if (sink !== undefined) return sink(data)
    held.push(data)
    webSocket.pause()
  })
  return {
    first: (millisMax) =>
      Effect.callback((resume) => {
        const cancel = deadline(millisMax, () => resume(Effect.succeed(false)))
        webSocket.once("message", () => resume(Effect.succeed(held.length > 0)))
        webSocket.once("close", () => resume(Effect.succeed(false)))
        // Also when it is too late, and when the door closes.
        webSocket.once("message", cancel)
        webSocket.once("close", cancel)
      }),
    passTo: (given) => {
      sink = given
      webSocket.resume()
      for (const data of held.splice(0)) given(data)
    }
  }
}

/** Passes bytes both ways, no faster than either side takes them, until one of them ends. */
const join = (webSocket: WebSocket, arriving: Arrivals, engine: Socket): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const onSent = () => {
      if (engine.isPaused() && webSocket.bufferedAmount <= QUEUED_BYTES_MAX / 2) engine.resume()
    }
    webSocket.once("close", () => resume(Effect.void))
    engine.on("drain", () => webSocket.resume())
    engine.on("data", (data) => {
      webSocket.send(data, onSent)
      if (webSocket.bufferedAmount > QUEUED_BYTES_MAX) engine.pause()
    })
    engine.once("close", () => closeWith(webSocket, CloseCode.engineClosed, "the engine closed the connection"))
    arriving.passTo((data) => {
      if (!engine.write(data)) webSocket.pause()
    })
    if (webSocket.readyState === webSocket.CLOSED) resume(Effect.void)
  })

/** Says why, and cuts off a peer that does not take it. */
const closeWith = (webSocket: WebSocket, code: number, reason: string): void => {
  // A paused one would not see the peer's answer.
  webSocket.resume()
  webSocket.close(code, cut(reason))
  const timer = setTimeout(() => webSocket.terminate(), CLOSE_MILLIS_MAX)
  webSocket.once("close", () => clearTimeout(timer))
}

/** At a character's boundary. */
const cut = (reason: string): string => {
  let text = reason.slice(0, CLOSE_REASON_BYTES_MAX)
  while (Buffer.byteLength(text) > CLOSE_REASON_BYTES_MAX) text = text.slice(0, -1)
  return text
}

/**
 * Finds peers that are gone without a word, and keeps proxies from dropping quiet connections. A client that has not read
 * for PEER_SILENT_MILLIS_MAX counts as gone too: it loses nothing, streams go on after their cursor on a new connection.
 */
const keepAlive = (webSockets: WebSocketServer): NodeJS.Timeout => {
  const heard = new WeakMap<WebSocket, number>()
  return setInterval(() => {
    const now = performance.now()
    for (const webSocket of webSockets.clients) {
      if (!heard.has(webSocket)) {
        const hear = () => heard.set(webSocket, performance.now())
        hear()
        webSocket.on("pong", hear)
        webSocket.on("message", hear)
      }
      // While we do not read, silence is ours.
      if (webSocket.isPaused) heard.set(webSocket, now)
      if (now - heard.get(webSocket)! > PEER_SILENT_MILLIS_MAX) webSocket.terminate()
      else webSocket.ping()
    }
  }, PING_INTERVAL_MILLIS)
}

const closeAll = (server: Server, webSockets: WebSocketServer): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close()
    server.closeAllConnections()
    let left = webSockets.clients.size
    if (left === 0) return resume(Effect.void)
    for (const webSocket of webSockets.clients) {
      webSocket.once("close", () => {
        left--
        if (left === 0) resume(Effect.void)
      })
      closeWith(webSocket, CloseCode.goingAway, "the door is closed")
    }
  })
