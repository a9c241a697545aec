/** Standard output on a disk that is full (/dev/full is one): it is told as that, and not as a reader that left. */
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PROGRAM, shareReprise } from "./reprise.ts"

const shared = shareReprise()

describe.skipIf(process.platform !== "linux")("standard output that cannot be written", () => {
  it.live("ends commands with 75 when its disk is full, and with 141 only when its reader went away", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* reprise.run(["run", "--name", name, "--", "seq", "100"])
      yield* reprise.run(["start", "--name", `${name}-shell`])
      const into = (redirection: string, args: ReadonlyArray<string>) => {
        const shell = `set -o pipefail; "$@" ${redirection}`
        return spawnSync("bash", ["-c", shell, "bash", process.execPath, PROGRAM, ...args], {
          env: reprise.env,
          encoding: "utf8"
        })
      }
      const commands = [
        ["list"],
        ["events", name],
        ["inspect", name],
        ["replay", name],
        ["export", name, "--out", "-"],
        ["run", "--", "seq", "100"],
        ["exec", `${name}-shell`, "--", "seq 100"],
        ["exec", `${name}-shell`, "--json", "--", "seq 100"]
      ]
      for (const args of commands) {
        const full = into(">/dev/full", args)
        assert.strictEqual(full.status, 75, `${args.join(" ")}: ${full.stderr}`)
        assert.match(full.stderr, /^reprise: cannot write standard output: .*no space left on device.*\n$/)
      }
      const left = into("| (exec 0<&-; sleep 3)", ["events", name])
      assert.deepStrictEqual([left.status, left.stderr], [141, ""])
    })
  )
})
