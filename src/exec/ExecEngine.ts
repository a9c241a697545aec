/**
 * `Exec` on the engine: finds the session, checks the request, gives the command to its shell (ExecSession.ts), waits as
 * long as was asked and answers from the journal (CommandOutput.ts). It keeps no output and no outcome of its own.
 */
import { randomUUID } from "node:crypto"
import {
  constants as access,
  accessSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync
} from "node:fs"
import { constants } from "node:os"
import { isAbsolute, join } from "node:path"
import { Effect, Option, Result, Stream } from "effect"
import type { Language, SessionId } from "../../journal/Event.ts"
import { type JournalEntry, SESSION_ID_PATTERN } from "../../journal/Event.ts"
import type { JournalShape } from "../../journal/Journal.ts"
import {
  type CommandEntry,
  Commands,
  type CommandsState,
  findCommand,
  historyOf,
  importNames
} from "../../projections/Commands.ts"
import { feedPlainText, makePlainText, openLine } from "../../projections/PlainText.ts"
import { removedError } from "../../projections/ProjectionRunner.ts"
import { snapshotRowOf } from "../../projections/SnapshotRow.ts"
import { driverFile } from "../EntryPoints.ts"
import {
  checkInput,
  checkSignal,
  checkSize,
  defaultEnvironment,
  requestedEnvironment
} from "../session/CreateRequest.ts"
import type { EngineCore } from "../session/EngineCore.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import { cursorBeyond, HistoryRemoved, InputRefused, InvalidRequest, SessionEnded } from "../session/SessionError.ts"
import type { SessionExtension } from "../session/SessionExtension.ts"
import type { CloseReport } from "../session/Sessions.ts"
import type { SessionView } from "../session/SessionView.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import type { Command, CommandMemory } from "./Command.ts"
import type { InputPiece } from "./CommandInput.ts"
import { outputInMemory, readCommandOutput, readCommandRange } from "./CommandOutput.ts"
import { driverOf, languageOf } from "./Drivers.ts"
import {
  CODE_BYTES_MAX,
  type CommandRecord,
  type ExecInput,
  type ExecRequest,
  type ExecResult,
  MESSAGE_OUTPUT_BYTES_MAX,
  type NeedsInput,
  type PollOptions,
  RESULT_OUTPUT_BYTES_MAX,
  type RestoreReport,
  type ShellStateView,
  type StartShell
} from "./Exec.ts"
import { ExecFinished, ExecNotFound, ExecRejected, PolicyDenied } from "./ExecError.ts"
import { EXEC_SPACE, execRowKey } from "./ExecRow.ts"
import { ExecSession, type ExecSessionPort } from "./ExecSession.ts"
import { keysBytes } from "./Keys.ts"
import { POLICY_RULE_CHARACTERS_MAX, POLICY_RULES_MAX, Policy } from "./Policy.ts"
import { SECRET_VALUES_MAX } from "./Secrets.ts"
import { firstNote, type ShellEnvironment } from "./ShellMemory.ts"

/** Cells of a shell for commands: wide, so that tools which ask for the width do not wrap. */
const SIZE = { cols: 120, rows: 40 }
/** What makes tools print and not ask: nobody sits at this terminal. */
const ENVIRONMENT = { PAGER: "cat", GIT_PAGER: "cat", EDITOR: "true", VISUAL: "true", GIT_EDITOR: "true" }
const TERM = "dumb"
/** Timers hold 31 bits of milliseconds. */
const MILLIS_MAX = 2 ** 31 - 1
const HISTORY_DEFAULT = 50
const HISTORY_MAX = 1000
const STATE_COMMANDS = 20
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
const EXEC_ID = /^[\x20-\x7e]{1,64}$/
/** Characters of a prompt: a line of the widest terminal. */
const PROMPT_CHARACTERS_MAX = 1000

export interface ExecEngineOptions {
  readonly journal: JournalShape
  readonly paths: StorePaths
  readonly nowMicros: () => number
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Promise<A>
  /** Told of what the policy of a session forbids, before that is thrown. */
  readonly refused: (error: PolicyDenied) => void
  /** As `run`, for what needs the journal. */
  readonly load: (session: SessionId) => Promise<CommandsState>
}

const invalid = (field: string, reason: string) => new InvalidRequest({ field, reason })

export class ExecEngine {
  readonly #options: ExecEngineOptions
  readonly #port: ExecSessionPort
  /** Sessions being brought back, so that two commands at once do it once. */
  readonly #restoring = new Map<SessionId, Promise<ExecSession>>()
  core!: EngineCore

  constructor(options: ExecEngineOptions) {
    this.#options = options
    const { journal, nowMicros, run } = options
    this.#port = {
      nowMicros,
      load: (session) => options.load(session as SessionId),
      save: (state, session, sequence) => {
        const row = snapshotRowOf(
          Commands.name,
          Commands.version,
          session as SessionId,
          sequence,
          Commands.encode(state)
        )
        run(journal.putRows([row])).catch(() => undefined)
      },
      readStart: (session, sequence) => this.#readStart(session as SessionId, sequence),
      readInput: (session, command) => this.#readInput(session as SessionId, command),
      relaunch: (session, how) => this.core.relaunch(session, how),
      environmentOf,
      defaultEnvironment: () => ({ ...ENVIRONMENT, ...defaultEnvironment() }),
      isFolder
    }
  }

  /** What a session of kind exec has on top of it when it is taken back. */
  extend(session: LiveSession): SessionExtension | undefined {
    const { language } = session.state
    const driver = language === null ? undefined : driverOf(language)
    if (driver === undefined) return undefined
    const folder = this.#folder(session.id)
    prepareFolder(folder, driver.program)
    return new ExecSession(session, driver, folder, this.#port)
  }

  /** See `ExecSession.redacted`. */
  async redacted(session: SessionId): Promise<void> {
    const extension = this.core.liveSession(session)?.extension
    if (extension instanceof ExecSession) await extension.redacted()
  }

  #folder(session: SessionId): string {
    return join(this.#options.paths.run, "exec", session)
  }

  async #readStart(session: SessionId, sequence: number) {
    const { journal, run } = this.#options
    const first = await run(Stream.runHead(journal.read(session, { after: sequence - 1, until: sequence })))
    const started = Option.getOrUndefined(first)?.event
    if (started?._tag !== "CommandStarted") return undefined
    const input: Array<Buffer> = []
    if (started.stdin === "bytes") {
      await run(
        journal.read(session, { after: sequence }).pipe(
          Stream.map(({ event }) => event),
          Stream.takeWhile((event) => event._tag === "CommandInputWritten" && event.exec === started.exec),
          Stream.runForEach((event) =>
            Effect.sync(() => {
              if (event._tag === "CommandInputWritten") input.push(Buffer.from(event.base64, "base64"))
            })
          )
        )
      )
    }
    return { started, input: Buffer.concat(input) }
  }

  async #readInput(
    session: SessionId,
    { after, applied, exec }: { readonly exec: number; readonly after: number; readonly applied: number }
  ) {
    const { journal, run } = this.#options
    // The bytes of what was applied are only counted.
    let pieces: Array<InputPiece & { readonly bytes: number }> = []
    const missing: Array<{ readonly from: number; readonly to: number }> = []
    let isLastOwn = false
    const take = ({ event, sequence }: JournalEntry): void => {
      if (event._tag === "GapDetected" && event.what === "input") {
        const { from, to } = event
        pieces = pieces.filter((piece) => piece.sequence < from || piece.sequence > (to ?? piece.sequence))
      }
      if (event._tag === "SecretsRedacted" && event.what === "stdin" && isLastOwn) {
        // What is journaled of them is not what was given: whoever gave it gives it again.
        const redacted = pieces.splice(Math.max(0, pieces.length - event.events))
        const gone = redacted.filter(({ sequence }) => sequence > applied)
        pieces.push(...redacted.filter(({ sequence }) => sequence <= applied))
        if (gone.length > 0) missing.push({ from: gone[0]!.sequence, to: gone.at(-1)!.sequence })
      }
      if (event._tag === "CommandInputWritten") isLastOwn = event.exec === exec
      if (event._tag !== "CommandInputWritten" || event.exec !== exec) return
      const data = Buffer.from(event.base64, "base64")
      pieces.push({ sequence, bytes: data.length, data: sequence > applied ? data : NO_BYTES, end: event.end })
    }
    await run(Stream.runForEachArray(journal.read(session, { after }), (page) => Effect.sync(() => page.forEach(take))))
    const isApplied = ({ sequence }: InputPiece) => sequence <= applied
    return {
      bytes: pieces.filter(isApplied).reduce((sum, { bytes }) => sum + bytes, 0),
      isEnded: pieces.some((piece) => piece.end && isApplied(piece)),
      unapplied: pieces.filter((piece) => !isApplied(piece)),
      missing
    }
  }

  // --- start and end -------------------------------------------------------------------------------------------------

  async start(request: StartShell): Promise<SessionView> {
    const language = chosenLanguage(request)
    const driver = driverOf(language)
    const id = request.id ?? this.core.newId()
    if (!SESSION_ID_PATTERN.test(id)) throw invalid("session", "an id is an upper-case ULID of 26 characters")
    checkEnv("env", request.env)
    checkEnv("secretEnv", request.secretEnv)
    checkPolicy(request.policy?.deny ?? [])
    const folder = this.#folder(id)
    const env = {
      TERM,
      ...ENVIRONMENT,
      ...requestedEnvironment(request),
      ...request.secretEnv,
      ...driver.env(folder)
    }
    const secretEnvNames = Object.keys(request.secretEnv ?? {})
    const environment: ShellEnvironment = { env, secretNames: new Set(secretEnvNames) }
    prepareFolder(folder, driver.program)
    let shell: ExecSession | undefined
    try {
      await this.core.createExec({
        id,
        argv: driver.argv(request.shell ?? driver.defaultShell, folder),
        cwd: request.cwd,
        env,
        size: checkSize(request.size ?? SIZE),
        term: env.TERM === "" ? TERM : env.TERM,
        name: request.name,
        group: request.group,
        limits: request.limits,
        actor: request.actor,
        language,
        deny: request.policy?.deny,
        secretEnvNames,
        pipes: ExecSession.firstPipes(folder),
        note: (capture) => firstNote(environment, capture),
        redact: request.redact,
        extend: (live) => {
          shell = new ExecSession(live, driver, folder, this.#port, environment)
          return shell
        }
      })
    } catch (error) {
      if (shell === undefined || shell.live.isEnded) rmSync(folder, { recursive: true, force: true })
      throw error
    }
    // undefined: the session was there already.
    if (shell !== undefined) {
      try {
        await shell.begin()
      } catch (error) {
        await this.core.close(id, {}).catch(() => undefined)
        throw error
      }
    }
    return this.core.view(id)
  }

  async end(id: SessionId): Promise<CloseReport> {
    return this.core.close(id, {})
  }

  // --- commands ------------------------------------------------------------------------------------------------------

  async exec(id: SessionId, request: ExecRequest, isLastTry = false): Promise<ExecResult> {
    checkRequest(request)
    const execId = request.execId ?? randomUUID()
    const known = request.execId === undefined ? undefined : await this.#known(id, execId, request)
    if (known === "finished") return this.#result(id, execId, { maxOutputBytes: request.maxOutputBytes })
    const shell = known ?? (await this.#shell(id))
    const rule = shell.policy.refusesCommand(request.code)
    if (rule !== undefined) throw this.#refusedBy(id, rule)
    // Looked for again: another call may have asked for the same meanwhile.
    const command = shell.find(execId) ?? shell.submit(execId, request)
    try {
      await within(command.finished, request.yieldMillis)
    } catch (error) {
      // Lost while it waited for its turn: as if it had been asked for a moment later.
      const isLost = error instanceof SessionEnded && error.status === "lost" && command.exec === 0
      if (!isLost || isLastTry) throw error
      return this.exec(id, { ...request, execId }, true)
    }
    return this.#result(id, execId, { maxOutputBytes: request.maxOutputBytes, command })
  }

  #refusedBy(session: SessionId, rule: string): PolicyDenied {
    const error = new PolicyDenied({ session, rule })
    this.#options.refused(error)
    return error
  }

  /** The shell in which this very command waits or runs, "finished", or undefined for an id that is new. */
  async #known(id: SessionId, execId: string, request: ExecRequest): Promise<ExecSession | "finished" | undefined> {
    const shell = this.#liveShell(id)
    const command = shell?.find(execId)
    if (shell !== undefined && command !== undefined) {
      if (command.request.code !== request.code) throw usedBefore(execId)
      return shell
    }
    const entry = await this.#entry(id, execId)
    if (entry === undefined) return undefined
    const start = entry.codeCut ? await this.#readStart(id, entry.firstSequence) : undefined
    const code = shell?.live.shown(request.code) ?? request.code
    if (![code, request.code].includes(start?.started.code ?? entry.code)) throw usedBefore(execId)
    return "finished"
  }

  async poll(id: SessionId, execId: string, options: PollOptions = {}): Promise<ExecResult> {
    await this.#checkCursor(id, options.after)
    const command = this.#liveShell(id)?.find(execId)
    if (command !== undefined) await within(command.finished, options.yieldMillis ?? 0)
    return this.#result(id, execId, { ...options, command })
  }

  /** Before anything is waited for. */
  async #checkCursor(id: SessionId, after = 0): Promise<void> {
    if (!Number.isSafeInteger(after) || after < 0) throw invalid("after", "is a cursor of an earlier answer")
    if (after === 0 || !SESSION_ID_PATTERN.test(id)) return
    const head = await this.#options.run(this.#options.journal.head(id))
    // A session that is not there is told as that.
    if (head > 0 && after > head) throw cursorBeyond(after, head)
  }

  async output(
    id: SessionId,
    execId: string,
    range: { readonly channel: "stdout" | "stderr" | "tty"; readonly from: number; readonly to: number }
  ): Promise<Uint8Array> {
    const entry = await this.#entry(id, execId)
    if (entry === undefined) throw await this.#unknownCommand(id, execId)
    const { from, to } = range
    if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from) {
      throw invalid("range", `${from} to ${to} is not a range of bytes`)
    }
    const end = Math.min(to, from + MESSAGE_OUTPUT_BYTES_MAX)
    const { journal, run } = this.#options
    const bytes = await run(readCommandRange(journal, id, placeOf(entry), { ...range, to: end }))
    await this.#checkKept(id, entry.firstSequence)
    return bytes
  }

  async send(id: SessionId, execId: string, input: ExecInput, actor: string | undefined): Promise<void> {
    const { command, shell } = await this.#runningCommand(id, execId)
    const allowed = (bytes: Uint8Array): Uint8Array => {
      const rule = shell.policy.refusesTyped(bytes)
      if (rule !== undefined) throw this.#refusedBy(id, rule)
      return bytes
    }
    const isStream = command.request.stdin?._tag === "Stream"
    if ("bytes" in input || ("eof" in input && isStream)) {
      if (!isStream) throw invalid("input", "this command has no standard input stream; start it with stdin: Stream")
      const data = "bytes" in input ? allowed(input.bytes) : NO_BYTES
      checkInput(data, shell.live.state.limits)
      const { at } = input
      if (at !== undefined && !(Number.isSafeInteger(at) && at >= 0)) throw invalid("at", "is a number of bytes")
      const outcome = await shell.input.feed(command, data, { end: "eof" in input, at, actor })
      if (outcome === "ahead") throw invalid("at", `${at} is ahead of what the command was given: something is missing`)
      if (outcome === "full") throw new InputRefused({ session: id, queuedBytesMax: data.byteLength })
      return
    }
    if ("eof" in input) return this.core.write(id, Buffer.from([4]), { actor }).then(() => undefined)
    const bytes =
      "text" in input
        ? Buffer.from(input.text)
        : Result.getOrThrowWith(keysBytes(input.keys), ({ message }) => invalid("keys", message))
    const { truncatedTo } = await this.core.write(id, allowed(bytes), { actor })
    if (truncatedTo !== null) throw invalid("input", lineCut(truncatedTo))
  }

  async interrupt(id: SessionId, execId: string | undefined): Promise<void> {
    const { command, shell } = await this.#runningCommand(id, execId)
    await shell.stop.interrupt(command, undefined)
  }

  async kill(id: SessionId, execId: string | undefined, signal = "SIGKILL"): Promise<void> {
    const checked = checkSignal(signal, constants.signals)
    const { command, shell } = await this.#runningCommand(id, execId)
    await shell.stop.kill(command, checked, undefined)
  }

  async #runningCommand(
    id: SessionId,
    execId: string | undefined
  ): Promise<{ readonly command: Command; readonly shell: ExecSession }> {
    const shell = this.#liveShell(id)
    const command = execId === undefined ? shell?.running : shell?.find(execId)
    if (shell !== undefined && command !== undefined) return { command, shell }
    if (execId === undefined) {
      await this.#shellState(id)
      throw new ExecNotFound({ session: id, execId: "(none runs)" })
    }
    const entry = await this.#entry(id, execId)
    if (entry === undefined) throw await this.#unknownCommand(id, execId)
    const { exitCode, status } = entry
    throw new ExecFinished({ session: id, execId, status, exitCode })
  }

  // --- the shell -----------------------------------------------------------------------------------------------------

  async reset(id: SessionId): Promise<RestoreReport> {
    const shell = await this.#shell(id)
    return shell.restart.reset()
  }

  async restore(id: SessionId): Promise<RestoreReport | null> {
    if (this.#liveShell(id) !== undefined) return null
    const shell = await this.#shell(id)
    return shell.restart.lastRestore
  }

  async state(id: SessionId): Promise<ShellStateView> {
    const state = await this.#shellState(id)
    const running = state.running === null ? undefined : state.commands.get(state.running)
    return {
      session: id,
      language: state.language ?? "bash",
      workingDirectory: state.shellCwd,
      env: Object.fromEntries(state.env),
      functions: [...state.functions.keys()],
      aliases: Object.fromEntries(state.aliases),
      imports: [...importNames(state.imports)],
      commands: historyOf(state, STATE_COMMANDS).map(recordOf),
      running: running?.execId ?? null
    }
  }

  async history(id: SessionId, limit = HISTORY_DEFAULT): Promise<ReadonlyArray<CommandRecord>> {
    if (!Number.isInteger(limit) || limit < 1) throw invalid("limit", "is a whole number from 1")
    return historyOf(await this.#shellState(id), Math.min(limit, HISTORY_MAX)).map(recordOf)
  }

  // --- finding -------------------------------------------------------------------------------------------------------

  #liveShell(id: SessionId): ExecSession | undefined {
    const extension = this.core.liveSession(id)?.extension
    return extension instanceof ExecSession ? extension : undefined
  }

  /** The shell, ready to take commands; one that was lost is brought back. */
  #shell(id: SessionId): Promise<ExecSession> {
    const live = this.#liveShell(id)
    const restoring = this.#restoring.get(id)
    if (restoring !== undefined) return restoring
    if (live !== undefined) return Promise.resolve(live)
    const restored = this.#bringBack(id).finally(() => this.#restoring.delete(id))
    this.#restoring.set(id, restored)
    return restored
  }

  async #bringBack(id: SessionId): Promise<ExecSession> {
    await this.#checkKind(id)
    const session = await this.core.openForRelaunch(id)
    const { extension } = session
    if (!(extension instanceof ExecSession)) throw notForCommands()
    await extension.restart.bringBack()
    return extension
  }

  async #checkKind(id: SessionId): Promise<void> {
    const { kind } = await this.core.view(id)
    if (kind !== "exec") throw notForCommands()
  }

  async #shellState(id: SessionId): Promise<CommandsState> {
    const live = this.#liveShell(id)
    if (live !== undefined) return live.state
    await this.#checkKind(id)
    return this.#options.load(id)
  }

  /** What the journal has of a command, however old it is. */
  async #entry(id: SessionId, execId: string): Promise<CommandEntry | undefined> {
    const kept = findCommand(await this.#shellState(id), execId)
    // A copy: the state goes on while the output is read, and an answer must not say "completed" of output that was read
    // while the command still ran.
    if (kept !== undefined) return { ...kept }
    const { journal, run } = this.#options
    const row = await run(journal.row(EXEC_SPACE, execRowKey(id, execId)))
    if (row === undefined) return undefined
    const { after, exec } = JSON.parse(Buffer.from(row.value).toString()) as { exec: number; after: number }
    await this.#checkKept(id, after + 1)
    // Too old to be kept in the state: its own events, folded alone.
    let state = Commands.initial(id)
    await run(
      journal.read(id, { after }).pipe(
        Stream.takeWhile((entry) => {
          state = Commands.fold(state, entry)
          return !(entry.event._tag === "CommandFinished" && entry.event.exec === exec)
        }),
        Stream.runDrain
      )
    )
    return state.commands.get(exec)
  }

  /** Rejects when the event was removed: what is left of its command is its line in the history, if that. */
  async #checkKept(session: SessionId, sequence: number): Promise<void> {
    const { journal, run } = this.#options
    const gone = await run(journal.removal.of(session))
    if (gone === undefined || sequence > gone.sequence) return
    throw new HistoryRemoved({ session, to: gone.sequence, reason: removedError(session, gone).message })
  }

  async #unknownCommand(id: SessionId, execId: string) {
    await this.core.view(id)
    return new ExecNotFound({ session: id, execId })
  }

  // --- the answer ----------------------------------------------------------------------------------------------------

  async #result(
    id: SessionId,
    execId: string,
    options: {
      readonly after?: number | undefined
      readonly maxOutputBytes?: number | undefined
      readonly command?: Command | undefined
    }
  ): Promise<ExecResult> {
    const { journal, nowMicros, run } = this.#options
    const maxBytes = checkMax(options.maxOutputBytes)
    const { after = 0, command } = options
    const entry = await this.#entry(id, execId)
    if (entry === undefined) {
      if (command === undefined) throw await this.#unknownCommand(id, execId)
      return queuedResult(id, execId, (await this.#shellState(id)).shellCwd, after, nowMicros())
    }
    const memory = after === 0 ? command?.memory : undefined
    const isAllInMemory = memory !== undefined && isWhole(memory, entry)
    const output = isAllInMemory
      ? outputInMemory(memory, entry.lastSequence, maxBytes)
      : await run(readCommandOutput(journal, id, placeOf(entry), { after, maxBytes }))
    // Asked behind the reading, so that nothing can have been removed on the way.
    if (!isAllInMemory) await this.#checkKept(id, entry.firstSequence)
    const value = isAllInMemory ? memory.value : ((await this.#finishedEvent(id, entry))?.value ?? null)
    const needsInput = entry.status === "running" ? await this.#needsInput(id, execId) : null
    return {
      session: id,
      execId,
      exec: entry.exec,
      status: needsInput === null ? entry.status : "needs_input",
      exitCode: entry.exitCode,
      signal: entry.signal,
      ...output,
      value,
      needsInput,
      cwd: entry.cwdAfter ?? entry.cwdBefore,
      startedAt: entry.startedAt,
      durationMillis: entry.durationMillis ?? (nowMicros() - entry.startedAt) / 1000
    }
  }

  async #finishedEvent(id: SessionId, { finishedSequence }: CommandEntry) {
    if (finishedSequence === null) return undefined
    const { journal, run } = this.#options
    const found = await run(Stream.runHead(journal.read(id, { after: finishedSequence - 1, until: finishedSequence })))
    const event = Option.getOrUndefined(found)?.event
    return event?._tag === "CommandFinished" ? event : undefined
  }

  async #needsInput(id: SessionId, execId: string): Promise<NeedsInput | null> {
    const shell = this.#liveShell(id)
    if (shell?.running?.execId !== execId) return null
    const wait = await shell.inputWait().catch(() => null)
    if (wait === null) return null
    const text = makePlainText()
    feedPlainText(text, shell.terminalTail, () => undefined)
    const prompt = shell.live.shown(openLine(text))
    return { kind: wait.kind, confidence: wait.confidence, prompt: prompt.slice(-PROMPT_CHARACTERS_MAX) }
  }
}

const queuedResult = (session: SessionId, execId: string, cwd: string, cursor: number, now: number): ExecResult => ({
  session,
  execId,
  exec: 0,
  status: "queued",
  exitCode: null,
  signal: null,
  stdout: NO_BYTES,
  stderr: NO_BYTES,
  tty: NO_BYTES,
  value: null,
  needsInput: null,
  cwd,
  truncated: { stdout: null, stderr: null, tty: null },
  cursor,
  startedAt: now,
  durationMillis: 0
})

const NO_BYTES = new Uint8Array(0)

/** Nothing of it is in the journal alone: no earlier engine's, no late output, nothing that the terminal showed. */
const isWhole = ({ stderr, stdout }: CommandMemory, entry: CommandEntry): boolean =>
  entry.finishedSequence !== null &&
  entry.ttyTo === entry.ttyFrom &&
  entry.stdoutBytes === stdout.length &&
  entry.stderrBytes === stderr.length

const placeOf = (entry: CommandEntry) => ({
  exec: entry.exec,
  firstSequence: entry.firstSequence,
  lastSequence: entry.status === "running" ? undefined : entry.lastSequence,
  ttyFrom: entry.ttyFrom,
  ttyTo: entry.ttyTo
})

const recordOf = (entry: CommandEntry): CommandRecord => ({
  exec: entry.exec,
  execId: entry.execId,
  code: entry.code,
  status: entry.status,
  exitCode: entry.exitCode,
  signal: entry.signal,
  cwdBefore: entry.cwdBefore,
  cwdAfter: entry.cwdAfter,
  startedAt: entry.startedAt,
  durationMillis: entry.durationMillis,
  stdoutBytes: entry.stdoutBytes,
  stderrBytes: entry.stderrBytes,
  ttyFrom: entry.ttyFrom,
  ttyTo: entry.ttyTo,
  firstSequence: entry.firstSequence,
  lastSequence: entry.lastSequence
})

// --- what a request must look like ------------------------------------------------------------------------------------

const chosenLanguage = ({ language, shell }: StartShell): Language => {
  const guessed = shell === undefined ? undefined : languageOf(shell)
  const chosen = language ?? (shell === undefined ? "bash" : guessed)
  if (chosen === undefined) {
    throw invalid(
      "shell",
      `"${shell}" is none of bash, zsh, python3 and node; say with language (--lang) which of them it speaks`
    )
  }
  return chosen
}

const checkPolicy = (deny: ReadonlyArray<string>): void => {
  if (deny.length > POLICY_RULES_MAX || deny.some((rule) => rule.length > POLICY_RULE_CHARACTERS_MAX)) {
    throw invalid("policy", `at most ${POLICY_RULES_MAX} rules of ${POLICY_RULE_CHARACTERS_MAX} characters`)
  }
  try {
    new Policy(deny)
  } catch (error) {
    throw invalid("policy", error instanceof Error ? error.message : String(error))
  }
}

const checkEnv = (field: string, env: Readonly<Record<string, string>> | undefined): void => {
  for (const [name, value] of Object.entries(env ?? {})) {
    if (!VARIABLE_NAME.test(name)) {
      throw invalid(field, `"${name.slice(0, 80)}" is not a variable's name (letters, digits and _, no digit first)`)
    }
    if (name.toLowerCase().startsWith("__reprise")) throw invalid(field, `names that begin with __reprise are taken`)
    if (typeof value !== "string" || value.includes("\0")) throw invalid(field, `the value of ${name} holds a NUL`)
  }
}

const checkRequest = (request: ExecRequest): void => {
  if (typeof request.code !== "string") throw invalid("code", "is required")
  if (Buffer.byteLength(request.code) > CODE_BYTES_MAX) {
    throw invalid("code", `at most ${CODE_BYTES_MAX} bytes; put more into a file and run that`)
  }
  if (request.execId !== undefined && !EXEC_ID.test(request.execId)) {
    throw invalid("execId", "must be 1 to 64 printable ASCII characters")
  }
  if (request.actor !== undefined && !EXEC_ID.test(request.actor)) {
    throw invalid("actor", "must be 1 to 64 printable ASCII characters")
  }
  if (request.cwd !== undefined && (request.cwd === "" || request.cwd.includes("\0"))) {
    throw invalid("cwd", "is a path")
  }
  checkEnv("env", request.env)
  checkEnv("secretEnv", request.secretEnv)
  if (Object.keys(request.secretEnv ?? {}).length > SECRET_VALUES_MAX / 2) {
    throw invalid("secretEnv", `at most ${SECRET_VALUES_MAX / 2} variables`)
  }
  checkMillis("yieldMillis", request.yieldMillis, 0)
  checkMillis("timeoutMillis", request.timeoutMillis, 1)
  checkMax(request.maxOutputBytes)
  if (
    request.tty === true &&
    request.stdin !== undefined &&
    request.stdin._tag !== "Tty" &&
    request.stdin._tag !== "None"
  ) {
    throw invalid("stdin", "a command on the terminal has the terminal as its standard input; use `send`")
  }
}

const checkMillis = (field: string, millis: number | undefined, min: number): void => {
  if (millis !== undefined && !(millis >= min && millis <= MILLIS_MAX)) {
    throw invalid(field, `is a number of milliseconds from ${min} to ${MILLIS_MAX}`)
  }
}

const checkMax = (bytes: number | undefined): number => {
  if (bytes === undefined) return RESULT_OUTPUT_BYTES_MAX
  if (!Number.isInteger(bytes) || bytes < 0) throw invalid("maxOutputBytes", "is a whole number of bytes")
  return Math.min(bytes, RESULT_OUTPUT_BYTES_MAX)
}

const lineCut = (bytes: number) =>
  `typed, but the terminal keeps only ${bytes} bytes of a line and dropped the rest; use a standard input stream`
const usedBefore = (execId: string) =>
  new ExecRejected({ execId, reason: "this id was used for other code; choose a new one" })
const notForCommands = () =>
  invalid("session", "is a terminal and takes no commands; `reprise start` makes one that does")

// --- files and processes ------------------------------------------------------------------------------------------------

/** The session's own folder, with a copy of the driver: the package may be replaced while the session lives. */
const prepareFolder = (folder: string, program: string): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const driver = join(folder, "driver")
  if (!existsSync(driver)) copyFileSync(driverFile(program), driver)
}

/** One that can be entered. */
const isFolder = (path: string): boolean => {
  try {
    if (!isAbsolute(path) || !statSync(path).isDirectory()) return false
    accessSync(path, access.X_OK)
    return true
  } catch {
    return false
  }
}

const environmentOf = (pid: number): ReadonlyMap<string, string> | undefined => {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0")
    return new Map(
      entries.flatMap((entry) => {
        const at = entry.indexOf("=")
        return at < 1 ? [] : [[entry.slice(0, at), entry.slice(at + 1)] as const]
      })
    )
  } catch {
    return undefined
  }
}

/** The end of the command, or the time that the caller waits. */
const within = async (finished: Promise<void>, millis: number | undefined): Promise<void> => {
  if (millis === undefined) return finished
  let timer: NodeJS.Timeout | undefined
  const elapsed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis)
  })
  await Promise.race([finished, elapsed]).finally(() => clearTimeout(timer))
}
