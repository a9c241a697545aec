/**
 * Clients that mean harm, or are broken, on every door of a real engine: they are ended soon, and nobody else notices.
 * Memory is measured over the whole of it: V8 gives back late what a thousand connections took, so the bound is on where
 * it stops and not on each step.
 */
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { storePaths } from "../../src/session/StorePaths.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { residentMibOf } from "../fixtures/processFigures.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { call, connectRaw, connectWebSocket, handshake, type RawClient, rawCall } from "./rawClient.ts"

/** A second is the promise; a busy machine may take some more until it is seen. */
const ENDED_MILLIS_MAX = 20_000
/** What the engine may hold on to after all of it, above what it had when it was idle. */
const ENGINE_GROWTH_MIB_MAX = 500
const DOOR_GROWTH_MIB_MAX = 300

describe("hostile clients at the doors", () => {
  const cli = new CommandLine()
  const paths = storePaths(cli.store)
  let door: { readonly url: string; readonly token: string; readonly pid: number }
  let engine: number
  let before: { readonly engine: number; readonly door: number }
  let stopDoor: () => Promise<void>

  beforeAll(async () => {
    await cli.text(["run", "--detach", "--name", "cat", "--", "cat"])
    engine = (await cli.enginePid())!
    const serve = cli.spawn(["serve", "--json"])
    door = JSON.parse(await new Promise((resolve) => serve.stdout!.once("data", (line) => resolve(String(line)))))
    stopDoor = async () => {
      const ended = new Promise((resolve) => serve.once("exit", resolve))
      serve.kill("SIGTERM")
      assert.strictEqual(await ended, 0)
    }
    before = { engine: residentMibOf(engine), door: residentMibOf(door.pid) }
  })
  afterAll(async () => {
    await stopDoor()
    await cli.dispose()
  })

  const doors: ReadonlyArray<readonly [string, () => Promise<RawClient>]> = [
    ["the engine's socket", () => connectRaw({ path: paths.engineSocket })],
    ["the WebSocket door, with the token", () => connectWebSocket(door.url, door.token)],
    ["the WebSocket door's port", () => connectRaw({ host: "127.0.0.1", port: Number(new URL(door.url).port) })]
  ]

  /** The same engine, and it serves the next client, right after. */
  const stillServes = async (): Promise<void> => {
    assert.strictEqual(await cli.enginePid(), engine)
  }
  const endsSoon = async (clients: ReadonlyArray<RawClient>, what: string): Promise<void> => {
    const slow = sleep(ENDED_MILLIS_MAX, "slow" as const, { ref: false })
    for (const client of clients) {
      client.stream.resume()
      assert.notStrictEqual(await Promise.race([client.closed, slow]), "slow", what)
    }
  }

  for (const [name, connect] of doors) {
    it(`hostile case 23: ${name}: garbage ends with its connection`, async () => {
      const random = seededRandom(11)
      const pieces = [
        Buffer.from("GET /x HTTP/1.1\r\n\r\n"),
        Buffer.alloc(70_000, 0xff),
        Buffer.alloc(70_000),
        Buffer.from("[".repeat(100_000)),
        ...Array.from({ length: 30 }, () => randomBytes(1 + random.below(100_000)))
      ]
      const clients = await Promise.all(
        pieces.map(async (bytes) => {
          const client = await connect()
          client.stream.write(bytes)
          return client
        })
      )
      await endsSoon(clients, "garbage")
      await stillServes()
    })

    it(`hostile case 23: ${name}: a length of a gigabyte ends with its connection`, async () => {
      const lengths = [
        // LEB128, 1 GiB and the largest there is; a WebSocket frame; HTTP.
        Buffer.of(0x80, 0x80, 0x80, 0x80, 0x04, 0, 0),
        Buffer.alloc(10, 0xff),
        Buffer.concat([Buffer.of(0x82, 0xff), Buffer.of(0, 0, 0, 0, 0x40, 0, 0, 0), Buffer.alloc(100)]),
        Buffer.from("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1073741824\r\n\r\nabc")
      ]
      for (const bytes of lengths) {
        const client = await connect()
        client.stream.write(bytes)
        await endsSoon([client], "a length of a gigabyte")
      }
      await stillServes()
    })

    it(`hostile case 23: ${name}: half a message and then silence, or the end, is ended`, async () => {
      const silent = await connect()
      silent.stream.write(handshake.subarray(0, 20))
      const gone = await connect()
      gone.stream.end(handshake.subarray(0, 20))
      await endsSoon([silent, gone], "half a message")
      await stillServes()
    })

    it(`reliability row 35: ${name}: a hundred connections that are reset`, async () => {
      for (let round = 0; round < 100; round++) {
        const { stream, reset } = await connect()
        if (round % 3 > 0) stream.write(round % 3 === 1 ? handshake : handshake.subarray(0, 9))
        reset()
      }
      await stillServes()
    })

    it(`${name}: a thousand connections at once that say nothing keep nobody out`, async () => {
      const clients = await Promise.all(Array.from({ length: 1000 }, connect))
      await stillServes()
      await endsSoon(clients, "silence")
      await stillServes()
    })
  }

  for (const [name, connect] of doors.slice(0, 2)) {
    it(`${name}: after a handshake, rubbish, an empty message or half a gigabyte ends the connection`, async () => {
      for (const bytes of [
        randomBytes(5000),
        Buffer.of(0),
        Buffer.of(0x80, 0x80, 0x80, 0x80, 0x02),
        rawCall(2, "x", handshake).fill(7, 8)
      ]) {
        const client = await connect()
        client.stream.write(handshake)
        await new Promise((resolve) => client.stream.once("data", resolve))
        client.stream.write(bytes)
        await endsSoon([client], `rubbish ${bytes.length}`)
      }
      await stillServes()
    })

    it(`${name}: another call than the handshake is not answered first`, async () => {
      const client = await connect()
      let answered = 0
      client.stream.on("data", (data: Buffer) => {
        answered += data.byteLength
      })
      client.stream.write(call(1, "List"))
      await endsSoon([client], "no handshake")
      assert.strictEqual(answered, 0)
    })

    it(`${name}: damaged calls fail alone, or end their connection`, async () => {
      const random = seededRandom(23)
      const tags = ["StateAt", "Create", "Exec", "Write", "Follow", "ExecSend", "Nothing"]
      const clients: Array<RawClient> = []
      for (let round = 0; round < 200; round++) {
        const client = await connect()
        clients.push(client)
        client.stream.resume()
        client.stream.write(handshake)
        // Payloads that claim depth and length they do not have.
        const payload = Buffer.from(
          round % 2 === 0 ? randomBytes(random.below(2000)) : Buffer.alloc(random.below(50_000), 1 + random.below(255))
        )
        const message = Buffer.from(rawCall(2, tags[round % tags.length]!, payload))
        if (round % 3 === 0) message[4 + random.below(message.length - 4)]! ^= 1 << random.below(8)
        client.stream.write(message)
      }
      await stillServes()
      for (const { stream } of clients) stream.destroy()
    })

    it(`${name}: a client that asks and never reads is not read any more, and costs little`, async () => {
      const client = await connect()
      client.stream.pause()
      client.stream.write(handshake)
      let id = 2
      // Until it is not taken any more, or far more than the system's own buffers hold was.
      for (let rounds = 0; rounds < 2000; rounds++) {
        const calls = Buffer.concat(Array.from({ length: 500 }, () => call(id++, "List")))
        if (!client.stream.write(calls)) {
          const isTaken = await Promise.race([
            new Promise((resolve) => client.stream.once("drain", () => resolve(true))),
            sleep(500, false)
          ])
          if (isTaken === false) break
        }
      }
      assert.isBelow(id, 900_000, "it was taken without end")
      await stillServes()
      client.stream.destroy()
    })

    it(`${name}: unfinished messages of many connections are bounded together`, async () => {
      const clients = await Promise.all(Array.from({ length: 24 }, connect))
      const half = Buffer.concat([Buffer.of(0x80, 0x80, 0x80, 0x04), Buffer.alloc(8 * 1024 * 1024 - 1)])
      for (const { stream } of clients) {
        stream.write(handshake)
        stream.resume()
        stream.write(half)
        // One after the other: each has its bytes there before the next.
        await Promise.race([new Promise((resolve) => stream.once("drain", resolve)), sleep(100)])
      }
      await stillServes()
      const slow = sleep(ENDED_MILLIS_MAX, "slow" as const, { ref: false })
      assert.notStrictEqual(await Promise.race([slow, ...clients.map(({ closed }) => closed)]), "slow")
      for (const { stream } of clients) stream.destroy()
    })
  }

  it("the engine and the door hold on to little of all that", async () => {
    await stillServes()
    const after = { engine: residentMibOf(engine), door: residentMibOf(door.pid) }
    assert.isBelow(after.engine - before.engine, ENGINE_GROWTH_MIB_MAX)
    assert.isBelow(after.door - before.door, DOOR_GROWTH_MIB_MAX)
  })
})
