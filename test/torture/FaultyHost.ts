/**
 * A connection to a host (a real keeper or a simulated one) that fails as a plan says: it breaks before a request arrives or
 * after it was done and before the answer, it is slow, it falls silent, it refuses. What passes keeps its order in both
 * directions, as on a socket: a slow frame holds up everything behind it. The host itself never fails.
 */
import { type KeeperConnectOptions, REQUEST_MILLIS_MAX } from "../../src/keeper/KeeperClient.ts"
import { HostUnavailable, type PtyHost, type PtyHostListener, SpawnError } from "../../src/keeper/PtyHost.ts"
import type { FaultPort } from "./FaultPlan.ts"

type Connect = (options: KeeperConnectOptions) => Promise<PtyHost>

/** Longest wait behind a slow frame. */
const SLOW_MILLIS_MAX = 400

const REQUEST_KINDS = ["cut", "cut-after", "slow", "silent"]
const DELIVERY_KINDS = ["cut", "slow"]

/** One direction: what is pushed runs in order, later when something before it is held up. */
class Lane {
  readonly #queue: Array<() => void> = []
  #isHeld = false

  push(run: () => void): void {
    if (this.#isHeld) this.#queue.push(run)
    else run()
  }

  hold(millis: number): void {
    this.push(() => {
      this.#isHeld = true
      if (millis === Number.POSITIVE_INFINITY) return
      setTimeout(() => {
        this.#isHeld = false
        for (;;) {
          if (this.#isHeld) return
          const next = this.#queue.shift()
          if (next === undefined) return
          next()
        }
      }, millis)
    })
  }
}

/** `isEngineAlive`: nothing is answered or delivered to an engine that is dead, and nothing of it arrives any more. */
export const faultyConnect =
  (connect: Connect, port: FaultPort, isEngineAlive: () => boolean = () => true): Connect =>
  async (options) => {
    const fault = port.next("connect", ["refused", "slow"])
    if (fault?.kind === "refused") throw new HostUnavailable(`no keeper at ${options.socket}: connect EAGAIN`)
    if (fault?.kind === "slow") await new Promise((resolve) => setTimeout(resolve, 1 + fault.degree))
    const toHost = new Lane()
    const toEngine = new Lane()
    const pending = new Set<(error: Error) => void>()
    let isBroken = false
    const isOpen = () => !isBroken && isEngineAlive()
    const breakOff = (reason: string) => {
      if (isBroken) return
      isBroken = true
      // A socket tells of its end in a turn of its own.
      setTimeout(() => {
        if (!isEngineAlive()) return
        const error = new HostUnavailable(reason)
        for (const reject of pending) reject(error)
        pending.clear()
        options.listener.disconnected(reason)
      }, 1)
    }
    const deliver = (operation: string, run: () => void) => {
      if (!isOpen()) return
      const fault = port.next(operation, DELIVERY_KINDS)
      if (fault?.kind === "cut") breakOff("the connection was reset")
      else if (fault?.kind === "slow") toEngine.hold(1 + Math.floor((fault.degree * SLOW_MILLIS_MAX) / 1000))
      toEngine.push(() => {
        if (isOpen()) run()
      })
    }
    const { listener } = options
    const faulty: PtyHostListener = {
      output: (session, offset, bytes) => {
        const kept = Uint8Array.from(bytes)
        deliver("output", () => listener.output(session, offset, kept))
      },
      leaderExited: (session, exit) => deliver("leaderExited", () => listener.leaderExited(session, exit)),
      terminalClosed: (session, bytes) => deliver("terminalClosed", () => listener.terminalClosed(session, bytes)),
      pipeOutput: (session, pipe, offset, bytes) => {
        const kept = Uint8Array.from(bytes)
        deliver("pipeOutput", () => listener.pipeOutput(session, pipe, offset, kept))
      },
      pipeEnded: (session, pipe, bytes) => deliver("pipeEnded", () => listener.pipeEnded(session, pipe, bytes)),
      disconnected: (reason) => breakOff(reason)
    }
    const host = await connect({ ...options, listener: faulty })

    const ask = <A>(operation: string, call: () => Promise<A>): Promise<A> =>
      new Promise<A>((resolve, reject) => {
        if (!isEngineAlive()) return
        if (isBroken) return reject(new HostUnavailable("the connection ended"))
        const fault = port.next(operation, REQUEST_KINDS)
        pending.add(reject)
        const settle = (finish: () => void) =>
          toEngine.push(() => {
            if (!isOpen()) return
            pending.delete(reject)
            finish()
          })
        if (fault?.kind === "cut") breakOff("the connection was reset")
        else if (fault?.kind === "slow") toHost.hold(1 + Math.floor((fault.degree * SLOW_MILLIS_MAX) / 1000))
        if (fault?.kind === "silent") {
          toHost.hold(Number.POSITIVE_INFINITY)
          setTimeout(() => breakOff("the keeper did not answer"), REQUEST_MILLIS_MAX)
        }
        toHost.push(() => {
          if (!isOpen()) return
          call().then(
            (answer) => settle(() => resolve(answer)),
            (error: unknown) => settle(() => reject(error))
          )
          if (fault?.kind === "cut-after") breakOff("the connection was reset")
        })
      })
    const tell = (operation: string, call: () => void): void => {
      if (!isOpen()) return
      const fault = port.next(operation, DELIVERY_KINDS)
      if (fault?.kind === "cut") breakOff("the connection was reset")
      else if (fault?.kind === "slow") toHost.hold(1 + Math.floor((fault.degree * SLOW_MILLIS_MAX) / 1000))
      toHost.push(() => {
        if (isOpen()) call()
      })
    }
    /** In the order of the answers, before what was delivered behind it. */
    const inOrder =
      <A>(answered: ((answer: A) => void) | undefined) =>
      (answer: A) =>
        toEngine.push(() => {
          if (isOpen()) answered?.(answer)
        })
    const refusals = (operation: string): boolean => port.next(`${operation}?`, ["refused"]) !== undefined

    return {
      id: host.id,
      pid: host.pid,
      sessionsMax: host.sessionsMax,
      capabilities: host.capabilities,
      spawn: (request) =>
        refusals("spawn")
          ? Promise.reject(new SpawnError("limit", "the process table is full"))
          : ask("spawn", () => host.spawn(request)),
      list: () => ask("list", () => host.list()),
      attach: (session, from, attached) => ask("attach", () => host.attach(session, from, inOrder(attached))),
      ack: (session, offset) => tell("ack", () => host.ack(session, offset)),
      write: (session, sequence, bytes) => {
        const kept = Uint8Array.from(bytes)
        return ask("write", async () =>
          refusals("write") ? { outcome: "full" as const } : host.write(session, sequence, kept)
        )
      },
      mode: (session) => ask("mode", () => host.mode(session)),
      closeInput: (session, sequence) => ask("closeInput", () => host.closeInput(session, sequence)),
      resize: (session, size) => ask("resize", () => host.resize(session, size)),
      signal: (session, signal, target) => ask("signal", () => host.signal(session, signal, target)),
      close: (session, grace) => ask("close", () => host.close(session, grace)),
      forget: (session) => tell("forget", () => host.forget(session)),
      openPipes: (session, pipes) => ask("openPipes", () => host.openPipes(session, pipes)),
      listPipes: (session) => ask("listPipes", () => host.listPipes(session)),
      attachPipe: (session, pipe, from, attached) =>
        ask("attachPipe", () => host.attachPipe(session, pipe, from, inOrder(attached))),
      ackPipe: (session, pipe, offset) => tell("ackPipe", () => host.ackPipe(session, pipe, offset)),
      writePipe: (session, pipe, sequence, bytes) => {
        const kept = Uint8Array.from(bytes)
        return ask("writePipe", () => host.writePipe(session, pipe, sequence, kept))
      },
      endPipe: (session, pipe, sequence) => ask("endPipe", () => host.endPipe(session, pipe, sequence)),
      closePipes: (session, pipes) => tell("closePipes", () => host.closePipes(session, pipes)),
      inputWait: (session) => ask("inputWait", () => host.inputWait(session)),
      setNote: (session, bytes) => tell("setNote", () => host.setNote(session, bytes)),
      getNote: (session) => ask("getNote", () => host.getNote(session)),
      resetMode: (session) => ask("resetMode", () => host.resetMode(session)),
      dispose: async () => {
        isBroken = true
        for (const reject of pending) reject(new HostUnavailable("this connection was closed"))
        pending.clear()
        if (isEngineAlive()) await host.dispose()
      }
    }
  }
