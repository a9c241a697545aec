/**
 * Work on a whole store, which takes as long as the store is large: a signal ends it at its next page, with nothing half done
 * left behind, and its errors are told as those of any command.
 */
import { Effect, Queue } from "effect"
import type { StorageUnavailable, StoreRefused } from "../journal/JournalError.ts"
import type { BackupRefused, SessionDiffers, StoreInUse } from "../src/care/CareError.ts"
import type { BundleUnreadable } from "../src/evidence/BundleCheck.ts"
import type { RecordingRefused, TargetFull, TargetRefused } from "../src/files/FileError.ts"
import { Caller } from "./Caller.ts"
import { ExitCode } from "./ExitCode.ts"
import { Ending, signalNumber } from "./Outcome.ts"

export type CareError =
  | StoreRefused
  | StorageUnavailable
  | BackupRefused
  | RecordingRefused
  | BundleUnreadable
  | SessionDiffers
  | StoreInUse
  | TargetFull
  | TargetRefused

const TAGS = new Set([
  "StoreRefused",
  "StorageUnavailable",
  "BackupRefused",
  "RecordingRefused",
  "BundleUnreadable",
  "SessionNotFound",
  "SessionDiffers",
  "StoreInUse",
  "TargetFull",
  "TargetRefused"
])

const isCareError = (error: unknown): error is CareError =>
  error instanceof Error && TAGS.has((error as { readonly _tag?: string })._tag ?? "")

/** `work` ends with a throw once its signal is aborted; what it throws otherwise is one of CareError, or a bug. */
export const longWork = <A>(
  work: (modules: typeof import("./Care.ts"), signal: AbortSignal) => Promise<A>
): Effect.Effect<A, CareError | Ending, Caller> =>
  Effect.scoped(
    Effect.gen(function* () {
      const caller = yield* Caller
      // What is written is as private as the engine's.
      process.umask(0o077)
      const modules = yield* Effect.promise(() => import("./Care.ts"))
      const interruption = new AbortController()
      const signals = yield* caller.signals(["SIGINT", "SIGTERM", "SIGHUP"])
      yield* Effect.forkScoped(
        Effect.map(Queue.take(signals), (name) => {
          const exitCode = ExitCode.signalBase + signalNumber(name)
          interruption.abort(new Ending({ exitCode, note: "interrupted" }))
        })
      )
      return yield* Effect.uninterruptible(
        Effect.callback<A, CareError | Ending>((resume) => {
          work(modules, interruption.signal).then(
            (value) => resume(Effect.succeed(value)),
            (error: unknown) =>
              resume(error instanceof Ending || isCareError(error) ? Effect.fail(error) : Effect.die(error))
          )
        })
      )
    })
  )
