/**
 * One line on standard error that says how far a long command is, for a person who waits: only on a terminal, only after a
 * moment, and taken away again before anything else is printed.
 */
import { Effect, type Scope } from "effect"
import { Caller } from "./Caller.ts"
import { escapeText } from "./Escape.ts"

/** Who waits for less than this needs no word of it. */
const QUIET_MILLIS = 1000
/** As often as an eye can follow. */
const REDRAW_MILLIS = 200
const LINE_LENGTH_MAX = 100

export interface Progress {
  /** What is being done now; called as often as one likes. */
  readonly tell: (text: string) => void
}

/** Until the scope closes. */
export const makeProgress: Effect.Effect<Progress, never, Caller | Scope.Scope> = Effect.gen(function* () {
  const caller = yield* Caller
  if (!caller.errorIsTerminal) return SILENT
  let text = ""
  let shown = ""
  const draw = Effect.suspend(() => {
    if (text === shown) return Effect.void
    shown = text
    return caller.writeError(`\r\x1b[K${escapeText(text).slice(0, LINE_LENGTH_MAX)}`)
  })
  yield* Effect.addFinalizer(() => Effect.suspend(() => (shown === "" ? Effect.void : caller.writeError("\r\x1b[K"))))
  yield* Effect.forkScoped(
    Effect.andThen(Effect.sleep(QUIET_MILLIS), Effect.forever(Effect.andThen(draw, Effect.sleep(REDRAW_MILLIS))))
  )
  const progress: Progress = {
    tell: (now) => {
      text = now
    }
  }
  return progress
})

const SILENT: Progress = { tell: () => {} }
