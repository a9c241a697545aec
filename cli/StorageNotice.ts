/**
 * Tells a caller who watches a session that its engine cannot write the journal, and when it can again: output that
 * stands still would say nothing. Used beside the output of `run` and `attach`; it never ends by itself.
 */
import { Effect } from "effect"
import { Sessions } from "../src/session/Sessions.ts"
import { escapeText } from "./Escape.ts"

/** Without output for so long, the engine is asked why. */
const SILENCE_MILLIS_MIN = 2000
/** A session that is quiet for its own reasons is asked about less and less often. */
const SILENCE_MILLIS_MAX = 60_000

/** `lastShown` counts what was shown: while it changes there is nothing to ask. `tell` shows one line. */
export const storageNotices = Effect.fnUntraced(function* (
  lastShown: () => number,
  tell: (text: string) => Effect.Effect<void>
) {
  const sessions = yield* Sessions
  let isTold = false
  let seen = -1
  let wait = SILENCE_MILLIS_MIN
  while (true) {
    yield* Effect.sleep(wait)
    if (lastShown() !== seen) {
      seen = lastShown()
      wait = SILENCE_MILLIS_MIN
      if (!isTold) continue
    }
    const found = yield* Effect.option(Effect.catchDefect(sessions.status, () => Effect.fail("unreachable")))
    // An engine that cannot be reached is the output's to tell.
    if (found._tag === "None") continue
    const { suspended } = found.value
    if (suspended !== null && !isTold) {
      yield* tell(
        suspended.diskFull
          ? "the journal's disk is full: the session is paused; free some space and it goes on"
          : `the journal cannot be written (${escapeText(suspended.reason)}): the session is paused`
      )
    } else if (suspended === null && isTold) {
      yield* tell("the journal can be written again: the session goes on")
    }
    isTold = suspended !== null
    wait = isTold ? SILENCE_MILLIS_MIN : Math.min(wait * 2, SILENCE_MILLIS_MAX)
  }
})
