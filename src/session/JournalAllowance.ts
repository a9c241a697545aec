/**
 * The limit of what one session may journal: when more is there, its session is to be ended, and until it is, the host is
 * told of nothing that is durable, so that it holds the program back. It ends nothing and takes nothing from anybody.
 *
 * What is journaled beyond the limit is what was on its way when it was reached: at most what a host delivers without an
 * acknowledgement (OUTPUT_HELD_BYTES_HIGH of the terminal, as much of each stream of a command) and one write.
 */
import type { SessionId, SessionLimits } from "../../journal/Event.ts"
import type { SessionState } from "../../projections/SessionState.ts"
import type { PtyHost } from "../keeper/PtyHost.ts"
import { LimitExceeded } from "./SessionError.ts"

/** The session whose limit it is. */
export interface AllowanceOwner {
  readonly id: SessionId
  readonly state: SessionState
  readonly host: PtyHost | undefined
  readonly isRunning: boolean
  limitReached(limit: keyof SessionLimits, value: number): void
}

export class JournalAllowance {
  readonly #owner: AllowanceOwner
  #isUsedUp = false
  /** By pipe, what was not acknowledged for that. */
  readonly #unackedPipes = new Map<number, number>()

  constructor(owner: AllowanceOwner) {
    this.#owner = owner
  }

  /** Nothing is acknowledged. */
  get isUsedUp(): boolean {
    return this.#isUsedUp
  }

  /** The state has gone on. */
  check(): void {
    const { journaledBytes, limitReached, limits } = this.#owner.state
    const { journalBytes } = limits
    if (journalBytes === undefined || journaledBytes <= journalBytes || this.#isUsedUp || limitReached !== null) return
    if (!this.#owner.isRunning) return
    this.#isUsedUp = true
    this.#owner.limitReached("journalBytes", journalBytes)
  }

  /** Throws LimitExceeded. */
  checkRoom(): void {
    if (!this.#isUsedUp) return
    const { id, state } = this.#owner
    const max = state.limits.journalBytes ?? 0
    const reason = `session ${id}: its journal has the ${max} bytes it may have, and it is being ended`
    throw new LimitExceeded({ limit: "journal bytes", max, reason })
  }

  /** What is durable of a pipe of a command. */
  ackPipe(pipe: number, offset: number): void {
    if (this.#isUsedUp) this.#unackedPipes.set(pipe, offset)
    else this.#owner.host?.ackPipe(this.#owner.id, pipe, offset)
  }

  /** Nothing of it runs any more: the rest of its output is what the kernel still holds. False: nothing was held back. */
  release(): boolean {
    if (!this.#isUsedUp) return false
    this.#isUsedUp = false
    for (const [pipe, offset] of this.#unackedPipes) this.ackPipe(pipe, offset)
    this.#unackedPipes.clear()
    return true
  }

  /** The session is read from the journal again. */
  forget(): void {
    this.#unackedPipes.clear()
    this.#isUsedUp = false
  }
}
