/**
 * The engine: every session that has not been closed, the hosts that hold them, and the way back after a crash. Promises
 * inside; `SessionEngine.ts` puts the Effect face on it. It journals through `LiveSession`, reads through `History`'s
 * parts, and knows no socket and no client.
 */
import { constants } from "node:os"
import { Effect, Stream } from "effect"
import { monotonicFactory } from "ulid"
import {
  ACTOR_ENGINE,
  type JournalEntry,
  type Language,
  type NewEvent,
  SESSION_ID_PATTERN,
  type SessionEvent,
  type SessionId,
  type SignalTarget,
  STORE_STREAM,
  type TerminalSize
} from "../../journal/Event.ts"
import type { AppendOptions, JournalShape, Row } from "../../journal/Journal.ts"
import type { JournalDamaged, StorageUnavailable } from "../../journal/JournalError.ts"
import { killPoint } from "../../journal/KillPoint.ts"
import type { PlainOutput } from "../../projections/PlainOutput.ts"
import type { SessionState } from "../../projections/SessionState.ts"
import type { CaptureRequest } from "../capture/CaptureRequest.ts"
import { captureNames, captureNote, mergeCapture } from "../capture/CaptureRequest.ts"
import type { SessionCapture } from "../capture/SessionCapture.ts"
import { endOrphans, isKeeperDead } from "../keeper/Orphans.ts"
import type { PipeRequest } from "../keeper/PipeHost.ts"
import { type HeldSession, HostUnavailable, type PtyHost } from "../keeper/PtyHost.ts"
import { Admission } from "./Admission.ts"
import { Clients } from "./Clients.ts"
import {
  checkCreate,
  checkInput,
  checkOptions,
  checkSignal,
  checkSize,
  ownerName,
  spawnFailed
} from "./CreateRequest.ts"
import type { EngineLimits } from "./EngineLimits.ts"
import { type Feed, openFeed } from "./Feed.ts"
import { checkKeepers, type HostEvents, type Hosts, inProcessHosts, type KeeperPort, keeperHosts } from "./Hosts.ts"
import { LiveSession, type LiveSessionPort } from "./LiveSession.ts"
import { entryOf, RecentSessions } from "./RecentSessions.ts"
import {
  type AccessDenied,
  InvalidRequest,
  LimitExceeded,
  SessionEnded,
  SessionNotFound,
  SessionUnavailable
} from "./SessionError.ts"
import type { SessionExtension } from "./SessionExtension.ts"
import type { UnappliedInput } from "./SessionInput.ts"
import type { CloseReport, CommandOptions, CreateSession, KeeperView, WriteAck } from "./Sessions.ts"
import { SessionTimeouts } from "./SessionTimeouts.ts"
import type { SessionView } from "./SessionView.ts"
import type { StorePaths } from "./StorePaths.ts"
import { UnansweredInputs } from "./UnansweredInputs.ts"

/** Rows of the sessions that are not closed: what a starting engine looks at, however long the history is. */
const LIVE_SPACE = "live"
/**
 * An engine that dies between a session's creation and its process leaves a client that asks again, with the same id, as
 * soon as the next engine runs. Who has not come by then will not.
 */
const CREATOR_WAIT_MILLIS = 10_000
/** Sessions taken back at a time: each reads a little of the journal and asks its keeper. */
const ADOPT_CONCURRENCY = 16

/**
 * Waits before a session is taken back again that could not be: a read that failed, unlike a write, suspends nothing, so
 * nobody says when the next one will do. Quick at first, then once in 2 s.
 */
const TAKE_BACK_DELAYS_MILLIS = [20, 100, 500, 2000]

/** Defects that one engine tells of. More would be the same ones again. */
const DEFECTS_MAX = 100

export interface EngineCoreOptions {
  readonly journal: JournalShape
  readonly paths: StorePaths
  readonly version: string
  readonly nowMicros: () => number
  readonly monotonicMillis: () => number
  /** The keeper's program; undefined holds the terminals in this process. */
  readonly keeperEntry: string | undefined
  readonly sessionsPerKeeper?: number | undefined
  readonly programUmask?: number | undefined
  readonly keepers?: KeeperPort | undefined
  readonly limits: EngineLimits
  /** Rules at capture of every session that is created from now on. */
  readonly redact?: (() => CaptureRequest | undefined) | undefined
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Promise<A>
  readonly get: (session: SessionId) => Promise<SessionView>
  /** State at the head of the stream; of a damaged stream, at the end of what is intact. */
  readonly load: (session: SessionId) => Promise<SessionState>
  readonly creationRows: (session: SessionId, created: JournalEntry) => ReadonlyArray<Row>
  readonly saveState: (state: SessionState) => Promise<void>
  /** As `LiveSessionPort.drawLater`. */
  readonly drawLater: (session: SessionId, outputBytes?: number) => void
  readonly plainOutput: PlainOutput
  /** The session's last word: its row in the list is final. */
  readonly saveEnd: (session: SessionId) => Promise<void>
  /** What a session of kind exec has on top of it. */
  readonly extend: (session: LiveSession) => SessionExtension | undefined
  /** Told of what a client was not let do with a session. */
  readonly refused?: ((error: AccessDenied, client: string | undefined) => void) | undefined
  /** Called before sessions are taken back, which may already ask the engine for something. */
  readonly opening?: ((engine: EngineCore) => void) | undefined
}

/** A session whose program takes commands: as any other, and what the shell needs beside its terminal. */
export interface CreateExec extends CreateSession {
  readonly id: SessionId
  readonly language: Language
  readonly deny?: ReadonlyArray<string> | undefined
  readonly secretEnvNames: ReadonlyArray<string>
  readonly pipes: ReadonlyArray<PipeRequest>
  readonly note: (capture: CaptureRequest | undefined) => Uint8Array
  readonly extend: (session: LiveSession) => SessionExtension
}

/** A new process for a session that has none: what `relaunch` cannot read from the journal. */
export interface Relaunch {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly pipes: ReadonlyArray<PipeRequest>
  readonly note: Uint8Array
}

export class EngineCore {
  readonly startedAt: number
  readonly clients: Clients
  readonly feed: Feed
  readonly recent = new RecentSessions()
  /** Its fiber is started and ended by whoever opened the engine. */
  readonly timeouts: SessionTimeouts
  readonly #inputs: UnansweredInputs
  readonly #options: EngineCoreOptions
  readonly #live = new Map<SessionId, LiveSession>()
  readonly #admission: Admission
  readonly #creating = new Map<SessionId, Promise<SessionView>>()
  readonly #nextId = monotonicFactory()
  readonly #port: LiveSessionPort
  #hosts!: Hosts
  #stopSuspensions: () => void = () => undefined
  /** Its own start, while the store has no room for the word of it. */
  #untold: NewEvent | undefined
  /** Lost sessions whose last processes are being ended: no new program of theirs is started before that. */
  readonly #ending = new Map<SessionId, Promise<void>>()
  /** What was told of defects, and of which sessions. */
  readonly #defects = new Set<string>()
  /** By session, the next attempt to take it back. */
  readonly #takingBack = new Map<SessionId, NodeJS.Timeout>()
  #isStopping = false
  /** Rows on their way to the journal: the engine closes after them. */
  readonly #saving = new Set<Promise<void>>()

  private constructor(options: EngineCoreOptions, feed: Feed) {
    this.#options = options
    this.feed = feed
    this.startedAt = options.nowMicros()
    this.#admission = new Admission(options.limits)
    this.#inputs = new UnansweredInputs(options.limits.inputQueueMessages)
    this.clients = new Clients({
      monotonicMillis: options.monotonicMillis,
      clientsMax: options.limits.clientsPerSession,
      isLive: (session) => this.liveSession(session) !== undefined,
      refused: options.refused,
      journal: async (session, event, client) => (await this.#live.get(session)?.appendPresence(event, client)) === true
    })
    this.timeouts = new SessionTimeouts({
      monotonicMillis: options.monotonicMillis,
      presence: (session) => this.clients.presence(session),
      isBusy: (session) => this.#isBusy(session),
      end: async (session, limit, value) => this.liveSession(session)?.endForLimit(limit, value)
    })
    this.#port = {
      journal: options.journal.hot,
      nowMicros: options.nowMicros,
      monotonicMillis: options.monotonicMillis,
      resizeDebounceMillis: options.limits.resizeDebounceMillis,
      limitReached: (session, limit, value) => this.#inBackground(session.endForLimit(limit, value)),
      load: options.load,
      inputsAfter: (session, sequence) => this.#inputsAfter(session, sequence),
      creationRows: (session, created) => [
        { space: LIVE_SPACE, key: Buffer.from(session, "latin1"), value: NO_BYTES },
        ...options.creationRows(session, created)
      ],
      feed,
      saveState: (state) => this.#save(this.#saveState(state)),
      drawLater: options.drawLater,
      directoryOf: (pid) => this.#hosts.directoryOf(pid),
      plainOutput: options.plainOutput,
      quotaReached: () => quotaReached(options.journal)?.reason,
      interrupted: (session) => this.clients.interrupted(session),
      takeBack: (session, host, reason) => this.#inBackground(this.#takeBack(session.id, host, reason)),
      ended: (session) => this.#ended(session),
      extend: options.extend
    }
  }

  /** Folds what is there, finds the keepers and takes their sessions back. When it resolves, sessions can be used. */
  static async open(options: EngineCoreOptions): Promise<EngineCore> {
    // Before anything is written: a store that is refused is as it was.
    if (options.keeperEntry !== undefined) await checkKeepers(options.paths.keepers, options.keepers)
    const engine = new EngineCore(options, await options.run(openFeed(options.journal)))
    options.opening?.(engine)
    const { journal, keeperEntry } = options
    killPoint("engine.started.before")
    const generation = await engine.#begin()
    killPoint("engine.started.after")
    const events = engine.#hostEvents()
    engine.#hosts =
      keeperEntry === undefined
        ? inProcessHosts(events)
        : keeperHosts({
            folder: options.paths.keepers,
            entry: keeperEntry,
            generation,
            sessionsPerKeeper: options.sessionsPerKeeper,
            programUmask: options.programUmask,
            keepers: options.keepers,
            events
          })
    // Before anything is taken back: what a failing write interrupts is taken up again when the storage is back.
    engine.#stopSuspensions = journal.onSuspended(() => engine.#suspensionChanged())
    if (journal.suspended() === undefined) engine.#tellStart()
    try {
      await engine.#recover()
    } catch (error) {
      engine.#giveUpTakingBack()
      throw error
    }
    return engine
  }

  /**
   * Journals that this engine has started, and gives its generation. A store that has reached its quota is served all the
   * same, as by an engine that lives when that happens, and nothing is written for it, so that engines may be started there
   * any number of times: the start is told when there is room. Until then the next engine may have the same generation,
   * never a lower one, and the store's lock lets in one at a time.
   */
  async #begin(): Promise<number> {
    const { journal, run, version } = this.#options
    const started = this.#storeEvent({ _tag: "EngineStarted", pid: process.pid, version, node: process.version })
    try {
      return (await run(journal.append(STORE_STREAM, [started]))).last
    } catch (error) {
      if (quotaReached(journal) === undefined) throw error
      this.#untold = started
      return (await run(journal.head(STORE_STREAM))) + 1
    }
  }

  #tellStart(): void {
    const { journal, run } = this.#options
    const started = this.#untold
    if (started === undefined) return
    this.#untold = undefined
    const telling = run(journal.append(STORE_STREAM, [started])).then(
      () => undefined,
      () => {
        this.#untold = started
      }
    )
    this.#inBackground(telling)
  }

  // --- recovery ------------------------------------------------------------------------------------------------------

  async #recover(): Promise<void> {
    const { journal, run } = this.#options
    const hostOf = new Map<SessionId, PtyHost>()
    for (const host of await this.#hosts.recover()) {
      for (const { session } of await this.#heldBy(host)) hostOf.set(session, host)
    }
    killPoint("recovery.keepers.after")
    const rows = await run(Stream.runCollect(journal.rows(LIVE_SPACE)))
    const ids = new Set<SessionId>(hostOf.keys())
    for (const row of rows) ids.add(Buffer.from(row.key).toString("latin1") as SessionId)
    await inParallel([...ids], ADOPT_CONCURRENCY, async (id) => {
      // A keeper may hold a session of which the journal was taken away: it goes on, and is listed with its keeper only.
      if ((await run(journal.head(id))) === 0) return
      await this.#takeBack(id, hostOf.get(id), "the engine was started again")
    })
  }

  async #lose(session: LiveSession, reason: string): Promise<void> {
    try {
      await session.lose(reason)
    } catch (error) {
      this.#takeBackLater(session.id, undefined, reason, 0)
      throw error
    }
  }

  /** A connection that breaks now is made again by the hosts, and asked once more: what its keeper holds is not lost. */
  async #heldBy(host: PtyHost): Promise<ReadonlyArray<HeldSession>> {
    for (const millis of TAKE_BACK_DELAYS_MILLIS) {
      const current = this.#hosts.find(host.id)
      // It ended meanwhile.
      if (current === undefined) return []
      try {
        return await current.list()
      } catch (error) {
        if (!(error instanceof HostUnavailable)) throw error
        await new Promise((resolve) => setTimeout(resolve, millis))
      }
    }
    return (this.#hosts.find(host.id) ?? host).list()
  }

  async #takeBack(id: SessionId, from: PtyHost | undefined, reason: string, attempts = 0): Promise<void> {
    // Since it was decided to, its host may have gone, or be another connection.
    const host = from === undefined ? undefined : this.#hosts.find(from.id)
    clearTimeout(this.#takingBack.get(id))
    this.#takingBack.delete(id)
    const session = this.#live.get(id) ?? new LiveSession(id, this.#port)
    this.#live.set(id, session)
    this.#admission.keep(id, session.state.group)
    try {
      if (host === undefined) {
        await session.abandon("its keeper is gone, and the process with it or out of reach")
        this.#endOrphans(session, true)
        if (session.isUnstarted) {
          this.#admission.keep(id, session.state.group)
          this.#awaitCreator(session)
        }
        return
      }
      this.#hosts.keep(id, host)
      // Known also where the adoption fails: who tries again must not take the session for one without a keeper.
      session.host = host
      await session.adopt(host, reason)
      if (session.isUnstarted) return this.#awaitCreator(session)
      if (!session.isEnded) this.#admission.keep(id, session.state.group)
      await this.clients.resumed(id)
      session.checkLimits()
      this.timeouts.watch(session)
    } catch (error) {
      // Storage or keeper went away meanwhile; each says so when it is back or gone, and the session is taken up again.
      if (!(error instanceof SessionUnavailable) && !(error instanceof HostUnavailable) && !isStorage(error))
        throw error
      this.#takeBackLater(id, host, reason, attempts)
    }
  }

  /** A word of storage or keeper that comes before is answered at once, and this is not needed any more. */
  #takeBackLater(id: SessionId, host: PtyHost | undefined, reason: string, attempts: number): void {
    if (this.#isStopping || this.#takingBack.has(id)) return
    const delay = TAKE_BACK_DELAYS_MILLIS[Math.min(attempts, TAKE_BACK_DELAYS_MILLIS.length - 1)]!
    const again = () => {
      this.#takingBack.delete(id)
      const session = this.#live.get(id)
      if (session === undefined || session.isEnded || session.isRunning) return
      // Its end takes back every session; this one only looks whether it did.
      if (this.#options.journal.suspended() !== undefined) return this.#takeBackLater(id, host, reason, attempts + 1)
      this.#inBackground(this.#takeBack(id, host, reason, attempts + 1))
    }
    this.#takingBack.set(id, setTimeout(again, delay))
  }

  #awaitCreator(session: LiveSession): void {
    setTimeout(() => {
      const creating = this.#creating.get(session.id)
      if (creating === undefined) return this.#inBackground(session.giveUpStart())
      // It came back, and waits for a keeper that takes its time to start.
      const waitAgain = () => {
        if (session.isUnstarted) this.#awaitCreator(session)
      }
      creating.then(waitAgain, waitAgain)
    }, CREATOR_WAIT_MILLIS).unref()
  }

  #suspensionChanged(): void {
    const isSuspended = this.#options.journal.suspended() !== undefined
    // First of all that waits.
    if (!isSuspended) this.#tellStart()
    for (const session of this.#live.values()) {
      if (isSuspended) session.pause()
      else this.#inBackground(this.#takeBack(session.id, session.host, "the journal could not be written for a while"))
    }
  }

  #hostEvents(): HostEvents {
    return {
      deliver: () => ({
        output: (session, offset, bytes) => this.#live.get(session)?.output(offset, bytes),
        leaderExited: (session, exit) => this.#live.get(session)?.leaderExited(exit),
        terminalClosed: (session, outputBytes) => this.#live.get(session)?.terminalClosed(outputBytes),
        pipeOutput: (session, pipe, offset, bytes) => this.#live.get(session)?.pipeOutput(pipe, offset, bytes),
        pipeEnded: (session, pipe, bytes) => this.#live.get(session)?.pipeEnded(pipe, bytes)
      }),
      returned: (host) => {
        for (const session of this.#sessionsOf(host.id)) {
          this.#inBackground(this.#takeBack(session.id, host, "the connection to its keeper was lost"))
        }
      },
      gone: (id, reason) => {
        for (const session of this.#sessionsOf(id)) {
          session.host = undefined
          this.#endOrphans(session, false)
          this.#inBackground(this.#lose(session, `its keeper is gone: ${reason}`))
        }
      }
    }
  }

  /**
   * A shell for commands that nobody can give a command or hear from any more, and what it started, would only act unseen
   * beside the shell that takes its place. Programs of a terminal are left alone: whoever started one with nohup meant it.
   */
  #endOrphans(session: LiveSession, isUnwatched: boolean): void {
    const { id, state } = session
    const { closed, keeper, kind, pid, startTime } = state
    if (kind !== "exec" || closed || keeper === null || keeper === "" || pid === null || startTime === null) return
    const ending = isKeeperDead(this.#options.paths.keepers, keeper)
      .then((isDead) => (isDead ? endOrphans({ leader: { pid, startTime }, marker: id, isUnwatched }) : []))
      .then(() => undefined)
      .finally(() => this.#ending.delete(id))
    this.#ending.set(id, ending)
    this.#inBackground(ending)
  }

  #sessionsOf(host: string): ReadonlyArray<LiveSession> {
    return [...this.#live.values()].filter((session) => session.host?.id === host)
  }

  /** Inputs the journal has and the terminal may not have, without those that were said to be missing. */
  async #inputsAfter(session: SessionId, sequence: number): Promise<ReadonlyArray<UnappliedInput>> {
    const { journal, run } = this.#options
    const inputs: Array<UnappliedInput> = []
    const keepInputs = (page: ReadonlyArray<JournalEntry>) => {
      for (const { commandId, event, sequence } of page) {
        if (event._tag === "InputWritten") inputs.push({ sequence, kind: "written", data: event.data, commandId })
        else if (event._tag === "InputHidden") inputs.push({ sequence, kind: "hidden", data: NO_BYTES, commandId })
        else if (event._tag === "SecretsRedacted" && event.what === "input") {
          // What is journaled of them is not what was typed.
          for (let index = Math.max(0, inputs.length - event.events); index < inputs.length; index++)
            inputs[index] = { ...inputs[index]!, kind: "hidden", data: NO_BYTES }
        } else if (event._tag === "InputClosed") inputs.push({ sequence, kind: "closed", data: NO_BYTES, commandId })
        else if (event._tag === "GapDetected" && event.what === "input") {
          for (let index = inputs.length - 1; index >= 0; index--) {
            const at = inputs[index]!.sequence
            if (at >= event.from && at <= (event.to ?? at)) inputs.splice(index, 1)
          }
        }
      }
    }
    const pages = Stream.runForEachArray(journal.read(session, { after: sequence }), (page) =>
      Effect.sync(() => keepInputs(page))
    )
    // Input behind damage cannot be typed again; whoever reads the history is told of the damage.
    await run(Effect.catchTag(pages, "JournalDamaged", () => Effect.void))
    return inputs
  }

  // --- commands ------------------------------------------------------------------------------------------------------

  newId(): SessionId {
    return this.#nextId() as SessionId
  }

  create(request: CreateSession): Promise<SessionView> {
    return this.#createOnce(request.id ?? this.newId(), request)
  }

  /** The same for a shell that takes commands. */
  createExec(request: CreateExec): Promise<SessionView> {
    return this.#createOnce(request.id, request, request)
  }

  #createOnce(id: SessionId, request: CreateSession, exec?: CreateExec): Promise<SessionView> {
    const running = this.#creating.get(id)
    if (running !== undefined) return running
    const created = this.#create(id, request, exec).finally(() => this.#creating.delete(id))
    this.#creating.set(id, created)
    return created
  }

  async #create(id: SessionId, request: CreateSession, exec?: CreateExec): Promise<SessionView> {
    const redact = mergeCapture(this.#options.redact?.(), request.redact)
    const capture = redact && (await loadCapture(redact))
    const note = exec?.note(redact) ?? (redact && captureNote(redact))
    const spawn = { ...checkCreate(id, request), pipes: exec?.pipes, note }
    checkOptions(request)
    const { get, journal, run } = this.#options
    let known = this.#live.get(id)
    if (known?.isStartUnknown === true) {
      throw new SessionUnavailable({
        session: id,
        reason: "its journal or its keeper went away while it was started; ask again"
      })
    }
    if (known?.isUnstarted !== true && (known !== undefined || (await run(journal.head(id))) > 0)) {
      const unstarted = known === undefined ? await this.#unstarted(id) : undefined
      if (unstarted === undefined) return get(id)
      known = unstarted
    }
    this.#checkQuota()
    this.#admission.admit(id, request.group ?? null)
    const host = await this.#hosts.acquire(id).catch((error: unknown) => {
      if (known === undefined) this.#admission.release(id)
      throw withoutHost(id, error)
    })
    const session = known ?? new LiveSession(id, this.#port)
    session.capture = capture
    session.extension = exec?.extend(session)
    this.#live.set(id, session)
    const created: SessionEvent & { readonly _tag: "SessionCreated" } = {
      _tag: "SessionCreated",
      argv: spawn.argv,
      cwd: spawn.cwd,
      envNames: Object.keys(spawn.env),
      size: spawn.size,
      term: spawn.term,
      owner: ownerName(),
      ...(request.name !== undefined && { name: request.name }),
      ...(request.group !== undefined && { group: request.group }),
      ...(request.limits !== undefined && { limits: request.limits }),
      ...(exec === undefined
        ? { kind: "terminal" }
        : {
            kind: "exec",
            language: exec.language,
            ...(exec.deny !== undefined && { deny: exec.deny }),
            ...(exec.secretEnvNames.length > 0 && { secretEnvNames: exec.secretEnvNames })
          }),
      ...(redact !== undefined && { redact: captureNames(redact) })
    }
    // A shell is started again from what the journal has of it.
    if (exec !== undefined && capture?.changes({ argv: created.argv, deny: created.deny ?? [] }) === true) {
      if (known === undefined) this.#forget(session)
      const reason = "the rules would redact the shell's own arguments or what its commands are denied"
      throw new InvalidRequest({ field: "redact", reason })
    }
    try {
      if (known === undefined) await session.create(created, request.actor ?? ACTOR_ENGINE)
      await session.launch(host, () => host.spawn(spawn))
      this.timeouts.watch(session)
    } catch (error) {
      if (session.state.sequence === 0) this.#forget(session)
      if (!(error instanceof HostUnavailable)) throw spawnFailed(error)
      this.#takeBackLater(id, host, "its keeper went away while it was started", 0)
      throw withoutHost(id, error)
    }
    return get(id)
  }

  /** A session that is in the journal although its creation was said to have failed: nobody else will start it. */
  async #unstarted(id: SessionId): Promise<LiveSession | undefined> {
    const session = new LiveSession(id, this.#port)
    await session.reopen()
    return session.isUnstarted ? session : undefined
  }

  /**
   * Starts another program in a session that has none any more: one whose program ended, or that was lost. A session that
   * is not live is read from the journal first.
   */
  async relaunch(session: LiveSession, { cwd, env, note, pipes }: Relaunch): Promise<void> {
    const { id, state } = session
    if (session.host?.capabilities.takesSessions === false) await this.#leave(session, session.host)
    const acquired = session.host ?? this.#hosts.acquire(id)
    const host = await Promise.resolve(acquired).catch((error: unknown) => {
      throw withoutHost(id, error)
    })
    this.#live.set(id, session)
    this.recent.delete(id)
    this.#admission.keep(id, state.group)
    const rows = [{ space: LIVE_SPACE, key: Buffer.from(id, "latin1"), value: NO_BYTES }]
    const { argv, size, term } = state
    try {
      await session.relaunch(
        host,
        (from) => host.spawn({ session: id, argv, cwd, env, size, term, pipes, note, replace: true, ...from }),
        { rows }
      )
      this.timeouts.watch(session)
    } catch (error) {
      if (error instanceof HostUnavailable) throw withoutHost(id, error)
      throw spawnFailed(error)
    }
  }

  /** The session's program has ended, and its keeper is of an older version: what comes next is another keeper's. */
  async #leave(session: LiveSession, host: PtyHost): Promise<void> {
    host.forget(session.id)
    // Answered after the pipes are gone, in whose places there will be others.
    const held = await host.list()
    if (held.some((other) => other.session === session.id)) {
      throw new SessionUnavailable({ session: session.id, reason: "its program has not ended yet; try again" })
    }
    session.host = undefined
    this.#hosts.release(session.id)
  }

  /** The live session; one that was lost is read from the journal, not yet running. Rejects when it has ended. */
  async openForRelaunch(id: SessionId): Promise<LiveSession> {
    const live = this.#live.get(id)
    if (live !== undefined && !live.isEnded) return live
    const { status } = await this.#viewOf(id)
    if (status !== "lost") throw new SessionEnded({ session: id, status })
    await this.#ending.get(id)?.catch(() => undefined)
    const session = new LiveSession(id, this.#port)
    await session.reopen()
    return session
  }

  async write(id: SessionId, data: Uint8Array, options: CommandOptions = {}): Promise<WriteAck> {
    checkOptions(options)
    const session = await this.#liveSession(id)
    this.clients.checkWriter(id, options.client)
    checkInput(data, session.state.limits)
    this.#checkQuota()
    return this.#inputs.run(id, options, data.byteLength, () => session.write(data, options))
  }

  async closeInput(id: SessionId, options: CommandOptions = {}): Promise<void> {
    checkOptions(options)
    const session = await this.#liveSession(id)
    this.clients.checkWriter(id, options.client)
    this.#checkQuota()
    await this.#inputs.run(id, options, 0, () => session.closeInput(options))
  }

  async resize(
    id: SessionId,
    size: { readonly cols: number; readonly rows: number },
    options: CommandOptions = {}
  ): Promise<TerminalSize> {
    checkOptions(options)
    const checked = checkSize(size)
    const session = await this.#liveSession(id)
    this.clients.checkWriter(id, options.client)
    return session.resize(checked, options)
  }

  async signal(id: SessionId, signal: string, target: SignalTarget, options: CommandOptions = {}): Promise<void> {
    checkOptions(options)
    const checked = checkSignal(signal, constants.signals)
    const session = await this.#liveSession(id)
    this.clients.checkWriter(id, options.client)
    await session.signal(checked, target, options)
  }

  async close(
    id: SessionId,
    options: CommandOptions & { readonly graceMillis?: number | undefined } = {}
  ): Promise<CloseReport> {
    checkOptions(options)
    const grace = options.graceMillis
    if (grace !== undefined && !(grace >= 0))
      throw new InvalidRequest({ field: "graceMillis", reason: "must be 0 or more" })
    const live = this.#live.get(id)
    this.clients.checkNotReadOnly(id, options.client)
    if (live !== undefined && !live.isEnded) {
      try {
        return await live.close(options)
      } catch (error) {
        // It ended by itself meanwhile.
        if (!(error instanceof SessionEnded)) throw error
      }
    }
    const { survivors } = await this.#viewOf(id)
    return { survivors }
  }

  /** Throws LimitExceeded while the store has as many bytes as it may have. */
  #checkQuota(): void {
    const reached = quotaReached(this.#options.journal)
    if (reached !== undefined) throw new LimitExceeded({ limit: "store bytes", ...reached })
  }

  /** A command runs in the session: of its shell, or in the foreground of its terminal and not the program it was made for. */
  async #isBusy(id: SessionId): Promise<boolean> {
    const session = this.liveSession(id)
    if (session === undefined) return false
    if (!session.isRunning || session.host === undefined)
      throw new SessionUnavailable({ session: id, reason: "paused" })
    if (session.extension !== undefined) return session.extension.isBusy
    const { foregroundGroup } = await session.host.mode(id)
    return foregroundGroup > 0 && foregroundGroup !== session.state.pid
  }

  /**
   * The last event of a live session that neither its program nor its keeper needs any more: inputs that are not typed
   * yet are typed from the journal should the engine die. undefined: it does not live.
   */
  async notNeeded(id: SessionId): Promise<number | undefined> {
    const session = this.#live.get(id)
    if (session === undefined || session.isEnded) return undefined
    const { host } = session
    const unavailable = () => new SessionUnavailable({ session: id, reason: "it is being started or taken back" })
    // One that waits for room gets none unless some of it may go.
    const waitsForRoom = !session.isRunning && quotaReached(this.#options.journal) !== undefined
    if (host === undefined || (!session.isRunning && !waitsForRoom)) throw unavailable()
    const held = (await host.list()).find((one) => one.session === id)
    const { lastInputSequence, sequence } = session.state
    // What stands behind the last event that is known to be durable may be an input that nobody typed yet.
    const known = waitsForRoom ? sequence : Number.MAX_SAFE_INTEGER
    if (waitsForRoom && (held === undefined || sequence === 0)) throw unavailable()
    if (held === undefined || held.inputSequence >= lastInputSequence) return known
    return Math.min(known, held.inputSequence)
  }

  /** Journals a hold of a live session, or its release; false when it does not live. */
  async appendHold(id: SessionId, event: SessionEvent, actor: string): Promise<boolean> {
    const session = this.#live.get(id)
    if (session === undefined || session.isEnded) return false
    await session.appendHold(event, actor)
    return true
  }

  /** Journals a redaction of a live session; false when it does not live. */
  async appendRedaction(id: SessionId, event: NewEvent, options: AppendOptions): Promise<boolean> {
    const session = this.#live.get(id)
    if (session === undefined || session.isEnded) return false
    await session.appendRedaction(event, options)
    return true
  }

  /** Texts of the session that are kept in memory are read anew from the journal. */
  async redacted(id: SessionId): Promise<void> {
    this.recent.delete(id)
    await this.#live.get(id)?.redacted()
  }

  keepers(): ReadonlyArray<KeeperView> {
    return this.#hosts.list().map(({ host, sessions }) => ({ id: host.id, pid: host.pid, sessions }))
  }

  /** The session itself, while it is not closed and not lost. */
  liveSession(id: SessionId): LiveSession | undefined {
    const live = this.#live.get(id)
    return live?.isEnded === true ? undefined : live
  }

  /** Rejects with SessionNotFound. */
  view(id: SessionId): Promise<SessionView> {
    return this.#viewOf(id)
  }

  /** Neither closed nor lost; one that is being created is among them. */
  get liveSessions(): Iterable<LiveSession> {
    return this.#live.values()
  }

  get liveCount(): number {
    return this.#live.size
  }

  async #liveSession(id: SessionId): Promise<LiveSession> {
    const live = this.#live.get(id)
    if (live !== undefined && !live.isEnded) return live
    throw new SessionEnded({ session: id, status: (await this.#viewOf(id)).status })
  }

  async #viewOf(id: SessionId): Promise<SessionView> {
    const { get, journal, run } = this.#options
    if (!SESSION_ID_PATTERN.test(id) || (await run(journal.head(id))) === 0) {
      throw new SessionNotFound({ session: String(id).slice(0, 128), candidates: [] })
    }
    return get(id)
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  #ended(session: LiveSession): void {
    this.#forget(session)
    this.clients.ended(session.id)
    const { activeAt, state } = session
    this.recent.add(entryOf(state, activeAt), state.limits)
    const { journal, run, saveEnd } = this.#options
    const key = Buffer.from(session.id, "latin1")
    killPoint("summary.write.before")
    this.#save(
      saveEnd(session.id).then(async () => {
        killPoint("summary.write.after")
        // Brought back to life meanwhile, it has a row again, which must stay.
        if (!this.#live.has(session.id)) await run(journal.deleteRows(LIVE_SPACE, key, key))
      })
    )
  }

  async #saveState(state: SessionState): Promise<void> {
    killPoint("snapshot.write.before")
    await this.#options.saveState(state)
    killPoint("snapshot.write.after")
  }

  #forget(session: LiveSession): void {
    this.#live.delete(session.id)
    this.#options.journal.hot.forget(session.id)
    this.#hosts.release(session.id)
    this.#admission.release(session.id)
    this.timeouts.forget(session.id)
  }

  /** For whoever mends it; what was done instead lost nothing. Told once of a session, however often it is met. */
  defect(found: Omit<SessionEvent & { readonly _tag: "DefectDetected" }, "_tag">): void {
    const { journal, run } = this.#options
    const key = `${found.what} ${found.session}`
    if (this.#defects.has(key) || this.#defects.size >= DEFECTS_MAX) return
    this.#defects.add(key)
    const event = this.#storeEvent({ _tag: "DefectDetected", ...found })
    this.#inBackground(run(journal.append(STORE_STREAM, [event])).then(() => undefined))
  }

  /** Derived rows may fail and be late; a restart makes them again. */
  #save(saving: Promise<void>): void {
    const settled = saving.catch(() => undefined).finally(() => this.#saving.delete(settled))
    this.#saving.add(settled)
  }

  #inBackground(work: Promise<void>): void {
    // What can fail here (storage, keeper) is told to the engine by them, and taken up again then.
    this.#save(work)
  }

  #giveUpTakingBack(): void {
    this.#isStopping = true
    for (const timer of this.#takingBack.values()) clearTimeout(timer)
    this.#takingBack.clear()
    this.#stopSuspensions()
  }

  /** Sessions in keepers go on; sessions in this process are ended with their last word journaled. */
  async stop(reason: string): Promise<void> {
    this.#giveUpTakingBack()
    this.clients.close()
    if (this.#options.keeperEntry === undefined) {
      await Promise.allSettled([...this.#live.values()].map((session) => session.close({ actor: ACTOR_ENGINE })))
    }
    for (const session of this.#live.values()) session.pause()
    await this.#hosts.dispose()
    await Promise.allSettled([...this.#live.values()].map((session) => session.whenIdle()))
    while (this.#saving.size > 0) await Promise.all(this.#saving)
    const { journal, run } = this.#options
    await run(journal.append(STORE_STREAM, [this.#storeEvent({ _tag: "EngineStopped", reason })])).catch(
      () => undefined
    )
  }

  #storeEvent(event: SessionEvent): NewEvent {
    return { event, actor: ACTOR_ENGINE, timeMicros: this.#options.nowMicros() }
  }
}

const NO_BYTES = new Uint8Array(0)

/** What there is to say while the store has as many bytes as it may have. */
const quotaReached = (journal: JournalShape): { readonly max: number; readonly reason: string } | undefined => {
  const suspended = journal.suspended()
  return suspended?.quotaBytes === undefined ? undefined : { max: suspended.quotaBytes, reason: suspended.reason }
}

/** Loaded when a session has rules: an engine without such sessions does not have them. Throws InvalidRequest. */
const loadCapture = async (request: CaptureRequest): Promise<SessionCapture> => {
  const [{ captureRefusal }, { SessionCapture }] = await Promise.all([
    import("../capture/CaptureRule.ts"),
    import("../capture/SessionCapture.ts")
  ])
  const reason = captureRefusal(request)
  if (reason !== undefined) throw new InvalidRequest({ field: "redact", reason })
  return new SessionCapture(request)
}

/** A host that is gone is, to who asks, a session that cannot be used at the moment. */
const withoutHost = (session: SessionId, error: unknown): unknown =>
  error instanceof HostUnavailable ? new SessionUnavailable({ session, reason: error.message }) : error

const isStorage = (error: unknown): error is StorageUnavailable | JournalDamaged =>
  error instanceof Error && (error.name === "StorageUnavailable" || error.name === "JournalDamaged")

const inParallel = async <A>(
  items: ReadonlyArray<A>,
  limit: number,
  work: (item: A) => Promise<void>
): Promise<void> => {
  let next = 0
  const worker = async () => {
    while (next < items.length) await work(items[next++]!)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
}
