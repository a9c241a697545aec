/** What may be opened as a journal, and how everything else is refused: never a silent empty store, never a touched file. */
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Journal, JournalLevel, type StorageUnavailable, type StoreRefused } from "../../journal/index.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"

const open = <A, E>(location: string, effect: Effect.Effect<A, E, Journal>, create = true) =>
  effect.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location, create }))))
const refusal = (location: string, create = true) =>
  Effect.flip(open(location, Journal, create)) as Effect.Effect<StoreRefused | StorageUnavailable>
const stream = newSessionId()
const append = Effect.flatMap(Journal, (journal) => journal.append(stream, [outputEvent("x")]))
const head = Effect.flatMap(Journal, (journal) => journal.head(stream))

const inFolder = (use: (folder: string) => Effect.Effect<void, unknown>) => () =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "reprise-guard-"))),
    use,
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
const listing = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !/LOG|\.log$/.test(name))
    .sort()

describe("store guard", () => {
  it.live(
    "makes a store with mode 0700 whatever the umask, and finds it again",
    inFolder((folder) =>
      Effect.gen(function* () {
        for (const umask of [0o000, 0o002, 0o022]) {
          const location = join(folder, `u${umask}`, "deep", "journal")
          const before = process.umask(umask)
          yield* open(location, append).pipe(Effect.ensuring(Effect.sync(() => process.umask(before))))
          assert.strictEqual(statSync(location).mode & 0o777, 0o700)
          assert.strictEqual(yield* open(location, head), 1)
        }
      })
    )
  )

  it.live(
    "hostile case 30: CURRENT deleted, empty or wrong, MANIFEST gone: refused, nothing touched, nothing lost",
    inFolder((folder) =>
      Effect.gen(function* () {
        const location = join(folder, "journal")
        yield* open(location, append)
        const db = join(location, "db")
        const current = join(db, "CURRENT")
        const aside = join(folder, "aside")
        const moved = (path: string) => ({
          damage: () => renameSync(path, aside),
          undo: () => renameSync(aside, path)
        })
        const written = (text: string) => {
          const saved = readFileSync(current)
          return { damage: () => writeFileSync(current, text), undo: () => writeFileSync(current, saved) }
        }
        // Each opening renews the manifest, so each case looks at what is there now.
        const cases = [
          () => moved(current),
          () => written(""),
          () => written("MANIFEST-999999\n"),
          () => moved(join(db, readFileSync(current, "utf8").trim())),
          () => moved(db),
          () => moved(join(location, "format.json"))
        ]
        for (const make of cases) {
          const { damage, undo } = make()
          damage()
          const before = listing(location)
          const error = yield* refusal(location)
          assert.deepInclude({ ...error }, { _tag: "StoreRefused", reason: "incomplete" })
          assert.deepStrictEqual(listing(location), before)
          undo()
          assert.strictEqual(yield* open(location, head), 1)
        }
      })
    )
  )

  it.live(
    "refuses an unknown newer format by name",
    inFolder((folder) =>
      Effect.gen(function* () {
        const location = join(folder, "journal")
        yield* open(location, append)
        writeFileSync(join(location, "format.json"), `{"format":4}`)
        const error = yield* refusal(location)
        assert.deepInclude({ ...error }, { _tag: "StoreRefused", reason: "format" })
        assert.include(error.message, "format 4")
        writeFileSync(join(location, "format.json"), `{"for`)
        assert.deepInclude({ ...(yield* refusal(location)) }, { _tag: "StoreRefused", reason: "corrupt" })
      })
    )
  )

  it.live(
    "refuses a folder with other things in it, and leaves them",
    inFolder((folder) =>
      Effect.gen(function* () {
        writeFileSync(join(folder, "thesis.tex"), "important")
        chmodSync(folder, 0o700)
        assert.deepInclude({ ...(yield* refusal(folder)) }, { _tag: "StoreRefused", reason: "foreign" })
        assert.deepStrictEqual(readdirSync(folder), ["thesis.tex"])
      })
    )
  )

  it.live(
    "reliability row 32: a symbolic link, a file, a folder open to others: refused with what to do",
    inFolder((folder) =>
      Effect.gen(function* () {
        const location = join(folder, "journal")
        yield* open(location, append)
        symlinkSync(location, join(folder, "link"))
        assert.deepInclude({ ...(yield* refusal(join(folder, "link"))) }, { reason: "symlink" })
        writeFileSync(join(folder, "file"), "")
        assert.deepInclude({ ...(yield* refusal(join(folder, "file"))) }, { reason: "foreign" })
        chmodSync(location, 0o750)
        const error = yield* refusal(location)
        assert.deepInclude({ ...error }, { reason: "permissions" })
        assert.include(error.message, "chmod 700")
        chmodSync(location, 0o700)
        assert.strictEqual(yield* open(location, head), 1)
        // An empty folder that somebody made in advance is simply made private.
        mkdirSync(join(folder, "empty"), { mode: 0o755 })
        yield* open(join(folder, "empty"), append)
        assert.strictEqual(statSync(join(folder, "empty")).mode & 0o777, 0o700)
      })
    )
  )

  it.live(
    "a folder that cannot be made is refused at once",
    inFolder(() =>
      Effect.gen(function* () {
        assert.deepInclude({ ...(yield* refusal("/proc/reprise-test/journal")) }, { reason: "permissions" })
      })
    )
  )

  it.live(
    "a reader makes nothing where nothing is",
    inFolder((folder) =>
      Effect.gen(function* () {
        const location = join(folder, "journal")
        assert.deepInclude({ ...(yield* refusal(location, false)) }, { _tag: "StoreRefused", reason: "missing" })
        assert.isFalse(existsSync(location))
      })
    )
  )

  it.live(
    "reliability row 15: a second opener is refused while the first one lives, also after somebody copied LOCK",
    inFolder((folder) =>
      Effect.gen(function* () {
        const location = join(folder, "journal")
        yield* open(
          location,
          Effect.gen(function* () {
            yield* append
            assert.deepInclude({ ...(yield* refusal(location)) }, { _tag: "StoreRefused", reason: "locked" })
            // A backup is another process: its reading of LOCK takes no lock away from us.
            assert.strictEqual(spawnSync("cp", [join(location, "db", "LOCK"), join(folder, "copy")]).status, 0)
            assert.deepInclude({ ...(yield* refusal(location)) }, { _tag: "StoreRefused", reason: "locked" })
            yield* append
          })
        )
        assert.strictEqual(yield* open(location, head), 2)
      })
    )
  )

  it.live(
    "says so when the record of the streams' ends is damaged, and serves what verifies",
    inFolder((folder) =>
      Effect.gen(function* () {
        const location = join(folder, "journal")
        yield* open(location, append)
        const ends = join(location, "ends.json")
        copyFileSync(ends, join(folder, "ends"))
        writeFileSync(ends, readFileSync(ends, "utf8").replace("1", "2"))
        yield* open(
          location,
          Effect.gen(function* () {
            const journal = yield* Journal
            assert.strictEqual(journal.openingDamages.length, 1)
            assert.include(journal.openingDamages[0]!.reason, "ends.json")
            assert.strictEqual(yield* journal.head(stream), 1)
          })
        )
      })
    )
  )
})
