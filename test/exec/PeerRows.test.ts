/**
 * What TPipe's sessions promise and do not keep (rows T16 to T24 of the comparison with our peers), and what agents do to
 * a shell that is in no acceptance case yet, through a real engine. A test for each row, with its id in its name.
 *
 * Not ours:
 *
 * - T21 (allowed folders): which folders a program may see is the operating system's to say (a user, a container); a path
 *   in a command's text says nothing about what the command opens.
 * - T25 (another user's session): a store is one user's, its folder is 0700, and no other user can connect.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { Exec } from "../../src/exec/Exec.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { outputOf, rowsEngine, tagOf, text } from "./shells.ts"

const engine = rowsEngine()

describe("rows of TPipe's sessions, through the engine", { concurrent: true }, () => {
  it("T16: a command that prints a mebibyte at once is complete", async () => {
    const shell = await engine.start()
    const result = await shell.exec("head -c 1048576 /dev/zero | tr '\\0' x")
    assert.deepStrictEqual([result.status, result.exitCode, result.truncated.stdout], ["completed", 0, null])
    assert.isTrue(text(result.stdout) === "x".repeat(1_048_576))
  })

  it("T17: so is one that prints 200 KiB of errors and nothing else", async () => {
    const shell = await engine.start()
    const result = await shell.exec("head -c 204800 /dev/zero | tr '\\0' e >&2")
    assert.deepStrictEqual([result.stdout.byteLength, result.stderr.byteLength], [0, 204_800])
    const [record] = await engine.exec((exec) => exec.history(shell.id))
    assert.deepInclude(record, { stdoutBytes: 0, stderrBytes: 204_800 })
  })

  it("T18: a session has the environment that it was given", async () => {
    const shell = await engine.start("bash", { env: { PATH: process.env.PATH!, A: "1 '2'" } })
    assert.strictEqual(outputOf(await shell.exec('echo "$A"; sh -c \'echo "$A"\'')), "1 '2'\n1 '2'\n")
  })

  it("T19: whoever comes back to a session by its id has the same shell", async () => {
    const shell = await engine.start()
    await shell.exec("kept=here; mkdir sub; cd sub")
    const again = await engine.exec((exec) => exec.start({ id: shell.id, language: "bash", cwd: "/" }))
    assert.deepStrictEqual([again.id, again.pid], [shell.id, shell.pid])
    assert.strictEqual(outputOf(await shell.exec("echo $kept $$; pwd")), `here ${shell.pid}\n${shell.cwd}/sub\n`)
  })

  it("T20: a time limit is the command's, and keeps what it printed", async () => {
    const shell = await engine.start()
    // A machine that stalls may take all of a short limit before anything is printed, and be late: then a longer one.
    for (const limit of [300, 3000, 10_000]) {
      const result = await shell.exec("echo begun; sleep 60; echo late", { timeoutMillis: limit })
      assert.strictEqual(result.status, "timeout")
      assert.isAtLeast(result.durationMillis, limit)
      const isLate = text(result.stdout) === "" || result.durationMillis >= limit + 2200
      if (isLate && limit < 10_000) continue
      assert.strictEqual(text(result.stdout), "begun\n")
      assert.isBelow(result.durationMillis, limit + 2200)
      break
    }
  })

  it("T22: what a session did is read after it was ended", async () => {
    const shell = await engine.start()
    await shell.exec("echo out; echo err >&2; cd /tmp", { execId: "kept" })
    await engine.exec((exec) => exec.end(shell.id))
    const kept = await engine.exec((exec) => exec.poll(shell.id, "kept"))
    assert.deepStrictEqual([text(kept.stdout), text(kept.stderr), kept.exitCode], ["out\n", "err\n", 0])
    const range = { channel: "stderr", from: 0, to: 100 } as const
    assert.strictEqual(text(await engine.exec((exec) => exec.output(shell.id, "kept", range))), "err\n")
    assert.strictEqual((await engine.exec((exec) => exec.history(shell.id))).length, 1)
    assert.strictEqual((await engine.exec((exec) => exec.state(shell.id))).workingDirectory, "/tmp")
    assert.strictEqual(await tagOf(shell.exec("true")), "SessionEnded")
  })

  it("T23: a program that ends by itself is known to have ended, with its exit code, and counts no more", async () => {
    const live = () => engine.run(Sessions.use(({ status }) => status))
    const { id } = await engine.run(
      Sessions.use((sessions) => sessions.create({ argv: ["sh", "-c", "read x; exit 7"] }))
    )
    const holds = async () => (await live()).keepers.some(({ sessions }) => sessions.includes(id))
    assert.isTrue(await holds())
    await engine.run(Sessions.use((sessions) => sessions.write(id, Buffer.from("\n"))))
    await engine.until(id, (event) => event._tag === "SessionClosed")
    assert.deepInclude(await engine.run(History.use((history) => history.get(id))), { status: "exited", exitCode: 7 })
    // The event is there before its keeper was told.
    while (await holds()) await sleep(5)
    // A shell is brought back, and its death is in the history.
    const shell = await engine.start()
    await shell.exec("kill -KILL $$")
    const [record] = await engine.exec((exec) => exec.history(shell.id))
    assert.deepInclude(record, { status: "died", exitCode: null, signal: "SIGKILL" })
  })

  it("T24: 5,000 characters arrive, or it is said that they do not", async () => {
    const shell = await engine.start()
    const line = "x".repeat(5000)
    await shell.exec('read -r x; printf %s "$x" | wc -c', {
      execId: "stream",
      stdin: { _tag: "Stream" },
      yieldMillis: 0
    })
    await engine.exec((exec) => exec.send(shell.id, "stream", { bytes: Buffer.from(`${line}\n`) }))
    const ended = await engine.exec((exec) => exec.poll(shell.id, "stream", { yieldMillis: 10_000 }))
    assert.strictEqual(text(ended.stdout), "5000\n")
    // A program that reads keys and not lines gets them all through the terminal.
    const keys = "import sys, tty; tty.setraw(0); print('ready'); n = len(sys.stdin.buffer.read(5000)); print(n)"
    await engine.run(
      Exec.use((exec) =>
        exec.exec(shell.id, { code: `python3 -c "${keys}"; stty sane`, tty: true, execId: "keys", yieldMillis: 0 })
      )
    )
    await engine.until(shell.id, (event) => event._tag === "OutputReceived" && text(event.data).includes("ready"))
    await engine.exec((exec) => exec.send(shell.id, "keys", { text: line }))
    const raw = await engine.exec((exec) => exec.poll(shell.id, "keys", { yieldMillis: 10_000 }))
    assert.match(text(raw.tty), /5000\s*$/)
    // The kernel keeps 4095 bytes of a line: that is an error, not a shorter line.
    await shell.exec("read -r x; echo end", { tty: true, execId: "line", yieldMillis: 0 })
    await engine.until(shell.id, (event) => event._tag === "CommandStarted" && event.execId === "line")
    const waits = () => engine.exec((exec) => exec.poll(shell.id, "line", { yieldMillis: 20 }))
    while ((await waits()).status === "running") {}
    assert.strictEqual(
      await tagOf(engine.exec((exec) => exec.send(shell.id, "line", { text: line }))),
      "InvalidRequest"
    )
    await engine.exec((exec) => exec.send(shell.id, "line", { keys: ["Enter"] }))
    assert.strictEqual((await engine.exec((exec) => exec.poll(shell.id, "line", { yieldMillis: 10_000 }))).exitCode, 0)
  })
})

describe("what is done to a shell", { concurrent: true }, () => {
  it("a background child that holds the pipes holds up nothing, and its late output is its command's", async () => {
    const shell = await engine.start()
    const left = await shell.exec("mkfifo gate; (read x <gate; echo late; echo late error >&2) & echo now", {
      execId: "left"
    })
    assert.strictEqual(text(left.stdout), "now\n")
    assert.strictEqual(outputOf(await shell.exec("echo > gate; echo next")), "next\n")
    let late = ""
    await engine.until(shell.id, (event) => {
      if (event._tag === "OutputReceived" && event.exec === 1) late += text(event.data)
      return late.includes("late\n") && late.includes("late error\n")
    })
    const again = await engine.exec((exec) => exec.poll(shell.id, "left"))
    assert.deepStrictEqual([text(again.stdout), text(again.stderr)], ["now\nlate\n", "late error\n"])
  })

  it("prompts, hooks and traps of the user say nothing into a command's output", async () => {
    const shell = await engine.start()
    const changes = [
      "PS0='ps0'; PS1='ps1 '; PS4='ps4 '; PROMPT_COMMAND='echo hook'; PROMPT_COMMAND[1]='echo hook2'",
      "trap 'echo usr' USR1; trap 'echo never' RETURN; trap 'true' DEBUG",
      "stty -echo </dev/tty; set -o vi; exec 9>/dev/null; IFS=x; set -f"
    ]
    for (const code of changes) {
      assert.strictEqual(outputOf(await shell.exec(code)).replace("never\n", ""), "", code)
      assert.strictEqual(outputOf(await shell.exec("echo one")), "one\n", code)
    }
    // The user's own trap is the user's, and its output the command's in which it ran.
    assert.strictEqual(outputOf(await shell.exec("kill -USR1 $$; :; echo two")), "usr\ntwo\n")
  })

  it("a command of 100,000 bytes, in one line and in many", async () => {
    const shell = await engine.start()
    const long = "x".repeat(100_000)
    assert.strictEqual(outputOf(await shell.exec(`v=${long}; echo $v`)), `${long}\n`)
    const lines = Array.from({ length: 10_000 }, (_, i) => `n=${i}\n`).join("")
    assert.strictEqual(outputOf(await shell.exec(`${lines}echo $n`)), "9999\n")
    const python = await engine.start("python")
    assert.strictEqual(outputOf(await python.exec(`print(len("${long}"))`)), "100000\n")
    const [record] = await engine.exec((exec) => exec.history(python.id))
    assert.isTrue(record!.code.startsWith('print(len("xxx'))
  })

  it("NUL and bytes that are no text, in standard input, output and error", async () => {
    const shell = await engine.start()
    const all = Uint8Array.from({ length: 256 }, (_, index) => index)
    const result = await shell.exec("tee /dev/stderr", { stdin: { _tag: "Bytes", data: all } })
    assert.deepStrictEqual([[...result.stdout], [...result.stderr]], [[...all], [...all]])
    // In a command's text a NUL cannot be: it is refused or dropped as by every shell, and the session goes on.
    await shell.exec("echo a\0b").catch(() => undefined)
    assert.strictEqual(outputOf(await shell.exec("echo on")), "on\n")
  })
})
