/**
 * A connection to an engine through a WebSocket door (WebSocketDoor.ts): the same bytes as on the store's Unix socket,
 * with backpressure both ways. EngineClient.ts loads it when it is given a URL. It sends a token to nobody but the URL's
 * host, and never in clear to another machine.
 */
import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { Effect, type Scope } from "effect"
import { createWebSocketStream, WebSocket } from "ws"
import { ConnectionLost } from "./ConnectionLost.ts"
import { EngineDenied, EngineUnreachable } from "./EngineError.ts"
import { isLoopback, PEER_SILENT_MILLIS_MAX, SUBPROTOCOL, WEBSOCKET_MESSAGE_BYTES_MAX } from "./WebSocketProtocol.ts"

/** TCP, TLS and the upgrade. */
const OPEN_TIMEOUT_MILLIS = 10_000
/** A peer that does not answer a close within this is cut off. */
const CLOSE_MILLIS_MAX = 1_000
/** What a refusing server says is one line. */
const REFUSAL_BYTES_MAX = 512
/** A connection that could not be made now may be later: too many clients, a proxy whose door restarts. */
const PASSING_STATUS = new Set([429, 502, 503, 504])

export interface RemoteEngine {
  /** `ws://127.0.0.1:PORT`, or `wss://HOST:PORT`; unencrypted only to this machine. */
  readonly url: string
  readonly token: string
  /** Certificates (PEM) to trust for `wss:` besides the system's. */
  readonly ca?: string | undefined
}

/** Closed with the scope. ConnectionLost: it may work the next time. */
export const connect = (
  target: RemoteEngine
): Effect.Effect<Duplex, EngineUnreachable | EngineDenied | ConnectionLost, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const refusal = unusable(target)
      return refusal === undefined
        ? open(target)
        : Effect.fail(new EngineUnreachable({ url: target.url, reason: refusal }))
    }),
    ({ socket }) => Effect.sync(() => close(socket)),
    { interruptible: true }
  ).pipe(Effect.map(({ stream }) => stream))

const open = (
  target: RemoteEngine
): Effect.Effect<
  { readonly socket: WebSocket; readonly stream: Duplex },
  EngineUnreachable | EngineDenied | ConnectionLost
> =>
  Effect.callback((resume) => {
    const socket = new WebSocket(target.url, [SUBPROTOCOL], {
      headers: { authorization: `Bearer ${target.token}` },
      handshakeTimeout: OPEN_TIMEOUT_MILLIS,
      maxPayload: WEBSOCKET_MESSAGE_BYTES_MAX,
      // Terminal output is many small messages: packing each costs more than it saves, and its memory has no bound.
      perMessageDeflate: false,
      ...(target.ca !== undefined && { ca: target.ca })
    })
    socket.once("open", () => {
      // Before the stream's own listener: the stream alone would take every end for an orderly one.
      socket.once("close", (code, reason) => {
        if (code > 1001) stream.destroy(new Error(reason.toString() || `the connection was closed with code ${code}`))
      })
      const stream = createWebSocketStream(socket)
      // Stays for its life: an error without a listener would end the process. Whoever reads the stream is told too.
      stream.on("error", () => {})
      watch(socket)
      resume(Effect.succeed({ socket, stream }))
    })
    socket.once("unexpected-response", (_request, response) => {
      refusalOf(response, (line) => {
        socket.terminate()
        resume(Effect.fail(asError(target.url, response.statusCode ?? 0, line)))
      })
    })
    // After the ones above: a second resume changes nothing.
    socket.on("error", (error) =>
      resume(Effect.fail(new EngineUnreachable({ url: target.url, reason: error.message })))
    )
    return Effect.sync(() => socket.terminate())
  })

const asError = (url: string, status: number, line: string): EngineUnreachable | EngineDenied | ConnectionLost => {
  const reason = line === "" ? `the server answered ${status}` : line
  if (status === 401 || status === 403) return new EngineDenied({ url, reason })
  if (PASSING_STATUS.has(status)) return new ConnectionLost({ reason })
  return new EngineUnreachable({ url, reason })
}

const refusalOf = (response: IncomingMessage, done: (line: string) => void): void => {
  let text = ""
  const finish = () => done(text.slice(0, REFUSAL_BYTES_MAX).split("\n")[0]!.trim())
  response.setEncoding("utf8")
  response.on("data", (chunk: string) => {
    text += chunk
    if (text.length > REFUSAL_BYTES_MAX) response.destroy()
  })
  response.once("close", finish)
  response.on("error", () => {})
}

/** Why this URL is not connected to; undefined when all is well. */
const unusable = ({ url, token }: RemoteEngine): string | undefined => {
  const parsed = URL.parse(url)
  if (parsed === null || (parsed.protocol !== "ws:" && parsed.protocol !== "wss:")) return "give a ws: or wss: URL"
  if (parsed.hash !== "" || parsed.username !== "" || parsed.password !== "") {
    return "give the URL without user, password and fragment; the token is an option of its own"
  }
  if (parsed.protocol === "ws:" && !isLoopback(parsed.hostname)) {
    return "a token is not sent unencrypted to another machine; use wss:"
  }
  if (!/^[\x21-\x7e]+$/.test(token)) return "the token is empty or holds other than printable characters"
  return undefined
}

/** The door pings: a peer from which nothing comes, though we read, is gone. A reader that pauses us is no such sign. */
const watch = (socket: WebSocket): void => {
  let heard = true
  const hear = () => {
    heard = true
  }
  socket.on("ping", hear)
  socket.on("message", hear)
  const timer = setInterval(() => {
    if (!heard && !socket.isPaused) socket.terminate()
    heard = false
  }, PEER_SILENT_MILLIS_MAX)
  timer.unref()
  socket.once("close", () => clearInterval(timer))
}

const close = (socket: WebSocket): void => {
  if (socket.readyState !== WebSocket.OPEN) {
    socket.terminate()
    return
  }
  // A paused socket would not see the answer to the close.
  socket.resume()
  socket.removeAllListeners("message")
  socket.close()
  const timer = setTimeout(() => socket.terminate(), CLOSE_MILLIS_MAX)
  timer.unref()
  socket.once("close", () => clearTimeout(timer))
}
