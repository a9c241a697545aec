/** What a real engine refuses comes over its socket as the error that it is, and never as a defect. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Exec } from "../../src/exec/Exec.ts"
import { Attach } from "../../src/session/Attach.ts"
import { Lifecycle } from "../../src/session/Lifecycle.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { idOf } from "../session/sessionsUnderTest.ts"

const refused = <E extends { readonly _tag: string }>(effect: Effect.Effect<unknown, E, never>) =>
  Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

describe("refusals over a socket", () => {
  it.live("names, times and leases", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const engine = yield* engineProcess
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const exec = yield* Exec
          const attach = yield* Attach
          const cat = idOf(yield* sessions.create({ argv: ["cat"], cwd: "/" }))
          const client = "not\nprintable"
          assert.deepStrictEqual(
            yield* Effect.all([
              refused(sessions.write(cat, Buffer.from("a"), { client })),
              refused(sessions.closeInput(cat, { client })),
              refused(sessions.resize(cat, { cols: 9, rows: 9 }, { client })),
              refused(sessions.signal(cat, "INT", "leader", { client })),
              refused(sessions.close(cat, { client })),
              refused(sessions.close(cat, { graceMillis: -1 }))
            ]),
            Array.from({ length: 6 }, () => "InvalidRequest")
          )

          const shell = idOf(yield* exec.start({ language: "bash", cwd: "/" }))
          yield* exec.exec(shell, { code: "read line", tty: true, execId: "asks", yieldMillis: 0 })
          yield* exec
            .poll(shell, "asks", { yieldMillis: 20 })
            .pipe(Effect.repeat({ until: ({ status }) => status === "needs_input" }))
          let answer: string | undefined
          yield* attach.attach(shell, { client: "owner", exclusive: true }).pipe(
            // While it is read, the client has the terminal to itself.
            Stream.tap((item) =>
              item._tag !== "ReplayComplete"
                ? Effect.void
                : Effect.map(refused(exec.send(shell, "asks", { text: "x\n" })), (tag) => {
                    answer = tag
                  })
            ),
            Stream.takeUntil(({ _tag }) => _tag === "ReplayComplete"),
            Stream.runDrain
          )
          assert.strictEqual(answer, "AccessDenied")
        }).pipe(Effect.provide(engine.client()))
      })
    )
  )

  it.live("a cursor before the beginning of the feed is the beginning", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const engine = yield* engineProcess
        const tags = yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const lifecycle = yield* Lifecycle
          const cat = idOf(yield* sessions.create({ argv: ["cat"], cwd: "/" }))
          yield* sessions.close(cat)
          const items = lifecycle.feed(-7).pipe(
            Stream.takeUntil(({ _tag }) => _tag === "Synced"),
            Stream.runCollect
          )
          return (yield* items).map((item) => (item._tag === "Event" ? item.event._tag : item._tag))
        }).pipe(Effect.provide(engine.client()))
        assert.strictEqual(tags[0], "SessionCreated")
        assert.strictEqual(tags.at(-1), "Synced")
      })
    )
  )
})
