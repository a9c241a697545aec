/** A damaged ends.json is the only word of events that may be gone: it is remembered before anything takes its place. */
import { chmodSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Journal } from "../../journal/index.ts"
import { backup } from "../../src/care/Backup.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { importBackup } from "../../src/care/Import.ts"
import { repair } from "../../src/care/Repair.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { runInside } from "../cli/runInside.ts"
import { copyStore, filesOf, makeStore, served, withFolder, withJournal } from "./stores.ts"

const options = { nowMicros: 1_800_000_000_000_000 }
const WORDS = /ends\.json is damaged: whether the newest events of the last run are all there cannot be told/
const endsOf = (paths: StorePaths) => join(paths.journal, "ends.json")

/** One bit of it, and the newest log without its last write. */
const damage = (paths: StorePaths): Buffer => {
  const bytes = readFileSync(endsOf(paths))
  bytes[10]! ^= 1
  writeFileSync(endsOf(paths), bytes)
  const log = filesOf(paths, ".log").toSorted().at(-1)!
  truncateSync(log, readFileSync(log).length - 10)
  return bytes
}

const damagedStore = async (folder: string) => {
  const made = await makeStore(join(folder, "made"))
  const paths = copyStore(made.paths, join(folder, "store"))
  return { made, paths, ends: damage(paths) }
}

const named = async (paths: StorePaths): Promise<number> => {
  const { damages, state } = await doctor(paths, { engine: undefined })
  assert.strictEqual(state, "damaged")
  return damages.filter(({ reason }) => WORDS.test(reason)).length
}

const openings = (paths: StorePaths) =>
  withJournal(
    paths,
    Effect.gen(function* () {
      const journal = yield* Journal
      const found = journal.openingDamages.filter(({ reason }) => WORDS.test(reason))
      const { damages } = yield* journal.verify
      assert.includeDeepMembers([...damages], found)
      return found.length
    })
  )

describe("a damaged ends.json", () => {
  it("is told by a command that reads, and named by doctor, verify and openings from then on", () =>
    withFolder(async (folder) => {
      const { ends, paths } = await damagedStore(folder)
      const run = (...args: ReadonlyArray<string>) =>
        Effect.runPromise(runInside(args, { env: { REPRISE_HOME: paths.store }, cwd: folder, input: "" }))
      assert.strictEqual(await named(paths), 1)
      for (const _ of [1, 2]) {
        const listed = await run("list")
        assert.strictEqual(listed.code, 0)
        assert.match(listed.stderr, WORDS)
        assert.strictEqual(await named(paths), 1)
      }
      assert.notDeepEqual(readFileSync(endsOf(paths)), ends)
      assert.deepStrictEqual(readFileSync(join(paths.journal, "damaged", "ends")), ends)
      assert.strictEqual(await openings(paths), 1)
      assert.strictEqual(await named(paths), 1)
    }))

  it("serves what is there and takes more, also behind an engine that did not stop", () =>
    withFolder(async (folder) => {
      const { made, paths } = await damagedStore(folder)
      const [stream] = made.texts.keys()
      await withJournal(
        paths,
        Effect.gen(function* () {
          assert.isAbove((yield* served(stream!)).outputs.length, 0)
          // As a process that is killed now leaves it.
          copyStore(paths, join(folder, "killed"))
        })
      )
      const killed = storePaths(join(folder, "killed"))
      assert.strictEqual(await named(killed), 1)
      assert.strictEqual(await openings(killed), 1)
      assert.strictEqual(await named(killed), 1)
    }))

  it("stays named in a backup, behind an import and behind a repair", () =>
    withFolder(async (folder) => {
      const { made, paths } = await damagedStore(folder)
      const { target } = await backup(paths, join(folder, "backup"), options)
      assert.strictEqual(await named(storePaths(target)), 1)

      const repaired = copyStore(paths, join(folder, "repaired"))
      writeFileSync(join(repaired.journal, "format.json"), "")
      await repair(repaired, options)
      assert.strictEqual(await named(repaired), 1)

      await importBackup(paths, made.paths.store, { dryRun: false, skipDifferent: true })
      assert.strictEqual(await named(paths), 1)
    }))

  it("stays where it is when its damage cannot be kept", () =>
    withFolder(async (folder) => {
      const { ends, paths } = await damagedStore(folder)
      mkdirSync(join(paths.journal, "damaged", "ends.json"), { recursive: true, mode: 0o700 })
      chmodSync(join(paths.journal, "damaged"), 0o700)
      for (const _ of [1, 2]) {
        assert.strictEqual(await openings(paths), 1)
        assert.deepStrictEqual(readFileSync(endsOf(paths)), ends)
      }
    }))
})
