/** `reprise anchor` on a store that no engine runs on. */
import { chmodSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { storePaths } from "../../src/session/StorePaths.ts"
import { created } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { sealing, verified, withFolder } from "../evidence/sealedStores.ts"
import { runInside } from "./runInside.ts"

const anchor = (folder: string) =>
  Effect.runPromise(runInside(["anchor"], { env: { REPRISE_HOME: folder, HOME: folder }, cwd: folder, input: "" }))

describe("reprise anchor", () => {
  it("prints a checkpoint over everything, and ends with 83 while something cannot be under it", () =>
    withFolder(async (folder) => {
      const paths = storePaths(folder)
      const session = newSessionId()
      await sealing(paths, (journal, sealer) =>
        Effect.andThen(journal.append(session, [created()]), Effect.asVoid(sealer.seal(session)))
      )
      await sealing(paths, (journal) => Effect.asVoid(journal.append(session, [outputEvent("later")])))
      chmodSync(paths.evidenceKey, 0o644)
      const refused = await anchor(folder)
      assert.strictEqual(refused.code, 83)
      assert.match(refused.stdout.toString(), /^reprise\.local\/\S+\n1\n/)
      assert.match(
        refused.stderr,
        new RegExp(`not all is under the checkpoint: ${session}: .*evidence\\.key.*run: chmod 600`)
      )
      chmodSync(paths.evidenceKey, 0o600)
      const sealed = await anchor(folder)
      assert.deepStrictEqual([sealed.code, sealed.stderr], [0, ""])
      const report = await verified(paths, { anchors: [{ name: "anchor", text: sealed.stdout.toString() }] })
      assert.deepStrictEqual([report.integrity, report.completeness], ["intact", "complete"])
    }))
})
