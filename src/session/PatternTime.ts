/**
 * Time for a pattern that somebody typed: `(a+)+$` may take longer than anybody lives, and meanwhile nothing else of the
 * process runs, not even what ^C asks for. Used where the command's own process matches; an engine never does. It costs a
 * millisecond each time, so it is for pages of lines and not for lines.
 */
import { Script } from "node:vm"
import { Effect } from "effect"
import { InvalidRequest } from "./SessionError.ts"

/** For one page, of at most some MiB: half a second each with the patterns of `redact`, twenty times as much on a busy machine. */
const PATTERN_MILLIS_MAX = 10_000

const SLOT = "reprise/session/PatternTime"
/** Matching is ended only in code that the runtime was told to end. */
const script = new Script(`globalThis[Symbol.for(${JSON.stringify(SLOT)})]()`)
const globals = globalThis as unknown as Record<symbol, unknown>

/** `field`: where the pattern came from. ^C ends it as it ends what gives way: the process gets its signal again. */
export const withinPatternTime = <A>(
  field: string,
  work: () => A,
  millisMax = PATTERN_MILLIS_MAX
): Effect.Effect<A, InvalidRequest> =>
  Effect.suspend(() => {
    let result: { readonly value: A } | undefined
    globals[Symbol.for(SLOT)] = () => {
      result = { value: work() }
    }
    try {
      script.runInThisContext({ timeout: millisMax, breakOnSigint: true })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === "ERR_SCRIPT_EXECUTION_INTERRUPTED") {
        process.kill(process.pid, "SIGINT")
        return Effect.never
      }
      if (code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error
      const reason = `takes longer than ${millisMax / 1000} s for a page; a repetition in a repetition, such as (a+)+, is what takes long`
      return Effect.fail(new InvalidRequest({ field, reason }))
    } finally {
      delete globals[Symbol.for(SLOT)]
    }
    return Effect.succeed(result!.value)
  })
