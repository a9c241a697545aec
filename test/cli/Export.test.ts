/** `reprise export`: what it is asked for and cannot do is refused before anything is written. */
import { readdirSync } from "node:fs"
import { dirname } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { shareReprise } from "./reprise.ts"

describe("reprise export", () => {
  const shared = shareReprise()

  it.live("refuses flags that mean nothing for the format, and standard output for what is no one file", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* reprise.run(["run", "--name", name, "--", "echo", "one"])
      const before = readdirSync(dirname(reprise.store))
      for (const [args, said] of [
        [["--since", "anchor"], "--since: only --format evidence goes on from a checkpoint"],
        [["--format", "csv", "--whole"], "--whole: only --format commands can have all of what commands printed"],
        [["--format", "evidence", "--out", "-"], "--out -: evidence is a folder of files; name one"],
        [["--format", "sudo", "--out", "-"], "--out -: sudo is a folder of files; name one"],
        [[name, "--out", "-"], "--out -: one session at a time"]
      ] as const) {
        const refused = yield* reprise.inside(["export", name, ...args])
        assert.deepStrictEqual([refused.code, refused.stdout.toString()], [2, ""], said)
        assert.include(refused.stderr, said)
      }
      assert.deepStrictEqual(readdirSync(dirname(reprise.store)), before)
      const commands = yield* reprise.inside(["export", name, "--format", "commands", "--whole", "--out", "-"])
      assert.strictEqual(commands.code, 0)
    })
  )
})
