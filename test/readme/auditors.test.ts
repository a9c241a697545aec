/** The commands of docs/auditors.md are typed as they stand there, one after the other, and each must succeed. */
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { removeStore } from "../fixtures/removeStore.ts"

const run = promisify(execFile)
const root = resolve(fileURLToPath(import.meta.url), "../../..")

describe("the auditors' page", () => {
  it("has commands that do what it says", async () => {
    const folder = mkdtempSync(join(tmpdir(), "auditors-"))
    const store = join(folder, "store")
    const bin = join(folder, "bin")
    mkdirSync(bin)
    const program = join(root, "dist/bin/reprise.js")
    writeFileSync(join(bin, "reprise"), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`, { mode: 0o755 })
    writeFileSync(join(bin, "node"), `#!/bin/sh\nexec "${process.execPath}" "$@"\n`, { mode: 0o755 })
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, HOME: folder, REPRISE_HOME: store }
    const type = async (command: string) => (await run("bash", ["-ec", command], { cwd: folder, env })).stdout
    try {
      const text = readFileSync(join(root, "docs/auditors.md"), "utf8")
      const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, body]) => body!)
      const answers: Array<string> = []
      for (const block of blocks) answers.push(await type(block))
      assert.strictEqual(answers.length, 6)
      const [, store, exported, checked, , imported] = answers
      assert.match(store!, /integrity +intact\ncompleteness +complete/)
      assert.match(exported!, /events 1 to \d+ contiguous; .*the session has ended/)
      assert.match(checked!, /integrity intact\ncompleteness complete\n/)
      assert.match(checked!, /integrity +intact\ncompleteness +complete/)
      assert.match(imported!, /imported from reprise-events[\s\S]*is here already/)
      // A client of the engine that looked is told.
      await type("reprise run --name looked -- true </dev/null; reprise events looked >/dev/null")
      assert.match(await type("reprise audit --session looked"), /"HistoryAccessed","what":"read"/)
    } finally {
      await type("reprise stop --sessions || true")
      await removeStore(store, folder)
    }
  })
})
