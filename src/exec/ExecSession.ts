/**
 * The shell of one session and the commands given to it: one runs, others wait in order. It writes a command into the
 * journal, then into the shell's command pipe, hears of its end, and writes the outcome. Everything it holds in memory can be
 * thrown away at any moment and read again from journal and keeper (`load`, `adopted`): that is the recovery after a crash.
 * Its parts: CommandStreams and ShellTerminal (what is printed), CommandInput, ControlChannel (what the shell says),
 * CommandStop (interrupt, kill, time limit), ShellRestart, ShellMemory.
 *
 * Callbacks and promises; ExecEngine.ts puts the Effect face on it. It starts no process itself (EngineCore does), reads no
 * output back (CommandOutput.ts does) and never invents an outcome.
 */
import { randomBytes } from "node:crypto"
import { readdirSync, rmSync, unlink, writeFileSync } from "node:fs"
import { isAbsolute, join, resolve } from "node:path"
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
import { type HeldPipe, type InputWait, NOTE_BYTES_MAX, type PipeRequest } from "../keeper/PipeHost.ts"
import { HostUnavailable, type LeaderExit, type PtyHost } from "../keeper/PtyHost.ts"
import { decodeNote, type GivenCommand } from "../session/KeeperNote.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import { InvalidRequest, SessionEnded, SessionUnavailable } from "../session/SessionError.ts"
import type { LastWord, SessionExtension } from "../session/SessionExtension.ts"
import { Command, type CommandStarted, lacksValues, requestOf, stdinKind } from "./Command.ts"
import { CommandInput, type InputPiece, inputPieces } from "./CommandInput.ts"
import { ticksNow } from "./CommandProcesses.ts"
import { CommandStop, type StopOwner } from "./CommandStop.ts"
import { CommandStreams, type StreamsOwner } from "./CommandStreams.ts"
import { ControlChannel, type ControlOwner } from "./ControlChannel.ts"
import type { ControlFrame } from "./ControlFrames.ts"
import type { Driver } from "./Driver.ts"
import type { ExecRequest } from "./Exec.ts"
import { QUEUED_COMMANDS_MAX } from "./Exec.ts"
import { SessionBusy } from "./ExecError.ts"
import { EXEC_SPACE, execRowKey } from "./ExecRow.ts"
import { COMMAND, CONTROL, ERR, groupOf, IN, kindOf, OUT, pipeOf, shellPipes } from "./PipeNumbers.ts"
import { Policy } from "./Policy.ts"
import { maskEnv, redactValues, type StreamRedactor } from "./Secrets.ts"
import { type ShellEnvironment, ShellMemory } from "./ShellMemory.ts"
import { READY_TIMEOUT_MILLIS, type RestartOwner, type RestartPort, ShellRestart } from "./ShellRestart.ts"
import { ShellTerminal } from "./ShellTerminal.ts"

/** Of a command that is remembered beside the journal: half of what a keeper remembers of a session. */
const GIVEN_BYTES_MAX = 512 * 1024

export interface ExecSessionPort extends RestartPort {
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
  /** The environment with which a running process was started, or undefined. */
  readonly environmentOf: (pid: number) => ReadonlyMap<string, string> | undefined
}

export class ExecSession implements SessionExtension, ControlOwner, StreamsOwner, StopOwner, RestartOwner {
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
  /** The last command that was started is in the journal, or was refused. */
  #starting: Promise<void> = Promise.resolve()
  /** Queued and running ones by id. */
  readonly #commands = new Map<string, Command>()
  /** 0, then one more for each shell process that this keeper saw. */
  #incarnation = 0
  readonly #control: ControlChannel
  readonly #streams: CommandStreams
  readonly #terminal: ShellTerminal
  /** Another shell in the place of the old one. */
  readonly restart: ShellRestart
  /** Of running commands. */
  readonly stop: CommandStop
  /** Standard input of running commands. */
  readonly input: CommandInput
  /** Rises when memory is thrown away: what was begun before must not go on. */
  #epoch = 0
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
    this.#memory = new ShellMemory(live, driver, environment)
    this.input = new CommandInput(live, (event, actor) => this.event(event, actor))
    this.#control = new ControlChannel(this)
    this.#streams = new CommandStreams(this)
    this.#terminal = new ShellTerminal(() => this.#streams.look())
    this.restart = new ShellRestart(port, this, this.#memory)
    this.stop = new CommandStop(this)
    this.state = Commands.initial(live.id)
  }

  // --- the shell's pipes ---------------------------------------------------------------------------------------------

  get #commandPipe(): number {
    return pipeOf(this.#incarnation, COMMAND)
  }
  get controlPipe(): number {
    return pipeOf(this.#incarnation, CONTROL)
  }
  /** Those of the session's first shell: opened before it is started. */
  static firstPipes(folder: string): ReadonlyArray<PipeRequest> {
    return shellPipes(folder, COMMAND, CONTROL)
  }

  /** Those of the next shell. New ones for each: nobody who held the old ones can take a command that is not his. */
  newPipes(): ReadonlyArray<PipeRequest> {
    const { host, id } = this.live
    this.#isReady = false
    if (host === undefined) this.#incarnation = 0
    else {
      host.closePipes(id, [this.#commandPipe, this.controlPipe])
      this.#incarnation++
    }
    this.#control.begin()
    return shellPipes(this.folder, this.#commandPipe, this.controlPipe)
  }

  get epoch(): number {
    return this.#epoch
  }

  get nowMicros(): () => number {
    return this.#port.nowMicros
  }

  #file(name: string): string {
    return join(this.folder, name)
  }

  // --- the session's life --------------------------------------------------------------------------------------------

  /** After the process was started: gives it its first line, waits until it takes commands. Rejects with why it does not. */
  async begin(): Promise<void> {
    this.greet(this.live.state.sequence)
    this.#saveNote(this.live.host)
    if ((await this.untilReady(READY_TIMEOUT_MILLIS)) === "ready") return
    const said = this.#terminal.tail.toString("utf8").trim().slice(-300)
    throw new SessionUnavailable({
      session: this.live.id,
      reason: `${this.driver.defaultShell} does not take commands${said === "" ? "" : `: ${said}`}`
    })
  }

  untilReady(millis: number): Promise<"ready" | "gone" | "slow"> {
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
    for (const [exec, { code, codeCut, cwdAfter, cwdBefore }] of fresh.commands) {
      const command = this.state.commands.get(exec)
      if (command !== undefined) Object.assign(command, { code, codeCut, cwdAfter, cwdBefore })
    }
    for (const kept of ["env", "functions", "aliases"] as const) {
      for (const [name, text] of fresh[kept]) if (this.state[kept].has(name)) this.state[kept].set(name, text)
    }
    this.state.imports = fresh.imports
    this.state.shellCwd = fresh.shellCwd
    this.state.creationCwd = fresh.creationCwd
    this.state.omitted = fresh.omitted
  }

  #forget(): void {
    this.paused()
    this.#control.forget()
    this.#memory.forget(this.state)
    clearTimeout(this.#running?.timer)
    this.#running = undefined
    this.#isReady = false
    this.#streams.forget()
    this.#terminal.forget()
  }

  paused(): void {
    this.#epoch++
    this.#streams.pause()
    this.input.fallBehind()
    this.#control.wake()
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
    this.#terminal.begin(memory.redactor(this.state.running ?? 0))
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
    if (held.some(({ inputSequence, pipe }) => pipe === this.#commandPipe && inputSequence === 0)) this.greet(1)
    await this.#resumeRunning(host, held)
    // Not before what runs is known: another command would be given to the same shell.
    this.#isReady = true
    // Streams before the shell's word: an end that is delivered again finds their bytes already journaled.
    for (const pipe of held) {
      if (pipe.direction !== "output" || kindOf(pipe.pipe) === CONTROL) continue
      await this.#streams.resume(host, pipe, state.commands.get(groupOf(pipe.pipe)))
    }
    const control = held.find(({ pipe }) => pipe === this.controlPipe)
    if (control !== undefined) await this.#control.resume(host, control)
    this.#removeLeftovers(host, held)
    if (this.#epoch === epoch) this.input.caughtUp()
    // Those that an engine before had started and finished, or that never got that far.
    for (const command of [...this.#commands.values()]) this.#recheck(command)
    if (live.state.status === "exited") void this.#shellDied(exitOf(live)).catch(() => undefined)
    else if (!this.restart.resume()) this.#next()
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
    this.#streams.expect(command)
    this.stop.armTimeout(command)
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
      await this.live.append([this.event({ _tag: "GapDetected", what: "input", from, to, why })])
    }
    await this.input.write(host, command, input.unapplied)
  }

  /** A shell that re-executed itself may wait for its first line, if the engine died in between. */
  #greetAgain(): void {
    const last = this.state.commands.get(this.state.nextExec - 1)
    if (last !== undefined && (last.status === "exited" || last.status === "interrupted"))
      this.greet(last.finishedSequence ?? last.lastSequence)
  }

  /** The first line of a shell process, where its driver has one. */
  greet(sequence: number): void {
    const greeting = this.driver.greeting(this.folder)
    if (greeting !== "") this.writeLine(sequence, greeting)
  }

  fold(entry: JournalEntry): void {
    this.state = Commands.fold(this.state, entry)
  }

  leaderExited(exit: LeaderExit): void {
    void this.#shellDied(exit).catch(() => undefined)
  }

  closing(): void {
    // A shell whose command pipe is gone has nothing to come back to: it ends at the first signal, not at the last.
    this.live.host?.closePipes(this.live.id, [this.#commandPipe, this.controlPipe])
  }

  lastWords(why: LastWord): ReadonlyArray<NewEvent> {
    const kept = this.#runningEntry
    if (kept === undefined) return []
    const end = this.#running?.end
    // The shell's word of the end was there, its streams were still waited for.
    if (end !== undefined && end.exec === kept.exec)
      return [this.event(this.#finishedEvent(kept, this.#outcomeOf(end)))]
    const exit = why._tag === "Ended" ? why.exit : undefined
    const status: CommandStatus = why._tag === "Lost" ? "lost" : "died"
    return [
      this.event(
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
    this.#streams.look()
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
    return this.#running !== undefined || this.#queue.length > 0 || this.restart.isUnderWay
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
    if (this.#running !== undefined || this.restart.isUnderWay || !this.live.isRunning || !this.#isReady) return
    const command = this.#queue.shift()
    if (command === undefined) return
    this.#running = command
    const epoch = this.#epoch
    this.#starting = this.#start(command).catch((error) => {
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
    if (request.cwd !== undefined && !this.#canEnter(request.cwd)) {
      const reason = `${JSON.stringify(request.cwd)} is not a directory that can be entered from ${state.shellCwd}; nothing was run`
      throw new InvalidRequest({ field: "cwd", reason })
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
    this.#streams.disown(exec)
    this.#streams.expect(command)
    this.#terminal.begin(this.#memory.redactor(exec))
    command.sinceTicks = ticksNow()
    const epoch = this.#epoch
    // Files and pipes are made while the journal writes: no program knows of them before it is given the line.
    const line = this.#prepare(command, started)
    const { first } = await live.append(
      events.map((event) => this.event(event, actor)),
      { rows: [row] }
    )
    command.firstSequence = first
    command.startedMillis = this.#port.nowMicros() / 1000
    // Adopted meanwhile: whoever adopted it has given it to the shell.
    if (this.#epoch !== epoch) return
    this.#run(command, line)
    this.stop.armTimeout(command)
  }

  /** As far as can be told from here: a directory that is gone may still be left by a name that begins in it. */
  #canEnter(cwd: string): boolean {
    if (isAbsolute(cwd)) return this.#port.isFolder(cwd)
    const { shellCwd } = this.state
    // Where the shell came by a link, `..` is the folder of the link to some and the one above its target to others.
    const { isFolder } = this.#port
    return !isFolder(shellCwd) || isFolder(resolve(shellCwd, cwd)) || isFolder(`${shellCwd}/${cwd}`)
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
      texts.some((text) => this.live.shown(text) !== text) || (stdin?._tag === "Bytes" && capture.holds(stdin.data))
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
    this.writeLine(command.firstSequence, line)
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
    for (const { pipe } of pipes) this.#streams.take(pipe)
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

  /** What the next engine has to know is told to the keeper. */
  saveNote(): void {
    this.#saveNote(this.live.host)
  }

  #saveNote(host: PtyHost | undefined): void {
    host?.setNote(this.live.id, this.#memory.note(this.state, NOTE_BYTES_MAX))
  }

  /** Nothing more of it can come: its secrets go. */
  #forgetNoted(exec: number): void {
    if (this.#running?.exec === exec || this.#streams.has(exec) || !this.#memory.forgetCommand(exec)) return
    this.#saveNote(this.live.host)
  }

  writeLine(sequence: number, line: string): void {
    this.live.host?.writePipe(this.live.id, this.#commandPipe, sequence, Buffer.from(line)).catch(() => undefined)
  }

  /** Looks for the secrets of a command; undefined when it has none. */
  redactor(exec: number): StreamRedactor | undefined {
    return this.#memory.redactor(exec)
  }

  /** Nothing more comes of a command's streams. */
  drained(exec: number): void {
    this.#forgetNoted(exec)
  }

  restarted(): void {
    this.#next()
  }

  // --- what the keeper delivers --------------------------------------------------------------------------------------

  pipeOutput(pipe: number, offset: number, bytes: Uint8Array): void {
    const kind = kindOf(pipe)
    if (kind === OUT || kind === ERR) this.#streams.push(pipe, offset, bytes)
    else if (kind === CONTROL) this.#control.push(pipe, offset, bytes)
  }

  pipeEnded(pipe: number, _bytes: number): void {
    this.#streams.end(pipe)
  }

  async heardFrame(frame: ControlFrame, end: number): Promise<void> {
    switch (frame._tag) {
      case "state":
        this.#memory.frame(frame.dump)
        return
      case "ready":
        this.#isReady = true
        for (const ready of this.#ready.splice(0)) ready("ready")
        this.#control.acknowledge(end)
        this.#next()
        return
      case "end": {
        if (frame.exec === 0) this.restart.restored(frame.value)
        const command = this.#running
        if (command !== undefined && command.exec === frame.exec) await this.#ended(command, frame)
        // Told again: its end is journaled, and what the shell was then is not what it is at the next one's end.
        else this.#memory.frame(undefined)
        return this.#control.acknowledge(end)
      }
    }
  }

  get terminalHeldBytes(): number {
    return this.#terminal.heldBytes
  }

  terminalRest(): Uint8Array {
    return this.#terminal.rest()
  }

  terminalOutput(bytes: Uint8Array): Uint8Array {
    return this.#terminal.push(bytes, this.#running)
  }

  /** The terminal's last bytes since the running command began, for its prompt. */
  get terminalTail(): Buffer {
    return this.#terminal.tail
  }

  // --- the end of a command ------------------------------------------------------------------------------------------

  async #ended(command: Command, end: ControlFrame & { readonly _tag: "end" }): Promise<void> {
    const epoch = this.#epoch
    command.end = end
    await this.#streams.untilComplete(command)
    // Taken back meanwhile: the shell's word comes again.
    if (this.#epoch !== epoch) throw new HostUnavailable("the session is being taken back")
    await this.#finish(command, this.#outcomeOf(end))
    if (end.how === "exited" || end.how === "interrupted")
      this.greet(this.state.commands.get(command.exec)?.finishedSequence ?? this.live.state.sequence)
  }

  #outcomeOf(end: ControlFrame & { readonly _tag: "end" }): Outcome {
    const command = this.#running
    // Never run, like a command whose values were lost: no outcome is made up for it. Standard error says why.
    if (end.how === "refused") return { status: "lost", exitCode: null, signal: null, cwd: end.cwd, value: null }
    const isInterrupted = end.how === "interrupted" || (command?.isInterrupted === true && end.exitCode === 130)
    return {
      status: command?.isTimedOut === true ? "timeout" : isInterrupted ? "interrupted" : end.how,
      exitCode: end.exitCode,
      signal: null,
      cwd: end.cwd,
      value: end.value === null ? null : this.live.shown(redactValues(end.value, this.#memory.secretsOf(end.exec)))
    }
  }

  async #finish(command: Command, outcome: Outcome): Promise<void> {
    clearTimeout(command.timer)
    const kept = this.state.commands.get(command.exec)
    if (kept === undefined || this.live.isEnded) return
    // What the terminal showed so far is counted: bytes that are gathered or held back are a part of it.
    this.live.flush()
    this.#streams.release(command)
    const { changed, shell } = this.#memory.change(command.exec, this.state)
    const events: Array<SessionEvent> = [this.#finishedEvent(kept, outcome)]
    if (changed !== undefined) events.push(changed)
    if (outcome.cwd !== this.state.shellCwd) {
      events.push({ _tag: "CwdChanged", cwd: outcome.cwd, source: "exec" })
    }
    await this.live.append(events.map((event) => this.event(event)))
    this.#memory.changed(shell)
    if (changed !== undefined && changed.masked.length > 0) this.#saveNote(this.live.host)
    this.#remember(command, outcome.value)
    this.#settled(command)
  }

  #remember(command: Command, value: string | null): void {
    const stdout = this.#streams.takeKept(command, OUT)
    const stderr = this.#streams.takeKept(command, ERR)
    if (stdout !== undefined && stderr !== undefined) command.memory = { stdout, stderr, value }
  }

  #settled(command: Command): void {
    const { exec } = command
    // Not `rm`, which looks at the file first, on this thread.
    unlink(this.#file(`${exec}.src`), () => undefined)
    if (command.request.stdin?._tag === "Bytes") unlink(this.#file(`${exec}.in`), () => undefined)
    if (command.request.stdin?._tag === "Stream") {
      this.live.host?.closePipes(this.live.id, [pipeOf(exec, IN)])
    }
    this.#streams.settled(command)
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
      stdoutBytes: this.#streams.bytesOf(kept, OUT),
      stderrBytes: this.#streams.bytesOf(kept, ERR),
      ttyTo: this.live.outputBytes
    }
  }

  #environmentOfShell(): Readonly<Record<string, string>> | undefined {
    const { pid } = this.live.state
    const env = pid === null ? undefined : this.#port.environmentOf(pid)
    return env && Object.fromEntries(env)
  }

  async #shellDied(exit: LeaderExit): Promise<void> {
    // What waits is for the next shell: it says when it takes a command.
    this.#isReady = false
    const command = this.#running
    if (command !== undefined) {
      const epoch = this.#epoch
      await this.#starting
      if (this.#epoch !== epoch) return
      // Its word may still be on its way: it died after it, or of it.
      await this.#control.heard()
      if (this.#epoch !== epoch) return
      if (command.end === undefined && !command.isSettled) {
        await this.#streams.untilComplete(command)
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
    await this.restart.shellGone()
  }

  #gone(): SessionEnded {
    return new SessionEnded({ session: this.live.id, status: this.live.state.status })
  }

  inputWait(): Promise<InputWait | null> {
    return this.live.host?.inputWait(this.live.id) ?? Promise.resolve(null)
  }

  event(event: SessionEvent, actor: string = ACTOR_ENGINE): NewEvent {
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

const exitOf = ({ state }: LiveSession): LeaderExit => ({
  exitCode: state.exitCode,
  signal: state.signal,
  timeMicros: state.endedAt ?? 0
})
