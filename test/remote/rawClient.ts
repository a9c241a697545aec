/** Clients that know the protocol of the engine's socket well enough to break it: for tests of its doors. */
import { createConnection, type NetConnectOpts } from "node:net"
import type { Duplex } from "node:stream"
import { Schema } from "effect"
import { SchemaBinary } from "effect/encoding"
import { RpcMessage } from "effect/rpc"
import { createWebSocketStream, WebSocket } from "ws"
import { EngineRpcs } from "../../src/remote/ExecRpcs.ts"
import { PROTOCOL_VERSION } from "../../src/remote/SessionRpcs.ts"
import { SUBPROTOCOL } from "../../src/remote/WebSocketProtocol.ts"

const envelopes = SchemaBinary.encoder(RpcMessage.EncodedSchema, { fingerprint: true })

/** A call as a client puts it on the wire, with its length. */
export const call = (id: number, tag: string, payload?: unknown): Uint8Array => {
  const rpc = EngineRpcs.requests.get(tag)
  if (rpc === undefined) throw new Error(`no call ${tag}`)
  const codec = SchemaBinary.toCodec(rpc.payloadSchema) as unknown as Schema.Codec<unknown, Uint8Array>
  return rawCall(id, tag, Schema.encodeSync(codec)(payload))
}

/** With a payload that may be anything. */
export const rawCall = (id: number, tag: string, payload: Uint8Array): Uint8Array =>
  envelopes.encode({ _tag: "Request", id, tag, payload, headers: [] })

export const handshake = call(1, "Handshake", { protocol: PROTOCOL_VERSION, version: "0" })

export interface RawClient {
  readonly stream: Duplex
  /** Milliseconds from the connection to its end; never settles when it does not end. */
  readonly closed: Promise<number>
  /** Leaves without a goodbye: on TCP with a reset. */
  reset(): void
}

/** Resolves when it is connected, or refused; `closed` says so too. */
export const connectRaw = (options: NetConnectOpts): Promise<RawClient> =>
  new Promise((resolve) => {
    const since = performance.now()
    const stream = createConnection(options)
    const closed = new Promise<number>((end) => stream.once("close", () => end(performance.now() - since)))
    const reset = () => void ("path" in options ? stream.destroy() : stream.resetAndDestroy())
    const client = { stream, closed, reset }
    stream.once("connect", () => resolve(client))
    stream.on("error", () => resolve(client))
  })

/** With the token: past the door, in front of the engine. */
export const connectWebSocket = (url: string, token: string): Promise<RawClient> =>
  new Promise((resolve) => {
    const since = performance.now()
    const socket = new WebSocket(url, [SUBPROTOCOL], {
      headers: { authorization: `Bearer ${token}` },
      perMessageDeflate: false
    })
    const closed = new Promise<number>((end) => socket.once("close", () => end(performance.now() - since)))
    const stream = createWebSocketStream(socket)
    const client = { stream, closed, reset: () => socket.terminate() }
    socket.once("open", () => resolve(client))
    stream.on("error", () => resolve(client))
  })
