/** What a store keeps: by rules and by hand, beside programs that run and clients that read, and against both: holds. */
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import * as RetentionLocal from "../../src/erasure/RetentionLocal.ts"
import { Attach, Exec, History, Journal, type PruneItem, Retention, Sessions } from "../../src/index.ts"
import { STORE_BYTES_MIN } from "../../src/session/EngineConfig.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { bytesIn } from "../fixtures/bytesIn.ts"
import { created, started } from "../projections/events.ts"
import { eventsOf, idOf, testStore, textOf, type, until, untilEnd } from "./sessionsUnderTest.ts"

const MIB = 1024 * 1024
const DAY = 86_400_000

const outcomes = (items: ReadonlyArray<PruneItem>) => items.map(({ outcome, session }) => [session, outcome])

/** A session that prints so many lines and ends. */
const ended = (lines: number, name?: string) =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const id = idOf(yield* sessions.create({ argv: ["seq", "1", String(lines)], ...(name && { name }) }))
    yield* untilEnd(id)
    return id
  })

/** As `untilEnd`, of megabytes. */
const toEnd = (session: SessionId) =>
  History.use((history) =>
    history.follow(session, 0).pipe(
      Stream.flatMap((item) => Stream.fromArray(item._tag === "Page" ? [...item.entries] : [])),
      Stream.runCollect
    )
  )

const limit = (fields: { maxEvents?: number; maxBytes?: number; maxAgeMillis?: number }) => ({
  session: fields,
  store: {}
})

describe("prune", () => {
  it.live("a dry run changes no event and tells what the removal then does; a second one finds nothing to do", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const retention = yield* Retention
        const history = yield* History
        const id = yield* ended(20_000)
        yield* history.list
        const head = (yield* history.get(id)).sequence
        // Not the files: the engine seals beside it.
        const before = yield* Stream.runCollect(history.events(id))
        const request = { sessions: [id], policy: limit({ maxEvents: 3 }) }
        const dry = yield* retention.prune({ ...request, dryRun: true })
        assert.deepStrictEqual(yield* Stream.runCollect(history.events(id)), before)
        const done = yield* retention.prune(request)
        assert.strictEqual(done.items.length, 1)
        assert.deepStrictEqual(done.items, [{ ...dry.items[0]!, outcome: "removed" }])
        assert.deepInclude(done.items[0]!, { to: head - 3, events: head - 3, whole: false, reason: "count" })
        assert.deepStrictEqual((yield* retention.prune(request)).items, [])
        // The figures are those of the event that is left.
        const [first] = yield* Stream.runCollect(history.events(id))
        assert.deepInclude(first!.event, { _tag: "EventsRemoved", to: head - 3, bytes: done.items[0]!.bytes })
      }).pipe(Effect.provide(store.layer()))
    })
  )

  it.live("of a program that floods while it is followed: no kept byte is missed or doubled, and typing goes on", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const id = yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const retention = yield* Retention
        const history = yield* History
        const flood =
          'stty -echo -opost; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i of a flood"; done; read x; echo "got $x"'
        const id = idOf(yield* sessions.create({ argv: ["sh", "-c", flood] }))
        const follower = yield* history.follow(id, 0).pipe(
          Stream.flatMap((item) => Stream.fromArray(item._tag === "Page" ? [...item.entries] : [])),
          Stream.runCollect,
          Effect.forkChild({ startImmediately: true })
        )
        let removals = 0
        yield* until(id, "line 100 ")
        for (let round = 0; round < 5; round++) {
          const { items } = yield* retention.prune({ sessions: [id], policy: limit({ maxEvents: 2 }) })
          for (const { outcome } of items) if (outcome === "removed") removals++
        }
        assert.isAbove(removals, 0)
        yield* type(id, "typed\n")
        const entries = [...(yield* Fiber.join(follower))]
        let last = 0
        let offset = 0
        for (const { event, sequence } of entries) {
          if (event._tag === "EventsRemoved") {
            assert.isAbove(sequence, last)
            offset = event.outputBytes
          } else {
            assert.strictEqual(sequence, last + 1)
            if (event._tag === "OutputReceived") {
              assert.strictEqual(event.offset, offset)
              offset += event.data.byteLength
            }
          }
          last = sequence
        }
        assert.include(textOf(entries), "got typed")
        return id
      }).pipe(Effect.provide(store.layer()))
      // A later opening finds nothing wrong, and the list knows how it ended.
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        assert.deepStrictEqual(journal.openingDamages, [])
        assert.deepStrictEqual((yield* journal.verify).damages, [])
        const view = yield* History.use((history) => history.get(id))
        assert.deepInclude(view, { status: "exited", exitCode: 0 })
        assert.isDefined(view.removed)
        assert.deepStrictEqual(yield* journal.removal.unfinished, [])
      }).pipe(Effect.provide(store.layer()))
    })
  )

  it.live("a session that lives goes on over a removal and a restart; what was removed is told once, as a gap", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const id = yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const retention = yield* Retention
        const id = idOf(
          yield* sessions.create({ argv: ["sh", "-c", 'stty -echo; seq 1 5000; while read x; do echo "got $x"; done'] })
        )
        yield* until(id, "5000\r\n")
        yield* type(id, "one\n")
        yield* until(id, "got one")
        const refused = yield* Effect.flip(retention.prune({ sessions: [id] }))
        assert.deepInclude({ ...refused }, { _tag: "InvalidRequest", field: "session" })
        const { items } = yield* retention.prune({ sessions: [id], policy: limit({ maxEvents: 1 }) })
        assert.deepInclude(items[0]!, { outcome: "removed", whole: false })
        yield* type(id, "two\n")
        yield* until(id, "got two")
        return id
      }).pipe(Effect.provide(store.layer()))
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        yield* type(id, "three\n")
        const entries = yield* until(id, "got three")
        assert.strictEqual(eventsOf(entries, "EventsRemoved").length, 1)
        assert.deepStrictEqual(eventsOf(entries, "GapDetected"), [])
        const to = eventsOf(entries, "EventsRemoved")[0]!.to
        const view = yield* history.get(id)
        assert.deepInclude(view, { status: "running", argv: view.argv, interruptions: 1 })
        const screen = (yield* history.stateAt(id, { _tag: "Head" })).screen
        assert.include(screen.lines.join("\n"), "got one\ngot two\ngot three")
        const gone = yield* Effect.flip(history.stateAt(id, { _tag: "Sequence", sequence: 2 }))
        assert.deepInclude({ ...gone }, { _tag: "HistoryRemoved", to })
        assert.include(gone.message, `the earliest state is at event ${to}`)
        // A client that was away since before.
        const items = yield* Attach.use((attach) =>
          attach.attach(id, { after: 2 }).pipe(
            Stream.takeUntil((item) => item._tag === "ReplayComplete"),
            Stream.runCollect,
            Effect.scoped
          )
        )
        const missing = [...items].filter((item) => item._tag === "Missing")
        assert.strictEqual(missing.length, 1)
        assert.deepInclude(missing[0]!, { from: 0, sequence: to })
        assert.include(missing[0]!._tag === "Missing" ? missing[0]!.why : "", "at most 1 events")
        yield* sessions.close(id)
      }).pipe(Effect.provide(store.layer()))
    })
  )

  it.live(
    "a shell for commands keeps what it knows; the output of a removed command is gone, and it never runs again",
    () =>
      Effect.gen(function* () {
        const store = yield* testStore
        const id = yield* Effect.gen(function* () {
          const exec = yield* Exec
          const retention = yield* Retention
          const id = idOf(yield* exec.start({ language: "bash", secretEnv: { TOKEN: "hush-hush" } }))
          yield* exec.exec(id, { code: "export A=1; cd /tmp; echo first >> $HOME/ran-$$; echo one", execId: "first" })
          yield* exec.exec(id, { code: "echo two", execId: "second" })
          const { items } = yield* retention.prune({ sessions: [id], policy: limit({ maxEvents: 1 }) })
          assert.deepInclude(items[0]!, { outcome: "removed" })
          return id
        }).pipe(Effect.provide(store.layer()))
        yield* Effect.gen(function* () {
          const exec = yield* Exec
          const { stdout } = yield* exec.exec(id, { code: 'echo "$A $PWD $TOKEN"' })
          assert.strictEqual(Buffer.from(stdout).toString(), "1 /tmp *********\n")
          assert.deepStrictEqual(
            (yield* exec.history(id)).slice(0, 2).map(({ execId, exitCode }) => [execId, exitCode]),
            [
              ["first", 0],
              ["second", 0]
            ]
          )
          for (const asked of [
            exec.poll(id, "first"),
            exec.exec(id, { code: "export A=1; cd /tmp; echo first >> $HOME/ran-$$; echo one", execId: "first" }),
            exec.output(id, "second", { channel: "stdout", from: 0, to: 9 })
          ]) {
            assert.strictEqual(
              (yield* Effect.flip<unknown, { readonly _tag: string }, never>(asked))._tag,
              "HistoryRemoved"
            )
          }
          yield* exec.end(id)
        }).pipe(Effect.provide(store.layer()))
        assert.isFalse(store.holds("hush-hush"))
      })
  )

  it.live("a store that has reached its quota comes back when something is removed", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      mkdirSync(store.paths.store, { recursive: true })
      writeFileSync(store.paths.config, JSON.stringify({ limits: { storeBytes: STORE_BYTES_MIN } }))
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const journal = yield* Journal
        const retention = yield* Retention
        const first = idOf(
          yield* sessions.create({ argv: ["sh", "-c", `stty -opost; head -c ${6 * MIB} /dev/urandom | base64`] })
        )
        yield* toEnd(first)
        const isSuspended = Effect.callback<void>((resume) => {
          const check = () => {
            if (journal.suspended() === undefined) return
            stop()
            resume(Effect.void)
          }
          const stop = journal.onSuspended(check)
          check()
          return Effect.sync(stop)
        })
        // Both do not fit, whatever LevelDB has merged by then; the second alone does.
        const flood = `stty -opost; head -c ${7 * MIB} /dev/urandom | base64; echo end`
        const second = idOf(yield* sessions.create({ argv: ["sh", "-c", flood] }))
        yield* isSuspended
        // Nothing more is written while it is measured what the removal gives back.
        const filler = join(store.paths.store, "filler")
        writeFileSync(filler, "")
        truncateSync(filler, STORE_BYTES_MIN)
        // A look at the store may have begun before the filler was there.
        yield* Effect.repeat(Effect.sleep(20), { times: 50 })
        yield* isSuspended
        const before = bytesIn(store.paths.journal)
        const { items } = yield* retention.prune({ sessions: [first] })
        assert.deepInclude(items[0]!, { outcome: "removed", whole: true })
        assert.isAtLeast(before - bytesIn(store.paths.journal), 0.5 * items[0]!.bytes)
        rmSync(filler)
        // It goes on by itself, and nothing of it was lost meanwhile.
        const entries = yield* toEnd(second)
        assert.isTrue(textOf(entries).endsWith("end\n"))
        assert.deepStrictEqual(eventsOf(entries, "GapDetected"), [])
      }).pipe(Effect.provide(store.layer()))
    })
  )
})

describe("rules and holds", () => {
  it.live(
    "the store's own rules take whole sessions, those that ended first, when its engine starts; a held one stays",
    () =>
      Effect.gen(function* () {
        const store = yield* testStore
        const [held, first, second, third] = yield* Effect.gen(function* () {
          const ids = [yield* ended(10), yield* ended(10), yield* ended(10), yield* ended(10, "third")] as const
          yield* Retention.use((retention) => retention.hold(ids[0], "case 4711", { actor: "auditor" }))
          return ids
        }).pipe(Effect.provide(store.layer()))
        writeFileSync(store.paths.config, JSON.stringify({ retention: { store: { maxSessions: 2 } } }))
        yield* Effect.gen(function* () {
          const history = yield* History
          const retention = yield* Retention
          const ids = Effect.map(history.list, (views) => views.map(({ id }) => id as SessionId))
          while ((yield* ids).length > 3) yield* Effect.sleep("10 millis")
          assert.deepStrictEqual([...(yield* ids)].sort(), [held, second, third].sort())
          const view = yield* history.get(held)
          assert.deepInclude(view.hold!, { reason: "case 4711", actor: "auditor" })
          // Of what is gone the line is left to whoever has its id.
          assert.deepInclude((yield* history.get(first)).removed!, { reason: "sessions", policy: "at most 2 sessions" })
          assert.deepStrictEqual(outcomes((yield* retention.prune({ sessions: [held] })).items), [[held, "held"]])
          yield* retention.release(held)
          assert.isNull((yield* history.get(held)).hold ?? null)
          assert.deepStrictEqual(outcomes((yield* retention.prune({})).items), [[held, "removed"]])
          assert.deepStrictEqual([...(yield* ids)].sort(), [second, third].sort())
          // The last word of a session stands where it stood: a follower ends at it.
          assert.strictEqual((yield* untilEnd(third)).at(-1)!.event._tag, "SessionClosed")
          assert.strictEqual((yield* untilEnd(first)).at(-1)!.event._tag, "EventsRemoved")
        }).pipe(Effect.provide(store.layer()))
      })
  )

  it.live("a session that lives can be held, over a restart too, and its hold is in the feed of all sessions", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const id = yield* Effect.gen(function* () {
        const id = idOf(yield* Sessions.use((sessions) => sessions.create({ argv: ["cat"] })))
        const retention = yield* Retention
        yield* retention.hold(id, "one")
        // Asked again, it is one hold; another reason is told.
        yield* retention.hold(id, "one")
        yield* retention.hold(id, "two")
        return id
      }).pipe(Effect.provide(store.layer()))
      yield* Effect.gen(function* () {
        const retention = yield* Retention
        const history = yield* History
        assert.strictEqual((yield* history.get(id)).hold?.reason, "two")
        const items = (yield* retention.prune({ sessions: [id], policy: limit({ maxEvents: 1 }) })).items
        assert.deepStrictEqual(outcomes(items), [[id, "held"]])
        yield* type(id, "on\n")
        yield* until(id, "on\r\non")
        yield* Sessions.use((sessions) => sessions.close(id))
        const entries = yield* untilEnd(id)
        assert.deepStrictEqual(
          eventsOf(entries, "HoldPlaced").map(({ reason }) => reason),
          ["one", "two"]
        )
        // Behind the last word of a session: it is over all the same.
        for (let round = 0; round < 10; round++) {
          yield* retention.release(id)
          yield* retention.hold(id, `again ${round}`)
        }
        assert.strictEqual((yield* untilEnd(id)).filter(({ event }) => event._tag === "SessionClosed").length, 1)
      }).pipe(Effect.provide(store.layer()))
    })
  )

  it.live("rules that cannot be are refused by name", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      mkdirSync(store.paths.store, { recursive: true })
      for (const [retention, word] of [
        [{ store: { maxDays: 3 } }, "retention.store.maxDays is not known"],
        [{ session: { maxEvents: 0.5 } }, "retention.session.maxEvents is 0.5"],
        [{ all: {} }, "retention.all is not known"],
        [7, "retention is not an object"]
      ] as const) {
        writeFileSync(store.paths.config, JSON.stringify({ retention }))
        const refused = yield* Effect.flip(Sessions.use(({ status }) => status).pipe(Effect.provide(store.layer())))
        assert.deepInclude({ ...refused }, { _tag: "StoreRefused", reason: "config" })
        assert.include(refused.message, word)
      }
    })
  )

  it.effect("age is told by the clock: old events go from a session, and sessions that ended long ago as a whole", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const retention = yield* Retention
      const history = yield* History
      const write = (id: SessionId, day: number, events: ReadonlyArray<SessionEvent>) =>
        journal.append(
          id,
          events.map((event) => ({ event, actor: "test", timeMicros: day * DAY * 1000 }))
        )
      const [old, young] = [newSessionId(), newSessionId()]
      const output = (offset: number): SessionEvent => ({
        _tag: "OutputReceived",
        channel: "tty",
        exec: 0,
        offset,
        data: Buffer.from("x")
      })
      const closed: SessionEvent = { _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] }
      yield* write(old, 0, [created(), started(), output(0), closed])
      yield* write(young, 0, [created(), started(), output(0)])
      yield* write(young, 5, [output(1), closed])
      const policy = { session: { maxAgeMillis: 7 * DAY }, store: { maxAgeMillis: 7 * DAY } }
      yield* TestClock.adjust(6 * DAY)
      assert.deepStrictEqual((yield* retention.prune({ policy })).items, [])
      yield* TestClock.adjust(2 * DAY)
      const { items } = yield* retention.prune({ policy })
      assert.deepStrictEqual(
        items.map(({ outcome, policy, reason, session, to, whole }) => ({
          outcome,
          policy,
          reason,
          session,
          to,
          whole
        })),
        [
          {
            outcome: "removed",
            policy: "ended longer than 7 days ago",
            reason: "age",
            session: old,
            to: 4,
            whole: true
          },
          { outcome: "removed", policy: "older than 7 days", reason: "age", session: young, to: 3, whole: false }
        ]
      )
      assert.deepStrictEqual(
        (yield* history.list).map(({ id }) => id),
        [young]
      )
      yield* TestClock.adjust(5 * DAY)
      assert.deepInclude((yield* retention.prune({ policy })).items[0]!, { session: young, whole: true })
    }).pipe(
      Effect.provide(
        // It makes the key that signs there.
        Layer.unwrap(Effect.map(testStore, ({ paths }) => RetentionLocal.layer(paths))).pipe(
          Layer.provideMerge(HistoryLive.layerWithScreens),
          Layer.provideMerge(JournalMemory.layer)
        )
      )
    )
  )
})
