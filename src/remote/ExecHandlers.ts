/**
 * Serves ExecRpcs from the `Exec` service; EngineServer.ts puts it on the socket. It passes on and cuts long lists into
 * messages, nothing else. A client that goes away in the middle of a call ends that call, never the command.
 */
import { Effect, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import type { SessionId } from "../../journal/Event.ts"
import { type CommandRecord, Exec, MESSAGE_OUTPUT_BYTES_MAX } from "../exec/Exec.ts"
import { AccessLog } from "../session/AccessLog.ts"
import { HistoryRemoved, InvalidRequest } from "../session/SessionError.ts"
import { ExecRpcs, fromWireInput } from "./ExecRpcs.ts"
import * as KnownEvents from "./KnownEvents.ts"
import * as Readers from "./Readers.ts"

/** Of commands in one message. A single one may be larger (CODE_BYTES_MAX) and still fits. */
const PAGE_CODE_BYTES_MAX = 512 * 1024
const PAGE_COMMANDS_MAX = 200
/** Commands remembered of one connection; of an older one its output is an access. */
const GIVEN_MAX = 1000

export const execHandlers = ExecRpcs.toLayer(
  Effect.gen(function* () {
    const exec = yield* Exec
    const accesses = yield* AccessLog
    const given = new GivenCommands()
    /** What a command printed is history to whoever did not give it. */
    const read = <A, E>(
      client: Rpc.ServerClient,
      session: SessionId,
      execId: string | undefined,
      call: Effect.Effect<A, E>
    ) =>
      execId !== undefined && given.isFrom(client, session, execId)
        ? call
        : Effect.tap(call, () => accesses.note({ what: "read", session }).pipe(Readers.as(client)))
    return ExecRpcs.of({
      ExecStart: (request) => exec.start(request),
      Exec: ({ session, ...request }, { client }) =>
        readable(client, exec.exec(session, { ...request, ...inMessage(request) })).pipe(
          Effect.tap(({ execId }) => Effect.sync(() => given.keep(client, session, execId)))
        ),
      ExecPoll: ({ session, execId, ...options }, { client }) =>
        read(
          client,
          session,
          execId,
          readable(client, exec.poll(session, execId, { ...options, ...inMessage(options) }))
        ),
      ExecOutput: ({ session, execId, ...range }, { client }) =>
        read(client, session, execId, readable(client, exec.output(session, execId, range))),
      ExecSend: ({ session, execId, input, ...options }) => exec.send(session, execId, fromWireInput(input), options),
      ExecInterrupt: ({ session, execId }) => exec.interrupt(session, execId),
      ExecKill: ({ session, execId, signal }) => exec.kill(session, execId, signal),
      ExecReset: ({ session }) => exec.reset(session),
      ExecRestore: ({ session }) => exec.restore(session),
      ExecState: ({ session }) =>
        Stream.unwrap(
          Effect.map(exec.state(session), (state) =>
            Stream.concat(
              Stream.succeed({ _tag: "State" as const, state: { ...state, commands: [] } }),
              Stream.map(paged(state.commands), (commands) => ({ _tag: "Commands" as const, commands }))
            )
          )
        ),
      ExecHistory: ({ session, ...options }, { client }) =>
        Stream.unwrap(Effect.map(read(client, session, undefined, exec.history(session, options)), paged)),
      ExecEnd: ({ session }) => exec.end(session)
    })
  })
)

/** By connection, the commands that it gave: their output is not history to it. */
class GivenCommands {
  readonly #given = new WeakMap<Rpc.ServerClient, Set<string>>()

  keep(client: Rpc.ServerClient, session: SessionId, execId: string): void {
    const commands = this.#given.get(client) ?? new Set()
    this.#given.set(client, commands.add(`${session} ${execId}`))
    if (commands.size > GIVEN_MAX) commands.delete(commands.values().next().value!)
  }

  isFrom(client: Rpc.ServerClient, session: SessionId, execId: string): boolean {
    return this.#given.get(client)?.has(`${session} ${execId}`) === true
  }
}

/** An earlier client cannot read that a command was removed: it is told so in an error that it knows. */
const readable = <A, E>(
  client: Rpc.ServerClient,
  call: Effect.Effect<A, E | HistoryRemoved>
): Effect.Effect<A, Exclude<E, HistoryRemoved> | HistoryRemoved | InvalidRequest> =>
  Effect.mapError(call, (error) =>
    error instanceof HistoryRemoved && KnownEvents.isSilent(client)
      ? new InvalidRequest({ field: "execId", reason: error.reason })
      : (error as Exclude<E, HistoryRemoved>)
  )

/** What of a result's output fits a message; the client asks for the rest. */
const inMessage = ({
  maxOutputBytes = MESSAGE_OUTPUT_BYTES_MAX
}: {
  readonly maxOutputBytes?: number | undefined
}) => ({
  maxOutputBytes: Math.min(maxOutputBytes, MESSAGE_OUTPUT_BYTES_MAX)
})

const paged = (commands: ReadonlyArray<CommandRecord>): Stream.Stream<ReadonlyArray<CommandRecord>> => {
  const pages: Array<Array<CommandRecord>> = []
  let bytes = 0
  for (const command of commands) {
    const size = Buffer.byteLength(command.code)
    const page = pages.at(-1)
    if (page === undefined || bytes + size > PAGE_CODE_BYTES_MAX || page.length >= PAGE_COMMANDS_MAX) {
      pages.push([command])
      bytes = size
    } else {
      page.push(command)
      bytes += size
    }
  }
  // What is one chunk of a stream is one message.
  return Stream.rechunk(Stream.fromIterable(pages), 1)
}
