/** `prune`, `hold` and `release` as typed, with an engine and without one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { STORE_STREAM } from "../../journal/Event.ts"
import { makeRepriseInside } from "./reprise.ts"

const json = (stdout: Buffer) => JSON.parse(stdout.toString())

describe("reprise prune, hold and release", () => {
  it.live(
    "tell what would go, what went and what is held, with the exit codes that scripts go by",
    () =>
      Effect.gen(function* () {
        const reprise = yield* makeRepriseInside
        const named = (name: string, script: string) => reprise.run(["run", "--name", name, "--", "sh", "-c", script])
        yield* named("kept", "echo kept")
        yield* named("long", "seq 1 3000; seq 1 3000")
        yield* reprise.run(["hold", "kept", "--reason", "case 4711"])
        const list = (yield* reprise.run(["list"])).stdout.toString()
        assert.match(list, /kept +exited 0, held/)
        assert.match(list, /long +exited 0 +/)

        const dry = yield* reprise.run(["prune", "long", "--max-events", "3", "--dry-run"])
        assert.match(dry.stdout.toString(), /long +\d+ +\d+K? +would be removed +at most 3 events of a session/)
        const done = json((yield* reprise.run(["prune", "long", "--max-events", "3", "--json"])).stdout)
        assert.deepInclude(done.items[0], { name: "long", outcome: "removed", whole: false, reason: "count" })
        assert.isFalse(done.dryRun)

        const at = yield* reprise.run(["inspect", "long", "--at", "1"])
        assert.strictEqual(at.code, 66)
        assert.include(at.stderr, `the earliest state is at event ${done.items[0].to}`)
        assert.include((yield* reprise.run(["inspect", "long"])).stdout.toString(), "3000")
        const replay = yield* reprise.run(["replay", "long"])
        assert.match(replay.stderr, /output bytes 0 to \d+ are missing: removed on /)
        assert.strictEqual(replay.code, 0)

        for (const [args, code, word] of [
          [["prune", "kept"], 77, "is held (case 4711)"],
          [["prune"], 64, "no `retention`"],
          [["prune", "long", "--max-sessions", "3"], 2, "is about the store"],
          [["prune", "--older-than", "soon"], 2, "is not a time"],
          [["prune", "nobody"], 66, "not found"]
        ] as const) {
          const answer = yield* reprise.run(args)
          assert.strictEqual(answer.code, code, answer.stderr)
          assert.include(answer.stderr, word)
        }

        // The store's own stream is no session: it can be neither held nor attached to.
        for (const args of [
          ["hold", STORE_STREAM, "--reason", "x"],
          ["attach", STORE_STREAM],
          ["inspect", STORE_STREAM]
        ]) {
          const answer = yield* reprise.run(args)
          assert.strictEqual(answer.code, 66)
          assert.include(answer.stderr, "not found")
        }

        // Without an engine, the command opens the store itself.
        yield* reprise.run(["stop"])
        assert.strictEqual((yield* reprise.run(["release", "kept"])).code, 0)
        const released = (yield* reprise.run(["events", "kept", "--json"])).stdout.toString().trim().split("\n").at(-1)!
        assert.deepInclude(JSON.parse(released), { type: "HoldReleased", actor: "cli" })
        const twice = yield* reprise.run(["prune", "long", "long", "--dry-run"])
        assert.include(twice.stderr, "of 1 session would be removed")
        const both = json((yield* reprise.run(["prune", "--max-sessions", "1", "--json"])).stdout)
        assert.deepStrictEqual(
          both.items.map(({ name, outcome, whole }: { name: string; outcome: string; whole: boolean }) => [
            name,
            outcome,
            whole
          ]),
          [["kept", "removed", true]]
        )
        assert.deepStrictEqual(
          json((yield* reprise.run(["list", "--json"])).stdout).map(({ name }: { name: string }) => name),
          ["long"]
        )
        const gone = yield* reprise.run(["hold", both.items[0].session, "--reason", "too late"])
        assert.strictEqual(gone.code, 64)
        assert.include(gone.stderr, "all of it was removed")
        assert.isNull(json((yield* reprise.run(["status", "--json"])).stdout).enginePid)
      }),
    { timeout: 300_000 }
  )
})
