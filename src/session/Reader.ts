/**
 * Who asks for history, and for what: what an access is told as in the store's own stream. A server puts there what its
 * client calls itself; in a process that reads for itself it is what that process says. It grants and refuses nothing.
 */
import { Context } from "effect"

export interface ReaderShape {
  /** The program, such as `cli`; a client behind a door is `NAME over WebSocket`. */
  readonly through: string
  /** The work that the reading is for, such as `export`; absent: the call says it (`read`, `follow`, `inspect`). */
  readonly what?: string | undefined
  readonly reason?: string | undefined
}

/** Longest name, work and reason that are kept of what a client says of itself. */
export const READER_TEXT_LENGTH_MAX = 1000

export const Reader: Context.Reference<ReaderShape> = Context.Reference("reprise/session/Reader", {
  defaultValue: (): ReaderShape => ({ through: "engine" })
})
