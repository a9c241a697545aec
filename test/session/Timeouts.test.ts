/** Sessions that nobody attends to, or that nothing happens in, are ended when their time has come, and never before. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ACTOR_ENGINE, type SessionId, type SessionLimits } from "../../journal/Event.ts"
import { Attach, Exec, History, Journal, Lifecycle, Sessions } from "../../src/index.ts"
import { eventsOf, idOf, testStore, until, untilEnd } from "./sessionsUnderTest.ts"

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const create = (limits: SessionLimits, argv: ReadonlyArray<string> = ["cat"]) =>
  Effect.flatMap(Sessions, (sessions) => Effect.map(sessions.create({ argv, limits }), idOf))

/** Its end is nowhere in the journal, and an engine that had begun to end it would have said so first. */
const isKept = (session: SessionId) =>
  Effect.gen(function* () {
    // Whatever the sweep began has asked its host by now: it answers in order.
    yield* Sessions.use((sessions) => sessions.write(session, new Uint8Array(0)))
    const history = yield* History
    const events = yield* Stream.runCollect(history.events(session))
    assert.deepStrictEqual(eventsOf([...events], "LimitReached"), [])
    assert.strictEqual((yield* history.get(session)).status, "running")
  })

const isEndedFor = (session: SessionId, limit: keyof SessionLimits, value: number) =>
  Effect.gen(function* () {
    const entries = yield* untilEnd(session)
    const reached = entries.filter(({ event }) => event._tag === "LimitReached")
    assert.deepStrictEqual(
      reached.map(({ actor, event }) => ({ actor, event })),
      [{ actor: ACTOR_ENGINE, event: { _tag: "LimitReached", limit, value } }]
    )
    assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", reason: "ended" })
    const error = yield* Effect.flip(Sessions.use((sessions) => sessions.write(session, Buffer.from("x"))))
    assert.strictEqual(error._tag, "SessionEnded")
  })

/** A client of the session, until it is interrupted. */
const attached = (session: SessionId) =>
  Effect.gen(function* () {
    const attach = yield* Attach
    const fiber = yield* attach.attach(session, { after: 0, client: "c" }).pipe(Stream.runDrain, Effect.forkChild)
    const lifecycle = yield* Lifecycle
    yield* lifecycle.live.pipe(
      Effect.repeat({ until: (all) => all.some(({ clients, id }) => id === session && clients.length > 0) })
    )
    return fiber
  })

const inProcess = (
  title: string,
  test: Effect.Effect<void, unknown, Sessions | History | Exec | Attach | Lifecycle | Journal>,
  before: Effect.Effect<void> = Effect.void
) =>
  it.effect(title, () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* before
      yield* test.pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )

describe("timeouts", () => {
  inProcess(
    "G20: after five minutes without a client a session is ended, and its history stays",
    Effect.gen(function* () {
      const id = yield* create({ noClientMillis: 5 * MINUTE }, ["sh", "-c", "echo hello; exec cat"])
      const other = yield* create({})
      yield* until(id, "hello\r\n")
      yield* TestClock.adjust(5 * MINUTE - 1)
      yield* isKept(id)
      // What is typed is no client.
      yield* Sessions.use((sessions) => sessions.write(id, Buffer.from("x\n")))
      yield* TestClock.adjust(1)
      yield* isEndedFor(id, "noClientMillis", 5 * MINUTE)
      yield* until(id, "hello\r\n")
      yield* TestClock.adjust("10 days")
      yield* isKept(other)
    })
  )

  inProcess(
    "G20: after an hour without input or output a session is ended; each of them begins a new hour",
    Effect.gen(function* () {
      const id = yield* create({ idleMillis: HOUR })
      yield* TestClock.adjust(HOUR - 1)
      yield* Sessions.use((sessions) => sessions.write(id, Buffer.from("x\n")))
      yield* until(id, "x\r\nx\r\n")
      yield* TestClock.adjust(HOUR - 1)
      yield* isKept(id)
      yield* TestClock.adjust(1)
      yield* isEndedFor(id, "idleMillis", HOUR)
    })
  )

  inProcess(
    "G20: a session with a client is kept however idle it is, unless it says otherwise; the time begins when the client leaves",
    Effect.gen(function* () {
      const id = yield* create({ noClientMillis: 5 * MINUTE, idleMillis: HOUR })
      const idle = yield* create({ idleMillis: HOUR })
      const always = yield* create({ idleMillis: HOUR, evenWhenAttached: true })
      const clients = yield* Effect.forEach([id, idle, always], attached)
      yield* TestClock.adjust(HOUR)
      yield* isEndedFor(always, "idleMillis", HOUR)
      yield* TestClock.adjust(3 * HOUR)
      yield* isKept(id)
      yield* isKept(idle)
      yield* Effect.forEach(clients, Fiber.interrupt)
      yield* TestClock.adjust(5 * MINUTE - 1)
      yield* isKept(id)
      yield* TestClock.adjust(1)
      yield* isEndedFor(id, "noClientMillis", 5 * MINUTE)
      yield* TestClock.adjust(HOUR - 5 * MINUTE - 1)
      yield* isKept(idle)
      yield* TestClock.adjust(1)
      yield* isEndedFor(idle, "idleMillis", HOUR)
    })
  )

  inProcess(
    "a terminal in whose foreground a command runs is kept, unless it says otherwise",
    Effect.gen(function* () {
      const bash = ["bash", "--norc", "--noprofile", "-i"]
      const busy = yield* create({ idleMillis: HOUR }, bash)
      const always = yield* create({ idleMillis: HOUR, evenWhenBusy: true }, bash)
      const sessions = yield* Sessions
      for (const id of [busy, always]) {
        // What prints is in the foreground already.
        yield* sessions.write(id, Buffer.from("sh -c 'echo $((6 * 7)); exec sleep 1000'\n"))
        yield* until(id, "42\r\n")
      }
      yield* TestClock.adjust(HOUR)
      yield* isEndedFor(always, "idleMillis", HOUR)
      yield* TestClock.adjust(3 * HOUR)
      yield* isKept(busy)
      yield* sessions.signal(busy, "INT", "foreground")
      // The shell's prompt is output.
      yield* until(busy, /42\r\n[\s\S]*[#$] /)
      yield* TestClock.adjust(HOUR)
      yield* isEndedFor(busy, "idleMillis", HOUR)
    })
  )

  inProcess(
    "a shell in which a command runs is kept, and its end begins the time",
    Effect.gen(function* () {
      const exec = yield* Exec
      const id = idOf(yield* exec.start({ limits: { idleMillis: HOUR, noClientMillis: HOUR } }))
      const running = yield* Effect.forkChild(
        exec.exec(id, { code: "read x; echo done", stdin: { _tag: "Stream" }, execId: "one" })
      )
      yield* exec
        .poll(id, "one")
        .pipe(
          Effect.retry({ while: (error) => error._tag === "ExecNotFound" }),
          Effect.repeat({ until: ({ status }) => status !== "queued" })
        )
      yield* TestClock.adjust(2 * HOUR)
      yield* isKept(id)
      yield* exec.send(id, "one", { bytes: Buffer.from("go\n") })
      assert.strictEqual(Buffer.from((yield* Fiber.join(running)).stdout).toString(), "done\n")
      // Idle since the command ended, without a client since the start: that is looked at again half a minute later.
      yield* TestClock.adjust(MINUTE)
      yield* isEndedFor(id, "noClientMillis", HOUR)
    })
  )

  it.effect("an engine that starts gives every session its whole time: nobody could come while there was none", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const id = yield* Effect.gen(function* () {
        const id = yield* create({ noClientMillis: 5 * MINUTE, idleMillis: HOUR })
        yield* TestClock.adjust(5 * MINUTE - 1)
        return id
      }).pipe(Effect.provide(store.layer()))
      yield* TestClock.adjust(10 * HOUR)
      yield* Effect.gen(function* () {
        yield* isKept(id)
        yield* TestClock.adjust(5 * MINUTE - 1)
        yield* isKept(id)
        yield* TestClock.adjust(1)
        yield* isEndedFor(id, "noClientMillis", 5 * MINUTE)
      }).pipe(Effect.provide(store.layer()))
    })
  )

  it.effect("what an engine had decided and not done when it died, the next one does at once", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const id = yield* Effect.gen(function* () {
        const id = yield* create({ idleMillis: HOUR })
        const journal = yield* Journal
        const event = { _tag: "LimitReached", limit: "idleMillis", value: HOUR } as const
        yield* journal.append(id, [{ event, actor: ACTOR_ENGINE, timeMicros: 0 }])
        return id
      }).pipe(Effect.provide(store.layer()))
      yield* isEndedFor(id, "idleMillis", HOUR).pipe(Effect.provide(store.layer()))
    })
  )

  it.effect("a wall clock that jumps ends nothing early and keeps nothing late", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let jumpMillis = 100 * HOUR
      const wallMillis = () => clock.currentTimeMillisUnsafe() + jumpMillis
      const wallNanos = () => BigInt(wallMillis()) * 1_000_000n
      const jumping: Clock.Clock = {
        ...clock,
        currentTimeMillisUnsafe: wallMillis,
        currentTimeMillis: Effect.sync(wallMillis),
        currentTimeNanosUnsafe: wallNanos,
        currentTimeNanos: Effect.sync(wallNanos)
      }
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const id = yield* create({ idleMillis: HOUR, noClientMillis: 2 * HOUR })
        const other = yield* create({ noClientMillis: 2 * HOUR })
        const client = yield* attached(other)
        yield* TestClock.adjust(HOUR / 2)
        jumpMillis = 0
        yield* Sessions.use((sessions) => sessions.write(id, Buffer.from("x\n")))
        yield* until(id, "x\r\nx\r\n")
        jumpMillis = 200 * HOUR
        yield* Fiber.interrupt(client)
        jumpMillis = 0
        yield* TestClock.adjust(HOUR - 1)
        yield* isKept(id)
        yield* TestClock.adjust(1)
        yield* isEndedFor(id, "idleMillis", HOUR)
        yield* TestClock.adjust(HOUR - 1)
        yield* isKept(other)
        yield* TestClock.adjust(1)
        yield* isEndedFor(other, "noClientMillis", 2 * HOUR)
      }).pipe(Effect.provide(store.layer({ inProcess: true })), Effect.provideService(Clock.Clock, jumping))
    })
  )

  inProcess(
    "G20: what ended five minutes ago is no longer listed as live, what ended just now is; its own retention goes first",
    Effect.gen(function* () {
      const lifecycle = yield* Lifecycle
      const sessions = yield* Sessions
      const listed = Effect.map(lifecycle.live, (all) => all.map(({ id }) => id))
      const long = yield* create({ retentionMillis: HOUR })
      const old = yield* create({})
      yield* Effect.forEach([long, old], (id) => sessions.close(id))
      assert.sameMembers(yield* listed, [long, old])
      yield* TestClock.adjust(5 * MINUTE - 1)
      assert.sameMembers(yield* listed, [long, old])
      yield* TestClock.adjust(MINUTE)
      assert.deepStrictEqual(yield* listed, [long])
      yield* TestClock.adjust(HOUR)
      assert.deepStrictEqual(yield* listed, [])
    }),
    // A host says by its own clock when a program ended; what the test takes is less than a minute. No engine lives
    // through the hours from 1970 to now.
    Effect.flatMap(TestClock.withLive(Clock.currentTimeMillis), TestClock.setTime)
  )
})
