/** Keepers outlive the engine that started them, so engines meet keepers of other releases: their sessions go on. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { connect, createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Stream } from "effect"
import { afterAll, beforeAll } from "vitest"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { Exec, History, Journal, Sessions } from "../../src/index.ts"
import {
  FRAME_BYTES_MAX,
  FrameDecoder,
  FrameType,
  frame,
  jsonFrame,
  jsonIn,
  PROTOCOL_VERSION
} from "../../src/keeper/Frames.ts"
import { connectKeeper, probeKeeper } from "../../src/keeper/KeeperClient.ts"
import { keeperSocket, listKeepers, startKeeper } from "../../src/keeper/KeeperProcess.ts"
import { PipeError } from "../../src/keeper/PipeHost.ts"
import { commonProtocol, PROTOCOL_OF_SILENT_PROBES, PROTOCOL_OLDEST } from "../../src/keeper/Protocol.ts"
import { SpawnError } from "../../src/keeper/PtyHost.ts"
import { newSession, spawnRequest } from "../contracts/PtyHostContract.ts"
import { gone, isAlive } from "../fixtures/processes.ts"
import { type Programs, RELEASES_TRIED, unpackPrograms } from "../fixtures/releases/Releases.ts"
import { silent, startTestKeeper } from "../keeper/keeperUnderTest.ts"
import { eventsOf, textOf, type, until, untilEnd } from "../session/sessionsUnderTest.ts"
import { UPGRADE_MILLIS_MAX, upgradeStore } from "./upgradeUnderTest.ts"

/**
 * Prints numbered lines, the first 50,000 without pause, answers what it is given, ends with 7. It waits between the later
 * ones: bash loses the rest of a line when a trap's signal finds it in a write that waits for the terminal.
 */
const TALKER = [
  "stty -echo; trap 'stop=1' USR1; exec 4<> <(:)",
  'while read line; do case "$line" in size) stty size;; *) echo "got $line";; esac; done <&0 &',
  'i=0; while [ -z "$stop" ]; do i=$((i+1)); echo "line $i"; [ $i -lt 50000 ] || read -t 0.001 <&4; done; echo "last $i"; exit 7'
].join("\n")

/** Says when it is there, answers each line, ends with 5. */
const ANSWERER = ["bash", "-c", "stty -echo; echo ready; while read x; do [ $x = end ] && exit 5; echo got $x; done"]

let programs: Programs
beforeAll(() => {
  programs = unpackPrograms()
})
afterAll(() => programs.dispose())

const sessionIn = (text: string) => text.trim() as SessionId

describe("a keeper of an earlier release", { timeout: UPGRADE_MILLIS_MAX }, () => {
  for (const release of RELEASES_TRIED) {
    const protocol = Number(release.at(-1))

    it.live(
      `reliability row 37: ${release} keeper, this engine: its sessions go on with every byte and their exit code`,
      () =>
        Effect.gen(function* () {
          const store = yield* upgradeStore(programs)
          const old = store.old(release)
          const run = (name: string, ...argv: ReadonlyArray<string>) =>
            Effect.map(
              Effect.promise(() => old.text(["run", "--detach", "--name", name, "--", ...argv])),
              sessionIn
            )
          const talker = yield* run("talker", "bash", "-c", `exec 3<&0; ${TALKER.replace("<&0", "<&3")}`)
          const sleeper = yield* run("sleeper", "sleep", "1000")
          const before = yield* Effect.promise(() => old.json(["inspect", "talker"]))
          // In the middle of a flood.
          yield* store.killEngine
          const [oldKeeper] = yield* Effect.promise(() => listKeepers(store.paths.keepers))
          assert.deepInclude(oldKeeper, { protocol, sessions: 2 })
          yield* Effect.gen(function* () {
            const sessions = yield* Sessions
            const history = yield* History
            yield* sessions.resize(talker, { cols: 101, rows: 33 })
            yield* type(talker, "hello\nsize\n")
            yield* until(talker, /got hello\r\n.*33 101\r\n/s)
            const created = yield* sessions.create({ argv: ["cat"] })
            const keepers = (yield* sessions.status).keepers
            assert.includeMembers([...keepers.find(({ id }) => id === oldKeeper!.id)!.sessions], [talker, sleeper])
            const own = keepers.find(({ sessions }) => sessions.includes(created.id))!
            if (protocol === PROTOCOL_VERSION) assert.strictEqual(own.id, oldKeeper!.id)
            else assert.notStrictEqual(own.id, oldKeeper!.id, "new sessions go to a keeper of this version")

            assert.deepStrictEqual(yield* sessions.close(sleeper), { survivors: [] })
            assert.deepInclude(yield* history.get(sleeper), { status: "exited", signal: "SIGHUP" })
            // Behind the lines that come without pause: none of the later ones waits for the terminal.
            yield* until(talker, "line 50001\r\n")
            yield* sessions.signal(talker, "SIGUSR1", "leader")
            const entries = yield* untilEnd(talker)
            const text = textOf(entries)
            const lines = [...text.matchAll(/^line (\d+)\r$/gm)].map((match) => Number(match[1]))
            assert.deepStrictEqual(
              lines,
              Array.from({ length: lines.length }, (_, i) => i + 1)
            )
            assert.include(text, `last ${lines.length}\r\n`)
            assert.deepInclude(yield* history.get(talker), { exitCode: 7, pid: before.pid, interruptions: 1 })
            assert.deepStrictEqual(
              eventsOf(entries, "SessionResumed").map(({ gapBytes }) => gapBytes),
              [0]
            )
            // It has nothing left to hold, and nothing is given to it.
            if (protocol !== PROTOCOL_VERSION) yield* Effect.promise(() => gone(oldKeeper!.pid))
            yield* sessions.close(created.id as SessionId)
          }).pipe(Effect.provide(store.layer()))
        })
    )
  }

  it.live(
    "reliability row 37: a shell under a protocol-2 keeper keeps its state, takes no secrets, and moves with a reset",
    () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        const old = store.old("protocol-2")
        yield* Effect.promise(() => old.text(["start", "--name", "shell", "bash"]))
        yield* Effect.promise(() => old.text(["exec", "shell", "--", "export KEPT=1; f() { echo f-$1; }; cd /usr"]))
        yield* store.killEngine
        const [oldKeeper] = yield* Effect.promise(() => listKeepers(store.paths.keepers))
        yield* Effect.gen(function* () {
          const exec = yield* Exec
          const history = yield* History
          const shell = yield* history.resolve("shell")
          const said = (code: string, secretEnv?: Record<string, string>) =>
            Effect.map(exec.exec(shell, { code, ...(secretEnv && { secretEnv }) }), ({ stdout }) =>
              Buffer.from(stdout).toString()
            )
          assert.strictEqual(yield* said("echo $KEPT; f 2; pwd"), "1\nf-2\n/usr\n")
          const refused = yield* Effect.flip(exec.exec(shell, { code: "echo $T", secretEnv: { T: "hidden-value" } }))
          assert.deepInclude({ ...refused }, { _tag: "InvalidRequest", field: "secretEnv" })
          assert.match((refused as Error).message, /older version.*reprise reset/)
          assert.strictEqual(yield* said("echo on"), "on\n")
          yield* exec.reset(shell)
          assert.notStrictEqual((yield* history.get(shell)).keeper, oldKeeper!.id)
          yield* Effect.promise(() => gone(oldKeeper!.pid))
          assert.notInclude(yield* said("echo $T", { T: "hidden-value" }), "hidden-value")
          yield* exec.end(shell)
        }).pipe(Effect.provide(store.layer()))
        assert.isFalse(store.holds("hidden-value"))
      })
  )

  it("reliability row 37: what an older keeper lacks is refused by name or done without", async () => {
    const folder = mkdtempSync(join(tmpdir(), "reprise-keeper-"))
    const keeper = await startKeeper({
      entry: programs.keeper("protocol-1"),
      folder,
      id: newSession(),
      execPath: process.execPath,
      sessionsMax: 4
    })
    try {
      const host = await connectKeeper({ socket: keeper.socket, generation: 1, listener: silent })
      const session = newSession()
      assert.deepStrictEqual(host.capabilities, { takesSessions: false, pipes: false, notes: false })
      const failureOf = (promise: Promise<unknown>) =>
        promise.then(
          () => undefined,
          (error: unknown) => error
        )
      const spawned = await failureOf(host.spawn(spawnRequest(["true"])))
      assert.instanceOf(spawned, SpawnError)
      assert.match((spawned as Error).message, /older version/)
      for (const refused of [
        host.openPipes(session, [{ pipe: 1, path: join(folder, "pipe"), direction: "input" }]),
        host.attachPipe(session, 1, 0),
        host.writePipe(session, 1, 1, Buffer.from("x")),
        host.endPipe(session, 1, 1),
        host.resetMode(session)
      ]) {
        const error = await failureOf(refused)
        assert.instanceOf(error, PipeError)
        assert.strictEqual((error as PipeError).failure, "unsupported")
        assert.match((error as Error).message, /older version/)
      }
      assert.deepStrictEqual(await host.listPipes(session), [])
      assert.isNull(await host.getNote(session))
      assert.isNull(await host.inputWait(session))
      host.setNote(session, Buffer.from("note"))
      host.ackPipe(session, 1, 0)
      host.closePipes(session, [1])
      // None of it went out: a keeper ends a connection at a frame that it does not know.
      assert.deepStrictEqual(await host.list(), [])
      await host.dispose()
      await gone(keeper.pid)
    } finally {
      if (isAlive(keeper.pid)) process.kill(keeper.pid, "SIGKILL")
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it.live("reliability row 37: a keeper of a protocol that is not spoken is named, and the store stays as it was", () =>
    Effect.gen(function* () {
      const store = yield* upgradeStore(programs)
      // A store that was used before.
      yield* Effect.void.pipe(Effect.provide(store.layer()))
      mkdirSync(store.paths.keepers, { recursive: true, mode: 0o700 })
      yield* Effect.acquireRelease(
        Effect.promise(() => fakeKeeper(keeperSocket(store.paths.keepers, newSession()), 99)),
        (server) => Effect.sync(() => server.close())
      )
      const exit = yield* Effect.exit(Effect.void.pipe(Effect.provide(store.layer())))
      assert.isTrue(Exit.isFailure(exit))
      const refused = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.deepInclude({ ...(refused as object) }, { _tag: "StoreRefused", reason: "keeper" })
      assert.match(String(refused), /speaks protocol 99, this version protocol 1 to 3; use the newer reprise/)
      const kept = yield* Effect.flatMap(Journal, (journal) => Stream.runCollect(journal.read(STORE_STREAM))).pipe(
        Effect.provide(JournalLevel.layer({ location: store.paths.journal, create: false }))
      )
      assert.deepStrictEqual(
        [...kept].map(({ event }) => event._tag),
        ["EngineStarted", "EngineStopped"]
      )
    })
  )
})

describe("a keeper of this version", { timeout: UPGRADE_MILLIS_MAX }, () => {
  it("reliability row 37: speaks with engines of every protocol from the oldest, and with later ones that still speak one of its own", async () => {
    const keeper = await startTestKeeper()
    try {
      const greeted = (hello: object) => greet(keeper.socket, jsonFrame(FrameType.Hello, 0, hello))
      for (let protocol = PROTOCOL_OLDEST; protocol <= PROTOCOL_VERSION; protocol++) {
        assert.deepInclude(await greeted({ protocol, generation: protocol }), { type: FrameType.Welcome, protocol })
      }
      const later = { protocol: PROTOCOL_VERSION + 5, generation: 99 }
      assert.deepInclude(await greeted({ ...later, oldest: PROTOCOL_OLDEST }), {
        type: FrameType.Welcome,
        protocol: PROTOCOL_VERSION
      })
      const refused = await greeted(later)
      assert.deepInclude(refused, { type: FrameType.Refused, reason: "protocol", protocol: PROTOCOL_VERSION })
      assert.include(refused.message, `speaks protocol ${PROTOCOL_OLDEST} to ${PROTOCOL_VERSION}`)
      // Engines of protocol 3 believe only in their own, and do not say which that is when they ask.
      assert.deepInclude(await greet(keeper.socket, frame(FrameType.Probe, 0)), {
        type: FrameType.Welcome,
        protocol: PROTOCOL_OF_SILENT_PROBES
      })
      assert.strictEqual((await probeKeeper(keeper.socket)).protocol, PROTOCOL_VERSION)
    } finally {
      await keeper.dispose()
    }
    assert.strictEqual(commonProtocol({ protocol: 9, oldest: PROTOCOL_VERSION }), PROTOCOL_VERSION)
    assert.isUndefined(commonProtocol({ protocol: 9, oldest: PROTOCOL_VERSION + 1 }))
    assert.isUndefined(commonProtocol({ protocol: PROTOCOL_OLDEST - 1 }))
  })

  it.live(
    "reliability row 37: this keeper, an engine of protocol 3: a downgrade ends no session, nor does the way back",
    () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        const old = store.old("protocol-3")
        const { id, pid } = yield* Effect.gen(function* () {
          const created = yield* Effect.flatMap(Sessions, (sessions) =>
            sessions.create({ argv: ANSWERER, name: "talker" })
          )
          yield* until(created.id as SessionId, "ready")
          yield* type(created.id as SessionId, "one\n")
          yield* until(created.id as SessionId, "got one")
          return { id: created.id as SessionId, pid: created.pid! }
        }).pipe(Effect.provide(store.layer()))
        // Starts an engine of its own release, whose sessions it puts into the same keeper.
        assert.strictEqual(
          yield* Effect.promise(() => old.text(["run", "--", "echo", "by the old one"])),
          "by the old one\r\n"
        )
        yield* Effect.promise(() => old.text(["send", "talker", "two\\n"]))
        yield* Effect.promise(() => old.text(["resize", "talker", "90x20"]))
        const seen = yield* Effect.promise(() => old.json(["inspect", "talker"]))
        assert.deepInclude(seen, { status: "running", pid })
        yield* store.killEngine
        yield* Effect.gen(function* () {
          yield* until(id, "got two")
          yield* type(id, "three\nend\n")
          const entries = yield* untilEnd(id)
          assert.strictEqual(textOf(entries), "ready\r\ngot one\r\ngot two\r\ngot three\r\n")
          const history = yield* History
          assert.deepInclude(yield* history.get(id), {
            exitCode: 5,
            pid,
            interruptions: 2,
            size: { cols: 90, rows: 20 }
          })
        }).pipe(Effect.provide(store.layer()))
      })
  )

  for (const release of ["protocol-1", "protocol-2"] as const) {
    it.live(
      `reliability row 37: this keeper, an engine of ${release}: it knows no newer keeper, calls the session lost, and the next engine has it again`,
      () =>
        Effect.gen(function* () {
          const store = yield* upgradeStore(programs)
          const old = store.old(release)
          const { id, pid } = yield* Effect.gen(function* () {
            const created = yield* Effect.flatMap(Sessions, (sessions) =>
              sessions.create({ argv: ANSWERER, name: "talker" })
            )
            yield* until(created.id as SessionId, "ready")
            return { id: created.id as SessionId, pid: created.pid! }
          }).pipe(Effect.provide(store.layer()))
          assert.strictEqual(yield* Effect.promise(() => old.text(["run", "--", "echo", "mine"])), "mine\r\n")
          assert.deepInclude(yield* Effect.promise(() => old.json(["inspect", "talker"])), { status: "lost" })
          assert.isTrue(isAlive(pid), "nothing was done to its program")
          yield* store.killEngine
          yield* Effect.gen(function* () {
            const history = yield* History
            assert.deepInclude(yield* history.get(id), { status: "running", pid, terminalOpen: true })
            yield* type(id, "one\nend\n")
            const entries = yield* untilEnd(id)
            assert.strictEqual(textOf(entries), "ready\r\ngot one\r\n")
            assert.deepInclude(yield* history.get(id), { exitCode: 5, pid })
          }).pipe(Effect.provide(store.layer()))
        })
    )
  }
})

interface Answer {
  readonly type: number
  readonly [field: string]: unknown
}

/** What a keeper answers first to these bytes. */
const greet = (socket: string, greeting: Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const connection = connect(socket)
    const decoder = new FrameDecoder(FRAME_BYTES_MAX, (type, body) => {
      resolve({ type, ...(jsonIn(body) as object) })
      connection.destroy()
    })
    connection.on("data", (chunk) => decoder.push(chunk))
    connection.on("error", reject)
    connection.on("close", () => reject(new Error("the keeper said nothing")))
    connection.write(greeting)
  })

/** Says that it speaks another protocol, and refuses every engine. */
const fakeKeeper = async (path: string, protocol: number): Promise<Server> => {
  const server = createServer((socket) => {
    const welcome = { protocol, keeper: "fake", pid: process.pid, generation: 0, sessions: 1, lastFault: "" }
    const decoder = new FrameDecoder(FRAME_BYTES_MAX, (type) => {
      if (type === FrameType.Probe) socket.end(jsonFrame(FrameType.Welcome, 0, welcome))
      else socket.end(jsonFrame(FrameType.Refused, 0, { reason: "protocol", message: "another time" }))
    })
    socket.on("data", (chunk) => decoder.push(chunk))
    socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}
