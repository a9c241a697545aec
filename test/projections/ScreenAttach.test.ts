import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { SessionEvent } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { Screen } from "../../projections/Screen.ts"
import { screenRedraw } from "../../projections/ScreenAttach.ts"
import { screenAt } from "../../projections/ScreenHistory.ts"
import { ScreenOptions, ScreenService } from "../../projections/ScreenService.ts"
import { created, entriesOf, output, STREAM } from "./events.ts"

/** A busy machine draws slowly. */
const PATIENT = { lookMillis: 60_000 }
const SIZE = { cols: 40, rows: 10 }
const layer = (options: Partial<typeof ScreenOptions.Service> = {}) =>
  Layer.mergeAll(
    JournalMemory.layer,
    ScreenService.layer.pipe(
      Layer.provide(
        Layer.succeed(ScreenOptions, {
          workerUrl: new URL("../../projections/ScreenWorker.ts", import.meta.url),
          deadlineMillis: 2000,
          idleMillis: 60_000,
          screensMax: 64,
          cellsMax: 4 * 1024 * 1024,
          ...options
        })
      )
    )
  )
const blocked = new URL("./fixtures/BlockedWorker.ts", import.meta.url)
const write = (events: ReadonlyArray<SessionEvent>) =>
  Journal.use((journal) => journal.append(STREAM, entriesOf(events)))
const at = (sequence: number) => ({ _tag: "Sequence", sequence }) as const

/** The client's part: draws the data, then replays what follows. */
const attach = (data: Uint8Array, events: ReadonlyArray<SessionEvent>) => {
  const client = new Screen(SIZE)
  client.feed(data)
  for (const event of events) {
    if (event._tag === "OutputReceived") client.feed(event.data)
    if (event._tag === "Resized") client.resize(event.size)
  }
  return client.view()
}

describe("screenRedraw", () => {
  const events: ReadonlyArray<SessionEvent> = [
    created({ size: SIZE }),
    ...Array.from({ length: 100 }, (_, i) =>
      output(
        `${Array.from({ length: 600 }, (_, j) => `\x1b[3${j % 8}mline ${i} ${j}\x1b[0m`).join("\r\n")}\r\n$ \x1b[1;`
      )
    ),
    output("31mred\x1b[?1049h\x1b[H\x1b[44mvi")
  ]

  it.live("a client that draws the data and replays what follows sees what one sees that saw everything", () =>
    Effect.gen(function* () {
      yield* write(events)
      const head = yield* screenAt(STREAM)
      for (const point of [{ _tag: "Head" } as const, at(2), at(50), at(101), at(1)]) {
        const { data, defect, reason, sequence, size } = yield* screenRedraw(STREAM, point, PATIENT)
        assert.deepStrictEqual({ defect, reason, size }, { defect: null, reason: null, size: SIZE })
        assert.strictEqual(sequence, point._tag === "Head" ? events.length : point.sequence)
        const seen = attach(data, events.slice(sequence))
        assert.deepStrictEqual(seen.lines, head.lines)
        assert.deepInclude(seen, { cursor: head.cursor, alternate: true })
      }
    }).pipe(Effect.provide(layer()))
  )

  it.live("is of the size that was asked for", () =>
    Effect.gen(function* () {
      yield* write(events.slice(0, 2))
      const target = { cols: 20, rows: 5 }
      const { data, size } = yield* screenRedraw(STREAM, at(2), { target, scrollback: 0, ...PATIENT })
      assert.deepStrictEqual(size, target)
      const client = new Screen(target)
      client.feed(data)
      assert.deepStrictEqual(client.view().lines, ["line 0 596", "line 0 597", "line 0 598", "line 0 599", "$"])
    }).pipe(Effect.provide(layer()))
  )

  it.live("without the time to draw everything it answers the place it came to, and the client replays the rest", () =>
    Effect.gen(function* () {
      yield* write(events)
      const { data, reason, sequence } = yield* screenRedraw(STREAM, { _tag: "Head" }, { lookMillis: -1 })
      assert.isBelow(sequence, events.length)
      assert.isString(reason)
      const seen = attach(data, events.slice(sequence))
      assert.deepStrictEqual(seen, attach(new Uint8Array(0), events))
    }).pipe(Effect.provide(layer()))
  )

  it.live("output that defeats the emulator: the screen before it, and the reason", () =>
    Effect.gen(function* () {
      yield* write([created({ size: SIZE }), output("before"), output("HANG")])
      const { data, reason, sequence } = yield* screenRedraw(STREAM, { _tag: "Head" }, PATIENT)
      assert.isBelow(sequence, 3)
      assert.include(reason, "no answer in 300 ms")
      assert.strictEqual(attach(data, []).lines[0], sequence === 2 ? "before" : "")
    }).pipe(Effect.provide(layer({ workerUrl: blocked, deadlineMillis: 300 })))
  )

  it.live("a screen that our bytes do not draw again: an earlier one, and the defect is told", () =>
    Effect.gen(function* () {
      // A wide character that was not shown for want of room: a mark would be added to it, and no bytes say that.
      const odd = output("\x1b[?7l\x1b[1;40H日")
      const text = Array.from({ length: 80 }, (_, i) => output(`${"z".repeat(20_000)}\r\n${i}`))
      const all = [created({ size: SIZE }), ...text, odd]
      yield* write(all)
      const { data, defect, reason, sequence } = yield* screenRedraw(STREAM, { _tag: "Head" }, PATIENT)
      assert.isString(defect)
      assert.include(reason, defect)
      assert.isBelow(sequence, all.length)
      assert.isAbove(sequence, 1)
      assert.deepStrictEqual(attach(data, all.slice(sequence)).lines, (yield* screenAt(STREAM)).lines)
    }).pipe(Effect.provide(layer()))
  )

  it.live("nothing to draw: empty data and sequence 0", () =>
    Effect.gen(function* () {
      const { data, reason, sequence } = yield* screenRedraw(STREAM)
      assert.deepStrictEqual({ length: data.length, sequence }, { length: 0, sequence: 0 })
      assert.isString(reason)
    }).pipe(Effect.provide(layer()))
  )
})
