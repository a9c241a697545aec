/**
 * What keeps every client of the engine's socket cheap, whatever it sends or does not send: a connection that does not
 * greet is ended, unfinished messages and unread answers have a bound over all connections and for each. EngineServer.ts
 * puts it between the socket and the RPC server; MessageGuard.ts looks into the messages. A client that is ended sees its
 * connection close, nothing else; one that behaves never meets any of this.
 */
import type { Socket as NetSocket } from "node:net"
import * as NodeSocket from "@effect/platform-node-shared/NodeSocket"
import { type Array as Arr, Effect, Option } from "effect"
import { Socket, type SocketServer } from "effect/socket"
import { deadline } from "../keeper/Deadline.ts"
import { withoutClosedWrites } from "./ClosedWrites.ts"
import { MessageSplitter } from "./MessageSplitter.ts"
import { FRAME_BYTES_MAX } from "./SessionRpcs.ts"

/** A client has a connection for its calls and one for each stream that it reads: a thousand readers, four times over. */
const CONNECTIONS_MAX = 4096
/** Connections without a first message; one more ends the oldest, so that silent ones cannot keep others out. */
const UNGREETED_MAX = 256
/** The first message is the handshake: two numbers and a version. */
const FIRST_MESSAGE_BYTES_MAX = 4 * 1024
/** A client greets as soon as it is connected. */
const FIRST_MESSAGE_MILLIS_MAX = 1_000
/** Unfinished messages of all connections together; above it the one that has waited longest for more of its bytes ends. */
const UNFINISHED_BYTES_MAX = 64 * 1024 * 1024
/** Answers that a client has not read: above it none of its further messages are looked at, and they come few at a time. */
const UNREAD_BYTES_MAX = 256 * 1024
const MESSAGES_AT_ONCE_MAX = 8
/** Answers on their way to a client that has said goodbye. */
const LINGER_MILLIS_MAX = 1_000

type Server = SocketServer.SocketServer["Service"]
type Handler = Parameters<Server["run"]>[0]

export interface Guard {
  guard(server: Server): Server
  /**
   * To be called when the server begins to end. It waits for answers that are being written, and a client that does not
   * read would make it wait for ever: whoever is still there after a moment is ended.
   */
  readonly endSoon: Effect.Effect<void>
}

/** `beginning`: what every message has behind its length. */
export const makeGuard = (beginning: Uint8Array): Guard => {
  const connections = new Connections(beginning)
  return {
    guard: (server) => ({
      address: server.address,
      run: (handler) => server.run((socket) => guardedHandler(connections, handler as Handler, socket)) as never
    }),
    endSoon: Effect.sync(() => connections.endSoon())
  }
}

const guardedHandler = (connections: Connections, handler: Handler, socket: Socket.Socket): Effect.Effect<void> =>
  Effect.flatMap(Effect.serviceOption(NodeSocket.NetSocket), (found) => {
    // Of a server that is no socket of Node there is nothing to end.
    if (Option.isNone(found)) return untroubled(handler(socket))
    const connection = connections.admit(found.value)
    if (connection === undefined) return Effect.sync(() => found.value.destroy())
    return untroubled(handler(guardedSocket(socket, connection))).pipe(
      Effect.ensuring(Effect.sync(() => connections.release(connection)))
    )
  }) as Effect.Effect<void>

/** A client that goes away in the middle of a message is an everyday event: its handler ends, nobody is told. */
const untroubled = <R>(handling: Effect.Effect<unknown, unknown, R>): Effect.Effect<void, never, R> =>
  Effect.catchCause(Effect.asVoid(handling), (cause) => Effect.logDebug("a client's connection ended", cause))

/** Gives whole messages. */
const guardedSocket = (socket: Socket.Socket, connection: Connection): Socket.Socket =>
  Socket.make({
    // An answer that is late, for a client that has left: nobody is to be told.
    writer: withoutClosedWrites(socket, connection.socket, Effect.void).writer,
    reader: Effect.map(socket.reader, ({ pull, upgrade }) => {
      const next: typeof pull = Effect.suspend(() => {
        if (connection.socket.writableLength > UNREAD_BYTES_MAX) return Effect.andThen(drained(connection.socket), next)
        const messages = connection.take()
        return messages.length > 0
          ? Effect.succeed(messages as unknown as Arr.NonEmptyReadonlyArray<Uint8Array>)
          : Effect.flatMap(pull, (chunks) => {
              connection.push(chunks as Arr.NonEmptyReadonlyArray<Uint8Array>)
              return next
            })
      })
      return { pull: next, upgrade }
    })
  })

/** When what was written is on its way, or never will be. */
const drained = (socket: NetSocket): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    socket.once("drain", done)
    socket.once("close", done)
    if (socket.destroyed) done()
    return Effect.sync(() => {
      socket.off("drain", done)
      socket.off("close", done)
    })
  })

/** All connections of a server, and what they cost together. */
class Connections {
  readonly #open = new Set<Connection>()
  /** Sets are in the order in which things were put in: the first has been there longest. */
  readonly #ungreeted = new Set<Connection>()
  readonly #unfinished = new Set<Connection>()
  #unfinishedBytes = 0
  readonly beginning: Uint8Array

  constructor(beginning: Uint8Array) {
    this.beginning = beginning
  }

  /** undefined: one too many. */
  admit(socket: NetSocket): Connection | undefined {
    if (this.#open.size >= CONNECTIONS_MAX) return undefined
    const connection = new Connection(socket, this)
    this.#open.add(connection)
    this.#ungreeted.add(connection)
    if (this.#ungreeted.size > UNGREETED_MAX) this.#ungreeted.values().next().value?.end()
    return connection
  }

  /** It greeted, or it ended. */
  settled(connection: Connection): void {
    this.#ungreeted.delete(connection)
  }

  /** Of one connection, now and before. */
  unfinished(connection: Connection, bytes: number, before: number): void {
    this.#unfinishedBytes += bytes - before
    this.#unfinished.delete(connection)
    if (bytes > 0) this.#unfinished.add(connection)
    while (this.#unfinishedBytes > UNFINISHED_BYTES_MAX) {
      const [stalled] = this.#unfinished
      if (stalled === undefined) return
      stalled.end()
    }
  }

  release(connection: Connection): void {
    this.#open.delete(connection)
    connection.end("when it has all")
  }

  endSoon(): void {
    for (const connection of this.#open) connection.end("when it has all")
  }
}

class Connection {
  readonly socket: NetSocket
  readonly #all: Connections
  readonly #splitter: MessageSplitter
  readonly #messages: Array<Uint8Array> = []
  readonly #cancelDeadline: () => void
  #heldBytes = 0
  #hasGreeted = false

  constructor(socket: NetSocket, all: Connections) {
    this.socket = socket
    this.#all = all
    this.#splitter = new MessageSplitter(all.beginning)
    // Each answer that waits for the client listens: how many wait is bounded by UNREAD_BYTES_MAX.
    socket.setMaxListeners(0)
    this.#cancelDeadline = deadline(FIRST_MESSAGE_MILLIS_MAX, () => this.end())
  }

  /** The next of the messages that have come, in order; none when they are all taken. */
  take(): ReadonlyArray<Uint8Array> {
    if (this.socket.destroyed) this.#messages.length = 0
    return this.#messages.splice(0, MESSAGES_AT_ONCE_MAX)
  }

  push(chunks: ReadonlyArray<Uint8Array>): void {
    for (const chunk of chunks) {
      if (this.socket.destroyed) return
      const bytesMax = this.#hasGreeted ? FRAME_BYTES_MAX : FIRST_MESSAGE_BYTES_MAX
      const { messages, refusal } = this.#splitter.push(chunk, bytesMax)
      for (const message of messages) this.#messages.push(message)
      if (!this.#hasGreeted && messages.length > 0) this.#greeted()
      if (refusal !== undefined) this.end()
    }
    if (!this.socket.destroyed) this.#account(this.#splitter.heldBytes)
  }

  /** Now, or after a moment in which what was written may still be read. */
  end(when: "now" | "when it has all" = "now"): void {
    this.#cancelDeadline()
    this.#all.settled(this)
    this.#account(0)
    if (when === "now" || this.socket.destroyed) {
      this.socket.destroy()
      return
    }
    const timer = setTimeout(() => this.socket.destroy(), LINGER_MILLIS_MAX)
    timer.unref()
    this.socket.once("close", () => clearTimeout(timer))
  }

  #greeted(): void {
    this.#hasGreeted = true
    this.#cancelDeadline()
    this.#all.settled(this)
  }

  #account(bytes: number): void {
    const before = this.#heldBytes
    if (bytes === 0 && before === 0) return
    this.#heldBytes = bytes
    this.#all.unfinished(this, bytes, before)
  }
}
