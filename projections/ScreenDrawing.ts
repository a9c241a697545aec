/**
 * Draws a session's journal onto its screen in ScreenService.ts: from where that is, or from the nearest snapshot, page
 * by page, every change of size in its place, and leaves snapshots behind. Looks (ScreenHistory.ts), attaching
 * (ScreenAttach.ts) and the drawing in the background (ScreenFollower.ts) are made of it. It reads the journal and
 * writes nothing but snapshots; a screen that cannot be drawn is a result, not an error.
 */
import { Clock, Effect, Stream } from "effect"
import { type JournalEntry, type SessionId, TERMINAL_CELLS_MAX, type TerminalSize } from "../journal/Event.ts"
import { Journal } from "../journal/Journal.ts"
import type { JournalDamaged } from "../journal/JournalError.ts"
import { PlainOutput } from "./PlainOutput.ts"
import { removedError, snapshotsBefore } from "./ProjectionRunner.ts"
import { SCREEN_SCROLLBACK_LINES, SCREEN_VERSION } from "./ScreenBounds.ts"
import { type ScreenDefeated, type ScreenError, ScreenService, type ScreenServiceShape } from "./ScreenService.ts"
import { ScreenSteps } from "./ScreenSteps.ts"
import { SNAPSHOT_SPACE, snapshotKey, snapshotRowOf, snapshotSequence, snapshotState } from "./SnapshotRow.ts"

/** Name of the screens' snapshots in the snapshots' space. */
export const SCREEN_SNAPSHOT_NAME = "screen"
/** Output that a session's screen is drawn for at a time in the background: about 30 ms of drawing. */
export const SCREEN_SNAPSHOT_BYTES = 1024 * 1024
/** Bytes drawn before a snapshot is worth its write. A jump to any place draws so many, and a page, at most. */
const SNAPSHOT_EVERY_BYTES = 512 * 1024

/** Events for which it is worth to look whether they can be jumped over: some pages. */
const JUMP_EVENTS_MIN = 32
/** Line feeds that take every line off the largest screen and what is kept above it, wherever the cursor was. */
const JUMP_LINES = SCREEN_SCROLLBACK_LINES + 2 * TERMINAL_CELLS_MAX
/** Of the end that is read instead of everything: at least what `Screen.jump` looks at, at most some pages. */
const JUMP_BYTES_MIN = 32 * 1024
const JUMP_BYTES_MAX = 1024 * 1024
const LF = 0x0a

export interface DrawOptions {
  /** Bytes drawn before a snapshot is kept; SNAPSHOT_EVERY_BYTES if absent. */
  readonly snapshotBytes?: number | undefined
  /** Bytes drawn since the last snapshot for which one more is kept at the end; none is if absent. */
  readonly restBytes?: number | undefined
  /** After each page: a pause, for drawing that is in no hurry. */
  readonly afterPage?: Effect.Effect<void> | undefined
}

export type Drawing<A> =
  | {
      readonly _tag: "Drawn"
      /** Last event drawn. */
      readonly sequence: number
      readonly answer: A
      /** The time was over before the goal. */
      readonly behind: boolean
      readonly damage: JournalDamaged | null
    }
  | { readonly _tag: "Defeated"; readonly from: number; readonly reason: string }
  | { readonly _tag: "Lost" }
  | { readonly _tag: "Unavailable"; readonly reason: string; readonly damage: JournalDamaged | null }

/**
 * Draws the session's screen of this key up to `goal`, or as far as it gets in `millis`, and asks the screen. The time
 * begins when there is a screen to draw on: starting the thread takes as long as it takes. Whoever calls holds the key (`ScreenService.exclusively`).
 */
export const drawTo = <A>(
  stream: SessionId,
  key: string,
  goal: number,
  millis: number,
  ask: (screens: ScreenServiceShape) => Effect.Effect<A, ScreenError>,
  {
    afterPage = Effect.void,
    restBytes = Number.POSITIVE_INFINITY,
    snapshotBytes = SNAPSHOT_EVERY_BYTES
  }: DrawOptions = {}
) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const screens = yield* ScreenService
    const redactions = journal.redaction.count(stream)
    if (redactions !== (drawnAfter.get(screens)?.get(key) ?? 0)) {
      // What it shows is not in the journal any more.
      yield* screens.close(key)
      const keys = drawnAfter.get(screens) ?? new Map<string, number>()
      drawnAfter.set(screens, keys.set(key, redactions))
    }
    const position = screens.position(key)
    let drawn = yield* startAt(stream, key, goal, position !== undefined && position <= goal ? position : undefined)
    let until = drawn === undefined ? undefined : (yield* Clock.currentTimeMillis) + millis
    let unsaved = 0
    let behind = false
    let damage: JournalDamaged | null = null
    const page = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>) {
      if (journal.redaction.count(stream) !== redactions)
        return yield* Effect.fail({ _tag: "RemovedMeanwhile" as const })
      const gone = entries[0]!.event._tag === "EventsRemoved" ? entries[0]! : undefined
      if (gone !== undefined) {
        // Removed since it was looked where to begin: from what stands for it now.
        if (drawn !== undefined) return yield* Effect.fail({ _tag: "RemovedMeanwhile" as const })
        return yield* Effect.fail({ _tag: "Unavailable" as const, reason: removedError(stream, gone).message })
      }
      const { size, steps, bytes, firstDrawn } = stepsOf(entries)
      const last = entries[entries.length - 1]!.sequence
      if (size !== undefined) yield* screens.open(key, entries[0]!.sequence, size)
      if (drawn === undefined && size === undefined) {
        return yield* Effect.fail({ _tag: "Unavailable" as const, reason: "the session's first event is missing" })
      }
      yield* screens
        .draw(key, steps, last)
        .pipe(
          Effect.catchTag("ScreenDefeated", ({ reason }) =>
            Effect.fail({ _tag: "Defeated" as const, from: firstDrawn, reason })
          )
        )
      drawn = last
      unsaved += bytes
      if (unsaved >= snapshotBytes) {
        unsaved = 0
        yield* save(stream, key, last, redactions)
      }
      const now = yield* Clock.currentTimeMillis
      until ??= now + millis
      behind = last < goal && now >= until
      if (behind) return yield* Effect.fail({ _tag: "Behind" as const })
      yield* afterPage
    })
    const drawUntil = (place: number) =>
      (drawn ?? 0) >= place
        ? Effect.void
        : journal.read(stream, { after: drawn ?? 0, until: place }).pipe(
            Stream.runForEachArray(page),
            Effect.catchTag("Behind", () => Effect.void),
            Effect.catchTag("JournalDamaged", (found) =>
              Effect.sync(() => {
                damage = found
              })
            )
          )
    // Asked for now that there is a goal: it speaks of everything up to what is being journaled.
    const plain = goal - (drawn ?? 0) > JUMP_EVENTS_MIN ? yield* plainBefore(stream, goal) : undefined
    const plainAfter = plain?.after ?? Number.POSITIVE_INFINITY
    if (goal - Math.max(drawn ?? 0, plainAfter) > JUMP_EVENTS_MIN) {
      // With the first plain event drawn too: the one before it may have ended within a sequence.
      yield* drawUntil(plainAfter + 1)
      if (drawn !== undefined && drawn > plainAfter && !behind && damage === null) {
        const end = yield* plainEnd(stream, drawn, goal)
        if (end !== undefined && (yield* screens.jump(key, end, goal))) {
          drawn = goal
          // It stands for more than that.
          unsaved = snapshotBytes
          if (plain?.isKept === false && journal.redaction.count(stream) === redactions) {
            yield* Effect.ignore(journal.putRows([plainRow(stream, plainAfter, goal)]))
          }
        }
      }
    }
    if (!behind && damage === null) yield* drawUntil(goal)
    if (drawn === undefined) {
      const found = damage as JournalDamaged | null
      return {
        _tag: "Unavailable",
        reason: found?.message ?? "nothing has happened in this session yet",
        damage: found
      } as Drawing<A>
    }
    if (unsaved >= restBytes) yield* save(stream, key, drawn, redactions)
    const answer = yield* ask(screens)
    return { _tag: "Drawn", sequence: drawn, answer, behind, damage } as Drawing<A>
  }).pipe(
    Effect.catchTag("Defeated", (defeated) => Effect.succeed<Drawing<A>>(defeated)),
    Effect.catchTag(["ScreenLost", "RemovedMeanwhile"], () => Effect.succeed<Drawing<A>>({ _tag: "Lost" })),
    // Not while output was drawn (that is Defeated): a view or a blank screen. Nothing to quarantine for.
    Effect.catchTag("ScreenDefeated", ({ reason }: ScreenDefeated) =>
      Effect.succeed<Drawing<A>>({ _tag: "Unavailable", reason, damage: null })
    ),
    Effect.catchTag("ScreenUnavailable", ({ reason }) =>
      Effect.succeed<Drawing<A>>({ _tag: "Unavailable", reason, damage: null })
    ),
    Effect.catchTag("Unavailable", ({ reason }) =>
      Effect.succeed<Drawing<A>>({ _tag: "Unavailable", reason, damage: null })
    )
  )

/** The end of the output up to `goal`: enough of it to fill any screen and what is kept above it. Undefined when it is short. */
const plainEnd = Effect.fnUntraced(function* (stream: SessionId, after: number, goal: number) {
  const journal = yield* Journal
  const pieces: Array<Uint8Array> = []
  let bytes = 0
  let lines = 0
  let isWhole = true
  yield* journal.readBackwards(stream, { before: goal + 1 }).pipe(
    Stream.runForEachWhile(({ event, sequence }) =>
      Effect.sync(() => {
        isWhole = sequence > after && event._tag !== "Resized"
        if (!isWhole) return false
        if (event._tag !== "OutputReceived" || event.channel !== "tty") return true
        pieces.push(event.data)
        bytes += event.data.byteLength
        for (let at = event.data.indexOf(LF); at !== -1; at = event.data.indexOf(LF, at + 1)) lines++
        return bytes < JUMP_BYTES_MAX && (bytes < JUMP_BYTES_MIN || lines < JUMP_LINES)
      })
    ),
    // Whoever draws forwards says what is damaged.
    Effect.catchTag("JournalDamaged", () =>
      Effect.sync(() => {
        isWhole = false
      })
    )
  )
  return isWhole && lines >= JUMP_LINES ? Uint8Array.from(Buffer.concat(pieces.reverse())) : undefined
})

/** Name, in the snapshots' space, of what is known of stretches of plain text: at its last event, the event before its first. */
const PLAIN_NAME = "plain"
const PLAIN_VERSION = 1

/**
 * The event after which everything up to `goal` is plain text, as the engine says that journals it, or as it said when
 * it was jumped over: what was passed over then is not drawn later either, when nobody remembers.
 */
const plainBefore = Effect.fnUntraced(function* (stream: SessionId, goal: number) {
  const after = (yield* PlainOutput).after(stream)
  if (after !== undefined && after < goal) return { after, isKept: false }
  const journal = yield* Journal
  const [row] = yield* Stream.runCollect(
    journal.rows(SNAPSHOT_SPACE, {
      from: snapshotKey(PLAIN_NAME, stream, goal),
      to: snapshotKey(PLAIN_NAME, stream, Number.MAX_SAFE_INTEGER),
      limit: 1
    })
  )
  const state = row && snapshotState(row, PLAIN_VERSION)
  if (state?.byteLength !== 8) return undefined
  const kept = Number(Buffer.from(state).readBigUInt64BE())
  return kept < goal ? { after: kept, isKept: true } : undefined
})

const plainRow = (stream: SessionId, after: number, until: number) => {
  const state = Buffer.alloc(8)
  state.writeBigUInt64BE(BigInt(after))
  return snapshotRowOf(PLAIN_NAME, PLAIN_VERSION, stream, until, state)
}

/** Of screens of sessions that were redacted: after how many redactions they were drawn. */
const drawnAfter = new WeakMap<ScreenServiceShape, Map<string, number>>()

/** The place that drawing goes on from: the live screen, or a snapshot that is further; undefined is the beginning. */
const startAt = Effect.fnUntraced(function* (
  stream: SessionId,
  key: string,
  goal: number,
  position: number | undefined
) {
  const journal = yield* Journal
  const screens = yield* ScreenService
  const gone = yield* journal.removal.of(stream)
  const isKept = gone?.event._tag !== "EventsRemoved" || gone.event.kept.includes(SCREEN_SNAPSHOT_NAME)
  // The events between it and what stands for those removed cannot be drawn any more.
  const first = gone === undefined ? 0 : gone.sequence + (isKept ? 0 : 1)
  const isBehind = position !== undefined && position >= first
  for (const row of yield* snapshotsBefore(SCREEN_SNAPSHOT_NAME, stream, goal)) {
    const sequence = snapshotSequence(row.key)
    if (isBehind && sequence <= position) break
    const state = snapshotState(row, SCREEN_VERSION)
    if (state === undefined) continue
    const restored = yield* screens
      .restore(key, sequence, state)
      .pipe(Effect.catchTag("ScreenDefeated", () => Effect.succeed(false)))
    if (restored) return sequence
  }
  // A snapshot that defeated the thread took the live screen with it.
  return isBehind ? screens.position(key) : undefined
})

const save = Effect.fnUntraced(function* (stream: SessionId, key: string, sequence: number, redactions: number) {
  const journal = yield* Journal
  const screens = yield* ScreenService
  const state = yield* screens.serialize(key)
  if (state === undefined || journal.redaction.count(stream) !== redactions) return
  yield* Effect.ignore(journal.putRows([snapshotRowOf(SCREEN_SNAPSHOT_NAME, SCREEN_VERSION, stream, sequence, state)]))
})

/** What a page draws, and the first event whose output can be to blame. `size`: of the blank screen it begins with. */
export const stepsOf = (entries: ReadonlyArray<JournalEntry>) => {
  const steps = new ScreenSteps()
  let size: TerminalSize | undefined
  let firstDrawn: number | undefined
  for (const { event, sequence } of entries) {
    if (event._tag === "OutputReceived") {
      if (event.channel === "tty" && event.data.length > 0) {
        firstDrawn ??= sequence
        steps.output(event.data)
      }
    } else if (event._tag === "Resized") steps.resize(event.size)
    else if (event._tag === "SessionCreated") size = event.size
  }
  return { size, steps: steps.end(), bytes: steps.bytes, firstDrawn: firstDrawn ?? entries[0]!.sequence }
}
