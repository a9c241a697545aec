import { assert, describe, it } from "@effect/vitest"
import { TITLE_CHARACTERS_MAX, Title } from "../../projections/Title.ts"
import { chunked, foldAll, output, randomCuts, randomOutput, seeded } from "./events.ts"

const title = (text: string) => foldAll(Title, [output(text)]).title

describe("Title", () => {
  it("reads OSC 0 and OSC 2, the latest wins", () => {
    assert.strictEqual(title("\x1b]0;one\x07\x1b]2;two é\x1b\\\x1b]1;icon\x07\x1b]22;x\x07"), "two é")
    assert.strictEqual(title("\x1b]2;a\x07\x1b]2;\x07"), "")
  })

  it("hostile case 8: a hostile title is one safe line of at most 256 characters", () => {
    const long = title(`\x1b]2;${"é".repeat(1_000_000)}\x07`)
    assert.strictEqual(long, "é".repeat(TITLE_CHARACTERS_MAX))
    assert.strictEqual(title("\x1b]2;a\nb\tc\u202ed\u2066e\u009bf</title>\x07"), "abcdef</title>")
    assert.strictEqual(title("\x1b]2;a\nb\u202ec</title>\x07"), "abc</title>")
    assert.strictEqual(Array.from(title(`\x1b]2;${"😀".repeat(300)}\x07`)).length, TITLE_CHARACTERS_MAX)
  })

  it("random output: splits and snapshots change nothing", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = seeded(seed)
      const data = randomOutput(random, 60)
      const state = foldAll(Title, chunked(data, randomCuts(random, data.length, 9)))
      assert.strictEqual(state.title, foldAll(Title, chunked(data, [])).title, `seed ${seed}`)
      assert.deepStrictEqual(Title.encode(Title.decode(Title.encode(state))), Title.encode(state))
    }
  })
})
