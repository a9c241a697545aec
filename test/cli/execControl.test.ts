import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { storePaths } from "../../src/session/StorePaths.ts"
import { SESSION, view } from "../remote/fakeEngine.ts"
import { finish } from "./reprise.ts"
import { makeRepriseWithFake, type RepriseWithFake } from "./repriseWithFake.ts"

const json = (bytes: Buffer) => JSON.parse(bytes.toString())
const callsOf = (reprise: RepriseWithFake, method: string) =>
  reprise.fake.calls.filter((call) => call.method === method).map(({ args }) => args)

/** A command that goes on, left by its client after so long. */
const leaveRunning = (reprise: RepriseWithFake, session: string, id: string, code: string, millis = 300) =>
  Effect.map(reprise.run(["exec", session, "--id", id, "--yield", String(millis), "--", code]), ({ stdout }) =>
    stdout.toString()
  )

describe.concurrent("reprise poll", () => {
  it.live("gives what a command printed, again, since a cursor, and until its end", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const gate = join(reprise.store, "..", "gate")
      const code = `echo one; until [ -e ${gate} ]; do sleep 0.05; done; echo two; echo err >&2; exit 5`
      const begun = yield* leaveRunning(reprise, id, "x", code, 1000).pipe(
        // Asked for again it is the same command: a machine that stalls may not have begun it.
        Effect.repeat({ until: (printed) => printed !== "" })
      )
      assert.strictEqual(begun, "one\n")
      const running = yield* reprise.run(["poll", id, "x"])
      assert.deepStrictEqual([running.code, running.stdout.toString()], [80, "one\n"])
      const report = yield* reprise.run(["poll", id, "x", "--json"])
      assert.strictEqual(report.code, 80)
      assert.include(json(report.stdout), { status: "running", stdout: "one\n", exit_code: null, exec_id: "x" })
      const child = yield* reprise.start(["poll", id, "x", "--yield", "50000"])
      yield* Effect.callback<void>((resume) => void child.stdout!.once("data", () => resume(Effect.void)))
      writeFileSync(gate, "")
      const ended = yield* finish(child)
      assert.deepStrictEqual([ended.code, ended.stdout.toString(), ended.stderr], [5, "two\n", "err\n"])
      const after = String(json(report.stdout).cursor)
      const rest = yield* reprise.run(["poll", id, "x", "--json", "--after", after])
      assert.strictEqual(rest.code, 5)
      assert.include(json(rest.stdout), { stdout: "two\n", stderr: "err\n", exit_code: 5, status: "completed" })
      assert.strictEqual((yield* reprise.run(["poll", id, "x"])).stdout.toString(), "one\ntwo\n")
      const missing = yield* reprise.run(["poll", id, "nothing"])
      assert.strictEqual(missing.code, 66)
      assert.match(missing.stderr, /^reprise: [^\n]*"nothing"[^\n]*\n$/)
      yield* reprise.run(["exec", id, "--id", "t", "--tty", "--", "echo shown"])
      assert.strictEqual((yield* reprise.run(["poll", id, "t", "--tty"])).stdout.toString(), "shown\n")
    })
  )
})

describe.concurrent("reprise interrupt and kill", () => {
  it.live("reach the command that runs, and say when none does", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell(["--name", "sh"])
      yield* leaveRunning(reprise, id, "a", "sleep 60")
      assert.strictEqual((yield* reprise.run(["interrupt", "sh"])).code, 0)
      assert.strictEqual((yield* reprise.run(["poll", "sh", "a", "--yield", "50000"])).code, 130)
      yield* leaveRunning(reprise, id, "b", "sleep 60")
      assert.strictEqual((yield* reprise.run(["kill", "sh", "b", "--signal", "TERM"])).code, 0)
      const killed = yield* reprise.run(["poll", "sh", "b", "--yield", "50000"])
      assert.strictEqual(killed.code, 143)
      assert.match(killed.stderr, /died of SIGTERM/)
      assert.deepStrictEqual(callsOf(reprise, "kill"), [[id, "b", "TERM"]])
      const late = yield* reprise.run(["kill", "sh", "b"])
      assert.strictEqual(late.code, 67)
      assert.match(late.stderr, /command b has ended/)
      assert.strictEqual((yield* reprise.run(["interrupt", "sh"])).code, 67)
    })
  )
})

describe.concurrent("reprise send and key", () => {
  it.live("type into the command that runs", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const nothing = yield* reprise.run(["send", id, "x"])
      assert.strictEqual(nothing.code, 67)
      assert.match(nothing.stderr, /runs no command/)
      const asked = yield* reprise.run([
        "exec",
        id,
        "--id",
        "q",
        "--yield",
        "200",
        "--",
        "#asks\nread -r x; echo got:$x"
      ])
      assert.strictEqual(asked.code, 81)
      assert.match(asked.stderr, /waits for input at "name\?"/)
      assert.strictEqual((yield* reprise.run(["send", id, "\\xff"])).code, 64)
      assert.strictEqual((yield* reprise.run(["send", id, "a\\tb\\x21"])).code, 0)
      assert.strictEqual((yield* reprise.run(["send", id, "--raw", "--enter", "\\n"])).code, 0)
      assert.strictEqual((yield* reprise.run(["poll", id, "q", "--yield", "50000"])).stdout.toString(), "got:a b!\\n\n")
      assert.deepStrictEqual(
        callsOf(reprise, "send").map(([, , input]) => input),
        [{ text: "a\tb!" }, { text: "\\n\r" }]
      )
      yield* reprise.run(["exec", id, "--id", "k", "--yield", "200", "--", "#asks\nread x; echo done"])
      assert.strictEqual((yield* reprise.run(["key", id, "Up", "Enter"])).code, 0)
      assert.strictEqual((yield* reprise.run(["poll", id, "k", "--yield", "50000"])).stdout.toString(), "done\n")
      assert.deepStrictEqual(callsOf(reprise, "send").at(-1)![2], { keys: ["Up", "Enter"] })
      const unknown = yield* reprise.run(["key", id, "Hyper"])
      assert.strictEqual(unknown.code, 64)
      assert.match(unknown.stderr, /^reprise: unknown key "Hyper"[^\n]*\n$/)
    })
  )

  it.live("type into a terminal", () =>
    Effect.gen(function* () {
      const typed: Array<string> = []
      const reprise = yield* makeRepriseWithFake({
        history: { resolve: () => Effect.succeed(SESSION), get: () => Effect.succeed(view) },
        sessions: {
          write: (_session, data) => {
            typed.push(Buffer.from(data).toString("latin1"))
            return Effect.succeed({ sequence: 1, hidden: false, truncatedTo: null })
          }
        }
      })
      yield* reprise.run(["send", "fake", "a\\xff", "--enter"])
      yield* reprise.run(["key", "fake", "C-c", "^d", "ctrl+Z", "Escape", "arrow_up", "x"])
      assert.deepStrictEqual(typed, ["a\xff\r", "\x03\x04\x1a\x1b\x1b[Ax"])
    })
  )
})

describe.concurrent("reprise history and state", () => {
  it.live("show what was run and what lives on", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell(["--cwd", "/usr"])
      assert.strictEqual((yield* reprise.run(["history", id])).stdout.toString(), "")
      for (const code of ["echo one", "cd /tmp", "exit 7"]) yield* reprise.run(["exec", id, "--", code])
      const records = json((yield* reprise.run(["history", id, "--json", "--limit", "2"])).stdout)
      assert.deepStrictEqual(
        records.map((record: Record<string, unknown>) => [record.exec, record.command, record.exit_code]),
        [
          [2, "cd /tmp", 0],
          [3, "exit 7", 7]
        ]
      )
      assert.include(records[0], { status: "completed", work_dir: "/usr", work_dir_after: "/tmp", stdout_bytes: 0 })
      assert.match(records[0].timestamp, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
      assert.isNumber(records[0].execution_time_ms)
      const lines = (yield* reprise.run(["history", id])).stdout.toString().trimEnd().split("\n")
      assert.strictEqual(lines.length, 4)
      assert.match(lines[3]!, /^3 .* completed 7 +exit 7$/)

      const state = json((yield* reprise.run(["state", id, "--json"])).stdout)
      assert.strictEqual(state.history.length, 3)
      assert.deepInclude(state, {
        session_id: id,
        language: "bash",
        work_dir: "/tmp",
        env_vars: { A: "1" },
        functions: ["f"],
        running: null
      })
      assert.match((yield* reprise.run(["state", id])).stdout.toString(), /folder +\/tmp\n/)
    })
  )
})

describe.concurrent("reprise reset and restore", () => {
  it.live("say what was brought back", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell(["--cwd", "/usr"])
      yield* reprise.run(["exec", id, "--", "cd /tmp"])
      const reset = yield* reprise.run(["reset", id])
      assert.match(reset.stdout.toString(), /because +reset\nfolder +\/usr\nvariables +A\nmissing +function f\n/)
      assert.strictEqual((yield* reprise.run(["exec", id, "--", "pwd"])).stdout.toString(), "/usr\n")
      assert.deepInclude(json((yield* reprise.run(["reset", id, "--json"])).stdout), {
        session_id: id,
        reason: "reset"
      })
      assert.match((yield* reprise.run(["restore", id])).stdout.toString(), /nothing was restored/)
      assert.include(json((yield* reprise.run(["restore", id, "--json"])).stdout), { reason: null, restored: null })
    })
  )
})

describe.concurrent("reprise end, list and cleanup", () => {
  it.live("D10: ending twice is fine", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      for (const _ of [1, 2]) {
        const ended = yield* reprise.run(["end", id, "--json"])
        assert.strictEqual(ended.code, 0)
        assert.deepStrictEqual(json(ended.stdout), { status: "terminated", session_id: id, survivors: [] })
      }
      assert.strictEqual((yield* reprise.run(["end", id])).code, 0)
    })
  )

  it.live("D11: ended sessions are listed, their leftovers are cleaned, live ones are kept", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const [ended, alive] = [yield* reprise.startShell(), yield* reprise.startShell()]
      assert.deepStrictEqual(json((yield* reprise.run(["cleanup", "--json"])).stdout), { cleaned: [] })
      const { exec } = storePaths(reprise.store)
      const foreign = join(exec, "notes")
      for (const folder of [join(exec, ended), join(exec, alive), foreign]) {
        mkdirSync(folder, { recursive: true })
        writeFileSync(join(folder, "driver"), "")
      }
      yield* reprise.run(["end", ended])
      assert.deepStrictEqual(json((yield* reprise.run(["cleanup", "--json"])).stdout), { cleaned: [ended] })
      assert.deepStrictEqual(
        [join(exec, ended), join(exec, alive), foreign].map((folder) => existsSync(folder)),
        [false, true, true]
      )
      assert.strictEqual((yield* reprise.run(["cleanup"])).stdout.toString(), "")
      const views = json((yield* reprise.run(["list", "--json"])).stdout)
      assert.deepStrictEqual(
        new Map(views.map((view: { id: string; kind: string; status: string }) => [view.id, view.status])),
        new Map([
          [alive, "running"],
          [ended, "exited"]
        ])
      )
      assert.strictEqual(views[0].kind, "exec")
    })
  )
})

describe.concurrent("wrong command lines", () => {
  it.live("are one line and exit code 2, and every command explains itself", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const wrong = [
        ["exec"],
        ["exec", id, "--max-output", "5", "--", "true"],
        ["exec", id, "--yield", "-1", "--", "true"],
        ["exec", id, "--timeout", "soon", "--", "true"],
        ["exec", id, "--env", "novalue", "--", "true"],
        ["exec", id, "--tty", "--stdin", "-", "--", "true"],
        ["exec", id, "--stdin", "-"],
        ["exec", id, "--stdin", "/no/such/file", "--", "true"],
        ["poll", id],
        ["poll", id, "x", "--max-output", "5"],
        ["key", id],
        ["send", id],
        ["history", id, "--limit", "many"]
      ]
      const results = yield* Effect.forEach(wrong, (args) => reprise.run(args), { concurrency: 2 })
      for (const [index, { code, stdout, stderr }] of results.entries()) {
        assert.strictEqual(code, 2, `${wrong[index]!.join(" ")}: ${stderr}`)
        assert.strictEqual(stdout.toString(), "")
        assert.match(stderr, /^reprise: [^\n]+; see `reprise .*--help`\n$/)
      }
      assert.deepStrictEqual(callsOf(reprise, "exec"), [])
      const commands = "start exec poll interrupt kill send key history state reset restore cleanup end".split(" ")
      const helps = yield* Effect.forEach(commands, (command) => reprise.run([command, "--help"]), { concurrency: 2 })
      for (const [index, { code, stdout }] of helps.entries()) {
        assert.strictEqual(code, 0)
        assert.include(stdout.toString(), "EXAMPLES", commands[index])
        assert.include(stdout.toString(), `reprise ${commands[index]}`)
      }
    })
  )
})
