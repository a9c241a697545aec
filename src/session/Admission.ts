/**
 * How many sessions an engine has, in all and of each group, and whether there is room for one more. `EngineCore` asks it
 * before a session is journaled or forked, and tells it of every end. It counts; it knows nothing else of a session.
 *
 * A session counts from the request that makes it to its last word, also while its program has ended and its terminal is
 * still held by a child. One that comes back (an engine's start, a lost shell brought back) is never refused, it counts.
 */
import type { SessionId } from "../../journal/Event.ts"
import type { EngineLimits } from "./EngineLimits.ts"
import { LimitExceeded } from "./SessionError.ts"

export class Admission {
  readonly #limits: Pick<EngineLimits, "sessions" | "sessionsPerGroup">
  /** By session, its group. */
  readonly #groupOf = new Map<SessionId, string | null>()
  readonly #counts = new Map<string, number>()

  constructor(limits: Pick<EngineLimits, "sessions" | "sessionsPerGroup">) {
    this.#limits = limits
  }

  get count(): number {
    return this.#groupOf.size
  }

  /** Counts the session, or throws LimitExceeded. One that is counted already is left as it is. */
  admit(session: SessionId, group: string | null): void {
    if (this.#groupOf.has(session)) return
    const { sessions, sessionsPerGroup } = this.#limits
    if (this.#groupOf.size >= sessions) {
      const reason = `${sessions} sessions live, as many as this engine may have; end one, or raise limits.sessions in the store's config.json`
      throw new LimitExceeded({ limit: "sessions", max: sessions, reason })
    }
    if (group !== null && (this.#counts.get(group) ?? 0) >= sessionsPerGroup) {
      const reason = `${sessionsPerGroup} sessions of group "${group}" live, as many as a group may have; end one, or raise limits.sessionsPerGroup in the store's config.json`
      throw new LimitExceeded({ limit: "group", max: sessionsPerGroup, reason })
    }
    this.keep(session, group)
  }

  /** Counts a session that is there, whatever the limits. */
  keep(session: SessionId, group: string | null): void {
    this.release(session)
    this.#groupOf.set(session, group)
    if (group !== null) this.#counts.set(group, (this.#counts.get(group) ?? 0) + 1)
  }

  release(session: SessionId): void {
    const group = this.#groupOf.get(session)
    if (group === undefined) return
    this.#groupOf.delete(session)
    if (group === null) return
    const left = this.#counts.get(group)! - 1
    if (left === 0) this.#counts.delete(group)
    else this.#counts.set(group, left)
  }
}
