/**
 * Draws the screens of sessions that print much while nobody looks, so that the first look at one costs a few
 * milliseconds and not its history. The engine tells it of output that was journaled; it draws in a thread of its own,
 * of the lowest priority, and what it leaves are snapshots: ScreenHistory.ts and ScreenAttach.ts begin at the latest. It
 * is never needed: without it they draw what is missing themselves. A session that prints little is never drawn here.
 */
import { Cause, Effect, Latch, type Scope, Stream } from "effect"
import type { SessionId } from "../journal/Event.ts"
import { Journal } from "../journal/Journal.ts"
import { snapshotsBefore } from "./ProjectionRunner.ts"
import { SCREEN_VERSION } from "./ScreenBounds.ts"
import { drawTo, SCREEN_SNAPSHOT_BYTES, SCREEN_SNAPSHOT_NAME } from "./ScreenDrawing.ts"
import { quarantineOf } from "./ScreenHistory.ts"
import { makeScreenService, ScreenOptions, ScreenService } from "./ScreenService.ts"
import { snapshotSequence, snapshotState } from "./SnapshotRow.ts"

/** Output of a session that is worth drawing: as much as a look may cost. */
export const UNDRAWN_BYTES = SCREEN_SNAPSHOT_BYTES
/** Output drawn at the end of a turn that is worth a snapshot: a look then begins near where this stopped. */
const REST_BYTES = 128 * 1024
/** Longest time one session is drawn before the next one's turn. */
const TURN_MILLIS = 2000
/** Its thread ends soon: it is started by output of which there was a megabyte. */
const IDLE_MILLIS = 5000
/** Longest wait for one page: a thread of the lowest priority waits for others. */
const DEADLINE_MILLIS = 30_000
/** Emulators held at a time; another session's begins at its snapshot. */
const SCREENS_MAX = 8
/** Sessions remembered that could not be drawn; more than an engine has at a time. One that is forgotten is tried once more. */
const DEFEATING_MAX = 4096
/** What is told of within this time counts as being printed now. */
const RECENT_MILLIS = 1000
/**
 * A page is read in the engine's own thread in 1 to 2 ms, and a flood needs that thread. While the sessions together
 * print more than `FLOOD_UNITS` times UNDRAWN_BYTES a second, or print and keep that thread busy for more than
 * `BUSY_SHARE` of the time, one page is drawn every `FLOOD_PAUSE_MILLIS`; while they print less, one every
 * `PRINTING_PAUSE_MILLIS`, which keeps up with them; else without a pause.
 */
const FLOOD_UNITS = 16
const BUSY_SHARE = 0.5
const FLOOD_PAUSE_MILLIS = 100
const PRINTING_PAUSE_MILLIS = 8

export interface ScreenFollower {
  /**
   * UNDRAWN_BYTES more of the session's output were journaled. With `outputBytes`, all that it ever printed: it is drawn
   * only if that much of it is not, which is looked up later. Costs nothing here.
   */
  readonly drawLater: (session: SessionId, outputBytes?: number) => void
  /** Sessions that are to be drawn: for measurements and tests. */
  readonly waiting: () => number
}

/** Ends with its scope, and its thread with it. */
export const makeScreenFollower: (workerUrl?: URL) => Effect.Effect<ScreenFollower, never, Journal | Scope.Scope> =
  Effect.fnUntraced(function* (workerUrl?: URL) {
    const options = yield* ScreenOptions
    // Its own, beside the one that looks are drawn by.
    const screens = yield* makeScreenService({
      ...options,
      ...(workerUrl !== undefined && { workerUrl }),
      deadlineMillis: DEADLINE_MILLIS,
      idleMillis: IDLE_MILLIS,
      screensMax: SCREENS_MAX,
      isBackground: options.isBackground ?? true,
      standsBy: false
    })
    const due = new Map<SessionId, number | undefined>()
    /**
     * Their output was not drawn in time. A thread that gives way to all others may only have been kept waiting, so it
     * is for a look to say that the output is to blame, and to quarantine it; nothing more is drawn for them here.
     */
    const defeating = new Set<SessionId>()
    const defeated = (session: SessionId) => {
      defeating.add(session)
      if (defeating.size <= DEFEATING_MAX) return
      for (const oldest of defeating) {
        defeating.delete(oldest)
        break
      }
    }
    const wake = Latch.makeUnsafe(false)
    const pace = new Pace()
    let drawing = 0

    const turn = Effect.fnUntraced(function* (session: SessionId, outputBytes: number | undefined) {
      if (outputBytes !== undefined && (yield* undrawnBytes(session, outputBytes)) < UNDRAWN_BYTES) return
      const journal = yield* Journal
      const head = yield* journal.head(session)
      const quarantine = yield* quarantineOf(session)
      const goal = quarantine === undefined ? head : Math.min(head, quarantine.from - 1)
      const drawn = yield* drawTo(session, session, goal, TURN_MILLIS, () => Effect.void, {
        restBytes: REST_BYTES,
        afterPage: Effect.suspend(() => pace.pause())
      })
      if (drawn._tag === "Defeated") defeated(session)
      if (drawn._tag === "Drawn" && drawn.behind && !due.has(session)) due.set(session, undefined)
    })

    yield* Effect.gen(function* () {
      yield* wake.await
      yield* pace.begin()
      while (true) {
        const next = due.entries().next()
        if (next.done === true) break
        const [session, outputBytes] = next.value
        due.delete(session)
        drawing = 1
        // A storage that is away is told of elsewhere; more output brings the session here again.
        yield* Effect.catchCause(turn(session, outputBytes), (cause) =>
          Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.logDebug("not drawn in the background", cause)
        )
        drawing = 0
      }
      wake.closeUnsafe()
    }).pipe(Effect.forever, Effect.provideService(ScreenService, screens), Effect.forkScoped)

    return {
      drawLater: (session, outputBytes) => {
        if (outputBytes === undefined) pace.printed()
        if (defeating.has(session)) return
        // What is known to be undrawn stays so.
        if (outputBytes === undefined || !due.has(session)) due.set(session, outputBytes)
        wake.openUnsafe()
      },
      waiting: () => due.size + drawing
    }
  })

/** Output behind the latest snapshot, from the first event that is not drawn. */
const undrawnBytes = Effect.fnUntraced(function* (session: SessionId, outputBytes: number) {
  const journal = yield* Journal
  let after = 0
  for (const row of yield* snapshotsBefore(SCREEN_SNAPSHOT_NAME, session, Number.MAX_SAFE_INTEGER)) {
    if (snapshotState(row, SCREEN_VERSION) === undefined) continue
    after = snapshotSequence(row.key)
    break
  }
  let offset = outputBytes
  yield* journal.read(session, { after }).pipe(
    Stream.runForEachWhile(({ event }) =>
      Effect.sync(() => {
        if (event._tag !== "OutputReceived" || event.channel !== "tty") return true
        offset = event.offset
        return false
      })
    )
  )
  return outputBytes - offset
})

/** How fast the sessions print, and how long drawing waits for that. */
class Pace {
  #since = 0
  #units = 0
  #unitsBefore = 0
  #loop = performance.eventLoopUtilization()
  #busyShare = 0

  printed(): void {
    this.#turn()
    this.#units++
  }

  /** Much output is over after a moment: the thread is not started in the middle of it. */
  begin(): Effect.Effect<void> {
    return Effect.suspend(() => (this.#units === 0 ? Effect.void : Effect.sleep(RECENT_MILLIS)))
  }

  pause(): Effect.Effect<void> {
    this.#turn()
    const units = Math.max(this.#units, this.#unitsBefore)
    if (units === 0) return Effect.void
    const isFlood = units >= FLOOD_UNITS || this.#busyShare > BUSY_SHARE
    return Effect.sleep(isFlood ? FLOOD_PAUSE_MILLIS : PRINTING_PAUSE_MILLIS)
  }

  #turn(): void {
    // Of the process's own clock: this is about how busy it is, not about the sessions' time.
    const now = performance.now()
    if (now - this.#since < RECENT_MILLIS) return
    this.#unitsBefore = now - this.#since < 2 * RECENT_MILLIS ? this.#units : 0
    this.#units = 0
    this.#since = now
    const loop = performance.eventLoopUtilization()
    this.#busyShare = performance.eventLoopUtilization(loop, this.#loop).utilization
    this.#loop = loop
  }
}
