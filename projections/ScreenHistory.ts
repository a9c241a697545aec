/**
 * The screen of a session at any point of its history: feeds the journal to the live screens of ScreenService.ts, from
 * the nearest snapshot on, with every change of size in its place. Attaching, `show` and replay use it. Output that
 * defeats the emulator quarantines the session's screen from that event on: a row that all later looks respect, so that
 * no start and no replay runs into it again. The journal, the process and every other session go on.
 */
import { Clock, Effect, Stream } from "effect"
import type { JournalEntry, SessionId, TerminalSize } from "../journal/Event.ts"
import { Journal, type Row } from "../journal/Journal.ts"
import type { JournalDamaged } from "../journal/JournalError.ts"
import {
  HEAD,
  type HistoryPoint,
  sequenceAt,
  snapshotRowOf,
  snapshotSequence,
  snapshotState,
  snapshotsBefore
} from "./ProjectionRunner.ts"
import { SCREEN_VERSION, type ScreenContent } from "./Screen.ts"
import { type ScreenDefeated, ScreenService } from "./ScreenService.ts"
import type { ScreenStep } from "./ScreenWorker.ts"

/** Space of the quarantine rows; the key is the session's id in ASCII. */
export const QUARANTINE_SPACE = "quarantine"
/** Name of the screens' snapshots in the snapshots' space. */
export const SCREEN_SNAPSHOT_NAME = "screen"
/** Bytes drawn before a snapshot is worth its write: about 30 ms of drawing. */
const SCREEN_SNAPSHOT_BYTES = 1024 * 1024
/** Longest time one look draws before it answers `behind` with what it has; the next look goes on from there. */
export const SCREEN_LOOK_MILLIS = 10_000
/** Times a look starts again because its screen was given up for another session's. */
const LOOKS_MAX = 4

/** The fields of a screen's view, its title, and the damage that ended the drawing. */
export interface ScreenAt {
  /**
   * ok. behind: not finished within the time; drawn up to `sequence`. quarantined: the output after `sequence` defeats
   * the emulator; this is the screen before it. unavailable: see `reason`.
   */
  readonly status: "ok" | "behind" | "quarantined" | "unavailable"
  readonly reason: string | null
  /** Last event drawn. */
  readonly sequence: number
  readonly size: TerminalSize
  readonly cursor: { readonly x: number; readonly y: number }
  readonly cursorVisible: boolean
  readonly alternate: boolean
  readonly lines: ReadonlyArray<string>
  readonly title: string
  readonly damage: JournalDamaged | null
}

export interface Quarantine {
  /** First event that must not be drawn. */
  readonly from: number
  readonly reason: string
}

export interface ScreenAtOptions {
  readonly lookMillis?: number | undefined
}

/** Only StorageUnavailable fails; everything that is wrong with the screen itself is a status. */
export const screenAt = Effect.fnUntraced(function* (
  stream: SessionId,
  point: HistoryPoint = HEAD,
  options: ScreenAtOptions = {}
) {
  const screens = yield* ScreenService
  const place = yield* sequenceAt(stream, point)
  const until = (yield* Clock.currentTimeMillis) + (options.lookMillis ?? SCREEN_LOOK_MILLIS)
  let known = yield* quarantineOf(stream)
  for (let look = 0; look < LOOKS_MAX; look++) {
    const quarantine = known
    const goal = quarantine === undefined ? place.sequence : Math.min(place.sequence, quarantine.from - 1)
    // The head's screen is kept for the next look at the head; looking back uses one of its own.
    const live = screens.position(stream)
    const key = live === undefined || live <= goal ? stream : `${stream}@`
    const outcome = yield* screens.exclusively(key)(drawTo(stream, key, goal, until))
    switch (outcome._tag) {
      case "Drawn": {
        const quarantined = quarantine !== undefined && goal < place.sequence
        const damage = outcome.damage ?? place.damage
        return result(
          quarantined ? "quarantined" : outcome.behind ? "behind" : "ok",
          quarantined ? quarantine.reason : (damage?.message ?? null),
          outcome.sequence,
          outcome.content,
          damage
        )
      }
      case "Defeated":
        known = { from: outcome.from, reason: outcome.reason }
        yield* quarantineFrom(stream, known)
        continue
      case "Unavailable":
        return result("unavailable", outcome.reason, 0, undefined, outcome.damage)
      case "Lost":
        continue
    }
  }
  return result("unavailable", "the screen was given up for others several times; ask again", 0, undefined, null)
})

/** Why and from where a session's screen is quarantined; undefined when it is not, or was by another version. */
export const quarantineOf = Effect.fnUntraced(function* (stream: SessionId) {
  const journal = yield* Journal
  const row = yield* journal.row(QUARANTINE_SPACE, Buffer.from(stream, "latin1"))
  return row === undefined ? undefined : readQuarantine(row)
})

/** Keeps the earliest place. */
const quarantineFrom = Effect.fnUntraced(function* (stream: SessionId, quarantine: Quarantine) {
  const journal = yield* Journal
  const kept = yield* quarantineOf(stream)
  if (kept !== undefined && kept.from <= quarantine.from) return
  yield* Effect.logWarning("screen quarantined", { stream, from: quarantine.from, reason: quarantine.reason })
  // Where it cannot be written (a store opened for reading) the next look meets the same deadline.
  yield* Effect.ignore(journal.putRows([quarantineRow(stream, quarantine)]))
})

export const quarantineRow = (stream: SessionId, quarantine: Quarantine): Row => ({
  space: QUARANTINE_SPACE,
  key: Buffer.from(stream, "latin1"),
  value: Buffer.from(JSON.stringify({ version: SCREEN_VERSION, ...quarantine }))
})

const readQuarantine = (row: Row): Quarantine | undefined => {
  try {
    const value = JSON.parse(Buffer.from(row.value).toString()) as Quarantine & { readonly version: number }
    const valid = value.version === SCREEN_VERSION && Number.isInteger(value.from) && typeof value.reason === "string"
    return valid ? { from: value.from, reason: value.reason } : undefined
  } catch {
    return undefined
  }
}

type Outcome =
  | {
      readonly _tag: "Drawn"
      readonly sequence: number
      readonly content: ScreenContent
      readonly behind: boolean
      readonly damage: JournalDamaged | null
    }
  | { readonly _tag: "Defeated"; readonly from: number; readonly reason: string }
  | { readonly _tag: "Lost" }
  | { readonly _tag: "Unavailable"; readonly reason: string; readonly damage: JournalDamaged | null }

const drawTo = (stream: SessionId, key: string, goal: number, until: number) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const screens = yield* ScreenService
    const position = screens.position(key)
    let drawn = yield* startAt(stream, key, goal, position !== undefined && position <= goal ? position : undefined)
    let unsaved = 0
    let behind = false
    let damage: JournalDamaged | null = null
    const page = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>) {
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
      if (unsaved >= SCREEN_SNAPSHOT_BYTES) {
        unsaved = 0
        yield* save(stream, key, last)
      }
      behind = last < goal && (yield* Clock.currentTimeMillis) >= until
      if (behind) return yield* Effect.fail({ _tag: "Behind" as const })
    })
    if ((drawn ?? 0) < goal) {
      yield* journal.read(stream, { after: drawn ?? 0, until: goal }).pipe(
        Stream.runForEachArray(page),
        Effect.catchTag("Behind", () => Effect.void),
        Effect.catchTag("JournalDamaged", (found) =>
          Effect.sync(() => {
            damage = found
          })
        )
      )
    }
    if (drawn === undefined) {
      const found = damage as JournalDamaged | null
      return {
        _tag: "Unavailable",
        reason: found?.message ?? "nothing has happened in this session yet",
        damage: found
      } as Outcome
    }
    const content = yield* screens.view(key)
    return { _tag: "Drawn", sequence: drawn, content, behind, damage } as Outcome
  }).pipe(
    Effect.catchTag("Defeated", (defeated) => Effect.succeed<Outcome>(defeated)),
    Effect.catchTag("ScreenLost", () => Effect.succeed<Outcome>({ _tag: "Lost" })),
    // Not while output was drawn (that is Defeated): a view or a blank screen. Nothing to quarantine for.
    Effect.catchTag("ScreenDefeated", ({ reason }: ScreenDefeated) =>
      Effect.succeed<Outcome>({ _tag: "Unavailable", reason, damage: null })
    ),
    Effect.catchTag("ScreenUnavailable", ({ reason }) =>
      Effect.succeed<Outcome>({ _tag: "Unavailable", reason, damage: null })
    ),
    Effect.catchTag("Unavailable", ({ reason }) =>
      Effect.succeed<Outcome>({ _tag: "Unavailable", reason, damage: null })
    )
  )

/** The place that drawing goes on from: the live screen, or a snapshot that is further; undefined is the beginning. */
const startAt = Effect.fnUntraced(function* (
  stream: SessionId,
  key: string,
  goal: number,
  position: number | undefined
) {
  const screens = yield* ScreenService
  for (const row of yield* snapshotsBefore(SCREEN_SNAPSHOT_NAME, stream, goal)) {
    const sequence = snapshotSequence(row.key)
    if (position !== undefined && sequence <= position) break
    const state = snapshotState(row, SCREEN_VERSION)
    if (state === undefined) continue
    const restored = yield* screens
      .restore(key, sequence, state)
      .pipe(Effect.catchTag("ScreenDefeated", () => Effect.succeed(false)))
    if (restored) return sequence
  }
  // A snapshot that defeated the thread took the live screen with it.
  return position === undefined ? undefined : screens.position(key)
})

const save = Effect.fnUntraced(function* (stream: SessionId, key: string, sequence: number) {
  const journal = yield* Journal
  const screens = yield* ScreenService
  const state = yield* screens.serialize(key)
  if (state === undefined) return
  yield* Effect.ignore(journal.putRows([snapshotRowOf(SCREEN_SNAPSHOT_NAME, SCREEN_VERSION, stream, sequence, state)]))
})

/** What a page draws, and the first event whose output can be to blame: runs of output as one piece of bytes each, sizes between them, and the blank screen it begins with. */
const stepsOf = (entries: ReadonlyArray<JournalEntry>) => {
  const steps: Array<ScreenStep> = []
  let size: TerminalSize | undefined
  let run: Array<Uint8Array> = []
  let bytes = 0
  let firstDrawn: number | undefined
  const flush = () => {
    if (run.length === 0) return
    let length = 0
    for (const data of run) length += data.length
    // Memory of its own: it is handed to the thread, and the entries' bytes are the journal's.
    const joined = new Uint8Array(length)
    let at = 0
    for (const data of run) {
      joined.set(data, at)
      at += data.length
    }
    steps.push(joined)
    run = []
  }
  for (const { event, sequence } of entries) {
    if (event._tag === "OutputReceived") {
      if (event.channel === "tty" && event.data.length > 0) {
        firstDrawn ??= sequence
        run.push(event.data)
        bytes += event.data.length
      }
    } else if (event._tag === "Resized") {
      flush()
      steps.push(event.size)
    } else if (event._tag === "SessionCreated") size = event.size
  }
  flush()
  return { size, steps, bytes, firstDrawn: firstDrawn ?? entries[0]!.sequence }
}

const BLANK: ScreenContent = {
  size: { cols: 80, rows: 24 },
  cursor: { x: 0, y: 0 },
  cursorVisible: true,
  alternate: false,
  lines: [],
  title: ""
}

const result = (
  status: ScreenAt["status"],
  reason: string | null,
  sequence: number,
  content: ScreenContent | undefined,
  damage: JournalDamaged | null
): ScreenAt => ({ status, reason, sequence, ...(content ?? BLANK), damage })
