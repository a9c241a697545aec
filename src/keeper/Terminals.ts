/**
 * A PtyHost over terminals of this process: the core that the keeper serves over its socket and that the in-process
 * host hands out as it is. It finds the session, checks before it forks, and turns signals and closing into calls on
 * the process table. It has no journal, no policy, and no limit but the number of sessions it was given.
 */
import { endSession } from "./EndSession.ts"
import { type Gate, HeldTerminal } from "./HeldTerminal.ts"
import { inputWaitIn } from "./InputWait.ts"
import {
  type HeldPipe,
  type InputWait,
  NOTE_BYTES_MAX,
  PipeError,
  type PipeRequest,
  SPAWN_NOTE_BYTES_MAX
} from "./PipeHost.ts"
import { Pipes } from "./Pipes.ts"
import { checkSpawn } from "./Preflight.ts"
import { processesOfSession, type SessionIdentity, signalGroup, signalProcess } from "./ProcessTable.ts"
import { OWN_CAPABILITIES } from "./Protocol.ts"
import type {
  HeldSession,
  ProcessIdentity,
  PtyHost,
  PtyHostListener,
  SpawnRequest,
  SurvivingProcess,
  TerminalMode
} from "./PtyHost.ts"
import { HostUnavailable, SessionUnknown, SpawnError } from "./PtyHost.ts"
import type { WriteResult } from "./WriteResult.ts"

export interface TerminalsOptions {
  readonly id: string
  readonly listener: PtyHostListener
  readonly sessionsMax: number
  /** The umask of the programs; without it they inherit this process's own. */
  readonly programUmask?: number | undefined
}

type SessionId = SpawnRequest["session"]

export class Terminals implements PtyHost {
  readonly id: string
  readonly pid = process.pid
  readonly capabilities = OWN_CAPABILITIES
  readonly sessionsMax: number
  readonly #options: TerminalsOptions
  readonly #terminals = new Map<SessionId, HeldTerminal>()
  /** Of every session held; they go when it is forgotten. */
  readonly #pipes = new Map<SessionId, Pipes>()
  readonly #notes = new Map<SessionId, Uint8Array>()
  readonly #closing = new Map<SessionId, Promise<ReadonlyArray<SurvivingProcess>>>()
  readonly #gate: { -readonly [K in keyof Gate]: Gate[K] } = { open: true }
  #firstSource = 0
  #disposed = false

  constructor(options: TerminalsOptions) {
    this.#options = options
    this.id = options.id
    this.sessionsMax = options.sessionsMax
  }

  /** Sessions held, ended ones included. */
  get size(): number {
    return this.#terminals.size
  }

  async spawn(request: SpawnRequest): Promise<ProcessIdentity> {
    if (this.#disposed) throw new HostUnavailable("this host was disposed")
    const replaced = this.#terminals.get(request.session)
    if (replaced !== undefined && !(request.replace === true && replaced.pty.exited)) {
      throw new SpawnError("session-exists", `session ${request.session} exists: choose a new id`)
    }
    if (replaced === undefined && this.#terminals.size >= this.sessionsMax) {
      throw new SpawnError("limit", `all ${this.sessionsMax} sessions of this host are taken: close some`)
    }
    checkSpawn(request)
    if ((request.note?.byteLength ?? 0) > SPAWN_NOTE_BYTES_MAX) {
      throw new SpawnError("invalid-argument", `the note of a new program has at most ${SPAWN_NOTE_BYTES_MAX} bytes`)
    }
    const { listener, programUmask } = this.#options
    // A process that the old program left behind may still write into a pipe: they go on.
    const pipes = this.#pipes.get(request.session) ?? new Pipes(request.session, listener, this.#gate)
    const requests = request.pipes ?? []
    try {
      pipes.open(requests)
      const terminal = new HeldTerminal(request, listener, this.#gate, programUmask)
      this.#terminals.set(request.session, terminal)
      this.#pipes.set(request.session, pipes)
      if (request.note !== undefined) this.#notes.set(request.session, Uint8Array.from(request.note))
      replaced?.detach()
      replaced?.pty.destroy()
      return { pid: terminal.pty.pid, startTime: terminal.pty.startTime }
    } catch (error) {
      pipes.close(requests.map(({ pipe }) => pipe))
      if (!(error instanceof PipeError)) throw error
      const { failure, message } = error
      throw new SpawnError(failure === "pipe-unknown" || failure === "unsupported" ? "failed" : failure, message)
    }
  }

  async list(): Promise<ReadonlyArray<HeldSession>> {
    return [...this.#terminals.values()].map((terminal) => terminal.view())
  }

  async attach(session: SessionId, fromOffset: number, attached?: (held: HeldSession) => void): Promise<HeldSession> {
    const terminal = this.#find(session)
    terminal.attach(fromOffset)
    const held = terminal.view()
    attached?.(held)
    return held
  }

  ack(session: SessionId, offset: number): void {
    this.#terminals.get(session)?.ack(offset)
  }

  async write(session: SessionId, sequence: number, bytes: Uint8Array): Promise<WriteResult> {
    return this.#find(session).write(sequence, bytes)
  }

  async mode(session: SessionId): Promise<TerminalMode> {
    return this.#find(session).pty.mode()
  }

  async closeInput(session: SessionId, sequence: number): Promise<WriteResult> {
    return this.#find(session).closeInput(sequence)
  }

  async resize(session: SessionId, size: SpawnRequest["size"]): Promise<void> {
    this.#find(session).resize(size)
  }

  async signal(session: SessionId, signal: NodeJS.Signals, target: Parameters<PtyHost["signal"]>[2]): Promise<boolean> {
    const { pty } = this.#find(session)
    switch (target) {
      case "foreground":
        return signalGroup(pty.foregroundGroup(), pty, signal)
      case "leader":
        return signalProcess(pty, signal)
      case "session": {
        const entries = processesOfSession(identityOf(session, pty))
        // No short circuit: every one of them gets it.
        return entries.filter((entry) => signalProcess(entry, signal)).length > 0
      }
    }
  }

  async close(session: SessionId, graceMillis?: number): Promise<ReadonlyArray<SurvivingProcess>> {
    const terminal = this.#find(session)
    const running = this.#closing.get(session)
    if (running !== undefined) return running
    const identity = identityOf(session, terminal.pty)
    const closing = endSession(identity, () => terminal.pty.exited, graceMillis).finally(() =>
      this.#closing.delete(session)
    )
    this.#closing.set(session, closing)
    return closing
  }

  /** Refused without a word while the leader lives: a running program must not become one that nobody knows of. */
  forget(session: SessionId): void {
    const terminal = this.#terminals.get(session)
    if (terminal === undefined || !terminal.pty.exited) return
    terminal.detach()
    this.#terminals.delete(session)
    terminal.pty.destroy()
    this.#pipes.get(session)?.closeAll()
    this.#pipes.delete(session)
    this.#notes.delete(session)
  }

  async openPipes(session: SessionId, pipes: ReadonlyArray<PipeRequest>): Promise<void> {
    this.#findPipes(session).open(pipes)
  }

  async listPipes(session: SessionId): Promise<ReadonlyArray<HeldPipe>> {
    return this.#findPipes(session).list()
  }

  async attachPipe(
    session: SessionId,
    pipe: number,
    fromOffset: number,
    attached?: (held: HeldPipe) => void
  ): Promise<HeldPipe> {
    const held = this.#findPipes(session).attach(pipe, fromOffset)
    attached?.(held)
    return held
  }

  ackPipe(session: SessionId, pipe: number, offset: number): void {
    this.#pipes.get(session)?.ack(pipe, offset)
  }

  async writePipe(session: SessionId, pipe: number, sequence: number, bytes: Uint8Array): Promise<WriteResult> {
    return this.#findPipes(session).write(pipe, sequence, bytes)
  }

  async endPipe(session: SessionId, pipe: number, sequence: number): Promise<WriteResult> {
    return this.#findPipes(session).end(pipe, sequence)
  }

  closePipes(session: SessionId, pipes: ReadonlyArray<number>): void {
    this.#pipes.get(session)?.close(pipes)
  }

  setNote(session: SessionId, bytes: Uint8Array): void {
    if (bytes.byteLength > NOTE_BYTES_MAX) throw new PipeError("limit", `a note has at most ${NOTE_BYTES_MAX} bytes`)
    if (this.#terminals.has(session)) this.#notes.set(session, Uint8Array.from(bytes))
  }

  async getNote(session: SessionId): Promise<Uint8Array | null> {
    this.#find(session)
    return this.#notes.get(session) ?? null
  }

  async inputWait(session: SessionId): Promise<InputWait | null> {
    const { pty } = this.#find(session)
    const termios = pty.termios()
    if (termios === null) return null
    return inputWaitIn(identityOf(session, pty), {
      termios,
      foregroundGroup: pty.foregroundGroup(),
      device: pty.device,
      leaderPid: pty.pid,
      commandPipes: () => this.#findPipes(session).inputPaths()
    })
  }

  async resetMode(session: SessionId): Promise<void> {
    this.#find(session).pty.resetMode()
  }

  async dispose(): Promise<void> {
    this.#disposed = true
    this.detachAll()
    const sessions = [...this.#terminals.keys()]
    await Promise.all(sessions.map((session) => this.close(session)))
    for (const terminal of this.#terminals.values()) terminal.pty.destroy()
    for (const pipes of this.#pipes.values()) pipes.closeAll()
    this.#terminals.clear()
    this.#pipes.clear()
    this.#notes.clear()
  }

  /** Nobody listens any more: everything is held until someone attaches. */
  detachAll(): void {
    for (const terminal of this.#terminals.values()) terminal.detach()
    for (const pipes of this.#pipes.values()) pipes.detach()
  }

  /** The listener takes no more now: deliveries wait in the bounded held output. */
  holdDeliveries(): void {
    this.#gate.open = false
  }

  /** In turn: what closes the gate again is the last to be asked next time, so that no flood holds up the others. */
  resumeDeliveries(): void {
    this.#gate.open = true
    const sources = [...this.#terminals.values(), ...[...this.#pipes.values()].flatMap((pipes) => pipes.outputs())]
    for (let i = 0; i < sources.length; i++) {
      const at = (this.#firstSource + i) % sources.length
      sources[at]!.deliver()
      if (!this.#gate.open) {
        this.#firstSource = at + 1
        return
      }
    }
  }

  /** Drops what is kept only to be used again. */
  releaseMemory(): void {
    for (const terminal of this.#terminals.values()) terminal.releaseMemory()
  }

  #find(session: SessionId): HeldTerminal {
    const terminal = this.#terminals.get(session)
    if (terminal === undefined) throw new SessionUnknown(`session ${session} is not held here`)
    return terminal
  }

  #findPipes(session: SessionId): Pipes {
    const pipes = this.#pipes.get(session)
    if (pipes === undefined) throw new SessionUnknown(`session ${session} is not held here`)
    return pipes
  }
}

const identityOf = (session: SessionId, leader: ProcessIdentity): SessionIdentity => ({ leader, marker: session })
