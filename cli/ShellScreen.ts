/**
 * The screen of a shell for commands at a place, as replay shows it, for a command that looks once. It is drawn from the
 * session's beginning each time, since nothing keeps it: what cannot be drawn in time is told, as of any other screen.
 */
import { Clock, Effect } from "effect"
import type { ScreenContent } from "../projections/Screen.ts"
import type { HistoryShape } from "../src/session/History.ts"
import type { ScreenView, SessionView } from "../src/session/SessionView.ts"
import { makeReplayHead } from "./ReplayHead.ts"

/** Longest time that is drawn; a hundred megabytes of output and more. Somebody waits. */
const LOOK_MILLIS = 10_000

/** At the view's last event, or as far towards it as there was time for; and how that is to be told. */
const drawnHead = Effect.fnUntraced(function* (history: HistoryShape, view: SessionView) {
  const goal = view.sequence
  const head = yield* makeReplayHead(history, view)
  const until = (yield* Clock.currentTimeMillis) + LOOK_MILLIS
  while (head.position().sequence < goal && (yield* Clock.currentTimeMillis) < until) {
    const entries = (yield* head.upcoming).filter(({ sequence }) => sequence <= goal)
    if (entries.length === 0) break
    yield* head.draw(entries)
  }
  const defeat = head.defeat()
  const { sequence } = head.position()
  const place: Place =
    defeat === undefined
      ? { sequence, status: sequence < goal ? "behind" : "ok", reason: null }
      : { sequence: defeat.from - 1, status: "quarantined", reason: defeat.reason }
  return { head, place }
})

type Place = Pick<ScreenView, "sequence" | "status" | "reason">

const NO_SCREEN = ["ScreenDefeated", "ScreenLost", "ScreenUnavailable"] as const

/** Of the view's last event. Where it is not of that event, its status says why. */
export const shellScreen = (history: HistoryShape, view: SessionView) =>
  Effect.gen(function* () {
    const { head, place } = yield* drawnHead(history, view)
    return viewOf(yield* head.content, place)
  }).pipe(
    Effect.catchTag(NO_SCREEN, ({ reason }) =>
      Effect.succeed({ ...viewOf(undefined, { sequence: 0, status: "unavailable", reason }), size: view.size })
    )
  )

/** The same as bytes that draw it, of the event `sequence`; `reason` says why that is not the view's last one. */
export const shellRedraw = (history: HistoryShape, view: SessionView) =>
  Effect.gen(function* () {
    const { head, place } = yield* drawnHead(history, view)
    const reason = place.status === "behind" ? "more takes too long to draw" : place.reason
    return { data: yield* head.redraw, sequence: place.sequence, reason }
  }).pipe(Effect.catchTag(NO_SCREEN, ({ reason }) => Effect.succeed({ data: new Uint8Array(0), sequence: 0, reason })))

const viewOf = (content: ScreenContent | undefined, place: Place): ScreenView => ({
  ...place,
  size: content?.size ?? { cols: 80, rows: 24 },
  cursor: content?.cursor ?? { x: 0, y: 0 },
  alternate: content?.alternate ?? false,
  lines: content?.lines ?? []
})
