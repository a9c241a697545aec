/**
 * Attaching: a client that follows a session and takes part in it. Any number at once; each gets every byte, in order,
 * and the end after the last byte. A slow client delays nobody: it pages from the journal. This file is the promise;
 * `AttachEngine.ts` keeps it. Reading without being counted is `History.follow`.
 */
import { Context, type Exit, Schema, type Stream } from "effect"
import { type SessionId, TerminalSize } from "../../journal/Event.ts"
import { OutputBytes, OutputEnded, OutputMissing, ProgramExited, SizeChanged } from "./OutputItem.ts"
import type {
  AccessDenied,
  HistoryDamaged,
  InvalidRequest,
  LimitExceeded,
  SessionNotFound,
  SessionUnavailable
} from "./SessionError.ts"
import { SessionStatus } from "./SessionView.ts"

export interface AttachOptions {
  /** Exclusive: everything after this event is replayed. Absent: a screen instead, and what happened after it. */
  readonly after?: number | undefined
  /** 1 to 64 printable ASCII characters, its own choice; one is made when absent. The same name again takes the place of the earlier connection, which fails with AccessDenied. */
  readonly client?: string | undefined
  /** Its writes, resizes and signals are refused (AccessDenied), and it may not close the session. */
  readonly readOnly?: boolean | undefined
  /** The writer's lease: while it is attached no other client may write, resize, signal or close the input. Refused when another has it. */
  readonly exclusive?: boolean | undefined
  /** Of the client's own window: the session is resized to it first (the last one wins), and the screen is drawn for it. Where the client is read-only or another has the lease, it is only drawn for. */
  readonly size?: { readonly cols: number; readonly rows: number } | undefined
  /** Lines above the screen that are drawn with it. Default 256, as many as are kept. */
  readonly scrollback?: number | undefined
  /** Set by a door: whether this end of the stream is a broken connection. Its client did not leave: it is expected back. */
  readonly isBroken?: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
}

/** The first item. Comes again after a broken connection was made anew. */
export const Attached = Schema.TaggedStruct("Attached", {
  session: Schema.String,
  client: Schema.String,
  status: SessionStatus,
  size: TerminalSize,
  /** Last event of the session at that moment. */
  head: Schema.Int,
  readOnly: Schema.Boolean
})
/**
 * Bytes that draw the screen as it was after `sequence` on any terminal. What follows is replayed from there: usually
 * nothing. Empty where no screen can be drawn: then everything is replayed.
 */
const ScreenDrawn = Schema.TaggedStruct("Screen", {
  data: Schema.Uint8Array,
  size: TerminalSize,
  sequence: Schema.Int,
  /** Why it is not the newest screen; null when it is. */
  reason: Schema.NullOr(Schema.String)
})
/** All that had happened when the client attached was sent; what follows is live. */
export const ReplayComplete = Schema.TaggedStruct("ReplayComplete", { sequence: Schema.Int })

/** Ends with exactly one Ended, unless its reader stops or it fails. */
export const AttachItem = Schema.Union([
  Attached,
  ScreenDrawn,
  OutputBytes,
  SizeChanged,
  ReplayComplete,
  ProgramExited,
  OutputMissing,
  OutputEnded
]).pipe(Schema.toTaggedUnion("_tag"))
export type AttachItem = typeof AttachItem.Type

export type AttachError =
  | SessionNotFound
  | InvalidRequest
  | LimitExceeded
  | AccessDenied
  | SessionUnavailable
  | HistoryDamaged

export interface AttachShape {
  /** The client is attached while the stream is read. One chunk of the stream is one page. */
  attach(session: SessionId, options?: AttachOptions): Stream.Stream<AttachItem, AttachError>
}

export class Attach extends Context.Service<Attach, AttachShape>()("reprise/session/Attach") {}
