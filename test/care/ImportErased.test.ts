/** What was erased here on purpose, and what an older backup still has of it. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Journal, type Removal, type Row, type SessionId } from "../../journal/index.ts"
import { keptStatesOf } from "../../journal/KeptRows.ts"
import { eventKey, rowKey, streamBytes } from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { encodeRow, OUTPUT_DATA_AT } from "../../journal/Record.ts"
import { BASE_SPACE, snapshotKey } from "../../projections/SnapshotRow.ts"
import { backup } from "../../src/care/Backup.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { importBackup } from "../../src/care/Import.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { tellAdministered } from "../../src/session/StoreStream.ts"
import { makeStore, served, withFolder, withJournal } from "./stores.ts"

const now = { nowMicros: 1_800_000_000_000_000 }
const GARBAGE = Buffer.from("not what was written")

const putRaw = async (paths: StorePaths, entries: ReadonlyArray<readonly [Uint8Array, Uint8Array | undefined]>) => {
  const storage = await LevelStorage.open(join(paths.journal, "db"), "process", false)
  await storage.batch(entries.map(([key, value]) => ({ key, value })))
  await storage.close()
}
const damage = (paths: StorePaths, stream: SessionId, ...sequences: ReadonlyArray<number>) =>
  putRaw(
    paths,
    sequences.map((sequence) => [eventKey(streamBytes(stream), sequence), GARBAGE])
  )
const brought = async (paths: StorePaths, folder: string) => {
  const [one] = (await importBackup(paths, folder, { dryRun: false, skipDifferent: false })).sessions
  const { keptRows, missing, outcome, withheld } = one!
  return { outcome, missing, keptRows, withheld: withheld.map(({ from, to }) => [from, to]) }
}

const MASK = Buffer.from("**********")

const redact = (paths: StorePaths, session: SessionId, ...sequences: ReadonlyArray<number>) =>
  withJournal(
    paths,
    Effect.gen(function* () {
      const journal = yield* Journal
      const timeMicros = now.nowMicros
      const edits = [{ from: OUTPUT_DATA_AT, to: OUTPUT_DATA_AT + MASK.byteLength, bytes: MASK }]
      yield* journal.redaction.replace(session, {
        actor: "test",
        events: sequences.map((sequence) => ({ sequence, edits })),
        from: 1,
        to: 41,
        rules: [],
        reason: "",
        timeMicros,
        rows: []
      })
      yield* tellAdministered(journal, { what: "redact", session, detail: "", actor: "test" })
    })
  )

const baseOf = (stream: SessionId, to: number, name = "state", text = `${name} at ${to}`): Row => ({
  space: BASE_SPACE,
  key: snapshotKey(name, stream, to),
  value: Buffer.from(text)
})
const remove = (paths: StorePaths, stream: SessionId, to: number) =>
  withJournal(
    paths,
    Effect.flatMap(Journal, (journal) => {
      const rows = [baseOf(stream, to), baseOf(stream, to, "title")]
      const removal: Removal = {
        to,
        reason: "asked",
        policy: "by hand",
        actor: "test",
        timeMicros: 1,
        kept: ["state", "title"],
        rows
      }
      return journal.removal.remove(stream, removal, [])
    })
  )

/** Every text that the store serves, or would. */
const textsIn = async (paths: StorePaths, stream: SessionId) => (await withJournal(paths, served(stream))).outputs

describe("an import from a backup that was made before something was erased", () => {
  it("never brings back what was redacted since, and says which event that is", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"), 1)
      const [[stream, written]] = [...texts] as [[SessionId, ReadonlyArray<string>]]
      const before = await backup(paths, join(folder, "before"), now)
      await redact(paths, stream, 5, 6)
      const after = await backup(paths, join(folder, "after"), now)
      // 6 was redacted and is intact: that it is another record than the backup's is no other content.
      await damage(paths, stream, 5, 12)
      const first = await importBackup(paths, before.target, { dryRun: false, skipDifferent: false })
      assert.match(first.sessions[0]!.withheld[0]!.reason, /redacted since/)
      assert.deepStrictEqual(first.sessions[0]!.missing, [[12, 12]])
      assert.deepStrictEqual(await brought(paths, before.target), {
        outcome: "withheld",
        missing: [],
        keptRows: [],
        withheld: [[5, 5]]
      })
      const left = await withJournal(paths, served(stream))
      assert.deepInclude(left.damage, { from: 5 })
      // The backup that was made behind the redaction has what is to be there.
      assert.deepStrictEqual((await brought(paths, after.target)).missing, [[5, 5]])
      const expected = written.map((text, at) => (at === 3 || at === 4 ? `${MASK}${text.slice(MASK.length)}` : text))
      assert.deepStrictEqual(await textsIn(paths, stream), expected)
    }))

  it("brings nothing into a session whose redaction is told of, and cannot be read any more", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"), 1)
      const [stream] = texts.keys() as Iterable<SessionId> as [SessionId]
      const before = await backup(paths, join(folder, "before"), now)
      await redact(paths, stream, 5)
      const after = await backup(paths, join(folder, "after"), now)
      await damage(paths, stream, 5, 12, 42)
      const nothing = await brought(paths, before.target)
      assert.deepInclude(nothing, { outcome: "withheld", missing: [] })
      // The end is gone, and nothing else says that it was there.
      await putRaw(paths, [[eventKey(streamBytes(stream), 42), undefined]])
      assert.deepInclude(await brought(paths, before.target), { outcome: "withheld", missing: [] })
      const { missing } = await brought(paths, after.target)
      assert.deepStrictEqual(missing, [
        [5, 5],
        [12, 12],
        [42, 42]
      ])
      assert.strictEqual((await doctor(paths, { engine: undefined })).state, "healthy")
    }))

  it("never brings back what was removed since, when the EventsRemoved is damaged or gone", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"), 1)
      const [stream] = texts.keys() as Iterable<SessionId> as [SessionId]
      const first = eventKey(streamBytes(stream), 1)
      const whole = await backup(paths, join(folder, "whole"), now)
      await remove(paths, stream, 10)
      const earlier = await backup(paths, join(folder, "earlier"), now)
      await remove(paths, stream, 20)
      const after = await backup(paths, join(folder, "after"), now)
      for (const value of [GARBAGE, undefined]) {
        await putRaw(paths, [
          [first, value],
          [eventKey(streamBytes(stream), 30), GARBAGE]
        ])
        const found = await brought(paths, whole.target)
        assert.deepStrictEqual(found, { outcome: "mended", missing: [[30, 30]], keptRows: [], withheld: [[1, 20]] })
        // What stood for fewer events is not what was recorded last.
        assert.deepInclude(await brought(paths, earlier.target), { outcome: "withheld", missing: [] })
        assert.deepStrictEqual((await brought(paths, after.target)).missing, [[1, 1]])
        assert.strictEqual((await doctor(paths, { engine: undefined })).state, "healthy")
        assert.lengthOf(await textsIn(paths, stream), 21)
      }
      // Nothing of it is there at all.
      await remove(paths, stream, 41)
      await putRaw(paths, [[first, undefined]])
      const gone = await brought(paths, whole.target)
      assert.deepStrictEqual(gone, { outcome: "withheld", missing: [], keptRows: [], withheld: [[1, 41]] })
    }))

  it("brings back a damaged row that stands for removed events, when it is the one that is told of", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"), 1)
      const [stream] = texts.keys() as Iterable<SessionId> as [SessionId]
      await remove(paths, stream, 10)
      const older = await backup(paths, join(folder, "older"), now)
      await remove(paths, stream, 20)
      const { target } = await backup(paths, join(folder, "backup"), now)
      const key = rowKey(BASE_SPACE, baseOf(stream, 20).key)
      const healthy = async () => (await doctor(paths, { engine: undefined })).state === "healthy"
      const kept = async () =>
        withJournal(
          paths,
          Effect.flatMap(Journal, (journal) => journal.row(BASE_SPACE, baseOf(stream, 20).key))
        )
      // Damaged, gone, and changed with a right checksum.
      for (const value of [GARBAGE, undefined, encodeRow(key, Buffer.from("forged"))]) {
        await putRaw(paths, [[key, value]])
        assert.deepInclude(await brought(paths, older.target), { missing: [], keptRows: [] })
        assert.deepStrictEqual(await brought(paths, target), {
          outcome: "mended",
          missing: [],
          keptRows: ["state"],
          withheld: []
        })
        assert.isTrue(await healthy())
        assert.strictEqual((await kept())?.value.toString(), "state at 20")
        assert.deepInclude(await brought(paths, target), { outcome: "same", keptRows: [] })
      }
      // Redacted since: what the backup has is not what is told.
      const masked = { ...baseOf(stream, 20), value: Buffer.from("***** at 20") }
      const keptStates = keptStatesOf([masked, baseOf(stream, 20, "title")], 20)
      await withJournal(
        paths,
        Effect.gen(function* () {
          const journal = yield* Journal
          const [actor, reason, timeMicros] = ["test", "", now.nowMicros] as const
          const redaction = { actor, events: [], from: 1, to: 41, rules: [], reason, timeMicros, rows: [masked] }
          yield* journal.redaction.replace(stream, { ...redaction, keptStates })
          yield* tellAdministered(journal, { what: "redact", session: stream, detail: "", actor })
        })
      )
      const title = rowKey(BASE_SPACE, baseOf(stream, 20, "title").key)
      await putRaw(paths, [[title, GARBAGE]])
      // The other row is as it was then.
      assert.deepInclude(await brought(paths, target), { outcome: "mended", keptRows: ["title"], withheld: [] })
      await putRaw(paths, [[key, GARBAGE]])
      assert.deepInclude(await brought(paths, target), { outcome: "withheld", keptRows: [], withheld: [[1, 20]] })
    }))
})
