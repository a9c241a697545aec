/** What a program of a session has open when it starts, by every way in which one is started: its terminal or its pipes, nothing of ours. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Exec, Sessions } from "../../src/index.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { idOf, textOf, untilEnd } from "../session/sessionsUnderTest.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** `ls` has the folder open that it lists: the fourth, and the only one that leads to /proc. */
const LIST = "ls -l /proc/self/fd"
const CODE = {
  bash: LIST,
  zsh: LIST,
  // The way of each language that passes on whatever is not marked to be closed.
  python: `import subprocess; print(subprocess.run("${LIST}", shell=True, close_fds=False, capture_output=True, text=True).stdout)`,
  node: `console.log(require("child_process").execSync("${LIST}", { stdio: ["ignore", "pipe", "inherit"] }).toString())`
} as const

const descriptorsIn = (listing: string) =>
  [...listing.matchAll(/ (\d+) -> (\S+)/g)]
    .map(([, descriptor, target]) => ({ descriptor: Number(descriptor), target: target! }))
    .filter(({ target }) => !target.startsWith("/proc/"))

const assertOwn = (listing: string, how: string) => {
  const found = descriptorsIn(listing)
  assert.deepStrictEqual(
    found.map(({ descriptor }) => descriptor),
    [0, 1, 2],
    `${how}:\n${listing}`
  )
  for (const { target } of found) assert.notMatch(target, /ptmx|journal|\.sock/, how)
}

const LANGUAGES = ["bash", "zsh", "python", "node"] as const
const EXIT = { bash: "exit 3", zsh: "exit 3", python: "exit(3)", node: "process.exit(3)" } as const

describe("reliability row 5: descriptors of a program", { timeout: TIMEOUT_MILLIS }, () => {
  it.live("of a terminal, and of commands in every language, after each way to get another shell", () =>
    Effect.gen(function* () {
      const engine = yield* engineProcess
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const exec = yield* Exec
        // What the keeper holds for them is what could be inherited.
        yield* Effect.forEach([1, 2, 3], () => sessions.create({ argv: ["cat"], cwd: "/" }))
        const terminals = Effect.forEach(
          [
            ["sh", "-c", LIST],
            ["ls", "-l", "/proc/self/fd"]
          ],
          (argv) =>
            Effect.gen(function* () {
              const id = idOf(yield* sessions.create({ argv, cwd: "/" }))
              assertOwn(textOf(yield* untilEnd(id)), argv.join(" "))
            })
        )
        const shells = yield* Effect.forEach(LANGUAGES, (language) =>
          Effect.map(exec.start({ language, cwd: "/" }), ({ id }) => ({ language, id: id as SessionId }))
        )
        const inAll = (how: string, use: (shell: (typeof shells)[number]) => Effect.Effect<unknown, unknown>) =>
          Effect.forEach(shells, use, { concurrency: "unbounded" }).pipe(Effect.tapCause(() => Effect.logError(how)))
        const listed = (how: string, tty = false) =>
          inAll(how, ({ language, id }) =>
            Effect.gen(function* () {
              const result = yield* exec.exec(id, { code: CODE[language], tty })
              assert.strictEqual(result.status, "completed", how)
              assertOwn(Buffer.from(tty ? result.tty : result.stdout).toString(), `${language} ${how}`)
            })
          )
        yield* terminals
        yield* listed("at first")
        yield* listed("on the terminal", true)
        yield* inAll("exit", ({ language, id }) => exec.exec(id, { code: EXIT[language] }))
        yield* listed("after its exit")
        yield* inAll("reset", ({ id }) => exec.reset(id))
        yield* listed("after a reset")
        yield* engine.kill("engine and keepers")
        yield* engine.start
        yield* listed("after its keeper's death")
        yield* terminals
        yield* inAll("end", ({ id }) => exec.end(id))
      }).pipe(Effect.provide(engine.client()))
    })
  )
})
