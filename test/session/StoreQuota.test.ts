/** A store that may not grow: sessions wait, nothing is lost, callers are told what to do, and it goes on by itself. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Schedule, Stream } from "effect"
import { type JournalEntry, type SessionEvent, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { History, Journal, Retention, Sessions } from "../../src/index.ts"
import { STORE_BYTES_MIN } from "../../src/session/EngineConfig.ts"
import { bytesIn } from "../fixtures/bytesIn.ts"
import { eventsOf, idOf, testStore, textOf, type, until } from "./sessionsUnderTest.ts"

const MIB = 1024 * 1024
const STARTS = 50
/** docs/limits.md: what so many engines may add to a full store. Nothing of it is theirs: LevelDB's own notes. */
const STARTS_BYTES_MAX = 16 * 1024
/** They would all say that the journal cannot be written. */
const SILENT = Logger.layer([])

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

/** Everything until there are so many events of a kind. */
const journaled = (stream: SessionId, tag: SessionEvent["_tag"], count: number) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const entries: Array<JournalEntry> = []
    yield* journal.follow(stream, 0).pipe(
      Stream.takeUntil((item) => {
        if (item._tag === "Page") entries.push(...item.entries)
        return eventsOf(entries, tag).length >= count
      }),
      Stream.runDrain
    )
    return entries
  })

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
        const size = bytesIn(store.paths.store)
        // One look for 256 KiB, one batch of 4 MiB, and what LevelDB has twice while it merges tables: at most all of it.
        assert.isBelow(size, 2 * STORE_BYTES_MIN + 5 * MIB)
        // LevelDB gives room back when it has merged tables, and sessions go on for a moment. Not while this is looked at.
        const filler = join(store.paths.store, "filler")
        writeFileSync(filler, "")
        truncateSync(filler, STORE_BYTES_MIN)
        // A look at the store may have begun before the filler was there.
        yield* Effect.repeat(Effect.sleep(20), { times: 50 })
        yield* suspended(true)
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
    })
  )

  it.live(
    "the session that fills it can be pruned while it waits, goes on by itself, and loses nothing that is not removed",
    () =>
      Effect.gen(function* () {
        const store = yield* testStore
        const folder = yield* scratch
        const printed = join(folder, "printed")
        mkdirSync(store.paths.store, { recursive: true })
        writeFileSync(store.paths.config, JSON.stringify({ limits: { storeBytes: STORE_BYTES_MIN } }))
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const history = yield* History
          const retention = yield* Retention
          const flood = `stty -opost -echo; head -c ${20 * MIB} /dev/urandom | base64 | tee '${printed}'; echo end; cat`
          const id = idOf(yield* sessions.create({ argv: ["sh", "-c", flood] }))
          const removedAtQuota: Array<string> = []
          const isDone = Effect.map(history.get(id), ({ outputBytes }) => outputBytes >= (20 * MIB * 4) / 3)
          for (let round = 0; round < 20 && !(yield* isDone); round++) {
            // It fills again, or is done.
            yield* Effect.raceFirst(
              suspended(true),
              Effect.andThen(
                Effect.repeat(Effect.andThen(Effect.sleep(100), isDone), { until: (done) => done }),
                Effect.void
              )
            )
            if (yield* isDone) break
            const policy = { session: { maxEvents: 5 }, store: {} }
            const { items } = yield* retention.prune({ sessions: [id], policy })
            removedAtQuota.push(...items.map(({ detail, outcome }) => `${outcome} ${detail}`))
            yield* suspended(false)
          }
          assert.include(removedAtQuota, "removed ")
          assert.isTrue(yield* isDone)
          // It lives, and takes what is typed.
          yield* type(id, "still there\n")
          yield* until(id, "still there")
          const entries = [...(yield* Stream.runCollect(history.events(id)))]
          const text = textOf(entries)
          const left = text.slice(0, text.indexOf("still there"))
          assert.isTrue(left.length > 0 && `${readFileSync(printed, "latin1")}end\n`.endsWith(left))
          yield* sessions.close(id)
        }).pipe(Effect.provide(store.layer()))
      })
  )

  it.live(
    `${STARTS} engines that start on a full store leave no trace; the one that lives when there is room goes on`,
    () =>
      Effect.gen(function* () {
        const store = yield* testStore
        const status = Sessions.use(({ status }) => status)
        const id = yield* Sessions.use((sessions) => sessions.create({ argv: ["cat"] })).pipe(
          Effect.map(idOf),
          Effect.provide(store.layer())
        )
        const filler = join(store.paths.store, "filler")
        writeFileSync(filler, "")
        truncateSync(filler, STORE_BYTES_MIN)
        writeFileSync(store.paths.config, JSON.stringify({ limits: { storeBytes: STORE_BYTES_MIN } }))
        const size = bytesIn(store.paths.store)
        for (let i = 0; i < STARTS; i++) {
          const { keepers, suspended } = yield* status.pipe(Effect.provide(store.layer()))
          assert.include(suspended!.reason, "reprise prune")
          assert.deepStrictEqual(
            keepers.map(({ sessions }) => sessions),
            [[id]]
          )
        }
        assert.isBelow(bytesIn(store.paths.store) - size, STARTS_BYTES_MAX)
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          assert.strictEqual((yield* Effect.flip(sessions.create({ argv: ["cat"] })))._tag, "LimitExceeded")
          rmSync(filler)
          yield* suspended(false)
          // Its own start is told now; those of the others were not, and nothing else was.
          const told = yield* journaled(STORE_STREAM, "EngineStarted", 2)
          assert.deepStrictEqual(
            told.map(({ event }) => event._tag),
            ["EngineStarted", "EngineStopped", "EngineStarted"]
          )
          yield* journaled(id, "SessionResumed", 1)
          // It is taken back in the background, and a moment behind that event it can be typed into.
          yield* Effect.retry(type(id, "on\n"), {
            while: ({ _tag }) => _tag === "SessionUnavailable",
            schedule: Schedule.spaced("10 millis")
          })
          assert.deepStrictEqual(eventsOf(yield* until(id, "on\r\non\r\n"), "GapDetected"), [])
          yield* sessions.close(id)
        }).pipe(Effect.provide(store.layer()))
      }).pipe(Effect.provide(SILENT))
  )
})
