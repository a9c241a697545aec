import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { outputOf } from "../../src/remote/SessionOutput.ts"
import type { FollowEvents } from "../../src/session/History.ts"
import { outputItems } from "../../src/session/OutputItem.ts"
import { entry, fakeHistory, output, SESSION } from "./fakeEngine.ts"

const bytes = (...values: Array<number>) => Uint8Array.from(values)

describe("SessionOutput", () => {
  it("joins neighbours, keeps order, and passes on what ends or interrupts the output", () => {
    const items = outputItems([
      entry(1, { _tag: "ProcessStarted", pid: 1, startTime: "1", keeper: "" }),
      output(2, 0, bytes(1, 2)),
      entry(3, { _tag: "InputWritten", data: bytes(9) }),
      output(4, 2, bytes(3)),
      entry(5, { _tag: "GapDetected", what: "output", from: 3, to: 5, why: "lost" }),
      output(6, 5, bytes(6)),
      entry(7, { _tag: "LeaderExited", exitCode: 3, signal: null }),
      output(8, 6, bytes(7)),
      entry(9, { _tag: "SessionClosed", exitCode: 3, signal: null, reason: "exited", survivors: [] })
    ])
    assert.deepStrictEqual(
      items.map((item) =>
        item._tag === "Output" ? [...item.data, `@${item.offset}`, `#${item.sequence}`] : item._tag
      ),
      [[1, 2, 3, "@0", "#4"], "Missing", [6, "@5", "#6"], "Exited", [7, "@6", "#8"], "Ended"]
    )
  })

  it("does not copy a large piece, and leaves the streams of an exec out", () => {
    const large = new Uint8Array(64 * 1024 - 1)
    const items = outputItems([
      output(1, 0, bytes(1)),
      output(2, 1, large),
      entry(3, { _tag: "OutputReceived", channel: "stdout", exec: 1, offset: 0, data: bytes(5) }),
      output(4, 1 + large.byteLength, bytes(2))
    ])
    assert.deepStrictEqual(
      items.map((item) => item.sequence),
      [1, 2, 4]
    )
    assert.strictEqual(items[1]?._tag === "Output" && items[1].data, large)
  })

  it.effect("a page without output wakes nobody; Synced comes through", () =>
    Effect.gen(function* () {
      const pages: ReadonlyArray<FollowEvents> = [
        { _tag: "Page", entries: [entry(1, { _tag: "InputHidden" })] },
        { _tag: "Page", entries: [output(2, 0, bytes(1))] },
        { _tag: "Synced", sequence: 2 }
      ]
      const history = fakeHistory({ follow: () => Stream.fromIterable(pages).pipe(Stream.rechunk(1)) })
      const chunks: Array<number> = []
      yield* outputOf(history, SESSION).pipe(
        Stream.runForEachArray((chunk) => Effect.sync(() => chunks.push(chunk.length)))
      )
      assert.deepStrictEqual(chunks, [1, 1])
    })
  )
})
