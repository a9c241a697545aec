/** Removals by retention, of any length and wherever the session goes afterwards: no fault when they are recorded, and one when not. */
import { rmSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type EventsRemoved, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { KEPT_SPACE, keptStatesOf } from "../../journal/KeptRows.ts"
import { rowKey } from "../../journal/Keys.ts"
import { decodeRecord } from "../../journal/Record.ts"
import { snapshotKey } from "../../projections/SnapshotRow.ts"
import { backup } from "../../src/care/Backup.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { importBackup } from "../../src/care/Import.ts"
import { importRecording } from "../../src/import/RecordingImporter.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { closed, created } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { verdicts } from "./bundleVerdicts.ts"
import { Attacker, copyOf, named, sealing, verified, withFolder } from "./sealedStores.ts"
import { assertSound, bundleOf, imported } from "./soundStores.ts"

const removal = {
  reason: "asked",
  policy: "by hand",
  actor: "auditor",
  timeMicros: 1_800_000_000_000_000,
  kept: ["title"]
} as const

/** What is kept of the removed events. */
const rowAt = (session: SessionId, to: number, title = "a title") => ({
  space: KEPT_SPACE,
  key: snapshotKey("title", session, to),
  value: Buffer.from(title)
})

const remove = (paths: StorePaths, session: SessionId, to: number) =>
  sealing(paths, (journal, sealer) =>
    Effect.gen(function* () {
      const before = {
        space: KEPT_SPACE,
        from: snapshotKey("title", session, 0),
        to: snapshotKey("title", session, to - 1)
      }
      yield* journal.removal.remove(session, { ...removal, to, rows: [rowAt(session, to)] }, [before])
      for (const stream of [session, STORE_STREAM]) yield* sealer.forgetRemoved(stream)
    })
  )

const seal = (paths: StorePaths, session: SessionId) =>
  sealing(paths, (_, sealer) => Effect.all([session, STORE_STREAM].map((stream) => sealer.seal(stream))))

const toldIn = (paths: StorePaths) =>
  sealing(paths, (journal) => Stream.runCollect(journal.read(STORE_STREAM))).then((entries) =>
    entries.map(({ event }) => event)
  )

const pruned = async (folder: string, to: number) => {
  const paths = storePaths(`${folder}/store`)
  const session = newSessionId()
  await sealing(paths, (journal, sealer) =>
    Effect.gen(function* () {
      yield* journal.append(session, [created(), outputEvent("first"), outputEvent("second"), closed])
      yield* sealer.seal(session)
    })
  )
  await remove(paths, session, to)
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

  for (const to of [1, 3]) {
    it(`10.8 of ${to} events that was imported is recorded, and raises no alarm, also when more is removed`, () =>
      withFolder(async (folder) => {
        const { paths, session } = await pruned(folder, to)
        const there = await imported(paths, session, folder, "there")
        assert.strictEqual((await doctor(there, { engine: undefined })).state, "healthy")
        const recorded = (await toldIn(paths)).filter(({ _tag }) => _tag === "RemovalRecorded")
        const told = await toldIn(there)
        assert.deepStrictEqual(
          told.map(({ _tag }) => _tag),
          ["RecordingImported", "RemovalRecorded"]
        )
        assert.deepStrictEqual(told.slice(1), recorded)
        await seal(there, session)
        await assertSound(there, session)
        const options = { dryRun: false, importer: "auditor", nowMicros: 6 }
        const again = await importRecording(there, `${folder}/there.jsonl`, options)
        assert.strictEqual(again.outcome, "same")
        assert.lengthOf(await toldIn(there), 2)
        await remove(there, session, 4)
        await assertSound(there, session)
      }))
  }

  it("10.8 raises no alarm where nothing of it was recorded and none of the events was ever there", () =>
    withFolder(async (folder) => {
      const { paths, session } = await pruned(folder, 2)
      // As an earlier version imported it.
      const earlier = await imported(paths, session, folder, "earlier")
      await Attacker.at(earlier, (attacker) => attacker.remove(STORE_STREAM, 2, 2))
      rmSync(`${earlier.journal}/ends.json`)
      const backedUp = `${folder}/backup`
      await backup(paths, backedUp, { nowMicros: 5 })
      const restored = storePaths(`${folder}/restored`)
      await importBackup(restored, backedUp, { dryRun: false, skipDifferent: false })
      for (const store of [earlier, restored]) {
        await seal(store, session)
        await assertSound(store, session)
      }
    }))

  it("10.8 is forged where it was imported, and then changed together with what is kept of the events", () =>
    withFolder(async (folder) => {
      const { paths, session } = await pruned(folder, 2)
      const there = await imported(paths, session, folder, "there")
      await seal(there, session)
      const attacked = copyOf(there, folder, "attacked")
      await Attacker.at(attacked, async (attacker) => {
        const { event, ...about } = decodeRecord(1, await attacker.value(session, 1))
        const row = rowAt(session, 2, "nothing happened")
        await attacker.putRow(rowKey(KEPT_SPACE, row.key), row.value)
        const forged = { ...(event as typeof EventsRemoved.Type), keptStates: keptStatesOf([row], 2) }
        await attacker.append(session, 1, { ...about, event: forged })
      })
      assert.deepStrictEqual(named(await verified(attacked), session), ["integrity forged removal 1-2"])
      const told = await verdicts(await bundleOf(attacked, session))
      assert.deepInclude(told, { code: 82, integrity: ["forged removal"] })
      // Nor can the word of it be taken away.
      const silenced = copyOf(there, folder, "silenced")
      await Attacker.at(silenced, (attacker) => attacker.remove(STORE_STREAM, 2, 2))
      assert.deepStrictEqual(named(await verified(silenced), STORE_STREAM), ["completeness truncated 2"])
    }))
})
