/**
 * The screen of a session at any point of its history, drawn by ScreenDrawing.ts. `show` and replay use it. Output that
 * defeats the emulator quarantines the session's screen from that event on: a row that all later looks respect, so that
 * no start and no replay runs into it again. The journal, the process and every other session go on.
 */
import { Effect } from "effect"
import type { SessionId, TerminalSize } from "../journal/Event.ts"
import { Journal, type Row } from "../journal/Journal.ts"
import type { JournalDamaged } from "../journal/JournalError.ts"
import { HEAD, type HistoryPoint, sequenceAt } from "./ProjectionRunner.ts"
import type { ScreenContent } from "./Screen.ts"
import { SCREEN_VERSION } from "./ScreenBounds.ts"
import { drawTo } from "./ScreenDrawing.ts"
import { type ScreenError, ScreenService, type ScreenServiceShape } from "./ScreenService.ts"

/** Space of the quarantine rows; the key is the session's id in ASCII. */
export const QUARANTINE_SPACE = "quarantine"
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
  const millis = options.lookMillis ?? SCREEN_LOOK_MILLIS
  const seen = yield* lookAt(stream, point, millis, (screens, key) => screens.view(key))
  if (seen._tag === "Unseen") {
    const reason = seen.reason ?? "the screen was given up for others several times; ask again"
    return result("unavailable", reason, 0, undefined, seen.damage)
  }
  const { answer, behind, damage, quarantined, sequence } = seen
  return result(
    quarantined !== null ? "quarantined" : behind ? "behind" : "ok",
    quarantined ?? damage?.message ?? null,
    sequence,
    answer,
    damage
  )
})

export type Look<A> =
  | {
      readonly _tag: "Seen"
      /** Last event drawn. */
      readonly sequence: number
      readonly answer: A
      /** The time was over before the point. */
      readonly behind: boolean
      /** Why what lies between this and the point is not drawn; null where that is not for a quarantine. */
      readonly quarantined: string | null
      readonly damage: JournalDamaged | null
    }
  /** `reason` is null where the screen was given up for others again and again. */
  | { readonly _tag: "Unseen"; readonly reason: string | null; readonly damage: JournalDamaged | null }

/**
 * Draws a session's screen up to a point and asks it, again when it was given up meanwhile. Output that defeats the
 * emulator is quarantined, and what is before it is drawn.
 */
export const lookAt = Effect.fnUntraced(function* <A>(
  stream: SessionId,
  point: HistoryPoint,
  millis: number,
  ask: (screens: ScreenServiceShape, key: string) => Effect.Effect<A, ScreenError>
) {
  const screens = yield* ScreenService
  const place = yield* sequenceAt(stream, point)
  if (place.removed !== null) {
    return { _tag: "Unseen", reason: place.removed.message, damage: null } as Look<A>
  }
  let known = yield* quarantineOf(stream)
  for (let look = 0; look < LOOKS_MAX; look++) {
    const quarantine = known
    const goal = quarantine === undefined ? place.sequence : Math.min(place.sequence, quarantine.from - 1)
    // The head's screen is kept for the next look at the head; looking back uses one of its own.
    const live = screens.position(stream)
    const key = live === undefined || live <= goal ? stream : `${stream}@`
    const outcome = yield* screens.exclusively(key)(drawTo(stream, key, goal, millis, (screens) => ask(screens, key)))
    switch (outcome._tag) {
      case "Drawn": {
        const { answer, behind, sequence } = outcome
        const quarantined = quarantine !== undefined && goal < place.sequence ? quarantine.reason : null
        const damage = outcome.damage ?? place.damage
        return { _tag: "Seen", sequence, answer, behind, quarantined, damage } as Look<A>
      }
      case "Defeated":
        known = { from: outcome.from, reason: outcome.reason }
        yield* quarantineFrom(stream, known)
        continue
      case "Unavailable":
        return { _tag: "Unseen", reason: outcome.reason, damage: outcome.damage } as Look<A>
      case "Lost":
        continue
    }
  }
  return { _tag: "Unseen", reason: null, damage: null } as Look<A>
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

const quarantineRow = (stream: SessionId, quarantine: Quarantine): Row => ({
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
