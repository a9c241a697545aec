/**
 * What is told of a session: the shape of `list`, `get`, `stateAt` and of the CLI's `--json`. Times are microseconds
 * since 1970 (labels; order is the sequence). Nothing here is stored: it is projected from the journal.
 */
import { Schema } from "effect"
import { RemovalReason, SessionId, TerminalSize } from "../../journal/Event.ts"

/**
 * starting: created, no process yet. running. exited: the program ended (its terminal may be open still, see
 * terminalOpen). lost: its keeper is gone, how it ended is unknown. failed: it never started.
 */
export const SessionStatus = Schema.Literals(["starting", "running", "exited", "lost", "failed"])
export type SessionStatus = typeof SessionStatus.Type

export const SessionView = Schema.Struct({
  id: SessionId,
  name: Schema.NullOr(Schema.String),
  kind: Schema.Literals(["terminal", "exec"]),
  status: SessionStatus,
  /** What the kernel reported; null while running, when a signal ended it, and when it is not known. */
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** A process of the session still holds its terminal. */
  terminalOpen: Schema.Boolean,
  argv: Schema.Array(Schema.String),
  cwd: Schema.String,
  size: TerminalSize,
  /** As the program set it (OSC 0 or 2), at most 256 characters, without control characters; "" if it did not. */
  title: Schema.String,
  term: Schema.String,
  owner: Schema.String,
  pid: Schema.NullOr(Schema.Int),
  keeper: Schema.NullOr(Schema.String),
  createdAt: Schema.Finite,
  startedAt: Schema.NullOr(Schema.Finite),
  endedAt: Schema.NullOr(Schema.Finite),
  lastEventAt: Schema.Finite,
  outputBytes: Schema.Int,
  inputBytes: Schema.Int,
  /** Last event this view includes. */
  sequence: Schema.Int,
  /** Times an engine was away while the session went on. */
  interruptions: Schema.Int,
  /** Processes that lived on after the session was closed. */
  survivors: Schema.Array(Schema.Struct({ pid: Schema.Int, command: Schema.String })),
  /** Nothing of it may be removed, for this reason, since `at`; absent: it may. */
  hold: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ reason: Schema.String, actor: Schema.String, at: Schema.Finite }))
  ),
  /** Rules by which secrets are taken out before anything is journaled, and what they took out so far; absent: none. */
  redact: Schema.optionalKey(
    Schema.NullOr(
      Schema.Struct({
        rules: Schema.Array(Schema.String),
        found: Schema.Array(Schema.Struct({ rule: Schema.String, matches: Schema.Int })),
        bytes: Schema.Int
      })
    )
  ),
  /** Its events 1 to `to` were removed `at` a time, for a rule in words; absent: it has all of them. */
  removed: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ to: Schema.Int, at: Schema.Finite, reason: RemovalReason, policy: Schema.String }))
  )
})
export type SessionView = typeof SessionView.Type

export const ScreenView = Schema.Struct({
  /** quarantined: this output defeats the emulator; behind: not finished within the deadline; unavailable: see reason. */
  status: Schema.Literals(["ok", "behind", "quarantined", "unavailable"]),
  reason: Schema.NullOr(Schema.String),
  /** Last event drawn. */
  sequence: Schema.Int,
  size: TerminalSize,
  cursor: Schema.Struct({ x: Schema.Int, y: Schema.Int }),
  alternate: Schema.Boolean,
  /** One string a row, trailing blanks removed; printable characters only. */
  lines: Schema.Array(Schema.String)
})
export type ScreenView = typeof ScreenView.Type

/**
 * A screen as bytes for a terminal: written there they draw it, whatever the terminal showed before. To go on, what
 * happened after `sequence` is written behind them.
 */
export const ScreenRedraw = Schema.Struct({
  /** Empty where nothing could be drawn: `sequence` is 0 then, and everything is to be replayed. */
  data: Schema.Uint8Array,
  /** Last event drawn. */
  sequence: Schema.Int,
  /** Of the session then. */
  size: TerminalSize,
  /** Why it is not the screen that was asked for but an earlier one, or none; null when it is. */
  reason: Schema.NullOr(Schema.String),
  /** Where it is an earlier one because drawing the newest went wrong: what was found. */
  defect: Schema.optional(Schema.NullOr(Schema.String))
})
export type ScreenRedraw = typeof ScreenRedraw.Type

/** A place in a session's history. A time means: the last event at or before it. */
export const HistoryPoint = Schema.Union([
  Schema.TaggedStruct("Sequence", { sequence: Schema.Int }),
  Schema.TaggedStruct("Time", { timeMicros: Schema.Finite }),
  Schema.TaggedStruct("Head", {})
])
export type HistoryPoint = typeof HistoryPoint.Type

export const SessionSnapshot = Schema.Struct({ view: SessionView, screen: ScreenView })
export type SessionSnapshot = typeof SessionSnapshot.Type
