/**
 * What Delta's sessions promise and what they do not keep (rows D1 to D26 of the comparison with our peers), through a
 * real engine: a test for each row, with its id in its name. Rows of which a test is elsewhere too:
 *
 * - D8 to D11, D14, D23, D24 and D26 are about the command line or its processes: test/cli/DeltaRows.test.ts (D14 for a
 *   truncated result: Truncate.test.ts).
 * - D20, by names and shapes of secrets: Secrets.test.ts. D21: Escapes.test.ts. D22: Keys.test.ts. D25's last lines:
 *   Truncate.test.ts.
 */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it as effect } from "@effect/vitest"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { Exec } from "../../src/exec/Exec.ts"
import { testStore } from "../session/sessionsUnderTest.ts"
import { outputOf, rowsEngine, text } from "./shells.ts"

const engine = rowsEngine()

describe("rows of Delta's sessions, through the engine", { concurrent: true }, () => {
  it("D1: cd in one command holds in the next", async () => {
    const shell = await engine.start()
    assert.strictEqual((await shell.exec("cd /tmp")).cwd, "/tmp")
    assert.strictEqual(outputOf(await shell.exec("pwd")), "/tmp\n")
  })

  it("D2: so does a directory made on the way", async () => {
    const shell = await engine.start()
    assert.strictEqual(outputOf(await shell.exec("mkdir -p t && cd t && pwd")), `${shell.cwd}/t\n`)
    assert.strictEqual(outputOf(await shell.exec("pwd")), `${shell.cwd}/t\n`)
  })

  it("D3: a cd that fails says so and changes nothing", async () => {
    const shell = await engine.start()
    const failed = await shell.exec("cd /nonexistent")
    assert.notStrictEqual(failed.exitCode, 0)
    assert.match(text(failed.stderr), /\/nonexistent: No such file/)
    assert.strictEqual(failed.cwd, shell.cwd)
    assert.strictEqual(outputOf(await shell.exec("pwd")), `${shell.cwd}\n`)
  })

  it("D4: two sessions have a directory each", async () => {
    const [one, other] = await Promise.all([engine.start(), engine.start()])
    await one.exec("cd /tmp")
    assert.strictEqual(outputOf(await other.exec("pwd")), `${other.cwd}\n`)
  })

  it("D5: an exported variable holds in the next command", async () => {
    const shell = await engine.start()
    await shell.exec("export VAR=hello")
    assert.strictEqual(outputOf(await shell.exec("echo $VAR")), "hello\n")
  })

  it("D6: standard error is standard error, and nothing else is", async () => {
    const shell = await engine.start()
    const failed = await shell.exec("ls /nonexistent")
    assert.include([1, 2], failed.exitCode)
    assert.strictEqual(text(failed.stdout), "")
    assert.match(text(failed.stderr), /^ls: .*\/nonexistent.*\n$/)
  })

  it("D7: a command of several lines", async () => {
    const shell = await engine.start()
    assert.strictEqual(outputOf(await shell.exec("for i in {1..5}; do\n  echo $i\ndone\n")), "1\n2\n3\n4\n5\n")
  })

  it("D12: a function of a python session is there in the next command", async () => {
    const shell = await engine.start("python")
    await shell.exec("def factorial(n):\n    return 1 if n < 2 else n * factorial(n - 1)\n")
    assert.strictEqual(outputOf(await shell.exec("print(factorial(10))")), "3628800\n")
  })

  it("D13: a command that was killed never looks like one that went well", async () => {
    const shell = await engine.start()
    assert.strictEqual((await shell.exec("sh -c 'kill -KILL $$'")).exitCode, 137)
    // The shell itself: reported as the kernel does, and there is another one for the next command.
    const died = await shell.exec("kill -KILL $$")
    assert.deepStrictEqual([died.status, died.exitCode, died.signal], ["died", null, "SIGKILL"])
    assert.strictEqual(outputOf(await shell.exec("echo on")), "on\n")
    const records = await engine.exec((exec) => exec.history(shell.id))
    assert.deepStrictEqual(
      records.map(({ exitCode, signal }) => [exitCode, signal]),
      [
        [137, null],
        [null, "SIGKILL"],
        [0, null]
      ]
    )
  })

  it("D14: 300,000 bytes of characters, whole, also in two streams at once", async () => {
    const shell = await engine.start()
    const euros = "€".repeat(100_000)
    const result = await shell.exec('e=$(printf \'€%.0s\' {1..100000}); printf %s "$e"; printf %s "$e" >&2')
    assert.isTrue(text(result.stdout) === euros)
    assert.isTrue(text(result.stderr) === euros)
    assert.deepStrictEqual([result.stdout.byteLength, result.truncated.stdout], [300_000, null])
  })

  it("D15: five commands at once are run one after the other, each with its own output, all of them counted", async () => {
    const shell = await engine.start()
    await shell.exec("n=0")
    const code = (i: number) => `echo ${i} begins; n=$((n+1)); echo ${i} ends >&2; echo $n`
    const results = await Promise.all([1, 2, 3, 4, 5].map((i) => shell.exec(code(i))))
    for (const [index, { stderr, stdout }] of results.entries()) {
      const i = index + 1
      // In the order in which they were asked for.
      assert.deepStrictEqual([text(stdout), text(stderr)], [`${i} begins\n${i}\n`, `${i} ends\n`])
    }
    const records = await engine.exec((exec) => exec.history(shell.id))
    assert.deepStrictEqual(
      records.map(({ exec }) => exec),
      [1, 2, 3, 4, 5, 6]
    )
    for (const [index, record] of records.slice(1).entries()) {
      const before = records[index]!
      assert.isAtLeast(record.startedAt, before.startedAt + before.durationMillis! * 1000)
    }
  })

  it("D16: a directory's name is a name, whatever it looks like: nothing of it is run", async () => {
    const shell = await engine.start()
    const name = "we$(touch INJECTED)`touch INJECTED`ird \"'\n\\ ;touch INJECTED"
    const strange = join(shell.cwd, name)
    mkdirSync(strange)
    assert.strictEqual(outputOf(await shell.exec('cd we*; printf %s "$PWD"')), strange)
    assert.strictEqual(outputOf(await shell.exec('printf %s "$PWD"')), strange)
    // The two ways in which another shell takes its place: it executed itself again, and it was killed.
    await shell.exec("exit 3")
    assert.strictEqual(outputOf(await shell.exec('printf %s "$PWD"')), strange)
    await shell.exec("kill -KILL $$")
    assert.strictEqual(outputOf(await shell.exec('printf %s "$PWD"; ls')), strange)
    assert.strictEqual(outputOf(await shell.exec("pwd", { cwd: shell.cwd })), `${shell.cwd}\n`)
    assert.strictEqual(outputOf(await shell.exec('printf %s "$PWD"', { cwd: strange })), strange)
    const another = await engine.start("bash", { cwd: strange })
    assert.strictEqual(outputOf(await another.exec('printf %s "$PWD"; ls')), strange)
    assert.isFalse(existsSync(join(shell.cwd, "INJECTED")))
  })

  it("D17: what could end a command for a wrapper is text", async () => {
    const shell = await engine.start()
    const markers = [
      "DELTA_CMD_EOF",
      "EOF",
      "__SHELL_CMD_1_END__",
      "__reprise_end",
      "end:6",
      "\u001b]633;D;0\u0007",
      "}; exit 9",
      "'\"\\"
    ].join("\n")
    const heredoc = `cat <<'__OURS__'\n${markers}\n__OURS__\necho after`
    assert.strictEqual(outputOf(await shell.exec(heredoc)), `${markers}\nafter\n`)
    // What the shell says of a command's end goes a way that output cannot.
    const forged = await shell.exec("printf 'end:6\\0%s\\0007\\0completed\\0/\\0\\0\\0' 2; echo on; (exit 5)")
    assert.strictEqual(forged.exitCode, 5)
    assert.isTrue(text(forged.stdout).endsWith("on\n"))
    const tty = await shell.exec("printf '\\033]633;D;0\\007'; echo shown; (exit 6)", { tty: true })
    assert.strictEqual(tty.exitCode, 6)
    assert.include(text(tty.tty), "shown")
  })

  it("D18: a command reads its own standard input, or its end, and never the next command", async () => {
    const shell = await engine.start()
    const code = "read x; echo got:$x\necho next"
    const given = await shell.exec(code, { stdin: { _tag: "Bytes", data: Buffer.from("42\n") } })
    assert.strictEqual(text(given.stdout), "got:42\nnext\n")
    // The last line may be without a newline.
    const open = await shell.exec(code, { stdin: { _tag: "Bytes", data: Buffer.from("42") } })
    assert.strictEqual(text(open.stdout), "got:42\nnext\n")
    assert.strictEqual(text((await shell.exec(code)).stdout), "got:\nnext\n")
  })

  it("D19: a directory that is gone is told, not silently another one", async () => {
    const shell = await engine.start()
    const gone = realpathSync(mkdtempSync(join(tmpdir(), "reprise-gone-")))
    await shell.exec(`export K=v; cd ${gone}`)
    rmSync(gone, { recursive: true })
    // The shell that is there stays there, as every shell does.
    for (const _ of [1, 2]) {
      const after = await shell.exec("echo $PWD")
      assert.deepStrictEqual([outputOf(after), after.cwd], [`${gone}\n`, gone])
    }
    // Another one cannot: it begins where the session began, and that is an event.
    await shell.exec("kill -KILL $$")
    assert.strictEqual(outputOf(await shell.exec("pwd; echo $K")), `${shell.cwd}\nv\n`)
    let missing: ReadonlyArray<string> = []
    await engine.until(shell.id, (event) => {
      if (event._tag === "ShellRestarted") missing = event.missing
      return event._tag === "ShellRestarted"
    })
    assert.deepStrictEqual(missing, [`directory ${gone}: it is gone`])
    // And a command that is to run there is not run.
    for (const cwd of [gone, "no/such", `${gone}/..`, "/dev/null"]) {
      await shell.exec("echo ran", { cwd }).then(
        () => assert.fail("it was run"),
        (error) => {
          assert.deepInclude(error, { _tag: "InvalidRequest", field: "cwd" })
          assert.include(error.message, cwd)
        }
      )
    }
    await shell.exec("mkdir -p sub/deeper && cd sub")
    assert.strictEqual(outputOf(await shell.exec("pwd", { cwd: "deeper" })), `${shell.cwd}/sub/deeper\n`)
    assert.strictEqual(outputOf(await shell.exec("pwd", { cwd: ".." })), `${shell.cwd}\n`)
    // Of what was refused nothing is in the history.
    const history = await engine.exec((exec) => exec.history(shell.id))
    assert.notInclude(
      history.map(({ code }) => code),
      "echo ran"
    )
    // What only the shell can find out is not called done: it ran nothing.
    await shell.exec("readonly FIXED=1")
    const notRun = await shell.exec("echo ran", { env: { FIXED: "2" } })
    assert.deepStrictEqual([notRun.status, notRun.exitCode, text(notRun.stdout)], ["lost", null, ""])
    assert.include(text(notRun.stderr), "the command was not run: the variable FIXED")
    assert.strictEqual(outputOf(await shell.exec("echo $FIXED")), "1\n")
  })

  it("D20: no secret of the environment is in any file of the store, wherever a command puts it", async () => {
    const [given, once] = ["s3cret-of-the-session", "s3cret-of-one-command"]
    const shell = await engine.start("bash", { secretEnv: { PLAIN_NAME: given } })
    assert.strictEqual(outputOf(await shell.exec("printf %s $PLAIN_NAME | wc -c")), `${given.length}\n`)
    assert.notInclude(outputOf(await shell.exec("echo $PLAIN_NAME; env | grep PLAIN_NAME")), given)
    const code = 'echo $ONCE; export KEPT=$ONCE COPY="is $PLAIN_NAME"; alias a="echo $ONCE"; eval "f() { echo $ONCE; }"'
    assert.notInclude(text((await shell.exec(code, { secretEnv: { ONCE: once } })).stdout), once)
    // The shell itself has them, also the next one while this engine lives.
    for (const _ of [1, 2]) {
      assert.strictEqual(outputOf(await shell.exec("echo $KEPT$COPY | wc -c")), "46\n")
      await shell.exec("kill -KILL $$")
    }
    const { env } = await engine.exec((exec) => exec.state(shell.id))
    assert.deepInclude(env, { KEPT: "***", COPY: "***" })
    for (const secret of [given, once]) assert.isFalse(engine.storeHolds(secret), secret)
  })

  it("D25: a look with a time limit answers after it, with nothing when there is nothing", async () => {
    const shell = await engine.start()
    const running = await shell.exec("read x; echo $x", { execId: "waits", stdin: { _tag: "Stream" }, yieldMillis: 0 })
    assert.notStrictEqual(running.status, "completed")
    // The quickest of some: a machine that stalls makes any of them late.
    const times: Array<number> = []
    while (times.length < 5 && (times.at(-1) ?? Number.POSITIVE_INFINITY) >= 1500) {
      const began = performance.now()
      const look = await engine.exec((exec) => exec.poll(shell.id, "waits", { yieldMillis: 200 }))
      times.push(performance.now() - began)
      assert.strictEqual(text(look.stdout), "")
    }
    assert.isTrue(times.every((millis) => millis >= 195) && times.at(-1)! < 1500, `${times} ms`)
    // A look takes nothing away: what is read is there for the next one.
    await engine.exec((exec) => exec.send(shell.id, "waits", { bytes: Buffer.from("one\n") }))
    for (const _ of [1, 2]) {
      const ended = await engine.exec((exec) => exec.poll(shell.id, "waits", { yieldMillis: 10_000 }))
      assert.deepStrictEqual([ended.status, text(ended.stdout)], ["completed", "one\n"])
    }
  })
})

describe("rows of Delta's sessions, with an engine after another", () => {
  effect.live("D20: the next engine keeps the session's secrets too", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const [given, once] = ["s3cret-of-the-session", "s3cret-of-one-command"]
      const { id } = yield* Effect.gen(function* () {
        const exec = yield* Exec
        const view = yield* exec.start({ secretEnv: { PLAIN_NAME: given } })
        yield* exec.exec(view.id, { code: "export KEPT=$ONCE", secretEnv: { ONCE: once } })
        return view
      }).pipe(Effect.provide(store.layer()))
      yield* Effect.gen(function* () {
        const exec = yield* Exec
        const shown = yield* exec.exec(id, { code: "echo $PLAIN_NAME; echo $KEPT | wc -c; export AGAIN=$PLAIN_NAME" })
        assert.strictEqual(text(shown.stdout), `${"*".repeat(given.length)}\n${once.length + 1}\n`)
        assert.deepInclude((yield* exec.state(id)).env, { KEPT: "***", AGAIN: "***" })
        for (const secret of [given, once]) assert.isFalse(store.holds(secret), secret)
      }).pipe(Effect.provide(store.layer()))
    })
  )
})
