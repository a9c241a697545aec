import { spawnSync } from "node:child_process"
import { chmodSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { createConnection, createServer } from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { layer as clientLayer } from "../../src/remote/EngineClient.ts"
import { answers } from "../../src/remote/EngineServer.ts"
import { History } from "../../src/session/History.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { serve, temporaryPaths } from "./fakeEngine.ts"

const mode = (path: string): number => lstatSync(path).mode & 0o777

/** Sends bytes and leaves, politely or not; returns when the connection is closed on both sides. */
const send = (path: string, bytes: Uint8Array, reset: boolean): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const socket = createConnection(path, () => {
      socket.write(bytes, () => (reset ? socket.destroy() : socket.end()))
    })
    socket.resume()
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.void))
  })

describe("EngineServer", () => {
  for (const umask of [0o000, 0o002, 0o022]) {
    it.live(`folder 0700 and socket 0600 with umask ${umask.toString(8)}`, () =>
      Effect.gen(function* () {
        const before = process.umask(umask)
        yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(before)))
        const paths = yield* temporaryPaths
        yield* Layer.build(serve(paths))
        assert.strictEqual(mode(paths.run), 0o700)
        assert.strictEqual(mode(paths.engineSocket), 0o600)
      })
    )
  }

  it.live("a folder that others can enter, or a link to one, is refused and not touched", () =>
    Effect.gen(function* () {
      const wide = yield* temporaryPaths
      mkdirSync(wide.run)
      chmodSync(wide.run, 0o755)
      const refused = yield* Effect.flip(Layer.build(serve(wide)))
      assert.strictEqual(refused._tag, "SocketFolderRefused")
      assert.strictEqual(mode(wide.run), 0o755)

      const linked = yield* temporaryPaths
      mkdirSync(join(linked.store, "elsewhere"), { mode: 0o700 })
      symlinkSync(join(linked.store, "elsewhere"), linked.run)
      assert.strictEqual((yield* Effect.flip(Layer.build(serve(linked))))._tag, "SocketFolderRefused")
    })
  )

  it.live("reliability row 33: a path that the kernel would cut is refused", () =>
    Effect.gen(function* () {
      const paths = storePaths((yield* temporaryPaths).store)
      const long = { ...paths, engineSocket: join(paths.run, `${"x".repeat(120)}.sock`) }
      assert.strictEqual((yield* Effect.flip(Layer.build(serve(long))))._tag, "SocketFolderRefused")
    })
  )

  it.live(
    "reliability row 34: a socket on which nobody answers is replaced, 20 times, one that answers is left alone",
    () =>
      Effect.gen(function* () {
        const paths = yield* temporaryPaths
        mkdirSync(paths.run, { mode: 0o700 })
        const other = createServer()
        yield* Effect.callback<void>((resume) => void other.listen(paths.engineSocket, () => resume(Effect.void)))
        assert.strictEqual((yield* Effect.flip(Layer.build(serve(paths))))._tag, "SocketRefused")
        assert.isTrue(yield* answers(paths.engineSocket))
        yield* Effect.callback<void>((resume) => void other.close(() => resume(Effect.void)))

        // What a killed process leaves behind is a name on which nobody listens: a bound socket whose owner is gone.
        for (let start = 0; start < 20; start++) {
          yield* Effect.sync(() => leaveStaleSocket(paths.engineSocket))
          assert.isFalse(yield* answers(paths.engineSocket))
          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* Layer.build(serve(paths))
              assert.isTrue(yield* answers(paths.engineSocket))
            })
          )
        }
      })
  )

  it.live("something else in the socket's place is refused", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      mkdirSync(paths.run, { mode: 0o700 })
      writeFileSync(paths.engineSocket, "precious")
      assert.strictEqual((yield* Effect.flip(Layer.build(serve(paths))))._tag, "SocketRefused")
      assert.isTrue(lstatSync(paths.engineSocket).isFile())
    })
  )

  it.live("garbage and broken connections do not end it", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* Layer.build(serve(paths))
      const client = yield* Layer.build(clientLayer({ paths, start: false }))
      const junk = [
        new Uint8Array(0),
        Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
        Buffer.from("GET / HTTP/1.1\r\n\r\n"),
        Uint8Array.from({ length: 70_000 }, (_, index) => (index * 31) & 0xff)
      ]
      for (let round = 0; round < 25; round++) {
        for (const bytes of junk) yield* send(paths.engineSocket, bytes, round % 2 === 0)
      }
      assert.strictEqual((yield* Context.get(client, History).list).length, 1)
      const late = yield* Layer.build(clientLayer({ paths, start: false }))
      assert.strictEqual((yield* Context.get(late, History).list).length, 1)
    })
  )

  it.live("nothing of it is left when it ends", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const scope = yield* Scope.make()
      yield* Layer.build(serve(paths)).pipe(Scope.provide(scope))
      const client = yield* Layer.build(clientLayer({ paths, start: false }))
      assert.strictEqual((yield* Context.get(client, History).list).length, 1)
      yield* Scope.close(scope, Exit.void)
      assert.isUndefined(lstatSync(paths.engineSocket, { throwIfNoEntry: false }))
    })
  )
})

/** A process that binds the socket and is killed at once. */
const leaveStaleSocket = (path: string): void => {
  const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`
  spawnSync(process.execPath, ["-e", script])
}
