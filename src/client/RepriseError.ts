/**
 * The one error that the Promise client rejects and throws with. A caller branches on `code`; `name` and `details` say what
 * exactly; the message says what to do.
 */
/**
 * NotFound: no such session. FailedPrecondition: not in this state (the session has ended, the client is closed, the
 * engine is of another version). ResourceExhausted: a limit; nothing was done, try later or raise it. InvalidArgument:
 * the request itself is wrong; nothing was done. PermissionDenied: this client may only look, or not come in. Unavailable:
 * engine or storage cannot be reached; what was asked for may or may not have happened. DataLoss: what was asked for is
 * damaged and is not served.
 */
export type RepriseErrorCode =
  | "NotFound"
  | "FailedPrecondition"
  | "ResourceExhausted"
  | "InvalidArgument"
  | "PermissionDenied"
  | "Unavailable"
  | "DataLoss"

export class RepriseError extends Error {
  readonly code: RepriseErrorCode
  /** The fields of the error: `session`, `field`, `limit`, `max` … by its `name`. */
  readonly details: Readonly<Record<string, unknown>>

  /** `name`: the kind of error, such as SessionNotFound; more kinds than codes. */
  constructor(
    name: string,
    code: RepriseErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    cause?: unknown
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = name
    this.code = code
    this.details = details
  }
}

/** Used after its end. */
export const closedError = (): RepriseError =>
  new RepriseError("ClientClosed", "FailedPrecondition", "this client is closed; connect again")

export const invalid = (field: string, reason: string): RepriseError =>
  new RepriseError("InvalidRequest", "InvalidArgument", `${field}: ${reason}`, { field, reason })
