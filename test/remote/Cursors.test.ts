/**
 * A cursor behind the last event is of another session or store, or of events that were lost: it is refused wherever one
 * is taken, and at once. Taken, it would let what the session prints from then on pass in silence.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Exec } from "../../src/exec/Exec.ts"
import { SessionOutput } from "../../src/remote/SessionOutput.ts"
import { Attach } from "../../src/session/Attach.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { makeReprise } from "../cli/reprise.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { idOf } from "../session/sessionsUnderTest.ts"

/** More than any session here has. */
const BEYOND = 999_999
const REFUSED = /^after: 999999 is behind the last event there is, \d+: .*; begin without one$/

const refusal = <E extends Error & { readonly _tag: string }>(effect: Effect.Effect<unknown, E>) => Effect.flip(effect)

describe("a cursor behind the last event", () => {
  it.live("is refused by a live session over the socket, and the last event itself is not", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const engine = yield* engineProcess
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const history = yield* History
          const attach = yield* Attach
          const output = yield* SessionOutput
          const exec = yield* Exec
          const cat = idOf(yield* sessions.create({ argv: ["cat"], cwd: "/" }))
          const shell = idOf(yield* exec.start({ language: "bash", cwd: "/" }))
          yield* exec.exec(shell, { code: "echo one; sleep 60", execId: "runs", yieldMillis: 0 })
          const after = BEYOND
          for (const error of yield* Effect.all([
            refusal(Stream.runDrain(attach.attach(cat, { after }))),
            refusal(Stream.runDrain(attach.attach(cat, { after, readOnly: true }))),
            refusal(Stream.runDrain(history.follow(cat, after))),
            refusal(Stream.runDrain(history.events(cat, { after }))),
            refusal(Stream.runDrain(output.stream(cat, { after }))),
            refusal(Stream.runDrain(output.stream(cat, { after, live: false }))),
            refusal(exec.poll(shell, "runs", { after, yieldMillis: 60_000 }))
          ])) {
            assert.strictEqual(error._tag, "InvalidRequest", String(error))
            assert.match(error.message, REFUSED)
          }
          // Nobody was counted for it.
          const counted = (yield* Stream.runCollect(history.events(cat))).filter(
            ({ event }) => event._tag === "ClientAttached"
          )
          assert.strictEqual(counted.length, 0)
          // At the end is where one goes on: what comes then is given.
          const { sequence } = yield* history.get(cat)
          const next = yield* attach.attach(cat, { after: sequence }).pipe(
            Stream.tap((item) =>
              item._tag === "ReplayComplete" ? sessions.write(cat, Buffer.from("more\n")) : Effect.void
            ),
            Stream.filter((item) => item._tag === "Output"),
            Stream.runHead
          )
          assert.strictEqual(next._tag, "Some")
          const { cursor } = yield* exec.poll(shell, "runs")
          assert.strictEqual((yield* exec.poll(shell, "runs", { after: cursor })).stdout.byteLength, 0)
        }).pipe(Effect.provide(engine.client()))
      })
    )
  )

  it.live("ends the commands with 64, with an engine and without, of live sessions and of ended ones", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const reprise = yield* makeReprise
        const after = ["--after", String(BEYOND)]
        const refused = (args: ReadonlyArray<string>) =>
          Effect.gen(function* () {
            const { code, stderr, stdout } = yield* reprise.run(args)
            assert.deepStrictEqual([code, stdout.toString()], [64, ""], `${args.join(" ")}: ${stderr}`)
            assert.match(stderr, /^reprise: after: 999999 is behind the last event there is, \d+: .*\n$/)
          })
        yield* reprise.run(["run", "--name", "live", "--detach", "--", "cat"])
        yield* reprise.run(["run", "--name", "over", "--", "true"])
        yield* reprise.run(["start", "--name", "shell"])
        yield* reprise.run(["exec", "shell", "--id", "slow", "--yield", "0", "--", "sleep 60"])
        yield* refused(["poll", "shell", "slow", "--yield", "60000", ...after])
        yield* refused(["poll", "shell", "slow", "--json", "--yield", "60000", ...after])
        for (const session of ["live", "over"]) {
          yield* refused(["attach", session, ...after])
          yield* refused(["events", session, ...after])
          yield* refused(["events", session, "--follow", ...after])
        }
        yield* reprise.run(["stop", "--sessions"])
        yield* refused(["events", "over", ...after])
        yield* refused(["events", "over", "--follow", ...after])
        assert.isNull(yield* reprise.enginePid)
      })
    )
  )
})
