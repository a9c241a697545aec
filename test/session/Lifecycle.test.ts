/** The promises of `Lifecycle`: the feed of what happens to all sessions, the live ones, and what they use. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Scope, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import {
  Attach,
  Exec,
  type History,
  Lifecycle,
  type LifecycleEvent,
  type LifecycleItem,
  Sessions
} from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { idOf, type TestStore, testStore, until, untilEnd } from "./sessionsUnderTest.ts"

type Services = Sessions | History | Attach | Exec | Lifecycle

const live = (title: string, test: (store: TestStore) => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.live(title, () => Effect.flatMap(testStore, (store) => Effect.scoped(test(store))))

const inEngine = <A, E>(store: TestStore, work: Effect.Effect<A, E, Services | Scope.Scope>) =>
  Effect.scoped(work).pipe(Effect.provide(store.layer()))

/** The feed up to its Synced. */
const known = (after?: number) =>
  Effect.gen(function* () {
    const lifecycle = yield* Lifecycle
    return yield* lifecycle.feed(after).pipe(
      Stream.takeUntil(({ _tag }) => _tag === "Synced"),
      Stream.runCollect
    )
  })

const eventsOf = (items: ReadonlyArray<LifecycleItem>): ReadonlyArray<LifecycleEvent> =>
  items.flatMap((item) => (item._tag === "Event" ? [item] : []))

const create = (
  script: string,
  more: { readonly group?: string; readonly limits?: { retentionMillis?: number } } = {}
) =>
  Effect.flatMap(Sessions, (sessions) =>
    Effect.map(sessions.create({ argv: ["sh", "-c", script], cwd: "/", ...more }), idOf)
  )

describe("lifecycle feed", () => {
  live(
    "has every change of every session once, in order, live and again from any position, also in the next engine",
    (store) =>
      Effect.gen(function* () {
        const before = yield* inEngine(
          store,
          Effect.gen(function* () {
            const sessions = yield* Sessions
            const lifecycle = yield* Lifecycle
            const seen: Array<LifecycleItem> = []
            const reading = yield* lifecycle.feed(0).pipe(
              Stream.tap((item) => Effect.sync(() => seen.push(item))),
              Stream.takeUntil(
                (item) => item._tag === "Event" && item.event._tag === "SessionClosed" && item.event.exitCode === 9
              ),
              Stream.runDrain,
              Effect.forkScoped
            )
            const ids = yield* Effect.forEach(
              Array.from({ length: 8 }, (_, i) => i),
              (i) => create(`echo ${i}; exit ${i}`),
              { concurrency: "unbounded" }
            )
            yield* Effect.forEach(ids, untilEnd, { concurrency: "unbounded" })
            const last = yield* create("read go; exit 9")
            yield* sessions.resize(last, { cols: 100, rows: 30 })
            yield* sessions.write(last, Buffer.from("go\n"))
            yield* Fiber.join(reading)
            const again = eventsOf(yield* known(0))
            assert.deepStrictEqual(eventsOf(seen), again)
            const positions = again.map(({ position }) => position)
            assert.deepStrictEqual(
              positions,
              [...new Set(positions)].sort((one, other) => one - other)
            )
            for (const id of [...ids, last]) {
              const tags = again.filter(({ session }) => session === id).map(({ event }) => event._tag)
              assert.deepStrictEqual(tags, [
                "SessionCreated",
                "ProcessStarted",
                ...(id === last ? ["Resized"] : []),
                "LeaderExited",
                "TerminalClosed",
                "SessionClosed"
              ])
            }
            for (const at of [1, positions[5]!, positions.at(-1)!]) {
              assert.deepStrictEqual(
                eventsOf(yield* known(at)),
                again.filter(({ position }) => position > at)
              )
            }
            assert.deepStrictEqual(yield* known(), [{ _tag: "Synced", position: positions.at(-1)! }])
            return again
          })
        )
        yield* inEngine(
          store,
          Effect.gen(function* () {
            assert.deepStrictEqual(eventsOf(yield* known(0)), before)
            const id = yield* create("true")
            yield* untilEnd(id)
            const more = eventsOf(yield* known(before.at(-1)!.position))
            assert.isTrue(more.every(({ position, session }) => session === id && position > before.at(-1)!.position))
            assert.strictEqual(more.at(-1)?.event._tag, "SessionClosed")
          })
        )
      })
  )

  live("a subscriber that waits is woken by each change, and one that goes away costs nothing", (store) =>
    inEngine(
      store,
      Effect.gen(function* () {
        const lifecycle = yield* Lifecycle
        const gone = yield* lifecycle.feed().pipe(Stream.runDrain, Effect.forkScoped)
        const seen: Array<LifecycleItem> = []
        const reading = yield* lifecycle.feed().pipe(
          Stream.tap((item) => Effect.sync(() => seen.push(item))),
          Stream.takeUntil((item) => item._tag === "Event" && item.event._tag === "SessionClosed"),
          Stream.runDrain,
          Effect.forkScoped
        )
        yield* Effect.yieldNow
        yield* Fiber.interrupt(gone)
        const id = yield* create("true")
        yield* Fiber.join(reading)
        assert.strictEqual(seen[0]?._tag, "Synced")
        assert.deepStrictEqual(
          eventsOf(seen).map(({ event, session }) => [session, event._tag]),
          ["SessionCreated", "ProcessStarted", "LeaderExited", "TerminalClosed", "SessionClosed"].map((tag) => [
            id,
            tag
          ])
        )
      })
    )
  )
})

describe("live sessions", () => {
  live("are listed with who is there, and a while after their end, also by the next engine", (store) =>
    Effect.gen(function* () {
      const ids = yield* inEngine(
        store,
        Effect.gen(function* () {
          const lifecycle = yield* Lifecycle
          const attach = yield* Attach
          const running = yield* create("echo out; read go", { group: "g" })
          yield* until(running, "out")
          const isAttached = yield* Deferred.make<void>()
          yield* attach.attach(running, { client: "looker", readOnly: true }).pipe(
            Stream.runForEach(({ _tag }) =>
              _tag === "ReplayComplete" ? Deferred.succeed(isAttached, undefined) : Effect.void
            ),
            Effect.forkScoped
          )
          yield* Deferred.await(isAttached)
          const kept = yield* create("exit 4")
          const forgotten = yield* create("exit 5", { limits: { retentionMillis: 0 } })
          yield* untilEnd(kept)
          yield* untilEnd(forgotten)
          const entries = yield* lifecycle.live
          assert.deepStrictEqual(
            entries.map(({ id }) => id),
            [kept, running]
          )
          assert.deepInclude(entries[0], { status: "exited", exitCode: 4, clients: [] })
          assert.deepInclude(entries[1], { status: "running", group: "g", exitCode: null, endedAt: null })
          assert.deepStrictEqual(entries[1]!.clients, [{ client: "looker", readOnly: true }])
          assert.isAbove(entries[1]!.activeAt, entries[1]!.createdAt)
          return { kept, running }
        })
      )
      yield* inEngine(
        store,
        Effect.gen(function* () {
          const lifecycle = yield* Lifecycle
          const entries = yield* lifecycle.live
          assert.deepStrictEqual(
            entries.map(({ id }) => id),
            [ids.kept, ids.running]
          )
          assert.deepInclude(entries[0], { status: "exited", exitCode: 4 })
        })
      )
    })
  )
})

describe("a shell that was lost and brought back", () => {
  live("is listed once, as the live session that it is", (store) =>
    inEngine(
      store,
      Effect.gen(function* () {
        const exec = yield* Exec
        const lifecycle = yield* Lifecycle
        const id = idOf(yield* exec.start({ language: "bash", cwd: "/" }))
        const [keeper] = yield* Effect.promise(() => listKeepers(store.paths.keepers))
        process.kill(keeper!.pid, "SIGKILL")
        yield* untilEnd(id)
        assert.deepStrictEqual(
          (yield* lifecycle.live).map(({ status }) => status),
          ["lost"]
        )
        yield* exec.restore(id)
        assert.deepStrictEqual(
          (yield* lifecycle.live).map((entry) => [entry.id, entry.status]),
          [[id, "running"]]
        )
        yield* exec.end(id)
      })
    )
  )
})

describe("usage", () => {
  live("counts the processes of a session, those that left it with setsid too, their time and their memory", (store) =>
    inEngine(
      store,
      Effect.gen(function* () {
        const lifecycle = yield* Lifecycle
        const sessions = yield* Sessions
        const busy = yield* create("setsid sleep 1000 & i=0; echo go; while :; do i=$((i+1)); done")
        const idle = yield* create("echo go; read go")
        yield* until(busy, "go")
        yield* until(idle, "go")
        const settled = Effect.delay(
          Effect.suspend(() => lifecycle.usage(busy)),
          20
        ).pipe(
          Effect.repeat({
            // A machine that stood still in the middle of a look makes its share too large, once.
            until: ({ cpuMicros, cpuPercent, processes }) =>
              processes === 2 && cpuMicros > 200_000 && cpuPercent > 0 && cpuPercent < 150,
            times: 1000
          })
        )
        const used = yield* settled
        assert.strictEqual(used.processes, 2)
        assert.isAbove(used.cpuMicros, 200_000)
        assert.isAbove(used.cpuPercent, 0)
        assert.isBelow(used.cpuPercent, 150)
        assert.isAbove(used.rssBytes, 100_000)
        assert.isAbove(used.outputBytes, 0)
        const quiet = yield* lifecycle.usage(idle)
        assert.strictEqual(quiet.processes, 1)
        assert.isBelow(quiet.cpuMicros, used.cpuMicros)
        yield* sessions.close(idle)
        assert.strictEqual((yield* Effect.flip(lifecycle.usage(idle)))._tag, "SessionEnded")
        const unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId
        assert.strictEqual((yield* Effect.flip(lifecycle.usage(unknown)))._tag, "SessionNotFound")
        yield* sessions.close(busy)
      })
    )
  )
})
