/**
 * What may live on top of a terminal's session: exec. A LiveSession tells it what happens, in order; it journals through
 * that session and never past it, so that one place decides the order of a stream. It owns no terminal and no journal.
 */
import type { JournalEntry, NewEvent } from "../../journal/Event.ts"
import type { LeaderExit, PtyHost } from "../keeper/PtyHost.ts"

/** Why nothing more will come from the session's processes. */
export type LastWord = { readonly _tag: "Lost" } | { readonly _tag: "Ended"; readonly exit: LeaderExit | undefined }

export interface SessionExtension {
  /** Reads what it knows anew from the journal: the session is being taken back, and nothing is in flight. */
  load(): Promise<void>
  /** The session's host is known, and nothing of it is delivered yet. */
  adopting(host: PtyHost): Promise<void>
  /** The session was taken back and its terminal is delivered again. */
  adopted(): Promise<void>
  /** The next durable event of the stream. */
  fold(entry: JournalEntry): void
  /**
   * Bytes of the terminal, before they are journaled; valid during the call. Answers those to journal: of the same number,
   * less what is held back because a secret may begin there.
   */
  terminalOutput(bytes: Uint8Array): Uint8Array
  readonly terminalHeldBytes: number
  /** A command runs, waits for its turn, or the shell is being brought back. */
  readonly isBusy: boolean
  /** What was held back, when nothing can follow. */
  terminalRest(): Uint8Array
  pipeOutput(pipe: number, offset: number, bytes: Uint8Array): void
  pipeEnded(pipe: number, bytes: number): void
  /** The program ended and LeaderExited is journaled. The session stays open until the extension ends it or starts another. */
  leaderExited(exit: LeaderExit): void
  /** Nothing is taken from the host until the session is adopted again. */
  paused(): void
  /** What the session's rules have to remember for the next engine has changed: it is in the extension's own note. */
  saveNote(): void
  /** The session's processes are about to be ended by command. */
  closing(): void
  /** Events to journal in the same batch as the session's end. */
  lastWords(why: LastWord): ReadonlyArray<NewEvent>
  /** The session is closed or lost, and journaled so. */
  ended(): void
}
