/**
 * Effect's socket over a Node stream, without one of its waits: what is written to a stream that closed a moment ago
 * waits for a drain that never comes, because the close was told before anybody listened. Both ends of the engine's
 * protocol use it; the call or the answer of that moment would hang for ever.
 */
import type { Duplex } from "node:stream"
import { Effect } from "effect"
import { Socket } from "effect/socket"

/** The same socket; a write after the stream closed is `whenClosed` instead. */
export const withoutClosedWrites = (
  socket: Socket.Socket,
  stream: Duplex,
  whenClosed: Effect.Effect<void, Socket.SocketError>
): Socket.Socket =>
  Socket.make({
    reader: socket.reader,
    writer: Effect.map(socket.writer, ({ write, writeAll }) => ({
      write: (chunk) => Effect.suspend(() => (stream.destroyed ? whenClosed : write(chunk))),
      writeAll: (chunks) => Effect.suspend(() => (stream.destroyed ? whenClosed : writeAll(chunks)))
    }))
  })
