/**
 * A shell for commands as a replay draws it: its terminal shows next to nothing, since commands print through pipes, so it
 * is drawn as recordings of it are, each command behind a `$` and its output below (src/session/TerminalSteps.ts). The
 * store keeps no screens of that, so those that were drawn are kept here, some of them.
 */
import { Effect } from "effect"
import type { JournalEntry } from "../journal/Event.ts"
import type { SessionView } from "../src/session/SessionView.ts"
import { TerminalSteps } from "../src/session/TerminalSteps.ts"
import type { DrawnScreen, ReplayDrawing } from "./ReplayDrawing.ts"
import { drawingCost, ReplaySnapshots } from "./ReplaySnapshots.ts"

interface Drawn {
  /** Not changed: the next page is drawn by a copy, which counts when it is on the screen. */
  readonly steps: TerminalSteps
  /** Of all that was drawn. */
  readonly cost: number
}

export const shellDrawing = (
  view: Pick<SessionView, "size" | "sequence">,
  { key, screens }: DrawnScreen
): ReplayDrawing => {
  const blank: Drawn = { steps: new TerminalSteps(view), cost: 0 }
  const snapshots = new ReplaySnapshots<Drawn>()
  let drawn = blank
  let next = blank
  /** Up to here what may be shown has been looked at: nothing is older than its redaction. */
  let lookedTo = view.sequence
  let canKeep = true

  const keep = Effect.fnUntraced(function* (sequence: number) {
    if (!canKeep || !snapshots.isDue(sequence, drawn.cost)) return
    const screen = yield* screens.serialize(key).pipe(
      // The thread has to be started anew, and would be for each.
      Effect.tapErrorTag("ScreenDefeated", () =>
        Effect.sync(() => {
          canKeep = false
        })
      ),
      Effect.orElseSucceed(() => undefined)
    )
    if (screen !== undefined) snapshots.keep({ sequence, cost: drawn.cost, screen, state: drawn })
  })

  return {
    begin: Effect.fnUntraced(function* (goal) {
      const snapshot = snapshots.before(goal)
      const isRestored = snapshot !== undefined && (yield* screens.restore(key, snapshot.sequence, snapshot.screen))
      drawn = isRestored ? snapshot.state : blank
      return { sequence: isRestored ? snapshot.sequence : 0, size: view.size }
    }),
    page: (entries) => {
      const steps = drawn.steps.copy()
      const page = steps.page(entries)
      next = { steps, cost: drawn.cost + drawingCost(page.bytes, entries.length) }
      return page
    },
    drawn: (entries) => {
      drawn = next
      const last = entries.at(-1)!.sequence
      if (last > lookedTo) {
        lookedTo = last
        // What was drawn of it is not to be shown any more.
        if (entries.some(({ event }) => event._tag === "PayloadsRedacted")) snapshots.clear()
      }
      return keep(last)
    },
    isDrawing,
    label: () => drawn.steps.label
  }
}

const isDrawing = ({ event }: JournalEntry): boolean => {
  switch (event._tag) {
    case "OutputReceived":
    case "Resized":
    case "SessionCreated":
    case "EventsRemoved":
    case "CommandStarted":
    case "CommandFinished":
    case "SessionClosed":
      return true
    default:
      return false
  }
}
