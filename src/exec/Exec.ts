/**
 * Commands in persistent shells and interpreters: each gives exactly its standard output, its standard error and its exit
 * code, while directory, variables, functions and imports live on. This file is the promise; `ExecEngine.ts` keeps it on
 * the keeper and the journal. Everything is journaled before it acts: a command is never run twice, and its result can be
 * read for as long as the store lives, also when the engine was killed meanwhile.
 */
import { Context, type Effect, Schema } from "effect"
import {
  CommandStatus,
  Language,
  SessionId,
  type SessionLimits,
  ShellRestarted,
  type TerminalSize
} from "../../journal/Event.ts"
import type { CaptureRequest } from "../capture/CaptureRequest.ts"
import type {
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
import type { CloseReport } from "../session/Sessions.ts"
import type { SessionView } from "../session/SessionView.ts"
import type { ExecFinished, ExecNotFound, ExecRejected, PolicyDenied, SessionBusy } from "./ExecError.ts"

/** Bytes of each stream that come with a result unless asked otherwise, and the most: a result is held in memory. */
export const RESULT_OUTPUT_BYTES_MAX = 64 * 1024 * 1024
/** Of each stream in one message to another process: three of them fit a frame. A client reads the rest with `output`. */
export const MESSAGE_OUTPUT_BYTES_MAX = 2 * 1024 * 1024
/** Commands that wait in one session with `onBusy: queue`. */
export const QUEUED_COMMANDS_MAX = 64
/** One command's text. */
export const CODE_BYTES_MAX = 2 * 1024 * 1024

export interface StartShell {
  /** Chosen by the caller (a ULID): starting the same id again gives the session that is there. */
  readonly id?: SessionId | undefined
  /** Default bash, or what the name of `shell` says (python3 is python). */
  readonly language?: Language | undefined
  /** The program: a name looked up in PATH, or a path. Default: bash, zsh, python3, node. */
  readonly shell?: string | undefined
  /** Absolute; the engine's own working directory if absent. */
  readonly cwd?: string | undefined
  /** As for `Sessions.create`; on top of it come PAGER=cat, GIT_PAGER=cat, EDITOR=true, TERM=dumb unless given. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** As for `Sessions.create`. */
  readonly inheritEnv?: boolean | undefined
  /** On top of `env`; no value of it is stored, and it cannot be brought back after the keeper is lost. */
  readonly secretEnv?: Readonly<Record<string, string>> | undefined
  /** Regular expressions (at most 64): a command, or text typed into one, that one of them finds is refused. See Policy.ts. */
  readonly policy?: { readonly deny: ReadonlyArray<string> } | undefined
  /** Default 120x40. */
  readonly size?: TerminalSize | undefined
  readonly name?: string | undefined
  /** As for `Sessions.create`. */
  readonly group?: string | undefined
  readonly limits?: SessionLimits | undefined
  /** As for `Sessions.create`. */
  readonly redact?: CaptureRequest | undefined
  readonly actor?: string | undefined
}

export type ExecStdin =
  | { readonly _tag: "None" }
  | { readonly _tag: "Bytes"; readonly data: Uint8Array }
  /** Given with `send({ bytes })` and ended with `send({ eof: true })`. */
  | { readonly _tag: "Stream" }
  /** The session's terminal. */
  | { readonly _tag: "Tty" }

export interface ExecRequest {
  readonly code: string
  /** Idempotency: the same id with the same code is the same execution, never run twice. Default: a new one. */
  readonly execId?: string | undefined
  /** Default None: the end of file at once (/dev/null). */
  readonly stdin?: ExecStdin | undefined
  /** Standard input, output and error are the terminal; what it prints comes as `tty`. */
  readonly tty?: boolean | undefined
  /** Directory for this command only; absolute, or relative to the shell's. */
  readonly cwd?: string | undefined
  /** For this command only. Names: letters, digits and _, not beginning with a digit. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly secretEnv?: Readonly<Record<string, string>> | undefined
  /** Soft: answers with what there is after this time; the command goes on. Default: waits for the end. */
  readonly yieldMillis?: number | undefined
  /** Hard: INT, then TERM, then KILL of the command's processes; the shell's state is kept. Default: none. */
  readonly timeoutMillis?: number | undefined
  /** Of each stream: head and tail are kept, cut at UTF-8 boundaries. The journal keeps all. */
  readonly maxOutputBytes?: number | undefined
  /** Another command runs: wait for it (default), or fail with SessionBusy. */
  readonly onBusy?: "queue" | "reject" | undefined
  readonly actor?: string | undefined
}

/** queued: waits for its turn. running. needs_input: runs, and a process of it waits for the terminal. */
export const ExecStatus = Schema.Union([Schema.Literals(["queued", "running", "needs_input"]), CommandStatus])
export type ExecStatus = typeof ExecStatus.Type

export const NeedsInput = Schema.Struct({
  kind: Schema.Literals(["text", "secret", "raw"]),
  /** The unfinished last line of the terminal, as text. */
  prompt: Schema.String,
  confidence: Schema.Literals(["kernel", "heuristic"])
})
export type NeedsInput = typeof NeedsInput.Type

/** A stream of which not all is in the result. `output` reads the omitted bytes. */
export const Truncation = Schema.Struct({
  totalBytes: Schema.Int,
  headBytes: Schema.Int,
  tailBytes: Schema.Int,
  omittedBytes: Schema.Int,
  /** Offsets of the omitted range in the stream: first, and first after it. */
  omittedFrom: Schema.Int,
  omittedTo: Schema.Int
})
export type Truncation = typeof Truncation.Type

export const ExecResult = Schema.Struct({
  session: SessionId,
  execId: Schema.String,
  /** Its number in the session, from 1. */
  exec: Schema.Int,
  status: ExecStatus,
  /** What the shell or the kernel reported; null while it runs, when a signal ended the shell, when it is not known. */
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  stdout: Schema.Uint8Array,
  stderr: Schema.Uint8Array,
  /** What the terminal showed meanwhile. */
  tty: Schema.Uint8Array,
  /** python, node: the last expression's value as text; null when there is none. */
  value: Schema.NullOr(Schema.String),
  needsInput: Schema.NullOr(NeedsInput),
  /** Directory of the shell: after the command, or before it while it runs. */
  cwd: Schema.String,
  truncated: Schema.Struct({
    stdout: Schema.NullOr(Truncation),
    stderr: Schema.NullOr(Truncation),
    tty: Schema.NullOr(Truncation)
  }),
  /** Exclusive: `poll` with it answers with what came after. */
  cursor: Schema.Int,
  /** Microseconds since 1970. */
  startedAt: Schema.Finite,
  durationMillis: Schema.Finite
})
export type ExecResult = typeof ExecResult.Type

export interface PollOptions {
  /** A `cursor` of an earlier answer: only what came after it. Default: from the command's beginning. */
  readonly after?: number | undefined
  /** Waits at most this long for the end. Default 0. */
  readonly yieldMillis?: number | undefined
  readonly maxOutputBytes?: number | undefined
}

/**
 * One of them. Text is typed as it is; keys are names (`Keys.ts`); bytes go to a command's stdin stream. `at` is the place of
 * the bytes, or of the end, in that stream: with it the same may be sent again, and what was given before is left out.
 */
export type ExecInput =
  | { readonly text: string }
  | { readonly keys: ReadonlyArray<string> }
  | { readonly bytes: Uint8Array; readonly at?: number | undefined }
  | { readonly eof: true; readonly at?: number | undefined }

export const CommandRecord = Schema.Struct({
  exec: Schema.Int,
  execId: Schema.String,
  code: Schema.String,
  status: ExecStatus,
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** Before it, and after it (null while it runs). */
  cwdBefore: Schema.String,
  cwdAfter: Schema.NullOr(Schema.String),
  startedAt: Schema.Finite,
  durationMillis: Schema.NullOr(Schema.Finite),
  stdoutBytes: Schema.Int,
  stderrBytes: Schema.Int,
  ttyFrom: Schema.Int,
  ttyTo: Schema.NullOr(Schema.Int),
  /** Sequences of its first and last event. */
  firstSequence: Schema.Int,
  lastSequence: Schema.Int
})
export type CommandRecord = typeof CommandRecord.Type

export const ShellStateView = Schema.Struct({
  session: SessionId,
  language: Language,
  workingDirectory: Schema.String,
  /** Exported variables that differ from the environment the shell started with. Secrets are "***". */
  env: Schema.Record(Schema.String, Schema.String),
  functions: Schema.Array(Schema.String),
  aliases: Schema.Record(Schema.String, Schema.String),
  /** python, node: modules and names, as in `math`, `Path`, `numpy`. */
  imports: Schema.Array(Schema.String),
  /** The last 20 commands, oldest first. */
  commands: Schema.Array(CommandRecord),
  running: Schema.NullOr(Schema.String)
})
export type ShellStateView = typeof ShellStateView.Type

/** What a session's shell was brought back with. */
export const RestoreReport = Schema.Struct({
  reason: ShellRestarted.fields.reason,
  restored: ShellRestarted.fields.restored,
  missing: ShellRestarted.fields.missing
})
export type RestoreReport = typeof RestoreReport.Type

type Here = SessionNotFound | SessionEnded | SessionUnavailable | InvalidRequest

export interface ExecShape {
  /** Starts a shell and waits until it takes commands. */
  start(
    request: StartShell
  ): Effect.Effect<SessionView, SpawnFailed | InvalidRequest | LimitExceeded | SessionUnavailable>
  /** A session whose keeper was lost is brought back first. */
  exec(
    session: SessionId,
    request: ExecRequest
  ): Effect.Effect<ExecResult, Here | SessionBusy | ExecRejected | PolicyDenied | SpawnFailed | HistoryRemoved>
  /** Of a running or a finished command, for as long as the store keeps it: HistoryRemoved when it does not any more. */
  poll(
    session: SessionId,
    execId: string,
    options?: PollOptions
  ): Effect.Effect<ExecResult, SessionNotFound | SessionUnavailable | InvalidRequest | ExecNotFound | HistoryRemoved>
  /** Bytes [from, to) of one stream of a command; at most MESSAGE_OUTPUT_BYTES_MAX at a time. */
  output(
    session: SessionId,
    execId: string,
    range: { readonly channel: "stdout" | "stderr" | "tty"; readonly from: number; readonly to: number }
  ): Effect.Effect<Uint8Array, SessionNotFound | SessionUnavailable | InvalidRequest | ExecNotFound | HistoryRemoved>
  /**
   * Types into the terminal, or into the command's stdin stream. ExecFinished when the command has ended; InvalidRequest
   * also when the kernel cut what was typed: a terminal in line mode keeps 4095 bytes of a line. AccessDenied: an attached
   * client has the terminal to itself.
   */
  send(
    session: SessionId,
    execId: string,
    input: ExecInput,
    options?: { readonly actor?: string | undefined }
  ): Effect.Effect<
    void,
    Here | AccessDenied | ExecNotFound | ExecFinished | InputRefused | LimitExceeded | PolicyDenied
  >
  /** Ctrl-C for the running command (execId, or the one that runs). A second one is harmless. */
  interrupt(session: SessionId, execId?: string): Effect.Effect<void, Here | ExecNotFound | ExecFinished>
  /** A signal (default SIGKILL) to the command's processes, not to the shell. */
  kill(session: SessionId, execId?: string, signal?: string): Effect.Effect<void, Here | ExecNotFound | ExecFinished>
  /** A new shell as at the start: directory and environment of the creation, nothing else; ends what runs. */
  reset(session: SessionId): Effect.Effect<RestoreReport, Here | SpawnFailed>
  /** A lost or dead shell is brought back as far as possible. A live one is left alone (null). */
  restore(session: SessionId): Effect.Effect<RestoreReport | null, Here | SpawnFailed>
  state(session: SessionId): Effect.Effect<ShellStateView, SessionNotFound | SessionUnavailable | InvalidRequest>
  /** Oldest first; the last `limit` (default 50, at most 1000). */
  history(
    session: SessionId,
    options?: { readonly limit?: number | undefined }
  ): Effect.Effect<ReadonlyArray<CommandRecord>, SessionNotFound | SessionUnavailable | InvalidRequest>
  /** Ends the shell and everything in it. Twice is fine. */
  end(session: SessionId): Effect.Effect<CloseReport, SessionNotFound | SessionUnavailable>
}

export class Exec extends Context.Service<Exec, ExecShape>()("reprise/exec/Exec") {}
