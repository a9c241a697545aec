import { assert, describe, it } from "@effect/vitest"
import { foldCode, literalRuns, makeSeenSlots, markTrigrams, slotsOf } from "../../src/search/Trigrams.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

describe("search trigrams", () => {
  it("take for the same whatever a regular expression takes for the same", () => {
    const cased: Array<string> = []
    for (let code = 0x41; code < 0x1f000; code++) {
      if (code >= 0xd800 && code < 0xe000) continue
      const text = String.fromCodePoint(code)
      if (text.toLowerCase() !== text || text.toUpperCase() !== text) cased.push(text)
    }
    assert.isAbove(cased.length, 2500)
    const all = cased.join("")
    for (const one of cased) {
      for (const [other] of all.matchAll(new RegExp(one, "giu"))) {
        if (foldCode(one.codePointAt(0)!) !== foldCode(other.codePointAt(0)!)) assert.fail(`${one} and ${other}`)
      }
    }
  })

  it("know of each part of a text that it is there", () => {
    const random = seededRandom(5)
    const letters = [..."aAbBéÉßσςΣ日本😀𐐀 "]
    for (let round = 0; round < 200; round++) {
      const line = Array.from({ length: 3 + random.below(30) }, () => letters[random.below(letters.length)])
      const from = random.below(line.length - 2)
      const part = line.slice(from, from + 3 + random.below(8)).join("")
      const seen = makeSeenSlots()
      markTrigrams(line.join(""), seen)
      for (const asked of [part, part.toUpperCase().length === part.length ? part.toUpperCase() : part]) {
        assert.isTrue(
          slotsOf([asked]).every((slot) => seen.marks[slot] === 1),
          `${asked} in ${line.join("")}`
        )
      }
    }
  })

  it("are asked only for what every match has", () => {
    for (const [source, runs] of [
      ["connection refused", ["connection refused"]],
      ["error: .* (foo|bar) at line", ["error: ", " at line"]],
      ["abcd*ef+ghi", ["abc", "ghi"]],
      ["abc?def", ["def"]],
      ["colou{0,1}red", ["colo", "red"]],
      ["one|two", []],
      ["foo{x|bar", []],
      ["a{x}bcd", ["x}bcd"]],
      ["[a-z]{3}\\.json\\b", [".json"]],
      ["\\u0041bcd", []],
      ["(?:abc)+def", ["def"]],
      ["(a|[)])xyz", ["xyz"]],
      ["^exit \\d+$", ["exit "]],
      ["ab", []]
    ] as const) {
      assert.deepStrictEqual(literalRuns(source), runs, source)
    }
  })
})
