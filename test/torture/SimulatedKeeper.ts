/**
 * A keeper without a process: the contract of PtyHost for terminals, kept in memory, with programs that echo what they are
 * given and print what a test makes them print. It outlives the engines that connect to it, as a real one does, and
 * remembers everything that its programs printed and were given: what must be found in the journal. It has no pipes, so
 * it holds no shells for commands.
 */
import { PROTOCOL_VERSION } from "../../src/keeper/Frames.ts"
import type { KeeperConnectOptions, KeeperWelcome } from "../../src/keeper/KeeperClient.ts"
import { OWN_CAPABILITIES } from "../../src/keeper/Protocol.ts"
import {
  type HeldSession,
  HostUnavailable,
  type LeaderExit,
  OUTPUT_CHUNK_BYTES_MAX,
  type PtyHost,
  type PtyHostListener,
  SessionUnknown,
  SpawnError,
  type SpawnRequest
} from "../../src/keeper/PtyHost.ts"
import type { WriteResult } from "../../src/keeper/WriteResult.ts"

type SessionId = SpawnRequest["session"]

export interface AppliedInput {
  readonly sequence: number
  readonly bytes: Buffer
}

/** One program and its terminal. */
export class SimulatedProgram {
  readonly session: SessionId
  readonly pid: number
  /** Everything it has printed. */
  printed = Buffer.alloc(0)
  /** Everything it was given, in order. */
  readonly applied: Array<AppliedInput> = []
  /** It reads a secret: what is typed is not echoed. */
  isSecret = false
  size: SpawnRequest["size"]
  heldFrom: number
  deliveredTo: number
  isDelivering = true
  inputSequence: number
  exit: LeaderExit | null = null
  isExitDelivered = false
  isClosedDelivered = false
  #listener: () => PtyHostListener | undefined

  constructor(request: SpawnRequest, pid: number, listener: () => PtyHostListener | undefined) {
    this.session = request.session
    this.pid = pid
    this.size = request.size
    this.heldFrom = request.firstOffset ?? 0
    this.deliveredTo = this.heldFrom
    this.inputSequence = request.inputSequence ?? 0
    this.#listener = listener
  }

  print(bytes: Uint8Array): void {
    if (this.exit !== null) return
    this.printed = Buffer.concat([this.printed, bytes])
    this.deliver()
  }

  end(exitCode: number | null, signal: string | null = null): void {
    if (this.exit !== null) return
    this.exit = { exitCode, signal, timeMicros: 1 }
    this.deliver()
  }

  type(sequence: number, bytes: Uint8Array): WriteResult {
    if (sequence <= this.inputSequence) return { outcome: "repeated" }
    if (this.exit !== null) return { outcome: "closed" }
    this.inputSequence = sequence
    this.applied.push({ sequence, bytes: Buffer.from(bytes) })
    if (!this.isSecret) this.print(bytes)
    return { outcome: "applied" }
  }

  deliver(): void {
    const listener = this.#listener()
    if (listener === undefined || !this.isDelivering) return
    while (this.deliveredTo < this.printed.length) {
      const offset = this.deliveredTo
      const bytes = this.printed.subarray(offset, offset + OUTPUT_CHUNK_BYTES_MAX)
      this.deliveredTo += bytes.length
      listener.output(this.session, offset, bytes)
    }
    if (this.exit === null) return
    if (!this.isExitDelivered) listener.leaderExited(this.session, this.exit)
    this.isExitDelivered = true
    if (!this.isClosedDelivered) listener.terminalClosed(this.session, this.printed.length)
    this.isClosedDelivered = true
  }

  view(): HeldSession {
    return {
      session: this.session,
      pid: this.pid,
      startTime: "1",
      heldFrom: this.heldFrom,
      outputBytes: this.printed.length,
      inputSequence: this.inputSequence,
      size: this.size,
      leaderExit: this.exit,
      terminalClosed: this.exit !== null
    }
  }
}

/** Above every pid there can be: nobody signals a process by mistake. */
let lastPid = 2 ** 22

export class SimulatedKeeper {
  readonly id: string
  readonly socket: string
  readonly pid = ++lastPid
  readonly programs = new Map<SessionId, SimulatedProgram>()
  /** Every program there ever was, by session: more than one for a session would be one too many. */
  readonly everStarted: Array<SimulatedProgram> = []
  isAlive = true
  readonly #activity: () => void
  #generation = 0
  #listener: PtyHostListener | undefined

  constructor(id: string, socket: string, activity: () => void) {
    this.id = id
    this.socket = socket
    this.#activity = activity
  }

  get welcome(): KeeperWelcome & { readonly socket: string } {
    const { id, pid, socket } = this
    return {
      id,
      pid,
      socket,
      protocol: PROTOCOL_VERSION,
      sessions: this.programs.size,
      sessionsMax: 256,
      lastFault: ""
    }
  }

  /** As kill -9 would: its programs are gone with it. */
  kill(): void {
    this.isAlive = false
    const listener = this.#listener
    this.#listener = undefined
    listener?.disconnected("the keeper was killed")
  }

  async connect({ generation, listener }: Omit<KeeperConnectOptions, "socket">): Promise<PtyHost> {
    if (!this.isAlive) throw new HostUnavailable(`no keeper at ${this.socket}: connect ECONNREFUSED`, { isFinal: true })
    if (generation < this.#generation) throw new HostUnavailable("superseded by a newer engine", { isFinal: true })
    this.#generation = generation
    for (const program of this.programs.values()) program.isDelivering = false
    this.#listener = listener
    return this.#host(listener)
  }

  #host(listener: PtyHostListener): PtyHost {
    const isMine = () => this.isAlive && this.#listener === listener
    const find = (session: SessionId): SimulatedProgram => {
      this.#activity()
      if (!isMine()) throw new HostUnavailable("the connection ended")
      const program = this.programs.get(session)
      if (program === undefined) throw new SessionUnknown(`session ${session} is not here`)
      return program
    }
    const none = async (): Promise<never> => {
      throw new HostUnavailable("a simulated keeper has no pipes")
    }
    return {
      id: this.id,
      pid: this.pid,
      sessionsMax: 256,
      capabilities: OWN_CAPABILITIES,
      spawn: async (request) => {
        this.#activity()
        if (!isMine()) throw new HostUnavailable("the connection ended")
        const before = this.programs.get(request.session)
        if (before !== undefined && !(request.replace === true && before.exit !== null))
          throw new SpawnError("session-exists", `session ${request.session} exists`)
        const program = new SimulatedProgram(request, ++lastPid, () => this.#listener)
        this.programs.set(request.session, program)
        this.everStarted.push(program)
        return { pid: program.pid, startTime: "1" }
      },
      list: async () => {
        this.#activity()
        if (!isMine()) throw new HostUnavailable("the connection ended")
        return [...this.programs.values()].map((program) => program.view())
      },
      attach: async (session, fromOffset, attached) => {
        const program = find(session)
        program.isDelivering = true
        program.deliveredTo = Math.min(Math.max(fromOffset, program.heldFrom), program.printed.length)
        program.isExitDelivered = false
        program.isClosedDelivered = false
        const held = program.view()
        attached?.(held)
        setImmediate(() => {
          this.#activity()
          program.deliver()
        })
        return held
      },
      ack: (session, offset) => {
        const program = this.programs.get(session)
        if (isMine() && program !== undefined) program.heldFrom = Math.max(program.heldFrom, offset)
      },
      write: async (session, sequence, bytes) => find(session).type(sequence, bytes),
      mode: async (session) => {
        const { isSecret } = find(session)
        return { echo: !isSecret, canonical: true, secret: isSecret, foregroundGroup: 1, queuedBytes: 0 }
      },
      closeInput: async (session, sequence) => {
        const program = find(session)
        const result = program.type(sequence, Buffer.of(4))
        if (result.outcome === "applied") program.end(0)
        return result
      },
      resize: async (session, size) => {
        find(session).size = size
      },
      signal: async (session, signal) => {
        const program = find(session)
        if (signal === "SIGKILL") program.end(null, signal)
        return true
      },
      close: async (session) => {
        find(session).end(null, "SIGHUP")
        return []
      },
      forget: (session) => {
        const program = this.programs.get(session)
        if (isMine() && program !== undefined && program.exit !== null) this.programs.delete(session)
      },
      dispose: async () => {
        if (isMine()) this.#listener = undefined
      },
      openPipes: none,
      listPipes: none,
      attachPipe: none,
      ackPipe: () => {},
      writePipe: none,
      endPipe: none,
      closePipes: () => {},
      inputWait: none,
      setNote: () => {},
      getNote: none,
      resetMode: none
    }
  }
}
