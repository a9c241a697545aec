/**
 * A network with bad days between an engine and a real keeper: a Unix socket in front of the keeper's own, that is slow, tears
 * frames in two, stops reading for a while, and breaks in the middle of a frame, as a plan says. Whole chunks pass in
 * order. How bytes come in chunks is the kernel's, so one seed is here one kind of weather, and not one run.
 */
import { createConnection, createServer, type Socket } from "node:net"
import { join } from "node:path"
import { connectKeeper } from "../../src/keeper/KeeperClient.ts"
import type { KeeperPort } from "../../src/session/Hosts.ts"
import type { FaultPort } from "./FaultPlan.ts"

const KINDS = ["cut", "torn", "slow", "split", "hold"]
const SLOW_MILLIS_MAX = 40
const HOLD_MILLIS_MAX = 400

let doors = 0

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** `folder`: where its sockets lie, private and short. */
export const faultySocket =
  (folder: string, port: FaultPort): KeeperPort["connect"] =>
  async (options) => {
    const door = join(folder, `${doors++}.sock`)
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen(door, resolve)
    })
    server.once("connection", (engine: Socket) => {
      server.close()
      const keeper = createConnection(options.socket)
      const pair = [engine, keeper] as const
      for (const [one, other] of [pair, [keeper, engine]] as const) {
        one.on("error", () => {})
        one.on("close", () => other.destroy())
      }
      pump(engine, keeper, port, "toKeeper")
      pump(keeper, engine, port, "toEngine")
    })
    try {
      return await connectKeeper({ ...options, socket: door })
    } finally {
      server.close()
    }
  }

const pump = (from: Socket, to: Socket, port: FaultPort, direction: string): void => {
  const pass = async (chunk: Buffer): Promise<void> => {
    const fault = port.next(direction, KINDS)
    const place = fault === undefined ? 0 : Math.floor((fault.degree * chunk.length) / 1000)
    switch (fault?.kind) {
      case "cut":
        from.destroy()
        return
      case "torn":
        to.write(chunk.subarray(0, place), () => from.destroy())
        return
      case "slow":
        await sleep(1 + (fault.degree * SLOW_MILLIS_MAX) / 1000)
        break
      case "hold":
        await sleep(1 + (fault.degree * HOLD_MILLIS_MAX) / 1000)
        break
      case "split":
        to.write(chunk.subarray(0, place))
        await sleep(1)
        to.write(chunk.subarray(place))
        return
    }
    to.write(chunk)
  }
  from.on("data", (chunk: Buffer) => {
    from.pause()
    pass(chunk).then(() => from.resume())
  })
  from.on("end", () => to.end())
}
