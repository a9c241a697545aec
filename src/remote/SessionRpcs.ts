/**
 * The contract between clients and the engine: everything of `Sessions`, `History` and `SessionOutput` as one RpcGroup.
 * EngineServer.ts serves it, EngineClient.ts turns it back into those services. It holds no behaviour.
 *
 * Evolution: a method, or a field that may be absent, may be added (unknown methods fail one call, not the connection) and
 * raises PROTOCOL_REVISION; whatever else changes raises PROTOCOL_VERSION. `Handshake` and `Stop` get no more than fields
 * that may be absent, so that any client can tell, and end, any engine.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { JournalEntry, SessionId, SignalTarget, TerminalSize } from "../../journal/Event.ts"
import { CaptureRequest } from "../capture/CaptureRequest.ts"
import { AttachItem } from "../session/Attach.ts"
import { EngineLimits } from "../session/EngineLimits.ts"
import { LifecycleItem, LiveEntry, SessionUsage } from "../session/Lifecycle.ts"
import { OutputItem } from "../session/OutputItem.ts"
import {
  AccessDenied,
  HistoryDamaged,
  HistoryRemoved,
  InputRefused,
  InvalidRequest,
  LimitExceeded,
  SessionEnded,
  SessionNotFound,
  SessionUnavailable,
  SpawnFailed
} from "../session/SessionError.ts"
import { HistoryPoint, ScreenRedraw, SessionSnapshot, SessionView } from "../session/SessionView.ts"

export const PROTOCOL_VERSION = 1
/**
 * Raised with each addition within the version, so that a client can tell what an engine does not know. An engine that
 * says none has none of what was added since.
 */
export const PROTOCOL_REVISION = 7

/** The first that takes rules at capture: an earlier one would not know that it is to keep something out. */
export const CAPTURE_REVISION = 4
/** The first that can only look for what a redaction would change: an earlier one would change it. */
export const REDACT_DRY_RUN_REVISION = 7

/** The first of a client that knows of `Events`, `Follow` and `Output` that they refuse a request. */
export const CURSOR_REVISION = 7

/** One message on the socket. Above the largest input a terminal queues (8 MiB) and any argument list (2 MiB on Linux). */
export const FRAME_BYTES_MAX = 9 * 1024 * 1024
/** One write: the input a session may queue. A larger one would not fit in a message and is refused by the client. */
export const WRITE_BYTES_MAX = 8 * 1024 * 1024

/** Loose on purpose: what is wrong with a request is told by the engine as InvalidRequest, not by a decoder as a defect. */
export const LooseSize = Schema.Struct({ cols: Schema.Number, rows: Schema.Number })

/** As SessionLimits. */
export const LooseLimits = Schema.Struct({
  inputChunkBytes: Schema.optionalKey(Schema.Number),
  noClientMillis: Schema.optionalKey(Schema.Number),
  idleMillis: Schema.optionalKey(Schema.Number),
  retentionMillis: Schema.optionalKey(Schema.Number),
  journalBytes: Schema.optionalKey(Schema.Number),
  evenWhenBusy: Schema.optionalKey(Schema.Boolean),
  evenWhenAttached: Schema.optionalKey(Schema.Boolean)
})

const CommandFields = {
  actor: Schema.optional(Schema.String),
  commandId: Schema.optional(Schema.String),
  client: Schema.optional(Schema.String)
}

const Survivors = Schema.Array(Schema.Struct({ pid: Schema.Int, command: Schema.String }))

const EngineStatusSchema = Schema.Struct({
  enginePid: Schema.Int,
  version: Schema.String,
  node: Schema.String,
  store: Schema.String,
  socket: Schema.String,
  durability: Schema.Literals(["process", "power"]),
  startedAt: Schema.Finite,
  /** Not told by engines of the first releases. Without the key and not undefined: that would be another encoding. */
  limits: Schema.optionalKey(EngineLimits),
  keepers: Schema.Array(Schema.Struct({ id: Schema.String, pid: Schema.Int, sessions: Schema.Array(Schema.String) })),
  sessions: Schema.Struct({ total: Schema.Int, live: Schema.Int }),
  suspended: Schema.NullOr(Schema.Struct({ reason: Schema.String, diskFull: Schema.Boolean, since: Schema.Finite })),
  damages: Schema.Array(
    Schema.Struct({
      stream: Schema.String,
      from: Schema.Int,
      to: Schema.NullOr(Schema.Int),
      reason: Schema.String
    })
  )
})

/** One page of events. */
const EventPage = Schema.Array(JournalEntry)
const FollowItem = Schema.Union([
  Schema.TaggedStruct("Page", { entries: EventPage }),
  Schema.TaggedStruct("Synced", { sequence: Schema.Int })
])

/** Sessions that were ended by `Stop`, and what outlived them. */
export const StopReport = Schema.Struct({ ended: Schema.Array(Schema.String), survivors: Survivors })
export type StopReport = typeof StopReport.Type

const Reading = Schema.Union([SessionNotFound, SessionUnavailable])
const ReadingFrom = Schema.Union([SessionNotFound, InvalidRequest, SessionUnavailable, HistoryDamaged])
const Control = [SessionNotFound, SessionEnded, AccessDenied, SessionUnavailable] as const

export class SessionRpcs extends RpcGroup.make(
  // --- the engine itself
  Rpc.make("Handshake", {
    payload: {
      protocol: Schema.Int,
      version: Schema.String,
      /** Of the client. Absent for those that were made before they told. */
      revision: Schema.optional(Schema.Int),
      /** Latest kind of event that the client knows (journal/Record.ts): later ones are sent to it as Unknown. */
      events: Schema.optional(Schema.Int),
      /** What the client calls itself, and what it reads for (session/Reader.ts). */
      client: Schema.optional(Schema.String),
      what: Schema.optional(Schema.String),
      reason: Schema.optional(Schema.String)
    },
    success: Schema.Struct({
      protocol: Schema.Int,
      version: Schema.String,
      pid: Schema.Int,
      revision: Schema.optional(Schema.Int)
    })
  }),
  Rpc.make("Status", { success: EngineStatusSchema }),
  Rpc.make("Stop", {
    payload: { sessions: Schema.Boolean },
    success: StopReport,
    error: SessionUnavailable
  }),

  // --- History
  Rpc.make("List", { success: Schema.Array(SessionView), error: SessionUnavailable }),
  Rpc.make("Resolve", { payload: { reference: Schema.String }, success: SessionId, error: Reading }),
  Rpc.make("Get", { payload: { session: SessionId }, success: SessionView, error: Reading }),
  Rpc.make("StateAt", {
    payload: { session: SessionId, point: HistoryPoint },
    success: SessionSnapshot,
    error: Schema.Union([SessionNotFound, InvalidRequest, SessionUnavailable, HistoryDamaged, HistoryRemoved])
  }),
  Rpc.make("Redraw", {
    payload: {
      session: SessionId,
      point: HistoryPoint,
      target: Schema.optional(LooseSize),
      scrollback: Schema.optional(Schema.Number)
    },
    success: ScreenRedraw,
    error: Schema.Union([SessionNotFound, InvalidRequest, SessionUnavailable, HistoryDamaged])
  }),
  Rpc.make("Events", {
    payload: { session: SessionId, after: Schema.optional(Schema.Int), until: Schema.optional(Schema.Int) },
    success: EventPage,
    error: ReadingFrom,
    stream: true
  }),
  Rpc.make("Follow", {
    payload: { session: SessionId, after: Schema.Int },
    success: FollowItem,
    error: ReadingFrom,
    stream: true
  }),
  Rpc.make("Output", {
    payload: {
      session: SessionId,
      after: Schema.Int,
      until: Schema.optional(Schema.Int),
      live: Schema.Boolean
    },
    success: OutputItem,
    error: ReadingFrom,
    stream: true
  }),

  // --- Attach
  Rpc.make("Attach", {
    payload: {
      session: SessionId,
      after: Schema.optional(Schema.Number),
      client: Schema.optional(Schema.String),
      readOnly: Schema.optional(Schema.Boolean),
      exclusive: Schema.optional(Schema.Boolean),
      size: Schema.optional(LooseSize),
      scrollback: Schema.optional(Schema.Number)
    },
    success: AttachItem,
    error: Schema.Union([
      SessionNotFound,
      InvalidRequest,
      LimitExceeded,
      AccessDenied,
      SessionUnavailable,
      HistoryDamaged
    ]),
    stream: true
  }),

  // --- Lifecycle
  Rpc.make("Feed", {
    payload: { after: Schema.optional(Schema.Int) },
    success: LifecycleItem,
    error: SessionUnavailable,
    stream: true
  }),
  Rpc.make("Live", { success: Schema.Array(LiveEntry), error: SessionUnavailable }),
  Rpc.make("Usage", {
    payload: { session: SessionId },
    success: SessionUsage,
    error: Schema.Union([SessionNotFound, SessionEnded, SessionUnavailable])
  }),

  // --- Sessions
  Rpc.make("Create", {
    payload: {
      id: SessionId,
      argv: Schema.Array(Schema.String),
      cwd: Schema.optional(Schema.String),
      env: Schema.optional(Schema.Record(Schema.String, Schema.String)),
      inheritEnv: Schema.optional(Schema.Boolean),
      size: Schema.optional(LooseSize),
      term: Schema.optional(Schema.String),
      name: Schema.optional(Schema.String),
      group: Schema.optional(Schema.String),
      limits: Schema.optional(LooseLimits),
      redact: Schema.optional(CaptureRequest),
      actor: Schema.optional(Schema.String)
    },
    success: SessionView,
    error: Schema.Union([SpawnFailed, InvalidRequest, LimitExceeded, SessionUnavailable])
  }),
  Rpc.make("Write", {
    payload: { session: SessionId, data: Schema.Uint8Array, ...CommandFields },
    success: Schema.Struct({
      sequence: Schema.Int,
      hidden: Schema.Boolean,
      truncatedTo: Schema.NullOr(Schema.Int)
    }),
    error: Schema.Union([...Control, InputRefused, InvalidRequest, LimitExceeded])
  }),
  Rpc.make("CloseInput", {
    payload: { session: SessionId, ...CommandFields },
    error: Schema.Union([...Control, InputRefused, InvalidRequest, LimitExceeded])
  }),
  Rpc.make("Resize", {
    payload: { session: SessionId, size: LooseSize, ...CommandFields },
    success: TerminalSize,
    error: Schema.Union([...Control, InvalidRequest])
  }),
  Rpc.make("Signal", {
    payload: { session: SessionId, signal: Schema.String, target: SignalTarget, ...CommandFields },
    error: Schema.Union([...Control, InvalidRequest])
  }),
  Rpc.make("Close", {
    payload: { session: SessionId, graceMillis: Schema.optional(Schema.Number), ...CommandFields },
    success: Schema.Struct({ survivors: Survivors }),
    error: Schema.Union([SessionNotFound, AccessDenied, InvalidRequest, SessionUnavailable])
  })
) {}
