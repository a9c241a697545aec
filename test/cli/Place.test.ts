import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parsePlace } from "../../cli/Place.ts"
import { keysOf } from "../../cli/ReplayKeys.ts"
import { pointOfPlace } from "../../src/session/HistoryPlace.ts"
import type { SessionView } from "../../src/session/SessionView.ts"

describe("places", () => {
  it("are read in every form, and what is none is none", () => {
    const cases: ReadonlyArray<readonly [string, unknown]> = [
      ["120", { _tag: "Sequence", sequence: 120 }],
      ["1:23", { _tag: "Offset", micros: 83_000_000 }],
      ["1:02:03.5", { _tag: "Offset", micros: 3_723_500_000 }],
      ["+1.5s", { _tag: "Offset", micros: 1_500_000 }],
      ["50%", { _tag: "Percent", percent: 50 }],
      ["@14:30", { _tag: "Clock", seconds: 52_200 }],
      ["2026-01-31T14:30:00Z", { _tag: "Time", timeMicros: Date.parse("2026-01-31T14:30:00Z") * 1000 }],
      ["1790000000", { _tag: "Time", timeMicros: 1_790_000_000_000_000 }],
      ["marker:a b", { _tag: "Marker", label: "a b" }],
      ["command:3", { _tag: "Command", number: 3 }],
      ["text:1:23", { _tag: "Text", text: "1:23" }],
      ["/x", { _tag: "Text", text: "x" }],
      ["begin", { _tag: "Begin" }],
      ["end", { _tag: "End" }]
    ]
    for (const [text, place] of cases) assert.deepStrictEqual(parsePlace(text), place as never, text)
    for (const text of ["", "1:60", "1:2", "101%", "@24:00", "@1:60", "command:x", "marker:", "-5", "yesterday", "/"]) {
      assert.isUndefined(parsePlace(text), text)
    }
  })

  it.effect("a time to the second, as `list` shows it, is in the session that began within it", () =>
    Effect.gen(function* () {
      const createdAt = 1_790_000_000_900_000
      const point = (timeMicros: number) =>
        pointOfPlace({ events: () => assert.fail("read") }, { createdAt } as Partial<SessionView> as SessionView, {
          _tag: "Time",
          timeMicros
        })
      assert.deepStrictEqual(yield* point(1_790_000_000_000_000), { _tag: "Time", timeMicros: createdAt })
      for (const timeMicros of [1_789_999_999_000_000, 1_790_000_000_500_000, 1_790_000_001_000_000])
        assert.deepStrictEqual(yield* point(timeMicros), { _tag: "Time", timeMicros })
    })
  )

  it("count from where one is where that is asked for", () => {
    const relative = (text: string) => parsePlace(text, { isRelative: true })
    assert.deepStrictEqual(relative("+10"), { _tag: "Relative", micros: 10_000_000 })
    assert.deepStrictEqual(relative("-5"), { _tag: "Relative", micros: -5_000_000 })
    assert.deepStrictEqual(relative("-1:30"), { _tag: "Relative", micros: -90_000_000 })
    assert.deepStrictEqual(relative("1:30"), { _tag: "Offset", micros: 90_000_000 })
  })
})

describe("keys", () => {
  it("are told from what a terminal reports", () => {
    const names = (text: string) => keysOf(Buffer.from(text)).map(({ name }) => name)
    assert.deepStrictEqual(names("q \x1b[A\x1bOD\x1b[5~é\x03\x1a\r"), [
      "q",
      " ",
      "up",
      "left",
      "pageup",
      "é",
      "^C",
      "^Z",
      "enter"
    ])
    assert.deepStrictEqual(names("\x1b[?62;c\x1b]11;rgb:0/0/0\x1b\\\x1b[12;3R\x1bP1$r\x1b\\"), [])
    assert.deepStrictEqual(names("\x1b"), ["escape"])
  })
})
