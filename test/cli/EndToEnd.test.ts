import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn as spawnTerminal } from "node-pty"
import { makeReprise, PROGRAM, shareReprise, watch } from "./reprise.ts"

const terminalLines = (count: number) => Array.from({ length: count }, (_, index) => `${index + 1}\r\n`).join("")
const json = (bytes: Buffer) => JSON.parse(bytes.toString())

/** Waits for texts in what a terminal shows, each behind the one before; gives what was shown up to it. */
const watchTerminal = (terminal: ReturnType<typeof spawnTerminal>) => {
  let shown = ""
  let from = 0
  let wake = () => {}
  terminal.onData((data) => {
    shown += data
    wake()
  })
  return (text: string | RegExp): Effect.Effect<string> =>
    Effect.callback((resume) => {
      wake = () => {
        const rest = shown.slice(from)
        const found = typeof text === "string" ? (rest.includes(text) ? text : undefined) : text.exec(rest)?.[0]
        if (found === undefined) return
        wake = () => {}
        const end = rest.indexOf(found) + found.length
        from += end
        resume(Effect.succeed(rest.slice(0, end)))
      }
      wake()
    })
}

describe.concurrent("reprise", () => {
  /** For what leaves the engine alone. */
  const shared = shareReprise(makeReprise)

  it.live("run gives the program's bytes and exit code, and replay the same bytes again", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      const expected = terminalLines(20_000)
      const ran = yield* reprise.run(["run", "--name", name, "--", "seq", "1", "20000"])
      assert.strictEqual(ran.stderr, "")
      assert.strictEqual(ran.code, 0)
      assert.isTrue(ran.stdout.toString() === expected)
      const replayed = yield* reprise.run(["replay", name])
      assert.isTrue(replayed.stdout.toString() === expected)

      assert.strictEqual((yield* reprise.run(["run", "--", "sh", "-c", "exit 3"])).code, 3)
      assert.strictEqual((yield* reprise.inside(["run", "--", "sh", "-c", "kill -TERM $$"])).code, 143)
      const typed = yield* reprise.run(["run", "--", "sh", "-c", "stty -echo; cat"], "one\ntwo\n")
      assert.match(typed.stdout.toString(), /one\r\n(.*\r\n)*two\r\n/)
      assert.strictEqual(typed.code, 0)
      const all = join(reprise.store, "..", "all")
      writeFileSync(
        all,
        Uint8Array.from({ length: 1024 }, (_, index) => index & 0xff)
      )
      const binary = yield* reprise.run(["run", "--", "sh", "-c", `stty raw; cat ${all}`])
      assert.deepStrictEqual(
        [...binary.stdout],
        Array.from({ length: 1024 }, (_, index) => index & 0xff)
      )

      const missing = yield* reprise.inside(["run", "--", "no-such-program"])
      assert.strictEqual(missing.code, 127)
      assert.match(missing.stderr, /^reprise: [^\n]+\n$/)
      const report = yield* reprise.inside(["run", "--json", "--", "sh", "-c", "echo hidden; exit 4"])
      assert.strictEqual(report.code, 4)
      assert.include(json(report.stdout), { exitCode: 4, status: "exited", code: 4 })
    })
  )

  it.live("a session in the background is listed, inspected, resized, signalled and ended", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      const script = "trap 'echo caught' USR1; echo ready; while :; do sleep 0.05; done"
      const started = yield* reprise.run(["run", "--detach", "--name", name, "--", "sh", "-c", script])
      const id = started.stdout.toString().trim()
      assert.match(id, /^[0-9A-Z]{26}$/)
      const listed = json((yield* reprise.run(["list", "--json"])).stdout)
      assert.include(
        listed.find((view: { id: string }) => view.id === id),
        { name, status: "running" }
      )
      assert.strictEqual((yield* reprise.run(["resize", name, "100x30"])).code, 0)

      const events = yield* reprise.start(["events", name, "--follow", "--json"])
      const shows = watch(events.stdout!)
      yield* shows("ready")
      assert.strictEqual((yield* reprise.run(["signal", id.slice(0, 20), "USR1", "--target", "leader"])).code, 0)
      yield* shows("caught")

      const inspected = json((yield* reprise.run(["inspect", name, "--json"])).stdout)
      assert.deepStrictEqual(inspected.size, { cols: 100, rows: 30 })
      assert.match(inspected.screen.text, /ready\ncaught/)
      assert.include(json((yield* reprise.inside(["inspect", name, "--at", "1", "--json"])).stdout).size, { cols: 80 })
      assert.strictEqual((yield* reprise.run(["end", name])).code, 0)
      assert.strictEqual((yield* reprise.inside(["end", name])).code, 0)
      assert.strictEqual((yield* reprise.inside(["resize", name, "10x10"])).code, 67)
      const lines = (yield* reprise.inside(["events", name])).stdout.toString().trimEnd().split("\n")
      assert.deepStrictEqual(
        lines.map((line) => JSON.parse(line).sequence),
        lines.map((_, index) => index + 1)
      )
    })
  )

  it.live("attach without a terminal gives the output and the program's exit code", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      yield* reprise.inside([
        "run",
        "--detach",
        "--name",
        name,
        "--",
        "sh",
        "-c",
        "stty -echo; echo first; read line; echo got $line; exit 5"
      ])
      const attached = yield* reprise.run(["attach", name], "second\n")
      assert.strictEqual(attached.code, 5)
      assert.match(attached.stdout.toString(), /first\r\n(second\r\n)?got second\r\n$/)
      const again = yield* reprise.inside(["attach", name])
      assert.strictEqual(again.code, 5)
      assert.strictEqual(again.stdout.toString(), attached.stdout.toString())
    })
  )

  it.live("the engine is stopped and started again without the program noticing, and read without", () =>
    Effect.gen(function* () {
      const reprise = yield* makeReprise
      assert.strictEqual((yield* reprise.inside(["list"])).stdout.toString(), "")
      assert.isFalse(existsSync(reprise.store))
      // Two at once: one engine.
      const both = yield* Effect.all(
        [reprise.run(["run", "--detach", "--", "cat"]), reprise.run(["run", "--detach", "--", "cat"])],
        { concurrency: 2 }
      )
      assert.deepStrictEqual(
        both.map((each) => [each.code, each.stderr]),
        [
          [0, ""],
          [0, ""]
        ]
      )
      const before = json((yield* reprise.run(["status", "--json"])).stdout)
      assert.isNumber(before.enginePid)
      assert.strictEqual((yield* reprise.run(["stop"])).code, 0)
      assert.isNull(json((yield* reprise.inside(["status", "--json"])).stdout).enginePid)
      const views = json((yield* reprise.inside(["list", "--json"])).stdout)
      assert.deepStrictEqual(
        views.map((view: { status: string }) => view.status),
        ["running", "running"]
      )
      const typed = yield* reprise.start(["attach", "last"])
      const shows = watch(typed.stdout!)
      typed.stdin!.write("hello\n")
      yield* shows("hello\r\nhello")
      const after = json((yield* reprise.inside(["list", "--json"])).stdout)
      assert.strictEqual(after[0].pid, views[0].pid)
    })
  )

  it.live("wrong command lines are one line and exit code 2", () =>
    Effect.gen(function* () {
      const reprise = yield* makeReprise
      const wrong = [
        ["list", "--jsom"],
        ["nonsense"],
        ["run"],
        ["run", "--size", "big", "--", "true"],
        ["run", "--env", "novalue", "--", "true"],
        ["replay", "x", "--speed", "0"],
        ["resize", "x", "80"],
        ["signal", "x", "INT", "--target", "moon"],
        ["inspect"]
      ]
      // The first two as a shell has them, the others by what is said of them.
      const results = yield* Effect.forEach(wrong, (args, index) =>
        index < 2 ? reprise.run(args) : reprise.inside(args)
      )
      for (const [index, { code, stdout, stderr }] of results.entries()) {
        assert.strictEqual(code, 2, `${wrong[index]!.join(" ")}: ${stderr}`)
        assert.strictEqual(stdout.toString(), "")
        assert.match(stderr, /^reprise: [^\n]+; see `reprise .*--help`\n$/)
      }
      const unknown = yield* reprise.inside(["inspect", "\u001b[31mnobody"])
      assert.strictEqual(unknown.code, 66)
      assert.notInclude(unknown.stderr, "\u001b")
      assert.isFalse(existsSync(reprise.store))
      assert.match((yield* reprise.run(["--completions", "bash"])).stdout.toString(), /reprise/)
      assert.match((yield* reprise.inside(["run", "--help"])).stdout.toString(), /--detach-key/)
    })
  )

  it.live("in a terminal: typed, resized, left, come back to, and the terminal is as before", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      const inTerminal = (command: string) =>
        Effect.acquireRelease(
          Effect.sync(() => spawnTerminal("sh", ["-c", command], { cols: 91, rows: 31, env: reprise.env as never })),
          (terminal) => Effect.sync(() => terminal.kill("SIGKILL"))
        )
      const program = `'${process.execPath}' '${PROGRAM}'`
      const script = "stty size; while read line; do echo got:$line; stty size; done"
      const first = yield* inTerminal(
        `stty -a >/dev/null; ${program} run --name ${name} -- sh -c '${script}'; echo left:$?; stty -a`
      )
      const shownFirst = watchTerminal(first)
      yield* shownFirst("31 91")
      first.write("one\r")
      yield* shownFirst("got:one")
      first.resize(70, 20)
      // The new size is there when the program says so; it is asked again until then.
      yield* Effect.suspend(() => {
        first.write("size?\r")
        return shownFirst(/got:size\?\r\n(\d+ \d+)\r\n/)
      }).pipe(Effect.repeat({ until: (seen) => seen.includes("20 70"), times: 200 }))
      first.write("\r~.")
      yield* shownFirst("left:80")
      assert.include(yield* shownFirst("iexten"), " icanon")

      const second = yield* inTerminal(`${program} attach ${name}; echo left:$?`)
      const shownSecond = watchTerminal(second)
      yield* shownSecond("got:one")
      second.write("\x04")
      yield* shownSecond("left:0")
    })
  )
})
