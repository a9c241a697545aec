/** How what an Effect fails with becomes the error of the Promise client. */
import { Cause, type Exit, SchemaIssue } from "effect"
import { ErrorCode } from "../session/SessionError.ts"
import { closedError, RepriseError } from "./RepriseError.ts"

/** Those of a store that is opened in this process; all others carry their code. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  StoreRefused: "FailedPrecondition",
  StorageUnavailable: "Unavailable"
}

/** What a failed call rejects with. A defect (a bug, ours or of a foreign layer) stays the error that it is. */
export const failureOf = (cause: Cause.Cause<unknown>): Error => {
  if (Cause.hasInterruptsOnly(cause)) return closedError()
  const error = Cause.squash(cause)
  if (error instanceof RepriseError) return error
  if (!(error instanceof Error)) return new Error(String(error))
  // What a caller without types gave does not fit the message.
  if (SchemaIssue.isIssue(error.cause)) {
    return new RepriseError(
      "InvalidRequest",
      "InvalidArgument",
      SchemaIssue.makeFormatterDefault()(error.cause),
      {},
      error
    )
  }
  const code = "code" in error && isCode(error.code) ? error.code : CODES["_tag" in error ? String(error._tag) : ""]
  if (code === undefined) return error
  const { _tag: name = error.name, ...details } = { ...error } as Record<string, unknown>
  for (const own of ["code", "message", "name", "stack", "cause"]) delete details[own]
  return new RepriseError(String(name), code, error.message, details, error)
}

/** The value, or throws what `failureOf` says. */
export const unwrap = <A>(exit: Exit.Exit<A, unknown>): A => {
  if (exit._tag === "Success") return exit.value
  throw failureOf(exit.cause)
}

const ALL_CODES: ReadonlySet<unknown> = new Set(ErrorCode.literals)
const isCode = (code: unknown): code is ErrorCode => ALL_CODES.has(code)
