/** What an import of a recording refuses. Nothing was changed. */
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
