/**
 * What the loss of a connection looks like from a call or a stream, told apart from an answer. It never decides what is
 * done about it: that is the client's (EngineClient.ts).
 */
import { Cause, Data } from "effect"
import type { RpcClientError } from "effect/rpc"

/** Internal: the connection broke; what was in flight may or may not have happened. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly reason: string
  /** How long it had been in use by whoever is told; absent when it was lost before that. */
  readonly heldMillis?: number | undefined
}> {}

/**
 * The same cause when it is an answer, else the loss of the connection. Three things are a loss: the RPC client's error;
 * a socket error, which the RPC client throws as a defect when its own write (a request, an acknowledgement of a stream's
 * item) meets a peer that is gone; and an interruption, which is how an engine that stops answers (a caller that is itself
 * interrupted never gets here).
 */
export const asLost = <E>(
  cause: Cause.Cause<E | RpcClientError.RpcClientError>
): Cause.Cause<Exclude<E, RpcClientError.RpcClientError> | ConnectionLost> => {
  if (Cause.hasInterruptsOnly(cause)) return Cause.fail(new ConnectionLost({ reason: "the engine stopped" }))
  for (const reason of cause.reasons) {
    const error = reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? reason.defect : undefined
    if (isLoss(error)) return Cause.fail(new ConnectionLost({ reason: error.message }))
  }
  return cause as Cause.Cause<Exclude<E, RpcClientError.RpcClientError>>
}

const LOSSES = new Set<unknown>(["RpcClientError", "SocketError"])
const isLoss = (error: unknown): error is Error =>
  typeof error === "object" && error !== null && "_tag" in error && LOSSES.has(error._tag)
