/**
 * What the command line shows of a session that put control characters wherever it could: output, title, folder, arguments,
 * environment names, names of files, errors. A terminal is shown none of them; the values that are kept are as they were given.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { storePaths } from "../../src/session/StorePaths.ts"
import { type Finished, withCommandLine } from "../crash/commandLine.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** C0 without tab and newline, DEL, C1 as UTF-8 has them; and marks that turn text around. */
const UNCLEAN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/
const HOSTILE = "\x1b[2J\x1b]2;owned\x07\u009b31m\u009d2;x\u009c\u202Ereversed\x7f\x08\r"

const assertClean = (what: string, { stderr, stdout }: Finished): void => {
  for (const text of [stdout.toString(), stderr]) {
    // Bytes that are no UTF-8 could be C1 to a terminal.
    assert.notInclude(text, "\ufffd", what)
    const at = text.search(UNCLEAN)
    assert.strictEqual(at, -1, `${what}: ${JSON.stringify(text.slice(Math.max(0, at - 40), at + 40))}`)
  }
}

describe("reliability row 38: what is shown of a hostile session", { timeout: TIMEOUT_MILLIS }, () => {
  it("no command but replay and attach prints a control character, from a terminal and from a shell for commands", () =>
    withCommandLine(async (cli) => {
      const folder = join(cli.store, "..", `reprise-${HOSTILE.replaceAll("/", "")}-\n-${process.pid}`)
      mkdirSync(folder)
      try {
        const script = [
          `printf '%s' "$1"`,
          `printf '\\033]7;file://localhost/tmp/%s\\007' "$1"`,
          `printf '\\033]0;title %s\\007' "$1"`,
          `printf '\\377\\376\\233\\235 done'`,
          "exec cat"
        ].join("; ")
        await cli.text(["run", "--detach", "--name", "bad", "--cwd", folder, "--", "sh", "-c", script, "sh", HOSTILE])
        await cli.text(["start", "--name", "shell", "--cwd", folder])
        const code = `printf '%s' '${HOSTILE}' >&2; export BAD='${HOSTILE}'; f() { echo '${HOSTILE}'; }; exit 3`
        await cli.run(["exec", "shell", "--", code])
        await cli.text(["send", "bad", HOSTILE])
        while (!(await cli.run(["replay", "bad"])).stdout.includes(" done")) {
          // It prints when it comes to it.
        }
        const commands = [
          ["list"],
          ["list", "--json"],
          ["inspect", "bad", "--usage"],
          ["inspect", "bad", "--json"],
          ["events", "bad"],
          ["events", "bad", "--json"],
          ["events", "shell", "--json"],
          ["history", "shell"],
          ["state", "shell"],
          ["status", "--json"],
          // What is wrong is said with the words that were wrong.
          ["inspect", HOSTILE],
          ["run", "--cwd", HOSTILE, "--", HOSTILE],
          ["signal", "bad", HOSTILE],
          [HOSTILE]
        ]
        await Promise.all(
          commands.map(async (args) => {
            const finished = await cli.run(args)
            assert.isAbove(finished.stdout.length + finished.stderr.length, 0, args.join(" "))
            assertClean(args.map((word) => JSON.stringify(word)).join(" "), finished)
          })
        )
        const log = readFileSync(storePaths(cli.store).log)
        assertClean("engine.log", { code: 0, signal: null, stdout: log, stderr: "" })
        // Nothing of it was changed: the program got it, and the history has it.
        const { argv, cwd } = (await cli.json(["list"])).find(({ name }: { name: string }) => name === "bad")
        assert.strictEqual(argv.at(-1), HOSTILE)
        assert.include(cwd, "\u009b")
        assert.include((await cli.run(["replay", "bad"])).stdout.toString(), HOSTILE.slice(0, 20))
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    }))
})
