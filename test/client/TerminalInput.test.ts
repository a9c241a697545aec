/** Input of a terminal through the client: order, bounds, signals, and who may type. */
import { assert, describe, it } from "@effect/vitest"
import { afterAll, beforeAll } from "vitest"
import type { Client, RepriseError } from "../../src/client/index.ts"
import { numbered, readAll, readUntil, refusal, StoreUnderTest } from "./clientUnderTest.ts"

const under = new StoreUnderTest()
let client: Client
beforeAll(async () => {
  client = await under.connect()
})
afterAll(() => under.dispose())

const shell = (script: string) => client.terminal({ command: ["/bin/sh", "-c", script] })
/** A program that gives back what is typed, without an echo, and says when it is ready for it. */
const parrot = async () => {
  const terminal = await shell("stty -echo; echo go; cat")
  await readUntil(terminal, "go\n")
  return terminal
}

describe("G10 input", () => {
  it("G10 what is written is read back", async () => {
    await using terminal = await parrot()
    await terminal.writeStdin("hello\n")
    assert.strictEqual((await readUntil(terminal, "\n")).text, "hello\n")
  })

  it("G10 end-of-file is seen after the data", async () => {
    await using terminal = await parrot()
    const written = terminal.writeStdin("last words\n")
    await terminal.writeStdinEOF()
    await written
    const { last, text } = await readAll(terminal)
    assert.strictEqual(text, "last words\n")
    assert.strictEqual(last?.exitCode, 0)
  })

  it("G10 100 may be unanswered, the 101st is refused, and the order is that of the calls", async () => {
    await using terminal = await parrot()
    const writes = Array.from({ length: 100 }, (_, index) => terminal.writeStdin(`${index + 1}\n`))
    const refused = await refusal(terminal.writeStdin("101\n"))
    assert.strictEqual(refused.code, "ResourceExhausted")
    assert.deepStrictEqual(refused.details, { limit: "input queue", max: 100 })
    await Promise.all(writes)
    await terminal.writeStdin("101\n")
    assert.strictEqual((await readUntil(terminal, "101\n")).text, numbered(101))
  })

  it("G8 a buffer that is changed after the write changes nothing", async () => {
    await using terminal = await parrot()
    const buffer = Buffer.from("first\n")
    const writes = [terminal.writeStdin(buffer), terminal.writeStdin(buffer)]
    buffer.fill("x")
    await Promise.all(writes)
    assert.strictEqual((await readUntil(terminal, "first\nfirst\n")).text, "first\nfirst\n")
  })

  it("the order holds across an engine that is killed, and nothing is typed twice", async () => {
    await using terminal = await parrot()
    const writes: Array<Promise<unknown>> = []
    for (let index = 1; index <= 100; index++) {
      writes.push(terminal.writeStdin(`${index}\n`))
      if (index === 50) await writes[20]
      if (index === 50) await under.killEngine(client)
    }
    await Promise.all(writes)
    assert.strictEqual((await readUntil(terminal, "100\n")).text, numbered(100))
  })
})

describe("G11 size of a write", () => {
  it("G11 16,384 bytes are taken, 16,385 refused with the limit", async () => {
    await using terminal = await shell("stty raw -echo; echo go; head -c 16384 | wc -c")
    await readUntil(terminal, "go")
    const refused = await refusal(terminal.writeStdin(new Uint8Array(16_385).fill(97)))
    assert.strictEqual(refused.code, "InvalidArgument")
    assert.match(refused.message, /16384|16,384/)
    await terminal.writeStdin(new Uint8Array(16_384).fill(97))
    assert.match((await readAll(terminal)).text, /16384/)
  })

  it("G11 a larger limit is asked for at the start", async () => {
    await using terminal = await client.terminal({
      command: ["/bin/sh", "-c", "stty raw -echo; echo go; head -c 1000000 | wc -c"],
      limits: { inputChunkBytes: 1_000_000 }
    })
    await readUntil(terminal, "go")
    await terminal.writeStdin(new Uint8Array(1_000_000).fill(97))
    assert.match((await readAll(terminal)).text, /1000000/)
  })
})

describe("G22 signals", () => {
  it.for(["SIGTERM", "term", " Term "])("G22 %o is sent", async (name) => {
    await using terminal = await shell("trap 'echo terminated; exit 5' TERM; echo go; while :; do sleep 0.02; done")
    await readUntil(terminal, "go\n")
    await terminal.signal(name, "leader")
    assert.strictEqual((await readAll(terminal)).last?.exitCode, 5)
  })

  it("G22 ' kill ' ends the program", async () => {
    await using terminal = await shell("echo go; sleep 1000")
    await readUntil(terminal, "go\n")
    await terminal.signal(" kill ")
    assert.deepInclude((await readAll(terminal)).last, { exitCode: null, signal: "SIGKILL" })
  })

  it.for(["SIGINVALID", "", "9"])("G22 %o is refused", async (name) => {
    await using terminal = await shell("cat")
    assert.strictEqual((await refusal(terminal.signal(name))).code, "InvalidArgument")
  })
})

describe("who may type", () => {
  it("a read-only client sees everything and touches nothing", async () => {
    await using terminal = await parrot()
    await using watcher = await client.reconnectTerminal(terminal.sessionId, { readOnly: true })
    const refused = await Promise.all(
      [
        watcher.writeStdin("x\n"),
        watcher.writeStdinEOF(),
        watcher.resize(100, 30),
        watcher.signal("KILL"),
        watcher.close()
      ].map(refusal)
    )
    assert.deepStrictEqual(new Set(refused.map(({ code }) => code)), new Set(["PermissionDenied"]))
    await terminal.writeStdin("seen\n")
    assert.strictEqual((await readUntil(watcher, "seen\n")).text, "go\nseen\n")
  })

  it("with an exclusive client no other may type, until it leaves", async () => {
    await using terminal = await parrot()
    const writer = await client.reconnectTerminal(terminal.sessionId, { exclusive: true, clientId: "the-writer" })
    assert.strictEqual(writer.clientId, "the-writer")
    assert.strictEqual((await refusal(terminal.writeStdin("x\n"))).code, "PermissionDenied")
    const second = client.reconnectTerminal(terminal.sessionId, { exclusive: true })
    assert.strictEqual((await refusal(second)).code, "PermissionDenied")
    await writer.writeStdin("mine\n")
    await writer.detach()
    // The engine hears of it on a connection of its own.
    for (;;) {
      const written = await terminal.writeStdin("again mine\n").catch((error: RepriseError) => error)
      if (!(written instanceof Error)) break
      assert.strictEqual(written.code, "PermissionDenied")
    }
    assert.strictEqual((await readUntil(terminal, "again mine\n")).text, "mine\nagain mine\n")
  })
})
