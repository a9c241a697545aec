import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, type Scope, Stream } from "effect"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { SessionOutput } from "../../src/remote/SessionOutput.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { isAlive } from "../fixtures/processes.ts"
import { finish, makeReprise, makeRepriseInside, PROGRAM, type Reprise } from "./reprise.ts"

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url))

const firstLine = (stream: NodeJS.ReadableStream): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let text = ""
    stream.on("data", (chunk) => {
      text += chunk
      if (text.includes("\n")) resume(Effect.succeed(text.split("\n")[0]!))
    })
  })

/** A door that is open, and what it said. */
const serve = ({ start }: Pick<Reprise, "start">, args: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const child = yield* start(["serve", "--json", ...args])
    const said = JSON.parse(yield* firstLine(child.stdout!))
    const ended = Effect.callback<number | null>((resume) => {
      if (child.exitCode !== null) resume(Effect.succeed(child.exitCode))
      child.once("exit", (code) => resume(Effect.succeed(code)))
    })
    return { child, ended, said }
  })

describe.concurrent("reprise serve, a door", () => {
  it.live("opens a door with a token of its own, wakes the engine for the first client, and ends cleanly", () =>
    Effect.gen(function* () {
      const reprise = yield* makeReprise
      for (const signal of ["SIGTERM", "SIGINT"] as const) {
        const { child, ended, said } = yield* serve(reprise)
        assert.match(said.url, /^ws:\/\/127\.0\.0\.1:\d+\/$/)
        assert.strictEqual(said.pid, child.pid)
        assert.strictEqual(readFileSync(said.tokenFile, "utf8").trim(), said.token)
        assert.strictEqual(lstatSync(said.tokenFile).mode & 0o777, 0o600)
        assert.isAtLeast(said.token.length, 43)
        const client = yield* Layer.build(EngineClient.layer({ url: said.url, token: said.token }))
        yield* Context.get(client, History).list
        child.kill(signal)
        assert.strictEqual(yield* ended, 0)
        assert.isFalse(existsSync(said.tokenFile))
      }
    })
  )

  it.live("a session behind the door goes on when its engine is killed, and the door does not notice", () =>
    Effect.gen(function* () {
      const reprise = yield* makeReprise
      const { said } = yield* serve(reprise)
      const client = yield* Layer.build(EngineClient.layer({ url: said.url, token: said.token, actor: "far" }))
      const sessions = Context.get(client, Sessions)
      const { id } = yield* sessions.create({ argv: ["cat"] })
      const seen: Array<Uint8Array> = []
      const following = yield* Context.get(client, SessionOutput)
        .stream(id)
        .pipe(
          Stream.runForEach((item) => Effect.sync(() => item._tag === "Output" && seen.push(item.data))),
          Effect.forkScoped
        )
      for (let round = 0; round < 4; round++) {
        yield* sessions.write(id, Buffer.from(`line ${round}\n`))
        process.kill((yield* sessions.status).enginePid, "SIGKILL")
        // Typed before the copy of this line, the next one's echo would stand in front of it.
        const copied = `line ${round}\r\nline ${round}\r\n`
        while (!Buffer.concat(seen).includes(copied)) yield* Effect.sleep("5 millis")
      }
      yield* sessions.write(id, Uint8Array.of(4))
      yield* Fiber.join(following)
      // Echoed and copied, each once.
      assert.strictEqual(
        Buffer.concat(seen).toString(),
        [0, 1, 2, 3].map((round) => `line ${round}\r\nline ${round}\r\n`).join("")
      )
      assert.isTrue(isAlive(said.pid))
    })
  )

  it.live("with a token file and TLS it serves other machines, through the built program", () =>
    Effect.gen(function* () {
      const reprise = yield* makeReprise
      const token = "f".repeat(64)
      const file = join(reprise.store, "../token")
      writeFileSync(file, `${token}\n`, { mode: 0o600 })
      const tls = ["--tls-cert", fixture("localhost.crt"), "--tls-key", fixture("localhost.key")]
      const { said } = yield* serve(reprise, ["--listen", "0.0.0.0:0", "--token-file", file, ...tls])
      assert.isUndefined(said.token)
      const { port } = new URL(said.url)
      const ca = readFileSync(fixture("localhost.crt"), "utf8")
      const client = yield* Layer.build(EngineClient.layer({ url: `wss://localhost:${port}/`, token, ca }))
      assert.deepStrictEqual(yield* Context.get(client, History).list, [])
    })
  )

  it.live("what is not safe is refused with what to do, before anything listens", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      const file = join(reprise.store, "../token")
      writeFileSync(file, "f".repeat(64), { mode: 0o600 })
      const tls = ["--tls-cert", fixture("localhost.crt"), "--tls-key", fixture("localhost.key")]
      const refusals: ReadonlyArray<readonly [number, string, ReadonlyArray<string>]> = [
        [64, "--token-file, --tls-cert", ["--listen", "0.0.0.0:0"]],
        [64, "--token-file", ["--listen", "0.0.0.0:0", ...tls]],
        [64, "--tls-cert", ["--listen", "[::]:0", "--token-file", file]],
        [64, "cannot listen", ["--tls-cert", file, "--tls-key", file]],
        [64, "cannot read", ["--tls-cert", `${file}-not-there`, "--tls-key", `${file}-not-there`]],
        [2, "together", ["--tls-cert", file]],
        [2, "ADDRESS:PORT", ["--listen", "8080"]],
        [2, "ADDRESS:PORT", ["--listen", "example.com:80"]],
        [2, "ADDRESS:PORT", ["--listen", "127.0.0.1:65536"]],
        [77, "cannot read the token", ["--token-file", `${file}-not-there`]]
      ]
      for (const [code, text, args] of refusals) {
        const result = yield* reprise.run(["serve", ...args])
        assert.strictEqual(result.code, code, `${args.join(" ")}: ${result.stderr}`)
        assert.include(result.stderr, text)
        assert.strictEqual(result.stderr.trimEnd().split("\n").length, 1)
        assert.strictEqual(result.stdout.length, 0)
      }
      chmodSync(file, 0o644)
      assert.strictEqual((yield* reprise.run(["serve", "--token-file", file])).code, 77)
    })
  )
})

// --- another user ----------------------------------------------------------------------------------------------------

const NOBODY = 65_534

/** Tries, as nobody, everything it is told of; prints what it got. It becomes nobody itself: Node may lie where nobody can start it. */
const INTRUDER = `
  const [sockets, files, port, gid] = JSON.parse(process.argv[1])
  process.setgroups([]); process.setgid(gid); process.setuid(${NOBODY})
  const { connect } = require("node:net"), fs = require("node:fs")
  const got = []
  const tryFile = (path, f) => { try { f(path); got.push(path) } catch {} }
  for (const path of files) {
    tryFile(path, (path) => fs.statSync(path).isDirectory() ? fs.readdirSync(path) : fs.readFileSync(path))
    tryFile(path, (path) => fs.openSync(path, "r+"))
    tryFile(path, (path) => fs.writeFileSync(path + "/x", ""))
    tryFile(path, (path) => fs.unlinkSync(path))
  }
  const trySocket = (options, hello) => new Promise((done) => {
    const socket = connect(options)
    socket.setTimeout(30_000, () => socket.destroy())
    let answer = ""
    socket.on("connect", () => { if (hello) socket.write(hello); else { got.push(options.path); socket.destroy() } })
    socket.on("data", (data) => (answer += data))
    socket.on("error", () => {})
    socket.on("close", () => done(answer))
  })
  const head = "GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n" +
    "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Protocol: reprise.v1\\r\\n"
  Promise.all(sockets.map((path) => trySocket({ path }))).then(async () => {
    const answer = await trySocket({ host: "127.0.0.1", port }, head + "Authorization: Bearer guess\\r\\n\\r\\n")
    console.log(JSON.stringify({ uid: process.getuid(), got, status: answer.slice(9, 12) }))
  })`

/** A running engine removes files and folders: what goes away while it is looked at is looked for again. */
const tree = (folder: string): ReadonlyArray<string> => {
  for (;;) {
    try {
      return readdirSync(folder, { withFileTypes: true, recursive: true }).map((entry) =>
        join(entry.parentPath, entry.name)
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    }
  }
}

/** Starts commands as `reprise.start` does, with a umask. */
const withUmask =
  ({ env }: Reprise, umask: number) =>
  (args: ReadonlyArray<string>): Effect.Effect<ChildProcess, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const command = `umask ${umask.toString(8)}; exec "$@"`
        return spawn("sh", ["-c", command, "sh", process.execPath, PROGRAM, ...args], {
          env,
          stdio: ["ignore", "pipe", "pipe"]
        })
      }),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )

const isRoot = process.getuid?.() === 0

describe.concurrent("hostile case 22: another user of the machine", () => {
  for (const umask of [0o000, 0o002, 0o022]) {
    // Only root can become somebody else.
    if (!isRoot) continue
    it.live(
      `reliability row 30, reliability row 31: finds every door closed, and every file, with umask ${umask.toString(8)}`,
      () =>
        Effect.gen(function* () {
          const reprise = yield* makeReprise
          // What makes files has this umask; the test's own process, which others share, keeps its.
          const start = withUmask(reprise, umask)
          // Others may pass the folder above, so that only the store itself keeps them out.
          chmodSync(join(reprise.store, ".."), 0o755)
          yield* Effect.flatMap(start(["run", "--detach", "--", "cat"]), finish)
          yield* reprise.inside(["start", "--name", "sh"])
          yield* reprise.inside(["exec", "sh", "--", "echo secret"])
          const { said } = yield* serve({ start })
          const backup = join(reprise.store, "../backup")
          assert.strictEqual((yield* Effect.flatMap(start(["backup", backup]), finish)).code, 0)
          const files = [reprise.store, ...tree(reprise.store), backup, ...tree(backup)]
          const sockets = files.filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isSocket())
          assert.isAtLeast(sockets.length, 2)
          assert.isAbove(files.length, 10)
          for (const path of files) {
            // A file that is gone meanwhile is no open door.
            const stat = lstatSync(path, { throwIfNoEntry: false })
            // What a shell writes into its own folder has the umask of its user; the folder has not.
            const isShells = dirname(dirname(path)) === join(reprise.store, "run/exec")
            if (stat !== undefined && !isShells) assert.strictEqual(stat.mode & 0o077, 0, path)
          }
          // What is open to all is found: the intruder does try.
          const open = join(reprise.store, "../open")
          writeFileSync(open, "")
          chmodSync(open, 0o644)
          // Also one of the owner's own group.
          for (const gid of [NOBODY, process.getgid!()]) {
            const program = JSON.stringify([sockets, [...files, open], Number(new URL(said.url).port), gid])
            const { stdout, stderr } = spawnSync(process.execPath, ["-e", INTRUDER, program], { cwd: "/", env: {} })
            assert.deepStrictEqual(JSON.parse(String(stdout) || String(stderr)), {
              uid: NOBODY,
              got: [open],
              status: "401"
            })
          }
          // And the owner still finds them open.
          assert.strictEqual((yield* reprise.inside(["list"])).code, 0)
        })
    )
  }
})
