/** The lines that `npm run sabotage` breaks are there, once each: one that was rewritten would break nothing. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "vitest"
import { SABOTAGES } from "../torture/Sabotages.ts"

const root = join(import.meta.dirname, "../..")

it("each sabotage finds its line", () => {
  const astray = SABOTAGES.filter(({ file, find }) => readFileSync(join(root, file), "utf8").split(find).length !== 2)
  assert.deepStrictEqual(
    astray.map(({ name }) => name),
    []
  )
})
