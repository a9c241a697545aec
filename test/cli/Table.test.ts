import { assert, describe, it } from "vitest"
import { cutText, table } from "../../cli/Table.ts"

describe("a cell of a table", () => {
  it("is cut to terminal cells, whatever they hold, and says that something is missing", () => {
    const cuts = [
      ["abcdef", 6, "abcdef"],
      ["abcdef", 5, "abcd…"],
      ["abcdef", 1, "…"],
      ["abcdef", 0, "…"],
      ["ファイル", 8, "ファイル"],
      // A wide character is not cut in half: the cell that is left stays empty.
      ["ファイル", 6, "ファ…"],
      ["e\u0301te\u0301 x", 4, "e\u0301te\u0301…"],
      ["👩‍👩‍👧 family", 4, "👩‍👩‍👧 …"]
    ] as const
    for (const [text, cells, expected] of cuts) assert.strictEqual(cutText(text, cells), expected)
  })

  it("keeps its column in line when characters are two cells wide, and shows controls by name", () => {
    const text = table(
      ["NAME", "COMMAND"],
      [
        ["ファ", "ls"],
        ["ab", "printf \x1b[31m and a line that is too long"]
      ],
      30
    )
    assert.deepStrictEqual(text.split("\n"), ["NAME  COMMAND", "ファ  ls", "ab    printf \\e[31m and a lin…", ""])
  })
})
