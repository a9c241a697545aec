import { randomBytes } from "node:crypto"
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createConnection, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { WebSocket } from "ws"
import { refusalFor, WRONG_TOKENS_PER_SECOND_MAX, WrongTokens } from "../../src/remote/DoorAccess.ts"
import { keepToken, makeToken, readToken } from "../../src/remote/DoorToken.ts"
import { layer as clientLayer } from "../../src/remote/EngineClient.ts"
import { SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX } from "../../src/remote/WebSocketProtocol.ts"
import { History } from "../../src/session/History.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { openDoor, serve, TOKEN, temporaryPaths } from "./fakeEngine.ts"

const fixture = (name: string) => readFileSync(fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url)))

/** A request as a client sends it, with some lines exchanged; undefined leaves one out. */
const upgrade = (lines: Record<string, string | undefined> = {}, path = "/"): string => {
  const all: Record<string, string | undefined> = {
    Host: "127.0.0.1",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": SUBPROTOCOL,
    Authorization: `Bearer ${TOKEN}`,
    ...lines
  }
  const head = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]))
  return `GET ${path} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`
}

/** All that is answered until the end of the connection, or until an upgrade. */
const request = (port: number, text: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write(text))
    let answer = ""
    socket.setEncoding("latin1")
    socket.on("data", (chunk) => {
      answer += chunk
      if (answer.startsWith("HTTP/1.1 101") && answer.includes("\r\n\r\n")) socket.destroy()
    })
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed(answer)))
  })

const statusOf = (answer: string): number => Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1])

const open = (url: string, protocols: ReadonlyArray<string>, headers: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.callback<WebSocket>((resume) => {
      const socket = new WebSocket(url, [...protocols], { headers, perMessageDeflate: false })
      socket.on("error", () => {})
      socket.once("open", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.terminate())
  )
const openWithToken = (url: string) => open(url, [SUBPROTOCOL], { authorization: `Bearer ${TOKEN}` })

const closed = (socket: WebSocket): Effect.Effect<number> =>
  Effect.callback((resume) => void socket.once("close", (code) => resume(Effect.succeed(code))))

/** In place of an engine: a Unix server that does with each connection what it is told. */
const socketServer = (paths: StorePaths, onConnection: (socket: Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      mkdirSync(paths.run, { mode: 0o700 })
      const server = createServer((socket) => {
        socket.on("error", () => {})
        onConnection(socket)
      })
      server.listen(paths.engineSocket, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

describe("WebSocket door", () => {
  it.live("the door tells each wrong request what is wrong, in one line", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* Layer.build(serve(paths))
      const { port } = yield* openDoor(paths, { allowedOrigins: ["https://good.example"] })
      const protocol = "Sec-WebSocket-Protocol"
      const cases: ReadonlyArray<readonly [number, string]> = [
        [101, upgrade()],
        [101, upgrade({ Host: `localhost:${port}` })],
        [101, upgrade({ Host: "[::1]:80" })],
        [101, upgrade({ Origin: "https://good.example" })],
        [400, upgrade({ [protocol]: undefined })],
        [400, upgrade({ [protocol]: "reprise.v0, chat" })],
        [400, upgrade({ "Sec-WebSocket-Version": "12" })],
        [400, upgrade({ "Sec-WebSocket-Key": "short" })],
        [401, upgrade({ Authorization: undefined })],
        [401, upgrade({ Authorization: `Bearer ${TOKEN}x` })],
        [401, upgrade({ Authorization: `Basic ${TOKEN}` })],
        [401, upgrade({ Authorization: undefined, [protocol]: `${SUBPROTOCOL}, ${TOKEN_SUBPROTOCOL_PREFIX}` })],
        [403, upgrade({ Host: "evil.example" })],
        [403, upgrade({ Host: "127.0.0.1.evil.example" })],
        [403, upgrade({ Host: "127.0.0.1@evil.example" })],
        [403, upgrade({ Origin: "https://evil.example" })],
        [403, upgrade({ Origin: "null" })],
        [403, upgrade({ Origin: `http://127.0.0.1:${port}` })],
        [404, upgrade({}, "/elsewhere")],
        [404, "GET /elsewhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
        [426, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
        [426, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nabcd"]
      ]
      for (const [status, text] of cases) {
        const answer = yield* request(port, text)
        assert.strictEqual(statusOf(answer), status, text)
        assert.notInclude(answer, TOKEN)
        // The library answers for the handshake itself.
        if (status !== 101 && !/Version: 12|Key: short/.test(text))
          assert.match(answer, /\n[^\r\n]+\n(\r\n0\r\n\r\n)?$/)
      }
    })
  )

  it.live("a browser's token comes as a subprotocol, and the door never repeats it", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* Layer.build(serve(paths))
      const { url } = yield* openDoor(paths)
      const encoded = Buffer.from(TOKEN).toString("base64url")
      const socket = yield* open(url, [SUBPROTOCOL, `${TOKEN_SUBPROTOCOL_PREFIX}${encoded}`], {})
      assert.strictEqual(socket.protocol, SUBPROTOCOL)
      assert.strictEqual(socket.extensions, "")
    })
  )

  it.live(
    "hostile case 22: the door answers few wrong tokens a second, each late, and lets the right one in meanwhile",
    () =>
      Effect.gen(function* () {
        const paths = yield* temporaryPaths
        yield* Layer.build(serve(paths))
        const door = yield* openDoor(paths)
        const wrong = upgrade({ Authorization: "Bearer wrong" })
        const since = performance.now()
        assert.strictEqual(statusOf(yield* request(door.port, wrong)), 401)
        assert.isAbove(performance.now() - since, 240)
        const answers = yield* Effect.all(
          [...Array.from({ length: 100 }, () => request(door.port, wrong)), request(door.port, upgrade())],
          { concurrency: "unbounded" }
        )
        const seconds = Math.ceil((performance.now() - since) / 1000) + 1
        assert.strictEqual(statusOf(answers.at(-1)!), 101)
        assert.isAtMost(
          answers.filter((answer) => statusOf(answer) === 401).length,
          seconds * WRONG_TOKENS_PER_SECOND_MAX
        )
        assert.isTrue(answers.slice(0, -1).every((answer) => answer === "" || statusOf(answer) === 401))
      })
  )

  it("the door counts wrong tokens by the second", () => {
    const wrongTokens = new WrongTokens()
    const admitted = (now: number) => Array.from({ length: 50 }, () => wrongTokens.admit(now)).filter(Boolean).length
    assert.deepStrictEqual([admitted(10), admitted(999), admitted(1000)], [20, 0, 20])
  })

  it("with TLS any name of the door is good, without it only those of this machine", () => {
    const headers = {
      host: "reprise.example",
      "sec-websocket-protocol": SUBPROTOCOL,
      authorization: `Bearer ${TOKEN}`
    }
    const access = { token: TOKEN, allowedOrigins: [] }
    assert.isUndefined(refusalFor(headers, { ...access, isEncrypted: true }))
    assert.strictEqual(refusalFor(headers, { ...access, isEncrypted: false })?.status, 403)
    assert.strictEqual(refusalFor({ ...headers, host: undefined }, { ...access, isEncrypted: false })?.status, 403)
  })

  it.live("the door listens for other machines only with TLS", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      for (const host of ["0.0.0.0", "::", "192.0.2.7"]) {
        const refused = yield* Effect.flip(openDoor(paths, { host }))
        assert.strictEqual(refused.code, "InvalidArgument")
        assert.include(refused.message, "--tls-cert")
      }
      const garbage = { cert: Buffer.from("no"), key: Buffer.from("no") }
      assert.strictEqual((yield* Effect.flip(openDoor(paths, { tls: garbage }))).code, "InvalidArgument")
      const first = yield* openDoor(paths)
      assert.strictEqual((yield* Effect.flip(openDoor(paths, { port: first.port }))).code, "Unavailable")
    })
  )

  it.live("a door with TLS is found by a client that trusts its certificate, and by no other", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* Layer.build(serve(paths))
      const cert = fixture("localhost.crt")
      const door = yield* openDoor(paths, { host: "0.0.0.0", tls: { cert, key: fixture("localhost.key") } })
      const url = `wss://127.0.0.1:${door.port}/`
      const connect = (options: { readonly url: string; readonly ca?: string; readonly token?: string }) =>
        Layer.build(clientLayer({ token: TOKEN, ...options }))
      const client = yield* connect({ url, ca: cert.toString() })
      assert.strictEqual((yield* Context.get(client, History).list).length, 1)
      const errors = yield* Effect.forEach(
        [{ url }, { url: `ws://127.0.0.1:${door.port}/` }, { url, ca: cert.toString(), token: "wrong" }],
        (options) => Effect.flip(connect(options))
      )
      assert.deepStrictEqual(
        errors.map((error) => error._tag),
        ["EngineUnreachable", "EngineUnreachable", "EngineDenied"]
      )
      assert.notInclude(errors.map((error) => error.message).join(), TOKEN)
    })
  )

  it.live("a client gives its token to no other machine in clear, and says what is wrong with a door's URL", () =>
    Effect.gen(function* () {
      for (const url of [
        "ws://192.0.2.1:80/",
        "ws://localhost.example/",
        "http://127.0.0.1/",
        "ws://u:p@127.0.0.1/",
        "ws://127.0.0.1/#token",
        "nonsense"
      ]) {
        const error = yield* Effect.flip(Layer.build(clientLayer({ url, token: TOKEN })))
        assert.strictEqual(error._tag, "EngineUnreachable", url)
      }
      for (const token of ["", "a b", "a\r\nHost: x"]) {
        const error = yield* Effect.flip(Layer.build(clientLayer({ url: "ws://127.0.0.1:1/", token })))
        assert.include(error.message, "token")
      }
    })
  )

  it.live("bytes pass the door both ways unchanged, however they are cut", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const sent = randomBytes(8 * 1024 * 1024)
      yield* socketServer(paths, (socket) => socket.pipe(socket))
      const socket = yield* openWithToken((yield* openDoor(paths)).url)
      const received: Array<Buffer> = []
      const all = Effect.callback<void>((resume) => {
        let bytes = 0
        socket.on("message", (data: Buffer) => {
          received.push(data)
          bytes += data.byteLength
          if (bytes >= sent.byteLength) resume(Effect.void)
        })
        let at = 0
        for (let size = 1; at < sent.byteLength; size = (size * 7919 + 13) % 300_007) {
          socket.send(sent.subarray(at, at + size))
          at += size
        }
      })
      yield* all
      assert.isTrue(Buffer.concat(received).equals(sent))
    })
  )

  it.live("the door reads no more from the engine than a client takes, nor from a client than the engine takes", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const chunk = Buffer.alloc(64 * 1024, 7)
      let written = 0
      yield* socketServer(paths, (socket) => {
        // Reads nothing, writes as long as it is taken.
        socket.pause()
        const more = () => {
          while (!socket.destroyed && written < 512 * 1024 * 1024) {
            written += chunk.byteLength
            if (!socket.write(chunk)) break
          }
        }
        socket.on("drain", more)
        more()
      })
      const socket = yield* openWithToken((yield* openDoor(paths)).url)
      socket.send(chunk)
      socket.pause()
      // When nothing moves any more, whatever the system's own buffers hold.
      let sent = 0
      let before = -1
      for (let still = 0; still < 5; ) {
        while (socket.bufferedAmount < 1024 * 1024 && sent < 512 * 1024 * 1024) {
          socket.send(chunk)
          sent += chunk.byteLength
        }
        yield* Effect.sleep(20)
        still = before === written + sent ? still + 1 : 0
        before = written + sent
      }
      assert.isBelow(written, 64 * 1024 * 1024)
      assert.isBelow(sent, 64 * 1024 * 1024)
    })
  )

  it.live("the door ends a text message, a silent client, and an engine's end, each with its own code", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      const { url } = yield* openDoor(paths)
      const text = yield* openWithToken(url)
      text.send("hello")
      assert.strictEqual(yield* closed(text), 1003)
      const absent = yield* openWithToken(url)
      absent.send(Buffer.of(1))
      assert.strictEqual(yield* closed(absent), 1013)
      const silent = yield* openWithToken(url)
      assert.strictEqual(yield* closed(silent), 1006)
      yield* socketServer(paths, (socket) => socket.once("data", () => socket.end()))
      const ended = yield* openWithToken(url)
      ended.send(Buffer.of(1))
      assert.strictEqual(yield* closed(ended), 1012)
    })
  )

  it.live("clients are told that the door closes, also those that do not listen", () =>
    Effect.gen(function* () {
      const paths = yield* temporaryPaths
      yield* socketServer(paths, () => {})
      const scope = yield* Scope.make()
      const { url, port } = yield* openDoor(paths).pipe(Scope.provide(scope))
      const listening = yield* openWithToken(url)
      const deaf = yield* openWithToken(url)
      for (const socket of [listening, deaf]) socket.send(Buffer.of(1))
      deaf.pause()
      const told = yield* Effect.forkScoped(closed(listening))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(told), 1001)
      assert.strictEqual(yield* request(port, upgrade()), "")
    })
  )
})

describe("the door's token", () => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rp-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )

  it.live("is kept for its owner alone, whatever the umask, as long as the door is open", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "token")
      for (const umask of [0o000, 0o002, 0o022]) {
        const before = process.umask(umask)
        yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(before)))
        const token = makeToken()
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* keepToken(file, token)
            assert.strictEqual(lstatSync(file).mode & 0o777, 0o600)
            assert.strictEqual(yield* readToken(file), token)
          })
        )
        assert.isUndefined(lstatSync(file, { throwIfNoEntry: false }))
      }
      assert.notStrictEqual(makeToken(), makeToken())
    })
  )

  it.live("is refused from a file of the door that others can read, a link, a pipe, or when it is short", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "token")
      const refused = (content: string, mode: number) =>
        Effect.gen(function* () {
          rmSync(file, { force: true })
          writeFileSync(file, content)
          chmodSync(file, mode)
          return (yield* Effect.flip(readToken(file))).message
        })
      assert.include(yield* refused(TOKEN, 0o640), "chmod 600")
      assert.include(yield* refused(TOKEN, 0o604), "chmod 600")
      assert.include(yield* refused("short\n", 0o600), "32 or more")
      assert.include(yield* refused(`${TOKEN} ${TOKEN}`, 0o600), "one line")
      assert.include(yield* refused(TOKEN.repeat(1000), 0o600), "not a file")
      const link = `${file}-link`
      writeFileSync(file, TOKEN)
      symlinkSync(file, link)
      assert.include((yield* Effect.flip(readToken(link))).message, "cannot read")
      assert.include((yield* Effect.flip(readToken(`${file}-none`))).message, "cannot read")
    })
  )
})
