/**
 * The stream of one live session and the state that it makes: events are masked by the session's rules, told to the feed,
 * journaled, and folded in the order of their sequence once they are durable. A LiveSession, the output of its terminal and
 * its input write through it, so that one place decides the order. It knows no host and never decides what is journaled.
 *
 * Callbacks for output, promises for the rest: what is journaled of output costs no Effect, no string and no copy here.
 */
import {
  ACTOR_ENGINE,
  ACTOR_PROGRAM,
  type JournalEntry,
  type NewEvent,
  type OutputChannel,
  type SessionEvent,
  type SessionId
} from "../../journal/Event.ts"
import type { Appended, AppendOptions, HotJournal } from "../../journal/Journal.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import { SessionState } from "../../projections/SessionState.ts"
import type { Replaced, SessionCapture } from "../capture/SessionCapture.ts"
import type { Feed } from "./Feed.ts"
import { SessionUnavailable } from "./SessionError.ts"
import type { SessionExtension } from "./SessionExtension.ts"
import type { CommandOptions } from "./Sessions.ts"

/** Between snapshots of the session's state: a restart then folds at most this much of it (a few milliseconds). */
const SNAPSHOT_EVENTS = 2048
/** Stands for the bytes of an output event that is only counted: as long as the longest. */
const ANY_BYTES = new Uint8Array(64 * 1024)

type Rows = NonNullable<AppendOptions["rows"]>

export interface StreamPort {
  readonly journal: HotJournal
  readonly nowMicros: () => number
  /** The state as the journal has it. */
  readonly load: (session: SessionId) => Promise<SessionState>
  /** Where changes in the life of sessions are told to all. */
  readonly feed: Feed
  /** Keeps a snapshot of the state. Derived: it may fail, and it may be late. */
  readonly saveState: (state: SessionState) => void
}

/** The session whose stream it is. */
export interface StreamOwner {
  readonly extension: SessionExtension | undefined
  readonly capture: SessionCapture | undefined
  /** An append failed, and may be there all the same: nothing more is taken from the host. */
  pause(): void
  /** No append is under way any more: what was gathered meanwhile is the next. */
  appended(): void
  /** The state has gone on. */
  folded(): void
}

export class SessionStream {
  readonly id: SessionId
  state: SessionState
  readonly #port: StreamPort
  readonly #owner: StreamOwner
  /** Appends that are not durable yet. */
  #inFlight = 0
  /** Durable events whose turn has not come: the state folds them in the order of their sequence. */
  readonly #unfolded = new Map<number, JournalEntry>()
  /** Waits until no append is under way. */
  #idle: Array<() => void> = []
  #snapshotSequence = 0
  #isInDoubt = false

  constructor(id: SessionId, port: StreamPort, owner: StreamOwner) {
    this.id = id
    this.#port = port
    this.#owner = owner
    this.state = SessionState.initial(id)
  }

  /** An append failed, and may be there all the same: what the state says of the end is not sure until it is loaded. */
  get isInDoubt(): boolean {
    return this.#isInDoubt
  }

  get isIdle(): boolean {
    return this.#inFlight === 0
  }

  /** No append is under way. */
  async whenIdle(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** The state as the journal has it; nothing may be under way. */
  async load(): Promise<void> {
    this.state = await this.#port.load(this.id)
    this.#isInDoubt = false
    this.#unfolded.clear()
    this.#snapshotSequence = this.state.sequence
  }

  /** Earlier events were redacted: the texts of its state become those that are journaled now. */
  async redacted(): Promise<void> {
    const { argv, envNames, group, kernelCwd, name } = await this.#port.load(this.id)
    Object.assign(this.state, { argv, envNames, group, kernelCwd, name })
  }

  /** A text as the session's rules let it be journaled. */
  shown(text: string): string {
    return this.#owner.capture?.maskedText(text) ?? text
  }

  event(event: SessionEvent, options: CommandOptions = {}): NewEvent {
    return {
      event,
      actor: options.actor ?? ACTOR_ENGINE,
      commandId: options.commandId,
      timeMicros: this.#port.nowMicros()
    }
  }

  /** The first event of all, with the rows that are made of it as the journal has it. */
  create(created: JournalEntry, rowsOf: (journaled: JournalEntry) => Rows): Promise<Appended> {
    const given = [created]
    const events = this.#masked(given)
    return this.#append(given, { expected: 0, rows: rowsOf({ ...created, ...events[0] }) }, events)
  }

  /**
   * The events have their place in the stream when this returns, and are durable and folded when it resolves. Rejects with
   * SessionUnavailable when the storage is away.
   */
  append(given: ReadonlyArray<NewEvent>, options?: AppendOptions): Promise<Appended> {
    return this.#append(given, options)
  }

  async #append(
    given: ReadonlyArray<NewEvent>,
    options: AppendOptions | undefined,
    events = this.#masked(given)
  ): Promise<Appended> {
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
      this.#owner.pause()
      throw new SessionUnavailable({ session: this.id, reason: error.message })
    } finally {
      this.outputSettled()
      if (this.#inFlight === 0) this.#owner.appended()
    }
  }

  #masked(given: ReadonlyArray<NewEvent>): ReadonlyArray<NewEvent> {
    const { capture } = this.#owner
    if (capture === undefined) return given
    const { events, replaced } = capture.masked(given)
    if (replaced === undefined) return given
    // A command's standard input that is all of what is appended is given to it from here, and can be only once.
    const isStdin = given.every(({ event }) => event._tag === "CommandInputWritten")
    const told = this.event({
      _tag: "SecretsRedacted",
      what: isStdin ? "stdin" : "events",
      ...replaced,
      events: isStdin ? given.length : 0
    })
    return isEnd(given) ? [told, ...events] : [...events, told]
  }

  /** What was replaced in output: told with the output that is journaled next to it. */
  tellReplaced(replaced: Replaced): void {
    this.append([this.event({ _tag: "SecretsRedacted", what: "output", ...replaced, events: 0 })]).catch(
      () => undefined
    )
  }

  // --- output, which whoever has it appends to the journal himself: with one callback for each chunk ------------------

  /** Before output is appended. */
  outputBegun(): void {
    this.#inFlight++
  }

  /** In the callback of that append, before all else. */
  outputSettled(): void {
    this.#inFlight--
    if (this.#inFlight > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** It is durable. The fold counts bytes and does not look at them: a view of the right length stands for the chunks. */
  foldOutput(
    sequence: number,
    timeMicros: number,
    channel: OutputChannel,
    exec: number,
    offset: number,
    length: number
  ): void {
    const event: SessionEvent = { _tag: "OutputReceived", channel, exec, offset, data: ANY_BYTES.subarray(0, length) }
    this.#fold({ sequence, timeMicros, actor: ACTOR_PROGRAM, event })
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
      this.#owner.extension?.fold(next)
    }
    this.#owner.folded()
    if (this.state.sequence - this.#snapshotSequence < SNAPSHOT_EVENTS) return
    this.#snapshotSequence = this.state.sequence
    this.#port.saveState(this.state)
  }
}

/** Behind the last of these nothing may stand. */
const isEnd = (events: ReadonlyArray<NewEvent>): boolean => {
  const last = events.at(-1)?.event._tag
  return last === "SessionClosed" || last === "SessionLost"
}
