/** What a terminal gives to who comes, goes and comes back: cursors, replay, several clients, engines that die. */
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, beforeAll } from "vitest"
import type { Client, OutputChunk, Terminal } from "../../src/client/index.ts"
import { Exec, storePaths } from "../../src/index.ts"
import { EngineClient } from "../../src/remote/index.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { numbered, readAll, readUntil, refusal, StoreUnderTest, textOf } from "./clientUnderTest.ts"

// A client that stays open starts an engine, as the others do, whenever a later test kills theirs: each test closes its own.
const under = new StoreUnderTest()
let client: Client
beforeAll(async () => {
  client = await under.connect()
})
afterAll(() => under.dispose())

const shell = (script: string) => client.terminal({ command: ["/bin/sh", "-c", script] })

/** Prints 1 to `first`, and after a line is typed each number up to `last` by itself. */
const counter = async (first: number, last: number): Promise<Terminal> => {
  const terminal = await shell(
    `stty -echo; seq ${first}; read line; i=${first}; while [ $i -lt ${last} ]; do i=$((i+1)); echo $i; done; exit 42`
  )
  // What is typed before the echo is off would be in its output.
  await using watcher = await client.reconnectTerminal(terminal.sessionId)
  await readUntil(watcher, `${first}\n`)
  return terminal
}

/** Each sequence once and rising. */
const assertOrdered = (chunks: ReadonlyArray<OutputChunk>, after: number): void => {
  let before = after
  for (const { sequence } of chunks) {
    assert.isAbove(sequence, before)
    before = sequence
  }
}

describe("G17 coming and coming back", () => {
  it("G17 a new session is ready with its id", async () => {
    await using terminal = await shell("read line")
    await terminal.ready
    const listed = (await client.list()).find(({ id }) => id === terminal.sessionId)
    assert.strictEqual(listed?.status, "running")
  })

  it("G17 who comes back has the replay first, then what is live", async () => {
    await using terminal = await shell("stty -echo; echo before; read line; echo after; read line")
    await readUntil(terminal, "before\n")
    await terminal.detach()
    await using again = await client.reconnectTerminal(terminal.sessionId)
    const replayed = await readUntil(again, "before\n")
    assert.isTrue(replayed.chunks.every(({ isReplay }) => isReplay))
    await again.writeStdin("\n")
    const live = await readUntil(again, "after\n")
    assert.isTrue(live.chunks.every(({ isReplay }) => !isReplay))
    await again.close()
  })

  it("G17 an id that is none is not found, by whatever name", async () => {
    for (const id of ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "nobody", "", "../../etc", "-h"]) {
      assert.strictEqual((await refusal(client.reconnectTerminal(id))).code, "NotFound", id)
    }
  })

  it("a session is found again by its name and by the beginning of its id", async () => {
    await using terminal = await client.terminal({ command: ["/bin/sh", "-c", "echo named"], name: "by name" })
    for (const reference of ["by name", terminal.sessionId.slice(0, -1)]) {
      await using found = await client.reconnectTerminal(reference)
      assert.strictEqual(found.sessionId, terminal.sessionId)
      assert.strictEqual((await readAll(found)).text, "named\n")
    }
  })

  it("a cursor that is none is refused", async () => {
    await using terminal = await shell("true")
    for (const from of [-1, 1.5, Number.NaN, "start"]) {
      const refused = client.reconnectTerminal(terminal.sessionId, { replayFromSequence: from as number })
      assert.strictEqual((await refusal(refused)).code, "InvalidArgument", String(from))
    }
  })

  it("a cursor behind the last event is refused: taken, what is printed later would never come", async () => {
    await using terminal = await shell("read line")
    const refused = await refusal(client.reconnectTerminal(terminal.sessionId, { replayFromSequence: 999_999 }))
    assert.strictEqual(refused.code, "InvalidArgument")
    assert.match(refused.message, /999999 is behind the last event there is, \d+: .*; begin without one$/)
  })

  it("a screen instead of the replay: what is on it now, then what happens", async () => {
    await using terminal = await shell("stty -echo; seq 500; printf '\\033[2Jon the screen\\n'; read line; echo later")
    await readUntil(terminal, "on the screen\n")
    await using viewer = await client.reconnectTerminal(terminal.sessionId, { replayFromSequence: "screen" })
    const drawn = await readUntil(viewer, "on the screen")
    assert.isTrue(drawn.chunks[0]?.isScreen)
    assert.isTrue(drawn.chunks[0]?.isReplay)
    await viewer.writeStdin("\n")
    const live = await readAll(viewer)
    assert.strictEqual(live.text, "later\n")
    assert.isTrue(live.chunks.every(({ isScreen }) => isScreen === undefined))
  })
})

describe("G24 several clients", () => {
  it("G24 each of three has every chunk and the exit code", async () => {
    await using terminal = await counter(100, 2000)
    await using other = await under.connect()
    await using third = await under.connect()
    const attached = await Promise.all([other, third].map((mine) => mine.reconnectTerminal(terminal.sessionId)))
    const reads = [terminal, ...attached].map(readAll)
    await terminal.writeStdin("\n")
    for (const { chunks, last, text } of await Promise.all(reads)) {
      assert.strictEqual(text, numbered(2000))
      assert.strictEqual(last?.exitCode, 42)
      assertOrdered(chunks, 0)
    }
  })
})

describe("G25 disconnecting in the middle", () => {
  it("G25 a terminal that nobody reads is attached again after its engine was killed, and loses nothing", async () => {
    await using terminal = await shell("stty -echo; echo before; read line; echo after; exit 3")
    const live = async () => (await client.live()).find(({ id }) => id === terminal.sessionId)
    const clients = async () => (await live())?.clients.map(({ client }) => client)
    while (((await live())?.outputBytes ?? 0) < "before\r\n".length) await sleep(5)
    const killed = await under.killEngine(client)
    while ((await client.status()).enginePid === killed) await sleep(5)
    let attached = await clients()
    while (attached?.length !== 1) {
      await sleep(20)
      attached = await clients()
    }
    assert.deepStrictEqual(attached, [terminal.clientId])
    await terminal.writeStdin("\n")
    const { chunks, text } = await readAll(terminal)
    assert.strictEqual(text, "before\nafter\n")
    assertOrdered(chunks, 0)
    assert.strictEqual(terminal.exitCode, 3)
  })

  it("G25 5,000 more chunks while away: exactly those come, once, in order, as replay, then live ones", async () => {
    await using terminal = await shell(
      "stty -echo; seq 100; read line; i=100; while [ $i -lt 5100 ]; do i=$((i+1)); echo $i; done; " +
        "echo pause; read line; echo live; exit 42"
    )
    const before = await readUntil(terminal, "\n100\n")
    const cursor = terminal.lastSequence
    await using other = await under.connect()
    await using watcher = await other.reconnectTerminal(terminal.sessionId)
    await terminal.writeStdin("\n")
    await terminal.detach()
    await readUntil(watcher, "pause\n")

    await using again = await client.reconnectTerminal(terminal.sessionId, { replayFromSequence: cursor })
    const replayed = await readUntil(again, "pause\n")
    assert.strictEqual(before.text + replayed.text, `${numbered(5100)}pause\n`)
    assert.isTrue(replayed.chunks.every(({ isReplay }) => isReplay))
    assertOrdered(replayed.chunks, cursor)
    assert.isTrue(replayed.chunks.every(({ gapBefore }) => gapBefore === undefined))
    await again.writeStdin("\n")
    const live = await readAll(again)
    assert.strictEqual(live.text, "live\n")
    assert.isTrue(live.chunks.every(({ isReplay }) => !isReplay))
    assert.strictEqual(live.last?.exitCode, 42)
  })

  it("G25 the engine is killed in the middle: the loop goes on by itself, no byte lost or doubled", async () => {
    await using terminal = await shell("stty -echo; echo go; for i in $(seq 3000); do echo $i; done; exit 42")
    const chunks: Array<OutputChunk> = []
    let kills = 0
    for await (const chunk of terminal) {
      chunks.push(chunk)
      // At the beginning, and somewhere on the way.
      if (kills === 0 || (kills === 1 && textOf(chunks).includes("\n1000\n"))) {
        kills += 1
        await under.killEngine(client)
      }
    }
    assert.strictEqual(textOf(chunks), `go\n${numbered(3000)}`)
    assert.strictEqual(chunks.at(-1)?.exitCode, 42)
    assertOrdered(chunks, 0)
    assert.strictEqual((await terminal.exited).exitCode, 42)
  })
})

describe("G25 coming and going", () => {
  const seed = Number(process.env.REPRISE_SEED ?? 13)

  it(`G25 three clients that leave and come back at random (seed ${seed}) have every line once, in order`, async () => {
    await using terminal = await shell(
      "stty -echo; read line; i=0; while [ $i -lt 3000 ]; do seq $((i+1)) $((i+=10)); sleep 0.003; done; exit 42"
    )
    await using other = await under.connect()
    await using third = await under.connect()
    const comeAndGo = async (mine: Client, random: ReturnType<typeof seededRandom>) => {
      const chunks: Array<OutputChunk> = []
      let visits = 0
      while (chunks.at(-1)?.exitCode === undefined) {
        visits += 1
        const cursor = chunks.at(-1)?.sequence ?? 0
        await using again = await mine.reconnectTerminal(terminal.sessionId, { replayFromSequence: cursor })
        // On a busy machine all lines may come in two chunks: the first visit is short.
        let left = visits === 1 ? 1 : 1 + random.below(5)
        for await (const chunk of again) {
          chunks.push(chunk)
          left -= 1
          if (left === 0) break
        }
      }
      return { chunks, visits }
    }
    const reads = [client, other, third].map((mine, index) => comeAndGo(mine, seededRandom(seed + index)))
    await terminal.writeStdin("\n")
    for (const { chunks, visits } of await Promise.all(reads)) {
      assert.strictEqual(textOf(chunks), numbered(3000))
      assert.strictEqual(chunks.at(-1)?.exitCode, 42)
      assertOrdered(chunks, 0)
      assert.isAbove(visits, 1)
    }
  })
})

describe("G30 slow readers", () => {
  it("G30 one that stands still in its loop while the engine dies goes on behind its last byte", async () => {
    await using terminal = await shell("stty -echo; echo go; read line; seq 300000; exit 42")
    const loop = terminal[Symbol.asyncIterator]()
    const chunks: Array<OutputChunk> = [(await loop.next()).value]
    await terminal.writeStdin("\n")
    // By now more is on its way than a connection holds; then it dies with what nobody took.
    await terminal.exited
    await under.killEngine(client)
    await client.list()
    for await (const chunk of loop) chunks.push(chunk)
    assert.strictEqual(textOf(chunks), `go\n${numbered(300_000)}`)
    assert.strictEqual(chunks.at(-1)?.exitCode, 42)
  })

  it("G30 one of two that does not read holds up nobody, and has everything later", async () => {
    await using terminal = await counter(10, 3000)
    await using idle = await client.reconnectTerminal(terminal.sessionId)
    const all = readAll(terminal)
    await terminal.writeStdin("\n")
    assert.strictEqual((await all).text, numbered(3000))
    assert.strictEqual((await readAll(idle)).text, numbered(3000))
  })
})

describe("G26 coming back after the end", () => {
  it("G26 the whole output and the exit code, also after an engine restart", async () => {
    const terminal = await shell("seq 3000; exit 42")
    await terminal.exited
    await terminal.detach()
    for (const restart of [false, true]) {
      if (restart) await under.killEngine(client)
      await using again = await client.reconnectTerminal(terminal.sessionId)
      const { chunks, last, text } = await readAll(again)
      assert.strictEqual(text, numbered(3000))
      assert.deepInclude(last, { exitCode: 42, signal: null, reason: "exited" })
      assert.isTrue(chunks.every(({ isReplay }) => isReplay))
      assert.strictEqual((await again.exited).exitCode, 42)
    }
  })

  it("G26 from behind the last byte there is the exit code alone", async () => {
    const terminal = await shell("echo all; exit 42")
    await readAll(terminal)
    const last = terminal.lastSequence
    await terminal.detach()
    await using again = await client.reconnectTerminal(terminal.sessionId, { replayFromSequence: last })
    const { chunks } = await readAll(again)
    assert.strictEqual(chunks.length, 1)
    assert.strictEqual(chunks[0]?.exitCode, 42)
  })

  it("G26 exited is known by who comes back and does not read", async () => {
    const terminal = await shell("exit 9")
    await terminal.exited
    await using again = await client.reconnectTerminal(terminal.sessionId)
    assert.deepStrictEqual(await again.exited, { exitCode: 9, signal: null, reason: "exited" })
    await using closed = await shell("sleep 1000")
    await closed.close()
    await using later = await client.reconnectTerminal(closed.sessionId)
    assert.strictEqual((await later.exited).reason, "ended")
  })
})

describe("G27 the exit code", () => {
  it("G27 is always behind the last output byte, and in the last chunk alone", async () => {
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        await using terminal = await shell(`seq 5000; printf end-${index}; exit ${index}`)
        const { chunks, text } = await readAll(terminal)
        assert.strictEqual(text, `${numbered(5000)}end-${index}`)
        assert.deepStrictEqual(
          chunks.flatMap(({ exitCode }, at) => (exitCode === undefined ? [] : [[at, exitCode]])),
          [[chunks.length - 1, index]]
        )
        assert.isUndefined(chunks.at(-1)?.stdout)
      })
    )
  })
})

describe("G28 the cursor is exclusive", () => {
  it("G28 from each chunk's sequence comes exactly what is behind it, nothing twice", async () => {
    await using terminal = await shell("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.02; done")
    const { chunks, text } = await readAll(terminal)
    let seen = ""
    for (const chunk of chunks.slice(0, -1)) {
      seen += textOf([chunk])
      await using again = await client.reconnectTerminal(terminal.sessionId, { replayFromSequence: chunk.sequence })
      assert.strictEqual(again.lastSequence, chunk.sequence)
      assert.strictEqual(seen + (await readAll(again)).text, text)
    }
  })
})

describe("a shell session", () => {
  it("G3 has what its commands wrote in streams of their own, in order", async () => {
    const program = Effect.gen(function* () {
      const exec = yield* Exec
      const { id } = yield* exec.start({ language: "bash" })
      for (const word of ["one", "two"]) yield* exec.exec(id, { code: `echo out ${word}; echo err ${word} >&2` })
      yield* exec.end(id)
      return id
    })
    const engine = EngineClient.layer({ paths: storePaths(under.store), start: true })
    const id = await Effect.runPromise(Effect.provide(program, engine))
    await using terminal = await client.reconnectTerminal(id)
    const { chunks, last } = await readAll(terminal)
    const errors = chunks.flatMap(({ stderr }) => (stderr === undefined ? [] : [Buffer.from(stderr).toString()]))
    assert.strictEqual(errors.join(""), "err one\nerr two\n")
    assert.match(textOf(chunks), /out one\n(.*\n)*out two\n/)
    assertOrdered(chunks, 0)
    assert.strictEqual(last?.reason, "ended")
  })
})
