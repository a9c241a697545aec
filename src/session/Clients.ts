/**
 * Who is attached to which session: the engine's memory of it. `AttachEngine` tells it who comes and goes, the commands
 * of `Sessions` ask it whether their client may act, the timeouts ask it how long nobody has been there. It journals a
 * client's coming and going while the session lives and never after its last word; it holds no stream and no socket.
 */
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { AccessDenied, LimitExceeded } from "./SessionError.ts"

/**
 * A client whose connection broke is expected back for this long, a little longer than a client tries to connect again
 * (Reconnecting.ts). Until then it is attached, keeps its lease, and its return is neither a leave nor a coming.
 */
export const RETURN_MILLIS = 5000

export interface ClientsOptions {
  readonly monotonicMillis: () => number
  /** Clients of one session, those expected back among them (EngineLimits.clientsPerSession). */
  readonly clientsMax: number
  /** RETURN_MILLIS if absent. */
  readonly returnMillis?: number | undefined
  /** The session is neither closed nor lost. */
  readonly isLive: (session: SessionId) => boolean
  /** Journals the event if the session lives; false when nothing was journaled. Never rejects. */
  readonly journal: (session: SessionId, event: SessionEvent, client: string) => Promise<boolean>
  /** Told of what a client was not let do, before that is thrown. */
  readonly refused?: ((error: AccessDenied, client: string | undefined) => void) | undefined
}

export interface ClientTerms {
  readonly client: string
  readonly readOnly: boolean
  /** The writer's lease. */
  readonly exclusive: boolean
}

/** How many clients a session has, those expected back among them; and since when there are none. */
export interface Presence {
  readonly clients: number
  /** On the engine's monotonic clock, when the last one left; null while there are any, and when none has come since this engine started. */
  readonly emptySinceMillis: number | null
}

/** One client at one session. */
export interface Attachment extends ClientTerms {
  /** Its stream has ended. `isBroken`: it did not leave, its connection broke, so it is expected back. */
  leave(isBroken: boolean): void
}

interface Held {
  terms: ClientTerms
  /** Ends the stream of the connection that holds it; undefined while it is expected back. */
  replace: (() => void) | undefined
  /** The journal has its coming, and nothing since that ends it. */
  isJournaled: boolean
  timer: NodeJS.Timeout | undefined
}

interface AtSession {
  /** By name, in the order of their coming. */
  readonly held: Map<string, Held>
  emptySinceMillis: number | null
}

export class Clients {
  readonly #options: ClientsOptions
  readonly #sessions = new Map<SessionId, AtSession>()

  constructor(options: ClientsOptions) {
    this.#options = options
  }

  presence(session: SessionId): Presence {
    const at = this.#sessions.get(session)
    return at === undefined
      ? { clients: 0, emptySinceMillis: null }
      : { clients: at.held.size, emptySinceMillis: at.held.size > 0 ? null : at.emptySinceMillis }
  }

  list(session: SessionId): ReadonlyArray<{ readonly client: string; readonly readOnly: boolean }> {
    const at = this.#sessions.get(session)
    return at === undefined
      ? []
      : Array.from(at.held.values(), ({ terms: { client, readOnly } }) => ({ client, readOnly }))
  }

  /**
   * Takes the client in, in the place of an earlier connection of its name, whose `replaced` is called. When it resolves,
   * its coming is journaled. Rejects with LimitExceeded, and with AccessDenied when another client has the lease it asks for.
   */
  async attach(session: SessionId, terms: ClientTerms, replaced: () => void): Promise<Attachment> {
    const { client } = terms
    const at = this.#sessions.get(session) ?? { held: new Map<string, Held>(), emptySinceMillis: null }
    if (terms.exclusive) this.#checkLease(session, at, client)
    const before = at.held.get(client)
    if (before === undefined) this.#makeRoom(session, at)
    this.#sessions.set(session, at)
    const held: Held = { terms, replace: replaced, isJournaled: false, timer: undefined }
    // It keeps its place: those who came before it stay before it.
    at.held.set(client, held)
    if (before !== undefined) {
      clearTimeout(before.timer)
      held.isJournaled = before.isJournaled && before.terms.readOnly === terms.readOnly
      before.replace?.()
    }
    if (!held.isJournaled) await this.#journalComing(session, held)
    return { ...terms, leave: (isBroken) => this.#leave(session, at, held, isBroken) }
  }

  /** Throws AccessDenied when this client, or whoever has no name, may not act on the session. */
  checkWriter(session: SessionId, client: string | undefined): void {
    const at = this.#sessions.get(session)
    if (at === undefined) return
    this.checkNotReadOnly(session, client)
    this.#checkLease(session, at, client)
  }

  /** The lease is about writing: whoever may write may also end the session. */
  checkNotReadOnly(session: SessionId, client: string | undefined): void {
    if (client !== undefined && this.#sessions.get(session)?.held.get(client)?.terms.readOnly === true) {
      this.#refuse(session, client, `client "${client}" is attached read-only`)
    }
  }

  /** Another client has the lease. */
  isLeasedToOther(session: SessionId, client: string): boolean {
    const at = this.#sessions.get(session)
    return at !== undefined && otherLeaseholder(at, client) !== undefined
  }

  /** The session's interruption is journaled, which ends every coming in its journal. */
  interrupted(session: SessionId): void {
    for (const held of this.#sessions.get(session)?.held.values() ?? []) held.isJournaled = false
  }

  /** The session was taken back: those who are there, and did not come since, are told again. */
  async resumed(session: SessionId): Promise<void> {
    const comings: Array<Promise<void>> = []
    for (const held of this.#sessions.get(session)?.held.values() ?? []) {
      if (held.replace !== undefined && !held.isJournaled) comings.push(this.#journalComing(session, held))
    }
    await Promise.all(comings)
  }

  /** Its last word is journaled: who is expected back will find it ended. */
  ended(session: SessionId): void {
    const at = this.#sessions.get(session)
    if (at === undefined) return
    for (const [client, held] of at.held) {
      held.isJournaled = false
      if (held.replace !== undefined) continue
      clearTimeout(held.timer)
      at.held.delete(client)
    }
    if (at.held.size === 0) this.#sessions.delete(session)
    else at.emptySinceMillis = null
  }

  /** Forgets everybody, without a word in the journal: the engine's next start interrupts every session. */
  close(): void {
    for (const { held } of this.#sessions.values()) for (const { timer } of held.values()) clearTimeout(timer)
    this.#sessions.clear()
  }

  #checkLease(session: SessionId, at: AtSession, client: string | undefined): void {
    const leaseholder = otherLeaseholder(at, client)
    if (leaseholder === undefined) return
    this.#refuse(session, client, `client "${leaseholder}" has it to itself until it detaches`)
  }

  #refuse(session: SessionId, client: string | undefined, reason: string): never {
    const error = new AccessDenied({ session, reason })
    this.#options.refused?.(error, client)
    throw error
  }

  #makeRoom(session: SessionId, at: AtSession): void {
    const { clientsMax } = this.#options
    if (at.held.size < clientsMax) return
    for (const held of at.held.values()) {
      if (held.replace !== undefined) continue
      this.#remove(session, at, held)
      return
    }
    throw new LimitExceeded({
      limit: "clients",
      max: clientsMax,
      reason: `session ${session}: ${clientsMax} clients are attached; detach one and try again`
    })
  }

  async #journalComing(session: SessionId, held: Held): Promise<void> {
    const { client, readOnly } = held.terms
    held.isJournaled = true
    const isJournaled = await this.#options.journal(session, { _tag: "ClientAttached", client, readOnly }, client)
    if (!isJournaled) held.isJournaled = false
  }

  #leave(session: SessionId, at: AtSession, held: Held, isBroken: boolean): void {
    // Replaced by a later connection, or forgotten.
    if (this.#sessions.get(session) !== at || at.held.get(held.terms.client) !== held) return
    held.replace = undefined
    if (!isBroken || !this.#options.isLive(session)) {
      this.#remove(session, at, held)
      return
    }
    held.timer = setTimeout(() => this.#remove(session, at, held), this.#options.returnMillis ?? RETURN_MILLIS)
    held.timer.unref()
  }

  #remove(session: SessionId, at: AtSession, held: Held): void {
    const { client } = held.terms
    clearTimeout(held.timer)
    at.held.delete(client)
    if (at.held.size === 0) {
      at.emptySinceMillis = this.#options.monotonicMillis()
      // Of a session that has ended nothing is remembered.
      if (!this.#options.isLive(session)) this.#sessions.delete(session)
    }
    if (held.isJournaled) this.#options.journal(session, { _tag: "ClientDetached", client }, client)
  }
}

/** Who has the lease, unless it is this client itself. */
const otherLeaseholder = (at: AtSession, client: string | undefined): string | undefined => {
  for (const { terms } of at.held.values()) {
    if (terms.exclusive) return terms.client === client ? undefined : terms.client
  }
  return undefined
}
