/** What a keeper promises beyond the PtyHost contract: engines come and go, its socket is its owner's alone. */
import { spawn } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import {
  FrameType,
  jsonFrame,
  PROTOCOL_VERSION,
  pipeFrame,
  requestFrame,
  sessionFrame
} from "../../src/keeper/Frames.ts"
import { connectKeeper, probeKeeper } from "../../src/keeper/KeeperClient.ts"
import { keeperSocket, listKeepers, startKeeper } from "../../src/keeper/KeeperProcess.ts"
import { PIPE_HELD_BYTES_HIGH } from "../../src/keeper/PipeHost.ts"
import { HostUnavailable, OUTPUT_CHUNK_BYTES_MAX, type PtyHost, SpawnError } from "../../src/keeper/PtyHost.ts"
import { newSession, SessionRecorder, seqOutput, spawnRequest } from "../contracts/PtyHostContract.ts"
import { gone, isAlive } from "../fixtures/processes.ts"
import { KEEPER_ENTRY, type KeeperUnderTest, startTestKeeper } from "./keeperUnderTest.ts"

const ENGINE = fileURLToPath(new URL("engine.ts", import.meta.url))

const failureOf = async (promise: Promise<unknown>): Promise<Error> => {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason
  )
  assert.instanceOf(error, Error)
  return error as Error
}

const closeOf = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()))

describe("a keeper", () => {
  let keeper: KeeperUnderTest
  beforeEach(async () => {
    keeper = await startTestKeeper()
  })
  afterEach(() => keeper.dispose())

  const engine = async (generation: number): Promise<{ recorder: SessionRecorder; host: PtyHost }> => {
    const recorder = new SessionRecorder()
    const host = await connectKeeper({ socket: keeper.socket, generation, listener: recorder })
    recorder.host = host
    return { recorder, host }
  }

  it("loses and doubles no byte when the engine is killed while output flows", async () => {
    // Far more than may be held: it cannot end before engines have journaled most of it.
    const last = 1_000_000
    const request = spawnRequest(["seq", "1", String(last)])
    const { host, recorder } = await engine(1)
    // This engine journals nothing, so it acknowledges nothing.
    recorder.acknowledging = false
    await host.spawn(request)
    const file = join(keeper.folder, "journal")
    let kills = 0
    for (let generation = 2; ; generation++) {
      const child = spawn(process.execPath, [ENGINE, keeper.socket, String(generation), request.session, file], {
        stdio: "ignore"
      })
      const exit = new Promise<number | null>((resolve) => child.once("exit", resolve))
      const sizeBefore = existsSync(file) ? statSync(file).size : 0
      if (kills < 8) {
        // Once it has journaled something more, at a random moment.
        while (child.exitCode === null && (existsSync(file) ? statSync(file).size : 0) === sizeBefore) {
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 10))
        if (child.kill("SIGKILL")) kills += 1
      }
      const code = await exit
      if (code !== null) {
        assert.strictEqual(code, 0)
        break
      }
    }
    assert.isAbove(kills, 3)
    assert.isTrue(readFileSync(file, "latin1") === seqOutput(last))
  })

  it("goes on at any offset when connections are replaced in the middle of a flood", async () => {
    const request = spawnRequest(["seq", "1", "200000"])
    let { host, recorder } = await engine(1)
    await host.spawn(request)
    const chunks: Array<Uint8Array> = []
    let written = 0
    for (let generation = 2; ; generation++) {
      const record = recorder.of(request.session)
      const limit = written + Math.random() * 200_000
      await recorder.until(() => record.closed || record.nextOffset > limit)
      chunks.push(...record.chunks.splice(0))
      written = record.nextOffset
      if (record.closed) break
      const older = recorder
      ;({ host, recorder } = await engine(generation))
      await older.until(() => older.disconnectedFor !== null)
      assert.include(older.disconnectedFor, "newer engine")
      // What the older one got until then counts: it would be in the journal.
      chunks.push(...record.chunks.splice(0))
      written = record.nextOffset
      recorder.of(request.session).nextOffset = written
      // Nobody listens to what the older one acknowledges any more; the program may be paused for it.
      host.ack(request.session, written)
      await host.attach(request.session, written)
    }
    assert.isTrue(Buffer.concat(chunks).toString("latin1") === seqOutput(200_000))
  })

  it("loses and doubles no byte of a pipe when engines come and go, and reads on while there is none", async () => {
    const pipe = { pipe: 1, path: join(keeper.folder, "pipe"), direction: "output" } as const
    const input = { pipe: 2, path: join(keeper.folder, "input"), direction: "input" } as const
    const request = spawnRequest(["sh", "-c", "seq 1 400000 >pipe; cat <input"], {
      cwd: keeper.folder,
      pipes: [pipe, input]
    })
    let { host, recorder } = await engine(1)
    await host.spawn(request)
    const chunks: Array<Uint8Array> = []
    let written = 0
    for (let generation = 2; ; generation++) {
      const record = recorder.pipe(request.session, 1)
      const limit = written + Math.random() * 400_000
      await recorder.until(() => record.endedAt !== null || record.nextOffset > limit)
      const isLast = record.endedAt !== null
      // Nobody is there for a while: it must not read without bound, nor end.
      if (!isLast) await host.dispose()
      chunks.push(...record.chunks.splice(0))
      written = record.nextOffset
      if (isLast) break
      if (generation % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 20))
      ;({ host, recorder } = await engine(generation))
      const [held] = await host.listPipes(request.session)
      assert.isAtMost(held!.bytes - held!.heldFrom, PIPE_HELD_BYTES_HIGH + OUTPUT_CHUNK_BYTES_MAX)
      recorder.pipe(request.session, 1).nextOffset = written
      recorder.of(request.session).nextOffset = (await host.list())[0]!.outputBytes
      await host.attach(request.session, recorder.of(request.session).nextOffset)
      await host.attachPipe(request.session, 1, written)
    }
    assert.isTrue(Buffer.concat(chunks).toString("latin1") === seqOutput(400_000).replaceAll("\r", ""))
    // Input that a dead engine sent is not applied again by the next.
    recorder.acknowledging = false
    await host.writePipe(request.session, 2, 1, Buffer.from("once\n"))
    await host.dispose()
    ;({ host, recorder } = await engine(1000))
    assert.strictEqual((await host.listPipes(request.session))[1]?.inputSequence, 1)
    await host.attach(request.session, 0)
    assert.strictEqual((await host.writePipe(request.session, 2, 1, Buffer.from("once\n"))).outcome, "repeated")
    await host.endPipe(request.session, 2, 2)
    assert.strictEqual((await recorder.closed(request.session)).text, "once\r\n")
  })

  it("refuses an engine that is older than the newest, and rejects what is pending when it is replaced", async () => {
    const newest = await engine(5)
    assert.instanceOf(await failureOf(engine(4)), HostUnavailable)
    assert.deepStrictEqual(await newest.host.list(), [])
    const request = spawnRequest(["sh", "-c", "trap '' HUP TERM; echo ready; while :; do sleep 1000; done"])
    await newest.host.spawn(request)
    await newest.recorder.shows(request.session, "ready")
    // With the longest grace there is: it ends only by force, and that comes after seconds.
    const pending = failureOf(newest.host.close(request.session))
    const same = await engine(5)
    assert.instanceOf(await pending, HostUnavailable)
    assert.instanceOf(await failureOf(newest.host.list()), HostUnavailable)
    assert.strictEqual((await same.host.list()).length, 1)
    await same.host.signal(request.session, "SIGKILL", "session")
    await same.host.close(request.session)
  })

  it("lists for many that ask at once, never with an answer older than a question", async () => {
    const { host } = await engine(1)
    const early = host.list()
    const request = spawnRequest(["cat"])
    const spawned = host.spawn(request)
    const late = [host.list(), host.list(), host.list()]
    assert.deepStrictEqual(await early, [])
    await spawned
    for (const held of await Promise.all(late)) {
      assert.deepStrictEqual(
        held.map(({ session }) => session),
        [request.session]
      )
    }
    assert.strictEqual(await late[0], await late[1])
    await host.close(request.session)
    assert.isTrue((await host.list())[0]?.terminalClosed)
  })

  it("closes a connection that sends no frames, and lives", async () => {
    const request = spawnRequest(["cat"])
    const { host, recorder } = await engine(1)
    await host.spawn(request)
    const hello = jsonFrame(FrameType.Hello, 0, { protocol: PROTOCOL_VERSION, generation: 2 })
    const garbage: ReadonlyArray<Buffer> = [
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.from([0x40, 0, 0, 0, 1]),
      Buffer.from([0xff, 0xff, 0xff, 0xff, 1]),
      Buffer.from([0, 0, 0, 0, 0]),
      Buffer.from([0, 0, 0, 1, 99]),
      Buffer.from([0, 0, 0, 3, FrameType.Hello, 1, 2]),
      jsonFrame(FrameType.Hello, 0, { protocol: PROTOCOL_VERSION, generation: "1" }),
      jsonFrame(FrameType.Hello, 0, "x".repeat(8000)),
      jsonFrame(FrameType.List, 1, null)
    ]
    for (const bytes of garbage) {
      const socket = connect(keeper.socket)
      socket.on("error", () => {}).resume()
      socket.write(bytes)
      await closeOf(socket)
    }
    // What an engine may send once it was let in: pipes without a number, without a list, cut in the middle.
    const ack = pipeFrame(FrameType.AckPipe, request.session, 1, 1)
    const close = Buffer.from("7")
    const nonsense: ReadonlyArray<Buffer> = [
      Buffer.concat([Buffer.from([0, 0, 0, 20]), ack.subarray(4, 24)]),
      Buffer.concat([sessionFrame(FrameType.ClosePipes, request.session, 0, close.length), close]),
      requestFrame(FrameType.OpenPipes, 1, request.session),
      requestFrame(FrameType.WritePipe, 1, request.session)
    ]
    for (const bytes of nonsense) {
      const socket = connect(keeper.socket)
      socket.on("error", () => {}).resume()
      socket.write(Buffer.concat([hello, bytes]))
      await closeOf(socket)
    }
    for (let i = 0; i < 50; i++) {
      const socket = connect(keeper.socket)
      // Half a frame, then gone, with an answer on its way.
      socket.on("error", () => {}).on("connect", () => socket.write(hello.subarray(0, i), () => socket.destroy()))
      await closeOf(socket)
    }
    // An engine that was let in and then sends nonsense.
    const engineSocket = connect(keeper.socket)
    engineSocket.on("error", () => {}).resume()
    engineSocket.write(Buffer.concat([hello, Buffer.from([0x7f, 0, 0, 0, 1])]))
    await closeOf(engineSocket)
    assert.isNotNull(recorder.disconnectedFor)
    const next = await engine(3)
    assert.deepStrictEqual(
      (await next.host.list()).map(({ session }) => session),
      [request.session]
    )
  })

  it("says which protocols it speaks", async () => {
    const socket = connect(keeper.socket)
    socket.write(jsonFrame(FrameType.Hello, 0, { protocol: 99, generation: 1 }))
    let answer = ""
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1")
    })
    await closeOf(socket)
    assert.include(answer, `to ${PROTOCOL_VERSION}, the engine speaks 99`)
  })

  it("listens on a socket that is its owner's alone, and tells who it is without disturbing the engine", async () => {
    assert.strictEqual(statSync(keeper.socket).mode & 0o777, 0o600)
    assert.strictEqual(statSync(keeper.folder).mode & 0o777, 0o700)
    const { host } = await engine(1)
    const [found, ...others] = await listKeepers(keeper.folder)
    assert.deepStrictEqual(others, [])
    assert.deepInclude(found, { id: keeper.id, pid: keeper.pid, socket: keeper.socket, sessions: 0, lastFault: "" })
    assert.deepStrictEqual(await host.list(), [])
    assert.deepStrictEqual(await listKeepers(join(keeper.folder, "none")), [])
  })

  it("does not end on SIGTERM or with its engine while it holds a session, and does when it holds none", async () => {
    const request = spawnRequest(["cat"])
    const { host } = await engine(1)
    await host.spawn(request)
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(keeper.pid, signal)
    await host.dispose()
    const next = await engine(1)
    assert.strictEqual((await next.host.list())[0]?.leaderExit, null)
    await next.recorder.until(() => true)
    await next.host.attach(request.session, 0)
    await next.host.close(request.session)
    await next.recorder.closed(request.session)
    next.host.forget(request.session)
    assert.isTrue(isAlive(keeper.pid))
    await next.host.dispose()
    await gone(keeper.pid)
    assert.isFalse(existsSync(keeper.socket))
  })

  it("gives programs the umask it was started with, not its own", async () => {
    const { host, recorder } = await engine(1)
    const request = spawnRequest(["sh", "-c", "umask"])
    await host.spawn(request)
    const umask = process.umask().toString(8).padStart(4, "0")
    assert.include((await recorder.closed(request.session)).text, umask)
  })

  it("holds back deliveries for an engine that does not read, within bounds", async () => {
    const socket = connect(keeper.socket)
    socket.write(jsonFrame(FrameType.Hello, 0, { protocol: PROTOCOL_VERSION, generation: 1 }))
    socket.pause()
    const request = spawnRequest(["sh", "-c", "yes | head -c 5000000"])
    socket.write(jsonFrame(FrameType.Spawn, 1, request))
    // The pause is the proof: probing goes on, and the session stops at what may be held.
    const { host, recorder } = await (async () => {
      while ((await probeKeeper(keeper.socket)).sessions === 0) {
        // The spawn is on its way.
      }
      return engine(2)
    })()
    await host.attach(request.session, 0)
    const record = await recorder.closed(request.session)
    assert.strictEqual(record.nextOffset, 7_500_000)
    socket.destroy()
  })
})

describe("starting a keeper", () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "reprise-start-"))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const options = (inFolder: string) => ({
    entry: KEEPER_ENTRY,
    folder: inFolder,
    id: newSession() as string,
    execPath: process.execPath,
    sessionsMax: 2,
    idleMillis: 1
  })

  it("ends it by itself when nobody comes", async () => {
    const { pid, socket } = await startKeeper(options(folder))
    await gone(pid)
    assert.isFalse(existsSync(socket))
  })

  it("reliability row 34: takes the place of a keeper that was killed, never of one that lives", async () => {
    const first = await startKeeper({ ...options(folder), idleMillis: 10_000 })
    const again = { ...options(folder), id: first.id, idleMillis: 10_000 }
    assert.include((await failureOf(startKeeper(again))).message, "listens on")
    process.kill(first.pid, "SIGKILL")
    await gone(first.pid)
    assert.isTrue(existsSync(first.socket))
    assert.deepStrictEqual(await listKeepers(folder), [])
    const second = await startKeeper(again)
    assert.strictEqual((await probeKeeper(second.socket)).pid, second.pid)
    process.kill(second.pid, "SIGTERM")
    await gone(second.pid)
  })

  it("reliability row 33: is refused in a folder that others can enter, behind a link, on a long path or over a file", async () => {
    const open = join(folder, "open")
    mkdirSync(open)
    chmodSync(open, 0o755)
    assert.include((await failureOf(startKeeper(options(open)))).message, "open to others")
    const link = join(folder, "link")
    symlinkSync(mkdtempSync(join(folder, "real-")), link)
    assert.include((await failureOf(startKeeper(options(link)))).message, "a link")
    const long = join(folder, "x".repeat(80))
    assert.include((await failureOf(startKeeper(options(long)))).message, "shorter folder")
    const over = options(folder)
    writeFileSync(keeperSocket(folder, over.id), "precious")
    assert.include((await failureOf(startKeeper(over))).message, "not a socket")
    assert.strictEqual(readFileSync(keeperSocket(folder, over.id), "utf8"), "precious")
    assert.include((await failureOf(startKeeper({ ...over, id: "../x" }))).message, "ULID")
  })

  it("limits its sessions, and says so when descriptors run out", async () => {
    const few = await startTestKeeper({ sessionsMax: 2, folder })
    const host = await connectKeeper({ socket: few.socket, generation: 1, listener: new SessionRecorder() })
    await host.spawn(spawnRequest(["cat"]))
    await host.spawn(spawnRequest(["cat"]))
    assert.strictEqual(((await failureOf(host.spawn(spawnRequest(["cat"])))) as SpawnError).failure, "limit")
    await few.dispose()
  })

  it("reliability row 18: leaves it alive when descriptors run out", async () => {
    const shell = join(folder, "node")
    writeFileSync(shell, `#!/bin/sh\nulimit -n 64\nexec ${process.execPath} "$@"\n`, { mode: 0o700 })
    const keeper = await startKeeper({ ...options(folder), execPath: shell, sessionsMax: 64, idleMillis: 10_000 })
    const recorder = new SessionRecorder()
    const host = await connectKeeper({ socket: keeper.socket, generation: 1, listener: recorder })
    let error: unknown
    for (let i = 0; i < 64 && error === undefined; i++) {
      await host.spawn(spawnRequest(["cat"])).catch((reason: unknown) => {
        error = reason
      })
    }
    assert.instanceOf(error, SpawnError)
    assert.strictEqual((error as SpawnError).failure, "limit")
    const sessions = await host.list()
    assert.isAbove(sessions.length, 3)
    for (const { session } of sessions) await host.close(session)
    for (const { session } of sessions) {
      await recorder.closed(session)
      host.forget(session)
    }
    await host.dispose()
    await gone(keeper.pid)
  })
})
