/** An engine comes back: what the one before acknowledged is there, and the sessions in keepers go on as if nothing happened. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { STORE_STREAM } from "../../journal/Event.ts"
import { History, Journal, Sessions } from "../../src/index.ts"
import { isAlive } from "../fixtures/processes.ts"
import { canMount, fillDisk, withSmallDisk } from "../fixtures/smallDisk.ts"
import { eventsOf, idOf, testStore, textOf, type, until, untilEnd } from "./sessionsUnderTest.ts"

const counter = {
  // Waits in a read of its own: a `sleep` is a process for each line.
  argv: [
    "bash",
    "-c",
    // And does not end before the last engine says so, however slow the others come and go.
    "stty -echo; exec 9<> <(:); i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; read -rt 0.001 -u 9; done; read; exit 9"
  ]
}
const lines = (count: number) => Array.from({ length: count }, (_, i) => `line ${i + 1}\r\n`).join("")

const waitForDeath = (pid: number) =>
  Effect.callback<void>((resume) => {
    const timer = setInterval(() => {
      if (isAlive(pid)) return
      clearInterval(timer)
      resume(Effect.void)
    }, 2)
    return Effect.sync(() => clearInterval(timer))
  })

describe("recovery", () => {
  it.live("a session goes on through engines that come and go, with its pid, its bytes and its exit code", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const created = yield* Effect.flatMap(Sessions, (sessions) => sessions.create(counter)).pipe(
        Effect.provide(store.layer())
      )
      const id = idOf(created)
      for (const line of [100, 400, 900]) {
        yield* until(id, `line ${line}\r\n`).pipe(Effect.provide(store.layer()))
        assert.isTrue(isAlive(created.pid!))
      }
      yield* Effect.gen(function* () {
        yield* type(id, "\n")
        const entries = yield* untilEnd(id)
        assert.isTrue(textOf(entries) === lines(2000))
        assert.deepStrictEqual(
          entries.map(({ sequence }) => sequence),
          entries.map((_, i) => i + 1)
        )
        assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", exitCode: 9 })
        assert.strictEqual(eventsOf(entries, "SessionResumed").length, 4)
        assert.isTrue(eventsOf(entries, "SessionResumed").every(({ gapBytes }) => gapBytes === 0))
        const history = yield* History
        assert.deepInclude(yield* history.get(id), { pid: created.pid, interruptions: 4, exitCode: 9 })
        const journal = yield* Journal
        const store = yield* Stream.runCollect(journal.read(STORE_STREAM))
        assert.deepStrictEqual([...store].map(({ event }) => event._tag).slice(0, 3), [
          "EngineStarted",
          "EngineStopped",
          "EngineStarted"
        ])
      }).pipe(Effect.provide(store.layer()))
    })
  )

  it.live("what ended while no engine ran is all there, with the exit after the last byte", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const created = yield* Effect.flatMap(Sessions, (sessions) =>
        sessions.create({ argv: ["sh", "-c", "sleep 0.3; seq 1 5000; exit 4"] })
      ).pipe(Effect.provide(store.layer()))
      yield* waitForDeath(created.pid!)
      const entries = yield* untilEnd(idOf(created)).pipe(Effect.provide(store.layer()))
      assert.strictEqual(textOf(entries), Array.from({ length: 5000 }, (_, i) => `${i + 1}\r\n`).join(""))
      assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", exitCode: 4 })
    })
  )

  it.live("a keeper that dies takes only its own sessions, whose end is unknown and whose past is intact", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const history = yield* History
        const doomed = idOf(yield* sessions.create({ argv: ["sh", "-c", "echo before; exec sleep 1000"] }))
        const other = idOf(yield* sessions.create({ argv: ["cat"] }))
        yield* until(doomed, "before")
        const keeper = (yield* sessions.status).keepers.find(({ sessions }) => sessions.includes(doomed))!
        process.kill(keeper.pid, "SIGKILL")
        const entries = yield* untilEnd(doomed)
        assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionLost" })
        assert.strictEqual(textOf(entries), "before\r\n")
        assert.deepInclude(yield* history.get(doomed), {
          status: "lost",
          exitCode: null,
          signal: null,
          terminalOpen: false
        })
        assert.deepInclude({ ...(yield* Effect.flip(type(doomed, "x"))) }, { _tag: "SessionEnded", status: "lost" })
        assert.deepStrictEqual(yield* sessions.close(doomed), { survivors: [] })
        yield* type(other, "still here\n")
        yield* until(other, "still here\r\nstill here")
        yield* sessions.close(other)
      }).pipe(Effect.provide(store.layer({ sessionsPerKeeper: 1 })))
    })
  )

  it.live("a keeper that died while no engine ran: the session is lost, and says why", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const { id, keeper } = yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(yield* sessions.create({ argv: ["sh", "-c", "echo before; exec sleep 1000"] }))
        yield* until(id, "before")
        return { id, keeper: (yield* sessions.status).keepers[0]!.pid }
      }).pipe(Effect.provide(store.layer()))
      process.kill(keeper, "SIGKILL")
      yield* waitForDeath(keeper)
      yield* Effect.gen(function* () {
        const entries = yield* untilEnd(id)
        assert.strictEqual(textOf(entries), "before\r\n")
        const lost = entries.at(-1)!.event
        assert.isTrue(lost._tag === "SessionLost" && lost.reason.includes("keeper"))
        assert.deepInclude((yield* History.use((history) => history.list))[0], { status: "lost" })
      }).pipe(Effect.provide(store.layer()))
      // A third engine finds nothing more to say.
      const after = yield* untilEnd(id).pipe(Effect.provide(store.layer()))
      assert.strictEqual(eventsOf(after, "SessionLost").length, 1)
    })
  )

  it.live("input that was journaled and not typed is typed by the next engine, once and in order", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const program = 'stty -echo; echo ready; while read line; do echo got $line; [ "$line" = end ] && exit; done'
      const id = idOf(
        yield* Effect.flatMap(Sessions, (sessions) => sessions.create({ argv: ["sh", "-c", program] })).pipe(
          Effect.provide(store.layer())
        )
      )
      const sent: Array<string> = []
      for (let round = 0; round < 6; round++) {
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          yield* until(id, "ready")
          const batch = Array.from({ length: 20 }, (_, i) => `r${round}-${i}`)
          sent.push(...batch)
          // The last of them are interrupted by the engine's end: their sender sends them again with the same command id.
          yield* Effect.forEach(batch, (text) => sessions.write(id, Buffer.from(`${text}\n`), { commandId: text }))
        }).pipe(Effect.provide(store.layer()))
        yield* Effect.flatMap(Sessions, (sessions) =>
          Effect.forEach(sent.slice(-5), (text) => sessions.write(id, Buffer.from(`${text}\n`), { commandId: text }))
        ).pipe(Effect.provide(store.layer()))
      }
      yield* type(id, "end\n").pipe(Effect.provide(store.layer()))
      const entries = yield* untilEnd(id).pipe(Effect.provide(store.layer()))
      assert.deepStrictEqual(
        [...textOf(entries).matchAll(/got (\S+)/g)].map((match) => match[1]),
        [...sent, "end"]
      )
    })
  )

  // Mounting a disk needs root.
  if (canMount) {
    it("reliability row 12: a full disk pauses sessions, says so, loses nothing, and they go on when there is room", () =>
      withSmallDisk(12, (disk) =>
        Effect.runPromise(
          Effect.scoped(
            Effect.gen(function* () {
              const { Reprise } = yield* Effect.promise(() => import("../../src/index.ts"))
              yield* Effect.gen(function* () {
                const sessions = yield* Sessions
                const id = idOf(
                  yield* sessions.create({ argv: ["sh", "-c", "stty -echo; read x; seq 1 300000; echo done"] })
                )
                const other = idOf(yield* sessions.create({ argv: ["cat"] }))
                const frees = [fillDisk(disk)]
                const journal = yield* Journal
                const suspended = Effect.callback<void>((resume) => {
                  const stop = journal.onSuspended(() => {
                    if (journal.suspended() === undefined) return
                    stop()
                    resume(Effect.void)
                  })
                })
                // The last page of the log may have no room for it: then it is typed when there is.
                const [, typed] = yield* Effect.all([suspended, Effect.result(type(id, "go\n"))], { concurrency: 2 })
                // What the journal gives back by itself is taken too, until it goes on no more.
                while ((yield* sessions.status).suspended?.diskFull !== true) {
                  frees.push(fillDisk(disk))
                  yield* Effect.sleep(5)
                }
                const refused = yield* Effect.flip(type(other, "while full\n"))
                assert.strictEqual(refused._tag, "SessionUnavailable")
                for (const free of frees) free()
                if (typed._tag === "Failure")
                  yield* Effect.retry(type(id, "go\n"), { while: ({ _tag }) => _tag === "SessionUnavailable" })
                const entries = yield* untilEnd(id)
                assert.isTrue(
                  textOf(entries) === `${Array.from({ length: 300000 }, (_, i) => `${i + 1}\r\n`).join("")}done\r\n`
                )
                assert.isNull((yield* sessions.status).suspended)
                yield* type(other, "after\n")
                assert.notInclude(textOf(yield* until(other, "after\r\nafter")), "while full")
                yield* sessions.close(other)
              }).pipe(Effect.provide(Reprise.layer({ store: `${disk}/store` })))
            })
          )
        )
      ))
  }

  it.live("no process of a closed store is left", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const pids = yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const views = yield* Effect.forEach([1, 2, 3], () => sessions.create({ argv: ["sleep", "1000"] }))
        yield* Effect.forEach(views, (view) => sessions.close(idOf(view)))
        return views.map(({ pid }) => pid!)
      }).pipe(Effect.provide(store.layer({ inProcess: true })))
      assert.deepStrictEqual(pids.filter(isAlive), [])
      assert.isAbove(readFileSync("/proc/self/stat").length, 0)
    })
  )
})
