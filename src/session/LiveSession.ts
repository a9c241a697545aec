/**
 * One live session: the place where the terminal of a host meets the stream of a journal. `EngineCore` owns one for
 * each session that has not been closed. It decides what may be taken and done at each moment of the session's life, and
 * can at any moment throw away what it holds in memory and take the session back from journal and host (`adopt`): that is
 * how it survives a failed disk, and the same code is the recovery after a crash. Its parts: SessionStream (journaled and
 * folded), TerminalOutput (journaled before it is acknowledged), SessionInput (journaled before it is typed),
 * JournalAllowance, KernelDirectory, ResizeDebounce.
 *
 * Callbacks and promises: the path of a chunk of output has no Effect and no string, and no allocation under a flood.
 * It never starts or ends a process by itself, and never decides which host holds it.
 */
import { realpathSync } from "node:fs"
import {
  ACTOR_PROGRAM,
  type JournalEntry,
  type NewEvent,
  type OutputChannel,
  type SessionEvent,
  type SessionId,
  type SessionLimits,
  type SignalTarget,
  type TerminalSize
} from "../../journal/Event.ts"
import type { Appended, AppendOptions } from "../../journal/Journal.ts"
import { killPoint } from "../../journal/KillPoint.ts"
import { UNDRAWN_BYTES } from "../../projections/ScreenFollower.ts"
import type { SessionState } from "../../projections/SessionState.ts"
import type { Replaced, SessionCapture } from "../capture/SessionCapture.ts"
import type { LeaderExit, ProcessIdentity, PtyHost, SurvivingProcess } from "../keeper/PtyHost.ts"
import { HostUnavailable, SessionUnknown } from "../keeper/PtyHost.ts"
import { type AllowanceOwner, JournalAllowance } from "./JournalAllowance.ts"
import { decodeNote } from "./KeeperNote.ts"
import { type DirectoryOwner, KernelDirectory } from "./KernelDirectory.ts"
import { ResizeDebounce } from "./ResizeDebounce.ts"
import { SessionEnded, SessionUnavailable } from "./SessionError.ts"
import type { SessionExtension } from "./SessionExtension.ts"
import { type InputOwner, type InputPort, SessionInput } from "./SessionInput.ts"
import { SessionStream, type StreamOwner, type StreamPort } from "./SessionStream.ts"
import type { CloseReport, CommandOptions, WriteAck } from "./Sessions.ts"
import { type OutputOwner, type OutputPort, TerminalOutput } from "./TerminalOutput.ts"

/** The host tells of the closed terminal right after the last process went, unless one of another session holds it open. */
const TERMINAL_CLOSED_WAIT_MILLIS = 500
/**
 * How the leader ended is told behind its output, and that behind what a keeper holds of 63 other sessions (1 MiB each), which on
 * a slow disk takes seconds. After this long its end is unknown.
 */
const LEADER_EXIT_WAIT_MILLIS_MAX = 20_000

/** What a LiveSession needs of its engine. */
export interface LiveSessionPort extends StreamPort, OutputPort, InputPort {
  readonly monotonicMillis: () => number
  readonly resizeDebounceMillis: number
  /** More than its limit is journaled: to be ended with `endForLimit`. Nothing is acknowledged to its host meanwhile. */
  readonly limitReached: (session: LiveSession, limit: keyof SessionLimits, value: number) => void
  /** Rows written in one batch with the creation, so that a session is never in the journal and not in the list. */
  readonly creationRows: (session: SessionId, created: JournalEntry) => NonNullable<AppendOptions["rows"]>
  /** Where a process is; undefined when it is gone. */
  readonly directoryOf: (pid: number) => Promise<string | undefined>
  /** Why nothing can be journaled and what to do, while the store has reached its quota. */
  readonly quotaReached: () => string | undefined
  /** Its interruption is journaled, and nothing behind it yet. */
  readonly interrupted: (session: SessionId) => void
  /** Adopts the session in the background; what goes wrong with it is the engine's to see. */
  readonly takeBack: (session: LiveSession, host: PtyHost, reason: string) => void
  /** The session is closed or lost, and journaled so: nothing more will come from it. */
  readonly ended: (session: LiveSession) => void
  /** What a session of kind exec has on top of it. */
  readonly extend: (session: LiveSession) => SessionExtension | undefined
}

/**
 * waiting: nothing is taken from the host (the session is being created or taken back); what it delivers is kept or
 * comes again. running. ended: closed or lost.
 */
type Phase = "waiting" | "running" | "ended"

export class LiveSession implements StreamOwner, OutputOwner, InputOwner, AllowanceOwner, DirectoryOwner {
  readonly id: SessionId
  host: PtyHost | undefined
  #activeAt = 0
  /** Last input or output on the monotonic clock, of a session with an idle timeout; 0 before the first that this engine saw. */
  activeMillis = 0
  /** Set before the session is created, or when it is taken back. */
  extension: SessionExtension | undefined
  /** Of a session with rules: set before it is created, or when it is taken back. */
  capture: SessionCapture | undefined
  readonly #port: LiveSessionPort
  #phase: Phase = "waiting"
  readonly #stream: SessionStream
  readonly #allowance: JournalAllowance
  readonly #output: TerminalOutput
  readonly #input: SessionInput
  readonly #directory: KernelDirectory
  /** Before the first append (`starting`): deliveries in order, taken up once ProcessStarted has its place. */
  #early: Array<() => void> | undefined
  #closing: Promise<CloseReport> | undefined
  #resizes: ResizeDebounce<CommandOptions> | undefined
  #leaderExit: LeaderExit | undefined
  /** Its end is not appended yet. Not asked of the state, which learns of a start only when that is durable. */
  #terminalOpen = false
  /** SessionClosed or SessionLost is on its way: nothing may stand behind it. */
  #lastWord = false
  #ending: Promise<void> | undefined
  #terminalClosed: (() => void) | undefined
  #adopting: Promise<void> = Promise.resolve()
  #launching: Promise<void> = Promise.resolve()
  /** Whether there is a process is not known, or not journaled: its host or the storage went away meanwhile. */
  #isStartUnknown = false
  /** The journal has nothing of it, or all that it has was read. */
  #isLoaded = false
  /** How often it was taken back: who waited meanwhile knows that its turn is over. */
  #adoptions = 0

  constructor(id: SessionId, port: LiveSessionPort) {
    this.id = id
    this.#port = port
    this.#stream = new SessionStream(id, port, this)
    this.#allowance = new JournalAllowance(this)
    this.#output = new TerminalOutput(port, this, this.#stream, this.#allowance)
    this.#input = new SessionInput(port, this, this.#stream, this.#allowance)
    this.#directory = new KernelDirectory(this)
  }

  /** As far as it is durable. */
  get state(): SessionState {
    return this.#stream.state
  }

  /** Last input or output, microseconds since 1970; after a restart of the engine, the last event before it. */
  get activeAt(): number {
    return this.#activeAt
  }

  set activeAt(micros: number) {
    this.#activeAt = micros
    // A second look at a clock for each chunk, which only the idle timeout needs.
    if (this.state.limits.idleMillis !== undefined) this.activeMillis = this.#port.monotonicMillis()
  }

  get isEnded(): boolean {
    return this.#phase === "ended"
  }

  get isRunning(): boolean {
    return this.#phase === "running"
  }

  /** It is being started or taken back. */
  get isWaiting(): boolean {
    return this.#phase === "waiting"
  }

  /** What the host delivers now may be journaled. Behind the last word of a stream nothing may stand, or its readers wait for ever. */
  get isTaking(): boolean {
    return this.#phase === "running" && !this.#lastWord
  }

  /** Bytes of the terminal that have their place in the stream. */
  get outputBytes(): number {
    return this.#output.bytes
  }

  /** Of the program that runs; null when none does. */
  get programPid(): number | null {
    return this.state.status === "running" ? this.state.pid : null
  }

  get directoryOf(): LiveSessionPort["directoryOf"] {
    return this.#port.directoryOf
  }

  // --- the beginning -------------------------------------------------------------------------------------------------

  /** A text as the session's rules let it be journaled. */
  shown(text: string): string {
    return this.#stream.shown(text)
  }

  /** Journals the creation, then starts the process. */
  async create(created: SessionEvent & { readonly _tag: "SessionCreated" }, actor: string): Promise<void> {
    this.#directory.journaled = this.shown(realpathSync(created.cwd))
    this.activeAt = this.#port.nowMicros()
    const entry: JournalEntry = { sequence: 1, actor, timeMicros: this.activeAt, event: created }
    this.#isLoaded = true
    await this.#stream.create(entry, (journaled) => this.#port.creationRows(this.id, journaled))
    killPoint("session.created.after")
  }

  /** Asks the host for the process of a created session. Rejects with the host's SpawnError after journaling the failure. */
  launch(
    host: PtyHost,
    spawn: () => Promise<ProcessIdentity>,
    options: Pick<AppendOptions, "rows"> & { readonly isRelaunch?: boolean } = {}
  ): Promise<void> {
    const launching = this.#launch(host, spawn, options)
    this.#launching = launching.catch(() => undefined)
    return launching
  }

  async #launch(
    host: PtyHost,
    spawn: () => Promise<ProcessIdentity>,
    options: Pick<AppendOptions, "rows"> & { readonly isRelaunch?: boolean }
  ): Promise<void> {
    this.host = host
    const early: Array<() => void> = []
    this.#early = early
    let started: ProcessIdentity
    try {
      killPoint("keeper.spawn.before")
      started = await spawn()
      killPoint("keeper.spawn.after")
    } catch (error) {
      this.#early = undefined
      if (error instanceof HostUnavailable && options.isRelaunch !== true) {
        // Whether there is a process now is known when the host is back.
        this.#isStartUnknown = true
        throw error
      }
      // A session that was there before can be tried again.
      if (options.isRelaunch === true) await this.#lose("its program could not be started again")
      else await this.#close("failed", [])
      throw error
    }
    this.#early = undefined
    this.#output.captureFrom(this.#output.bytes, this.size.cols)
    this.#phase = "running"
    this.#terminalOpen = true
    this.#lastWord = false
    const event: SessionEvent = {
      _tag: "ProcessStarted",
      pid: started.pid,
      startTime: started.startTime,
      keeper: host.id
    }
    // Its first output comes behind everything that is there.
    this.#port.plainOutput.note(this.id, this.state.sequence)
    const recorded = this.journal([this.event(event)], { rows: options.rows })
    for (const deliver of early) deliver()
    try {
      await recorded
    } catch (error) {
      // It runs. Until the session is taken back, its creator must not have it started again.
      this.#isStartUnknown = true
      throw error
    }
    killPoint("session.started.after")
  }

  /**
   * Another process in the place of one that has ended, or of a lost one: the terminal's byte count and the inputs go on
   * from where they were. `rows` are written with the start.
   */
  async relaunch(
    host: PtyHost,
    spawn: (from: { readonly firstOffset: number; readonly inputSequence: number }) => Promise<ProcessIdentity>,
    options?: Pick<AppendOptions, "rows">
  ): Promise<void> {
    this.#output.journalGathered()
    this.#phase = "waiting"
    this.#leaderExit = undefined
    await this.whenIdle()
    this.#output.goOnFrom(Math.max(this.#output.bytes, this.state.outputBytes))
    const from = { firstOffset: this.#output.bytes, inputSequence: this.state.lastInputSequence }
    await this.launch(host, () => spawn(from), { ...options, isRelaunch: true })
  }

  /** Reads the state of a session that was lost or has ended, so that it can be relaunched. */
  async reopen(): Promise<void> {
    await this.#load()
  }

  async #load(): Promise<void> {
    this.#isLoaded = false
    await this.#stream.load()
    this.#allowance.forget()
    this.#directory.journaled = this.state.kernelCwd
    this.#lastWord = false
    if (this.activeAt === 0) this.activeAt = this.state.lastEventAt
    this.#terminalOpen = this.state.terminalOpen
    if (this.state.kind === "exec") {
      this.extension ??= this.#port.extend(this)
      await this.extension?.load()
    }
    this.#isLoaded = true
  }

  /** What is known of it may not be what the journal has: reading it failed so far, or an append that may be there all the same. */
  get #isInDoubt(): boolean {
    return !this.#isLoaded || this.#stream.isInDoubt
  }

  /** Host or storage went away while it was started: whether it has a process is told when it is taken back. */
  get isStartUnknown(): boolean {
    return this.#isStartUnknown
  }

  /** Created, with no process yet, and none under way: its creator may come back and ask for it again. */
  get isUnstarted(): boolean {
    if (this.#isStartUnknown || this.#lastWord || this.#early !== undefined) return false
    const { closed, pid, sequence, status } = this.state
    return sequence > 0 && pid === null && !closed && status !== "lost" && this.#phase === "waiting"
  }

  /** Its creator did not come back. */
  async giveUpStart(): Promise<void> {
    if (this.isUnstarted) await this.#close("failed", [])
  }

  /**
   * Takes the session (back) from journal and host: after an engine's death, a lost connection, a failed write. What the
   * journal has is the truth; the host goes on from there and types again what it has not typed.
   */
  adopt(host: PtyHost, reason: string): Promise<void> {
    // One after the other: a second one may know a newer connection than the first, which then fails.
    const adopting = this.#adopting.then(() => this.#adopt(host, reason))
    this.#adopting = adopting.catch(() => undefined)
    return adopting
  }

  async #adopt(host: PtyHost, reason: string): Promise<void> {
    killPoint("recovery.session.before")
    this.#adoptions++
    this.pause()
    // Its process may just be starting, and an input on its way to a host that is still there: what becomes of them is known
    // first, or each would be done by both.
    await this.#launching
    await this.#input.settled
    this.pause()
    await this.whenIdle()
    await this.#load()
    // Until it is journaled, or known that there is none.
    this.#isStartUnknown = this.state.pid === null && !this.state.closed
    const held = (await host.list()).find((held) => held.session === this.id)
    if (this.state.closed) {
      // Journaled as closed before the host was told: nobody else will tell it.
      if (held !== undefined && !held.terminalClosed) await host.close(this.id)
      host.forget(this.id)
      return this.#end()
    }
    if (held === undefined) {
      this.#isStartUnknown = false
      // Its creator may come back, as after the death of an engine.
      return this.state.pid === null ? undefined : this.lose("its keeper does not know it any more")
    }
    this.host = host
    this.#leaderExit = undefined
    // Its keeper was found after all.
    if (this.state.status === "lost") this.#terminalOpen = true
    const journaled = this.state.outputBytes
    const taken: Array<SessionEvent> = []
    // The engine before died between the fork and the word of it.
    if (this.state.pid === null) {
      this.#terminalOpen = true
      taken.push({ _tag: "ProcessStarted", pid: held.pid, startTime: held.startTime, keeper: host.id })
    }
    const gapBytes = Math.max(0, held.heldFrom - journaled)
    taken.push(
      { _tag: "SessionInterrupted", reason },
      { _tag: "SessionResumed", keeper: host.id, outputOffset: journaled, gapBytes }
    )
    if (gapBytes > 0) {
      const why = "acknowledged to the keeper, and not in the journal any more"
      taken.push({ _tag: "GapDetected", what: "output", from: journaled, to: held.heldFrom, why })
    }
    killPoint("recovery.resumed.before")
    await this.journal(taken.map((event) => this.event(event)))
    this.#isStartUnknown = false
    killPoint("recovery.resumed.after")
    this.#port.interrupted(this.id)
    await this.#input.typeAgain(host, held)
    killPoint("recovery.typed.after")
    if (held.size.cols !== this.state.size.cols || held.size.rows !== this.state.size.rows) {
      await host.resize(this.id, this.state.size)
    }
    this.#output.goOnFrom(journaled + gapBytes)
    if (this.state.redact.length > 0) await this.#restoreCapture(host)
    await this.extension?.adopting(host)
    this.#port.plainOutput.note(this.id, this.state.sequence)
    // With rules, from what a match may go on from that the engine before had journaled a part of.
    const from = this.capture === undefined ? this.outputBytes : Math.min(held.heldFrom, this.outputBytes)
    // Acknowledged by an engine that the host did not listen to any more, it may be what the program is paused for.
    if (!this.#allowance.isUsedUp) host.ack(this.id, from)
    // What an earlier delivery of this host still has on its way is of no use; from the answer on it is the new one.
    await host.attach(this.id, from, () => {
      this.#output.captureFrom(from, this.size.cols)
      this.#phase = "running"
    })
    killPoint("recovery.attached.after")
    if (this.extension === undefined) await this.#directory.sample()
    else await this.extension.adopted()
    if (journaled >= UNDRAWN_BYTES) this.#port.drawLater(this.id, journaled)
  }

  /** What the session's rules are: the keeper remembers what the journal may not have. */
  async #restoreCapture(host: PtyHost): Promise<void> {
    if (this.capture !== undefined) return this.capture.retake(this.state.inputBytes)
    const { SessionCapture } = await import("../capture/SessionCapture.ts")
    const note = decodeNote(await host.getNote(this.id))?.capture
    this.capture = SessionCapture.restored(this.state.redact, note, this.state.inputBytes)
  }

  /** Before the input is journaled: whoever finds it there finds what goes on from it. */
  saveNote(host: PtyHost): void {
    if (this.extension !== undefined) this.extension.saveNote()
    else host.setNote(this.id, Buffer.from(JSON.stringify({ capture: this.capture?.note })))
  }

  /** Takes nothing more from the host; what it holds comes again when the session is adopted. */
  pause(): void {
    this.#resizes?.settle()
    if (this.#phase === "running") this.#phase = "waiting"
    this.extension?.paused()
    this.#output.pause()
    this.#directory.stop()
  }

  /** No append is under way. */
  async whenIdle(): Promise<void> {
    await this.#stream.whenIdle()
  }

  /** A starting engine found no host that holds this session: loads it and says so in the journal. */
  async abandon(reason: string): Promise<void> {
    await this.#load()
    this.#isStartUnknown = false
    if (this.state.closed || this.state.status === "lost") return this.#end()
    // Created, but its engine died before a process was made: nothing was lost, and it can still be started.
    if (this.state.pid !== null) await this.lose(reason)
  }

  /** The host is gone: how the session went on, and how it ended, cannot be known. */
  async lose(reason: string): Promise<void> {
    await this.#launching
    await this.#lose(reason)
  }

  async #lose(reason: string): Promise<void> {
    // Its end may be under way; where that fails, this is the end.
    while (this.#ending !== undefined) await this.#ending.catch(() => undefined)
    this.#ending = this.#loseOnce(reason).finally(() => {
      this.#ending = undefined
    })
    return this.#ending
  }

  async #loseOnce(reason: string): Promise<void> {
    if (this.#phase === "ended") return
    this.pause()
    await this.#input.settled
    await this.whenIdle()
    // What was under way was its last word.
    if (this.isEnded) return
    if (this.#isInDoubt) await this.#load()
    if (this.state.closed || this.state.status === "lost") return this.#end()
    const last = this.extension?.lastWords({ _tag: "Lost" }) ?? []
    this.#lastWord = true
    killPoint("session.lost.before")
    await this.journal([...last, this.event({ _tag: "SessionLost", reason })])
    killPoint("session.lost.after")
    this.#end()
  }

  // --- what the host delivers --------------------------------------------------------------------------------------------------------

  /** The host delivers bytes, which are its own again when this returns. */
  output(offset: number, bytes: Uint8Array): void {
    if (this.#early !== undefined) {
      const kept = Uint8Array.from(bytes)
      this.#early.push(() => this.output(offset, kept))
      return
    }
    if (!this.isTaking) return
    this.#output.push(offset, bytes)
  }

  /** Host and journal disagree about what was delivered: the journal is the truth, and delivery starts again from there. */
  outOfStep(what: string): void {
    this.pause()
    if (this.host !== undefined) this.#port.takeBack(this, this.host, `its keeper was out of step (${what})`)
  }

  leaderExited(exit: LeaderExit): void {
    if (this.#early !== undefined) {
      this.#early.push(() => this.leaderExited(exit))
      return
    }
    if (!this.isTaking || this.#leaderExit !== undefined) return
    this.#leaderExit = exit
    // A host that is taken back tells of it again.
    if (this.state.status !== "running" && this.state.status !== "starting") return
    // What it printed stands before its end, also what may be the beginning of a secret: who follows the program stops there.
    this.#output.journalHeld()
    const event: SessionEvent = { _tag: "LeaderExited", exitCode: exit.exitCode, signal: exit.signal }
    this.journal([{ event, actor: ACTOR_PROGRAM, timeMicros: exit.timeMicros }]).then(
      () => {
        if (this.#closing === undefined && this.#phase === "running") this.extension?.leaderExited(exit)
      },
      () => this.pause()
    )
  }

  terminalClosed(outputBytes: number): void {
    if (this.#early !== undefined) {
      this.#early.push(() => this.terminalClosed(outputBytes))
      return
    }
    if (!this.isTaking) return
    this.flush()
    if (outputBytes !== this.outputBytes) {
      this.outOfStep(`closed at byte ${outputBytes}`)
      return
    }
    this.#terminalClosed?.()
    // While the session is being closed, that command writes the end: it knows who survived. And an extension starts
    // another program.
    if (this.#closing === undefined && this.extension === undefined) this.#close("exited", []).catch(() => this.pause())
  }

  /** A second reason to close it joins the first: there is one last word. */
  #close(reason: "exited" | "ended" | "failed", survivors: ReadonlyArray<SurvivingProcess>): Promise<void> {
    this.#ending ??= this.#closeOnce(reason, survivors).finally(() => {
      this.#ending = undefined
    })
    return this.#ending
  }

  async #closeOnce(reason: "exited" | "ended" | "failed", survivors: ReadonlyArray<SurvivingProcess>): Promise<void> {
    this.#lastWord = true
    const adoptions = this.#adoptions
    // An input that is journaled and finds no terminal any more is said to be missing, and that has to stand before the end.
    await this.#input.settled
    // Taken back meanwhile: its end is told again.
    if (adoptions !== this.#adoptions) return
    if (this.#isInDoubt) await this.#load()
    if (this.state.closed) return this.#end()
    this.#lastWord = true
    if (this.capture !== undefined && this.#phase === "running") this.#output.takeRest()
    this.#output.journalGathered()
    const exit = this.#leaderExit
    const last = this.extension?.lastWords({ _tag: "Ended", exit }) ?? []
    const events: Array<SessionEvent> = []
    if (this.#terminalOpen) events.push({ _tag: "TerminalClosed", outputBytes: this.outputBytes })
    events.push({
      _tag: "SessionClosed",
      exitCode: exit?.exitCode ?? this.state.exitCode,
      signal: exit?.signal ?? this.state.signal,
      reason,
      survivors: survivors.map(({ command, pid }) => ({ pid, command }))
    })
    this.#terminalOpen = false
    killPoint("session.closed.before")
    await this.journal([...last, ...events.map((event) => this.event(event))])
    killPoint("session.closed.after")
    this.#output.acknowledge()
    this.host?.forget(this.id)
    this.#end()
  }

  #end(): void {
    this.#phase = "ended"
    this.#output.end()
    this.#resizes?.settle()
    this.#directory.stop()
    this.#terminalClosed?.()
    this.#port.saveState(this.state)
    this.extension?.ended()
    this.#port.ended(this)
  }

  // --- for the extension ---------------------------------------------------------------------------------------------

  /** As for the terminal, the bytes are valid during the call. */
  pipeOutput(pipe: number, offset: number, bytes: Uint8Array): void {
    if (this.#early !== undefined) {
      const kept = Uint8Array.from(bytes)
      this.#early.push(() => this.pipeOutput(pipe, offset, kept))
      return
    }
    if (this.isTaking) this.extension?.pipeOutput(pipe, offset, bytes)
  }

  pipeEnded(pipe: number, bytes: number): void {
    if (this.#early !== undefined) {
      this.#early.push(() => this.pipeEnded(pipe, bytes))
      return
    }
    if (this.isTaking) this.extension?.pipeEnded(pipe, bytes)
  }

  /** Output that has come so far stands before what is appended next. */
  append(events: ReadonlyArray<NewEvent>, options?: AppendOptions): Promise<Appended> {
    this.flush()
    this.activeAt = this.#port.nowMicros()
    return this.journal(events, options)
  }

  /** All output that came so far has its place in the stream. */
  flush(): void {
    this.#output.flush()
  }

  /** Journals output of a command's own stream; encoded at once. `done` is called when it is durable, not if it fails. */
  appendOutput(channel: OutputChannel, exec: number, offset: number, bytes: Uint8Array, done: () => void): void {
    this.#stream.outputBegun()
    const timeMicros = this.#port.nowMicros()
    this.activeAt = timeMicros
    const length = bytes.byteLength
    const sequence = this.#port.journal.appendOutput(this.id, channel, exec, offset, [bytes], timeMicros, (error) => {
      this.#stream.outputSettled()
      if (error !== undefined) return this.pause()
      this.#stream.foldOutput(sequence, timeMicros, channel, exec, offset, length)
      done()
      if (this.#stream.isIdle) this.#output.journalGathered()
    })
  }

  /** Told with the output that is journaled next to it. */
  tellReplaced(replaced: Replaced): void {
    this.#stream.tellReplaced(replaced)
  }

  /** What is durable of a pipe of a command. */
  ackPipe(pipe: number, offset: number): void {
    this.#allowance.ackPipe(pipe, offset)
  }

  /** Its shell could not be brought back: the session ends with what the last one reported. */
  async giveUp(): Promise<void> {
    if (this.#phase !== "ended") await this.#close("exited", [])
  }

  /** Journals a client's coming or going, while the session runs and before its last word; false when nothing was. */
  async appendPresence(event: SessionEvent, client: string): Promise<boolean> {
    if (!this.isTaking) return false
    this.flush()
    return this.journal([{ event, actor: client, timeMicros: this.#port.nowMicros() }]).then(
      () => true,
      () => false
    )
  }

  /** As `appendRedaction`: a hold or its release. */
  appendHold(event: SessionEvent, actor: string): Promise<void> {
    return this.appendRedaction({ event, actor, timeMicros: this.#port.nowMicros() })
  }

  /**
   * Journals a redaction, with the payloads that it replaces. Rejects while the session is started, taken back or about to
   * end.
   */
  async appendRedaction(event: NewEvent, options?: AppendOptions): Promise<void> {
    if (!this.isTaking) throw this.#away("it is being started, taken back or ended; try again")
    this.flush()
    await this.journal([event], options)
  }

  /** Earlier events were redacted: the texts of its state become those that are journaled now. */
  async redacted(): Promise<void> {
    await this.#stream.redacted()
  }

  // --- commands ------------------------------------------------------------------------------------------------------

  write(data: Uint8Array, options: CommandOptions): Promise<WriteAck> {
    return this.#input.write(data, options)
  }

  closeInput(options: CommandOptions): Promise<void> {
    return this.#input.closeInput(options)
  }

  async resize(size: TerminalSize, options: CommandOptions): Promise<TerminalSize> {
    if (this.#input.repeated(options) !== undefined) return this.size
    this.liveHost()
    this.#resizes ??= new ResizeDebounce(this.#port.resizeDebounceMillis, (size, by) => this.#applySize(size, by))
    return this.#resizes.ask(size, options)
  }

  /** The last size asked for; the journal has it at most the debounce's time later. */
  get size(): TerminalSize {
    return this.#resizes?.asked ?? this.state.size
  }

  async #applySize(size: TerminalSize, options: CommandOptions): Promise<boolean> {
    const host = this.liveHost()
    if (size.cols === this.state.size.cols && size.rows === this.state.size.rows) return false
    this.#output.resized(size.cols)
    const plain = this.#port.plainOutput
    plain.note(this.id, Number.MAX_SAFE_INTEGER)
    const { last } = await this.journal([this.event({ _tag: "Resized", size }, options)])
    // Unless other output came meanwhile, which stands behind it.
    if (plain.after(this.id) === Number.MAX_SAFE_INTEGER) plain.note(this.id, last)
    await this.applied(host.resize(this.id, size), undefined)
    return true
  }

  async signal(signal: NodeJS.Signals, target: SignalTarget, options: CommandOptions): Promise<void> {
    if (this.#input.repeated(options) !== undefined) return
    const host = this.liveHost()
    await this.journal([this.event({ _tag: "SignalSent", signal, target }, options)])
    this.activity()
    await this.applied(host.signal(this.id, signal, target), false)
  }

  /** Ends every process of the session. A second call joins the first. */
  close(options: CommandOptions & { readonly graceMillis?: number | undefined }): Promise<CloseReport> {
    this.#closing ??= this.#closeByCommand(options).finally(() => {
      this.#closing = undefined
    })
    return this.#closing
  }

  async #closeByCommand(options: CommandOptions & { readonly graceMillis?: number | undefined }): Promise<CloseReport> {
    // It is ending by itself: that is waited for.
    if (this.#lastWord) await this.whenIdle()
    const host = this.liveHost()
    await this.journal([this.event({ _tag: "SignalSent", signal: "SIGHUP", target: "session" }, options)])
    const isClosed = new Promise<void>((resolve) => {
      this.#terminalClosed = resolve
    })
    this.extension?.closing()
    const survivors = await this.answer(host.close(this.id, options.graceMillis))
    if (survivors.length === 0 && this.#allowance.release()) this.#output.acknowledge()
    await withTimeout(isClosed, TERMINAL_CLOSED_WAIT_MILLIS)
    const isLeaderLeft = survivors.some(({ pid }) => pid === this.state.pid)
    // A closed terminal implies the exit, so this ends with whichever comes first.
    for (
      let waited = TERMINAL_CLOSED_WAIT_MILLIS;
      !isLeaderLeft && this.#isExitOnItsWay && waited < LEADER_EXIT_WAIT_MILLIS_MAX;
      waited += TERMINAL_CLOSED_WAIT_MILLIS
    ) {
      await withTimeout(isClosed, TERMINAL_CLOSED_WAIT_MILLIS)
    }
    this.#terminalClosed = undefined
    // Again where it was taken back on the way.
    while (this.#phase === "running") await this.#close("ended", survivors)
    return { survivors }
  }

  /** Journals which limit was reached, then ends the session as `close` does. */
  async endForLimit(limit: keyof SessionLimits, value: number): Promise<void> {
    if (this.#closing !== undefined) return
    this.liveHost()
    this.flush()
    if (this.state.limitReached === null) await this.journal([this.event({ _tag: "LimitReached", limit, value })])
    await this.close({})
  }

  /** Its leader has ended, as far as its host knows, and nobody has told how. */
  get #isExitOnItsWay(): boolean {
    return this.#phase === "running" && this.#leaderExit === undefined && this.state.status === "running"
  }

  /** Ends it for the limit that an engine before had found reached, or had not come to. */
  checkLimits(): void {
    const { limitReached, limits } = this.state
    const value = limitReached === null ? undefined : limits[limitReached]
    if (limitReached !== null) this.#port.limitReached(this, limitReached, Number(value))
    else this.#allowance.check()
  }

  // --- what they share -----------------------------------------------------------------------------------------------

  /** Throws SessionEnded or SessionUnavailable. */
  liveHost(): PtyHost {
    if (this.#phase === "ended" || this.state.closed) throw this.overError()
    // Behind the last word nothing is journaled; one that fails leaves the session waiting.
    if (this.#phase === "running" && this.#lastWord) throw this.overError()
    if (this.#phase === "waiting" || this.host === undefined) {
      throw this.#away("its journal or its keeper is away for a moment; nothing was done")
    }
    return this.host
  }

  /** `reason`, unless the store has no room: that is not over in a moment. */
  #away(reason: string): SessionUnavailable {
    return new SessionUnavailable({ session: this.id, reason: this.#port.quotaReached() ?? reason })
  }

  overError(): SessionEnded {
    return new SessionEnded({ session: this.id, status: this.state.status })
  }

  /** The host's word, or why there is none. */
  async answer<A>(answer: Promise<A>): Promise<A> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof SessionUnknown) throw this.overError()
      throw new SessionUnavailable({ session: this.id, reason: error instanceof Error ? error.message : String(error) })
    }
  }

  /** As `answer`, for what is journaled: a host that goes away applies it when the session is taken back, so it is no failure. */
  async applied<A>(answer: Promise<A>, whenAway: A): Promise<A> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof HostUnavailable) return whenAway
      return this.answer(Promise.reject(error))
    }
  }

  event(event: SessionEvent, options?: CommandOptions): NewEvent {
    return this.#stream.event(event, options)
  }

  /** As `append`, without the output that has come so far. */
  journal(events: ReadonlyArray<NewEvent>, options?: AppendOptions): Promise<Appended> {
    return this.#stream.append(events, options)
  }

  /** No append is under way any more. */
  appended(): void {
    if (this.#phase === "running") this.#output.journalGathered()
  }

  /** The state has gone on. */
  folded(): void {
    this.#allowance.check()
  }

  limitReached(limit: keyof SessionLimits, value: number): void {
    this.#port.limitReached(this, limit, value)
  }

  /** Something was printed or typed. */
  activity(): void {
    // An extension is told the directory by the shell.
    if (this.#phase === "running" && this.extension === undefined) this.#directory.sampleSoon()
  }

  /** Asks the kernel where the session's program is and journals a change. */
  async sampleCwd(): Promise<void> {
    if (this.#phase === "running" && this.state.status === "running") await this.#directory.sample()
  }
}

const withTimeout = async (promise: Promise<void>, millis: number): Promise<void> => {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([
    promise,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, millis)
    })
  ])
  clearTimeout(timer)
}
