import { assert, describe, it } from "@effect/vitest"
import { makePromptMarkFilter } from "../../projections/PromptMark.ts"
import { randomCuts, randomOutput, seeded } from "./events.ts"

const through = (pieces: ReadonlyArray<Uint8Array>): string => {
  const filter = makePromptMarkFilter()
  const out = pieces.map((piece) => Buffer.from(filter.feed(piece)))
  return Buffer.concat([...out, filter.end()]).toString("latin1")
}
const filtered = (text: string) => through([Buffer.from(text, "latin1")])

describe("makePromptMarkFilter", () => {
  it("10.5.11 says redraw=0 in every prompt mark, and nothing else", () => {
    for (const [from, to] of [
      ["\x1b]133;A\x07$ ", "\x1b]133;A;redraw=0\x07$ "],
      ["\x1b]133;A\x1b\\$ ", "\x1b]133;A;redraw=0\x1b\\$ "],
      ["\x1b]133;A;redraw=1\x07", "\x1b]133;A;redraw=0\x07"],
      ["\x1b]133;A;redraw=last\x1b\\", "\x1b]133;A;redraw=0\x1b\\"],
      ["\x1b]133;A;redraw=0\x07", "\x1b]133;A;redraw=0\x07"],
      ["\x1b]133;A;redraw=0;k=s\x07", "\x1b]133;A;redraw=0;k=s\x07"],
      ["\x1b]133;A;cl=m;aid=7\x07", "\x1b]133;A;cl=m;aid=7;redraw=0\x07"],
      ["\x1b]133;A;redraw=1;k=s\x07", "\x1b]133;A;k=s;redraw=0\x07"],
      ["\x1b]133;B\x07\x1b]133;C\x07out\x1b]133;D;0\x07", "\x1b]133;B\x07\x1b]133;C\x07out\x1b]133;D;0\x07"],
      ["\x1b]133;AB\x07", "\x1b]133;AB\x07"],
      ["\x1b]133;A\x18text\x07", "\x1b]133;A\x18text\x07"],
      ["\x1b]133;A\x1b[31m\x07", "\x1b]133;A\x1b[31m\x07"],
      ["\x1b\x1b]133;A\x07", "\x1b\x1b]133;A;redraw=0\x07"],
      ["\x1b]133;A\x1b]133;A\x07", "\x1b]133;A\x1b]133;A;redraw=0\x07"],
      ["a\x1b]133;A\x07b\x1b]133;A\x07c", "a\x1b]133;A;redraw=0\x07b\x1b]133;A;redraw=0\x07c"],
      [`\x1b]133;A;${"x".repeat(5000)}\x07`, `\x1b]133;A;${"x".repeat(5000)}\x07`.replace(/\x07$/, ";redraw=0\x07")]
    ] as const) {
      assert.strictEqual(filtered(from), to)
      if (from.length > 100) continue
      for (let cut = 1; cut < from.length; cut++) {
        const data = Buffer.from(from, "latin1")
        assert.strictEqual(through([data.subarray(0, cut), data.subarray(cut)]), to, `${JSON.stringify(from)} ${cut}`)
      }
    }
  })

  it("10.5.11 holds nothing back but the beginning of a mark, and that only so long", () => {
    const filter = makePromptMarkFilter()
    const feed = (text: string) => Buffer.from(filter.feed(Buffer.from(text))).toString()
    assert.strictEqual(feed("text\x1b[31"), "text\x1b[31")
    assert.strictEqual(feed("m\x1b]0;title"), "m\x1b]0;title")
    assert.strictEqual(feed("\x07ab\x1b]13"), "\x07ab")
    assert.strictEqual(feed("4;x"), "\x1b]134;x")
    assert.strictEqual(feed("\x1b]133;A;k="), "")
    assert.strictEqual(feed("s\x07"), "\x1b]133;A;k=s;redraw=0\x07")
    assert.strictEqual(feed("\x1b]133;A;"), "")
    assert.strictEqual(feed("x".repeat(2000)).length, 2008)
    assert.strictEqual(filter.end().length, 0)
  })

  it("other output passes as it is, however it is cut", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seeded(seed)
      const data = randomOutput(random, 80)
      const cuts = [0, ...randomCuts(random, data.length, 10), data.length]
      const pieces = cuts.slice(1).map((to, index) => data.subarray(cuts[index], to))
      assert.strictEqual(through(pieces), Buffer.from(data).toString("latin1"), `seed ${seed}`)
    }
  })
})
