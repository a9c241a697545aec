/** What both readers of a bundle say of it: reprise's own, and the script that leaves with it. They must agree. */
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { type BundleCheckOptions, checkBundles } from "../../src/evidence/BundleCheck.ts"

export interface Found {
  readonly code: number
  readonly integrity: ReadonlyArray<string>
  readonly completeness: ReadonlyArray<string>
}

let given = 0

/** What is given is written beside the folder. */
export const verdicts = async (
  folder: string,
  { anchor, key }: { readonly key?: string | undefined; readonly anchor?: string | undefined } = {}
): Promise<Found> => {
  const check: BundleCheckOptions = {
    key,
    ...(anchor !== undefined && { anchors: [{ name: "anchor", text: anchor }] })
  }
  const [ours] = await checkBundles(folder, check)
  const reasons = (verdict: string) => [
    ...new Set(ours!.findings.filter((one) => one.verdict === verdict).map(({ reason }) => reason))
  ]
  const args = Object.entries({ anchor, key }).flatMap(([name, text]) => {
    if (text === undefined) return []
    const file = `${folder}.given-${name}-${given++}`
    writeFileSync(file, text)
    return [`--${name}`, file]
  })
  const { status, stderr, stdout } = spawnSync(process.execPath, [join(folder, "verify.mjs"), folder, ...args], {
    encoding: "utf8"
  })
  assert.strictEqual(stderr, "")
  const [integrity = "", completeness = ""] = stdout.split(/^(?=completeness )/m)
  const told = (text: string) => [...new Set([...text.matchAll(/^ {2}([a-z ]+):/gm)].map(([, reason]) => reason!))]
  const theirs = { integrity: told(integrity), completeness: told(completeness) }
  const found = { integrity: reasons("integrity"), completeness: reasons("completeness") }
  assert.deepStrictEqual(
    { integrity: theirs.integrity.toSorted(), completeness: theirs.completeness.toSorted() },
    { integrity: found.integrity.toSorted(), completeness: found.completeness.toSorted() },
    `${stdout}${JSON.stringify(ours!.findings)}`
  )
  return { code: status ?? -1, ...found }
}
