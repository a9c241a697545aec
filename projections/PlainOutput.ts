/**
 * For each session of an engine, since when its terminal was given nothing but plain text: the engine says so as it
 * journals, and drawing a screen (ScreenDrawing.ts) then leaves out what that text scrolled away without reading it. In
 * memory only: what is not known here is drawn event by event.
 */
import { Context } from "effect"
import type { SessionId } from "../journal/Event.ts"

/** Sessions remembered; more than an engine has at a time. One that is forgotten is known again at its next control sequence. */
const SESSIONS_MAX = 4096

class PlainSessions {
  readonly #after = new Map<SessionId, number>()

  /** The terminal's last change that was not plain text is this event, or none after it is known. */
  note(session: SessionId, sequence: number): void {
    if (this.#after.size >= SESSIONS_MAX && !this.#after.has(session)) {
      for (const oldest of this.#after.keys()) {
        this.#after.delete(oldest)
        break
      }
    }
    this.#after.set(session, sequence)
  }

  /** Everything after this event is plain, up to what is being journaled; undefined when that is not known. */
  after(session: SessionId): number | undefined {
    return this.#after.get(session)
  }
}

/** One for a process: sessions have names of their own. */
export const PlainOutput = Context.Reference<PlainSessions>("reprise/projections/PlainOutput", {
  defaultValue: () => new PlainSessions()
})
export type PlainOutput = PlainSessions
