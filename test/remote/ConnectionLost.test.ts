import { assert, describe, it } from "@effect/vitest"
import { Cause } from "effect"
import { RpcClientError } from "effect/rpc"
import { Socket } from "effect/socket"
import { asLost, type ConnectionLost } from "../../src/remote/ConnectionLost.ts"
import { SessionNotFound } from "../../src/session/SessionError.ts"

const reason = new Socket.SocketWriteError({ cause: new Error("EPIPE") })
const lost = (cause: Cause.Cause<unknown>): ConnectionLost | undefined => {
  const failure = asLost(cause as Cause.Cause<RpcClientError.RpcClientError>).reasons[0]
  return failure?._tag === "Fail" && failure.error._tag === "ConnectionLost" ? failure.error : undefined
}

describe("asLost", () => {
  it("takes every way in which a connection breaks for its loss", () => {
    const causes: ReadonlyArray<Cause.Cause<unknown>> = [
      Cause.fail(new RpcClientError.RpcClientError({ reason })),
      // A write to a peer that is gone: the RPC client lets the socket's error out as a defect.
      Cause.die(new Socket.SocketError({ reason })),
      Cause.fail(new Socket.SocketError({ reason })),
      Cause.interrupt(1)
    ]
    for (const cause of causes) assert.isDefined(lost(cause), Cause.pretty(cause))
  })

  it("leaves answers and real defects as they are", () => {
    for (const cause of [
      Cause.fail(new SessionNotFound({ session: "x", candidates: [] })),
      Cause.die(new Error("bug"))
    ]) {
      assert.strictEqual(asLost(cause as Cause.Cause<never>), cause as never)
    }
  })
})
