/**
 * The contract between clients and the engine for commands in persistent shells: everything of `Exec` as one RpcGroup,
 * served beside `SessionRpcs`. ExecHandlers.ts serves it, ExecClient.ts turns it back into the service. It holds no
 * behaviour. Its rules of evolution are those of SessionRpcs.ts.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Language, SessionId } from "../../journal/Event.ts"
import { CaptureRequest } from "../capture/CaptureRequest.ts"
import { CommandRecord, type ExecInput, ExecResult, RestoreReport, ShellStateView } from "../exec/Exec.ts"
import { ExecFinished, ExecNotFound, ExecRejected, PolicyDenied, SessionBusy } from "../exec/ExecError.ts"
import {
  AccessDenied,
  HistoryRemoved,
  InputRefused,
  InvalidRequest,
  LimitExceeded,
  SessionEnded,
  SessionNotFound,
  SessionUnavailable,
  SpawnFailed
} from "../session/SessionError.ts"
import { SessionView } from "../session/SessionView.ts"
import { EvidenceRpcs } from "./EvidenceRpcs.ts"
import { RedactionRpcs } from "./RedactionRpcs.ts"
import { RetentionRpcs } from "./RetentionRpcs.ts"
import { SearchRpcs } from "./SearchRpcs.ts"
import { LooseLimits, LooseSize, SessionRpcs } from "./SessionRpcs.ts"

/** Numbers and names are loose on purpose: the engine tells what is wrong with them (InvalidRequest). */
const Variables = Schema.optional(Schema.Record(Schema.String, Schema.String))
const Actor = Schema.optional(Schema.String)

const Stdin = Schema.Union([
  Schema.TaggedStruct("None", {}),
  Schema.TaggedStruct("Bytes", { data: Schema.Uint8Array }),
  Schema.TaggedStruct("Stream", {}),
  Schema.TaggedStruct("Tty", {})
])
/** `ExecInput` with a tag: the binary encoding tells members of a union apart by nothing else. */
const Input = Schema.Union([
  Schema.TaggedStruct("Text", { text: Schema.String }),
  Schema.TaggedStruct("Keys", { keys: Schema.Array(Schema.String) }),
  Schema.TaggedStruct("Bytes", { bytes: Schema.Uint8Array, at: Schema.optional(Schema.Number) }),
  Schema.TaggedStruct("Eof", { at: Schema.optional(Schema.Number) })
])
type Input = typeof Input.Type

export const toWireInput = (input: ExecInput): Input =>
  "text" in input
    ? { _tag: "Text", ...input }
    : "keys" in input
      ? { _tag: "Keys", ...input }
      : "bytes" in input
        ? { _tag: "Bytes", ...input }
        : { _tag: "Eof", ...(input.at !== undefined && { at: input.at }) }

export const fromWireInput = (input: Input): ExecInput => {
  if (input._tag === "Eof") return input.at === undefined ? { eof: true } : { eof: true, at: input.at }
  const { _tag, ...rest } = input
  return rest
}

const Reading = Schema.Union([SessionNotFound, SessionUnavailable, InvalidRequest])
const ReadingCommand = Schema.Union([SessionNotFound, SessionUnavailable, InvalidRequest, ExecNotFound, HistoryRemoved])
const Here = [SessionNotFound, SessionEnded, SessionUnavailable, InvalidRequest] as const

/** Commands in pages: one alone can be 2 MiB, and a thousand would not fit a message. */
const CommandPage = Schema.Array(CommandRecord)
const StatePart = Schema.Union([
  /** First and once; its `commands` is empty, they follow. */
  Schema.TaggedStruct("State", { state: ShellStateView }),
  Schema.TaggedStruct("Commands", { commands: CommandPage })
])

export class ExecRpcs extends RpcGroup.make(
  Rpc.make("ExecStart", {
    payload: {
      id: SessionId,
      language: Schema.optional(Language),
      shell: Schema.optional(Schema.String),
      cwd: Schema.optional(Schema.String),
      env: Variables,
      inheritEnv: Schema.optional(Schema.Boolean),
      secretEnv: Variables,
      policy: Schema.optional(Schema.Struct({ deny: Schema.Array(Schema.String) })),
      size: Schema.optional(LooseSize),
      name: Schema.optional(Schema.String),
      group: Schema.optional(Schema.String),
      limits: Schema.optional(LooseLimits),
      redact: Schema.optional(CaptureRequest),
      actor: Actor
    },
    success: SessionView,
    error: Schema.Union([SpawnFailed, InvalidRequest, LimitExceeded, SessionUnavailable])
  }),
  Rpc.make("Exec", {
    payload: {
      session: SessionId,
      code: Schema.String,
      execId: Schema.String,
      stdin: Schema.optional(Stdin),
      tty: Schema.optional(Schema.Boolean),
      cwd: Schema.optional(Schema.String),
      env: Variables,
      secretEnv: Variables,
      yieldMillis: Schema.optional(Schema.Number),
      timeoutMillis: Schema.optional(Schema.Number),
      maxOutputBytes: Schema.optional(Schema.Number),
      onBusy: Schema.optional(Schema.Literals(["queue", "reject"])),
      actor: Actor
    },
    success: ExecResult,
    error: Schema.Union([...Here, SessionBusy, ExecRejected, PolicyDenied, SpawnFailed, HistoryRemoved])
  }),
  Rpc.make("ExecPoll", {
    payload: {
      session: SessionId,
      execId: Schema.String,
      after: Schema.optional(Schema.Number),
      yieldMillis: Schema.optional(Schema.Number),
      maxOutputBytes: Schema.optional(Schema.Number)
    },
    success: ExecResult,
    error: ReadingCommand
  }),
  Rpc.make("ExecOutput", {
    payload: {
      session: SessionId,
      execId: Schema.String,
      channel: Schema.Literals(["stdout", "stderr", "tty"]),
      from: Schema.Number,
      to: Schema.Number
    },
    success: Schema.Uint8Array,
    error: ReadingCommand
  }),
  Rpc.make("ExecSend", {
    payload: { session: SessionId, execId: Schema.String, input: Input, actor: Actor },
    error: Schema.Union([...Here, AccessDenied, ExecNotFound, ExecFinished, InputRefused, LimitExceeded, PolicyDenied])
  }),
  Rpc.make("ExecInterrupt", {
    payload: { session: SessionId, execId: Schema.optional(Schema.String) },
    error: Schema.Union([...Here, ExecNotFound, ExecFinished])
  }),
  Rpc.make("ExecKill", {
    payload: {
      session: SessionId,
      execId: Schema.optional(Schema.String),
      signal: Schema.optional(Schema.String)
    },
    error: Schema.Union([...Here, ExecNotFound, ExecFinished])
  }),
  Rpc.make("ExecReset", {
    payload: { session: SessionId },
    success: RestoreReport,
    error: Schema.Union([...Here, SpawnFailed])
  }),
  Rpc.make("ExecRestore", {
    payload: { session: SessionId },
    success: Schema.NullOr(RestoreReport),
    error: Schema.Union([...Here, SpawnFailed])
  }),
  Rpc.make("ExecState", { payload: { session: SessionId }, success: StatePart, error: Reading, stream: true }),
  Rpc.make("ExecHistory", {
    payload: { session: SessionId, limit: Schema.optional(Schema.Number) },
    success: CommandPage,
    error: Reading,
    stream: true
  }),
  Rpc.make("ExecEnd", {
    payload: { session: SessionId },
    success: Schema.Struct({
      survivors: Schema.Array(Schema.Struct({ pid: Schema.Int, command: Schema.String }))
    }),
    error: Schema.Union([SessionNotFound, SessionUnavailable])
  })
) {}

/** Everything that the engine serves. */
export const EngineRpcs = SessionRpcs.merge(ExecRpcs)
  .merge(RetentionRpcs)
  .merge(RedactionRpcs)
  .merge(SearchRpcs)
  .merge(EvidenceRpcs)
