/** The client around its terminals: connecting, what is told of sessions, errors, and what is left when it is closed. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { afterAll, beforeAll } from "vitest"
import type { Client, LifecycleEvent, Terminal } from "../../src/client/index.ts"
import { promiseClient, Reprise, Sessions } from "../../src/index.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { isAlive } from "../fixtures/processes.ts"
import { built, readAll, readUntil, refusal, StoreUnderTest } from "./clientUnderTest.ts"

const { connect, open } = built

const under = new StoreUnderTest()
let client: Client
beforeAll(async () => {
  client = await under.connect()
})
afterAll(() => under.dispose())

const shell = (script: string, on: Client = client) => on.terminal({ command: ["/bin/sh", "-c", script] })

const viewOf = async (id: string) => (await client.list()).find((view) => view.id === id)

describe("connecting", () => {
  it("starts no engine when it may not", async () => {
    const store = mkdtempSync(join(tmpdir(), "reprise-none-"))
    try {
      const refused = await refusal(connect({ store, start: false }))
      assert.strictEqual(refused.code, "Unavailable")
      assert.strictEqual(refused.name, "EngineAbsent")
      assert.include(refused.message, store)
    } finally {
      rmSync(store, { recursive: true })
    }
  })

  it("a URL that nobody serves, or without its token, is refused", async () => {
    assert.strictEqual((await refusal(connect({ url: "ws://127.0.0.1:1", token: "x" }))).code, "Unavailable")
    assert.strictEqual((await refusal(connect({ url: "ws://127.0.0.1:1" }))).code, "InvalidArgument")
    assert.strictEqual((await refusal(connect({ token: "x" }))).code, "InvalidArgument")
    assert.strictEqual((await refusal(connect({ url: "ws://x", token: "x", store: "/y" }))).code, "InvalidArgument")
  })

  it("tells which engine it is", async () => {
    const status = await client.status()
    assert.strictEqual(status.store, under.store)
    assert.isTrue(isAlive(status.enginePid))
  })
})

describe("what is told of sessions", () => {
  it("list has every session, newest first, with how it ended", async () => {
    await using first = await shell("exit 3")
    await using second = await client.terminal({ command: ["sleep", "1000"], name: "listed" })
    await first.exited
    const [newest, older] = await client.list()
    assert.deepInclude(newest, { id: second.sessionId, name: "listed", status: "running", kind: "terminal" })
    assert.deepInclude(older, { id: first.sessionId, status: "exited", exitCode: 3 })
  })

  it("live has who is attached", async () => {
    await using terminal = await shell("sleep 1000")
    await using _watcher = await client.reconnectTerminal(terminal.sessionId, { clientId: "watcher", readOnly: true })
    const entry = (await client.live()).find(({ id }) => id === terminal.sessionId)
    assert.deepStrictEqual(
      entry?.clients.toSorted((a, b) => Number(a.readOnly) - Number(b.readOnly)),
      [
        { client: terminal.clientId, readOnly: false },
        { client: "watcher", readOnly: true }
      ]
    )
  })

  it("usage has what its processes use, while there are any", async () => {
    await using terminal = await shell("sleep 1000 & echo go; wait")
    await readUntil(terminal, "go\n")
    const usage = await client.usage(terminal.sessionId)
    assert.strictEqual(usage.session, terminal.sessionId)
    assert.isAtLeast(usage.processes, 2)
    assert.isAbove(usage.rssBytes, 0)
    await terminal.close()
    assert.strictEqual((await refusal(client.usage(terminal.sessionId))).code, "FailedPrecondition")
    assert.strictEqual((await refusal(client.usage("nobody"))).code, "NotFound")
  })

  it("the lifecycle feed has each change once, in order, and goes on after a position and a killed engine", async () => {
    await using terminal = await shell("read line; exit 8")
    const seen: Array<LifecycleEvent> = []
    for await (const event of client.lifecycle(0)) {
      if (event.session !== terminal.sessionId) continue
      seen.push(event)
      if (event.type === "ClientAttached") break
    }
    assert.strictEqual(seen[0]?.type, "SessionCreated")
    assert.deepInclude(seen[0]?.event, { kind: "terminal" })
    await under.killEngine(client)
    await terminal.writeStdin("\n")
    for await (const event of client.lifecycle(seen.at(-1)!.position)) {
      if (event.session !== terminal.sessionId) continue
      seen.push(event)
      if (event.type === "SessionClosed") break
    }
    assert.deepInclude(seen.at(-1)?.event, { exitCode: 8, reason: "exited" })
    const positions = seen.map(({ position }) => position)
    assert.deepStrictEqual(
      positions,
      [...new Set(positions)].sort((a, b) => a - b)
    )
    assert.strictEqual(seen.filter(({ type }) => type === "SessionCreated").length, 1)
  })
})

describe("who owns what", () => {
  it("await using ends a session that it made, and leaves one that it came back to", async () => {
    let made: Terminal
    {
      await using terminal = await shell("sleep 1000")
      made = terminal
      {
        await using _again = await client.reconnectTerminal(terminal.sessionId)
      }
      assert.strictEqual((await viewOf(terminal.sessionId))?.status, "running")
    }
    assert.strictEqual((await viewOf(made.sessionId))?.status, "exited")
    assert.strictEqual((await made.exited).reason, "ended")
  })

  it("await using leaves one whose orphans are kept", async () => {
    let id: string
    {
      await using terminal = await client.terminal({ command: ["sleep", "1000"], orphans: "keep" })
      id = terminal.sessionId
    }
    assert.strictEqual((await viewOf(id))?.status, "running")
    await using terminal = await client.reconnectTerminal(id)
    await terminal.close()
  })

  it("limits come field by field on top of the usual ones; orphans that are kept have no timeouts", async () => {
    const limitsOf = async (id: string) => {
      for await (const { event, session, type } of client.lifecycle(0)) {
        if (session === id && type === "SessionCreated") return event.limits
      }
      return undefined
    }
    await using ended = await client.terminal({ command: ["true"], limits: { idleMillis: 5000 } })
    assert.deepStrictEqual(await limitsOf(ended.sessionId), {
      inputChunkBytes: 16_384,
      noClientMillis: 300_000,
      idleMillis: 5000,
      retentionMillis: 300_000
    })
    await using kept = await client.terminal({ command: ["true"], orphans: "keep" })
    assert.deepStrictEqual(await limitsOf(kept.sessionId), { inputChunkBytes: 16_384, retentionMillis: 300_000 })
  })

  it("G19 the 11th session of a group is refused, another group and a place that is free again are not", async () => {
    const options = { command: ["sleep", "1000"], group: "ten" }
    const ten = await Promise.all(Array.from({ length: 10 }, () => client.terminal(options)))
    const refused = await refusal(client.terminal(options))
    assert.strictEqual(refused.code, "ResourceExhausted")
    assert.strictEqual(refused.details.max, 10)
    await using _other = await client.terminal({ ...options, group: "other" })
    await ten[0]!.close()
    ten[0] = await client.terminal(options)
    await Promise.all(ten.map((terminal) => terminal[Symbol.asyncDispose]()))
  })

  it("G20 a session that everybody left is ended after its time, with what it printed kept", async () => {
    const terminal = await client.terminal({
      command: ["sh", "-c", "echo kept; sleep 1000"],
      // Time enough to attach for a process that stands still.
      limits: { noClientMillis: 4000 }
    })
    await readUntil(terminal, "kept\n")
    await terminal.detach()
    const types: Array<string> = []
    for await (const { session, type } of client.lifecycle(0)) {
      if (session !== terminal.sessionId) continue
      types.push(type)
      if (type === "SessionClosed") break
    }
    assert.includeMembers(types, ["ClientDetached", "LimitReached"])
    await using again = await client.reconnectTerminal(terminal.sessionId)
    const { last, text } = await readAll(again)
    assert.strictEqual(text, "kept\n")
    assert.strictEqual(last?.reason, "ended")
  })

  it("a terminal that was detached ends its loops, and refuses to act", async () => {
    const terminal = await shell("echo go; sleep 1000")
    await readUntil(terminal, "go\n")
    const loop = readAll(terminal)
    const exited = refusal(terminal.exited)
    await terminal.detach()
    await terminal.detach()
    assert.deepStrictEqual((await loop).chunks, [])
    assert.strictEqual((await exited).code, "FailedPrecondition")
    for (const act of [
      () => terminal.writeStdin("x"),
      () => terminal.writeStdinEOF(),
      () => terminal.resize(80, 24),
      () => terminal.signal("TERM"),
      () => terminal.close()
    ]) {
      const refused = await refusal(act())
      assert.strictEqual(refused.code, "FailedPrecondition")
      assert.strictEqual(refused.name, "TerminalDetached")
    }
    await using again = await client.reconnectTerminal(terminal.sessionId)
    await again.close()
  })

  it("a client that is closed ends its loops and calls, leaves its sessions, and says what it is", async () => {
    const other = await under.connect()
    const terminal = await shell("echo go; sleep 1000", other)
    await readUntil(terminal, "go\n")
    const feed = other.lifecycle()
    const loops = [readAll(terminal), feed.next(), refusal(terminal.exited)]
    const call = other.list().then(
      () => "answered",
      ({ code }) => code
    )
    await Promise.all([other.close(), other.close()])
    await Promise.all(loops)
    assert.include(["answered", "FailedPrecondition"], await call)
    for (const act of [
      () => other.terminal(),
      () => other.reconnectTerminal(terminal.sessionId),
      () => other.list(),
      () => other.live(),
      () => other.status(),
      () => other.usage(terminal.sessionId),
      () => other.lifecycle().next(),
      () => terminal.writeStdin("x")
    ]) {
      assert.strictEqual((await refusal(act())).code, "FailedPrecondition")
    }
    assert.strictEqual((await viewOf(terminal.sessionId))?.status, "running")
    await using again = await client.reconnectTerminal(terminal.sessionId)
    await again.close()
  })

  it("terminals that ended and are not read hold no connection", async () => {
    // With the first terminal comes the feed.
    await using _live = await shell("sleep 1000")
    const before = openSockets()
    const terminals = await Promise.all(Array.from({ length: 20 }, () => shell("stty -echo; read line; seq 1000")))
    // Some of the tests before may go meanwhile.
    assert.isAbove(openSockets(), before + 10)
    await Promise.all(terminals.map((terminal) => terminal.writeStdin("\n")))
    await Promise.all(terminals.map(({ exited }) => exited))
    while (openSockets() > before) await new Promise((done) => setTimeout(done, 5))
    const { text } = await readAll(terminals[0]!)
    assert.match(text, /\n1000\n$/)
    await Promise.all(terminals.map((terminal) => terminal.detach()))
  })
})

/** Connections of this process to Unix sockets. */
const openSockets = (): number => process.getActiveResourcesInfo().filter((resource) => resource === "PipeWrap").length

describe("an engine in this process", () => {
  it("in memory: the same terminal, and nothing is left", async () => {
    await using local = await open({ memory: true })
    await using terminal = await shell("read line; echo got $line; exit 4", local)
    await terminal.writeStdin("it\n")
    const { last, text } = await readAll(terminal)
    assert.include(text, "got it\n")
    assert.strictEqual(last?.exitCode, 4)
    assert.strictEqual((await terminal.exited).exitCode, 4)
  })

  it("over a store: what it kept is there for the next one; two at once are refused", async () => {
    const store = mkdtempSync(join(tmpdir(), "reprise-open-"))
    try {
      const first = await open({ store, inProcess: true })
      const terminal = await shell("echo kept; exit 5", first)
      await terminal.exited
      const refused = await refusal(open({ store, inProcess: true }))
      assert.strictEqual(refused.code, "FailedPrecondition")
      assert.strictEqual(refused.details.reason, "locked")
      await first.close()
      await using second = await open({ store, inProcess: true })
      await using again = await second.reconnectTerminal(terminal.sessionId)
      const { last, text } = await readAll(again)
      assert.strictEqual(text, "kept\n")
      assert.strictEqual(last?.exitCode, 5)
    } finally {
      rmSync(storePaths(store).run, { recursive: true, force: true })
      rmSync(store, { recursive: true, force: true })
    }
  })

  it("over the layer of an Effect program", async () => {
    await using local = await promiseClient(Reprise.layerMemory)
    await using terminal = await shell("echo layered", local)
    assert.strictEqual((await readAll(terminal)).text, "layered\n")
  })

  it("a bug of a layer is no error of the contract and comes as it is", async () => {
    const broken = Layer.effect(
      Sessions,
      Effect.map(Sessions, (sessions) => Sessions.of({ ...sessions, status: Effect.die(new RangeError("bug")) }))
    ).pipe(Layer.provideMerge(Reprise.layerMemory))
    await using local = await promiseClient(broken)
    const error = await local.status().catch((error: unknown) => error)
    assert.instanceOf(error, RangeError)
  })
})
