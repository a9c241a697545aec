/** Files that a command cannot use are told in plain words, without the names of system calls. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { shareReprise } from "./reprise.ts"

const shared = shareReprise()

describe("a file that cannot be used", () => {
  it.live("is named, and why", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* reprise.run(["start", "--name", name])
      yield* reprise.run(["run", "--name", `${name}-run`, "--", "true"])
      const file = join(reprise.store, "../a-file")
      writeFileSync(file, "")
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
        [["exec", name, "--stdin", "/nonexist", "--", "cat"], "--stdin: /nonexist: there is no such file or folder"],
        [["exec", name, "--stdin", "/", "--", "cat"], "--stdin: /: it is a folder"],
        [
          ["export", name, `${name}-run`, "--out", file],
          `--out: no folder can be made: ${file}: something that is no folder is there`
        ],
        [
          ["export", name, `${name}-run`, "--out", "/no/such/folder"],
          "--out: no folder can be made: /no/such/folder: there is no such file or folder"
        ]
      ]
      for (const [args, said] of cases) {
        const { code, stderr } = yield* reprise.run(args)
        assert.deepStrictEqual([code, stderr], [2, `reprise: ${said}; see \`reprise ${args[0]} --help\`\n`])
      }
    })
  )
})
