/**
 * The step from the engine's promises to Effects: what a promise rejects with is an error of the contract, or a defect. A
 * storage that is away is one of the errors.
 */
import { Effect } from "effect"
import { JournalDamaged, StorageUnavailable } from "../../journal/JournalError.ts"
import * as SessionError from "./SessionError.ts"

type ErrorClass = abstract new (...args: never) => { readonly _tag: string }

const CLASSES: ReadonlyArray<ErrorClass> = [
  SessionError.SessionNotFound,
  SessionError.SessionEnded,
  SessionError.InvalidRequest,
  SessionError.SpawnFailed,
  SessionError.InputRefused,
  SessionError.LimitExceeded,
  SessionError.AccessDenied,
  SessionError.SessionUnavailable,
  SessionError.HistoryRemoved
]

/** Gives the function that runs one call of a service as an Effect with a span of its name. `more`: errors beside those of a session. */
export const engineCall =
  (service: string, more: ReadonlyArray<ErrorClass> = []) =>
  <A, E>(name: string, evaluate: () => Promise<A>): Effect.Effect<A, E> =>
    Effect.callback<A, E>((resume) => {
      const fail = (error: unknown) => resume(Effect.fail(error as E))
      evaluate().then(
        (value) => resume(Effect.succeed(value)),
        (error: unknown) => {
          if (error instanceof StorageUnavailable || error instanceof JournalDamaged) {
            fail(new SessionError.SessionUnavailable({ session: "", reason: error.message }))
          } else if ([...CLASSES, ...more].some((class_) => error instanceof class_)) fail(error)
          else resume(Effect.die(error))
        }
      )
    }).pipe(Effect.withSpan(`${service}.${name}`))
