/**
 * The encoding of the engine's socket, seen from a server that trusts nobody: what does not decode, or is out of turn,
 * ends the connection at once. (The RPC server alone would answer a defect to each and wait for more.) EngineServer.ts
 * uses it behind GuardedServer.ts.
 */
import { Data, Effect, Layer } from "effect"
import { RpcSerialization } from "effect/rpc"
import { FRAME_BYTES_MAX } from "./SessionRpcs.ts"

/** Calls of one connection that are not answered yet. A call may wait for hours for a command, one of each session. */
const CALLS_MAX = 4096

/** The RPC server closes a connection whose decoder fails with an error of this tag, and only then. */
class MaxBufferSizeExceeded extends Data.TaggedError("MaxBufferSizeExceeded")<{ readonly message: string }> {}

type Serialization = RpcSerialization.RpcSerialization["Service"]
type Parser = ReturnType<Serialization["makeUnsafe"]>
/** What a decoded message of a client may be. */
interface Message {
  readonly _tag: string
  readonly id?: unknown
  readonly tag?: unknown
}

const guarded = (parser: Parser): Parser => {
  let hasGreeted = false
  const calls = new Set<unknown>()
  return {
    decode: (data) => {
      const messages = decoded(parser, data)
      for (const { _tag, id, tag } of messages) {
        if (!hasGreeted && tag !== "Handshake") return refuse("the first call is Handshake")
        hasGreeted = true
        if (_tag !== "Request") continue
        calls.add(id)
        if (calls.size > CALLS_MAX) return refuse(`at most ${CALLS_MAX} calls wait for an answer`)
      }
      return messages
    },
    encode: (response) => {
      const { _tag, requestId } = response as { readonly _tag?: string; readonly requestId?: unknown }
      if (_tag === "Exit") calls.delete(requestId)
      return parser.encode(response)
    }
  }
}

const decoded = (parser: Parser, data: Uint8Array | string): ReadonlyArray<Message> => {
  try {
    return parser.decode(data) as ReadonlyArray<Message>
  } catch (cause) {
    return refuse(String(cause))
  }
}

const refuse = (message: string): never => {
  throw new MaxBufferSizeExceeded({ message })
}

/** The kind of encoding and the fingerprint of its schema: behind the length of every message. */
const BEGINNING_BYTES = 9

/** With what each message begins, behind its length. */
export const messageBeginning = (serialization: Serialization): Uint8Array => {
  const ping = serialization.makeUnsafe().encode({ _tag: "Ping" }) as Uint8Array
  return ping.slice(1, 1 + BEGINNING_BYTES)
}

export const layer: Layer.Layer<RpcSerialization.RpcSerialization> = Layer.effect(
  RpcSerialization.RpcSerialization,
  Effect.map(RpcSerialization.RpcSerialization, (binary) =>
    RpcSerialization.RpcSerialization.of({ ...binary, makeUnsafe: () => guarded(binary.makeUnsafe()) })
  )
).pipe(Layer.provide(RpcSerialization.layerSchemaBinary({ maxFrameSize: FRAME_BYTES_MAX })))
