/**
 * `Exec` over the engine's socket; EngineClient.ts provides it. Ids of sessions and commands are chosen here before the
 * first try, so that a call which is repeated after the engine died is the same session and the same command. What has
 * no such id (typing, signals to whatever runs) is not repeated: it may have happened.
 */
import { Effect, Stream } from "effect"
import type { RpcClient, RpcClientError } from "effect/rpc"
import type { SessionId } from "../../journal/Event.ts"
import {
  type ExecRequest,
  type ExecResult,
  type ExecShape,
  MESSAGE_OUTPUT_BYTES_MAX,
  RESULT_OUTPUT_BYTES_MAX,
  type StartShell
} from "../exec/Exec.ts"
import { HeadTail, shifted } from "../exec/Truncate.ts"
import { InvalidRequest, type SessionUnavailable } from "../session/SessionError.ts"
import { type ExecRpcs, toWireInput } from "./ExecRpcs.ts"
import { WRITE_BYTES_MAX } from "./SessionRpcs.ts"

type Client = RpcClient.FromGroup<typeof ExecRpcs, RpcClientError.RpcClientError>
type Calling = <A, E>(
  f: (client: Client) => Effect.Effect<A, E | RpcClientError.RpcClientError>
) => Effect.Effect<A, Exclude<E, RpcClientError.RpcClientError> | SessionUnavailable>

export interface ExecRemote {
  readonly actor: string | undefined
  /** Repeated on a new connection when the connection breaks. */
  readonly call: Calling
  /** Tried once on a connection that answers. */
  readonly once: Calling
  /** As in EngineClient.ts. */
  readonly knows: (request: StartShell) => Effect.Effect<void, SessionUnavailable>
  readonly newSessionId: Effect.Effect<SessionId>
}

export const makeExec = (remote: ExecRemote): ExecShape => ({
  start: (request) =>
    Effect.gen(function* () {
      const payload = {
        ...request,
        actor: request.actor ?? remote.actor,
        id: request.id ?? (yield* remote.newSessionId)
      }
      yield* remote.knows(request)
      return yield* remote.call((client) => client.ExecStart(payload))
    }),
  exec: (session, request) =>
    Effect.suspend(() => {
      const tooLarge = refusal(request)
      if (tooLarge !== undefined) return Effect.fail(tooLarge)
      const payload = {
        ...request,
        session,
        actor: request.actor ?? remote.actor,
        execId: request.execId ?? crypto.randomUUID()
      }
      return Effect.flatMap(
        remote.call((client) => client.Exec(payload)),
        (result) =>
          // Gone since: then the answer says what it leaves out.
          whole(remote, result, request.maxOutputBytes).pipe(
            Effect.catchTag("ExecNotFound", () => Effect.succeed(result))
          )
      )
    }),
  poll: (session, execId, options) =>
    Effect.flatMap(
      remote.call((client) => client.ExecPoll({ session, execId, ...options })),
      (result) => whole(remote, result, options?.maxOutputBytes)
    ),
  output: (session, execId, range) => remote.call((client) => client.ExecOutput({ session, execId, ...range })),
  send: (session, execId, input, options) => {
    const bytes = "text" in input ? Buffer.byteLength(input.text) : "bytes" in input ? input.bytes.byteLength : 0
    if (bytes > WRITE_BYTES_MAX) {
      return Effect.fail(new InvalidRequest({ field: "input", reason: `at most ${WRITE_BYTES_MAX} bytes at a time` }))
    }
    const payload = { session, execId, input: toWireInput(input), actor: options?.actor ?? remote.actor }
    // With its place in the stream, the second time finds what the first one gave.
    const isPlaced = "at" in input && input.at !== undefined
    return (isPlaced ? remote.call : remote.once)((client) => client.ExecSend(payload))
  },
  // With an id, a second one meets the same command or nothing; without one it could meet the next.
  interrupt: (session, execId) =>
    (execId === undefined ? remote.once : remote.call)((client) => client.ExecInterrupt({ session, execId })),
  kill: (session, execId, signal) =>
    (execId === undefined ? remote.once : remote.call)((client) => client.ExecKill({ session, execId, signal })),
  reset: (session) => remote.call((client) => client.ExecReset({ session })),
  restore: (session) => remote.call((client) => client.ExecRestore({ session })),
  state: (session) =>
    remote.call((client) =>
      Effect.flatMap(Stream.runCollect(client.ExecState({ session })), (parts) => {
        const first = parts[0]
        if (first?._tag !== "State") return Effect.die(new Error("the engine answered no state"))
        const commands = parts.flatMap((part) => (part._tag === "Commands" ? part.commands : []))
        return Effect.succeed({ ...first.state, commands })
      })
    ),
  history: (session, options) =>
    remote.call((client) =>
      Effect.map(Stream.runCollect(client.ExecHistory({ session, ...options })), (pages) => pages.flat())
    ),
  end: (session) => remote.call((client) => client.ExecEnd({ session }))
})

const CHANNELS = ["stdout", "stderr", "tty"] as const

/** A message holds a part of a large output; the caller wants more of it. Asked for piece by piece. */
const whole = Effect.fnUntraced(function* (
  remote: ExecRemote,
  result: ExecResult,
  maxOutputBytes = RESULT_OUTPUT_BYTES_MAX
) {
  if (maxOutputBytes <= MESSAGE_OUTPUT_BYTES_MAX) return result
  let answer = result
  for (const channel of CHANNELS) {
    const cut = result.truncated[channel]
    if (cut === null) continue
    const kept = new HeadTail(Math.min(maxOutputBytes, RESULT_OUTPUT_BYTES_MAX))
    kept.push(result[channel].subarray(0, cut.headBytes))
    for (let from = cut.omittedFrom; from < cut.omittedTo; ) {
      const to = Math.min(cut.omittedTo, from + MESSAGE_OUTPUT_BYTES_MAX)
      const { execId, session } = result
      const piece = yield* remote.call((client) => client.ExecOutput({ session, execId, channel, from, to }))
      // The journal has it, or it says why not: an empty piece would never end.
      if (piece.byteLength === 0) return result
      kept.push(piece)
      from += piece.byteLength
    }
    kept.push(result[channel].subarray(cut.headBytes))
    const { bytes, truncation } = kept.result()
    const base = cut.omittedFrom - cut.headBytes
    answer = { ...answer, [channel]: bytes, truncated: { ...answer.truncated, [channel]: shifted(truncation, base) } }
  }
  return answer
})

/** What would not fit a message is told here: the connection would break on it. */
const refusal = (request: ExecRequest): InvalidRequest | undefined => {
  const stdinBytes = request.stdin?._tag === "Bytes" ? request.stdin.data.byteLength : 0
  const variables = [...Object.entries(request.env ?? {}), ...Object.entries(request.secretEnv ?? {})].flat()
  const bytes = [request.code, ...variables].reduce((sum, text) => sum + Buffer.byteLength(text), stdinBytes)
  if (bytes <= WRITE_BYTES_MAX) return undefined
  return new InvalidRequest({
    field: stdinBytes > bytes / 2 ? "stdin" : "code",
    reason: `a command with its input and variables is at most ${WRITE_BYTES_MAX} bytes; give larger input as a stream`
  })
}
