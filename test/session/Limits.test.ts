/** What an engine and a session allow, and how it is said: counts, sizes, names, signals. Real programs where they matter. */
import { mkdirSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { SessionId, SessionLimits } from "../../journal/Event.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { ENGINE_LIMITS, Exec, History, Journal, Sessions } from "../../src/index.ts"
import { Admission } from "../../src/session/Admission.ts"
import { LimitExceeded } from "../../src/session/SessionError.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { created, entriesOf, STREAM, started } from "../projections/events.ts"
import { eventsOf, idOf, testStore, textOf, until, untilEnd } from "./sessionsUnderTest.ts"

const cat = { argv: ["cat"] }
const isLimit = (limit: string, max: number) => (error: unknown) => {
  assert.instanceOf(error, LimitExceeded)
  assert.deepInclude({ ...error }, { _tag: "LimitExceeded", code: "ResourceExhausted", limit, max })
  return error
}

describe("how many sessions", () => {
  it("G19: the 11th of a group and the 1,001st of all are refused, another group is not", () => {
    const admission = new Admission(ENGINE_LIMITS)
    const group = Array.from({ length: 10 }, newSessionId)
    for (const id of group) admission.admit(id, "a")
    assert.throws(() => admission.admit(newSessionId(), "a"), /group "a".*end one/)
    admission.admit(newSessionId(), "b")
    while (admission.count < 1000) admission.admit(newSessionId(), null)
    try {
      admission.admit(newSessionId(), null)
      assert.fail("the 1,001st was let in")
    } catch (error) {
      isLimit("sessions", 1000)(error)
    }
    // Counted once, whoever asks again.
    admission.admit(group[0]!, "a")
    assert.strictEqual(admission.count, 1000)
    admission.release(group[0]!)
    admission.release(group[0]!)
    admission.admit(newSessionId(), "a")
    assert.strictEqual(admission.count, 1000)
  })

  it.live("G19: concurrent creations are counted right, nothing is journaled of a refused one, an end makes room", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const ids = Array.from({ length: 14 }, newSessionId)
        const outcomes = yield* Effect.all(
          ids.map((id) => Effect.result(sessions.create({ ...cat, id, group: "box" }))),
          { concurrency: "unbounded" }
        )
        const made = ids.filter((_, index) => outcomes[index]!._tag === "Success")
        assert.strictEqual(made.length, 10)
        for (const outcome of outcomes) if (outcome._tag === "Failure") isLimit("group", 10)(outcome.failure)
        assert.strictEqual((yield* history.list).length, 10)
        // No group, and another group.
        yield* sessions.create(cat)
        yield* sessions.create({ ...cat, group: "other box" })
        // The same id again is the session that is there.
        assert.strictEqual((yield* sessions.create({ ...cat, id: made[0]!, group: "box" })).id, made[0])
        yield* sessions.close(made[0]!)
        yield* sessions.create({ ...cat, group: "box" })
        isLimit("group", 10)(yield* Effect.flip(sessions.create({ ...cat, group: "box" })))
        // One that never starts takes no place.
        const missing = { argv: ["/no/such/program"], group: "third" }
        for (let i = 0; i < 11; i++)
          assert.strictEqual((yield* Effect.flip(sessions.create(missing)))._tag, "SpawnFailed")
        yield* sessions.create({ ...cat, group: "third" })
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )

  it.live("G19: shells for commands count too, and after a restart the journal says what there is", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const limits = { sessions: 3, sessionsPerGroup: 2 }
      const ids = yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const exec = yield* Exec
        const first = idOf(yield* sessions.create({ ...cat, group: "box" }))
        const shell = idOf(yield* exec.start({ group: "box", limits: { inputChunkBytes: 5 } }))
        isLimit("group", 2)(yield* Effect.flip(exec.start({ group: "box" })))
        return [first, shell] as const
      }).pipe(Effect.provide(store.layer({ limits })))
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const exec = yield* Exec
        assert.deepStrictEqual((yield* sessions.status).limits, { ...ENGINE_LIMITS, ...limits })
        isLimit("group", 2)(yield* Effect.flip(exec.start({ group: "box" })))
        isLimit("group", 2)(yield* Effect.flip(sessions.create({ ...cat, group: "box" })))
        assert.include((yield* Effect.flip(sessions.write(ids[1], Buffer.from("123456")))).message, "at most 5")
        yield* sessions.create({ ...cat, group: "other" })
        isLimit("sessions", 3)(yield* Effect.flip(sessions.create(cat)))
        yield* exec.end(ids[1])
        yield* sessions.create({ ...cat, group: "box" })
      }).pipe(Effect.provide(store.layer({ limits })))
    })
  )

  it("G16: 10,000 ids differ", () => {
    assert.strictEqual(new Set(Array.from({ length: 10_000 }, newSessionId)).size, 10_000)
  })

  it.live("G16: an id that is taken names the session that has it, and no second program is started", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const first = yield* sessions.create(cat)
        const again = yield* sessions.create({ argv: ["sleep", "9"], id: idOf(first) })
        assert.deepStrictEqual([again.pid, again.argv], [first.pid, ["cat"]])
        assert.deepInclude(
          { ...(yield* Effect.flip(sessions.create({ ...cat, id: "no-ulid" as SessionId }))) },
          { _tag: "InvalidRequest", field: "session", code: "InvalidArgument" }
        )
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )
})

describe("what a request may say", () => {
  it.live("groups and limits that cannot be are refused, each by its name", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const field = (limits: unknown) =>
          Effect.map(Effect.flip(sessions.create({ ...cat, limits: limits as SessionLimits })), (error) => {
            assert.strictEqual(error._tag, "InvalidRequest")
            return (error as { field?: string }).field
          })
        for (const group of ["", "g".repeat(129), "a\nb", "\u202e"]) {
          assert.deepInclude(
            { ...(yield* Effect.flip(sessions.create({ ...cat, group }))) },
            { _tag: "InvalidRequest", field: "group" }
          )
        }
        for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "1"]) {
          assert.strictEqual(yield* field({ inputChunkBytes: value }), "limits.inputChunkBytes")
          assert.strictEqual(yield* field({ journalBytes: value }), "limits.journalBytes")
        }
        for (const value of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
          assert.strictEqual(yield* field({ idleMillis: value }), "limits.idleMillis")
          assert.strictEqual(yield* field({ noClientMillis: value }), "limits.noClientMillis")
        }
        assert.strictEqual(yield* field({ retentionMillis: -1 }), "limits.retentionMillis")
        assert.strictEqual(yield* field({ evenWhenBusy: 1 }), "limits.evenWhenBusy")
        assert.strictEqual(yield* field({ idleTime: 1 }), "limits.idleTime")
        assert.deepStrictEqual(yield* History.use((history) => history.list), [])
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )

  it.live("G11: 16,384 bytes in one write are taken, 16,385 are not, and without a limit they are", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const exec = yield* Exec
        const program = { argv: ["sh", "-c", "stty raw -echo; echo ready; exec wc -c"] }
        const limited = idOf(yield* sessions.create({ ...program, limits: { inputChunkBytes: 16 * 1024 } }))
        yield* until(limited, "ready")
        yield* sessions.write(limited, Buffer.alloc(16_384, "a"))
        const error = yield* Effect.flip(sessions.write(limited, Buffer.alloc(16_385, "a")))
        assert.deepInclude({ ...error }, { _tag: "InvalidRequest", field: "data", code: "InvalidArgument" })
        assert.include(error.message, "16384")
        const shell = idOf(yield* exec.start({ limits: { inputChunkBytes: 16 * 1024 } }))
        yield* exec.exec(shell, { code: "wc -c", stdin: { _tag: "Stream" }, execId: "wc", yieldMillis: 0 })
        const polled = exec.poll(shell, "wc", { yieldMillis: 20 })
        assert.strictEqual(
          (yield* Effect.repeat(polled, { until: ({ status }) => status !== "queued" })).status,
          "running"
        )
        yield* exec.send(shell, "wc", { bytes: Buffer.alloc(16_384) })
        const more = yield* Effect.flip(exec.send(shell, "wc", { bytes: Buffer.alloc(16_385) }))
        assert.deepInclude({ ...more }, { _tag: "InvalidRequest", field: "data" })
        yield* exec.send(shell, "wc", { eof: true })
        const { stdout } = yield* exec.poll(shell, "wc", { yieldMillis: 60_000 })
        assert.strictEqual(Buffer.from(stdout).toString().trim(), "16384")
        const free = idOf(yield* sessions.create(program))
        yield* until(free, "ready")
        yield* sessions.write(free, Buffer.alloc(16_385, "a"))
        const written = eventsOf(yield* recordsOf(limited), "InputWritten")
        assert.strictEqual(
          written.reduce((sum, { data }) => sum + data.length, 0),
          16_384
        )
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )

  it.live("G10: what is written is read, then the end of input; the 101st unanswered write is refused", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create({ argv: ["sh", "-c", "stty -echo; echo ready; cat; echo eof seen"] }))
        yield* until(id, "ready")
        const answers = yield* Effect.all(
          Array.from({ length: 101 }, (_, i) => Effect.result(sessions.write(id, Buffer.from(`line ${i}\n`)))),
          { concurrency: "unbounded" }
        )
        const refused = answers.filter(({ _tag }) => _tag === "Failure")
        assert.strictEqual(refused.length, 1)
        assert.strictEqual(answers[100], refused[0])
        if (refused[0]?._tag === "Failure") isLimit("input queue", 100)(refused[0].failure)
        yield* sessions.closeInput(id)
        const text = textOf(yield* untilEnd(id))
        assert.include(text, Array.from({ length: 100 }, (_, i) => `line ${i}\r\n`).join(""))
        assert.isTrue(text.endsWith("eof seen\r\n"))
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )

  it.live(
    "G12: a command without a standard input stream takes none; every session has a terminal that can be resized",
    () =>
      Effect.gen(function* () {
        const store = yield* testStore
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const exec = yield* Exec
          const id = idOf(yield* exec.start({}))
          yield* Effect.forkChild(exec.exec(id, { code: "sleep 60", execId: "one" }))
          yield* exec
            .poll(id, "one", { yieldMillis: 0 })
            .pipe(
              Effect.retry({ while: (error) => error._tag === "ExecNotFound" }),
              Effect.repeat({ until: ({ status }) => status === "running" })
            )
          const error = yield* Effect.flip(exec.send(id, "one", { bytes: Buffer.from("x") }))
          assert.deepInclude({ ...error }, { _tag: "InvalidRequest", field: "input" })
          assert.deepStrictEqual(yield* sessions.resize(id, { cols: 90, rows: 30 }), { cols: 90, rows: 30 })
          yield* exec.end(id)
        }).pipe(Effect.provide(store.layer({ inProcess: true })))
      })
  )

  it.live("G22: signals with or without SIG, in any case, trimmed; nothing else", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        for (const [signal, name] of [
          ["SIGTERM", "SIGTERM"],
          ["term", "SIGTERM"],
          [" kill ", "SIGKILL"]
        ] as const) {
          const id = idOf(yield* sessions.create({ argv: ["sleep", "1000"] }))
          yield* sessions.signal(id, signal, "leader")
          const entries = yield* untilEnd(id)
          assert.deepInclude(eventsOf(entries, "SignalSent")[0], { signal: name })
          assert.deepInclude(eventsOf(entries, "LeaderExited")[0], { signal: name, exitCode: null })
        }
        const id = idOf(yield* sessions.create(cat))
        for (const signal of ["SIGINVALID", "", "  ", "SIG", "9", "toString"]) {
          const error = yield* Effect.flip(sessions.signal(id, signal, "leader"))
          assert.deepInclude({ ...error }, { _tag: "InvalidRequest", field: "signal", code: "InvalidArgument" })
        }
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )
})

describe("the first word stands", () => {
  it("G21: a program that is said to have ended twice has its first code", () => {
    const state = entriesOf([
      created(),
      started(),
      { _tag: "LeaderExited", exitCode: 7, signal: null },
      { _tag: "LeaderExited", exitCode: 0, signal: null }
    ]).reduce((before, entry) => SessionState.fold(before, entry), SessionState.initial(STREAM))
    assert.deepInclude({ ...state }, { status: "exited", exitCode: 7, signal: null, endedAt: 3_000_000 })
  })
})

describe("the store's config.json", () => {
  const start = (content: string | undefined, limits = {}) =>
    Effect.gen(function* () {
      const store = yield* testStore
      if (content !== undefined) {
        mkdirSync(store.paths.store, { recursive: true })
        writeFileSync(store.paths.config, content)
      }
      return yield* Sessions.use((sessions) => sessions.status).pipe(
        Effect.provide(store.layer({ inProcess: true, limits }))
      )
    })

  it.live("changes the engine's limits, and what the program gives changes those", () =>
    Effect.gen(function* () {
      const config = JSON.stringify({ limits: { sessions: 5, resizeDebounceMillis: 0, storeBytes: 50_000_000 } })
      assert.deepStrictEqual((yield* start(undefined)).limits, ENGINE_LIMITS)
      assert.deepStrictEqual((yield* start("{}")).limits, ENGINE_LIMITS)
      assert.deepStrictEqual((yield* start(config, { sessions: 6 })).limits, {
        ...ENGINE_LIMITS,
        sessions: 6,
        resizeDebounceMillis: 0,
        storeBytes: 50_000_000
      })
    })
  )

  it.live("that cannot be used refuses the start and says what to correct", () =>
    Effect.gen(function* () {
      for (const [content, words] of [
        ["{", "is not JSON"],
        ["[]", "is not an object"],
        ['{"limit": {}}', '"limit" is not known'],
        ['{"limits": 1}', '"limits" is not an object'],
        ['{"limits": {"session": 1}}', "limits.session is not known; there are sessions,"],
        ['{"limits": {"sessions": "x"}}', 'limits.sessions is "x" and must be a whole number from 1 to'],
        ['{"limits": {"sessions": 0}}', "leave it out for the default of 1000"],
        ['{"limits": {"storeBytes": 1}}', "or null for none"],
        ['{"limits": {"resizeDebounceMillis": -1}}', "a number from 0 to 10000"]
      ] as const) {
        const error = yield* Effect.flip(start(content))
        assert.deepInclude({ ...error }, { _tag: "StoreRefused", reason: "config" }, content)
        assert.include(error.message, words)
        assert.include(error.message, "config.json")
      }
    })
  )
})

/** All that is journaled so far. */
const recordsOf = (session: SessionId) =>
  Effect.flatMap(Journal, (journal) => Effect.map(Stream.runCollect(journal.read(session)), (all) => [...all]))

describe("resizes", () => {
  for (const [title, count, everyMillis, most] of [
    ["G14: 10 in 40 ms are at most 3", 10, 4, 3],
    ["G14: 100 in 100 ms are far fewer", 100, 1, 10]
  ] as const) {
    it.live(`${title}, the last is the last, and each caller is answered`, () =>
      Effect.gen(function* () {
        const store = yield* testStore
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const id = idOf(
            yield* sessions.create({
              argv: ["sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do read x; done"]
            })
          )
          yield* until(id, "ready")
          const answers: Array<Fiber.Fiber<unknown, unknown>> = []
          const begun = performance.now()
          for (let i = 1; i <= count; i++) {
            // A busy machine may be late: then the rest comes at once, and not later than it should.
            while (performance.now() < begun + i * everyMillis) yield* Effect.yieldNow
            answers.push(
              yield* Effect.forkChild(sessions.resize(id, { cols: 80 + i, rows: 25 }), { startImmediately: true })
            )
          }
          const tookMillis = performance.now() - begun
          const sizes = yield* Fiber.joinAll(answers)
          assert.deepStrictEqual(sizes[count - 1], { cols: 80 + count, rows: 25 })
          const resized = eventsOf(yield* recordsOf(id), "Resized")
          // One for each window of 50 ms that the requests really took, one before and one behind.
          assert.isAtMost(resized.length, Math.max(most, 2 + Math.floor(tookMillis / 50)))
          assert.deepStrictEqual(resized[0]!.size, { cols: 81, rows: 25 })
          assert.deepStrictEqual(resized.at(-1)!.size, { cols: 80 + count, rows: 25 })
          yield* until(id, `25 ${80 + count}\r\n`)
        }).pipe(Effect.provide(store.layer({ inProcess: true })))
      })
    )
  }

  it.live("G15: 20 that nobody waits for are no error, and the newest is kept", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create(cat))
        const sizes = yield* Effect.all(
          Array.from({ length: 20 }, (_, i) => sessions.resize(id, { cols: 100 + i, rows: 40 })),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(sizes[0], { cols: 100, rows: 40 })
        assert.isTrue(sizes.slice(1).every(({ cols }) => cols === 119))
        assert.strictEqual(eventsOf(yield* recordsOf(id), "Resized").length, 2)
        assert.deepStrictEqual((yield* History.use((history) => history.get(id))).size, { cols: 119, rows: 40 })
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )

  it.live("G13: no columns or no rows are refused", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create(cat))
        for (const size of [
          { cols: 0, rows: 24 },
          { cols: 80, rows: 0 }
        ]) {
          const error = yield* Effect.flip(sessions.resize(id, size))
          assert.deepInclude({ ...error }, { _tag: "InvalidRequest", field: "size", code: "InvalidArgument" })
        }
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
    })
  )

  it.live("one alone waits for nothing, and those that wait are answered when the session or the engine ends", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      // Whoever waited for the window would be seen to.
      const limits = { resizeDebounceMillis: 10_000 }
      let begun = 0
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const ended = idOf(yield* sessions.create(cat))
        const stopped = idOf(yield* sessions.create(cat))
        begun = performance.now()
        const waiting: Array<Fiber.Fiber<unknown, { readonly _tag: string }>> = []
        for (const id of [ended, stopped]) {
          assert.deepStrictEqual(yield* sessions.resize(id, { cols: 81, rows: 24 }), { cols: 81, rows: 24 })
          waiting.push(
            yield* Effect.forkDetach(sessions.resize(id, { cols: 82, rows: 24 }), { startImmediately: true })
          )
        }
        yield* sessions.close(ended)
        assert.strictEqual((yield* Effect.flip(Fiber.join(waiting[0]!)))._tag, "SessionEnded")
        return waiting[1]!
      }).pipe(
        Effect.provide(store.layer({ limits })),
        // The engine is closed by now: applied at its end.
        Effect.flatMap((waiting) => Fiber.join(waiting)),
        Effect.map((size) => assert.deepStrictEqual(size, { cols: 82, rows: 24 }))
      )
      assert.isBelow(performance.now() - begun, limits.resizeDebounceMillis)
    })
  )
})
