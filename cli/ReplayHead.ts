/**
 * The place at which a recording is shown, and the screen there: on by events, to any place forward and backward. A jump
 * begins with a snapshot (ReplayDrawing.ts has it; that makes it as fast backward as forward); what is near is drawn on
 * from where it is. The screen is this process's own, in a thread with a deadline: what the recorded program wrote can
 * end that thread and nothing else. It knows no clock and no terminal.
 */
import { pathToFileURL } from "node:url"
import { Effect, Option, Stream } from "effect"
import type { JournalEntry, TerminalSize } from "../journal/Event.ts"
import type { PictureArea, ScreenPicture } from "../projections/ScreenPicture.ts"
import { makeScreenService, type ScreenError, ScreenLost, ScreenOptions } from "../projections/ScreenService.ts"
import { screenWorkerEntry } from "../src/EntryPoints.ts"
import { eventAt, type ReadError, timeOf } from "../src/session/HistoryPlace.ts"
import type { InvalidRequest } from "../src/session/SessionError.ts"
import type { SessionView } from "../src/session/SessionView.ts"
import type { HistoryOnDemand } from "./HistoryOnDemand.ts"
import { type DrawnScreen, terminalDrawing } from "./ReplayDrawing.ts"
import { shellDrawing } from "./ShellDrawing.ts"

const KEY = "replay"
/** Read at a time; a page of the journal is smaller where its events are large. */
const READ_EVENTS = 1024
/** Drawn on to instead of asking for a picture: a handful of events costs less than a jump. */
const NEAR_EVENTS = 32
/** Events that are tried one by one for the change before: then twice as many, up to the last figure. */
const CHANGE_EVENTS_MIN = 8
const CHANGE_EVENTS_MAX = 4096

export interface HeadPosition {
  /** Last event drawn. */
  readonly sequence: number
  /** When it happened. */
  readonly timeMicros: number
}

export const makeReplayHead = Effect.fnUntraced(function* (
  history: Pick<HistoryOnDemand, "events" | "redraw">,
  view: SessionView
) {
  const session = view.id
  const options = yield* ScreenOptions
  const screens = yield* makeScreenService({
    ...options,
    workerUrl: pathToFileURL(screenWorkerEntry),
    standsBy: true
  })
  const shown: DrawnScreen = { screens, key: KEY }
  const drawing = view.kind === "exec" ? shellDrawing(view, shown) : terminalDrawing(history, session, shown)
  let position: HeadPosition = { sequence: 0, timeMicros: 0 }
  /** Behind the position, in order. */
  let pending: ReadonlyArray<JournalEntry> = []
  /** Nothing is drawn from this event on, and why. */
  let defeat: { readonly from: number; readonly reason: string } | undefined
  /** Of a blank screen, where there is none to begin with. */
  let blankSize: TerminalSize = { cols: 80, rows: 24 }
  /** A screen was made for the position, and is lost when the thread has none. */
  let isMade = false
  /** What the thread has drawn when it has what belongs to the position. */
  let drawn = 0

  const isIntact = () => isMade && screens.position(KEY) === drawn

  const load = Effect.fnUntraced(function* () {
    if (pending.length > 0) return
    const after = position.sequence
    const page = yield* history
      .events(session, { after, until: after + READ_EVENTS })
      .pipe(Stream.chunks, Stream.runHead)
    pending = Option.isSome(page) ? page.value : []
  })

  /** False: this defeats the screen. Afterwards the thread has what there is to draw up to `until`. */
  const drawPage = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>, until: number) {
    if (position.sequence > 0 && !isIntact()) return yield* new ScreenLost({ reason: "its thread ended" })
    const { firstDrawn, size, steps } = drawing.page(entries)
    if (size !== undefined || !isMade) yield* screens.open(KEY, entries[0]!.sequence, size ?? blankSize)
    isMade = true
    return yield* screens.draw(KEY, steps, until).pipe(
      Effect.as(true),
      Effect.catchTag("ScreenDefeated", ({ reason }) =>
        Effect.sync(() => {
          defeat = { from: firstDrawn, reason }
          return false
        })
      )
    )
  })

  /** Draws events that follow the position. */
  const draw = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>) {
    const last = entries.at(-1)
    if (last === undefined) return
    const drawable = entries.filter(({ sequence }) => defeat === undefined || sequence < defeat.from)
    const isDrawn = drawable.length > 0 && (yield* drawPage(drawable, last.sequence))
    // All of it in one step: whoever presses a key may end this anywhere else.
    pending = pending.length > entries.length ? pending.slice(entries.length) : []
    if (drawable.length > 0) drawn = last.sequence
    position = { sequence: last.sequence, timeMicros: timeOf(last) }
    if (isDrawn) yield* drawing.drawn(drawable)
  })

  /** The screen of an event from History, then on to the goal. */
  const jump = Effect.fnUntraced(function* (goal: number) {
    isMade = false
    yield* screens.close(KEY)
    const { sequence: reached, size } = yield* drawing.begin(goal)
    blankSize = size
    isMade = reached > 0
    const entry = reached === 0 ? undefined : yield* eventAt(history, session, reached)
    position = { sequence: reached, timeMicros: entry === undefined ? 0 : timeOf(entry) }
    drawn = reached
    pending = []
    yield* drawTo(goal)
    if (isMade) return
    // Nothing is there to draw; there is a screen all the same.
    yield* screens.open(KEY, drawn, blankSize)
    isMade = true
  })

  const drawTo = Effect.fnUntraced(function* (goal: number) {
    while (position.sequence < goal) {
      yield* load()
      const entries = pending.filter(({ sequence }) => sequence <= goal)
      if (entries.length === 0) return
      yield* draw(entries)
    }
  })

  const seekTo = (goal: number): Effect.Effect<void, ReadError | InvalidRequest | ScreenError> => {
    const isNear = goal >= position.sequence && goal - position.sequence <= NEAR_EVENTS
    return isNear && isIntact() && position.sequence > 0 ? drawTo(goal) : jump(goal)
  }
  /** A screen that was lost with its thread is drawn again. */
  const seek = (goal: number) => seekTo(goal).pipe(Effect.catchTag("ScreenLost", () => jump(goal)))

  /** Asks the screen of the position, which is drawn again where its thread has none. */
  const ask = <A>(of: Effect.Effect<A, ScreenError>): Effect.Effect<A, ReadError | InvalidRequest | ScreenError> => {
    const again = Effect.suspend(() => Effect.andThen(jump(position.sequence), of))
    return Effect.suspend(() => (isIntact() ? of : again)).pipe(Effect.catchTag("ScreenLost", () => again))
  }
  const picture = (area?: PictureArea) => ask(screens.picture(KEY, area))

  const look = Effect.map(picture(), lookOf)

  return {
    position: () => position,
    /** Why the screen is not that of the position; undefined where it is. */
    defeat: () => (defeat !== undefined && position.sequence >= defeat.from ? defeat : undefined),
    /** What is to be said of the position beside its screen. */
    label: drawing.label,
    seek,
    picture,
    /** Its rows as plain text. */
    content: ask(screens.view(KEY)),
    /** Draws it on a terminal of its size; no bytes where that went wrong. */
    redraw: Effect.map(ask(screens.redraw(KEY, {})), ({ data }) => data ?? new Uint8Array(0)),
    /** Events behind the position, as far as they were read; empty at the end of what there is. */
    upcoming: Effect.suspend(() => load()).pipe(Effect.map(() => pending)),
    /** Draws these: the first ones of `upcoming`. */
    draw: (entries: ReadonlyArray<JournalEntry>) =>
      draw(entries).pipe(
        Effect.catchTag("ScreenLost", () => {
          const goal = entries.at(-1)!.sequence
          return jump(goal)
        })
      ),
    /** On to the next event after which the screen looks different, or to the last one; at most to `until`. */
    nextChange: Effect.fnUntraced(function* (until: number) {
      const before = yield* look
      while (position.sequence < until) {
        yield* load()
        const next = pending[0]
        if (next === undefined) return
        yield* draw([next])
        if (drawing.isDrawing(next) && (yield* look) !== before) return
      }
    }),
    /** Back to the last event after which the screen looked different; at least to `from`. */
    previousChange: Effect.fnUntraced(function* (from: number) {
      const now = yield* look
      const end = position.sequence
      for (let count = CHANGE_EVENTS_MIN; ; count = Math.min(count * 8, CHANGE_EVENTS_MAX)) {
        const begin = Math.max(from, end - count)
        yield* seek(begin)
        let found = (yield* look) === now ? undefined : begin
        while (position.sequence < end - 1) {
          yield* load()
          const next = pending[0]
          if (next === undefined) break
          yield* draw([next])
          if (drawing.isDrawing(next)) {
            if ((yield* look) !== now) found = next.sequence
          } else if (found === next.sequence - 1) found = next.sequence
        }
        if (found !== undefined) return yield* seek(found)
        if (begin === from || count === CHANGE_EVENTS_MAX) return yield* seek(begin)
      }
    })
  }
})

export type ReplayHead = Effect.Success<ReturnType<typeof makeReplayHead>>

const lookOf = ({ cursor, cursorVisible, rows, size }: ScreenPicture): string =>
  `${size.cols}x${size.rows} ${cursorVisible ? `${cursor.x},${cursor.y}` : ""}\n${rows.join("\n")}`
