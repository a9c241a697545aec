/** The clipboard of a person's terminal, through the real program on a real terminal. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node-pty"
import { makeReprise, PROGRAM } from "../cli/reprise.ts"

const SET = "\u001b]52;c;c2VjcmV0\u0007"
const ASK = "\u001b]52;c;?\u0007"

describe("the clipboard", () => {
  it.live(
    "hostile case 4, hostile case 5: filled live where the person allowed it and nowhere else, and never read",
    () =>
      Effect.gen(function* () {
        const reprise = yield* makeReprise
        // Says what was typed, and does both with each line.
        const program = `stty raw -echo; printf ready; while c=$(dd bs=1 count=1 2>/dev/null); do printf '\\033]52;c;c2VjcmV0\\a\\033]52;c;?\\a<%s>' "$c"; done`
        const created = yield* reprise.run(["run", "--detach", "--name", "clip", "--", "sh", "-c", program])
        assert.strictEqual(created.code, 0, created.stderr)
        // Typed before that, its terminal would still echo it.
        while ((yield* reprise.view("clip")).outputBytes < "ready".length) yield* Effect.sleep("10 millis")
        /** The command in a terminal of its own; what that was given until it holds the text, and then the command is gone. */
        const inTerminal = (args: ReadonlyArray<string>, typed: string, text: string) =>
          Effect.acquireUseRelease(
            Effect.sync(() =>
              spawn(process.execPath, [PROGRAM, ...args], { cols: 80, rows: 24, env: reprise.env as never })
            ),
            (terminal) =>
              Effect.callback<string>((resume) => {
                let seen = ""
                let isTyped = typed === ""
                terminal.onData((data) => {
                  seen += data
                  // Attached, when the screen was drawn.
                  if (!isTyped && seen.includes("\u001b[?")) {
                    isTyped = true
                    terminal.write(typed)
                  }
                  if (isTyped && seen.includes(text)) resume(Effect.succeed(seen))
                })
                terminal.onExit(() => resume(Effect.succeed(seen)))
              }),
            (terminal) => Effect.sync(() => terminal.kill("SIGKILL"))
          )
        const plain = yield* inTerminal(["attach", "clip"], "a", "<a>")
        assert.include(plain, "<a>")
        assert.notInclude(plain, "]52;")
        const allowed = yield* inTerminal(["attach", "clip", "--clipboard"], "b", "<b>")
        // What it did before is not done again.
        assert.strictEqual(allowed.split(SET).length - 1, 1)
        assert.notInclude(allowed, ASK)
        const again = yield* inTerminal(["attach", "clip", "--clipboard", "--after", "0", "--read-only"], "", "<b>")
        assert.notInclude(again, "]52;")
        const replayed = yield* inTerminal(["replay", "clip", "--speed", "max"], "", "<b>")
        assert.notInclude(replayed, "]52;")
        // In a pipe it is what the program printed.
        const exact = yield* reprise.run(["replay", "clip"])
        assert.strictEqual(exact.stdout.toString(), `ready${SET}${ASK}<a>${SET}${ASK}<b>`)
        for (const args of [
          ["inspect", "clip"],
          ["events", "clip"],
          ["list"],
          ["export", "clip", "--format", "html", "-o", "-"]
        ]) {
          const { code, stdout } = yield* reprise.run(args)
          assert.strictEqual(code, 0)
          assert.notInclude(stdout.toString(), "\u001b")
        }
      }),
    { timeout: 120_000 }
  )
})
