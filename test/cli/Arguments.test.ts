/** Arguments as the kernel gives them: what cannot be passed on as it is, is refused. */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "vitest"
import { removeStore } from "../fixtures/removeStore.ts"

const program = join(dirname(fileURLToPath(import.meta.url)), "../../dist/bin/reprise.js")

describe.skipIf(process.platform !== "linux")("arguments of the command line", () => {
  const store = mkdtempSync(join(tmpdir(), "reprise-arguments-"))
  const typed = (bytes: string) =>
    spawnSync("bash", ["-c", `exec '${process.execPath}' '${program}' --store '${store}' run -- printf %s $'${bytes}'`])
  afterAll(() => {
    execFileSync(process.execPath, [program, "--store", store, "stop", "--sessions"])
    return removeStore(store)
  })

  it("that are no UTF-8 are refused, and not changed", () => {
    const { status, stderr, stdout } = typed("a\\xff\\xfeb")
    assert.deepStrictEqual([status, stdout.toString()], [2, ""])
    assert.strictEqual(
      stderr.toString(),
      "reprise: an argument is not UTF-8: the program would get another one than was typed\n"
    )
  })

  it("that are UTF-8 come as they are, the replacement character too", () => {
    const { status, stderr, stdout } = typed("\\xef\\xbf\\xbd \\xe2\\x82\\xac")
    assert.deepStrictEqual([status, stdout.toString()], [0, "\ufffd €"], stderr.toString())
  })
})
