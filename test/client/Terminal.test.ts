/**
 * The set of tests that a terminal SDK of this shape is known by (G23), against a real engine: start, type, read, resize,
 * end.
 */
import { mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { afterAll, beforeAll } from "vitest"
import type { Client, TerminalOptions } from "../../src/client/index.ts"
import { isAlive } from "../fixtures/processes.ts"
import { numbered, readAll, readUntil, refusal, StoreUnderTest } from "./clientUnderTest.ts"

const under = new StoreUnderTest()
let client: Client
beforeAll(async () => {
  client = await under.connect()
})
afterAll(() => under.dispose())

const shell = (script: string, options: TerminalOptions = {}) =>
  client.terminal({ command: ["/bin/sh", "-c", script], ...options })

describe("G23 starting", () => {
  it("G23 the default command is /bin/sh", async () => {
    await using terminal = await client.terminal()
    await terminal.writeStdin("echo shell is $0; exit\n")
    assert.include((await readAll(terminal)).text, "shell is /bin/sh")
  })

  it("G23 custom command: echo custom; exit 0", async () => {
    await using terminal = await shell("echo custom; exit 0")
    const { last, text } = await readAll(terminal)
    assert.strictEqual(text, "custom\n")
    assert.strictEqual(last?.exitCode, 0)
  })

  it("G23 ready resolves, and the id is there", async () => {
    await using terminal = await shell("true")
    await terminal.ready
    assert.match(terminal.sessionId, /^[0-9A-HJKMNP-TV-Z]{26}$/)
  })

  it("G23 two terminals have different ids", async () => {
    await using first = await shell("true")
    await using second = await shell("true")
    assert.notStrictEqual(first.sessionId, second.sessionId)
    assert.notStrictEqual(first.clientId, second.clientId)
  })

  it("G23 workingDir, and cwd as another name of it", async () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "reprise-cwd-")))
    try {
      await using first = await shell("pwd", { workingDir: folder })
      assert.strictEqual((await readAll(first)).text, `${folder}\n`)
      await using second = await shell("pwd", { cwd: folder })
      assert.strictEqual((await readAll(second)).text, `${folder}\n`)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it("G23 without workingDir a program starts where this process is", async () => {
    await using terminal = await shell("pwd")
    assert.strictEqual((await readAll(terminal)).text, `${process.cwd()}\n`)
  })

  it("G23 env comes on top of the usual variables", async () => {
    await using terminal = await shell('echo "$GREETING $EMPTY. $([ "$PATH" ] && echo path) $TERM"', {
      env: { GREETING: "hello world", EMPTY: "" }
    })
    assert.strictEqual((await readAll(terminal)).text, "hello world . path xterm-256color\n")
  })

  it("G23 two sessions with different env", async () => {
    const script = "echo name=$NAME"
    await using first = await shell(script, { env: { NAME: "first" } })
    await using second = await shell(script, { env: { NAME: "second" } })
    const [one, two] = await Promise.all([readAll(first), readAll(second)])
    assert.strictEqual(one.text, "name=first\n")
    assert.strictEqual(two.text, "name=second\n")
  })

  it("G23 size of the start", async () => {
    await using terminal = await shell("stty size", { size: { cols: 132, rows: 43 } })
    assert.strictEqual((await readAll(terminal)).text, "43 132\n")
  })

  it("G23 a program, a folder or an option that is wrong is refused before anything starts", async () => {
    const before = (await client.list()).length
    assert.strictEqual((await refusal(client.terminal({ command: ["no-such-program"] }))).name, "SpawnFailed")
    const wrong: ReadonlyArray<TerminalOptions> = [
      { command: [] },
      { command: "ls" as never },
      { command: [7] as never },
      { env: { A: 1 } as never },
      { cwd: "/no/such/folder" },
      { cwd: "relative" },
      { size: { cols: 0, rows: 24 } },
      { size: { cols: 80, rows: 1.5 } },
      { name: "last" },
      { orphans: "maybe" as never }
    ]
    for (const options of wrong) {
      assert.strictEqual((await refusal(client.terminal(options))).code, "InvalidArgument", JSON.stringify(options))
    }
    assert.strictEqual((await client.list()).length, before)
  })
})

describe("G23 typing", () => {
  it("G23 multi-line heredoc", async () => {
    await using terminal = await client.terminal({ env: { PS1: "", PS2: "" } })
    await terminal.writeStdin("stty -echo; cat <<END\n")
    await terminal.writeStdin("line one\nline two\n  three\nEND\nexit 4\n")
    const { last, text } = await readAll(terminal)
    assert.match(text, /line one\nline two\n {2}three\n$/)
    assert.strictEqual(last?.exitCode, 4)
  })

  it("G23 Buffer and Uint8Array input", async () => {
    await using terminal = await shell("stty -echo; echo go; read a; read b; echo $a-$b")
    await readUntil(terminal, "go\n")
    await terminal.writeStdin(Buffer.from("from a buffer\n"))
    await terminal.writeStdin(new TextEncoder().encode("from bytes\n"))
    assert.strictEqual((await readAll(terminal)).text, "from a buffer-from bytes\n")
  })

  it("G23 10 rapid writes arrive in order", async () => {
    await using terminal = await shell("stty -echo; echo go; head -n 10")
    await readUntil(terminal, "go\n")
    const receipts = await Promise.all(
      Array.from({ length: 10 }, (_, index) => terminal.writeStdin(`rapid ${index}\n`))
    )
    const sequences = receipts.map(({ sequence }) => sequence)
    assert.deepStrictEqual(
      sequences,
      sequences.toSorted((a, b) => a - b)
    )
    const lines = Array.from({ length: 10 }, (_, index) => `rapid ${index}\n`).join("")
    assert.strictEqual((await readAll(terminal)).text, lines)
  })

  it("G23 special characters come through a shell and back", async () => {
    const text = `$HOME "double" 'single' \\back\\ \`tick\` *?[] {a,b} ~ # ! & | ; < > % ^ é ü 漢字 🚀 \u00a0end`
    await using terminal = await shell('stty -echo; echo go; IFS= read -r line; printf "%s\\n" "$line"')
    await readUntil(terminal, "go\n")
    await terminal.writeStdin(`${text}\n`)
    assert.strictEqual((await readAll(terminal)).text, `${text}\n`)
  })

  it("G23 bytes that are no text come through unchanged", async () => {
    await using terminal = await shell("stty raw -echo; echo go; head -c 256")
    await readUntil(terminal, "go")
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
    await terminal.writeStdin(bytes)
    const { chunks } = await readAll(terminal)
    const back = Buffer.concat(chunks.flatMap(({ stdout }) => (stdout === undefined ? [] : [stdout])))
    assert.deepStrictEqual(back.subarray(-256), Buffer.from(bytes))
  })

  it("G23 read -p", async () => {
    await using terminal = await client.terminal({ command: ["bash", "-c", 'read -p "Name: " name; echo "Hi, $name"'] })
    await readUntil(terminal, "Name: ")
    await terminal.writeStdin("Ada\n")
    assert.match((await readAll(terminal)).text, /Hi, Ada\n$/)
  })

  it("G23 an empty write is a no-op, as text and as bytes", async () => {
    await using terminal = await shell("stty -echo; echo go; read line; echo got $line")
    await readUntil(terminal, "go\n")
    const nothing = { sequence: 0, hidden: false, truncatedTo: null }
    assert.deepStrictEqual(await terminal.writeStdin(""), nothing)
    assert.deepStrictEqual(await terminal.writeStdin(new Uint8Array(0)), nothing)
    await terminal.writeStdin("it\n")
    assert.strictEqual((await readAll(terminal)).text, "got it\n")
  })

  it("G23 end-of-file ends cat", async () => {
    await using terminal = await shell("stty -echo; echo go; cat; echo end")
    await readUntil(terminal, "go\n")
    await terminal.writeStdin("data\n")
    await terminal.writeStdinEOF()
    const { last, text } = await readAll(terminal)
    assert.strictEqual(text, "data\nend\n")
    assert.strictEqual(last?.exitCode, 0)
  })

  it("G23 a shell keeps its state from one write to the next", async () => {
    await using terminal = await client.terminal({ env: { PS1: "$ " } })
    await terminal.writeStdin("cd /usr; X=41\n")
    await terminal.writeStdin("echo $((X + 1)) in $(pwd)\n")
    await readUntil(terminal, "42 in /usr\n")
    await terminal.writeStdin("exit 3\n")
    assert.strictEqual((await readAll(terminal)).last?.exitCode, 3)
  })

  it("G23 Ctrl-C as a key interrupts what runs", async () => {
    await using terminal = await shell("trap 'echo interrupted; exit 9' INT; echo go; while :; do sleep 0.05; done")
    await readUntil(terminal, "go\n")
    await terminal.writeStdin("\x03")
    const { last, text } = await readAll(terminal)
    assert.include(text, "interrupted\n")
    assert.strictEqual(last?.exitCode, 9)
  })

  it("G23 what was typed after the end is refused", async () => {
    await using terminal = await shell("true")
    await terminal.exited
    for (const act of [() => terminal.writeStdin("x"), () => terminal.writeStdinEOF(), () => terminal.resize(80, 24)]) {
      assert.strictEqual((await refusal(act())).code, "FailedPrecondition")
    }
  })

  it("G23 what is neither text nor bytes is refused", async () => {
    await using terminal = await shell("cat")
    assert.strictEqual((await refusal(terminal.writeStdin(5 as never))).code, "InvalidArgument")
  })
})

describe("G23 output", () => {
  it("G23 1,000 lines", async () => {
    await using terminal = await shell("seq 1000")
    assert.strictEqual((await readAll(terminal)).text, numbered(1000))
  })

  it("G23 printf without newline", async () => {
    await using terminal = await shell("printf 'no newline'")
    assert.strictEqual((await readAll(terminal)).text, "no newline")
  })

  it("G23 errors come in the terminal's one stream", async () => {
    await using terminal = await shell("echo out; echo err >&2")
    const { chunks, text } = await readAll(terminal)
    assert.strictEqual(text, "out\nerr\n")
    assert.isTrue(chunks.every(({ stderr }) => stderr === undefined))
  })

  it("G23 chunks are bytes in the order of their sequence, and lastSequence is the last one's", async () => {
    await using terminal = await shell("for i in 1 2 3 4 5; do echo $i; sleep 0.02; done")
    let before = terminal.lastSequence
    assert.strictEqual(before, 0)
    for await (const { sequence, stdout } of terminal) {
      assert.isAbove(sequence, before)
      assert.strictEqual(terminal.lastSequence, sequence)
      if (stdout !== undefined) assert.strictEqual(Object.getPrototypeOf(stdout), Uint8Array.prototype)
      before = sequence
    }
    assert.isAbove(before, 0)
  })

  it("G23 leaving a loop loses nothing: the next one goes on behind the last chunk", async () => {
    await using terminal = await shell("for i in $(seq 200); do echo $i; sleep 0.001; done")
    let text = ""
    let loops = 0
    while (terminal.exitCode === undefined || !text.endsWith("200\n")) {
      loops += 1
      for await (const chunk of terminal) {
        text += Buffer.from(chunk.stdout ?? []).toString()
        break
      }
      text = text.replaceAll("\r\n", "\n")
      assert.isBelow(loops, 1000)
    }
    assert.strictEqual(text, numbered(200))
  })

  it("G23 after the end a loop has nothing more", async () => {
    await using terminal = await shell("echo once")
    assert.strictEqual((await readAll(terminal)).text, "once\n")
    assert.deepStrictEqual((await readAll(terminal)).chunks, [])
  })

  it("G23 two loops at once share the chunks, and both end", async () => {
    await using terminal = await shell("for i in $(seq 50); do echo $i; sleep 0.002; done; exit 5")
    const reads = await Promise.all([readAll(terminal), readAll(terminal)])
    const chunks = reads.flatMap((read) => read.chunks).sort((a, b) => a.sequence - b.sequence)
    assert.strictEqual(
      chunks
        .map(({ stdout }) => Buffer.from(stdout ?? []).toString())
        .join("")
        .replaceAll("\r", ""),
      numbered(50)
    )
    assert.strictEqual(chunks.at(-1)?.exitCode, 5)
  })
})

describe("G23 size", () => {
  it.for([
    [40, 20],
    [80, 24],
    [100, 30],
    [120, 40],
    [200, 60],
    [500, 200]
  ] as const)("G23 resize to %ix%i", async ([cols, rows]) => {
    await using terminal = await shell("echo go; read line; stty size")
    await readUntil(terminal, "go\n")
    assert.deepStrictEqual(await terminal.resize(cols, rows), { cols, rows })
    await terminal.writeStdin("\n")
    assert.include((await readAll(terminal)).text, `${rows} ${cols}\n`)
  })

  it("G23 G13 a size that is none is refused", async () => {
    await using terminal = await shell("cat")
    for (const [cols, rows] of [
      [0, 24],
      [80, 0],
      [-1, 5],
      [1.5, 5],
      [Number.NaN, 5]
    ] as const) {
      assert.strictEqual((await refusal(terminal.resize(cols, rows))).code, "InvalidArgument", `${cols}x${rows}`)
    }
    assert.deepStrictEqual(await terminal.resize(5000, 24), { cols: 1000, rows: 24 })
  })
})

describe("G23 the end", () => {
  it.for([0, 1, 42, 127, 255])("G23 exit %i", async (code) => {
    await using terminal = await shell(`exit ${code}`)
    assert.isTrue(terminal.exitCode === undefined || terminal.exitCode === code)
    const { last } = await readAll(terminal)
    assert.deepInclude(last, { exitCode: code, signal: null, reason: "exited" })
    assert.strictEqual(terminal.exitCode, code)
    assert.isNull(terminal.exitSignal)
    assert.deepStrictEqual(await terminal.exited, { exitCode: code, signal: null, reason: "exited" })
  })

  it("G23 a signal that ends the program is told, and no exit code invented", async () => {
    await using terminal = await shell("kill -KILL $$")
    const { last } = await readAll(terminal)
    assert.deepInclude(last, { exitCode: null, signal: "SIGKILL" })
    assert.isNull(terminal.exitCode)
    assert.strictEqual(terminal.exitSignal, "SIGKILL")
  })

  it("G23 exited works without reading the output, and the output can be read afterwards", async () => {
    await using terminal = await shell("seq 20000; exit 6")
    assert.deepStrictEqual(await terminal.exited, { exitCode: 6, signal: null, reason: "exited" })
    assert.strictEqual(terminal.lastSequence, 0)
    assert.strictEqual((await readAll(terminal)).text, numbered(20_000))
  })

  it("G23 exited may be awaited in the middle of a loop", async () => {
    await using terminal = await shell("echo first; echo go; exit 7")
    let text = ""
    for await (const chunk of terminal) {
      assert.strictEqual((await terminal.exited).exitCode, 7)
      text += Buffer.from(chunk.stdout ?? []).toString()
    }
    assert.strictEqual(text, "first\r\ngo\r\n")
  })

  it("G23 close ends the session and all its processes, and twice is fine", async () => {
    await using terminal = await shell("sleep 1000 & echo $!; wait")
    const { text } = await readUntil(terminal, "\n")
    assert.isTrue(isAlive(Number(text)))
    assert.deepStrictEqual(await terminal.close(), { survivors: [] })
    assert.isFalse(isAlive(Number(text)))
    assert.strictEqual((await terminal.exited).reason, "ended")
    assert.deepStrictEqual(await terminal.close(), { survivors: [] })
    assert.strictEqual((await readAll(terminal)).last?.reason, "ended")
  })
})
