/** Each case of the formats of other recorders, of control sequences and of redaction that has a number stands in a test's name. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"

const root = join(import.meta.dirname, "..")
const lines = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.startsWith("structure/"))
  .flatMap((name) => readFileSync(join(root, name), "utf8").split("\n"))

/** The cases of each list; gaps are cases that it never had. */
const LISTS: ReadonlyArray<readonly [string, string, ReadonlyArray<number>]> = [
  ["10.1", "asciicast", upTo(14)],
  ["10.2", "tlog", upTo(14)],
  ["10.3", "sudo", upTo(12)],
  [
    "10.6",
    "control sequences",
    [
      1,
      ...upTo(17)
        .slice(2)
        .filter((number) => number !== 11)
    ]
  ],
  ["10.7", "redaction", upTo(7)]
]

function upTo(last: number): ReadonlyArray<number> {
  return Array.from({ length: last }, (_, index) => index + 1)
}

describe("the acceptance cases", () => {
  it.each(LISTS)("%s (%s) has a test for each", (list, _, cases) => {
    const named = new Set(
      lines
        .flatMap((line) => [...line.matchAll(new RegExp(`${list.replace(".", "\\.")}((?: ?\\(\\d+\\))+)`, "g"))])
        .flatMap(([, numbers]) => [...numbers!.matchAll(/\d+/g)].map(Number))
    )
    assert.deepStrictEqual(
      cases.filter((number) => !named.has(number)),
      []
    )
  })

  it("10.8 has the attacks on a store and on a bundle, and the published vectors", () => {
    assert.isAbove(lines.filter((line) => /"10\.8/.test(line)).length, 40)
  })
})
