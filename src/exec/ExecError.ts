/** What a caller of `Exec` can be told beside the errors of a session. All cross a process border. */
import { Schema } from "effect"
import type { ErrorCode } from "../session/SessionError.ts"

export class ExecNotFound extends Schema.TaggedError<ExecNotFound>()("ExecNotFound", {
  session: Schema.String,
  execId: Schema.String
}) {
  readonly code: ErrorCode = "NotFound"
  override get message() {
    return `session ${this.session} has no command "${this.execId}"; \`reprise history ${this.session}\` shows its commands`
  }
}

/** The command has ended: nothing can be typed into it or sent to it. Its result can be read. */
export class ExecFinished extends Schema.TaggedError<ExecFinished>()("ExecFinished", {
  session: Schema.String,
  execId: Schema.String,
  status: Schema.String,
  exitCode: Schema.NullOr(Schema.Int)
}) {
  readonly code: ErrorCode = "FailedPrecondition"
  override get message() {
    return `command ${this.execId} has ended (${this.status}${this.exitCode === null ? "" : `, exit code ${this.exitCode}`})`
  }
}

/** Another command runs and the caller did not want to wait, or too many wait. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", {
  session: Schema.String,
  runningExecId: Schema.String,
  queued: Schema.Int
}) {
  readonly code: ErrorCode = "ResourceExhausted"
  override get message() {
    return `session ${this.session} runs ${this.runningExecId}${this.queued > 0 ? `, and ${this.queued} more wait` : ""}; wait for it, interrupt it or use another session`
  }
}

/** The id was used before for other code. */
export class ExecRejected extends Schema.TaggedError<ExecRejected>()("ExecRejected", {
  execId: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "InvalidArgument"
  override get message() {
    return `command ${this.execId}: ${this.reason}`
  }
}

/** The session was started with a policy that refuses this command or this text. Nothing was run or typed. */
export class PolicyDenied extends Schema.TaggedError<PolicyDenied>()("PolicyDenied", {
  session: Schema.String,
  /** The regular expression that found it. */
  rule: Schema.String
}) {
  readonly code: ErrorCode = "PermissionDenied"
  override get message() {
    return `session ${this.session} was started with a policy against /${this.rule}/; nothing was run`
  }
}
