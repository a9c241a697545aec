/**
 * One live session: the place where the terminal of a host meets the stream of a journal. `SessionEngine` owns one for
 * each session that has not been closed. It journals output before it acknowledges it, journals input before it types
 * it, and can at any moment throw away what it holds in memory and take the session back from journal and host
 * (`adopt`): that is how it survives a failed disk, and the same code is the recovery after a crash.
 *
 * Callbacks and promises: the path of a chunk of output has no Effect and no string, and no allocation under a flood.
 * It never starts or ends a process by itself, and never decides which host holds it.
 */
import { realpathSync } from "node:fs"
import {
  ACTOR_ENGINE,
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
import type { Appended, AppendOptions, HotJournal } from "../../journal/Journal.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import { killPoint } from "../../journal/KillPoint.ts"
import type { PlainOutput } from "../../projections/PlainOutput.ts"
import { isPlain } from "../../projections/PlainStretch.ts"
import { UNDRAWN_BYTES } from "../../projections/ScreenFollower.ts"
import { SessionState } from "../../projections/SessionState.ts"
import type { CaptureStream, Replaced, SessionCapture } from "../capture/SessionCapture.ts"
import type { HeldSession, LeaderExit, ProcessIdentity, PtyHost, SurvivingProcess } from "../keeper/PtyHost.ts"
import { HostUnavailable, INPUT_QUEUED_BYTES_MAX, OUTPUT_CHUNK_BYTES_MAX, SessionUnknown } from "../keeper/PtyHost.ts"
import type { WriteResult } from "../keeper/WriteResult.ts"
import type { Feed } from "./Feed.ts"
import { ResizeDebounce } from "./ResizeDebounce.ts"
import { InputRefused, LimitExceeded, SessionEnded, SessionUnavailable } from "./SessionError.ts"
import type { SessionExtension } from "./SessionExtension.ts"
import type { CloseReport, CommandOptions, WriteAck } from "./Sessions.ts"

/** After the last activity: a shell has changed its directory by then, and a flood is sampled at most 20 times a second. */
const CWD_SAMPLE_MILLIS = 50
/** Between snapshots of the session's state: a restart then folds at most this much of it (a few milliseconds). */
const SNAPSHOT_EVENTS = 2048
/** The host tells of the closed terminal right after the last process went; then it is closed without that word. */
const TERMINAL_CLOSED_WAIT_MILLIS = 500
/**
 * Durable output is acknowledged when this much of it has gathered (an eighth of what a host holds before it pauses the
 * program) or when this time has passed: an acknowledgement wakes the host, which an echo must not wait for.
 */
const ACK_BYTES = 128 * 1024
const ACK_MILLIS = 10

/** What a LiveSession needs of its engine. */
export interface LiveSessionPort {
  readonly journal: HotJournal
  readonly nowMicros: () => number
  readonly monotonicMillis: () => number
  readonly resizeDebounceMillis: number
  /** More than its limit is journaled: to be ended with `endForLimit`. Nothing is acknowledged to its host meanwhile. */
  readonly limitReached: (session: LiveSession, limit: keyof SessionLimits, value: number) => void
  /** The state as the journal has it. */
  readonly load: (session: SessionId) => Promise<SessionState>
  /** Inputs after `sequence` that nobody has said to be missing. */
  readonly inputsAfter: (session: SessionId, sequence: number) => Promise<ReadonlyArray<UnappliedInput>>
  /** Rows written in one batch with the creation, so that a session is never in the journal and not in the list. */
  readonly creationRows: (session: SessionId, created: JournalEntry) => NonNullable<AppendOptions["rows"]>
  /** Where changes in the life of sessions are told to all. */
  readonly feed: Feed
  /** Keeps a snapshot of the state. Derived: it may fail, and it may be late. */
  readonly saveState: (state: SessionState) => void
  /**
   * UNDRAWN_BYTES more of its output are in the journal; with `outputBytes`, it was taken back and has printed so much.
   * Its screen is drawn in the background.
   */
  readonly drawLater: (session: SessionId, outputBytes?: number) => void
  /** Where a process is; undefined when it is gone. */
  readonly directoryOf: (pid: number) => Promise<string | undefined>
  /** Is told what of the terminal's output is more than text. */
  readonly plainOutput: PlainOutput
  /** Its interruption is journaled, and nothing behind it yet. */
  readonly interrupted: (session: SessionId) => void
  /** Adopts the session in the background; what goes wrong with it is the engine's to see. */
  readonly takeBack: (session: LiveSession, host: PtyHost, reason: string) => void
  /** The session is closed or lost, and journaled so: nothing more will come from it. */
  readonly ended: (session: LiveSession) => void
  /** What a session of kind exec has on top of it. */
  readonly extend: (session: LiveSession) => SessionExtension | undefined
}

export interface UnappliedInput {
  readonly sequence: number
  readonly kind: "written" | "hidden" | "closed"
  readonly data: Uint8Array
  readonly commandId: string | undefined
}

/**
 * waiting: nothing is taken from the host (the session is being created or taken back); what it delivers is kept or
 * comes again. running. ended: closed or lost.
 */
type Phase = "waiting" | "running" | "ended"

export class LiveSession {
  readonly id: SessionId
  state: SessionState
  host: PtyHost | undefined
  #activeAt = 0
  /** Last input or output on the monotonic clock, of a session with an idle timeout; 0 before the first that this engine saw. */
  activeMillis = 0
  /** Set before the session is created, or when it is taken back. */
  extension: SessionExtension | undefined
  /** Of a session with rules: set before it is created, or when it is taken back. */
  capture: SessionCapture | undefined
  /** The terminal's output on its way through the rules. */
  #captured: CaptureStream | undefined
  readonly #port: LiveSessionPort
  #phase: Phase = "waiting"
  /** Offset of the next byte to journal; everything before has its place in the stream. */
  #nextOffset = 0
  /** Everything before is durable and may be forgotten by the host. */
  #durableOffset = 0
  /** Durable since the screen was last to be drawn in the background. */
  #undrawnBytes = 0
  /** What the host was told of it. */
  #ackedOffset = 0
  #ackTimer: NodeJS.Timeout | undefined
  /** Appends of output that are not durable yet. */
  #inFlight = 0
  /** Delivered while an append is in flight, #chunkBytes of it: the next record. */
  #gathered: Uint8Array | undefined
  #chunkBytes = 0
  /** Before the first append (`starting`): deliveries in order, taken up once ProcessStarted has its place. */
  #early: Array<() => void> | undefined
  /** Durable events whose turn has not come: the state folds them in the order of their sequence. */
  readonly #unfolded = new Map<number, JournalEntry>()
  /** Waits until no append is under way. */
  #idle: Array<() => void> = []
  /** One input at a time: their order in the journal is their order in the terminal. */
  #inputs: Promise<unknown> = Promise.resolve()
  /**
   * By command id, the sequence of a hidden input that is journaled, and that nobody typed as far as is known: its sender may
   * send it again. What the host has applied of them is known when the session is taken back.
   */
  readonly #untyped = new Map<string, number>()
  #closing: Promise<CloseReport> | undefined
  #resizes: ResizeDebounce<CommandOptions> | undefined
  /** What was taken beyond the limit of journaled bytes is not acknowledged, so that its host holds the program back. */
  #isFull = false
  /** By pipe, what was not acknowledged for that. */
  readonly #unackedPipes = new Map<number, number>()
  #leaderExit: LeaderExit | undefined
  /** Its end is not appended yet. Not asked of the state, which learns of a start only when that is durable. */
  #terminalOpen = false
  /** SessionClosed or SessionLost is on its way: nothing may stand behind it. */
  #lastWord = false
  #ending: Promise<void> | undefined
  #terminalClosed: (() => void) | undefined
  #cwd = ""
  #cwdTimer: NodeJS.Timeout | undefined
  #snapshotSequence = 0
  #adopting: Promise<void> = Promise.resolve()
  #launching: Promise<void> = Promise.resolve()
  /** An append failed, and may be there all the same: what the state says of its end is not sure. */
  #isInDoubt = false
  /** Whether there is a process is not known, or not journaled: its host or the storage went away meanwhile. */
  #isStartUnknown = false
  /** How often it was taken back: who waited meanwhile knows that its turn is over. */
  #adoptions = 0

  constructor(id: SessionId, port: LiveSessionPort) {
    this.id = id
    this.#port = port
    this.state = SessionState.initial(id)
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

  /** What the host delivers now may be journaled. Behind the last word of a stream nothing may stand, or its readers wait for ever. */
  get #isTaking(): boolean {
    return this.#phase === "running" && !this.#lastWord
  }

  /** Bytes of the terminal that have their place in the stream. */
  get outputBytes(): number {
    return this.#nextOffset
  }

  // --- the beginning -------------------------------------------------------------------------------------------------

  /** Journals the creation, then starts the process. */
  async create(created: SessionEvent & { readonly _tag: "SessionCreated" }, actor: string): Promise<void> {
    const cwd = realpathSync(created.cwd)
    this.#cwd = this.capture?.maskedText(cwd) ?? cwd
    this.activeAt = this.#port.nowMicros()
    const given: JournalEntry = { sequence: 1, actor, timeMicros: this.activeAt, event: created }
    const entry = { ...given, ...this.capture?.masked([given]).events[0] }
    await this.#append([given], { expected: 0, rows: this.#port.creationRows(this.id, entry) })
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
    this.#captureFrom(this.#nextOffset)
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
    const recorded = this.#append([this.#event(event)], { rows: options.rows })
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
    this.#journalChunks()
    this.#phase = "waiting"
    this.#leaderExit = undefined
    await this.whenIdle()
    this.#nextOffset = Math.max(this.#nextOffset, this.state.outputBytes)
    this.#durableOffset = this.#nextOffset
    this.#ackedOffset = this.#nextOffset
    const from = { firstOffset: this.#nextOffset, inputSequence: this.state.lastInputSequence }
    await this.launch(host, () => spawn(from), { ...options, isRelaunch: true })
  }

  /** Reads the state of a session that was lost or has ended, so that it can be relaunched. */
  async reopen(): Promise<void> {
    await this.#load()
  }

  async #load(): Promise<void> {
    this.state = await this.#port.load(this.id)
    this.#isInDoubt = false
    this.#unfolded.clear()
    this.#unackedPipes.clear()
    this.#isFull = false
    this.#snapshotSequence = this.state.sequence
    this.#cwd = this.state.kernelCwd
    this.#lastWord = false
    if (this.activeAt === 0) this.activeAt = this.state.lastEventAt
    this.#terminalOpen = this.state.terminalOpen
    if (this.state.kind !== "exec") return
    this.extension ??= this.#port.extend(this)
    await this.extension?.load()
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
    await this.#inputs
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
    await this.#append(taken.map((event) => this.#event(event)))
    this.#isStartUnknown = false
    killPoint("recovery.resumed.after")
    this.#port.interrupted(this.id)
    await this.#typeAgain(host, held)
    killPoint("recovery.typed.after")
    if (held.size.cols !== this.state.size.cols || held.size.rows !== this.state.size.rows) {
      await host.resize(this.id, this.state.size)
    }
    this.#nextOffset = journaled + gapBytes
    this.#durableOffset = this.#nextOffset
    if (this.state.redact.length > 0) await this.#restoreCapture(host)
    await this.extension?.adopting(host)
    this.#port.plainOutput.note(this.id, this.state.sequence)
    // With rules, from what a match may go on from that the engine before had journaled a part of.
    const from = this.capture === undefined ? this.#nextOffset : Math.min(held.heldFrom, this.#nextOffset)
    // Acknowledged by an engine that the host did not listen to any more, it may be what the program is paused for.
    if (!this.#isFull) host.ack(this.id, from)
    // What an earlier delivery of this host still has on its way is of no use; from the answer on it is the new one.
    await host.attach(this.id, from, () => {
      this.#captureFrom(from)
      this.#phase = "running"
    })
    killPoint("recovery.attached.after")
    if (this.extension === undefined) await this.#sampleCwd()
    else await this.extension.adopted()
    if (journaled >= UNDRAWN_BYTES) this.#port.drawLater(this.id, journaled)
  }

  /** What the session's rules are: the keeper remembers what the journal may not have. */
  async #restoreCapture(host: PtyHost): Promise<void> {
    if (this.capture !== undefined) return this.capture.retake(this.state.inputBytes)
    const [{ SessionCapture }, { decodeNote }] = await Promise.all([
      import("../capture/SessionCapture.ts"),
      import("../exec/KeeperNote.ts")
    ])
    const note = decodeNote(await host.getNote(this.id))?.capture
    this.capture = SessionCapture.restored(this.state.redact, note, this.state.inputBytes)
  }

  /** Before the input is journaled: whoever finds it there finds what goes on from it. */
  #saveNote(host: PtyHost): void {
    if (this.extension !== undefined) this.extension.saveNote()
    else host.setNote(this.id, Buffer.from(JSON.stringify({ capture: this.capture?.note })))
  }

  /** The next byte of the terminal is this one; those before #nextOffset are journaled. */
  #captureFrom(position: number): void {
    this.#captured?.stop()
    this.#captured = this.capture?.stream(
      { position, outTo: this.#nextOffset, cols: this.size.cols },
      (bytes, replaced) => this.#takeCaptured(bytes, replaced)
    )
  }

  async #typeAgain(host: PtyHost, held: HeldSession): Promise<void> {
    for (const [commandId, sequence] of this.#untyped) {
      if (sequence <= held.inputSequence) this.#untyped.delete(commandId)
    }
    if (this.state.lastInputSequence <= held.inputSequence) return
    for (const { commandId, data, kind, sequence } of await this.#port.inputsAfter(this.id, held.inputSequence)) {
      if (kind === "hidden") {
        if (commandId !== undefined) this.#untyped.set(commandId, sequence)
        continue
      }
      const result = await (kind === "written"
        ? host.write(this.id, sequence, data)
        : host.closeInput(this.id, sequence))
      await this.#recordUnapplied([result], sequence, commandId)
    }
  }

  /** Takes nothing more from the host; what it holds comes again when the session is adopted. */
  pause(): void {
    this.#resizes?.settle()
    if (this.#phase === "running") this.#phase = "waiting"
    this.extension?.paused()
    clearTimeout(this.#ackTimer)
    this.#ackTimer = undefined
    if (this.#gathered !== undefined) giveBuffer(this.#gathered)
    this.#gathered = undefined
    this.#chunkBytes = 0
    this.#captured?.stop()
    clearTimeout(this.#cwdTimer)
    this.#cwdTimer = undefined
  }

  /** No append is under way. */
  async whenIdle(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
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
    await this.#inputs
    await this.whenIdle()
    // What was under way was its last word.
    if (this.isEnded) return
    if (this.#isInDoubt) await this.#load()
    if (this.state.closed || this.state.status === "lost") return this.#end()
    const last = this.extension?.lastWords({ _tag: "Lost" }) ?? []
    this.#lastWord = true
    killPoint("session.lost.before")
    await this.#append([...last, this.#event({ _tag: "SessionLost", reason })])
    killPoint("session.lost.after")
    this.#end()
  }

  // --- output --------------------------------------------------------------------------------------------------------

  /** The host delivers bytes, which are its own again when this returns. */
  output(offset: number, bytes: Uint8Array): void {
    if (this.#early !== undefined) {
      const kept = Uint8Array.from(bytes)
      this.#early.push(() => this.output(offset, kept))
      return
    }
    if (!this.#isTaking) return
    if (this.#captured !== undefined) {
      this.#capture(this.#captured, offset, bytes)
      return
    }
    const held = this.extension?.terminalHeldBytes ?? 0
    if (offset !== this.#nextOffset + this.#chunkBytes + held) {
      this.#outOfStep(`output at byte ${offset}`)
      return
    }
    if (this.extension === undefined) this.#takeChunk(bytes)
    else this.#take(this.extension.terminalOutput(bytes))
    this.#activity()
  }

  /** As `output`, of a session with rules. */
  #capture(captured: CaptureStream, offset: number, bytes: Uint8Array): void {
    const held = this.extension?.terminalHeldBytes ?? 0
    if (offset !== captured.position + held) {
      this.#outOfStep(`output at byte ${offset}`)
      return
    }
    captured.push(this.extension?.terminalOutput(bytes) ?? bytes)
    this.#activity()
    // Only looked at, they may be what the program is paused for.
    if (offset < this.#nextOffset) this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_MILLIS)
  }

  #takeCaptured(bytes: Uint8Array, replaced: Replaced | undefined): void {
    this.#take(bytes)
    if (replaced === undefined) return
    // In the batch of the output, whatever happens: nothing of this turn is written before its end.
    this.#journalChunks()
    this.#append([this.#event({ _tag: "SecretsRedacted", what: "output", ...replaced, events: 0 })]).catch(
      () => undefined
    )
  }

  /** Of commands' own streams: told with what is journaled next to it. */
  tellReplaced(replaced: Replaced): void {
    this.#append([this.#event({ _tag: "SecretsRedacted", what: "output", ...replaced, events: 0 })]).catch(
      () => undefined
    )
  }

  /** A filter that held bytes back gives more than a delivery has: a record takes no more than that. */
  #take(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; at += OUTPUT_CHUNK_BYTES_MAX) {
      this.#takeChunk(bytes.subarray(at, at + OUTPUT_CHUNK_BYTES_MAX))
    }
  }

  #takeChunk(bytes: Uint8Array): void {
    if (this.#chunkBytes + bytes.byteLength > OUTPUT_CHUNK_BYTES_MAX) this.#journalChunks()
    // Alone it is journaled at once, so that an echo waits for nobody; under a flood the batch in flight gathers the next.
    if (this.#inFlight === 0 && this.#chunkBytes === 0) this.#journal(bytes)
    else {
      this.#gathered ??= takeBuffer()
      this.#gathered.set(bytes, this.#chunkBytes)
      this.#chunkBytes += bytes.byteLength
      if (this.#inFlight === 0 || this.#chunkBytes >= OUTPUT_CHUNK_BYTES_MAX) this.#journalChunks()
    }
  }

  #takeRest(): void {
    const rest = this.extension?.terminalRest()
    if (this.#captured === undefined) {
      if (rest !== undefined) this.#take(rest)
      return
    }
    if (rest !== undefined && rest.byteLength > 0) this.#captured.push(rest)
    this.#captured.release()
  }

  #journalChunks(): void {
    const gathered = this.#gathered
    if (gathered === undefined) return
    const length = this.#chunkBytes
    this.#gathered = undefined
    this.#chunkBytes = 0
    this.#journal(gathered.subarray(0, length))
    // The journal has encoded it.
    giveBuffer(gathered)
  }

  #journal(bytes: Uint8Array): void {
    const length = bytes.byteLength
    const offset = this.#nextOffset
    this.#nextOffset += length
    this.#inFlight++
    const timeMicros = this.#port.nowMicros()
    this.activeAt = timeMicros
    const sequence = this.#port.journal.appendOutput(this.id, "tty", 0, offset, [bytes], timeMicros, (error) => {
      this.#settled()
      // The engine adopts every session again when the storage is back; until then nothing is acknowledged.
      if (error !== undefined) return this.pause()
      this.#durableOffset = offset + length
      this.#undrawnBytes += length
      if (this.#undrawnBytes >= UNDRAWN_BYTES) {
        this.#undrawnBytes = 0
        this.#port.drawLater(this.id)
      }
      // The fold counts bytes and does not look at them: a view of the right length stands for the chunks.
      const event: SessionEvent = {
        _tag: "OutputReceived",
        channel: "tty",
        exec: 0,
        offset,
        data: ANY_BYTES.subarray(0, length)
      }
      this.#fold({ sequence, timeMicros, actor: ACTOR_PROGRAM, event })
      if (this.#durableOffset - this.#ackedOffset >= ACK_BYTES) this.#acknowledge()
      else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_MILLIS)
      if (this.#inFlight === 0) this.#journalChunks()
    })
    if (sequence > 0 && !isPlain(bytes)) this.#port.plainOutput.note(this.id, sequence)
  }

  #acknowledge(): void {
    clearTimeout(this.#ackTimer)
    this.#ackTimer = undefined
    if (this.#isFull) return
    this.#ackedOffset = this.#durableOffset
    killPoint("keeper.ack.before")
    // The next engine needs also what a match may go on from.
    this.host?.ack(this.id, this.#captured?.neededFor(this.#durableOffset) ?? this.#durableOffset)
    killPoint("keeper.ack.after")
  }

  /** Host and journal disagree about what was delivered: the journal is the truth, and delivery starts again from there. */
  #outOfStep(what: string): void {
    this.pause()
    if (this.host !== undefined) this.#port.takeBack(this, this.host, `its keeper was out of step (${what})`)
  }

  leaderExited(exit: LeaderExit): void {
    if (this.#early !== undefined) {
      this.#early.push(() => this.leaderExited(exit))
      return
    }
    if (!this.#isTaking || this.#leaderExit !== undefined) return
    this.#leaderExit = exit
    // A host that is taken back tells of it again.
    if (this.state.status !== "running" && this.state.status !== "starting") return
    this.#journalChunks()
    const event: SessionEvent = { _tag: "LeaderExited", exitCode: exit.exitCode, signal: exit.signal }
    this.#append([{ event, actor: ACTOR_PROGRAM, timeMicros: exit.timeMicros }]).then(
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
    if (!this.#isTaking) return
    this.#takeRest()
    this.#journalChunks()
    if (outputBytes !== this.#nextOffset) {
      this.#outOfStep(`closed at byte ${outputBytes}`)
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
    await this.#inputs
    // Taken back meanwhile: its end is told again.
    if (adoptions !== this.#adoptions) return
    if (this.#isInDoubt) await this.#load()
    if (this.state.closed) return this.#end()
    this.#lastWord = true
    if (this.#captured !== undefined && this.#phase === "running") this.#takeRest()
    this.#journalChunks()
    const exit = this.#leaderExit
    const last = this.extension?.lastWords({ _tag: "Ended", exit }) ?? []
    const events: Array<SessionEvent> = []
    if (this.#terminalOpen) events.push({ _tag: "TerminalClosed", outputBytes: this.#nextOffset })
    events.push({
      _tag: "SessionClosed",
      exitCode: exit?.exitCode ?? this.state.exitCode,
      signal: exit?.signal ?? this.state.signal,
      reason,
      survivors: survivors.map(({ command, pid }) => ({ pid, command }))
    })
    this.#terminalOpen = false
    killPoint("session.closed.before")
    await this.#append([...last, ...events.map((event) => this.#event(event))])
    killPoint("session.closed.after")
    this.#acknowledge()
    this.host?.forget(this.id)
    this.#end()
  }

  #end(): void {
    this.#phase = "ended"
    this.#captured?.stop()
    this.#resizes?.settle()
    clearTimeout(this.#cwdTimer)
    this.#cwdTimer = undefined
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
    if (this.#isTaking) this.extension?.pipeOutput(pipe, offset, bytes)
  }

  pipeEnded(pipe: number, bytes: number): void {
    if (this.#early !== undefined) {
      this.#early.push(() => this.pipeEnded(pipe, bytes))
      return
    }
    if (this.#isTaking) this.extension?.pipeEnded(pipe, bytes)
  }

  /** Output that has come so far stands before what is appended next. */
  append(events: ReadonlyArray<NewEvent>, options?: AppendOptions): Promise<Appended> {
    this.flush()
    this.activeAt = this.#port.nowMicros()
    return this.#append(events, options)
  }

  /** All output that came so far has its place in the stream. */
  flush(): void {
    this.#takeRest()
    this.#journalChunks()
  }

  /** Journals output of a command's own stream; encoded at once. `done` is called when it is durable, not if it fails. */
  appendOutput(channel: OutputChannel, exec: number, offset: number, bytes: Uint8Array, done: () => void): void {
    this.#inFlight++
    const timeMicros = this.#port.nowMicros()
    this.activeAt = timeMicros
    const length = bytes.byteLength
    const sequence = this.#port.journal.appendOutput(this.id, channel, exec, offset, [bytes], timeMicros, (error) => {
      this.#settled()
      if (error !== undefined) return this.pause()
      const event: SessionEvent = {
        _tag: "OutputReceived",
        channel,
        exec,
        offset,
        data: ANY_BYTES.subarray(0, length)
      }
      this.#fold({ sequence, timeMicros, actor: ACTOR_PROGRAM, event })
      done()
      if (this.#inFlight === 0) this.#journalChunks()
    })
  }

  /** What is durable of a pipe of a command. */
  ackPipe(pipe: number, offset: number): void {
    if (this.#isFull) this.#unackedPipes.set(pipe, offset)
    else this.host?.ackPipe(this.id, pipe, offset)
  }

  /** Host and journal disagree about a pipe: the session is taken back from what the journal has. */
  outOfStep(what: string): void {
    this.#outOfStep(what)
  }

  /** Its shell could not be brought back: the session ends with what the last one reported. */
  async giveUp(): Promise<void> {
    if (this.#phase !== "ended") await this.#close("exited", [])
  }

  /** Journals a client's coming or going, while the session runs and before its last word; false when nothing was. */
  async appendPresence(event: SessionEvent, client: string): Promise<boolean> {
    if (!this.#isTaking) return false
    this.flush()
    return this.#append([{ event, actor: client, timeMicros: this.#port.nowMicros() }]).then(
      () => true,
      () => false
    )
  }

  /** Journals a hold or its release. Rejects while the session is started, taken back or about to end. */
  async appendHold(event: SessionEvent, actor: string): Promise<void> {
    if (!this.#isTaking) {
      throw new SessionUnavailable({ session: this.id, reason: "it is being started, taken back or ended; try again" })
    }
    this.flush()
    await this.#append([{ event, actor, timeMicros: this.#port.nowMicros() }])
  }

  /** As `appendHold`, with the payloads that it replaces. */
  async appendRedaction(event: NewEvent, options: AppendOptions): Promise<void> {
    if (!this.#isTaking) {
      throw new SessionUnavailable({ session: this.id, reason: "it is being started, taken back or ended; try again" })
    }
    this.flush()
    await this.#append([event], options)
  }

  /** Earlier events were redacted: the texts of its state become those that are journaled now. */
  async redacted(): Promise<void> {
    const { argv, envNames, group, kernelCwd, name } = await this.#port.load(this.id)
    this.state.argv = argv
    this.state.envNames = envNames
    this.state.name = name
    this.state.group = group
    this.state.kernelCwd = kernelCwd
  }

  // --- commands ------------------------------------------------------------------------------------------------------

  write(data: Uint8Array, options: CommandOptions): Promise<WriteAck> {
    if (data.byteLength === 0) return Promise.resolve({ sequence: 0, hidden: false, truncatedTo: null })
    return this.#inOrder(() => this.#write(data, options))
  }

  async #write(data: Uint8Array, options: CommandOptions): Promise<WriteAck> {
    const repeated = this.#repeated(options)
    if (repeated !== undefined) return { sequence: repeated, hidden: false, truncatedTo: null }
    const host = this.#liveHost()
    this.#checkRoom()
    this.activeAt = this.#port.nowMicros()
    const mode = await this.#answer(host.mode(this.id))
    // Asking took a moment, in which it may have ended.
    this.#liveHost()
    if (mode.queuedBytes + data.byteLength > INPUT_QUEUED_BYTES_MAX) throw this.#refused()
    if (mode.secret) return this.#writeHidden(host, data, options)
    const pieces: Array<Uint8Array> = []
    for (let at = 0; at < data.byteLength; at += OUTPUT_CHUNK_BYTES_MAX)
      pieces.push(data.subarray(at, at + OUTPUT_CHUNK_BYTES_MAX))
    if (this.capture !== undefined && options.commandId !== undefined && this.#untyped.has(options.commandId)) {
      // Sent again, because nobody typed it: the rules have it, and found something.
      const again = this.capture.asterisks(data)
      return this.#writeRedacted(host, data, again.bytes, again.replaced, options)
    }
    const shown = this.capture?.typed(data, this.state.inputBytes + data.byteLength)
    if (shown?.isNoteNew === true) this.#saveNote(host)
    if (shown?.replaced !== undefined) return this.#writeRedacted(host, data, shown.bytes, shown.replaced, options)
    const { first, last } = await this.#append(
      pieces.map((piece) => this.#event({ _tag: "InputWritten", data: piece }, options))
    )
    this.#activity()
    killPoint("keeper.write.before")
    const writes = pieces.map((piece, index) => host.write(this.id, first + index, piece))
    const results = await this.#typed(Promise.all(writes), [])
    killPoint("keeper.write.after")
    await this.#checkApplied(results, first, options.commandId)
    return {
      sequence: last,
      hidden: false,
      truncatedTo: results.find((result) => result.truncatedTo !== undefined)?.truncatedTo ?? null
    }
  }

  /** The bytes cannot come from the journal again, so they are acknowledged only when the terminal has them. */
  async #writeHidden(host: PtyHost, data: Uint8Array, options: CommandOptions): Promise<WriteAck> {
    const { last } = await this.#append([this.#event({ _tag: "InputHidden" }, options)])
    if (options.commandId !== undefined) this.#untyped.delete(options.commandId)
    killPoint("keeper.write.before")
    const result = await this.#answer(host.write(this.id, last, data)).catch((error) => {
      if (options.commandId !== undefined) this.#untyped.set(options.commandId, last)
      throw error
    })
    killPoint("keeper.write.after")
    await this.#checkApplied([result], last, options.commandId)
    return { sequence: last, hidden: true, truncatedTo: result.truncatedTo ?? null }
  }

  /** As hidden input: what is journaled is not what was typed, so it is acknowledged only when the terminal has it. */
  async #writeRedacted(
    host: PtyHost,
    data: Uint8Array,
    shown: Uint8Array,
    replaced: Replaced,
    options: CommandOptions
  ): Promise<WriteAck> {
    const events: Array<NewEvent> = []
    for (let at = 0; at < shown.byteLength; at += OUTPUT_CHUNK_BYTES_MAX) {
      const piece = shown.subarray(at, at + OUTPUT_CHUNK_BYTES_MAX)
      events.push(this.#event({ _tag: "InputWritten", data: piece }, options))
    }
    const told = this.#event({ _tag: "SecretsRedacted", what: "input", ...replaced, events: events.length })
    const { first } = await this.#append([...events, told])
    const last = first + events.length - 1
    if (options.commandId !== undefined) this.#untyped.delete(options.commandId)
    this.#activity()
    killPoint("keeper.write.before")
    const result = await this.#answer(host.write(this.id, last, data)).catch((error) => {
      if (options.commandId !== undefined) this.#untyped.set(options.commandId, last)
      throw error
    })
    killPoint("keeper.write.after")
    await this.#checkApplied([result], last, options.commandId)
    return { sequence: last, hidden: false, truncatedTo: result.truncatedTo ?? null }
  }

  closeInput(options: CommandOptions): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#repeated(options) !== undefined || this.state.inputClosed) return
      const host = this.#liveHost()
      this.#checkRoom()
      this.activeAt = this.#port.nowMicros()
      const { last } = await this.#append([this.#event({ _tag: "InputClosed" }, options)])
      this.#activity()
      const result = await this.#typed(host.closeInput(this.id, last), { outcome: "applied" })
      await this.#checkApplied([result], last, options.commandId)
    })
  }

  async resize(size: TerminalSize, options: CommandOptions): Promise<TerminalSize> {
    if (this.#repeated(options) !== undefined) return this.size
    this.#liveHost()
    this.#resizes ??= new ResizeDebounce(this.#port.resizeDebounceMillis, (size, by) => this.#applySize(size, by))
    return this.#resizes.ask(size, options)
  }

  /** The last size asked for; the journal has it at most the debounce's time later. */
  get size(): TerminalSize {
    return this.#resizes?.asked ?? this.state.size
  }

  async #applySize(size: TerminalSize, options: CommandOptions): Promise<boolean> {
    const host = this.#liveHost()
    if (size.cols === this.state.size.cols && size.rows === this.state.size.rows) return false
    // Output that came at the old size stands before the event.
    if (this.#captured !== undefined) {
      this.#takeRest()
      this.#captured.resize(size.cols)
    }
    this.#journalChunks()
    const plain = this.#port.plainOutput
    plain.note(this.id, Number.MAX_SAFE_INTEGER)
    const { last } = await this.#append([this.#event({ _tag: "Resized", size }, options)])
    // Unless other output came meanwhile, which stands behind it.
    if (plain.after(this.id) === Number.MAX_SAFE_INTEGER) plain.note(this.id, last)
    await this.#typed(host.resize(this.id, size), undefined)
    return true
  }

  async signal(signal: NodeJS.Signals, target: SignalTarget, options: CommandOptions): Promise<void> {
    if (this.#repeated(options) !== undefined) return
    const host = this.#liveHost()
    await this.#append([this.#event({ _tag: "SignalSent", signal, target }, options)])
    this.#activity()
    await this.#typed(host.signal(this.id, signal, target), false)
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
    const host = this.#liveHost()
    await this.#append([this.#event({ _tag: "SignalSent", signal: "SIGHUP", target: "session" }, options)])
    const isClosed = new Promise<void>((resolve) => {
      this.#terminalClosed = resolve
    })
    this.extension?.closing()
    const survivors = await this.#answer(host.close(this.id, options.graceMillis))
    if (survivors.length === 0) this.#takeAgain()
    await withTimeout(isClosed, TERMINAL_CLOSED_WAIT_MILLIS)
    this.#terminalClosed = undefined
    // Again where it was taken back on the way.
    while (this.#phase === "running") await this.#close("ended", survivors)
    return { survivors }
  }

  /** Journals which limit was reached, then ends the session as `close` does. */
  async endForLimit(limit: keyof SessionLimits, value: number): Promise<void> {
    if (this.#closing !== undefined) return
    this.#liveHost()
    this.flush()
    if (this.state.limitReached === null) await this.#append([this.#event({ _tag: "LimitReached", limit, value })])
    await this.close({})
  }

  /** Ends it for the limit that an engine before had found reached, or had not come to. */
  checkLimits(): void {
    const { limitReached, limits } = this.state
    const value = limitReached === null ? undefined : limits[limitReached]
    if (limitReached !== null) this.#port.limitReached(this, limitReached, Number(value))
    else this.#checkJournaledBytes()
  }

  /**
   * What is journaled beyond the limit is what was on its way when it was reached: at most what a host delivers without
   * an acknowledgement (OUTPUT_HELD_BYTES_HIGH of the terminal, as much of each stream of a command) and one write.
   */
  #checkJournaledBytes(): void {
    const { journaledBytes, limitReached, limits } = this.state
    const { journalBytes } = limits
    if (journalBytes === undefined || journaledBytes <= journalBytes || this.#isFull || limitReached !== null) return
    if (this.#phase !== "running") return
    this.#isFull = true
    this.#port.limitReached(this, "journalBytes", journalBytes)
  }

  /** Nothing of it runs any more: the rest of its output is what the kernel still holds. */
  #takeAgain(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#acknowledge()
    for (const [pipe, offset] of this.#unackedPipes) this.ackPipe(pipe, offset)
    this.#unackedPipes.clear()
  }

  #checkRoom(): void {
    if (!this.#isFull) return
    const max = this.state.limits.journalBytes ?? 0
    const reason = `session ${this.id}: its journal has the ${max} bytes it may have, and it is being ended`
    throw new LimitExceeded({ limit: "journal bytes", max, reason })
  }

  // --- what they share -----------------------------------------------------------------------------------------------

  #inOrder<A>(command: () => Promise<A>): Promise<A> {
    const result = this.#inputs.then(command, command)
    this.#inputs = result.catch(() => undefined)
    return result
  }

  /** The sequence that this command id caused before, if it was applied. */
  #repeated({ commandId }: CommandOptions): number | undefined {
    if (commandId === undefined || this.#untyped.has(commandId)) return undefined
    // While it is taken back nobody knows yet which of its hidden inputs the terminal has.
    if (this.#phase === "waiting") return undefined
    return this.state.recentCommands.get(commandId)
  }

  #liveHost(): PtyHost {
    if (this.#phase === "ended" || this.state.closed) throw this.#overError()
    // Behind the last word nothing is journaled; one that fails leaves the session waiting.
    if (this.#phase === "running" && this.#lastWord) throw this.#overError()
    if (this.#phase === "waiting" || this.host === undefined) {
      throw new SessionUnavailable({
        session: this.id,
        reason: "its journal or its keeper is away for a moment; nothing was done"
      })
    }
    return this.host
  }

  #overError(): SessionEnded {
    return new SessionEnded({ session: this.id, status: this.state.status })
  }

  /** The host's word, or why there is none. */
  async #answer<A>(answer: Promise<A>): Promise<A> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof SessionUnknown) throw this.#overError()
      throw new SessionUnavailable({ session: this.id, reason: error instanceof Error ? error.message : String(error) })
    }
  }

  /** As `#answer`, for what is journaled: a host that goes away applies it when the session is taken back, so it is no failure. */
  async #typed<A>(answer: Promise<A>, whenAway: A): Promise<A> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof HostUnavailable) return whenAway
      return this.#answer(Promise.reject(error))
    }
  }

  async #checkApplied(
    results: ReadonlyArray<WriteResult>,
    first: number,
    commandId: string | undefined
  ): Promise<void> {
    const outcome = await this.#recordUnapplied(results, first, commandId)
    if (outcome === "full") throw this.#refused()
    if (outcome === "closed") throw this.#overError()
  }

  /** Journaled input that the terminal refused is said to be missing, so that nobody types it later or believes it was typed. */
  async #recordUnapplied(
    results: ReadonlyArray<WriteResult>,
    first: number,
    commandId: string | undefined
  ): Promise<WriteResult["outcome"] | undefined> {
    const refused = results.findIndex(({ outcome }) => outcome === "full" || outcome === "closed")
    if (refused < 0) return undefined
    const { outcome } = results[refused]!
    const why = outcome === "full" ? "the program does not read and its queue is full" : "the terminal was closed"
    const to = first + results.length - 1
    // With its id where nothing of the command was typed: its sender, who is told so, may send it again.
    const event = { _tag: "GapDetected", what: "input", from: first + refused, to, why } as const
    await this.#append([this.#event(event, { commandId: refused === 0 ? commandId : undefined })])
    return outcome
  }

  #refused(): InputRefused {
    return new InputRefused({ session: this.id, queuedBytesMax: INPUT_QUEUED_BYTES_MAX })
  }

  #event(event: SessionEvent, options: CommandOptions = {}): NewEvent {
    return {
      event,
      actor: options.actor ?? ACTOR_ENGINE,
      commandId: options.commandId,
      timeMicros: this.#port.nowMicros()
    }
  }

  /** The events have their place in the stream when this returns, and are durable and folded when it resolves. */
  async #append(given: ReadonlyArray<NewEvent>, options?: AppendOptions): Promise<Appended> {
    const events = this.capture === undefined ? given : this.#masked(given)
    this.#inFlight++
    const told = this.#port.feed.place(this.id, events, options?.rows)
    try {
      const appended = await this.#port.journal.append(
        this.id,
        events,
        told === undefined ? options : { ...options, rows: told.rows }
      )
      events.forEach((event, index) => {
        this.#fold({ ...event, sequence: appended.first + index })
      })
      told?.durable()
      // What was asked for: what tells of replacements stands behind it, unless it is a stream's end.
      return events === given || isEnd(given) ? appended : { ...appended, last: appended.first + given.length - 1 }
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error
      this.#isInDoubt = true
      this.pause()
      throw new SessionUnavailable({ session: this.id, reason: error.message })
    } finally {
      this.#settled()
      if (this.#inFlight === 0 && this.#phase === "running") this.#journalChunks()
    }
  }

  #masked(given: ReadonlyArray<NewEvent>): ReadonlyArray<NewEvent> {
    const { events, replaced } = this.capture!.masked(given)
    if (replaced === undefined) return given
    // A command's standard input that is all of what is appended is given to it from here, and can be only once.
    const isStdin = given.every(({ event }) => event._tag === "CommandInputWritten")
    const told = this.#event({
      _tag: "SecretsRedacted",
      what: isStdin ? "stdin" : "events",
      ...replaced,
      events: isStdin ? given.length : 0
    })
    return isEnd(given) ? [told, ...events] : [...events, told]
  }

  #settled(): void {
    this.#inFlight--
    if (this.#inFlight > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /**
   * Output is reported durable by a callback, other events by a promise, which comes a little later: what comes early
   * waits, so that a snapshot never holds an event without those before it.
   */
  #fold(entry: JournalEntry): void {
    this.#unfolded.set(entry.sequence, entry)
    for (;;) {
      const next = this.#unfolded.get(this.state.sequence + 1)
      if (next === undefined) break
      this.#unfolded.delete(next.sequence)
      this.state = SessionState.fold(this.state, next)
      this.extension?.fold(next)
    }
    this.#checkJournaledBytes()
    if (this.state.sequence - this.#snapshotSequence < SNAPSHOT_EVENTS) return
    this.#snapshotSequence = this.state.sequence
    this.#port.saveState(this.state)
  }

  // --- the directory, where the shell does not tell it ---------------------------------------------------------------

  #activity(): void {
    // An extension is told the directory by the shell.
    if (this.#cwdTimer !== undefined || this.#phase !== "running" || this.extension !== undefined) return
    this.#cwdTimer = setTimeout(() => {
      this.#cwdTimer = undefined
      this.#sampleCwd()
    }, CWD_SAMPLE_MILLIS)
    this.#cwdTimer.unref()
  }

  /** Asks the kernel where the session's program is and journals a change. */
  async sampleCwd(): Promise<void> {
    if (this.#phase === "running" && this.state.status === "running") await this.#sampleCwd()
  }

  async #sampleCwd(): Promise<void> {
    const { pid } = this.state
    const seen = pid === null ? undefined : await this.#port.directoryOf(pid)
    const cwd = seen === undefined ? undefined : (this.capture?.maskedText(seen) ?? seen)
    if (cwd === undefined || cwd === this.#cwd || !this.#isTaking) return
    if (this.state.status !== "running") return
    this.#cwd = cwd
    await this.#append([this.#event({ _tag: "CwdChanged", cwd, source: "proc" })]).catch(() => undefined)
  }
}

/**
 * Buffers that gather output, used again by whoever needs one: a flood that allocated them would be collected all the
 * time. A session holds one only while an append of it is in flight; 1 MiB of them is kept.
 */
const BUFFERS_KEPT_MAX = 16
const buffers: Array<Uint8Array> = []
const takeBuffer = (): Uint8Array => buffers.pop() ?? new Uint8Array(OUTPUT_CHUNK_BYTES_MAX)
const giveBuffer = (buffer: Uint8Array): void => {
  if (buffers.length < BUFFERS_KEPT_MAX) buffers.push(buffer)
}

/** Behind the last of these nothing may stand. */
const isEnd = (events: ReadonlyArray<NewEvent>): boolean => {
  const last = events.at(-1)?.event._tag
  return last === "SessionClosed" || last === "SessionLost"
}

const ANY_BYTES = new Uint8Array(64 * 1024)

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
