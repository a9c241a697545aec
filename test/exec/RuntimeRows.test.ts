/**
 * What the `runtime` tool and its sibling tools of the same house promise (rows R1 to R30 of the comparison with our
 * peers), through `Runtime` and a real engine: a test for each row, with its id in its name. Elsewhere:
 *
 * - R3, R4, R5 and R20 of the projection: test/projections/Commands.test.ts. R21, R22, R23, R29: Truncate.test.ts. R25, and
 *   R24's names: Keys.test.ts. R26's filter: Truncate.test.ts.
 *
 * Not ours, or different on purpose:
 *
 * - R27 (pipes when no terminal can be had): a terminal is what a session is. Without one there is none (SpawnFailed), and
 *   the output of commands comes through pipes anyway.
 * - R26's answers: the engine does not answer for a terminal (a shell for commands has TERM=dumb, of which nobody asks);
 *   the one that is attached does.
 * - R30's list: a store is one user's, and whoever may open it sees all of it; that a command is reached through its own
 *   session only is tested here.
 * - R11 and the original's code: a non-zero exit code is no success, as its documentation says.
 */

import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { it as effect } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Schedule, Scope } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Exec } from "../../src/exec/Exec.ts"
import * as Runtime from "../../src/exec/Runtime.ts"
import { History } from "../../src/session/History.ts"
import { isAlive } from "../fixtures/processes.ts"
import { engineProcess } from "./engineProcess.ts"
import { outputOf, rowsEngine, tagOf, text } from "./shells.ts"

const engine = rowsEngine()

/** A tool of one test. Its workspaces end with the file; `run` runs an effect of it. */
interface Tool {
  readonly runtime: Runtime.RuntimeShape
  /** One call in a workspace, parsed. */
  // biome-ignore lint/suspicious/noExplicitAny: the tool's JSON; the assertions say what it must be.
  call(parameters: unknown, workspace?: string): Promise<any>
}

let scope: Scope.Closeable
beforeAll(() => {
  scope = Effect.runSync(Scope.make())
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

let tools = 0
const makeTool = async (options: Runtime.RuntimeOptions = {}): Promise<Tool> => {
  // A workspace of its own for each test: they share a store, and a workspace is found again by its name.
  const own = `ws-${++tools}`
  const context = await engine.run(
    Layer.buildWithScope(Layer.fresh(Runtime.layer({ cwd: engine.folder, ...options })), scope)
  )
  const runtime = Context.get(context, Runtime.Runtime)
  return {
    runtime,
    call: async (parameters, workspace = own) => {
      const { content, type } = await engine.run(runtime.tool(workspace, parameters))
      assert.strictEqual(type, "tool_result")
      return JSON.parse(content)
    }
  }
}
const bash = (command: string) => ({ action: "exec", command })
const python = (command: string) => ({ action: "exec", command, language: "python" })
const node = (command: string) => ({ action: "exec", command, language: "node" })

describe("rows of the runtime tool, through the engine", { concurrent: true }, () => {
  it("R1: a variable holds", async () => {
    const { call } = await makeTool()
    await call(bash("VAR='hello'"))
    assert.strictEqual((await call(bash("echo $VAR"))).stdout, "hello\n")
  })

  it("R2: a variable of python holds", async () => {
    const { call } = await makeTool()
    await call(python("x = 42"))
    assert.strictEqual((await call(python("print(x)"))).stdout, "42\n")
  })

  it("R3: the history has the commands, the newest last, with their durations, and no more than its size", async () => {
    const { call } = await makeTool({ historySize: 4 })
    for (const i of [0, 1, 2]) await call(bash(`echo test${i}`))
    await call(python("'test3'"))
    await call(bash("false"))
    const { history, success } = await call({ action: "history", limit: 10 })
    assert.isTrue(success)
    assert.deepStrictEqual(
      history.map(({ command, language }: Runtime.HistoryEntry) => [command, language]),
      [
        ["echo test1", "bash"],
        ["echo test2", "bash"],
        ["'test3'", "python"],
        ["false", "bash"]
      ]
    )
    for (const { duration, timestamp } of history) {
      assert.isTrue(Number.isInteger(duration) && duration >= 0 && duration < 10_000)
      assert.isTrue(Math.abs(timestamp - Date.now()) < 60_000)
    }
    const { history: last } = await call({ action: "HISTORY", limit: 1 })
    assert.deepStrictEqual(
      last.map(({ command }: Runtime.HistoryEntry) => command),
      ["false"]
    )
  })

  it("R4: imports are known", async () => {
    const { call } = await makeTool()
    await call(python("import math\nfrom pathlib import Path"))
    // Also of a module that is not installed: it was asked for.
    await call(python("import numpy as np"))
    const { imports } = (await call({ action: "state" })).state
    for (const name of ["math", "Path", "numpy"]) assert.include(imports, name)
  })

  it("R5: reset forgets, in less than a second", async () => {
    const { call } = await makeTool()
    const reset = async () => {
      const began = performance.now()
      assert.deepStrictEqual(await call({ action: "reset" }), { success: true, stdout: "Session reset successfully" })
      return performance.now() - began
    }
    // The quickest of some: a machine that stalls makes any of them late.
    const times: Array<number> = []
    while (times.length < 5 && (times.at(-1) ?? Number.POSITIVE_INFINITY) >= 1000) {
      await call(bash("cd /tmp; export GONE=1; gone=2; f() { :; }"))
      times.push(await reset())
    }
    assert.isBelow(times.at(-1)!, 1000, `${times} ms`)
    await call(bash("cd /tmp; export GONE=1; gone=2; f() { :; }"))
    await call(python("import math; gone = 3"))
    await reset()
    assert.deepStrictEqual((await call({ action: "history" })).history, [])
    const { state } = await call({ action: "state" })
    assert.deepStrictEqual(state, {
      env_vars: {},
      functions: [],
      imports: [],
      working_dir: engine.folder,
      history: []
    })
    assert.strictEqual((await call(bash("echo $GONE$gone; pwd; type f"))).stdout, `\n${engine.folder}\n`)
    assert.include((await call(python("gone"))).stderr, "NameError")
  })

  it("R6: a terminated session says so, and the manager gives a fresh one", async () => {
    const { call, runtime } = await makeTool()
    const session = await engine.run(runtime.getOrCreateSession("r6"))
    await engine.run(session.exec("x=1"))
    assert.isTrue(await engine.run(runtime.terminateSession("r6")))
    assert.isFalse(await engine.run(session.isAlive))
    assert.deepStrictEqual(await engine.run(session.exec("echo $x")), {
      success: false,
      stdout: "",
      stderr: "",
      exitCode: null,
      error: "Session has been terminated"
    })
    assert.strictEqual((await engine.run(session.reset)).error, "Session has been terminated")
    assert.isFalse(await engine.run(runtime.terminateSession("r6")))
    assert.strictEqual((await call(bash("echo [$x]"), "r6")).stdout, "[]\n")
  })

  it("R6: a shell that somebody else ended is replaced", async () => {
    const { call, runtime } = await makeTool()
    await call(bash("x=1"), "r6-other")
    const session = await engine.run(History.use((history) => history.resolve("runtime bash r6-other")))
    await engine.exec((exec) => exec.end(session))
    assert.deepInclude(await call(bash("echo [$x]"), "r6-other"), { success: true, stdout: "[]\n" })
    assert.isTrue((await engine.run(runtime.activeSessions)).has("r6-other"))
  })

  it("R7: a workspace is one session, two are two", async () => {
    const { runtime } = await makeTool()
    const one = await engine.run(runtime.getOrCreateSession("r7-one"))
    assert.strictEqual(await engine.run(runtime.getOrCreateSession("r7-one")), one)
    const other = await engine.run(runtime.getOrCreateSession("r7-other"))
    assert.notStrictEqual(other, one)
    await Promise.all([engine.run(one.exec("x=1")), engine.run(other.exec("x=2"))])
    assert.strictEqual((await engine.run(one.exec("echo $x"))).stdout, "1\n")
    assert.strictEqual((await engine.run(runtime.activeSessions)).size, 2)
    await engine.run(runtime.terminateAll)
    assert.strictEqual((await engine.run(runtime.activeSessions)).size, 0)
    // Nothing of them runs on.
    const views = await engine.run(History.use((history) => history.list))
    assert.isTrue(views.every(({ name, status }) => !name?.includes("r7-") || status === "exited"))
  })

  it("R8: what is wrong with a call is in its answer", async () => {
    const { call } = await makeTool()
    const errors = await Promise.all(
      [
        { action: "exec" },
        { action: "eval", command: "" },
        { action: "invalid_action" },
        {},
        null,
        { action: "exec", command: "puts 1", language: "ruby" },
        { action: "eval", command: "x", language: "bash" }
      ].map((parameters) => call(parameters))
    )
    assert.isTrue(errors.every(({ success }) => success === false))
    const invalid = (action: string) => `Invalid action: ${action}. Must be one of: exec, eval, state, reset, history`
    assert.deepStrictEqual(
      errors.map(({ error }) => error),
      [
        "command is required for exec action",
        "command is required for eval action",
        invalid("invalid_action"),
        invalid(""),
        invalid(""),
        "Unsupported runtime type: ruby",
        "eval() only supports python and node; got bash"
      ]
    )
  })

  it("R9: eval gives what was printed, and the value", async () => {
    const { call } = await makeTool()
    assert.deepStrictEqual(await call({ action: "eval", command: "x = 10; print(x * 2)" }), {
      success: true,
      stdout: "20\n",
      stderr: ""
    })
    assert.strictEqual((await call({ action: "Eval", command: "x + 1" })).stdout, "11\n")
  })

  it("R10: state shows what commands did", async () => {
    const { call } = await makeTool()
    assert.strictEqual((await call({ action: "state" })).state.working_dir, engine.folder)
    await call(bash("cd /tmp; export A=1; f(){ :; }"))
    const { state } = await call({ action: "state" })
    assert.deepInclude(state, { env_vars: { A: "1" }, functions: ["f"], working_dir: "/tmp" })
    assert.deepStrictEqual(
      state.history.map(({ command }: Runtime.HistoryEntry) => command),
      ["cd /tmp; export A=1; f(){ :; }"]
    )
  })

  it("R11: a command that fails is no success", async () => {
    const { call } = await makeTool()
    const { error, exitCode, stderr, success } = await call(bash("nonexistent_command_xyz"))
    assert.deepStrictEqual([success, exitCode, error], [false, 127, "exit code 127"])
    assert.include(stderr, "nonexistent_command_xyz: command not found")
  })

  it("R12: nothing but the command's own is in its output", async () => {
    const { call } = await makeTool()
    for (const command of ["echo x", "echo x", "PS1='# '; set -o vi; echo x"]) {
      assert.deepStrictEqual(await call(bash(command)), { success: true, stdout: "x\n", stderr: "", exitCode: 0 })
    }
  })

  it("R13: comments and here-documents end where they end; what never ends is an error, and the session goes on", async () => {
    const { call } = await makeTool()
    assert.strictEqual((await call(bash("echo hi # c"))).stdout, "hi\n")
    assert.strictEqual((await call(bash("cat <<E\na\nE\necho b"))).stdout, "a\nb\n")
    const quote = await call(bash("echo 'never closed"))
    assert.deepStrictEqual([quote.success, quote.stdout], [false, ""])
    assert.include(quote.stderr, "unexpected EOF")
    // As in a script: a backslash before the end of the text continues with nothing.
    assert.deepInclude(await call(bash("echo a \\")), { success: true, exitCode: 0 })
    assert.strictEqual((await call(bash("echo on"))).stdout, "on\n")
  })

  it("R14: a command whose time is over is ended, and says nothing into the next one", async () => {
    const { runtime } = await makeTool()
    const session = await engine.run(runtime.getOrCreateSession("r14"))
    // A machine that stalls may take all of a short limit before anything is printed, and be late: then a longer one.
    for (const limit of [300, 3000, 10_000]) {
      const began = performance.now()
      const code = "sh -c 'echo $$; exec sleep 60'; echo late"
      const late = await engine.run(session.exec(code, { timeoutMillis: limit }))
      const millis = performance.now() - began
      assert.deepStrictEqual([late.success, late.error], [false, `Command timeout after ${limit}ms`])
      assert.isAtLeast(millis, limit)
      if ((late.stdout === "" || millis >= limit + 2700) && limit < 10_000) continue
      assert.isBelow(millis, limit + 2700)
      const pid = Number(late.stdout)
      assert.isAbove(pid, 0, late.stdout)
      assert.isFalse(isAlive(pid))
      break
    }
    assert.deepInclude(await engine.run(session.exec("echo next")), { stdout: "next\n", stderr: "", success: true })
  })

  it("R15: calls at once are answered one after the other, each with its own output", async () => {
    const { call } = await makeTool()
    const answers = await Promise.all(
      ["a", "b", "c"].map((name) => call(bash(`echo ${name} begins; echo ${name} ends >&2; echo ${name}`)))
    )
    assert.deepStrictEqual(
      answers.map(({ stderr, stdout }) => [stdout, stderr]),
      ["a", "b", "c"].map((name) => [`${name} begins\n${name}\n`, `${name} ends\n`])
    )
  })

  it("R16: python's text is python's, whatever is in it", async () => {
    const { call } = await makeTool()
    const code = [
      "print('a\\nb')",
      'print("""triple \\"quotes\\" and \'\'\'others\'\'\' """)',
      "print('back\\\\slash', r'\\raw')",
      "import functools",
      "@functools.lru_cache(None)",
      "def double(n):",
      "",
      "    return n * 2",
      "class Shape:",
      '    """A class of several lines."""',
      "",
      "    sides = 4",
      "    def area(self, a):",
      "        return double(a) * self.sides",
      "print(Shape().area(3))"
    ].join("\n")
    assert.deepStrictEqual(await call(python(code)), {
      success: true,
      stdout: "a\nb\ntriple \"quotes\" and '''others''' \nback\\slash \\raw\n24\n",
      stderr: "",
      exitCode: 0
    })
  })

  it("R17: an exception of python is no success", async () => {
    const { call } = await makeTool()
    const { exitCode, stderr, stdout, success } = await call(python("1/0"))
    assert.deepStrictEqual([success, exitCode, stdout], [false, 1, ""])
    assert.match(stderr, /^Traceback[\s\S]*ZeroDivisionError: division by zero\n$/)
  })

  it("R18: node is a language too", async () => {
    const { call } = await makeTool()
    await call(node("const a=1"))
    assert.deepStrictEqual(await call({ action: "eval", command: "a+1", language: "node" }), {
      success: true,
      stdout: "2\n",
      stderr: ""
    })
  })

  it("R19: a workspace ends when it is idle, and never while a command runs", async () => {
    const { call, runtime } = await makeTool({ idleTimeoutMillis: 200 })
    assert.deepInclude(await call(bash("sleep 1; echo done")), { success: true, stdout: "done\n" })
    // A command whose caller has gone runs too.
    const caller = runtime.getOrCreateSession("r19")
    const over = join(engine.folder, "r19-over")
    const long = `sleep 1; until [ -e '${over}' ]; do sleep 0.05; done; echo done`
    const gone = Effect.runFork(Effect.flatMap(caller, (session) => session.exec(long)))
    const find = History.use((history) => history.resolve("runtime bash r19"))
    const id = await engine.run(Effect.retry(find, { schedule: Schedule.spaced("20 millis") }))
    await engine.until(id, (event) => event._tag === "CommandStarted")
    const session = (await engine.run(runtime.getSession("r19")))!
    await Effect.runPromise(Fiber.interrupt(gone))
    writeFileSync(over, "")
    const events: Array<string> = []
    await engine.until(id, (event) => {
      if (event._tag === "CommandFinished") events.push(event.status)
      if (event._tag === "SessionClosed") events.push("closed")
      return event._tag === "SessionClosed"
    })
    assert.deepStrictEqual(events, ["completed", "closed"])
    assert.isFalse(await engine.run(session.isAlive))
    assert.strictEqual((await engine.run(session.exec("true"))).error, "Session has been terminated")
    assert.deepInclude(await call(bash("echo fresh"), "r19"), { success: true, stdout: "fresh\n" })
  })

  it("R24: keys are typed into a program that ends with Enter", async () => {
    const shell = await engine.start()
    const code = 'read -rs -n1 a; read -r b; echo "[$a$b]"'
    await shell.exec(code, { tty: true, execId: "keys", yieldMillis: 0 })
    const wait = (holds: (status: string) => boolean) =>
      engine.exec((exec) =>
        exec.poll(shell.id, "keys", { yieldMillis: 50 }).pipe(Effect.repeat({ until: ({ status }) => holds(status) }))
      )
    assert.strictEqual((await wait((status) => status === "needs_input")).needsInput?.kind, "raw")
    await engine.exec((exec) => exec.send(shell.id, "keys", { keys: ["h", "i", "Enter"] }))
    const ended = await wait((status) => status !== "needs_input" && status !== "running")
    assert.deepStrictEqual([ended.status, ended.exitCode], ["completed", 0])
    assert.include(text(ended.tty), "[hi]")
  })

  it("R28: a command goes on without its caller, and ends with its time limit", async () => {
    const shell = await engine.start()
    const context = engine.context
    const caller = Effect.runFork(
      Effect.provideContext(
        Exec.use((exec) =>
          exec.exec(shell.id, { code: "read x; echo got:$x", execId: "left", stdin: { _tag: "Stream" } })
        ),
        context
      )
    )
    await engine.until(shell.id, (event) => event._tag === "CommandStarted")
    await Effect.runPromise(Fiber.interrupt(caller))
    const left = await engine.exec((exec) => exec.poll(shell.id, "left"))
    assert.include(["running", "needs_input"], left.status)
    await engine.exec((exec) => exec.send(shell.id, "left", { bytes: Buffer.from("on\n") }))
    const ended = await engine.exec((exec) => exec.poll(shell.id, "left", { yieldMillis: 10_000 }))
    assert.strictEqual(text(ended.stdout), "got:on\n")
    // In the background, with a limit of 0.2 s.
    await shell.exec("sleep 60", { execId: "limited", yieldMillis: 0, timeoutMillis: 200 })
    const late = await engine.exec((exec) => exec.poll(shell.id, "limited", { yieldMillis: 10_000 }))
    assert.strictEqual(late.status, "timeout")
  })

  it("R30: a command is reached through its own session only", async () => {
    const [a, b] = await Promise.all([engine.start(), engine.start()])
    await a.exec("read x", { execId: "of-a", stdin: { _tag: "Stream" }, yieldMillis: 0 })
    const failures = await Promise.all([
      tagOf(engine.exec((exec) => exec.poll(b.id, "of-a"))),
      tagOf(engine.exec((exec) => exec.send(b.id, "of-a", { bytes: Buffer.from("x\n") }))),
      tagOf(engine.exec((exec) => exec.kill(b.id, "of-a"))),
      tagOf(engine.exec((exec) => exec.output(b.id, "of-a", { channel: "stdout", from: 0, to: 9 })))
    ])
    assert.deepStrictEqual(failures, ["ExecNotFound", "ExecNotFound", "ExecNotFound", "ExecNotFound"])
    assert.deepStrictEqual(await engine.exec((exec) => exec.history(b.id)), [])
    // The same id is another command there.
    assert.strictEqual(outputOf(await b.exec("echo b", { execId: "of-a" })), "b\n")
    await engine.exec((exec) => exec.send(a.id, "of-a", { eof: true }))
  })
})

describe("rows of the runtime tool, with an engine that is killed", () => {
  effect.live("R20: a workspace has its history, directory, environment and imports after it", () =>
    Effect.gen(function* () {
      const engine = yield* engineProcess
      const call = (parameters: unknown) =>
        Effect.map(
          Runtime.Runtime.use((runtime) => runtime.tool("r20", parameters)),
          ({ content }) => JSON.parse(content)
        )
      // Not closed before the end: a program that dies with the engine ends nothing in an orderly way.
      const client = yield* Layer.build(engine.client())
      const tool = yield* Effect.provideContext(Layer.build(Runtime.layer({ cwd: "/" })), client)
      const before = yield* Effect.gen(function* () {
        yield* call(bash("cd /usr; export KEPT='a b'; f() { echo F$1; }"))
        yield* call(python("import math as m\nfrom pathlib import Path\nx = 1"))
        return yield* call({ action: "state" })
      }).pipe(Effect.provideContext(tool))
      const sessions = yield* History.use((history) => history.list).pipe(Effect.provideContext(client))
      yield* engine.kill("engine and keepers")
      yield* engine.start
      yield* Effect.gen(function* () {
        for (const { id } of sessions) {
          assert.strictEqual((yield* History.use((history) => history.get(id))).status, "lost")
        }
        // Before anything is run: from the journal.
        assert.deepStrictEqual(yield* call({ action: "state" }), before)
        assert.deepInclude(yield* call(bash('echo "$KEPT" $PWD; f 1')), { success: true, stdout: "a b /usr\nF1\n" })
        assert.deepInclude(yield* call(python("print(m.floor(2.5), Path('/a').name)")), { stdout: "2 a\n" })
        // What cannot be brought back is not made up.
        assert.include((yield* call(python("x"))).stderr, "NameError")
        const { history } = yield* call({ action: "history" })
        assert.strictEqual(history.length, 5)
        assert.deepStrictEqual(history.slice(0, 2), before.state.history)
        // The same sessions, with another shell.
        const after = yield* History.use((history) => history.list)
        assert.deepStrictEqual(
          after.map(({ id, status }) => [id, status]),
          sessions.map(({ id }) => [id, "running"])
        )
      }).pipe(Effect.provide(Layer.provideMerge(Runtime.layer({ cwd: "/" }), engine.client())))
    })
  )
})
