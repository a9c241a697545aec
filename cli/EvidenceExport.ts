/** What `export --format evidence` does, loaded when it is asked for: bundles with a recording beside the events. */
import { Clock, Effect, Stream } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { exportBundles, SinceRefused } from "../src/evidence/BundleExport.ts"
import { readKey } from "../src/evidence/Keys.ts"
import { exportFormat, exportSession } from "../src/export/Export.ts"
import { History } from "../src/session/History.ts"
import type { StorePaths } from "../src/session/StorePaths.ts"
import type { Caller } from "./Caller.ts"
import { ExitCode } from "./ExitCode.ts"
import { type CareError, longWork } from "./LongWork.ts"
import { Ending } from "./Outcome.ts"
import type { Progress } from "./Progress.ts"

export interface EvidenceExport {
  readonly paths: StorePaths
  readonly sessions: ReadonlyArray<SessionId>
  readonly target: string
  readonly reason: string | null
  /** A checkpoint that the auditor has. */
  readonly since: string | undefined
  readonly progress: Progress
}

/** As `verify` ends by an anchor that it says the same of. */
const SINCE_CODES: Readonly<Record<SinceRefused["verdict"], number>> = {
  invalid: ExitCode.invalid,
  integrity: ExitCode.notAuthentic,
  completeness: ExitCode.incomplete,
  unproven: ExitCode.unproven
}

/** Gives what there is of each session, in words. */
export const exportEvidence = ({
  paths,
  progress,
  reason,
  sessions,
  since,
  target
}: EvidenceExport): Effect.Effect<ReadonlyArray<readonly [SessionId, string]>, CareError | Ending, Caller | History> =>
  Effect.gen(function* () {
    const history = yield* History
    const nowMillis = yield* Clock.currentTimeMillis
    const asciicast = exportFormat("asciicast")!
    const report = yield* longWork((_care, signal) =>
      exportBundles(paths, sessions, target, {
        reason,
        nowMillis,
        since,
        signer: readKey(paths)?.signer,
        signal,
        recording: async (session) => {
          const notes: Array<string> = []
          const pieces = exportSession(session, asciicast, { note: (text) => notes.push(text) })
          return { pieces: Stream.toAsyncIterable(Stream.provideService(pieces, History, history)), notes: () => notes }
        },
        onProgress: (session, events) => progress.tell(`reprise: export ${session}: ${events} events`)
      }).catch((error: unknown) => {
        if (!(error instanceof SinceRefused)) throw error
        throw new Ending({ exitCode: SINCE_CODES[error.verdict], note: `--since: ${error.message}` })
      })
    )
    return report.bundles.map(({ coverage, session }) => [session, coverage.text] as const)
  })
