/** Limits as people write them, and what the command line says of those that are reached. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseBytes, parseDuration } from "../../cli/LimitFlags.ts"
import { separateProgram } from "../../cli/ProgramArguments.ts"
import { makeRepriseInside } from "./reprise.ts"

describe("limits on a command line", () => {
  it("are times with a unit, and bytes with or without one", () => {
    for (const [text, millis] of [
      ["90s", 90_000],
      ["30m", 1_800_000],
      ["1h", 3_600_000],
      ["1.5h", 5_400_000],
      ["2d", 172_800_000],
      ["1ms", 1]
    ] as const) {
      assert.strictEqual(parseDuration(text), millis)
    }
    for (const wrong of ["", "1", "h", "-1h", "0s", "1 h", "1y", "1e3s", "0.1ms"])
      assert.isUndefined(parseDuration(wrong))
    for (const [text, bytes] of [
      ["1", 1],
      ["500k", 512_000],
      ["100M", 104_857_600],
      ["2G", 2_147_483_648]
    ] as const) {
      assert.strictEqual(parseBytes(text), bytes)
    }
    for (const wrong of ["", "0", "-1", "1.5M", "1MB", "M", "999999999T"]) assert.isUndefined(parseBytes(wrong))
  })

  it("take the next word, so that the program begins behind it", () => {
    const line = (text: string) => separateProgram(text.split(" ")).join(" ")
    assert.strictEqual(
      line("run --group g --idle-timeout 1h --max-bytes 1M sh -c ls"),
      "run --group g --idle-timeout 1h --max-bytes 1M -- sh -c ls"
    )
  })

  it.live("are kept with the session, and one too many is refused with what to do", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      const config = join(reprise.store, "config.json")
      mkdirSync(reprise.store, { mode: 0o700 })
      writeFileSync(config, '{"limits": {"session": 1}}')
      const refused = yield* reprise.run(["run", "--", "true"])
      assert.strictEqual(refused.code, 73)
      assert.match(
        refused.stderr,
        /^reprise: [^\n]*config\.json: limits\.session is not known; there are sessions, [^\n]*\n$/
      )
      writeFileSync(config, '{"limits": {"sessionsPerGroup": 2}}')

      const flags = ["--group", "box", "--idle-timeout", "1h", "--max-bytes", "100k"]
      const made = yield* reprise.run(["run", "--detach", ...flags, "cat"])
      assert.strictEqual(made.stderr, "")
      const id = made.stdout.toString().trim()
      const events = (yield* reprise.run(["events", id, "--json"])).stdout.toString()
      assert.deepInclude(JSON.parse(events.split("\n")[0]!), {
        group: "box",
        limits: { idleMillis: 3_600_000, journalBytes: 102_400 }
      })
      assert.strictEqual((yield* reprise.run(["start", ...flags])).code, 0)
      for (const command of [
        ["run", "--detach", ...flags, "cat"],
        ["start", ...flags]
      ]) {
        const third = yield* reprise.run(command)
        assert.strictEqual(third.code, 75)
        assert.match(third.stderr, /^reprise: 2 sessions of group "box" live[^\n]*config\.json\n$/)
      }
      assert.strictEqual(
        JSON.parse((yield* reprise.run(["status", "--json"])).stdout.toString()).limits.sessionsPerGroup,
        2
      )
      assert.include((yield* reprise.run(["status"])).stdout.toString(), "at most 1000, 2 of one group")

      const flood = yield* reprise.run(["run", "--max-bytes", "100k", "seq", "1", "1000000"])
      assert.include([129, 143, 137], flood.code)
      assert.isBelow(flood.stdout.length, 2_000_000)
      const ended = (yield* reprise.run(["events", "last", "--json"])).stdout.toString()
      assert.match(ended, /"type":"LimitReached","limit":"journalBytes","value":102400/)

      for (const wrong of [
        ["--idle-timeout", "1"],
        ["--max-bytes", "lots"]
      ]) {
        const usage = yield* reprise.run(["run", ...wrong, "true"])
        assert.strictEqual(usage.code, 2)
        assert.include(usage.stderr, `"${wrong[1]}" is not a`)
      }
    })
  )
})
