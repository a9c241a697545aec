/**
 * How a session's events become the screen that a replay shows. Of a terminal it is its own: a jump begins with the screen
 * that History draws, whose snapshots are in the store. Of a shell for commands it is ShellDrawing.ts. Neither knows where
 * the replay is; ReplayHead.ts does.
 */
import { Effect } from "effect"
import type { JournalEntry, SessionId, TerminalSize } from "../journal/Event.ts"
import { stepsOf } from "../projections/ScreenDrawing.ts"
import type { ScreenError, ScreenServiceShape } from "../projections/ScreenService.ts"
import type { ReadError } from "../src/session/HistoryPlace.ts"
import type { InvalidRequest } from "../src/session/SessionError.ts"
import type { DrawnPage } from "../src/session/TerminalSteps.ts"
import type { HistoryOnDemand } from "./HistoryOnDemand.ts"

/** The screen of a replay, among others of the same thread. */
export interface DrawnScreen {
  readonly screens: ScreenServiceShape
  readonly key: string
}

export interface ReplayDrawing {
  /**
   * Makes a screen to draw on from, of an event at or before the goal, and gives that event: 0 where there is none, and
   * drawing begins with the first event, on a blank screen of this size if the event has none of its own.
   */
  readonly begin: (
    goal: number
  ) => Effect.Effect<
    { readonly sequence: number; readonly size: TerminalSize },
    ReadError | InvalidRequest | ScreenError
  >
  /** What the events behind those that are drawn draw. They count as drawn when `drawn` is called. */
  readonly page: (entries: ReadonlyArray<JournalEntry>) => DrawnPage
  /** What the last `page` gave is on the screen, from the call on; what it gives may take a snapshot, or be left. */
  readonly drawn: (entries: ReadonlyArray<JournalEntry>) => Effect.Effect<void>
  /** The event can change what is shown. */
  readonly isDrawing: (entry: JournalEntry) => boolean
  /** What is to be said of the place beside its screen; undefined: nothing, or it is said elsewhere. */
  readonly label: () => string | undefined
}

/** Looks at a screen that is drawn for a second each, while they get further. */
const LOOKS_MAX = 600

export const terminalDrawing = (
  history: Pick<HistoryOnDemand, "redraw">,
  session: SessionId,
  { key, screens }: DrawnScreen
): ReplayDrawing => ({
  begin: Effect.fnUntraced(function* (goal) {
    let reached = 0
    let size: TerminalSize = { cols: 80, rows: 24 }
    for (let look = 0; look < LOOKS_MAX; look++) {
      const screen = yield* history.redraw(session, { _tag: "Sequence", sequence: goal })
      size = screen.size
      if (screen.sequence > 0) {
        yield* screens.open(key, screen.sequence, screen.size)
        yield* screens.draw(key, [Uint8Array.from(screen.data)], screen.sequence)
      }
      const isFurther = screen.sequence > reached
      reached = screen.sequence
      if (screen.reason === null || reached >= goal || !isFurther) break
    }
    return { sequence: reached, size }
  }),
  page: stepsOf,
  drawn: () => Effect.void,
  isDrawing: ({ event }) =>
    event._tag === "OutputReceived" || event._tag === "Resized" || event._tag === "SessionCreated",
  label: () => undefined
})
