/** What lacks parts is never opened as an empty store; a repair brings back what is there, keeps what was, and names what is gone. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Journal, StoreRefused } from "../../journal/index.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { planRepair, repair } from "../../src/care/Repair.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { outputEvent } from "../contracts/JournalContract.ts"
import { contentOf, copyStore, filesOf, type MadeStore, makeStore, served, withFolder, withJournal } from "./stores.ts"

const options = { nowMicros: 1_800_000_000_000_000 }
const current = (paths: StorePaths) => join(paths.journal, "db", "CURRENT")
const manifest = (paths: StorePaths) => join(paths.journal, "db", readFileSync(current(paths), "latin1").trim())
const flip = (path: string, at: number) => {
  const bytes = readFileSync(path)
  bytes[at]! ^= 0x10
  writeFileSync(path, bytes)
}
const table = (paths: StorePaths) => filesOf(paths, ".ldb")[0]!
const newestLog = (paths: StorePaths) => filesOf(paths, ".log").toSorted().at(-1)!

/** What is done to a store; what an opening says of it; whether a repair brings everything back. */
const CASES: ReadonlyArray<{
  readonly name: string
  readonly damage: (paths: StorePaths) => void
  readonly opening: "refused" | "named" | "nothing"
  readonly isWhole: boolean
}> = [
  { name: "CURRENT deleted", damage: (paths) => unlinkSync(current(paths)), opening: "refused", isWhole: true },
  { name: "CURRENT empty", damage: (paths) => writeFileSync(current(paths), ""), opening: "refused", isWhole: true },
  {
    name: "CURRENT without its line feed",
    damage: (paths) => writeFileSync(current(paths), readFileSync(current(paths), "latin1").trim()),
    opening: "refused",
    isWhole: true
  },
  {
    name: "CURRENT wrong",
    damage: (paths) => writeFileSync(current(paths), "MANIFEST-999999\n"),
    opening: "refused",
    isWhole: true
  },
  { name: "MANIFEST deleted", damage: (paths) => unlinkSync(manifest(paths)), opening: "refused", isWhole: true },
  { name: "MANIFEST empty", damage: (paths) => truncateSync(manifest(paths), 0), opening: "refused", isWhole: true },
  { name: "MANIFEST cut", damage: (paths) => truncateSync(manifest(paths), 20), opening: "refused", isWhole: true },
  { name: "MANIFEST flipped", damage: (paths) => flip(manifest(paths), 30), opening: "refused", isWhole: true },
  { name: "a table deleted", damage: (paths) => unlinkSync(table(paths)), opening: "refused", isWhole: false },
  {
    name: "a table cut",
    damage: (paths) => truncateSync(table(paths), Math.floor(readFileSync(table(paths)).length / 2)),
    opening: "named",
    isWhole: false
  },
  { name: "a table empty", damage: (paths) => truncateSync(table(paths), 0), opening: "named", isWhole: false },
  { name: "the log deleted", damage: (paths) => unlinkSync(newestLog(paths)), opening: "named", isWhole: false },
  {
    name: "LOCK deleted",
    damage: (paths) => unlinkSync(join(paths.journal, "db", "LOCK")),
    opening: "nothing",
    isWhole: true
  },
  {
    name: "format.json deleted",
    damage: (paths) => unlinkSync(join(paths.journal, "format.json")),
    opening: "refused",
    isWhole: true
  },
  {
    name: "format.json cut",
    damage: (paths) => truncateSync(join(paths.journal, "format.json"), 5),
    opening: "refused",
    isWhole: true
  },
  {
    name: "one bit of the log flipped",
    damage: (paths) => flip(newestLog(paths), 100),
    opening: "named",
    isWhole: true
  }
]

/** Nothing wrong is served, what is missing is told; answers how much is there. */
const checkServed = (
  paths: StorePaths,
  { texts }: MadeStore
): Promise<{ readonly whole: number; readonly outputs: number }> =>
  withJournal(
    paths,
    Effect.gen(function* () {
      const journal = yield* Journal
      const { damages } = yield* journal.verify
      let whole = 0
      let outputs = 0
      for (const [stream, written] of texts) {
        const read = yield* served(stream)
        outputs += read.outputs.length
        assert.deepStrictEqual(read.outputs, written.slice(0, read.outputs.length))
        if (read.outputs.length === written.length) whole++
        else assert.isTrue(read.damage !== undefined || damages.some((one) => one.stream === stream), stream)
      }
      return { whole, outputs }
    })
  )

describe("a store that lacks parts", () => {
  for (const { damage, isWhole, name, opening } of CASES) {
    it(`reliability row 14: ${name}: never an empty store, and repaired`, () =>
      withFolder(async (folder) => {
        const made = await makeStore(join(folder, "made"))
        const paths = copyStore(made.paths, join(folder, "store"))
        damage(paths)
        const before = contentOf(paths.store)

        // A check changes nothing and says what an opening would meet.
        const report = await doctor(paths, { engine: undefined })
        assert.deepStrictEqual(contentOf(paths.store), before)
        if (opening === "nothing") assert.strictEqual(report.state, "healthy")
        else assert.isNotEmpty(report.findings.filter(({ level }) => level !== "note"))
        if (opening === "refused") assert.strictEqual(report.state, "refused")

        const opened = copyStore(paths, join(folder, "opened"))
        if (opening === "refused") {
          const untouched = contentOf(opened.store)
          const refused = await checkServed(opened, made).catch((error: unknown) => error)
          assert.instanceOf(refused, StoreRefused)
          assert.deepStrictEqual(contentOf(opened.store), untouched)
        } else {
          // What LevelDB cannot read of a table is named by every read of its streams.
          const { outputs } = await checkServed(opened, made)
          if (!name.startsWith("a table")) assert.isAbove(outputs, 0)
        }

        // Without being told to, it changes nothing.
        const plan = await planRepair(paths)
        assert.deepStrictEqual(contentOf(paths.store), before)
        const done = await repair(paths, options)
        if (plan.state === "repairable") {
          assert.deepStrictEqual(
            [...contentOf(done.kept!).values()],
            [...before].filter(([path]) => path.startsWith(paths.journal)).map(([, content]) => content)
          )
        } else assert.isNull(done.kept)
        const after = await doctor(paths, { engine: undefined })
        assert.notStrictEqual(after.state, "refused")
        if (opening === "refused") assert.strictEqual(plan.state, "repairable")
        const { outputs, whole } = await checkServed(paths, made)
        if (isWhole) {
          assert.strictEqual(whole, made.texts.size)
          assert.strictEqual(after.state, "healthy")
        } else {
          assert.strictEqual(after.state, "damaged")
          assert.isBelow(whole, made.texts.size)
          // More than nothing: of a table that was cut off, the blocks before the cut.
          if (name === "a table cut") assert.isAbove(outputs, 0)
        }
        // It goes on.
        await withJournal(
          paths,
          Effect.gen(function* () {
            const journal = yield* Journal
            for (const [stream, written] of made.texts) {
              const appended = yield* Effect.exit(journal.append(stream, [outputEvent("more")]))
              // Behind everything there ever was, or not at all.
              if (appended._tag === "Success") assert.strictEqual(appended.value.first, written.length + 2)
              else assert.include(String(appended.cause), "has lost its end")
            }
          })
        )
      }))
  }

  it("finishes a repair that was interrupted between its two renames, and until then is no empty store", () =>
    withFolder(async (folder) => {
      const made = await makeStore(join(folder, "store"))
      const { paths } = made
      unlinkSync(current(paths))
      const { kept } = await repair(paths, options)
      // As it is after the first rename.
      renameSync(paths.journal, kept!.replace("before-repair", "repair"))
      for (const create of [true, false]) {
        const refused = await withJournal(paths, Effect.asVoid(Journal)).catch((error: unknown) => error)
        assert.deepInclude(refused, { _tag: "StoreRefused", reason: "incomplete" }, `${create}`)
        assert.include(String(refused), "reprise repair")
      }
      assert.strictEqual((await doctor(paths, { engine: undefined })).state, "refused")
      assert.strictEqual((await planRepair(paths)).state, "unfinished")
      await repair(paths, options)
      assert.strictEqual((await checkServed(paths, made)).whole, made.texts.size)
      // Without a new journal that is complete, the old one goes back to its place.
      rmSync(kept!, { recursive: true })
      renameSync(paths.journal, kept!)
      mkdirSync(kept!.replace("before-repair", "repair"), { mode: 0o700 })
      await repair(paths, options)
      assert.strictEqual((await checkServed(paths, made)).whole, made.texts.size)
      assert.isFalse(existsSync(kept!))
    }))

  it("keeps what it cannot bring back named, in every later opening", () =>
    withFolder(async (folder) => {
      const made = await makeStore(join(folder, "store"))
      const { paths } = made
      unlinkSync(table(paths))
      const { damages } = await repair(paths, options)
      assert.isNotEmpty(damages)
      for (let opening = 0; opening < 3; opening++) {
        const found = await withJournal(
          paths,
          Effect.map(Journal, (journal) => journal.openingDamages)
        )
        assert.isTrue(
          found.some(({ reason }) => reason.includes("is missing")),
          JSON.stringify(found)
        )
        assert.strictEqual((await doctor(paths, { engine: undefined })).state, "damaged")
      }
      assert.strictEqual((await planRepair(paths)).state, "damaged")
      assert.lengthOf(
        readdirSync(paths.store).filter((name) => name.startsWith("journal")),
        2
      )
    }))
})
