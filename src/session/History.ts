/**
 * Reading sessions: the part of the engine that needs only the journal. The engine serves it to its clients; the CLI
 * uses it directly on a store whose engine is not running. It changes nothing, and starts no process.
 */
import { Context, type Effect, type Stream } from "effect"
import type { JournalEntry, SessionId, TerminalSize } from "../../journal/Event.ts"
import type {
  HistoryDamaged,
  HistoryRemoved,
  InvalidRequest,
  SessionNotFound,
  SessionUnavailable
} from "./SessionError.ts"
import type { HistoryPoint, ScreenRedraw, SessionSnapshot, SessionView } from "./SessionView.ts"

/** Marks the place where history ends and the live part begins. */
export interface FollowSynced {
  readonly _tag: "Synced"
  readonly sequence: number
}
/** Contiguous events, at most a page (PAGE_EVENTS_MAX, PAGE_BYTES_MAX), never empty. */
export interface FollowPage {
  readonly _tag: "Page"
  readonly entries: ReadonlyArray<JournalEntry>
}
export type FollowEvents = FollowPage | FollowSynced

export interface RedrawOptions {
  readonly target?: TerminalSize | undefined
  readonly scrollback?: number | undefined
}

export interface HistoryShape {
  /** Newest first; without those of which everything was removed: `get` knows them by their id. */
  readonly list: Effect.Effect<ReadonlyArray<SessionView>, SessionUnavailable>
  /** An id, a unique prefix of one, a name (the newest session of that name), or `last` (the newest session). */
  resolve(reference: string): Effect.Effect<SessionId, SessionNotFound | SessionUnavailable>
  get(session: SessionId): Effect.Effect<SessionView, SessionNotFound | SessionUnavailable>
  /** The session and its screen as they were at a point. Damage after the point does not matter; damage before it is told. */
  stateAt(
    session: SessionId,
    point: HistoryPoint
  ): Effect.Effect<
    SessionSnapshot,
    SessionNotFound | InvalidRequest | SessionUnavailable | HistoryDamaged | HistoryRemoved
  >
  /**
   * Bytes that draw the screen as it was at a point, for a terminal of `target`'s size (the session's own if absent), with up
   * to `scrollback` lines above it (default 256). It may be of an earlier event, or of none: see ScreenRedraw.
   */
  redraw(
    session: SessionId,
    point: HistoryPoint,
    options?: RedrawOptions
  ): Effect.Effect<ScreenRedraw, SessionNotFound | InvalidRequest | SessionUnavailable | HistoryDamaged>
  /**
   * Finite: what is there now, after `after` (exclusive) and up to `until` (inclusive). One chunk of the stream is one page.
   * InvalidRequest: `after` is behind the last event.
   */
  events(
    session: SessionId,
    options?: { readonly after?: number | undefined; readonly until?: number | undefined }
  ): Stream.Stream<JournalEntry, SessionNotFound | InvalidRequest | SessionUnavailable | HistoryDamaged>
  /**
   * Everything after `after` (exclusive), then Synced, then live, gap-free and without duplicates; a slow reader delays
   * nobody. Ends after SessionClosed or SessionLost was delivered, or at once where one stands before `after`; goes on behind
   * the loss of a session that has come back to life by then. InvalidRequest: `after` is behind the last event.
   */
  follow(
    session: SessionId,
    after: number
  ): Stream.Stream<FollowEvents, SessionNotFound | InvalidRequest | SessionUnavailable | HistoryDamaged>
}

export class History extends Context.Service<History, HistoryShape>()("reprise/session/History") {}
