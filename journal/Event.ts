/**
 * The event vocabulary of a session: what can happen to it, in the past tense. Everything else in the repository either
 * appends these events, folds them or shows them. An event never changes meaning; a new shape is a new kind (Record.ts).
 * This file holds no behaviour and never touches a clock, a file or a process.
 */
import { Schema } from "effect"

/** Upper-case ULID; nothing else names a session, so that an id can never be a path or an option. */
export const SESSION_ID_PATTERN = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/
export const SessionId = Schema.String.pipe(
  Schema.check(Schema.isPattern(SESSION_ID_PATTERN, { expected: "an upper-case ULID" })),
  Schema.brand("SessionId")
)
export type SessionId = typeof SessionId.Type

/** The stream of the store itself (engine starts and stops). No ULID made after 1970 equals it. */
export const STORE_STREAM = "00000000000000000000000000" as SessionId

/** Position in one stream: dense, from 1. 0 means "before the first event". Order is this number, never a clock. */
export const Sequence = Schema.Int.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0)), Schema.brand("Sequence"))
export type Sequence = typeof Sequence.Type

/** Position in one channel's bytes, from 0: the offset of a chunk is the number of bytes before it. */
export const ByteOffset = Schema.Int.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0)), Schema.brand("ByteOffset"))
export type ByteOffset = typeof ByteOffset.Type

/** Cells. The kernel keeps 16 bits; 1,000 is the largest that any terminal in use shows and an emulator can hold. */
export const TERMINAL_CELLS_MAX = 1000
const Cells = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: TERMINAL_CELLS_MAX })))
export const TerminalSize = Schema.Struct({ cols: Cells, rows: Cells })
export type TerminalSize = typeof TerminalSize.Type

/**
 * Where output bytes came from: the terminal, or the separate streams of an exec in it (`exec` is the exec's number in
 * its session; 0 for the terminal).
 */
export const OutputChannel = Schema.Literals(["tty", "stdout", "stderr"])
export type OutputChannel = typeof OutputChannel.Type

// --- terminal I/O: the frequent events, stored as a binary header and raw bytes -------------------------------------

export const OutputReceived = Schema.TaggedStruct("OutputReceived", {
  channel: OutputChannel,
  exec: Schema.Int,
  /** Bytes of this channel before this chunk. */
  offset: Schema.Int,
  data: Schema.Uint8Array
})
export const InputWritten = Schema.TaggedStruct("InputWritten", { data: Schema.Uint8Array })
/** A secret was typed (terminal in line mode without echo). Neither its bytes nor their number are kept. */
export const InputHidden = Schema.TaggedStruct("InputHidden", {})

/** What the commands of an exec session are written in. */
export const Language = Schema.Literals(["bash", "zsh", "python", "node"])
export type Language = typeof Language.Type

// --- the rare events, stored as JSON ---------------------------------------------------------------------------------

/**
 * What a session may use and how long it may live unattended. What is absent has no limit: a session that says nothing
 * is kept until its program ends.
 */
export const SessionLimits = Schema.Struct({
  /** Bytes of one write. */
  inputChunkBytes: Schema.optionalKey(Schema.Int),
  /** Ended after this time without a client (counted from its start, or from when the last client went). */
  noClientMillis: Schema.optionalKey(Schema.Finite),
  /** Ended after this time without a client and without input or output. */
  idleMillis: Schema.optionalKey(Schema.Finite),
  /** After its end it stays among the live entries this long. Its journal stays in any case. */
  retentionMillis: Schema.optionalKey(Schema.Finite),
  /** Bytes of output and input that are journaled; what goes beyond ends the session. */
  journalBytes: Schema.optionalKey(Schema.Int),
  /** The timeouts may also end a session in which a command runs. */
  evenWhenBusy: Schema.optionalKey(Schema.Boolean),
  /** The idle timeout may also end a session that a client is attached to. */
  evenWhenAttached: Schema.optionalKey(Schema.Boolean)
})
export type SessionLimits = typeof SessionLimits.Type

export const SessionCreated = Schema.TaggedStruct("SessionCreated", {
  argv: Schema.Array(Schema.String),
  cwd: Schema.String,
  /** Names only: values hold tokens. */
  envNames: Schema.Array(Schema.String),
  size: TerminalSize,
  /** The value of TERM given to the program. */
  term: Schema.String,
  /** System user that owns the session. */
  owner: Schema.String,
  name: Schema.optionalKey(Schema.String),
  /** Sessions of one group are counted together; e.g. a container or a user of the program that makes them. */
  group: Schema.optionalKey(Schema.String),
  limits: Schema.optionalKey(SessionLimits),
  kind: Schema.Literals(["terminal", "exec"]),
  /** Of an exec session: what its commands are written in. */
  language: Schema.optionalKey(Language),
  /** Of an exec session: regular expressions; a command or typed text that one of them finds is refused. */
  deny: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Of an exec session: those of `envNames` whose values must be in nothing that is kept. */
  secretEnvNames: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Rules by which secrets are taken out before anything is journaled; `text` and `pattern` for each that was given. */
  redact: Schema.optionalKey(Schema.Array(Schema.String))
})
export const ProcessStarted = Schema.TaggedStruct("ProcessStarted", {
  pid: Schema.Int,
  /** Field 22 of /proc/PID/stat: with the pid it names the process even after the pid is used again. */
  startTime: Schema.String,
  /** Id of the keeper that holds the terminal; "" for the in-process host. */
  keeper: Schema.String
})
export const Resized = Schema.TaggedStruct("Resized", { size: TerminalSize })
export const SignalTarget = Schema.Literals(["foreground", "leader", "session"])
export type SignalTarget = typeof SignalTarget.Type
export const SignalSent = Schema.TaggedStruct("SignalSent", { signal: Schema.String, target: SignalTarget })
export const InputClosed = Schema.TaggedStruct("InputClosed", {})
export const CwdChanged = Schema.TaggedStruct("CwdChanged", {
  cwd: Schema.String,
  /** How it is known. Sequences in the output need no event: the projection reads them from the bytes. */
  source: Schema.Literals(["proc", "exec"])
})
export const MarkerSet = Schema.TaggedStruct("MarkerSet", { label: Schema.String })
/** A client follows the session from now on; told of those who attach, not of those who read. */
export const ClientAttached = Schema.TaggedStruct("ClientAttached", {
  client: Schema.String,
  readOnly: Schema.Boolean
})
export const ClientDetached = Schema.TaggedStruct("ClientDetached", { client: Schema.String })
/** A limit of the session was reached, and the session is ended for it: its name in SessionLimits and its value there. */
export const LimitReached = Schema.TaggedStruct("LimitReached", { limit: Schema.String, value: Schema.Finite })
/** Something that should be in this stream is not, and will not come: what, which bytes of it, and why. */
export const GapDetected = Schema.TaggedStruct("GapDetected", {
  what: Schema.Literals(["output", "input", "events"]),
  from: Schema.Int,
  to: Schema.NullOr(Schema.Int),
  why: Schema.String
})
/** The program itself ended. Its terminal may still be open (a child of it can go on writing). */
export const LeaderExited = Schema.TaggedStruct("LeaderExited", {
  /** What the kernel reported: null when a signal ended it or when it is not known. Never invented. */
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String)
})
/** The last byte of the terminal is in the journal; none can follow. */
export const TerminalClosed = Schema.TaggedStruct("TerminalClosed", { outputBytes: Schema.Int })
/** An engine found this session running without an engine (the one before it died or was stopped). */
export const SessionInterrupted = Schema.TaggedStruct("SessionInterrupted", { reason: Schema.String })
export const SessionResumed = Schema.TaggedStruct("SessionResumed", {
  keeper: Schema.String,
  /** Bytes already journaled when the session was taken back; delivery goes on from here. */
  outputOffset: Schema.Int,
  /** Bytes that the keeper no longer held. 0 unless something is broken; then a GapDetected says more. */
  gapBytes: Schema.Int
})
/** The process's keeper is gone: what it did afterwards, and how it ended, cannot be known. */
export const SessionLost = Schema.TaggedStruct("SessionLost", { reason: Schema.String })
export const SessionClosed = Schema.TaggedStruct("SessionClosed", {
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  reason: Schema.Literals(["exited", "ended", "failed"]),
  /** Processes of the session that lived on after HUP, TERM and KILL. */
  survivors: Schema.Array(Schema.Struct({ pid: Schema.Int, command: Schema.String }))
})

// --- retention -------------------------------------------------------------------------------------------------------

/** age, bytes, count: a limit of the session or of the store. sessions: how many the store keeps. asked: by hand. */
export const RemovalReason = Schema.Literals(["age", "bytes", "count", "sessions", "asked"])
export type RemovalReason = typeof RemovalReason.Type
/**
 * What stands for the removed events up to `to` (KeptRows.ts): hex, SHA-256 over a line `NAME SHA-256` for each of its rows, in
 * the order of the names, where the second is hex and that of the row's value. Events that earlier versions wrote have none.
 */
export const KeptStates = Schema.Struct({ to: Schema.Int, sha256: Schema.String })
export type KeptStates = typeof KeptStates.Type
/**
 * The beginning of the stream was removed: the events `from` to `to`. It stands in their place, at the sequence `to`, and
 * what follows is `to` + 1. All its figures speak of that whole range, earlier removals included.
 */
export const EventsRemoved = Schema.TaggedStruct("EventsRemoved", {
  /** Always 1. */
  from: Schema.Int,
  to: Schema.Int,
  events: Schema.Int,
  /** Of their records, as they were stored. */
  bytes: Schema.Finite,
  /** Bytes of the terminal before the next one. */
  outputBytes: Schema.Int,
  /** When the last of them happened, microseconds since 1970. */
  lastTimeMicros: Schema.Finite,
  /** Hex, over key and value of each record in order; an earlier EventsRemoved is the first of them. */
  sha256: Schema.String,
  reason: RemovalReason,
  /** The rule in words, such as "older than 30 days". */
  policy: Schema.String,
  /** The projections whose state at `to` is kept; of no other anything is known up to there. */
  kept: Schema.Array(Schema.String),
  keptStates: Schema.optionalKey(KeptStates)
})
/** Nothing of the session may be removed from now on, whatever a policy says. */
export const HoldPlaced = Schema.TaggedStruct("HoldPlaced", { reason: Schema.String })
export const HoldReleased = Schema.TaggedStruct("HoldReleased", {})
/**
 * In the store's own stream, durable with the EventsRemoved that it speaks of: so an EventsRemoved that somebody else wrote is
 * one that nothing tells of. Its actor asked for the removal, or for the import of a session whose beginning was removed before.
 */
export const RemovalRecorded = Schema.TaggedStruct("RemovalRecorded", {
  session: Schema.String,
  to: Schema.Int,
  /** As in the EventsRemoved. */
  sha256: Schema.String,
  /** Hex, SHA-256 over key and value of the EventsRemoved as it is stored. */
  tombstone: Schema.String,
  reason: RemovalReason,
  policy: Schema.String
})

/**
 * In the store's own stream, durable with what it speaks of: the key that the session's events were encrypted with does not
 * exist any more, and nobody reads them again. Its actor asked for it; the session begins, and ends, with an EventsRemoved.
 */
export const KeyDestroyed = Schema.TaggedStruct("KeyDestroyed", {
  session: Schema.String,
  /** Its last event. */
  to: Schema.Int,
  reason: Schema.String
})

// --- where a session came from, and who looked at it -----------------------------------------------------------------

/**
 * The session did not happen in this store: its events were read from a file. It stands in the session, behind the event
 * that creates it or behind the last one that the file has, and in the store's own stream.
 */
export const RecordingImported = Schema.TaggedStruct("RecordingImported", {
  session: Schema.String,
  /** Of the file, such as "events" or "asciicast-v2". */
  format: Schema.String,
  /** Of the file, hex. */
  sha256: Schema.String,
  /** Of the file. */
  bytes: Schema.Finite,
  /** System user who imported it. */
  importer: Schema.String,
  /** The session it was, where the file says so and it has another id here. */
  original: Schema.optionalKey(Schema.String)
})
/**
 * Somebody was given what a session holds. It stands in the store's own stream; accesses of one kind to one session by one
 * reader that lie close together are one event.
 */
export const HistoryAccessed = Schema.TaggedStruct("HistoryAccessed", {
  /** read, follow, replay, inspect, attach, export, verify, search, backup, refused; a later version may have more. */
  what: Schema.String,
  /** null: all of the store. */
  session: Schema.NullOr(Schema.String),
  /** System user. */
  by: Schema.String,
  /** The program: `cli`, or what a client of the engine calls itself. */
  through: Schema.String,
  /** Behind which event it began, and up to which it was given; null where that is not one range. */
  after: Schema.NullOr(Schema.Int),
  until: Schema.NullOr(Schema.Int),
  /** Accesses that the event stands for. */
  times: Schema.Int,
  reason: Schema.optionalKey(Schema.String),
  /** What was asked for and why it was not given: nothing was. `what` is `refused` then. */
  refused: Schema.optionalKey(Schema.String)
})
/**
 * Something was done to a session, or to the store, that is no part of what its programs did. It stands in the store's own
 * stream, behind the event in the session that it is about; its actor asked for it.
 */
export const StoreAdministered = Schema.TaggedStruct("StoreAdministered", {
  /** hold, release, redact, rotate-key, change-store-key; a later version may have more. */
  what: Schema.String,
  /** null: the store. */
  session: Schema.NullOr(Schema.String),
  /** In words: the reason of a hold or of a redaction, the new verifier key. */
  detail: Schema.String
})
/**
 * Payloads of earlier events were replaced where they stood, because of what they held: nothing of it is left in the store.
 * The events keep sequence, kind, time, actor and command, output and input also their bytes' number. The actor of this
 * event asked for it.
 */
export const PayloadsRedacted = Schema.TaggedStruct("PayloadsRedacted", {
  /** The events that were looked at, both included. */
  from: Schema.Int,
  to: Schema.Int,
  /** What was looked for, and how often it was found; `text` and `pattern` were given by whoever asked and are not kept. */
  rules: Schema.Array(Schema.Struct({ rule: Schema.String, matches: Schema.Int })),
  /** "" when none was given. */
  reason: Schema.String,
  events: Schema.Array(
    Schema.Struct({
      sequence: Schema.Int,
      /** Hex, SHA-256(salt | payload) of what it was; the salt is that of its leaf, and is gone. */
      original: Schema.String,
      /** Its leaf was under a seal, so that `original` proves it. Else the salt was made for this and thrown away. */
      sealed: Schema.Boolean,
      /** Hex, SHA-256 of the payload that is there now. */
      replacement: Schema.String,
      /** Bytes of the payload that were replaced, [from, to). Of an event that is JSON: all of them. */
      ranges: Schema.Array(Schema.Tuple([Schema.Int, Schema.Int]))
    })
  ),
  /** Where rows that stand for removed events held the same, and were replaced: what they are now. */
  keptStates: Schema.optionalKey(KeptStates)
})

/**
 * Secrets were taken out of this session's record before it was journaled, by rules that it was created with: what stands in
 * their place has as many bytes of output and input. It follows what it tells of; of a session's last events it stands before
 * them.
 */
export const SecretsRedacted = Schema.TaggedStruct("SecretsRedacted", {
  /** output: before this; input, stdin: the `events` events before this; events: texts of the events beside this. */
  what: Schema.Literals(["output", "input", "stdin", "events"]),
  /** Rules that found something, and how often; `text` and `pattern` were given and are not kept. */
  rules: Schema.Array(Schema.Struct({ rule: Schema.String, matches: Schema.Int })),
  /** Bytes that were replaced. */
  bytes: Schema.Int,
  /**
   * input, stdin: so many InputWritten or CommandInputWritten, right before this, are not what was given, and are never given
   * again. Else 0.
   */
  events: Schema.Int
})

// --- exec: commands given to a persistent shell or interpreter -------------------------------------------------------

/**
 * A command was given to the session's shell. Its output follows as OutputReceived of its `exec` number on the channels
 * stdout and stderr (each with offsets from 0), and of the terminal on the channel tty.
 */
export const CommandStarted = Schema.TaggedStruct("CommandStarted", {
  /** Its number in the session, from 1. */
  exec: Schema.Int,
  /** Chosen by whoever asks: the same id is never run twice (at most 64 printable ASCII characters). */
  execId: Schema.String,
  code: Schema.String,
  stdin: Schema.Literals(["none", "bytes", "stream", "tty"]),
  tty: Schema.Boolean,
  /** Directory for this command only; absent: the shell's own. */
  cwd: Schema.optionalKey(Schema.String),
  /** Variables for this command only. Values that look like secrets are masked. */
  env: Schema.Record(Schema.String, Schema.String),
  /** Variables for this command only of which no value is kept. */
  secretEnvNames: Schema.Array(Schema.String),
  /** The hard limit; null without one. */
  timeoutMillis: Schema.NullOr(Schema.Finite),
  /** Bytes of the terminal before it. */
  ttyFrom: Schema.Int
})
/** Standard input for a command (`stdin: bytes | stream`). The whole of it for `bytes`; `end` closes a stream. */
export const CommandInputWritten = Schema.TaggedStruct("CommandInputWritten", {
  exec: Schema.Int,
  base64: Schema.String,
  end: Schema.Boolean
})
/**
 * completed: it ran to its end. exited: it called exit (or errexit did); the shell goes on with its state. interrupted: by
 * `interrupt`. timeout: the hard limit ended it. died: the shell itself died of it. lost: nobody saw its end.
 */
export const CommandStatus = Schema.Literals(["completed", "exited", "interrupted", "timeout", "died", "lost"])
export type CommandStatus = typeof CommandStatus.Type
/** Output of processes that it left behind may follow, as OutputReceived of its number. */
export const CommandFinished = Schema.TaggedStruct("CommandFinished", {
  exec: Schema.Int,
  status: CommandStatus,
  /** What the shell or the kernel reported; null when a signal ended the shell and when it is not known. */
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** Directory of the shell afterwards. */
  cwd: Schema.String,
  /** python and node: the last expression's value as text (cut at 64 KiB); null when there is none. */
  value: Schema.NullOr(Schema.String),
  durationMicros: Schema.Finite,
  /** Bytes of each stream when it finished. */
  stdoutBytes: Schema.Int,
  stderrBytes: Schema.Int,
  /** Bytes of the terminal when it finished. */
  ttyTo: Schema.Int
})
/** What a command changed in the shell: only the differences. null means: gone. */
export const ShellStateChanged = Schema.TaggedStruct("ShellStateChanged", {
  exec: Schema.Int,
  cwd: Schema.optionalKey(Schema.String),
  /** Exported variables. A masked value is "***" and its name is in `masked`. */
  env: Schema.Record(Schema.String, Schema.NullOr(Schema.String)),
  masked: Schema.Array(Schema.String),
  /** Name and source text. */
  functions: Schema.Record(Schema.String, Schema.NullOr(Schema.String)),
  aliases: Schema.Record(Schema.String, Schema.NullOr(Schema.String)),
  /** python and node: import statements seen for the first time. */
  imports: Schema.Array(Schema.String),
  /** What was not kept, and why (too large for a record). */
  omitted: Schema.Array(Schema.String)
})
/** The session has a new shell process in the place of the old one. */
export const ShellRestarted = Schema.TaggedStruct("ShellRestarted", {
  /** died: the old one ended by itself or was killed. lost: its keeper was gone. reset: asked for. */
  reason: Schema.Literals(["died", "lost", "reset"]),
  restored: Schema.Struct({
    cwd: Schema.NullOr(Schema.String),
    env: Schema.Array(Schema.String),
    functions: Schema.Array(Schema.String),
    aliases: Schema.Array(Schema.String),
    imports: Schema.Array(Schema.String)
  }),
  /** What could not be brought back, each in words, such as "variable TOKEN: its value is not stored". */
  missing: Schema.Array(Schema.String)
})

// --- the store itself --------------------------------------------------------------------------------------------------

export const EngineStarted = Schema.TaggedStruct("EngineStarted", {
  pid: Schema.Int,
  version: Schema.String,
  node: Schema.String
})
export const EngineStopped = Schema.TaggedStruct("EngineStopped", { reason: Schema.String })
/** Something of ours did not do what it should, and what was done instead lost nothing. For whoever mends it. */
export const DefectDetected = Schema.TaggedStruct("DefectDetected", {
  /** The part: `screen-redraw` … */
  what: Schema.String,
  session: Schema.String,
  /** Event of that session at which it was found. */
  at: Schema.Int,
  detail: Schema.String
})
/** A record of a kind that this version does not know, or no longer reads: kept, passed on, never an error. */
export const Unknown = Schema.TaggedStruct("Unknown", { kind: Schema.Int, payload: Schema.Uint8Array })

export const SessionEvent = Schema.Union([
  OutputReceived,
  InputWritten,
  InputHidden,
  SessionCreated,
  ProcessStarted,
  Resized,
  SignalSent,
  InputClosed,
  CwdChanged,
  MarkerSet,
  ClientAttached,
  ClientDetached,
  LimitReached,
  GapDetected,
  LeaderExited,
  TerminalClosed,
  SessionInterrupted,
  SessionResumed,
  SessionLost,
  SessionClosed,
  CommandStarted,
  CommandInputWritten,
  CommandFinished,
  ShellStateChanged,
  ShellRestarted,
  EngineStarted,
  EngineStopped,
  DefectDetected,
  EventsRemoved,
  HoldPlaced,
  HoldReleased,
  RemovalRecorded,
  HistoryAccessed,
  StoreAdministered,
  KeyDestroyed,
  RecordingImported,
  PayloadsRedacted,
  SecretsRedacted,
  Unknown
]).pipe(Schema.toTaggedUnion("_tag"))
export type SessionEvent = typeof SessionEvent.Type
export type EventTag = SessionEvent["_tag"]

/** Who caused an event: `program` (the session's own process), `engine`, or a client's name. */
export const ACTOR_PROGRAM = "program"
export const ACTOR_ENGINE = "engine"

/** An event to append. The journal gives it its sequence. */
export interface NewEvent {
  readonly event: SessionEvent
  readonly actor: string
  /** Id of the command that caused it: the same id is never applied twice (at most 64 ASCII characters). */
  readonly commandId?: string | undefined
  /** Microseconds since 1970. A label, never an order. */
  readonly timeMicros: number
}

/** An event as it stands in a stream. */
export interface JournalEntry extends NewEvent {
  readonly sequence: number
}

export const JournalEntry = Schema.Struct({
  sequence: Schema.Int,
  timeMicros: Schema.Finite,
  actor: Schema.String,
  commandId: Schema.optional(Schema.String),
  event: SessionEvent
})
