/** Removals by retention, of any length and wherever the session goes afterwards: no fault when they are recorded, and one when not. */
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { STORE_STREAM } from "../../journal/Event.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { closed, created } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { sealing, withFolder } from "./sealedStores.ts"
import { assertSound } from "./soundStores.ts"

const removal = {
  reason: "asked",
  policy: "by hand",
  actor: "auditor",
  timeMicros: 1_800_000_000_000_000,
  kept: [],
  rows: []
} as const

const pruned = async (folder: string, to: number) => {
  const paths = storePaths(`${folder}/store`)
  const session = newSessionId()
  await sealing(paths, (journal, sealer) =>
    Effect.gen(function* () {
      yield* journal.append(session, [created(), outputEvent("first"), outputEvent("second"), closed])
      yield* sealer.seal(session)
      yield* journal.removal.remove(session, { ...removal, to }, [])
      for (const stream of [session, STORE_STREAM]) yield* sealer.forgetRemoved(stream)
    })
  )
  return { paths, session }
}

describe("10.8 a removal by retention", () => {
  for (const to of [1, 2, 4]) {
    it(`10.8 of ${to} events raises no alarm in the store or in a bundle`, () =>
      withFolder(async (folder) => {
        const { paths, session } = await pruned(folder, to)
        await assertSound(paths, session)
      }))
  }
})
