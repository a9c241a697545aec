import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ExecRequest, StartShell } from "../../src/exec/Exec.ts"
import { finish } from "./reprise.ts"
import { makeRepriseWithFake, type RepriseWithFake } from "./repriseWithFake.ts"

const json = (bytes: Buffer) => JSON.parse(bytes.toString())
const lastCall = (reprise: RepriseWithFake, method: string) =>
  reprise.fake.calls.filter((call) => call.method === method).at(-1)!.args

describe.concurrent("reprise start", () => {
  it.live("prints session_id, command, work_dir and status", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const started = yield* reprise.run(["start"])
      assert.strictEqual(started.stderr, "")
      const { session_id, ...rest } = json(started.stdout)
      assert.match(session_id, /^[0-9A-Z]{26}$/)
      assert.deepStrictEqual(rest, { command: "bash", work_dir: join(reprise.store, ".."), status: "active" })
      assert.include(json((yield* reprise.run(["start", "python3", "--name", "py", "--cwd", "/usr"])).stdout), {
        command: "python3",
        work_dir: "/usr",
        name: "py"
      })
    })
  )

  it.live("gives the shell the caller's environment without its terminal, and secrets apart", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      Object.assign(reprise.env, { PAGER: "less", TERM: "xterm", COLUMNS: "9", TOKEN: "s3cret", KEPT: "k" })
      yield* reprise.run([
        "start",
        "zsh",
        "--env",
        "A=1=2",
        "--env",
        "TERM=vt100",
        "--secret-env",
        "TOKEN",
        "--size",
        "90x20"
      ])
      const [request] = lastCall(reprise, "start") as [StartShell]
      assert.include(request, { shell: "zsh", actor: "cli" })
      assert.deepStrictEqual(request.size, { cols: 90, rows: 20 })
      assert.deepStrictEqual(request.secretEnv, { TOKEN: "s3cret" })
      assert.include(request.env, { A: "1=2", TERM: "vt100", KEPT: "k" })
      assert.doesNotHaveAnyKeys(request.env, ["TOKEN", "PAGER", "COLUMNS"])
      yield* reprise.run(["start", "--lang", "node"])
      assert.include((lastCall(reprise, "start") as [StartShell])[0], { language: "node" })
    })
  )

  it.live("says what is wrong in one line", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const wrong = [
        ["start", "--lang", "perl"],
        ["start", "--secret-env", "NOT_SET_ANYWHERE"],
        ["start", "--secret-env", "TOKEN=value"],
        ["start", "--size", "big"],
        ["start", "bash", "-x"],
        ["start", "bash", "extra"]
      ]
      const results = yield* Effect.forEach(wrong, (args) => reprise.run(args), { concurrency: 2 })
      for (const [index, { code, stderr }] of results.entries()) {
        assert.strictEqual(code, 2, `${wrong[index]!.join(" ")}: ${stderr}`)
        assert.match(stderr, /^reprise: [^\n]+\n$/)
      }
      const missing = yield* reprise.run(["start", "no-such-shell"])
      assert.strictEqual(missing.code, 127)
      assert.strictEqual(missing.stderr, "reprise: no program no-such-shell\n")
    })
  )
})

describe.concurrent("reprise exec", () => {
  it.live("gives the command's output, errors, exit code and directory", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell(["--name", "sh"])
      const ran = yield* reprise.run(["exec", "sh", "--", "cd /tmp; echo out; echo err >&2; exit 3"])
      assert.deepStrictEqual([ran.code, ran.stdout.toString(), ran.stderr], [3, "out\n", "err\n"])
      // From standard input; without --, after the session.
      assert.strictEqual((yield* reprise.run(["exec", id], "pwd\n")).stdout.toString(), "/tmp\n")
      assert.strictEqual((yield* reprise.run(["exec", "sh", "echo", "-n", "a b"])).stdout.toString(), "a b")
      assert.strictEqual((yield* reprise.run(["exec", "sh", "--", "kill -9 $$"])).code, 137)
      const seven = "for i in {1..5}; do echo $i; done\ncat <<'EOF'\nDELTA_CMD_EOF\nEOF\n"
      assert.strictEqual(
        (yield* reprise.run(["exec", "sh"], seven)).stdout.toString(),
        "1\n2\n3\n4\n5\nDELTA_CMD_EOF\n"
      )
    })
  )

  it.live("--json has everything, and the exit code is the command's too", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const ran = yield* reprise.run(["exec", id, "--json", "--id", "first", "--", "echo €; echo err >&2; exit 4"])
      assert.strictEqual(ran.code, 4)
      assert.strictEqual(ran.stderr, "")
      const { execution_time_ms, cursor, ...rest } = json(ran.stdout)
      assert.isAtLeast(execution_time_ms, 0)
      assert.isNumber(cursor)
      assert.deepStrictEqual(rest, {
        stdout: "€\n",
        stderr: "err\n",
        exit_code: 4,
        status: "completed",
        exec_id: "first",
        session_id: id,
        cwd: join(reprise.store, "..")
      })
      const binary = json((yield* reprise.run(["exec", id, "--json", "--", "printf 'a\\xffb'"])).stdout)
      assert.include(binary, { stdout: "a\ufffdb", stdout_base64: Buffer.from("a\xffb", "latin1").toString("base64") })
      const terminal = json((yield* reprise.run(["exec", id, "--json", "--tty", "--", "echo shown"])).stdout)
      assert.include(terminal, { stdout: "", tty: "shown\n" })
      assert.include(json((yield* reprise.run(["exec", id, "--json", "--", "#value 42"])).stdout), { value: "42" })
      const killed = yield* reprise.run(["exec", id, "--json", "--", "kill -9 $$"])
      assert.strictEqual(killed.code, 137)
      assert.include(json(killed.stdout), { exit_code: null, signal: "SIGKILL", status: "died" })
      const cut = json((yield* reprise.run(["exec", id, "--json", "--max-output", "10", "--", "seq 1 9"])).stdout)
      assert.strictEqual(cut.stdout, "1\n2\n3\n8\n9\n")
      assert.deepStrictEqual(cut.truncated, {
        stdout: { total_bytes: 18, head_bytes: 5, tail_bytes: 5, omitted_bytes: 8, omitted_from: 5, omitted_to: 13 }
      })
    })
  )

  it.live("passes on what the flags say", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      reprise.env.TOKEN = "s3cret"
      const id = yield* reprise.startShell()
      const flags = ["--json", "--timeout", "9000", "--yield", "8000", "--cwd", "/usr", "--env", "A=1", "--reject-busy"]
      const ran = yield* reprise.run([
        "exec",
        id,
        ...flags,
        "--secret-env",
        "TOKEN",
        "--id",
        "x",
        "--",
        "pwd; echo $A$TOKEN"
      ])
      assert.strictEqual(json(ran.stdout).stdout, "/usr\n1s3cret\n")
      assert.include((lastCall(reprise, "exec") as [string, ExecRequest])[1], {
        execId: "x",
        timeoutMillis: 9000,
        yieldMillis: 8000,
        onBusy: "reject",
        actor: "cli"
      })
    })
  )

  it.live("standard input comes from a file, from the caller, or not at all", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const file = join(reprise.store, "..", "input")
      writeFileSync(file, Uint8Array.of(0, 1, 255))
      assert.deepStrictEqual([...(yield* reprise.run(["exec", id, "--stdin", file, "--", "cat"])).stdout], [0, 1, 255])
      writeFileSync(file, "x".repeat(3_000_000))
      assert.strictEqual(
        (yield* reprise.run(["exec", id, "--stdin", file, "--", "wc -c"])).stdout.toString(),
        "3000000\n"
      )
      assert.strictEqual(
        (yield* reprise.run(["exec", id, "--stdin", "-", "--", "cat"], "typed\n")).stdout.toString(),
        "typed\n"
      )
      const first = yield* reprise.run(["exec", id, "--json", "--stdin", "-", "--", "head -1"], "one\ntwo\n")
      assert.include(json(first.stdout), { stdout: "one\n", exit_code: 0 })
      assert.strictEqual((yield* reprise.run(["exec", id, "--", "cat; echo end"])).stdout.toString(), "end\n")
    })
  )

  it.live("D8: without a command it says so", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      for (const input of ["", " \n"]) {
        const { code, stderr } = yield* reprise.run(["exec", id], input)
        assert.strictEqual(code, 2)
        assert.strictEqual(stderr, "reprise: No command provided (stdin is empty); see `reprise exec --help`\n")
      }
    })
  )

  it.live("D9: an unknown session is not found, an ended one is terminated", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const unknown = yield* reprise.run(["exec", "sess_00000000", "--", "true"])
      assert.strictEqual(unknown.code, 66)
      assert.match(unknown.stderr, /^reprise: [sS]ession .*sess_00000000.* not found.*\n$/)
      const id = yield* reprise.startShell()
      yield* reprise.run(["end", id])
      const ended = yield* reprise.run(["exec", id, "--", "true"])
      assert.strictEqual(ended.code, 67)
      assert.match(ended.stderr, new RegExp(`^reprise: [sS]ession ${id} is terminated.*\\n$`))
      assert.strictEqual(ended.stdout.toString(), "")
    })
  )

  it.live("D14: 300,000 bytes arrive whole at a reader that takes its time", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const euros = "for i in $(seq 1000); do printf '€%.0s' {1..100}; done"
      const child = yield* reprise.start(["exec", id, "--", euros])
      child.stdout!.pause()
      yield* Effect.sleep("1 second")
      const slowly = Effect.sync(() => child.stdout!.resume())
      const [{ code, stdout, stderr }] = yield* Effect.all([finish(child), slowly], { concurrency: 2 })
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.isTrue(stdout.toString() === "€".repeat(100_000))
      const report = json((yield* reprise.run(["exec", id, "--json", "--", euros])).stdout)
      assert.isTrue(report.stdout === "€".repeat(100_000))
      // More than an answer holds: the middle is read too.
      const large = yield* reprise.run(["exec", id, "--", "head -c 9000001 /dev/zero | tr '\\0' x; echo e >&2"])
      assert.strictEqual(large.stdout.byteLength, 9_000_001)
      assert.strictEqual(large.stderr, "e\n")
    })
  )

  it.live("shows the output of a long command as it goes", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const gate = join(reprise.store, "..", "gate")
      const child = yield* reprise.start([
        "exec",
        id,
        "--",
        `echo first; until [ -e ${gate} ]; do sleep 0.05; done; echo last`
      ])
      yield* Effect.callback<void>((resume) => void child.stdout!.once("data", () => resume(Effect.void)))
      writeFileSync(gate, "")
      const { code, stdout } = yield* finish(child)
      assert.deepStrictEqual([code, stdout.toString()], [0, "last\n"])
    })
  )

  it.live("comes back after --yield and --timeout with codes of their own", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      /** The shortest time in which something was printed: a machine that stalls may take all of one before that. */
      const printed = Effect.fnUntraced(function* (run: (millis: string) => ReturnType<typeof reprise.run>) {
        const first = yield* run("1500")
        return first.stdout.byteLength > 0 ? first : yield* run("15000")
      })
      const late = yield* printed((millis) => reprise.run(["exec", id, "--timeout", millis, "--", "echo a; sleep 60"]))
      assert.deepStrictEqual([late.code, late.stdout.toString()], [124, "a\n"])
      assert.match(late.stderr, /^reprise: command \S+ reached its time limit[^\n]*\n$/)
      const left = yield* printed((millis) =>
        reprise.run(["exec", id, "--id", "long", "--yield", millis, "--", "echo b; sleep 60"])
      )
      assert.deepStrictEqual([left.code, left.stdout.toString()], [80, "b\n"])
      assert.match(left.stderr, new RegExp(`^reprise: command long goes on; .reprise poll ${id} long. [^\\n]*\\n$`))
      const report = yield* reprise.run([
        "exec",
        id,
        "--id",
        "long",
        "--json",
        "--yield",
        "10",
        "--",
        "echo b; sleep 60"
      ])
      assert.strictEqual(report.code, 80)
      assert.include(json(report.stdout), { status: "running", exit_code: null, stdout: "b\n" })
      const busy = yield* reprise.run(["exec", id, "--reject-busy", "--", "true"])
      assert.deepStrictEqual([busy.code, busy.stdout.toString()], [75, ""])
      assert.match(busy.stderr, /runs long/)
      const other = yield* reprise.run(["exec", id, "--id", "long", "--", "true"])
      assert.strictEqual(other.code, 64)
      const asks = yield* reprise.startShell()
      const needs = yield* reprise.run(["exec", asks, "--json", "--yield", "10", "--", "#asks\nread x"])
      assert.strictEqual(needs.code, 81)
      assert.deepStrictEqual(json(needs.stdout).needs_input, { kind: "text", prompt: "name? ", confidence: "kernel" })
    })
  )

  it.live("Ctrl-C interrupts the command, a second one leaves", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseWithFake()
      const id = yield* reprise.startShell()
      const child = yield* reprise.start(["exec", id, "--id", "c", "--", "echo begun; sleep 60"])
      yield* Effect.callback<void>((resume) => void child.stdout!.once("data", () => resume(Effect.void)))
      child.kill("SIGINT")
      assert.strictEqual((yield* finish(child)).code, 130)
      assert.deepStrictEqual(lastCall(reprise, "interrupt"), [id, "c"])

      let asked = () => {}
      const deaf = yield* makeRepriseWithFake({ exec: { interrupt: () => Effect.sync(() => asked()) } })
      const other = yield* deaf.startShell()
      const left = yield* deaf.start(["exec", other, "--id", "d", "--", "echo begun; sleep 60"])
      yield* Effect.callback<void>((resume) => void left.stdout!.once("data", () => resume(Effect.void)))
      const ended = finish(left)
      asked = () => {
        // Once: one more would meet a process that is about to leave.
        asked = () => {}
        left.kill("SIGINT")
      }
      left.kill("SIGINT")
      const { code, stderr } = yield* ended
      assert.strictEqual(code, 130)
      assert.match(stderr, new RegExp(`^reprise: left; .*.reprise kill ${other} d. ends it\\n$`))
    })
  )
})
