/** What an import of a backup or a repair refuses to do, with what to do about it. Nothing was changed. */
import { Schema } from "effect"
import type { ErrorCode } from "../session/SessionError.ts"

/** A backup holds something that no reprise would have written, or that is damaged: nothing of it was taken. */
export class BackupRefused extends Schema.TaggedError<BackupRefused>()("BackupRefused", {
  backup: Schema.String,
  /** The session it was found in; "" when it is none's. */
  session: Schema.String,
  /** Which record of the backup, counted from 1 in the order of reading; 0 when it is no record's. */
  record: Schema.Int,
  reason: Schema.String
}) {
  readonly code: ErrorCode = "DataLoss"
  override get message() {
    const place =
      this.record === 0 ? "" : `record ${this.record}${this.session === "" ? "" : ` (session ${this.session})`}: `
    return `backup ${this.backup}: ${place}${this.reason}; nothing was imported`
  }
}

/** A session is in the store already, with another content. */
export class SessionDiffers extends Schema.TaggedError<SessionDiffers>()("SessionDiffers", {
  session: Schema.String,
  sequence: Schema.Int
}) {
  readonly code: ErrorCode = "FailedPrecondition"
  override get message() {
    return `session ${this.session} is in this store with another content (event ${this.sequence} differs); nothing was imported`
  }
}

/** The store is in use: its engine must be ended first. */
export class StoreInUse extends Schema.TaggedError<StoreInUse>()("StoreInUse", {
  store: Schema.String,
  pid: Schema.NullOr(Schema.Int)
}) {
  readonly code: ErrorCode = "Unavailable"
  override get message() {
    const who = this.pid === null ? "another process" : `process ${this.pid}`
    return `store ${this.store} is in use by ${who}; run: reprise stop (its sessions go on), and try again`
  }
}
