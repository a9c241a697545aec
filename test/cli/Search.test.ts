/** `search` as typed, through an engine and without one, and what clients of the engine are given. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { built } from "../client/clientUnderTest.ts"
import { finish, makeRepriseInside } from "./reprise.ts"

const jsonLines = (stdout: Buffer) =>
  stdout
    .toString()
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))

describe("reprise search", () => {
  it.live(
    "finds lines in all sessions, with an engine and without, and says how to see them",
    () =>
      Effect.gen(function* () {
        const reprise = yield* makeRepriseInside
        const run = (name: string, script: string) => reprise.run(["run", "--name", name, "--", "sh", "-c", script])
        yield* run("first", "printf 'a \\033[31mred\\033[0m needle\\n'; seq 1 20000; exit 3")
        yield* run("second", "printf 'Needle \\302\\233 one\\nneedle two'; pwd")
        const started = yield* reprise.run(["start", "--name", "sh"])
        assert.strictEqual(started.code, 0, started.stderr)
        yield* reprise.run(["exec", "sh", "--", "echo the needle of a command; false"])

        const check = Effect.fnUntraced(function* () {
          const found = yield* reprise.run(["search", "needle"])
          assert.strictEqual(found.code, 0, found.stderr)
          const text = found.stdout.toString()
          assert.match(
            text,
            /sh event \d+ command 1 stdout {2}reprise replay \w{26} --at \d+\n {2}the needle of a command\n/
          )
          assert.match(text, / second event \d+ {2}reprise replay \w{26} --at \d+\n {2}needle two\//)
          assert.match(text, / first event \d+ {2}reprise replay \w{26} --at \d+\n {2}a red needle\n/)
          assert.isBelow(text.indexOf(" second "), text.indexOf(" first "), "newest first")

          const [line] = jsonLines((yield* reprise.run(["search", "A RED", "-i", "--json", "--in", "output"])).stdout)
          assert.deepInclude(line, {
            name: "first",
            in: "output",
            channel: "tty",
            exec: null,
            line: "a red needle",
            ranges: [[0, 5]]
          })
          assert.strictEqual(line.replay, `reprise replay ${line.session} --at ${line.sequence}`)
          const seen = yield* reprise.run(["inspect", line.session, "--at", String(line.sequence)])
          assert.include(seen.stdout.toString(), line.session)

          return text
        })

        const throughEngine = yield* check()
        const count = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
          const { code, stdout } = yield* reprise.run(["search", ...args, "--count"])
          return `${stdout.toString().trim()} ${code}`
        })
        assert.strictEqual(yield* count("/NEEDLE (one|two)/i", "--session", "second", "--in", "output"), "1 0")
        assert.strictEqual(yield* count("/^1999\\d$/", "--exit", "3"), "10 0")
        assert.strictEqual(yield* count("-F", "/needle/"), "0 1")
        // Of a shell for commands: of the command.
        assert.strictEqual(yield* count("needle of a", "--exit", "1"), "2 0")

        for (const [args, code, word] of [
          [["/(/"], 64, "Unterminated group"],
          [["x", "--since", "soon"], 2, '--since: "soon" is not a time'],
          [["x", "--since", "+3s"], 2, "needs --session"]
        ] as const) {
          const answer = yield* reprise.run(["search", ...args])
          assert.strictEqual(answer.code, code, `${args}: ${answer.stderr}`)
          assert.include(answer.stderr, word)
        }

        // A reader that has enough.
        const child = yield* reprise.start(["search", "/\\d/"])
        child.stdout!.once("data", () => child.stdout!.destroy())
        assert.strictEqual((yield* finish(child)).code, 141)
        const client = yield* Effect.promise(() => built.connect({ store: reprise.store }))
        const lines: Array<string> = []
        yield* Effect.promise(async () => {
          for await (const item of client.search({ pattern: "needle", session: "first", in: "output" })) {
            if (item._tag === "Hit") lines.push(item.line)
          }
          for await (const item of client.search({ pattern: "^\\d+$", regex: true, limit: 2 })) lines.push(item._tag)
          await client.close()
        })
        assert.deepStrictEqual(lines, ["a red needle", "Hit", "Hit"])

        yield* reprise.run(["stop", "--sessions"])
        assert.strictEqual(yield* check(), throughEngine)
        assert.strictEqual(yield* count("/^1999\\d$/", "--exit", "3"), "10 0")
        // Of a store that is not there.
        const none = yield* reprise.run(["--store", `${reprise.store}-none`, "search", "x"])
        assert.strictEqual(none.code, 1, none.stderr)
      }),
    { timeout: 600_000 }
  )
})
