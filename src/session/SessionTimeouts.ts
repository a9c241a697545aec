/**
 * Ends sessions that nobody attends to or that nothing happens in (`noClientMillis`, `idleMillis`). The engine owns one,
 * with one fiber that sleeps until the next deadline; a session has no timer. What happens in a session only moves its
 * deadline away, so nobody tells it: it is looked up when the deadline comes.
 *
 * Times are the engine's monotonic clock: the wall clock may jump without ending a session too early. Time without an
 * engine counts for nothing, since nobody could attach or type then; every deadline begins anew when an engine takes the
 * session back. So a session may live longer than its limit, once for each engine, and never shorter.
 */
import { Effect } from "effect"
import type { SessionId, SessionLimits } from "../../journal/Event.ts"
import type { Presence } from "./Clients.ts"

/** A session that must not be ended now, because a command runs or its journal is away, is looked at again after this. */
const AGAIN_MILLIS = 30_000
/** Between two looks at all sessions, some microseconds each: a timer that rings early, and timeouts of moments, must not spin. */
const SWEEP_MILLIS_MIN = 10

/** What is asked of a session. */
export interface TimedSession {
  readonly id: SessionId
  readonly state: { readonly limits: SessionLimits }
  readonly isEnded: boolean
  /** Last input or output on the monotonic clock; 0 before the first, kept only where there is an `idleMillis`. */
  readonly activeMillis: number
}

export interface TimeoutsPort {
  readonly monotonicMillis: () => number
  readonly presence: (session: SessionId) => Presence
  /** A command runs in it. Asked only when a deadline has come; rejects when that cannot be known now. */
  readonly isBusy: (session: SessionId) => Promise<boolean>
  /** Journals why and ends it. Rejects when it could not be done now. */
  readonly end: (session: SessionId, limit: "noClientMillis" | "idleMillis", value: number) => Promise<void>
}

interface Watched {
  readonly session: TimedSession
  /** When this engine began to count. */
  readonly sinceMillis: number
  /** Not before then can anything be due. */
  dueMillis: number
  /** It is being asked about, or ended. */
  isHandled: boolean
}

type Deadline = { readonly limit: "noClientMillis" | "idleMillis"; readonly value: number; readonly atMillis: number }

export class SessionTimeouts {
  readonly #port: TimeoutsPort
  readonly #watched = new Map<SessionId, Watched>()
  /** Deadlines changed since the last look. */
  #isChanged = false
  #wake: (() => void) | undefined

  constructor(port: TimeoutsPort) {
    this.#port = port
  }

  /** Counts from now, where the session has a timeout at all. A session that is watched already goes on as it was. */
  watch(session: TimedSession): void {
    const { idleMillis, noClientMillis } = session.state.limits
    if (session.isEnded || (idleMillis === undefined && noClientMillis === undefined)) return
    const before = this.#watched.get(session.id)
    if (before?.session === session) return
    const now = this.#port.monotonicMillis()
    this.#watched.set(session.id, { session, sinceMillis: now, dueMillis: now, isHandled: false })
    this.#changed()
  }

  forget(session: SessionId): void {
    this.#watched.delete(session)
  }

  /** The one fiber: runs until it is interrupted. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function* () {
    const change = Effect.callback<void>((resume) => {
      this.#wake = () => resume(Effect.void)
      if (this.#isChanged) this.#wake()
    })
    while (true) {
      this.#isChanged = false
      const waitMillis = this.sweep()
      yield* waitMillis === undefined ? change : Effect.raceFirst(Effect.sleep(waitMillis), change)
    }
  })

  /** Looks at what is due, and answers how long nothing else can be; undefined when nothing is watched. */
  sweep(): number | undefined {
    const now = this.#port.monotonicMillis()
    let next = Number.POSITIVE_INFINITY
    for (const watched of this.#watched.values()) {
      if (watched.isHandled) continue
      if (watched.dueMillis <= now) {
        const deadline = this.#deadline(watched, now)
        watched.dueMillis = deadline.atMillis
        if (deadline.atMillis <= now) {
          watched.isHandled = true
          this.#handle(watched)
          continue
        }
      }
      next = Math.min(next, watched.dueMillis)
    }
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(SWEEP_MILLIS_MIN, Math.ceil(next - now))
  }

  /** The earliest moment at which it may be ended, if nothing happens from now on. */
  #deadline({ session, sinceMillis }: Watched, now: number): Deadline {
    const { evenWhenAttached = false, idleMillis, noClientMillis } = session.state.limits
    const { clients, emptySinceMillis } = this.#port.presence(session.id)
    const unattended = clients > 0 ? now : Math.max(sinceMillis, emptySinceMillis ?? sinceMillis)
    const idle = Math.max(session.activeMillis, evenWhenAttached ? sinceMillis : unattended)
    const deadlines: Array<Deadline> = []
    if (noClientMillis !== undefined) {
      deadlines.push({ limit: "noClientMillis", value: noClientMillis, atMillis: unattended + noClientMillis })
    }
    if (idleMillis !== undefined)
      deadlines.push({ limit: "idleMillis", value: idleMillis, atMillis: idle + idleMillis })
    return deadlines.reduce((first, other) => (other.atMillis < first.atMillis ? other : first))
  }

  async #handle(watched: Watched): Promise<void> {
    const { session } = watched
    const { id } = session
    try {
      const isBusy = session.state.limits.evenWhenBusy !== true && (await this.#port.isBusy(id))
      // Asking took a moment, in which somebody may have come.
      const now = this.#port.monotonicMillis()
      const { atMillis, limit, value } = this.#deadline(watched, now)
      if (atMillis > now) watched.dueMillis = atMillis
      else if (isBusy) watched.dueMillis = now + AGAIN_MILLIS
      else {
        await this.#port.end(id, limit, value)
        // Told to end and still there: it is looked at again, as after a failure.
        watched.dueMillis = this.#port.monotonicMillis() + AGAIN_MILLIS
      }
    } catch {
      watched.dueMillis = this.#port.monotonicMillis() + AGAIN_MILLIS
    }
    watched.isHandled = false
    if (this.#watched.get(id) === watched) this.#changed()
  }

  #changed(): void {
    this.#isChanged = true
    this.#wake?.()
  }
}
