/** Backups of a store in use: everything acknowledged before is in it, it reads back, and one that fails leaves nothing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Journal, JournalLevel } from "../../journal/index.ts"
import { lookAtJournal } from "../../journal/JournalLook.ts"
import { backup } from "../../src/care/Backup.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { importBackup } from "../../src/care/Import.ts"
import { lockHolder } from "../../src/care/LockHolder.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { outputEvent } from "../contracts/JournalContract.ts"
import { CommandLine, withCommandLine } from "../crash/commandLine.ts"
import { canMount, withSmallDisk } from "../fixtures/smallDisk.ts"
import { contentOf, created, filesOf, makeStore, served, withFolder, withJournal } from "./stores.ts"

/** Many processes, one after the other: a bound for a machine that is busy with ten times as much. */
const TIMEOUT_MILLIS = 300_000
const now = { nowMicros: 1_800_000_000_000_000 }

describe("a backup", () => {
  it(
    "of a store that is written to is a store with all that was acknowledged before, and the session goes on",
    { timeout: TIMEOUT_MILLIS },
    () =>
      withCommandLine(async (cli) =>
        withFolder(async (folder) => {
          // Waits in a read of its own: a `sleep` is a process each time.
          const script = 'exec 9<> <(:); text=$(seq 1 300); while :; do echo "$text"; read -rt 0.01 -u 9; done'
          const id = (await cli.text(["run", "--detach", "--", "bash", "-c", script])).trim()
          for (let round = 0; round < 3; round++) {
            const before = (await cli.json(["inspect", id])).sequence as number
            const target = join(folder, `backup-${round}`)
            const report = await cli.json(["backup", target])
            assert.deepStrictEqual(report.damages, [])
            const { entries, damages, files } = await lookAtJournal(storePaths(target).journal)
            assert.deepStrictEqual([damages, files], [[], []])
            assert.strictEqual(entries.sha256, report.sha256)
            assert.strictEqual(entries.events, report.events)
            const stream = entries.streams.find((one) => one.stream === id)!
            assert.isAtLeast(stream.head, before)
          }
          await cli.text(["end", id])
          await cli.text(["stop"])
          // All of each is in the store, event by event, with more behind it.
          for (let round = 0; round < 3; round++) {
            const paths = storePaths(cli.store)
            const { sessions } = await importBackup(paths, join(folder, `backup-${round}`), {
              dryRun: true,
              skipDifferent: false
            })
            assert.deepStrictEqual(
              sessions.map(({ outcome }) => outcome),
              ["same"]
            )
          }
          // Any command reads it.
          const listed = await cli.json(["list"])
          assert.strictEqual(listed.length, 1)
        })
      )
  )

  it(
    "that gets an engine of its own takes nothing away from the sessions it is a copy of",
    { timeout: TIMEOUT_MILLIS },
    () =>
      withCommandLine((cli) =>
        withFolder(async (folder) => {
          const id = (await cli.text(["run", "--detach", "--", "cat"])).trim()
          const shell = JSON.parse(await cli.text(["start"])).session_id as string
          await cli.text(["exec", shell, "--", "left=1"])
          const target = join(folder, "backup")
          await cli.text(["backup", target])
          const copy = new CommandLine(target)
          try {
            await copy.text(["run", "--", "true"])
            const statuses = new Map(
              (await copy.json(["list"])).map((view: { id: string; status: string }) => [view.id, view.status])
            )
            assert.deepStrictEqual([statuses.get(id), statuses.get(shell)], ["lost", "lost"])
          } finally {
            await copy.dispose()
          }
          assert.strictEqual((await cli.text(["exec", shell, "--", "echo $left"])).trim(), "1")
          assert.strictEqual((await cli.json(["inspect", id])).status, "running")
        })
      )
  )

  it("is refused where something is, and never follows a link", () =>
    withFolder(async (folder) => {
      const { paths } = await makeStore(join(folder, "store"), 1)
      mkdirSync(join(folder, "full"))
      writeFileSync(join(folder, "full", "thesis.tex"), "important")
      mkdirSync(join(folder, "elsewhere"))
      symlinkSync(join(folder, "elsewhere"), join(folder, "link"))
      writeFileSync(join(folder, "file"), "")
      mkdirSync(join(folder, "begun.tmp"))
      const targets = ["full", "link", "file", "begun", "missing/deep", "store/inside"]
      for (const target of targets) {
        const error = await backup(paths, join(folder, target), now).catch((error: unknown) => error)
        assert.deepInclude(error, { _tag: "TargetRefused" }, target)
      }
      assert.deepStrictEqual(readdirSync(join(folder, "elsewhere")), [])
      assert.deepStrictEqual(readdirSync(join(folder, "full")), ["thesis.tex"])
      assert.isFalse(existsSync(join(folder, "full.tmp")))
      // An empty folder is what one makes in advance.
      mkdirSync(join(folder, "empty"))
      await backup(paths, join(folder, "empty"), now)
      assert.deepStrictEqual(readdirSync(join(folder, "empty")).sort(), ["backup.json", "journal"])
    }))

  it("of a damaged store has all that verifies, and the same damage under the same names", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"))
      const [table] = filesOf(paths, ".ldb")
      const bytes = readFileSync(table!)
      bytes.fill(0x55, 3000, 3200)
      writeFileSync(table!, bytes)
      const { damages, target } = await backup(paths, join(folder, "backup"), now)
      assert.isNotEmpty(damages)
      const report = await doctor(storePaths(target), { engine: undefined })
      assert.strictEqual(report.state, "damaged")
      assert.includeDeepMembers([...report.damages], [...damages])
      await withJournal(
        storePaths(target),
        Effect.gen(function* () {
          let short = 0
          for (const [stream, written] of texts) {
            const { damage, outputs } = yield* served(stream)
            assert.deepStrictEqual(outputs, written.slice(0, outputs.length))
            if (outputs.length === written.length) continue
            short++
            assert.strictEqual(damage?._tag, "JournalDamaged")
          }
          assert.isAbove(short, 0)
        })
      )
    }))

  it("that is interrupted leaves nothing", () =>
    withFolder(async (folder) => {
      const { paths } = await makeStore(join(folder, "store"))
      for (const signal of [AbortSignal.abort(new Error("interrupted"))]) {
        const error = await backup(paths, join(folder, "backup"), { ...now, signal }).catch(String)
        assert.include(error, "interrupted")
      }
      assert.deepStrictEqual(readdirSync(folder), ["store"])
    }))

  it("hostile case 30: neither a check nor a backup opens LOCK: in the process that holds the lock, it still does afterwards", () =>
    withFolder(async (folder) => {
      const { paths } = await makeStore(join(folder, "store"))
      const database = join(paths.journal, "db")
      const layer = JournalLevel.layer({ location: paths.journal })
      await Effect.runPromise(
        Effect.gen(function* () {
          const journal = yield* Journal
          assert.strictEqual(lockHolder(database), process.pid)
          yield* Effect.promise(async () => {
            await doctor(paths, { engine: undefined })
            await backup(paths, join(folder, "backup"), now)
          })
          // Closing any descriptor of the file would have dropped it.
          assert.strictEqual(lockHolder(database), process.pid)
          const [stream] = (yield* Effect.promise(() => lookAtJournal(paths.journal))).entries.streams
          yield* journal.append(stream!.stream, [outputEvent("later")])
        }).pipe(Effect.provide(layer))
      )
      assert.isUndefined(lockHolder(database))
    }))

  if (canMount) {
    it("reliability row 12: onto a disk that is full in the middle leaves nothing behind, and the store as it was", () =>
      withFolder(async (folder) => {
        const paths = storePaths(join(folder, "store"))
        mkdirSync(paths.store, { mode: 0o700 })
        const { paths: made } = await makeStore(join(folder, "made"), 1)
        await withJournal(
          made,
          Effect.gen(function* () {
            const journal = yield* Journal
            const stream = (yield* Effect.promise(() => lookAtJournal(made.journal))).entries.streams[0]!.stream
            // Bytes that do not compress: more than the small disk holds.
            for (let at = 0; at < 400; at++) {
              const data = crypto.getRandomValues(new Uint8Array(60_000))
              yield* journal.append(stream, [
                { ...created(), event: { _tag: "OutputReceived", channel: "tty", exec: 0, offset: at * 60_000, data } }
              ])
            }
          })
        )
        await withSmallDisk(16, async (disk) => {
          const before = contentOf(made.store)
          const error = await backup(made, join(disk, "backup"), now).catch((error: unknown) => error)
          assert.deepInclude(error, { _tag: "TargetFull" })
          assert.deepStrictEqual(readdirSync(disk), [])
          assert.deepStrictEqual(contentOf(made.store), before)
        })
        rmSync(paths.store, { recursive: true })
      }))
  }
})
