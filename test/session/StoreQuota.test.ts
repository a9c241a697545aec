/** A store that may not grow: sessions wait, nothing is lost, callers are told what to do, and it goes on by itself. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { History, Journal, Sessions } from "../../src/index.ts"
import { STORE_BYTES_MIN } from "../../src/session/EngineConfig.ts"
import { eventsOf, idOf, testStore, textOf } from "./sessionsUnderTest.ts"

const MIB = 1024 * 1024

const bytesOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { name, parentPath }) => sum + statSync(join(parentPath, name)).size, 0)

/** When the journal is, or is not, suspended. */
const suspended = (isWanted: boolean) =>
  Effect.flatMap(Journal, (journal) =>
    Effect.callback<void>((resume) => {
      const check = () => {
        if ((journal.suspended() !== undefined) !== isWanted) return
        stop()
        resume(Effect.void)
      }
      const stop = journal.onSuspended(check)
      check()
      return Effect.sync(stop)
    })
  )

const scratch = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "reprise-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

describe("storeBytes", () => {
  it.live("sessions wait at the quota, can be read, and go on without a lost byte when it is raised", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const folder = yield* scratch
      const printed = join(folder, "printed")
      const quota = (storeBytes: number | null) =>
        writeFileSync(store.paths.config, JSON.stringify({ limits: { storeBytes } }))
      mkdirSync(store.paths.store, { recursive: true })
      quota(STORE_BYTES_MIN)
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const quiet = idOf(yield* sessions.create({ argv: ["cat"] }))
        // Random, so that LevelDB cannot compress it.
        const flood = `stty -opost -echo; head -c ${20 * MIB} /dev/urandom | base64 | tee '${printed}'; echo end`
        const id = idOf(yield* sessions.create({ argv: ["sh", "-c", flood] }))
        yield* suspended(true)
        const size = bytesOf(store.paths.store)
        // One look for 256 KiB, one batch of 4 MiB, and what LevelDB writes twice while it compacts.
        assert.isBelow(size, STORE_BYTES_MIN + 8 * MIB)
        const status = yield* sessions.status
        assert.include(status.suspended!.reason, `quota of ${STORE_BYTES_MIN} bytes is reached`)
        assert.isFalse(status.suspended!.diskFull)
        for (const refused of [
          yield* Effect.flip(sessions.create({ argv: ["cat"] })),
          yield* Effect.flip(sessions.write(quiet, Buffer.from("x"))),
          yield* Effect.flip(sessions.closeInput(quiet))
        ]) {
          assert.deepInclude(
            { ...refused },
            { _tag: "LimitExceeded", code: "ResourceExhausted", limit: "store bytes", max: STORE_BYTES_MIN }
          )
          assert.include(refused.message, "raise limits.storeBytes")
        }
        assert.strictEqual(
          (yield* Effect.flip(sessions.resize(quiet, { cols: 90, rows: 30 })))._tag,
          "SessionUnavailable"
        )
        // What there is can be read.
        assert.strictEqual((yield* history.list).length, 2)
        const before = textOf([...(yield* Stream.runCollect(history.events(id)))])
        assert.isAbove(before.length, MIB)
        // Followed too: whoever comes now is shown what there is, and goes on when there is room.
        const shown = Stream.takeUntil(history.follow(id, 0), (page) => page._tag === "Synced")
        const followed = [...(yield* Stream.runCollect(shown))]
        assert.strictEqual(textOf(followed.flatMap((page) => (page._tag === "Page" ? page.entries : []))), before)

        quota(100 * MIB)
        yield* suspended(false)
        const pages = yield* Stream.runCollect(history.follow(id, 0))
        const entries = [...pages].flatMap((page) => (page._tag === "Page" ? page.entries : []))
        const text = textOf(entries)
        assert.isTrue(text === `${readFileSync(printed, "latin1")}end\n`)
        assert.isTrue(text.startsWith(before))
        assert.deepStrictEqual(eventsOf(entries, "GapDetected"), [])
        assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", exitCode: 0 })
        yield* sessions.write(quiet, Buffer.from("x\n"))
        yield* sessions.close(quiet)
      }).pipe(Effect.provide(store.layer()))

      // Below what there is: the next engine does not start, and says why.
      quota(STORE_BYTES_MIN)
      const refused = yield* Effect.flip(Sessions.use(({ status }) => status).pipe(Effect.provide(store.layer())))
      assert.deepInclude({ ...refused }, { _tag: "StorageUnavailable" })
      assert.include(refused.message, "raise it or delete something")
      quota(null)
      yield* Sessions.use(({ status }) => status).pipe(Effect.provide(store.layer()))
    })
  )
})
