/** A session that would fill the disk is ended: what was journaled stays, and little more than its limit is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Exec, History, Sessions } from "../../src/index.ts"
import { OUTPUT_HELD_BYTES_HIGH } from "../../src/keeper/PtyHost.ts"
import { isAlive } from "../fixtures/processes.ts"
import { eventsOf, idOf, testStore, textOf, until } from "./sessionsUnderTest.ts"

const MIB = 1024 * 1024
/** What the kernel may still hold of a terminal whose programs were ended, and of what was read ahead. */
const KERNEL_BYTES = 256 * 1024

/** What the floods print, as far as any of them comes. */
const numbers = Array.from({ length: 1_000_000 }, (_, i) => `${i + 1}\r\n`).join("")

const endedFor = (session: SessionId, journalBytes: number) =>
  Effect.gen(function* () {
    const history = yield* History
    const pages = yield* Stream.runCollect(history.follow(session, 0))
    const entries = [...pages].flatMap((page) => (page._tag === "Page" ? page.entries : []))
    assert.deepStrictEqual(
      eventsOf(entries, "LimitReached").map(({ limit, value }) => ({ limit, value })),
      [{ limit: "journalBytes", value: journalBytes }]
    )
    assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", reason: "ended" })
    return entries
  })

for (const inProcess of [true, false]) {
  describe(`journalBytes ${inProcess ? "in process" : "behind a keeper"}`, () => {
    for (const [title, script] of [
      ["that floods", "exec seq 1 1000000000"],
      ["that floods and will not go", "trap '' HUP TERM INT; seq 1 1000000000"]
    ] as const) {
      it.live(`a program ${title} is ended soon after its limit, without a gap`, () =>
        Effect.gen(function* () {
          const store = yield* testStore
          yield* Effect.gen(function* () {
            const sessions = yield* Sessions
            const { id, pid } = yield* sessions.create({
              argv: ["sh", "-c", script],
              limits: { journalBytes: 4 * MIB }
            })
            const entries = yield* endedFor(id as SessionId, 4 * MIB)
            const text = textOf(entries)
            assert.isAbove(text.length, 4 * MIB)
            const beyond = text.length - 4 * MIB
            assert.isBelow(beyond, OUTPUT_HELD_BYTES_HIGH + KERNEL_BYTES)
            // Every byte up to there, as it was printed.
            assert.isTrue(text === numbers.slice(0, text.length))
            assert.deepStrictEqual(eventsOf(entries, "TerminalClosed"), [
              { _tag: "TerminalClosed", outputBytes: text.length }
            ])
            assert.isFalse(isAlive(pid!))
            assert.strictEqual((yield* History.use((history) => history.get(id as SessionId))).outputBytes, text.length)
          }).pipe(Effect.provide(store.layer({ inProcess })))
        })
      )
    }

    it.live("input counts too, and more of it is refused or ends it", () =>
      Effect.gen(function* () {
        const store = yield* testStore
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const id = idOf(
            yield* sessions.create({
              argv: ["sh", "-c", "stty raw -echo; printf ready; exec cat >/dev/null"],
              limits: { journalBytes: 1000 }
            })
          )
          // Before that an echo of the input would be output, which counts too.
          yield* until(id, "ready")
          yield* sessions.write(id, Buffer.alloc(1000 - "ready".length, "a"))
          yield* sessions.write(id, Buffer.alloc(1, "a"))
          const error = yield* Effect.flip(sessions.write(id, Buffer.alloc(1, "a")))
          assert.include(["LimitExceeded", "SessionEnded"], error._tag)
          yield* endedFor(id, 1000)
        }).pipe(Effect.provide(store.layer({ inProcess })))
      })
    )

    it.live("the streams of a command count too", () =>
      Effect.gen(function* () {
        const store = yield* testStore
        yield* Effect.gen(function* () {
          const exec = yield* Exec
          const id = idOf(yield* exec.start({ limits: { journalBytes: MIB } }))
          const running = yield* Effect.forkChild(exec.exec(id, { code: "seq 1 100000000", execId: "flood" }))
          const entries = yield* endedFor(id, MIB)
          const bytes = eventsOf(entries, "OutputReceived").reduce((sum, { data }) => sum + data.length, 0)
          assert.isAbove(bytes, MIB)
          assert.isBelow(bytes - MIB, OUTPUT_HELD_BYTES_HIGH + KERNEL_BYTES)
          assert.strictEqual(eventsOf(entries, "CommandFinished").length, 1)
          yield* Fiber.await(running)
        }).pipe(Effect.provide(store.layer({ inProcess })))
      })
    )
  })
}

it.live("journalBytes: what an engine before had journaled counts in the next one", () =>
  Effect.gen(function* () {
    const store = yield* testStore
    const program = {
      argv: ["sh", "-c", "stty -echo; while read n; do seq 1 $n; done"],
      limits: { journalBytes: 10_000 }
    }
    const id = yield* Effect.gen(function* () {
      const sessions = yield* Sessions
      const id = idOf(yield* sessions.create(program))
      yield* sessions.write(id, Buffer.from("1000\n"))
      yield* until(id, "\r\n1000\r\n")
      return id
    }).pipe(Effect.provide(store.layer()))
    yield* Effect.gen(function* () {
      const sessions = yield* Sessions
      // 4,902 bytes until now.
      yield* sessions.write(id, Buffer.from("900\n"))
      yield* until(id, /\r\n1000\r\n1\r\n[\s\S]*\r\n900\r\n$/)
      yield* sessions.write(id, Buffer.from("1000\n"))
      yield* endedFor(id, 10_000)
    }).pipe(Effect.provide(store.layer()))
  })
)
