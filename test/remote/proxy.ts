/** A door in front of an engine's socket that a test can slam, or hold so that nothing comes through: a network with bad days. */
import { createConnection, createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import type { StorePaths } from "../../src/session/StorePaths.ts"

export interface Proxy {
  /** Those of the store, with this door in the place of the engine's. */
  readonly paths: StorePaths
  /** Breaks every connection that is open. */
  readonly cut: () => void
  /** Breaks them, and lets nobody in again. */
  readonly close: () => void
  /** Nothing is read from the engine any more: what it sends stays in its socket. */
  readonly hold: () => void
}

/** It closes with the scope. */
export const proxy = (paths: StorePaths, name: string): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly proxy: Proxy; readonly server: Server }>((resume) => {
      const open = new Set<readonly [Socket, Socket]>()
      const engineSocket = join(paths.run, `${name}.sock`)
      const cut = () => {
        for (const pair of open) for (const socket of pair) socket.destroy()
      }
      const close = () => {
        server.close()
        cut()
      }
      const hold = () => {
        for (const [client, engine] of open) {
          engine.unpipe(client)
          engine.pause()
        }
      }
      const server = createServer((client) => {
        const engine = createConnection(paths.engineSocket)
        const pair = [client, engine] as const
        open.add(pair)
        for (const [one, other] of [pair, [engine, client]] as const) {
          one.on("error", () => {})
          one.on("close", () => {
            open.delete(pair)
            other.destroy()
          })
          one.pipe(other)
        }
      })
      server.listen(engineSocket, () =>
        resume(Effect.succeed({ proxy: { paths: { ...paths, engineSocket }, cut, close, hold }, server }))
      )
    }),
    ({ proxy, server }) =>
      Effect.callback<void>((resume) => {
        proxy.close()
        // An error says that it was closed before.
        server.close(() => resume(Effect.void))
      })
  ).pipe(Effect.map(({ proxy }) => proxy))
