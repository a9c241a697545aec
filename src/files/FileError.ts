/** What is refused of files and folders beside the store, with what to do about it. Nothing was changed, nothing is left there. */
import { Schema } from "effect"
import type { ErrorCode } from "../session/SessionError.ts"

/** The file is not a recording, or one that is damaged, cut off or hostile: nothing of it was taken. */
export class RecordingRefused extends Schema.TaggedError<RecordingRefused>()("RecordingRefused", {
  file: Schema.String,
  /** From 1, of a format that has lines or records; 0 when it is none's. */
  line: Schema.Int,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "DataLoss"
  override get message() {
    return `${this.file}${this.line === 0 ? "" : ` line ${this.line}`}: ${this.reason}; nothing was imported`
  }
}

/** The place a backup or a bundle is to be written to cannot be used. */
export class TargetRefused extends Schema.TaggedError<TargetRefused>()("TargetRefused", {
  target: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "InvalidArgument"
  override get message() {
    return `${this.target}: ${this.reason}`
  }
}

/** No room for a backup or a bundle. */
export class TargetFull extends Schema.TaggedError<TargetFull>()("TargetFull", {
  target: Schema.String,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "ResourceExhausted"
  override get message() {
    return `${this.target}: its disk is full (${this.reason}); nothing was left there`
  }
}
