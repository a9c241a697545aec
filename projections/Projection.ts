/**
 * What a projection is: a pure fold of one stream's events into a state. No clock, no randomness, no I/O, so that the
 * same events give the same state in every version and on every machine. The runner (ProjectionRunner.ts) feeds it,
 * keeps snapshots of it and answers "what was the state at …".
 */
import type { JournalEntry, SessionId } from "../journal/Event.ts"
import type { TextMask } from "./TextMask.ts"

export interface Projection<State> {
  /** Names the projection in snapshots: lower case, at most 32 characters. */
  readonly name: string
  /** Raised when the meaning or the shape of the state changes: older snapshots are then ignored and rebuilt. */
  readonly version: number
  initial(stream: SessionId): State
  /** Gives the next state. The state handed in is not used again by the runner, so it may be changed in place. */
  fold(state: State, entry: JournalEntry): State
  /** A snapshot is never the truth: anything that does not decode is ignored. */
  encode(state: State): Uint8Array
  /** Throws on anything that this version's `encode` did not write. */
  decode(bytes: Uint8Array): State
  /**
   * The same of what an earlier version's `encode` wrote (undefined: not a version it knows), for states that stand for
   * removed events (BaseState.ts) and cannot be folded again. Needed from the first version that follows one with such states.
   */
  upcast?(version: number, bytes: Uint8Array): State | undefined
  /**
   * The state without texts that are to go: of what a program or a person wrote, never of ids, numbers and words of our own,
   * which its readers go by. Needed of every projection that stands for removed events. The state handed in is not used again.
   */
  mask?(state: State, mask: TextMask): State
}
