/**
 * The shell of one session and the commands given to it: one runs, others wait in order. It writes a command into the
 * journal, then into the shell's command pipe; takes its streams and the shell's word of its end from the keeper; and
 * writes the outcome. Everything it holds in memory can be thrown away at any moment and read again from journal and
 * keeper (`load`, `adopted`): that is the recovery after a crash.
 *
 * Callbacks and promises; ExecEngine.ts puts the Effect face on it. It starts no process itself (EngineCore does), reads no
 * output back (CommandOutput.ts does) and never invents an outcome.
 */
import { randomBytes } from "node:crypto"
import { readdirSync, rmSync, unlink, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  ACTOR_ENGINE,
  ACTOR_PROGRAM,
  type CommandStatus,
  type JournalEntry,
  type NewEvent,
  type SessionEvent
} from "../../journal/Event.ts"
import type { Row } from "../../journal/Journal.ts"
import { type CommandEntry, Commands, type CommandsState, findCommand } from "../../projections/Commands.ts"
import type { CaptureStream } from "../capture/SessionCapture.ts"
import {
  type HeldPipe,
  type InputWait,
  NOTE_BYTES_MAX,
  type PipeRequest,
  SPAWN_NOTE_BYTES_MAX
} from "../keeper/PipeHost.ts"
import { HostUnavailable, type LeaderExit, OUTPUT_CHUNK_BYTES_MAX, type PtyHost } from "../keeper/PtyHost.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import { InvalidRequest, SessionEnded, SessionUnavailable } from "../session/SessionError.ts"
import type { LastWord, SessionExtension } from "../session/SessionExtension.ts"
import {
  Command,
  type CommandStarted,
  type CommandStream,
  type KeptBytes,
  keep,
  lacksValues,
  requestOf,
  stdinKind
} from "./Command.ts"
import { CommandInput, type InputPiece, inputPieces } from "./CommandInput.ts"
import { signalCommand, ticksNow } from "./CommandProcesses.ts"
import { type ControlFrame, ControlReader } from "./ControlFrames.ts"
import type { Driver, ShellState } from "./Driver.ts"
import type { ExecRequest, RestoreReport } from "./Exec.ts"
import { QUEUED_COMMANDS_MAX } from "./Exec.ts"
import { SessionBusy } from "./ExecError.ts"
import { decodeNote, type GivenCommand, type KeeperNote } from "./KeeperNote.ts"
import { COMMAND, CONTROL, ERR, groupOf, IN, kindOf, OUT, pipeOf, shellPipes } from "./PipeNumbers.ts"
import { Policy } from "./Policy.ts"
import { maskEnv, redactValues, type StreamRedactor } from "./Secrets.ts"
import { type ShellEnvironment, ShellMemory } from "./ShellMemory.ts"

/** After the shell's word of the end: what its children still hold open after this is late output. */
const STREAMS_GRACE_MILLIS = 120
/** The most that the kernel holds of a pipe (fs.pipe-max-size): what a command wrote is read within this much more. */
const PIPE_CAPACITY_BYTES_MAX = 1024 * 1024
/** The terminal delivers a command's mark a moment after the shell wrote it; without it something ate it. */
const MARK_WAIT_MILLIS = 3000
/** Each step of ending a command whose time is over: INT, TERM, KILL, then the shell itself. */
const TIMEOUT_STEP_MILLIS = [500, 500, 1000] as const
/** A signal before the shell has opened the command's streams would meet an idle shell, which ignores it. */
const INTERRUPT_MIN_AGE_MILLIS = 50
/** A shell that says nothing for so long does not start. */
const READY_TIMEOUT_MILLIS = 10_000
/** Shells that end before they take a command, in a row: then the session ends. */
const RESTARTS_MAX = 3
/** Of a command that is remembered beside the journal: half of what a keeper remembers of a session. */
const GIVEN_BYTES_MAX = 512 * 1024
/** Kept of the terminal for the prompt and the mark. */
const TAIL_BYTES = 8 * 1024

/** Rows by which a command is found by its id, for ever: they are written with its first event. */
export const EXEC_SPACE = "exec"
export const execRowKey = (session: string, execId: string): Buffer => Buffer.from(`${session}|${execId}`, "latin1")

export interface ExecSessionPort {
  readonly nowMicros: () => number
  readonly load: (session: string) => Promise<CommandsState>
  /** Keeps a snapshot of the state after an event. Derived: it may fail. */
  readonly save: (state: CommandsState, session: string, sequence: number) => void
  /** A command's start as the journal has it, and the standard input it was started with. */
  readonly readStart: (
    session: string,
    sequence: number
  ) => Promise<{ readonly started: CommandStarted; readonly input: Uint8Array } | undefined>
  /** What was journaled for the standard input stream of a command and may not be in its pipe, and how much was before it. */
  readonly readInput: (
    session: string,
    command: { readonly exec: number; readonly after: number; readonly applied: number }
  ) => Promise<{
    readonly bytes: number
    readonly isEnded: boolean
    readonly unapplied: ReadonlyArray<InputPiece>
    /** Events of which the journal does not have what was given, and which the pipe does not have. */
    readonly missing: ReadonlyArray<{ readonly from: number; readonly to: number }>
  }>
  /** Starts another shell process in this session. */
  readonly relaunch: (
    session: LiveSession,
    how: {
      readonly env: Readonly<Record<string, string>>
      readonly cwd: string
      readonly pipes: ReadonlyArray<PipeRequest>
      readonly note: Uint8Array
    }
  ) => Promise<void>
  /** The environment with which a running process was started, or undefined. */
  readonly environmentOf: (pid: number) => ReadonlyMap<string, string> | undefined
  readonly defaultEnvironment: () => Readonly<Record<string, string>>
  readonly isFolder: (path: string) => boolean
}

export class ExecSession implements SessionExtension {
  readonly live: LiveSession
  readonly driver: Driver
  readonly folder: string
  state: CommandsState
  readonly #port: ExecSessionPort
  /** What is known of the shell and is not in the journal. */
  readonly #memory: ShellMemory
  #isReady = false
  #ready: Array<(how: "ready" | "gone") => void> = []
  #running: Command | undefined
  readonly #queue: Array<Command> = []
  /** Queued and running ones by id. */
  readonly #commands = new Map<string, Command>()
  #control = new ControlReader()
  #controlAt = 0
  /** 0, then one more for each shell process that this keeper saw. */
  #incarnation = 0
  #frames: Promise<void> = Promise.resolve()
  #controlWaiter: (() => void) | undefined
  /** Pipes that deliver to this taking of the session: what an earlier one still has on its way is of no use. */
  readonly #taken = new Set<number>()
  /** Standard input of running commands. */
  readonly input: CommandInput
  #restore: { readonly line: string; readonly done: (lines: ReadonlyArray<string>) => void } | undefined
  #restarting: Promise<RestoreReport> | undefined
  #restarts = 0
  #resetting: Promise<RestoreReport> | undefined
  #shellGone: (() => void) | undefined
  /** What the session was brought back with, if this engine did it. */
  lastRestore: RestoreReport | null = null
  #streamsWaiter: (() => void) | undefined
  /** Rises when memory is thrown away: what was begun before must not go on. */
  #epoch = 0
  #tail: Buffer = Buffer.alloc(0)
  #terminalRedactor: StreamRedactor | undefined
  #policy: Policy | undefined

  constructor(
    live: LiveSession,
    driver: Driver,
    folder: string,
    port: ExecSessionPort,
    environment?: ShellEnvironment
  ) {
    this.live = live
    this.driver = driver
    this.folder = folder
    this.#port = port
    this.#memory = new ShellMemory(driver, environment, () => this.live.capture)
    this.input = new CommandInput(live, (event, actor) => this.#event(event, actor))
    this.#taken.add(this.#controlPipe)
    this.state = Commands.initial(live.id)
  }

  // --- the shell's pipes ---------------------------------------------------------------------------------------------

  get #commandPipe(): number {
    return pipeOf(this.#incarnation, COMMAND)
  }
  get #controlPipe(): number {
    return pipeOf(this.#incarnation, CONTROL)
  }
  /** Those of the session's first shell: opened before it is started. */
  static firstPipes(folder: string): ReadonlyArray<PipeRequest> {
    return shellPipes(folder, COMMAND, CONTROL)
  }

  #file(name: string): string {
    return join(this.folder, name)
  }

  // --- the session's life --------------------------------------------------------------------------------------------

  /** After the process was started: gives it its first line, waits until it takes commands. Rejects with why it does not. */
  async begin(): Promise<void> {
    this.#greet(this.live.state.sequence)
    this.#saveNote(this.live.host)
    if ((await this.#untilReady(READY_TIMEOUT_MILLIS)) === "ready") return
    const said = this.#tail.toString("utf8").trim().slice(-300)
    throw new SessionUnavailable({
      session: this.live.id,
      reason: `${this.driver.defaultShell} does not take commands${said === "" ? "" : `: ${said}`}`
    })
  }

  #untilReady(millis: number): Promise<"ready" | "gone" | "slow"> {
    if (this.#isReady) return Promise.resolve("ready")
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve("slow"), millis)
      this.#ready.push((how) => {
        clearTimeout(timer)
        resolve(how)
      })
    })
  }

  async load(): Promise<void> {
    this.#forget()
    this.state = await this.#port.load(this.live.id)
  }

  /** Earlier events were redacted: the texts of the state become those that are journaled now; what runs goes on. */
  async redacted(): Promise<void> {
    const fresh = await this.#port.load(this.live.id)
    for (const [exec, { code, codeCut }] of fresh.commands) {
      const command = this.state.commands.get(exec)
      if (command !== undefined) Object.assign(command, { code, codeCut })
    }
    for (const kept of ["env", "functions", "aliases"] as const) {
      for (const [name, text] of fresh[kept]) if (this.state[kept].has(name)) this.state[kept].set(name, text)
    }
    this.state.imports = fresh.imports
    this.state.shellCwd = fresh.shellCwd
  }

  #forget(): void {
    this.paused()
    this.#taken.clear()
    this.#memory.forget(this.state)
    clearTimeout(this.#running?.timer)
    this.#running = undefined
    this.#isReady = false
    this.#streamsWaiter = undefined
    this.#streams.clear()
    this.#tail = Buffer.alloc(0)
    this.#terminalRedactor?.flush()
  }

  paused(): void {
    this.#epoch++
    for (const { capture } of this.#streams.values()) capture?.stop()
    this.input.fallBehind()
    this.#controlWaiter?.()
  }

  async adopting(host: PtyHost): Promise<void> {
    const memory = this.#memory
    if (memory.environment === undefined) {
      const note = decodeNote(await host.getNote(this.live.id))
      memory.readNote(note)
      const env = note?.env ?? this.#environmentOfShell()
      // Before anything is journaled: what the shell prints is searched for its secrets.
      const secretNames = new Set(note?.secretNames ?? this.live.state.secretEnvNames)
      if (env !== undefined) memory.environment = { env, secretNames }
    }
    // What an earlier connection took with it.
    this.#saveNote(host)
    this.#terminalRedactor = memory.redactor(this.state.running ?? 0)
  }

  async adopted(): Promise<void> {
    const { live, state } = this
    const host = live.host!
    const epoch = this.#epoch
    const held = await host.listPipes(live.id)
    const shells = held.filter(({ pipe }) => kindOf(pipe) === COMMAND).map(({ pipe }) => pipe)
    this.#incarnation = Math.max(0, ...shells.map((pipe) => groupOf(pipe)))
    this.#memory.assume(state)
    // An engine that started this shell and died before a word to it: before all others.
    if (held.some(({ inputSequence, pipe }) => pipe === this.#commandPipe && inputSequence === 0)) this.#greet(1)
    await this.#resumeRunning(host, held)
    // Not before what runs is known: another command would be given to the same shell.
    this.#isReady = true
    // Streams before the shell's word: an end that is delivered again finds their bytes already journaled.
    for (const { direction, heldFrom, pipe } of held) {
      const kind = kindOf(pipe)
      if (direction !== "output" || kind === CONTROL) continue
      const kept = state.commands.get(groupOf(pipe))
      const journaled = kept === undefined ? heldFrom : kind === OUT ? kept.stdoutBytes : kept.stderrBytes
      const from = Math.max(heldFrom, journaled)
      const stream = this.#stream(pipe)
      stream.journaled = from
      // With rules, from what a match may go on from.
      stream.next = stream.capture === undefined ? from : heldFrom
      if (stream.capture !== undefined) stream.capture = this.#captureOf(pipe, stream)
      host.ackPipe(live.id, pipe, stream.next)
      await host.attachPipe(live.id, pipe, stream.next, () => this.#taken.add(pipe))
    }
    const control = held.find(({ pipe }) => pipe === this.#controlPipe)
    if (control !== undefined) {
      this.#control = new ControlReader(control.heldFrom)
      this.#controlAt = control.heldFrom
      await host.attachPipe(live.id, control.pipe, control.heldFrom, () => this.#taken.add(control.pipe))
    }
    this.#removeLeftovers(host, held)
    if (this.#epoch === epoch) this.input.caughtUp()
    // Those that an engine before had started and finished, or that never got that far.
    for (const command of [...this.#commands.values()]) this.#recheck(command)
    if (live.state.status === "exited") void this.#shellDied(exitOf(live)).catch(() => undefined)
    else if (this.#restore !== undefined) this.#writeLine(live.state.sequence + 1, this.#restore.line)
    else if (this.#memory.unfinishedRestart !== null && this.#restarting === undefined) {
      const unfinished = this.#memory.unfinishedRestart
      void this.#oneRestart(() => this.#finishRestart(unfinished)).catch(() => undefined)
    } else this.#next()
  }

  /** What an engine that died right after a command's end had no time for. */
  #removeLeftovers(host: PtyHost, held: ReadonlyArray<HeldPipe>): void {
    const isOver = (exec: number) => exec !== this.#running?.exec
    const inputs = held.filter(({ pipe }) => kindOf(pipe) === IN && isOver(groupOf(pipe)))
    if (inputs.length > 0)
      host.closePipes(
        this.live.id,
        inputs.map(({ pipe }) => pipe)
      )
    for (const exec of this.#memory.commands) this.#forgetNoted(exec)
    for (const name of readdirSync(this.folder)) {
      const exec = /^(\d+)\.(src|in)$/.exec(name)?.[1]
      if (exec !== undefined && isOver(Number(exec))) rmSync(this.#file(name), { force: true })
    }
  }

  #recheck(command: Command): void {
    const kept = findCommand(this.state, command.execId)
    if (kept === undefined) {
      if (command.exec === 0) return
      this.#commands.delete(command.execId)
      command.refuse(
        new SessionUnavailable({ session: this.live.id, reason: "the journal could not be written; nothing was run" })
      )
    } else if (kept.status !== "running") {
      this.#commands.delete(command.execId)
      command.settle()
    }
  }

  /** A command that runs, according to the journal: goes on with it, or gives it to the shell if that never happened. */
  async #resumeRunning(host: PtyHost, held: ReadonlyArray<HeldPipe>): Promise<void> {
    const kept = this.#runningEntry
    if (kept === undefined) return this.#greetAgain()
    const start = await this.#port.readStart(this.live.id, kept.firstSequence)
    if (start === undefined) return
    const { started } = start
    const known = this.#commands.get(kept.execId)
    const noted = this.#memory.command(kept.exec)
    const command = known ?? new Command(kept.execId, requestOf(started, start.input, noted))
    command.exec = kept.exec
    command.firstSequence = kept.firstSequence
    command.startedMillis = kept.startedAt / 1000
    command.sinceTicks = ticksNow() - Math.ceil((this.#port.nowMicros() - kept.startedAt) / 10_000)
    command.streams.clear()
    command.end = undefined
    // Without the mark of the engine before, the terminal's output is waited for instead.
    if (known === undefined) command.mark = noted?.mark ?? ""
    command.isMarkSeen = false
    this.#running = command
    this.#commands.set(kept.execId, command)
    this.#expectStreams(command)
    this.#armTimeout(command)
    const applied = held.find(({ pipe }) => pipe === this.#commandPipe)?.inputSequence ?? 0
    if (applied >= kept.firstSequence) return this.#feedAgain(host, command, held)
    if (lacksValues(started, command.request)) {
      // Its secrets are gone; it was never given to the shell.
      await this.#finish(command, { status: "lost", exitCode: null, signal: null, cwd: kept.cwdBefore, value: null })
      return
    }
    this.#give(command, started)
    await this.#feedAgain(host, command, held)
  }

  /** Input that is in the journal and not in the command's pipe. */
  async #feedAgain(host: PtyHost, command: Command, held: ReadonlyArray<HeldPipe>): Promise<void> {
    if (command.request.stdin?._tag !== "Stream") return
    const { exec } = command
    const applied = held.find(({ pipe }) => pipe === pipeOf(exec, IN))?.inputSequence ?? 0
    const input = await this.#port.readInput(this.live.id, { exec, after: command.firstSequence, applied })
    command.inputBytes = input.bytes
    command.isInputEnded = input.isEnded
    for (const { from, to } of input.missing) {
      const why = "it was redacted, and the engine ended before the command had it"
      await this.live.append([this.#event({ _tag: "GapDetected", what: "input", from, to, why })])
    }
    await this.input.write(host, command, input.unapplied)
  }

  /** A shell that re-executed itself may wait for its first line, if the engine died in between. */
  #greetAgain(): void {
    const last = this.state.commands.get(this.state.nextExec - 1)
    if (last !== undefined && (last.status === "exited" || last.status === "interrupted"))
      this.#greet(last.finishedSequence ?? last.lastSequence)
  }

  /** The first line of a shell process, where its driver has one. */
  #greet(sequence: number): void {
    const greeting = this.driver.greeting(this.folder)
    if (greeting !== "") this.#writeLine(sequence, greeting)
  }

  fold(entry: JournalEntry): void {
    this.state = Commands.fold(this.state, entry)
  }

  leaderExited(exit: LeaderExit): void {
    void this.#shellDied(exit).catch(() => undefined)
  }

  closing(): void {
    // A shell whose command pipe is gone has nothing to come back to: it ends at the first signal, not at the last.
    this.live.host?.closePipes(this.live.id, [this.#commandPipe, this.#controlPipe])
  }

  lastWords(why: LastWord): ReadonlyArray<NewEvent> {
    const kept = this.#runningEntry
    if (kept === undefined) return []
    const end = this.#running?.end
    // The shell's word of the end was there, its streams were still waited for.
    if (end !== undefined && end.exec === kept.exec)
      return [this.#event(this.#finishedEvent(kept, this.#outcomeOf(end)))]
    const exit = why._tag === "Ended" ? why.exit : undefined
    const status: CommandStatus = why._tag === "Lost" ? "lost" : "died"
    return [
      this.#event(
        this.#finishedEvent(kept, {
          status,
          exitCode: exit?.exitCode ?? null,
          signal: exit?.signal ?? null,
          cwd: kept.cwdBefore,
          value: null
        })
      )
    ]
  }

  ended(): void {
    this.paused()
    this.input.caughtUp()
    clearTimeout(this.#running?.timer)
    for (const ready of this.#ready.splice(0)) ready("gone")
    const error = this.#gone()
    for (const command of this.#commands.values()) {
      // A command that was started has its outcome in the journal by now.
      if (command.exec > 0) command.settle()
      else command.refuse(error)
    }
    this.#commands.clear()
    this.#queue.length = 0
    this.#streamsWaiter?.()
    this.#port.save(this.state, this.live.id, this.live.state.sequence)
    rmSync(this.folder, { recursive: true, force: true })
  }

  // --- commands ------------------------------------------------------------------------------------------------------

  /** The queued or running command with this id. */
  find(execId: string): Command | undefined {
    return this.#commands.get(execId)
  }

  /** As the session was created with. */
  get policy(): Policy {
    this.#policy ??= new Policy(this.state.deny)
    return this.#policy
  }

  /** The command that runs, as the journal has it. */
  get #runningEntry(): CommandEntry | undefined {
    return this.state.running === null ? undefined : this.state.commands.get(this.state.running)
  }

  get running(): Command | undefined {
    return this.#running
  }

  get isBusy(): boolean {
    return this.#running !== undefined || this.#queue.length > 0 || this.#restarting !== undefined
  }

  /** Runs it when its turn comes. Throws SessionBusy. */
  submit(execId: string, request: ExecRequest): Command {
    if (this.isBusy && (request.onBusy === "reject" || this.#queue.length >= QUEUED_COMMANDS_MAX)) {
      throw new SessionBusy({
        session: this.live.id,
        runningExecId: this.#running?.execId ?? this.#queue[0]?.execId ?? "a restart of its shell",
        queued: this.#queue.length
      })
    }
    const command = new Command(execId, request)
    this.#commands.set(execId, command)
    this.#queue.push(command)
    this.#next()
    return command
  }

  #next(): void {
    if (this.#running !== undefined || this.#restarting !== undefined || !this.live.isRunning || !this.#isReady) return
    const command = this.#queue.shift()
    if (command === undefined) return
    this.#running = command
    const epoch = this.#epoch
    this.#start(command).catch((error) => {
      if (this.#epoch !== epoch) return
      this.#commands.delete(command.execId)
      if (this.#running === command) this.#running = undefined
      command.refuse(error)
      this.#next()
    })
  }

  async #start(command: Command): Promise<void> {
    const { live, state } = this
    const { request } = command
    if (live.host?.capabilities.notes === false && Object.keys(request.secretEnv ?? {}).length > 0) {
      // The next engine would not know the value, and would journal it when the command prints it.
      const reason =
        "the keeper of this session was started by an older version and cannot keep secrets; `reprise reset` gives the session a shell under a new one"
      throw new InvalidRequest({ field: "secretEnv", reason })
    }
    const exec = state.nextExec
    command.exec = exec
    live.flush()
    command.mark = request.tty === true ? randomBytes(8).toString("hex") : ""
    const stdin = request.tty === true ? "tty" : stdinKind(request)
    const { env, masked } = maskEnv(request.env ?? {}, [])
    const given = this.#givenApart(request)
    const started: CommandStarted = {
      _tag: "CommandStarted",
      exec,
      execId: command.execId,
      code: request.code,
      stdin,
      tty: request.tty === true,
      ...(request.cwd !== undefined && { cwd: request.cwd }),
      env,
      secretEnvNames: Object.keys(request.secretEnv ?? {}),
      timeoutMillis: request.timeoutMillis ?? null,
      ttyFrom: live.outputBytes
    }
    const actor = request.actor ?? ACTOR_ENGINE
    const events: Array<SessionEvent> = [started]
    if (request.stdin?._tag === "Bytes" && stdin === "bytes") {
      for (const piece of inputPieces(request.stdin.data)) {
        events.push({ _tag: "CommandInputWritten", exec, base64: piece.base64, end: piece.isLast })
      }
    }
    const row: Row = {
      space: EXEC_SPACE,
      key: execRowKey(live.id, command.execId),
      value: Buffer.from(JSON.stringify({ exec, after: live.state.sequence }))
    }
    // Before the journal says that it is there: whoever finds it there finds its secrets.
    const secretEnv = request.secretEnv ?? {}
    if (command.mark !== "" || masked.length > 0 || Object.keys(secretEnv).length > 0 || given !== undefined) {
      const maskedEnv = Object.fromEntries(masked.map((name) => [name, request.env![name]!]))
      this.#memory.setCommand(exec, { secretEnv, maskedEnv, mark: command.mark, ...(given !== undefined && { given }) })
      this.#saveNote(live.host)
    } else this.#memory.forgetCommand(exec)
    this.#tail = Buffer.alloc(0)
    // Of a command that got this number before, and then could not be journaled: other secrets were looked for.
    for (const kind of [OUT, ERR]) this.#streams.delete(pipeOf(exec, kind))
    this.#expectStreams(command)
    this.#terminalRedactor = this.#memory.redactor(exec)
    command.sinceTicks = ticksNow()
    const epoch = this.#epoch
    // Files and pipes are made while the journal writes: no program knows of them before it is given the line.
    const line = this.#prepare(command, started)
    const { first } = await live.append(
      events.map((event) => this.#event(event, actor)),
      { rows: [row] }
    )
    command.firstSequence = first
    command.startedMillis = this.#port.nowMicros() / 1000
    // Adopted meanwhile: whoever adopted it has given it to the shell.
    if (this.#epoch !== epoch) return
    this.#run(command, line)
    this.#armTimeout(command)
  }

  /** What the session's rules leave of the command in the journal is not what is to be run: then what is. */
  #givenApart({ code, cwd, env, stdin }: ExecRequest): GivenCommand | undefined {
    const { capture } = this.live
    if (capture === undefined) return undefined
    const input = stdin?._tag === "Bytes" ? Buffer.from(stdin.data).toString("base64") : undefined
    const texts = [
      code,
      cwd ?? "",
      ...Object.entries(env ?? {}).flat(),
      ...Object.entries(env ?? {}).map((pair) => pair.join("="))
    ]
    const isHeld =
      texts.some((text) => capture.maskedText(text) !== text) || (stdin?._tag === "Bytes" && capture.holds(stdin.data))
    if (!isHeld) return undefined
    const given: GivenCommand = { code, cwd, env, input }
    if (JSON.stringify(given).length > GIVEN_BYTES_MAX) {
      const reason = `it holds what this session's rules redact, and with more than ${GIVEN_BYTES_MAX} bytes it is too large to be remembered beside the journal`
      throw new InvalidRequest({ field: "code", reason })
    }
    return given
  }

  /** The command's files and streams, then its line: in this order on one connection. */
  #give(command: Command, started: CommandStarted): void {
    this.#run(command, this.#prepare(command, started))
  }

  #run(command: Command, line: string | undefined): void {
    if (line === undefined) return
    // What fails here fails with the connection: then the session is adopted again, and this is done again.
    if (command.request.tty === true) this.live.host?.resetMode(this.live.id).catch(() => undefined)
    this.#writeLine(command.firstSequence, line)
  }

  /** Makes the command's files and streams, which may be there already. The line that runs it; undefined without a host. */
  #prepare(command: Command, started: CommandStarted): string | undefined {
    const { driver, live } = this
    const { request } = command
    const host = live.host
    if (host === undefined) return undefined
    const { exec } = command
    const source = this.#file(`${exec}.src`)
    writeFileSync(source, request.code, { mode: 0o600 })
    let stdin = "/dev/null"
    let stdout = "/dev/tty"
    let stderr = "/dev/tty"
    const pipes: Array<PipeRequest> = []
    if (started.stdin === "tty") stdin = "/dev/tty"
    if (started.stdin === "bytes" || started.stdin === "stream") stdin = this.#file(`${exec}.in`)
    if (started.stdin === "bytes" && request.stdin?._tag === "Bytes") {
      // A file and not a pipe: it is there whenever the command opens it, however often, and needs nobody to feed it.
      writeFileSync(stdin, request.stdin.data, { mode: 0o600 })
    }
    if (started.stdin === "stream") pipes.push({ pipe: pipeOf(exec, IN), path: stdin, direction: "input" })
    if (!started.tty) {
      stdout = this.#file(`${exec}.out`)
      stderr = this.#file(`${exec}.err`)
      pipes.push(
        { pipe: pipeOf(exec, OUT), path: stdout, direction: "output" },
        { pipe: pipeOf(exec, ERR), path: stderr, direction: "output" }
      )
    }
    if (pipes.length > 0) host.openPipes(live.id, pipes).catch(() => undefined)
    for (const { pipe } of pipes) this.#taken.add(pipe)
    return driver.line({
      exec,
      source,
      stdin,
      stdout,
      stderr,
      mark: command.mark,
      cwd: request.cwd,
      env: { ...request.env, ...request.secretEnv }
    })
  }

  saveNote(): void {
    this.#saveNote(this.live.host)
  }

  #saveNote(host: PtyHost | undefined): void {
    host?.setNote(this.live.id, this.#memory.note(this.state, NOTE_BYTES_MAX))
  }

  /** Nothing more of it can come: its secrets go. */
  #forgetNoted(exec: number): void {
    if (this.#running?.exec === exec || this.#streams.has(pipeOf(exec, OUT))) return
    if (this.#streams.has(pipeOf(exec, ERR)) || !this.#memory.forgetCommand(exec)) return
    this.#saveNote(this.live.host)
  }

  #writeLine(sequence: number, line: string): void {
    this.live.host?.writePipe(this.live.id, this.#commandPipe, sequence, Buffer.from(line)).catch(() => undefined)
  }

  #expectStreams(command: Command): void {
    if (command.request.tty === true) return
    for (const kind of [OUT, ERR]) this.#stream(pipeOf(command.exec, kind), command)
  }

  readonly #streams = new Map<number, CommandStream>()
  #stream(pipe: number, command?: Command): CommandStream {
    let stream = this.#streams.get(pipe)
    if (stream === undefined) {
      stream = {
        next: 0,
        journaled: 0,
        ended: false,
        redactor: this.#memory.redactor(groupOf(pipe)),
        capture: undefined,
        kept: command === undefined ? undefined : { pieces: [], length: 0 }
      }
      stream.capture = this.#captureOf(pipe, stream)
      this.#streams.set(pipe, stream)
    }
    if (command !== undefined) command.streams.set(pipe, stream)
    return stream
  }

  /** The session's rules on a stream, from its next byte on; undefined without rules. */
  #captureOf(pipe: number, stream: CommandStream): CaptureStream | undefined {
    return this.live.capture?.stream({ position: stream.next, outTo: stream.journaled }, (bytes, replaced) => {
      this.#journalStream(pipe, stream, bytes)
      if (replaced !== undefined) this.live.tellReplaced(replaced)
    })
  }

  // --- what the keeper delivers --------------------------------------------------------------------------------------

  pipeOutput(pipe: number, offset: number, bytes: Uint8Array): void {
    if (!this.#taken.has(pipe)) return
    const kind = kindOf(pipe)
    if (kind === CONTROL) {
      if (pipe === this.#controlPipe) this.#controlOutput(offset, bytes)
      return
    }
    if (kind !== OUT && kind !== ERR) return
    const stream = this.#stream(pipe)
    if (offset !== stream.next) {
      this.live.outOfStep(`byte ${offset} of pipe ${pipe}`)
      return
    }
    stream.next = offset + bytes.byteLength
    const given = stream.redactor?.push(bytes) ?? bytes
    if (stream.capture === undefined) {
      this.#journalStream(pipe, stream, given)
      return
    }
    stream.capture.push(given)
    // Only looked at, they may be what the command waits for.
    if (offset < stream.journaled) this.live.ackPipe(pipe, stream.capture.neededFor(offset))
  }

  #journalStream(pipe: number, stream: CommandStream, bytes: Uint8Array): void {
    const channel = kindOf(pipe) === OUT ? "stdout" : "stderr"
    keep(stream, bytes)
    // A redactor that held bytes back gives more than a delivery has: a record takes no more than that.
    for (let at = 0; at < bytes.byteLength; at += OUTPUT_CHUNK_BYTES_MAX) {
      const chunk = bytes.subarray(at, at + OUTPUT_CHUNK_BYTES_MAX)
      const from = stream.journaled
      const end = from + chunk.byteLength
      stream.journaled = end
      this.live.appendOutput(channel, groupOf(pipe), from, chunk, () =>
        this.live.ackPipe(pipe, stream.capture?.neededFor(end) ?? end)
      )
    }
  }

  pipeEnded(pipe: number, _bytes: number): void {
    const stream = this.#streams.get(pipe)
    if (stream === undefined || !this.#taken.has(pipe)) return
    const rest = stream.redactor?.flush()
    if (stream.capture === undefined) {
      if (rest !== undefined) this.#journalStream(pipe, stream, rest)
    } else {
      if (rest !== undefined) stream.capture.push(rest)
      stream.capture.release()
    }
    stream.ended = true
    const exec = groupOf(pipe)
    // Of a command that has ended, this was the last of its late output.
    if (exec !== this.#running?.exec) this.#dropPipes([pipe])
    else this.#streamsWaiter?.()
  }

  #dropPipes(pipes: ReadonlyArray<number>): void {
    for (const pipe of pipes) {
      this.#streams.get(pipe)?.capture?.stop()
      this.#streams.delete(pipe)
      this.#taken.delete(pipe)
    }
    this.live.host?.closePipes(this.live.id, pipes)
    for (const pipe of pipes) this.#forgetNoted(groupOf(pipe))
  }

  #controlOutput(offset: number, bytes: Uint8Array): void {
    if (offset !== this.#controlAt) {
      this.live.outOfStep(`byte ${offset} of the control pipe`)
      return
    }
    this.#controlAt += bytes.byteLength
    const epoch = this.#epoch
    for (const [frame, end] of this.#control.push(bytes)) {
      this.#frames = this.#frames
        .then(() => (this.#epoch === epoch ? this.#frame(frame, end) : undefined))
        // A journal that is away: the frame comes again when the session is adopted.
        .catch(() => undefined)
    }
    this.#controlWaiter?.()
  }

  /** What the shell has said so far was heard. */
  async #heard(): Promise<void> {
    const held = await this.live.host?.listPipes(this.live.id)
    const bytes = held?.find(({ pipe }) => pipe === this.#controlPipe)?.bytes ?? 0
    const epoch = this.#epoch
    while (this.#controlAt < bytes && this.#epoch === epoch) {
      await new Promise<void>((resolve) => {
        this.#controlWaiter = resolve
      })
    }
    await this.#frames
  }

  async #frame(frame: ControlFrame, end: number): Promise<void> {
    switch (frame._tag) {
      case "state":
        this.#memory.frame(frame.dump)
        return
      case "ready":
        this.#isReady = true
        for (const ready of this.#ready.splice(0)) ready("ready")
        this.#ackControl(end)
        this.#next()
        return
      case "end": {
        if (frame.exec === 0) this.#restore?.done((frame.value ?? "").split("\n").filter((line) => line !== ""))
        const command = this.#running
        if (command !== undefined && command.exec === frame.exec) await this.#ended(command, frame)
        // Told again: its end is journaled, and what the shell was then is not what it is at the next one's end.
        else this.#memory.frame(undefined)
        return this.#ackControl(end)
      }
    }
  }

  #ackControl(offset: number): void {
    this.live.host?.ackPipe(this.live.id, this.#controlPipe, offset)
  }

  get terminalHeldBytes(): number {
    return this.#terminalRedactor?.heldBytes ?? 0
  }

  terminalRest(): Uint8Array {
    return this.#terminalRedactor?.flush() ?? NO_BYTES
  }

  terminalOutput(bytes: Uint8Array): Uint8Array {
    const kept = Buffer.concat([this.#tail, bytes])
    this.#tail = kept.length > TAIL_BYTES ? Buffer.from(kept.subarray(-TAIL_BYTES)) : kept
    const command = this.#running
    if (command !== undefined && command.mark !== "" && !command.isMarkSeen && kept.includes(command.mark)) {
      command.isMarkSeen = true
      this.#streamsWaiter?.()
    }
    return this.#terminalRedactor?.push(bytes) ?? bytes
  }

  /** The terminal's last bytes since the running command began, for its prompt. */
  get terminalTail(): Buffer {
    return this.#tail
  }

  // --- the end of a command ------------------------------------------------------------------------------------------

  async #ended(command: Command, end: ControlFrame & { readonly _tag: "end" }): Promise<void> {
    const epoch = this.#epoch
    command.end = end
    await this.#untilStreams(command)
    // Taken back meanwhile: the shell's word comes again.
    if (this.#epoch !== epoch) throw new HostUnavailable("the session is being taken back")
    await this.#finish(command, this.#outcomeOf(end))
    if (end.how !== "completed")
      this.#greet(this.state.commands.get(command.exec)?.finishedSequence ?? this.live.state.sequence)
  }

  #outcomeOf(end: ControlFrame & { readonly _tag: "end" }): Outcome {
    const command = this.#running
    const isInterrupted = end.how === "interrupted" || (command?.isInterrupted === true && end.exitCode === 130)
    return {
      status: command?.isTimedOut === true ? "timeout" : isInterrupted ? "interrupted" : end.how,
      exitCode: end.exitCode,
      signal: null,
      cwd: end.cwd,
      value: end.value === null ? null : this.#memory.shown(redactValues(end.value, this.#memory.secretsOf(end.exec)))
    }
  }

  /** Its streams ended, or what still holds them is a child that it left behind. */
  async #untilStreams(command: Command): Promise<void> {
    if (command.request.tty === true) {
      if (!command.isMarkSeen) {
        await this.#changed(command.mark === "" ? STREAMS_GRACE_MILLIS : MARK_WAIT_MILLIS, () => command.isMarkSeen)
      }
      return
    }
    const epoch = this.#epoch
    const areEnded = () => this.#epoch !== epoch || [...command.streams.values()].every((stream) => stream.ended)
    await this.#changed(STREAMS_GRACE_MILLIS, areEnded)
    // What it wrote itself may be on its way on a busy machine: all that its pipes held when it ended belongs to it, and
    // without more to come for two looks that is all.
    let bytes = -1
    let bytesMax = Number.POSITIVE_INFINITY
    while (!areEnded() && !this.live.isEnded) {
      const held = (await this.live.host?.listPipes(this.live.id)) ?? []
      const read = held.filter(({ pipe }) => command.streams.has(pipe)).reduce((sum, pipe) => sum + pipe.bytes, 0)
      const delivered = [...command.streams.values()].reduce((sum, stream) => sum + stream.next, 0)
      if (delivered >= bytesMax || (delivered >= read && read === bytes)) return
      bytesMax = Math.min(bytesMax, read + command.streams.size * PIPE_CAPACITY_BYTES_MAX)
      if (read === bytes) await this.#changed(STREAMS_GRACE_MILLIS, areEnded)
      bytes = read
    }
  }

  /** Until it is so, or the time is over. */
  async #changed(millis: number, isSo: () => boolean): Promise<void> {
    if (isSo()) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, millis)
      function done() {
        clearTimeout(timer)
        resolve()
      }
      this.#streamsWaiter = () => {
        if (isSo() || this.live.isEnded) done()
      }
    })
    this.#streamsWaiter = undefined
  }

  async #finish(command: Command, outcome: Outcome): Promise<void> {
    clearTimeout(command.timer)
    const kept = this.state.commands.get(command.exec)
    if (kept === undefined || this.live.isEnded) return
    // What the terminal showed so far is counted: bytes that are gathered or held back are a part of it.
    this.live.flush()
    for (const { capture } of command.streams.values()) capture?.release()
    const { changed, shell } = this.#memory.change(command.exec, this.state)
    const events: Array<SessionEvent> = [this.#finishedEvent(kept, outcome)]
    if (changed !== undefined) events.push(changed)
    if (outcome.cwd !== this.state.shellCwd) {
      events.push({ _tag: "CwdChanged", cwd: outcome.cwd, source: "exec" })
    }
    await this.live.append(events.map((event) => this.#event(event)))
    this.#memory.changed(shell)
    if (changed !== undefined && changed.masked.length > 0) this.#saveNote(this.live.host)
    this.#remember(command, outcome.value)
    this.#settled(command)
  }

  #remember(command: Command, value: string | null): void {
    const stdout = this.#takeKept(command, OUT)
    const stderr = this.#takeKept(command, ERR)
    if (stdout !== undefined && stderr !== undefined) command.memory = { stdout, stderr, value }
  }

  #takeKept(command: Command, kind: number): KeptBytes | undefined {
    const stream = command.streams.get(pipeOf(command.exec, kind))
    const kept = stream?.kept
    // Late output is nobody's answer.
    if (stream !== undefined) stream.kept = undefined
    return kept
  }

  #settled(command: Command): void {
    const { exec } = command
    // Not `rm`, which looks at the file first, on this thread.
    unlink(this.#file(`${exec}.src`), () => undefined)
    if (command.request.stdin?._tag === "Bytes") unlink(this.#file(`${exec}.in`), () => undefined)
    if (command.request.stdin?._tag === "Stream") {
      this.live.host?.closePipes(this.live.id, [pipeOf(exec, IN)])
    }
    const ended = [...command.streams].flatMap(([pipe, stream]) => (stream.ended ? [pipe] : []))
    if (ended.length > 0) this.#dropPipes(ended)
    if (this.#running === command) this.#running = undefined
    this.#forgetNoted(exec)
    this.#commands.delete(command.execId)
    command.settle()
    this.#next()
  }

  #finishedEvent(kept: CommandEntry, outcome: Outcome): SessionEvent {
    return {
      _tag: "CommandFinished",
      exec: kept.exec,
      status: outcome.status,
      exitCode: outcome.exitCode,
      signal: outcome.signal,
      cwd: outcome.cwd,
      value: outcome.value,
      durationMicros: Math.max(0, this.#port.nowMicros() - kept.startedAt),
      stdoutBytes: this.#bytesOf(kept, OUT),
      stderrBytes: this.#bytesOf(kept, ERR),
      ttyTo: this.live.outputBytes
    }
  }

  #bytesOf(kept: CommandEntry, kind: number): number {
    const stream = this.#streams.get(pipeOf(kept.exec, kind))
    return stream?.journaled ?? (kind === OUT ? kept.stdoutBytes : kept.stderrBytes)
  }

  #environmentOfShell(): Readonly<Record<string, string>> | undefined {
    const { pid } = this.live.state
    const env = pid === null ? undefined : this.#port.environmentOf(pid)
    return env && Object.fromEntries(env)
  }

  // --- interrupt, kill, time limit -----------------------------------------------------------------------------------

  async interrupt(command: Command, actor: string | undefined): Promise<void> {
    const age = this.#port.nowMicros() / 1000 - command.startedMillis
    if (age < INTERRUPT_MIN_AGE_MILLIS) {
      await Promise.race([command.finished.catch(() => undefined), sleep(INTERRUPT_MIN_AGE_MILLIS - age)])
    }
    if (command.isSettled) return
    command.isInterrupted = true
    await this.live.signal("SIGINT", "foreground", { actor })
  }

  async kill(command: Command, signal: NodeJS.Signals, actor: string | undefined): Promise<void> {
    await this.live.append([this.#event({ _tag: "SignalSent", signal, target: "foreground" }, actor)])
    await this.#signal(command, signal)
  }

  async #signal(command: Command, signal: NodeJS.Signals): Promise<void> {
    const { pid, startTime } = this.live.state
    if (pid === null || startTime === null) return
    // The shell would go on with the rest of the command once its child is gone: it is told first.
    if (ENDING.has(signal)) await this.live.host?.signal(this.live.id, "SIGINT", "leader").catch(() => undefined)
    if (command.isSettled) return
    signalCommand({ session: this.live.id, shell: { pid, startTime }, since: command.sinceTicks }, signal)
  }

  #armTimeout(command: Command): void {
    const { timeoutMillis } = command.request
    if (timeoutMillis === undefined) return
    clearTimeout(command.timer)
    const left = command.startedMillis + timeoutMillis - this.#port.nowMicros() / 1000
    command.timer = setTimeout(() => void this.#endByTime(command).catch(() => undefined), Math.max(0, left))
  }

  /** INT, TERM and KILL to its processes; then the shell itself, which is brought back with its state. */
  async #endByTime(command: Command): Promise<void> {
    command.isTimedOut = true
    const steps = [
      () => this.live.signal("SIGINT", "foreground", {}),
      () => this.#signal(command, "SIGTERM"),
      () => this.#signal(command, "SIGKILL")
    ]
    for (const [index, step] of steps.entries()) {
      if (command.isSettled || command.end !== undefined || this.#running !== command) return
      await step()
      await Promise.race([command.finished.catch(() => undefined), sleep(TIMEOUT_STEP_MILLIS[index]!)])
    }
    if (command.isSettled || command.end !== undefined || this.#running !== command) return
    await this.live.signal("SIGKILL", "leader", {})
  }

  // --- a new shell in the place of the old one -----------------------------------------------------------------------

  async #shellDied(exit: LeaderExit): Promise<void> {
    const command = this.#running
    if (command !== undefined) {
      const epoch = this.#epoch
      // Its word may still be on its way: it died after it, or of it.
      await this.#heard()
      if (this.#epoch !== epoch) return
      if (command.end === undefined && !command.isSettled) {
        await this.#untilStreams(command)
        if (this.#epoch !== epoch) return
        await this.#finish(command, {
          status: command.isTimedOut ? "timeout" : "died",
          exitCode: exit.exitCode,
          signal: exit.signal,
          cwd: this.state.shellCwd,
          value: null
        })
      }
    }
    if (this.#shellGone !== undefined) return this.#shellGone()
    if (this.live.isEnded || this.#restarting !== undefined) return
    if (++this.#restarts > RESTARTS_MAX) return this.live.giveUp()
    await this.restart("died")
  }

  /** Ends everything in the session and starts again as it was created. */
  reset(): Promise<RestoreReport> {
    this.#resetting ??= this.#reset().finally(() => {
      this.#resetting = undefined
    })
    return this.#resetting
  }

  async #reset(): Promise<RestoreReport> {
    await this.#restarting?.catch(() => undefined)
    if (this.live.isRunning && this.live.state.status === "running") {
      const gone = new Promise<void>((resolve) => {
        this.#shellGone = resolve
      })
      try {
        await this.live.signal("SIGKILL", "session", {})
        await Promise.race([gone, sleep(READY_TIMEOUT_MILLIS)])
      } finally {
        this.#shellGone = undefined
      }
    }
    return this.restart("reset")
  }

  /** A lost session, read from the journal: gets a shell again. */
  async bringBack(): Promise<void> {
    this.lastRestore = await this.restart("lost")
  }

  /** Another shell with what is known of the old one (not for `reset`: as at the start). One at a time. */
  restart(reason: RestoreReport["reason"]): Promise<RestoreReport> {
    return this.#oneRestart(() => this.#restart(reason))
  }

  #oneRestart(restart: () => Promise<RestoreReport>): Promise<RestoreReport> {
    this.#restarting ??= restart().finally(() => {
      this.#restarting = undefined
      this.#next()
    })
    return this.#restarting
  }

  async #restart(reason: RestoreReport["reason"]): Promise<RestoreReport> {
    const { live, state } = this
    this.#isReady = false
    this.#memory.begin()
    if (live.host === undefined) this.#incarnation = 0
    else {
      // New pipes for each shell: nobody who held the old ones can take a command that is not his.
      live.host.closePipes(live.id, [this.#commandPipe, this.#controlPipe])
      this.#incarnation++
    }
    this.#control = new ControlReader()
    this.#controlAt = 0
    this.#taken.add(this.#controlPipe)
    const missing: Array<string> = []
    const wanted = this.#memory.wanted(reason, state, missing)
    const isThere = this.#port.isFolder(wanted.cwd)
    if (!isThere) missing.push(`directory ${wanted.cwd}: it is gone`)
    const cwd = isThere ? wanted.cwd : this.#port.isFolder(state.creationCwd) ? state.creationCwd : "/"
    const environment = this.#memory.environment ?? this.#rebuiltEnvironment(missing)
    this.#memory.environment = environment
    const restarting = { reason, cwd, missing }
    this.#memory.unfinishedRestart = restarting
    await this.#port.relaunch(live, {
      env: environment.env,
      cwd,
      pipes: shellPipes(this.folder, this.#commandPipe, this.#controlPipe),
      note: this.#memory.note(state, SPAWN_NOTE_BYTES_MAX)
    })
    this.#greet(live.state.sequence)
    const started = await this.#untilReady(READY_TIMEOUT_MILLIS)
    if (started !== "ready") {
      throw new SessionUnavailable({ session: live.id, reason: `its shell could not be started again (${started})` })
    }
    return this.#finishRestart(restarting)
  }

  /** A shell that was started for this gets the state of the old one; also one that an engine before started. */
  async #finishRestart({ cwd, missing, reason }: NonNullable<KeeperNote["restarting"]>): Promise<RestoreReport> {
    const { live } = this
    this.#restarts = 0
    const wanted = this.#memory.wanted(reason, this.state, [])
    const failed = reason === "reset" ? [] : await this.#runRestore({ ...wanted, cwd })
    const report: RestoreReport = {
      reason,
      restored: {
        cwd: cwd === wanted.cwd ? cwd : null,
        env: [...wanted.env.keys()],
        functions: [...wanted.functions.keys()],
        aliases: [...wanted.aliases.keys()],
        imports: [...wanted.imports]
      },
      missing: [...missing, ...failed]
    }
    await live.append([
      this.#event({ _tag: "ShellRestarted", ...report }),
      this.#event({ _tag: "CwdChanged", cwd, source: "exec" })
    ])
    this.#memory.broughtBack(wanted.env, this.state)
    this.#memory.unfinishedRestart = null
    this.#saveNote(live.host)
    return report
  }

  /** The engine that knew the environment is gone: what any program gets, and a word about what is missing. */
  #rebuiltEnvironment(missing: Array<string>): ShellEnvironment {
    const env = { ...this.#port.defaultEnvironment(), ...this.driver.env(this.folder) }
    for (const name of this.live.state.envNames) {
      if (env[name] === undefined && !this.state.env.has(name))
        missing.push(`variable ${name}: its value is not stored`)
    }
    return { env, secretNames: new Set() }
  }

  async #runRestore(wanted: ShellState): Promise<ReadonlyArray<string>> {
    const source = this.#file("restore.src")
    writeFileSync(source, this.driver.restore(wanted), { mode: 0o600 })
    const nowhere = "/dev/null"
    const line = this.driver.line({
      exec: 0,
      source,
      stdin: nowhere,
      stdout: nowhere,
      stderr: nowhere,
      mark: "",
      cwd: undefined,
      env: {}
    })
    const restored = new Promise<ReadonlyArray<string>>((resolve) => {
      const timer = setTimeout(() => resolve(["the shell did not finish restoring its state"]), READY_TIMEOUT_MILLIS)
      this.#restore = {
        line,
        done: (lines) => {
          clearTimeout(timer)
          resolve(lines)
        }
      }
    })
    this.#writeLine(this.live.state.sequence + 1, line)
    const lines = await restored
    this.#restore = undefined
    rmSync(source, { force: true })
    return lines
  }

  #gone(): SessionEnded {
    return new SessionEnded({ session: this.live.id, status: this.live.state.status })
  }

  inputWait(): Promise<InputWait | null> {
    return this.live.host?.inputWait(this.live.id) ?? Promise.resolve(null)
  }

  #event(event: SessionEvent, actor: string = ACTOR_ENGINE): NewEvent {
    const isProgram =
      event._tag === "CommandFinished" || event._tag === "ShellStateChanged" || event._tag === "CwdChanged"
    return { event, actor: isProgram ? ACTOR_PROGRAM : actor, timeMicros: this.#port.nowMicros() }
  }
}

interface Outcome {
  readonly status: CommandStatus
  readonly exitCode: number | null
  readonly signal: string | null
  readonly cwd: string
  readonly value: string | null
}

/** Signals that are meant to end a command. */
const ENDING: ReadonlySet<string> = new Set(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
const NO_BYTES = new Uint8Array(0)

const exitOf = ({ state }: LiveSession): LeaderExit => ({
  exitCode: state.exitCode,
  signal: state.signal,
  timeMicros: state.endedAt ?? 0
})

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))
