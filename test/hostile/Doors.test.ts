/**
 * Who may come in, and what a door does with nonsense, at a real engine and a real WebSocket door. What thousands of
 * clients at once do is in test/remote/HostileClients.test.ts; another user of the machine in test/cli/serve.test.ts.
 */
import { readdirSync, readFileSync } from "node:fs"
import { createConnection } from "node:net"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { SUBPROTOCOL } from "../../src/remote/WebSocketProtocol.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { connectRaw, connectWebSocket, handshake, type RawClient } from "../remote/rawClient.ts"
import { create, memoryOf, outputBytes, settlesBelow, untilOutput } from "./hostileEngine.ts"

/** REPRISE_TRIES raises it to the 10,000 that the promise is about. */
const WRONG_TOKENS = Math.min(10_000, 5 * Number(process.env.REPRISE_TRIES ?? 100))
/** Of those in flight at a time: fewer than the places of a door. */
const AT_A_TIME = 50
/** A promise of time holds in relation to what an ordinary client needs in the same run. */
const LOADED = 20
/** What a door gives a client that says nothing. */
const SILENCE_MILLIS = 1000
/** The quickest of so many counts: a machine that stalls makes any of them late. */
const QUICKEST_OF = 4

describe("doors", { timeout: 180_000 }, () => {
  const cli = new CommandLine()
  const paths = storePaths(cli.store)
  const client = () => EngineClient.layer({ paths, start: false, actor: "test" })
  let door: { readonly url: string; readonly token: string; readonly pid: number }
  let stopDoor: () => Promise<unknown>
  let engine = 0
  let session = ""

  beforeAll(async () => {
    session = (await cli.text(["run", "--detach", "--", "sh", "-c", "env; cat"])).trim()
    engine = (await cli.enginePid())!
    // What draws screens is started a while after the engine, or with the first look: its memory is no growth.
    await cli.text(["inspect", session])
    const serve = cli.spawn(["serve", "--json"])
    door = JSON.parse(await new Promise((resolve) => serve.stdout!.once("data", (line) => resolve(String(line)))))
    stopDoor = () => {
      const ended = new Promise((resolve) => serve.once("exit", resolve))
      serve.kill("SIGTERM")
      return ended
    }
  })
  afterAll(async () => {
    await stopDoor()
    await cli.dispose()
  })

  /** The first line that the door answers, asked again when this process was too slow to ask: a door gives silence a second. */
  const upgraded = async (token: string | undefined): Promise<string> => {
    for (;;) {
      const began = performance.now()
      const answer = await upgrade(token)
      if (answer !== "" || performance.now() - began < SILENCE_MILLIS) return answer
    }
  }
  /** The first line that the door answers; "" when it is cut off. */
  const upgrade = (token: string | undefined): Promise<string> =>
    new Promise((resolve) => {
      const port = Number(new URL(door.url).port)
      const socket = createConnection(port, "127.0.0.1")
      let answer = ""
      socket.setEncoding("latin1")
      socket.on("error", () => {})
      socket.on("close", () => resolve(answer.split("\r\n")[0]!))
      socket.on("data", (chunk) => {
        answer += chunk
        if (answer.startsWith("HTTP/1.1 101")) socket.destroy()
      })
      socket.write(
        `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
          `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n` +
          `${token === undefined ? "" : `Authorization: Bearer ${token}\r\n`}\r\n`
      )
    })

  it(`hostile case 22: without a token and with ${WRONG_TOKENS} wrong ones nobody comes in, and the right one does meanwhile`, {
    timeout: 60_000 + WRONG_TOKENS * 20
  }, async () => {
    assert.include(await upgraded(undefined), " 401 ")
    const { token } = door
    // One character off, its beginning, its end, another case: as near as a guess can be.
    const near = [
      `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`,
      token.slice(0, -1),
      `${token}x`,
      token.toUpperCase(),
      "x".repeat(token.length)
    ]
    const since = performance.now()
    let answered = 0
    for (let tried = 0; tried < WRONG_TOKENS; tried += AT_A_TIME) {
      const answers = await Promise.all(
        Array.from({ length: AT_A_TIME }, (_, index) => upgrade(near[(tried + index) % near.length]))
      )
      for (const answer of answers) assert.match(answer, /^$| 401 /)
      answered += answers.filter((answer) => answer !== "").length
      if (tried % 250 === 0) assert.include(await upgraded(token), " 101 ")
    }
    // Twenty a second are answered, so that guessing is slow and costs the door little.
    assert.isAtMost(answered, 20 * (2 + Math.ceil((performance.now() - since) / 1000)))
    assert.include(await upgraded(token), " 101 ")
  })

  it("hostile case 22: the token is in no command line, no environment, no log and no journal", async () => {
    const uid = process.getuid?.()
    const holding: Array<string> = []
    let looked = 0
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
      for (const file of ["cmdline", "environ"]) {
        try {
          const text = readFileSync(`/proc/${pid}/${file}`)
          looked++
          if (text.includes(door.token)) holding.push(`${pid} ${file}`)
        } catch {
          // It ended, or is not ours to look into.
        }
      }
    }
    assert.isAbove(looked, 4, `uid ${uid}`)
    assert.deepStrictEqual(holding, [])
    const output = await cli.text(["replay", session])
    assert.include(output, "PATH=")
    assert.notInclude(output, door.token)
    // Its own file, for the owner alone, while the door is open.
    assert.deepStrictEqual(filesHolding(cli.store, door.token), [`serve-${new URL(door.url).port}.token`])
  })

  it("hostile case 23: lengths of a gigabyte and more, half a frame, brackets without end: each ends soon and costs little", async () => {
    const doors: ReadonlyArray<readonly [string, number, () => Promise<RawClient>]> = [
      ["the engine's socket", engine, () => connectRaw({ path: paths.engineSocket })],
      ["the WebSocket door", door.pid, () => connectWebSocket(door.url, door.token)],
      ["the door's port", door.pid, () => connectRaw({ host: "127.0.0.1", port: Number(new URL(door.url).port) })]
    ]
    const inputs: Readonly<Record<string, Uint8Array>> = {
      // LEB128: 1 GiB, the largest, and as many bytes as a negative number takes.
      "1 GiB": Buffer.of(0x80, 0x80, 0x80, 0x80, 0x04, 0, 0),
      negative: Buffer.concat([Buffer.alloc(9, 0xff), Buffer.of(0x01)]),
      endless: Buffer.alloc(11, 0xff),
      "half a frame": handshake.subarray(0, 20),
      brackets: Buffer.from("[".repeat(100_000)),
      prototype: Buffer.from(`{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}`)
    }
    // What a door loads for its first client, and how long a connection takes in this run.
    const ordinary: Array<number> = []
    for (const [, , connect] of doors) {
      for (let round = 0; round < 3; round++) {
        const began = performance.now()
        const { stream, reset } = await connect()
        ordinary.push(performance.now() - began)
        stream.on("error", () => {})
        reset()
      }
    }
    const slack = LOADED * Math.max(...ordinary)
    for (const [name, pid, connect] of doors) {
      const before = memoryOf(pid).now
      for (const [what, bytes] of Object.entries(inputs)) {
        const times: Array<number> = []
        while (times.length < QUICKEST_OF && (times.at(-1) ?? Number.POSITIVE_INFINITY) >= 2000 + slack) {
          const { closed, stream } = await connect()
          const began = performance.now()
          stream.on("error", () => {})
          stream.resume()
          stream.write(bytes)
          await closed
          times.push(performance.now() - began)
        }
        // Silence is given a second; the end of it is seen when the machine has time.
        assert.isBelow(times.at(-1)!, 2000 + slack, `${name}: ${what}`)
      }
      await Effect.runPromise(settlesBelow(pid, before + 8))
    }
    assert.strictEqual(await cli.enginePid(), engine)
  })

  it("hostile case 23: `__proto__` is a name like any other, and no object learns of it", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const env = JSON.parse('{"PATH":"/usr/bin:/bin","__proto__":"a","constructor":"b","toString":"c"}')
      const named = yield* sessions.create({ argv: ["sh", "-c", "env; echo end"], env })
      const first = outputBytes(yield* untilOutput(named.id, Number.POSITIVE_INFINITY)).toString()
      for (const line of ["__proto__=a", "constructor=b", "toString=c"]) assert.include(first.split("\r\n"), line)
      const plain = yield* create(["sh", "-c", "env; echo end"])
      const second = outputBytes(yield* untilOutput(plain, Number.POSITIVE_INFINITY)).toString()
      assert.include(second, "end")
      assert.notMatch(second, /__proto__|polluted|constructor/)
    }).pipe(Effect.provide(client()), Effect.runPromise))
})
