/** What docs/reliability.md promises has tests: each row and each case stands in a test's name, and in the page. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"

const root = join(import.meta.dirname, "../..")
const page = readFileSync(join(root, "docs/reliability.md"), "utf8")
const tests = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.startsWith("structure/"))
  .map((name) => readFileSync(join(root, "test", name), "utf8"))
  .join("\n")

const numbersIn = (text: string, what: RegExp) => new Set([...text.matchAll(what)].map((match) => Number(match[1])))
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)
const section = (title: string) => page.split(`\n## ${title}\n`)[1]!.split("\n## ")[0]!

describe("docs/reliability.md", () => {
  it("has a test for each row of the failure table", () => {
    const named = numbersIn(tests, /reliability row (\d+)\b/g)
    const told = numbersIn(section("The failure table"), /^\| (\d+) /gm)
    assert.deepStrictEqual(
      [upTo(38).filter((row) => !named.has(row)), upTo(38).filter((row) => !told.has(row))],
      [[], []]
    )
  })

  it("has a test for each case of hostile input", () => {
    const named = numbersIn(tests, /hostile case (\d+)\b/g)
    const told = numbersIn(section("Hostile input"), /^\| (\d+) /gm)
    assert.deepStrictEqual(
      [upTo(30).filter((row) => !named.has(row)), upTo(30).filter((row) => !told.has(row))],
      [[], []]
    )
  })

  it("names files that are there", () => {
    const gone = [...page.matchAll(/\]\(\.\.\/(test\/[^)]+)\)/g)]
      .map(([, path]) => path!)
      .filter((path) => !existsSync(join(root, path)))
    assert.deepStrictEqual(gone, [])
  })
})
