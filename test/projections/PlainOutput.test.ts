/** Drawing a screen without reading what plain text scrolled away: the same screen, and no more of the journal than its end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal, type JournalShape } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { PlainOutput } from "../../projections/PlainOutput.ts"
import { screenAt } from "../../projections/ScreenHistory.ts"
import { ScreenService } from "../../projections/ScreenService.ts"
import { created, entriesOf, output, STREAM } from "./events.ts"

const OTHER = "01ARZ3NDEKTSV4RRFFQ69G5FAW" as SessionId
const CHUNKS = 200

/** A coloured prompt, then chunks of numbered lines; `at` puts something else into the middle. */
const session = (at?: SessionEvent): ReadonlyArray<SessionEvent> => {
  const events: Array<SessionEvent> = [created(), output("\x1b[32m$\x1b[34m go\r\n", 0)]
  let offset = 20
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    if (chunk === CHUNKS / 2 && at !== undefined) events.push(at)
    const text = Array.from({ length: 100 }, (_, i) => `${chunk * 100 + i} of a plain log\r\n`).join("")
    events.push(output(text, offset))
    offset += text.length
  }
  return events
}

const counting = (journal: JournalShape, read: Array<number>): JournalShape => ({
  ...journal,
  read: (stream, options) =>
    Stream.tap(journal.read(stream, options), () =>
      Effect.sync(() => {
        read.push(1)
      })
    )
})

const looks = (events: ReadonlyArray<SessionEvent>, plainAfter: number) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    for (const stream of [STREAM, OTHER]) yield* journal.append(stream, entriesOf(events))
    const plain = yield* PlainOutput
    plain.note(STREAM, plainAfter)
    plain.note(OTHER, Number.MAX_SAFE_INTEGER)
    const read: Array<number> = []
    const jumped = yield* Effect.provideService(screenAt(STREAM), Journal, counting(journal, read))
    const drawn = yield* screenAt(OTHER)
    assert.deepStrictEqual(jumped, drawn)
    assert.strictEqual(jumped.sequence, events.length)
    return read.length
  }).pipe(Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))

describe("PlainOutput", () => {
  it.live("a screen behind plain output is drawn from its beginning and its end", () =>
    Effect.map(looks(session(), 2), (read) => assert.isBelow(read, 10))
  )

  it.live("what was jumped over once is jumped over by whoever knows nothing of it", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const events = session()
      for (const stream of [STREAM, OTHER]) yield* journal.append(stream, entriesOf(events))
      const plain = yield* PlainOutput
      plain.note(STREAM, 2)
      yield* screenAt(STREAM)
      // As of another process, for which nothing is plain.
      for (const stream of [STREAM, OTHER]) plain.note(stream, Number.MAX_SAFE_INTEGER)
      const read: Array<number> = []
      const middle = { _tag: "Sequence", sequence: events.length - 20 } as const
      const jumped = yield* Effect.provideService(screenAt(STREAM, middle), Journal, counting(journal, read))
      assert.deepStrictEqual(jumped, yield* screenAt(OTHER, middle))
      assert.strictEqual(jumped.sequence, middle.sequence)
      assert.isBelow(read.length, 10)
    }).pipe(Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))
  )

  it.live("what is known to be plain only from the middle on is drawn up to there", () =>
    Effect.map(looks(session(output("\x1b[1;31m", 0)), 3 + CHUNKS / 2), (read) => assert.isAbove(read, CHUNKS / 2))
  )

  it.live("behind a change of size it is drawn in the new size", () =>
    Effect.asVoid(looks(session({ _tag: "Resized", size: { cols: 40, rows: 50 } }), 2 + CHUNKS / 2 + 1))
  )
})
