import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { QUARANTINE_SPACE, quarantineOf, screenAt } from "../../projections/ScreenHistory.ts"
import { ScreenOptions, ScreenService } from "../../projections/ScreenService.ts"
import { SNAPSHOT_SPACE } from "../../projections/SnapshotRow.ts"
import { created, entriesOf, output, STREAM, started } from "./events.ts"

const OTHER = "01ARZ3NDEKTSV4RRFFQ69G5FAW" as SessionId
const BASE = {
  workerUrl: new URL("../../projections/ScreenWorker.ts", import.meta.url),
  deadlineMillis: 2000,
  idleMillis: 60_000,
  screensMax: 64,
  cellsMax: 4 * 1024 * 1024
}
const layer = (options: Partial<typeof BASE> = {}) =>
  Layer.mergeAll(
    JournalMemory.layer,
    ScreenService.layer.pipe(Layer.provide(Layer.succeed(ScreenOptions, { ...BASE, ...options })))
  )
const blocked = new URL("./fixtures/BlockedWorker.ts", import.meta.url)

const write = (events: ReadonlyArray<SessionEvent>, stream = STREAM) =>
  Journal.use((journal) => journal.append(stream, entriesOf(events)))

describe("screenAt", () => {
  it.live("draws any point at its own size", () =>
    Effect.gen(function* () {
      yield* write([
        created({ size: { cols: 20, rows: 3 } }),
        started(),
        output("one\r\n", 0),
        { _tag: "Resized", size: { cols: 10, rows: 2 } },
        output("two", 5)
      ])
      const head = yield* screenAt(STREAM)
      assert.deepInclude(head, { status: "ok", sequence: 5, size: { cols: 10, rows: 2 }, lines: ["one", "two"] })
      assert.deepStrictEqual(head.cursor, { x: 3, y: 1 })
      const past = yield* screenAt(STREAM, { _tag: "Sequence", sequence: 3 })
      assert.deepInclude(past, { status: "ok", sequence: 3, size: { cols: 20, rows: 3 }, lines: ["one", "", ""] })
      const timed = yield* screenAt(STREAM, { _tag: "Time", timeMicros: 4_500_000 })
      assert.deepInclude(timed, { sequence: 4, size: { cols: 10, rows: 2 } })
      yield* write([output("!", 8)])
      assert.strictEqual((yield* screenAt(STREAM)).lines[1], "two!")
      assert.deepInclude(yield* screenAt(OTHER), { status: "unavailable", sequence: 0 })
    }).pipe(Effect.provide(layer()))
  )

  it.live("finds its worker beside its own source without being told", () =>
    Effect.gen(function* () {
      yield* write([created(), output("default")])
      assert.strictEqual((yield* screenAt(STREAM)).lines[0], "default")
    }).pipe(Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))
  )

  it.live("goes on from a snapshot, and a screen made of snapshots equals one that was replayed", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const line = (i: number) => `\x1b[3${i % 8}mline ${i} ${"é".repeat(i % 50)}\x1b[0m\r\n`
      const chunks = Array.from({ length: 60 }, (_, i) =>
        output(Array.from({ length: 600 }, (_, j) => line(i * 600 + j)).join(""))
      )
      yield* write([created({ size: { cols: 40, rows: 10 } }), ...chunks.slice(0, 40)])
      const replayed = yield* screenAt(STREAM)
      assert.isAbove((yield* Stream.runCollect(journal.rows(SNAPSHOT_SPACE))).length, 0)
      yield* write(chunks.slice(40))
      yield* screenAt(STREAM)
      // The head's screen is further by now: this one begins at a snapshot.
      const again = yield* screenAt(STREAM, { _tag: "Sequence", sequence: 41 })
      assert.deepStrictEqual(again, replayed)
    }).pipe(Effect.provide(layer()))
  )

  it.live(
    "hostile case 1: output that defeats the emulator is quarantined; other sessions and the next look go on",
    () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* write([created(), output("before"), output("HANG"), output("after")])
        yield* write([created(), output("fine")], OTHER)
        yield* screenAt(OTHER)
        const [bad, good] = yield* Effect.all([screenAt(STREAM), Effect.andThen(Effect.sleep(50), screenAt(OTHER))], {
          concurrency: 2
        })
        assert.strictEqual(bad.status, "quarantined")
        assert.include(bad.reason, "no answer in 300 ms")
        assert.deepInclude(good, { status: "ok", sequence: 2 })
        assert.strictEqual(good.lines[0], "fine")
        assert.isDefined(yield* quarantineOf(STREAM))
        const screens = yield* ScreenService
        // Drawn in the thread that came after: on a busy machine the look above may have been before the end of the first.
        yield* screenAt(OTHER)
        assert.isDefined(screens.position(OTHER))
        assert.strictEqual((yield* screenAt(STREAM)).status, "quarantined")
        // The next look does not meet the deadline again: the thread, and the other's screen in it, lived on.
        assert.isDefined(screens.position(OTHER))
        assert.deepInclude(yield* screenAt(STREAM, { _tag: "Sequence", sequence: 1 }), { status: "ok", sequence: 1 })
        assert.isDefined(yield* journal.row(QUARANTINE_SPACE, Buffer.from(STREAM)))
      }).pipe(Effect.provide(layer({ workerUrl: blocked, deadlineMillis: 300 })))
  )

  it.live("a thread that ends is replaced", () =>
    Effect.gen(function* () {
      yield* write([created(), output("CRASH")])
      yield* write([created(), output("fine")], OTHER)
      assert.strictEqual((yield* screenAt(STREAM)).status, "quarantined")
      assert.strictEqual((yield* screenAt(OTHER)).lines[0], "fine")
    }).pipe(Effect.provide(layer({ workerUrl: blocked })))
  )

  it.live("a thread that cannot start makes the screen unavailable and nothing else", () =>
    Effect.gen(function* () {
      yield* write([created(), output("x")])
      assert.strictEqual((yield* screenAt(STREAM)).status, "unavailable")
    }).pipe(Effect.provide(layer({ workerUrl: new URL("./fixtures/Missing.ts", import.meta.url) })))
  )

  it.live("more sessions than screens: the least recently looked at is drawn again", () =>
    Effect.gen(function* () {
      const streams = Array.from({ length: 5 }, (_, i) => `01ARZ3NDEKTSV4RRFFQ69G5FB${i}` as SessionId)
      for (const [i, stream] of streams.entries()) yield* write([created(), output(`session ${i}`)], stream)
      const screens = yield* ScreenService
      for (let round = 0; round < 3; round++) {
        for (const [i, stream] of streams.entries()) {
          assert.strictEqual((yield* screenAt(stream)).lines[0], `session ${i}`)
        }
      }
      assert.strictEqual(streams.filter((stream) => screens.position(stream) !== undefined).length, 2)
      const all = yield* Effect.forEach([...streams, ...streams], (stream) => screenAt(stream), { concurrency: 10 })
      assert.deepStrictEqual(new Set(all.map((one) => one.status)), new Set(["ok"]))
    }).pipe(Effect.provide(layer({ screensMax: 2 })))
  )

  it.live("an idle thread ends and the next look starts another", () =>
    Effect.gen(function* () {
      yield* write([created(), output("x")])
      yield* screenAt(STREAM)
      const screens = yield* ScreenService
      while (screens.position(STREAM) !== undefined) yield* Effect.sleep(10)
      assert.strictEqual((yield* screenAt(STREAM)).lines[0], "x")
    }).pipe(Effect.provide(layer({ idleMillis: 20 })))
  )

  it.live("a look that takes too long answers what it has, and the next goes on from there", () =>
    Effect.gen(function* () {
      yield* write([created(), ...Array.from({ length: 50 }, (_, i) => output(`${"y".repeat(30_000)}\r\n${i}`))])
      const first = yield* screenAt(STREAM, { _tag: "Head" }, { lookMillis: 0 })
      assert.strictEqual(first.status, "behind")
      assert.isBelow(first.sequence, 51)
      let last = first
      while (last.status === "behind") {
        const next = yield* screenAt(STREAM, { _tag: "Head" }, { lookMillis: 0 })
        assert.isAbove(next.sequence, last.sequence)
        last = next
      }
      assert.deepInclude(last, { status: "ok", sequence: 51 })
    }).pipe(Effect.provide(layer()))
  )
})
