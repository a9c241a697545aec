/** Peers that mean harm, or are broken, at a keeper's door: each is ended soon, the keeper and its sessions go on. */
import { randomBytes } from "node:crypto"
import { connect, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { FrameType, jsonFrame, PROTOCOL_VERSION } from "../../src/keeper/Frames.ts"
import { connectKeeper, probeKeeper } from "../../src/keeper/KeeperClient.ts"
import { HostUnavailable } from "../../src/keeper/PtyHost.ts"
import { newSession, spawnRequest } from "../contracts/PtyHostContract.ts"
import { isAlive } from "../fixtures/processes.ts"
import { residentMibOf } from "../fixtures/processFigures.ts"
import { type KeeperUnderTest, silent, startTestKeeper } from "./keeperUnderTest.ts"

/** A second is the promise; a busy machine may take some more until it is seen. */
const ENDED_MILLIS_MAX = 20_000
/** What the keeper may hold on to after all of it, above what it had when it was idle. */
const GROWTH_MIB_MAX = 150

const HELLO = jsonFrame(FrameType.Hello, 0, { protocol: PROTOCOL_VERSION, generation: 1 })

interface Peer {
  readonly socket: Socket
  readonly closed: Promise<unknown>
}

describe("a keeper's door", () => {
  let keeper: KeeperUnderTest
  let before: number
  beforeAll(async () => {
    keeper = await startTestKeeper()
    const host = await connectKeeper({ socket: keeper.socket, generation: 1, listener: silent })
    await host.spawn(spawnRequest(["cat"], { session: newSession() }))
    await host.dispose()
    before = residentMibOf(keeper.pid)
  })
  afterAll(() => keeper.dispose())

  const peer = (): Promise<Peer> =>
    new Promise((resolve) => {
      const socket = connect(keeper.socket)
      const closed = new Promise((end) => socket.once("close", end))
      socket.on("error", () => resolve({ socket, closed }))
      socket.once("connect", () => resolve({ socket, closed }))
    })
  /** The kernel turns callers away (EAGAIN) while as many wait as it lets: they come again, as the engine does. */
  const probe = async (since = performance.now()): ReturnType<typeof probeKeeper> => {
    try {
      return await probeKeeper(keeper.socket)
    } catch (error) {
      const isFinal = error instanceof HostUnavailable && error.isFinal
      if (isFinal || performance.now() - since > ENDED_MILLIS_MAX) throw error
      await sleep(20)
      return probe(since)
    }
  }
  const stillServes = async (): Promise<void> => {
    assert.isTrue(isAlive(keeper.pid))
    const { pid, sessions } = await probe()
    assert.deepStrictEqual({ pid, sessions }, { pid: keeper.pid, sessions: 1 })
  }
  const endSoon = async (peers: ReadonlyArray<Peer>, what: string): Promise<void> => {
    const slow = sleep(ENDED_MILLIS_MAX, "slow", { ref: false })
    for (const { closed, socket } of peers) {
      socket.resume()
      assert.notStrictEqual(await Promise.race([closed, slow]), "slow", what)
    }
  }
  const rubbish: ReadonlyArray<readonly [string, Buffer]> = [
    ["random bytes", randomBytes(50_000)],
    ["a length of a gigabyte", Buffer.of(0x40, 0, 0, 0, FrameType.Hello)],
    ["a length of nothing", Buffer.alloc(8)],
    ["an unknown type", Buffer.of(0, 0, 0, 5, 200, 0, 0, 0, 1)],
    ["deep JSON", jsonFrameOf("[".repeat(4000))],
    ["deep JSON that is complete", jsonFrameOf(`{"protocol":${"[".repeat(1900)}${"]".repeat(1900)}}`)],
    ["JSON that is no object", jsonFrameOf("7")],
    ["a generation that is none", jsonFrameOf(`{"protocol":${PROTOCOL_VERSION},"generation":-1}`)]
  ]

  it("ends whoever says hello wrongly", async () => {
    for (const [what, bytes] of rubbish) {
      const one = await peer()
      one.socket.write(bytes)
      await endSoon([one], what)
    }
    await stillServes()
  })

  it("hostile case 23: ends silence, half a frame and then silence, half a frame and then the end", async () => {
    const peers = await Promise.all([peer(), peer(), peer()])
    peers[1]!.socket.write(HELLO.subarray(0, 10))
    peers[2]!.socket.end(HELLO.subarray(0, 10))
    await endSoon(peers, "half a frame")
    await stillServes()
  })

  it("ends an engine that sends rubbish after its hello", async () => {
    for (const [what, bytes] of rubbish.slice(0, 3)) {
      const one = await peer()
      one.socket.write(HELLO)
      await new Promise((resolve) => one.socket.once("data", resolve))
      one.socket.write(bytes)
      await endSoon([one], what)
    }
    await stillServes()
  })

  it("hostile case 23: answers requests that are a megabyte of brackets, and goes on", async () => {
    const one = await peer()
    one.socket.write(HELLO)
    let answers = ""
    one.socket.on("data", (data) => {
      answers += data.toString("latin1")
    })
    const depth = 900_000
    one.socket.write(jsonFrameOf(`{"argv":${"[".repeat(depth)}${"]".repeat(depth)}}`, FrameType.Spawn))
    while (!answers.includes("malformed") && !one.socket.destroyed) await sleep(5)
    one.socket.destroy()
    await stillServes()
  })

  it("reliability row 35: is reset a hundred times", async () => {
    for (let round = 0; round < 100; round++) {
      const { socket } = await peer()
      if (round % 3 > 0) socket.write(round % 3 === 1 ? HELLO : HELLO.subarray(0, 7))
      socket.destroy()
    }
    await stillServes()
  })

  it("lets a new one in while a thousand say nothing", async () => {
    const peers = await Promise.all(Array.from({ length: 1000 }, peer))
    await stillServes()
    await endSoon(peers, "silence")
  })

  it("reads no more of an engine that asks and never reads", async () => {
    const one = await peer()
    one.socket.pause()
    one.socket.write(HELLO)
    const list = jsonFrame(FrameType.List, 1, null)
    const block = Buffer.concat(Array.from({ length: 1000 }, () => list))
    let blocks = 0
    for (; blocks < 3000; blocks++) {
      if (one.socket.write(block)) continue
      const drained = new Promise((resolve) => one.socket.once("drain", () => resolve(true)))
      if ((await Promise.race([drained, sleep(500, false)])) === false) break
    }
    assert.isBelow(blocks, 3000, "it was taken without end")
    await stillServes()
    one.socket.destroy()
  })

  it("holds on to little of all that", async () => {
    await stillServes()
    assert.isBelow(residentMibOf(keeper.pid) - before, GROWTH_MIB_MAX)
  })
})

function jsonFrameOf(text: string, type: number = FrameType.Hello): Buffer {
  const body = Buffer.from(text)
  const bytes = Buffer.alloc(9)
  bytes.writeUInt32BE(body.length + 5)
  bytes[4] = type
  bytes.writeUInt32BE(1, 5)
  return Buffer.concat([bytes, body])
}
