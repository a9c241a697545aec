/**
 * A Promise client of the engine: terminals, and what is told of sessions. For programs that do not use Effect; those
 * that do take the services from `reprise` and `reprise/remote`. This file is the promise; `LiveClient.ts` keeps it.
 * Everything here rejects with `RepriseError`, Unavailable when the engine cannot be reached for good.
 */

import type { ClientSearch, SearchItem } from "./ClientSearch.ts"
import type { EngineInfo, LifecycleEvent, LiveSession, SessionInfo, SessionUsage } from "./SessionInfo.ts"
import type { Shell, ShellOptions } from "./Shell.ts"
import type { ReconnectOptions, Terminal, TerminalOptions } from "./Terminal.ts"

/** `await using` closes it. */
export interface Client extends AsyncDisposable {
  /**
   * Starts a program in a new terminal session and attaches to it. InvalidArgument: program, folder or an option is wrong,
   * found before anything was started. ResourceExhausted: too many sessions live, in all or in the group.
   */
  terminal(options?: TerminalOptions): Promise<Terminal>
  /** Attaches to a session, live or ended: an id, a unique beginning of one, a name, or `last`. NotFound: none of them. */
  reconnectTerminal(session: string, options?: ReconnectOptions): Promise<Terminal>
  /** Starts a shell that takes commands, and waits until it does. InvalidArgument: it cannot be started. */
  shell(options?: ShellOptions): Promise<Shell>
  /** All sessions of the store, newest first. */
  list(): Promise<ReadonlyArray<SessionInfo>>
  /** Those that live, and those that ended a short while ago. */
  live(): Promise<ReadonlyArray<LiveSession>>
  /** FailedPrecondition: the session has ended. */
  usage(session: string): Promise<SessionUsage>
  /**
   * What happens to all sessions, in order, each event once; ends with the client. `after`: first what came after that
   * position (0: from the beginning). Absent: what happens from the first `next` on.
   */
  lifecycle(after?: number): AsyncIterableIterator<LifecycleEvent>
  /**
   * Lines that were printed, typed or run, in the sessions in which something happened last first, and of each the last lines
   * first. InvalidArgument: the pattern is none, or takes too long. A part that cannot be read is told as `Gap`.
   */
  search(query: ClientSearch): AsyncIterableIterator<SearchItem>
  status(): Promise<EngineInfo>
  /** Leaves its terminals and ends its loops. Sessions go on as far as their limits let them. Twice is fine; anything else is FailedPrecondition from then on. */
  close(): Promise<void>
}
