/**
 * What somebody who attaches to a session is sent first: bytes that draw its screen, and the place in the journal from
 * which they go on. Every door that shows a session live uses it. The journal stays the truth: where a screen cannot be
 * drawn again exactly, an earlier place is answered from which replaying the events is exact, at worst the beginning.
 */
import { Effect } from "effect"
import type { SessionId, TerminalSize } from "../journal/Event.ts"
import { HEAD, type HistoryPoint, snapshotsBefore } from "./ProjectionRunner.ts"
import type { ScreenRedrawOptions } from "./Screen.ts"
import { SCREEN_VERSION } from "./ScreenBounds.ts"
import { SCREEN_SNAPSHOT_NAME } from "./ScreenDrawing.ts"
import { lookAt } from "./ScreenHistory.ts"
import { ScreenService } from "./ScreenService.ts"
import { snapshotSequence, snapshotState } from "./SnapshotRow.ts"

/** Longest time that is drawn before what there is is answered: somebody waits, and can replay the rest themselves. */
export const REDRAW_LOOK_MILLIS = 1000

export interface ScreenRedrawAtOptions extends ScreenRedrawOptions {
  readonly lookMillis?: number | undefined
}

export interface ScreenRedrawAt {
  /** Draws the screen as it was after `sequence` on a terminal of `size`, whatever that terminal shows. May be empty. */
  readonly data: Uint8Array
  /** The events after it go on from there. 0: there is nothing to begin with but the session's first event. */
  readonly sequence: number
  readonly size: TerminalSize
  /** Why this is not the place that was asked for; null when it is. */
  readonly reason: string | null
  /** What our own bytes drew wrongly at the place that was asked for: to be told to whoever looks after this program. */
  readonly defect: string | null
}

const NOTHING: Pick<ScreenRedrawAt, "data" | "sequence" | "size"> = {
  data: new Uint8Array(0),
  sequence: 0,
  size: { cols: 80, rows: 24 }
}

/**
 * The screen at a point as bytes. Only StorageUnavailable fails.
 *
 * **Behind, quarantined, damaged.** The data is that of the last place before the point that could be drawn, and the
 * reason says so; replaying the events after `sequence` leads to the point in any case.
 */
export const screenRedraw = Effect.fnUntraced(function* (
  stream: SessionId,
  point: HistoryPoint = HEAD,
  { lookMillis = REDRAW_LOOK_MILLIS, ...options }: ScreenRedrawAtOptions = {}
) {
  const seen = yield* lookAt(stream, point, lookMillis, (screens, key) => screens.redraw(key, options))
  if (seen._tag === "Unseen") {
    const reason = seen.reason ?? "the screen was given up for others several times"
    return { ...NOTHING, reason, defect: null } satisfies ScreenRedrawAt
  }
  const { answer, behind, damage, quarantined, sequence } = seen
  const reason = quarantined ?? (behind ? "the screen was not drawn further in time" : (damage?.message ?? null))
  if (answer.data !== undefined) {
    return { data: answer.data, sequence, size: answer.size, reason, defect: null } satisfies ScreenRedrawAt
  }
  const earlier = yield* redrawSnapshot(stream, sequence - 1, options)
  const why = reason ?? `the screen cannot be drawn again there: ${answer.defect}`
  return { ...earlier, reason: why, defect: answer.defect ?? null } satisfies ScreenRedrawAt
})

/** The newest stored screen up to a place that can be drawn again. */
const redrawSnapshot = Effect.fnUntraced(function* (stream: SessionId, sequence: number, options: ScreenRedrawOptions) {
  const screens = yield* ScreenService
  const key = `${stream}@`
  for (const row of yield* snapshotsBefore(SCREEN_SNAPSHOT_NAME, stream, Math.max(0, sequence))) {
    const state = snapshotState(row, SCREEN_VERSION)
    if (state === undefined) continue
    const at = snapshotSequence(row.key)
    const redraw = yield* screens
      .exclusively(key)(
        Effect.gen(function* () {
          return (yield* screens.restore(key, at, state)) ? yield* screens.redraw(key, options) : undefined
        })
      )
      // One that cannot be restored, or drawn in time: an older one may be.
      .pipe(Effect.orElseSucceed(() => undefined))
    if (redraw?.data !== undefined) return { data: redraw.data, sequence: at, size: redraw.size }
  }
  return NOTHING
})
