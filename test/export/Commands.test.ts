/** Commands as JSON Lines, as a table and as text: of shells of both kinds, of programs, and of sessions of which a part is missing. */
import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import type { ExportSource } from "../../src/export/ExportFormat.ts"
import { EXCERPT_BYTES_MAX } from "../../src/export/PlainExcerpt.ts"
import { readCsv, UNCLEAN } from "../hostile/exports.ts"
import { commandFinished, commandStarted, created, output } from "../projections/events.ts"
import { bytesOf, removed, sourceOf, stdout } from "./sources.ts"

type Line = Readonly<Record<string, unknown>>

const linesOf = async (source: ExportSource): Promise<ReadonlyArray<Line>> =>
  (await bytesOf("commands", source))
    .toString()
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line))
const rowsOf = async (source: ExportSource) => readCsv((await bytesOf("csv", source)).toString()).slice(1)
const textOf = async (source: ExportSource) => (await bytesOf("text", source)).toString()

const mark = (what: string) => `\x1b]133;${what}\x07`
const prompt = `${mark("A")}$ ${mark("B")}`
const exec = created({ kind: "exec", argv: ["bash", "/driver"] })
const closed = (exitCode: number): SessionEvent => ({
  _tag: "SessionClosed",
  exitCode,
  signal: null,
  reason: "exited",
  survivors: []
})
const gap: SessionEvent = { _tag: "GapDetected", what: "output", from: 3, to: 9, why: "the keeper dropped it" }
const lost: SessionEvent = { _tag: "SessionLost", reason: "its keeper is gone" }
const REMOVED = "events 1 to 7 were removed: older than 30 days"

const SHELL = [
  [exec, 0],
  [commandStarted(1, "ls; false", { cwd: "/tmp" }), 1000],
  [stdout(1, "one\r\n\x1b[31mtwo\x1b[m\n"), 1],
  [stdout(1, "three", "stderr"), 1],
  [commandFinished(1, { exitCode: 1, status: "completed", durationMicros: 2500, cwd: "/home/me" }), 1],
  [stdout(1, "late\n"), 1],
  [commandStarted(2, "sleep 9"), 10]
] as const
const MARKED = [
  [created(), 0],
  [output(`\x1b]7;file:///srv\x07${prompt}make\r\n${mark("C")}`), 100],
  [output("ok\r\n\x1b]52;c;eA==\x07"), 200],
  [output(`${mark("D;2")}${prompt}ll\r\n\x1b]633;E;ls\\x20-l;\x07${mark("C")}x`), 300]
] as const

describe("--format commands", () => {
  it("of a shell for commands: a line for each, with its output, late output too", async () => {
    const [first, second, none] = await linesOf(sourceOf(SHELL))
    assert.deepStrictEqual(first, {
      type: "command",
      number: 1,
      startedAt: "2020-09-21T19:54:21.667000Z",
      command: "ls; false",
      commandFrom: "given",
      cwd: "/tmp",
      output: "one\ntwo\nthreelate",
      outputBytes: 27,
      status: "completed",
      exitCode: 1,
      signal: null,
      durationMillis: 3
    })
    assert.deepInclude(second!, { number: 2, cwd: "/home/me", status: "running", exitCode: null, durationMillis: null })
    assert.isUndefined(none)
    const [whole] = await linesOf(sourceOf(SHELL, { whole: true }))
    assert.strictEqual(whole!.output, "one\ntwo\nlate\nthree")
  })

  it("of a shell with prompt marks: what was typed or told, folder, exit code, time, the clipboard", async () => {
    const [first, second, none] = await linesOf(sourceOf(MARKED))
    assert.deepStrictEqual(first, {
      type: "command",
      number: 1,
      startedAt: "2020-09-21T19:54:20.767000Z",
      command: "make",
      commandFrom: "echo",
      cwd: "/srv",
      output: "ok",
      outputBytes: 16,
      clipboard: true,
      status: "completed",
      exitCode: 2,
      signal: null,
      durationMillis: 500
    })
    assert.deepInclude(second!, { command: "ls -l", commandFrom: "reported", output: "x", status: "running" })
    assert.isUndefined(none)
    const [, ended] = await linesOf(sourceOf([...MARKED, [closed(0), 5]], { whole: true }))
    assert.deepInclude(ended!, { output: "x", status: "exited", exitCode: 0, durationMillis: 5 })
    const ghostty = [created({ term: "xterm-ghostty" }), output(`${prompt}a\r\n${mark("C")}${mark("D;0")}`)]
    assert.deepInclude((await linesOf(sourceOf(ghostty)))[0]!, { exitCode: 0, exitCodeDoubtful: true })
  })

  it("of another program: the program", async () => {
    const lines = await linesOf(sourceOf([created({ argv: ["make", "a b"] }), output("out\r\n"), closed(3)]))
    assert.lengthOf(lines, 1)
    assert.deepInclude(lines[0]!, {
      command: "make 'a b'",
      commandFrom: "session",
      output: "out",
      status: "exited",
      exitCode: 3
    })
  })

  it("an output longer than an excerpt: cut with a mark, or whole on request, and nothing in it that a terminal acts on", async () => {
    const long = `${"x\x1b[5m\u202e\u009b".repeat(10)}\r\n`.repeat(500)
    const events = [
      exec,
      commandStarted(1, "\x1b]0;t\x07"),
      stdout(1, long),
      stdout(1, Uint8Array.of(0xff, 0x0a)),
      commandFinished(1)
    ]
    const [cut] = await linesOf(sourceOf(events))
    assert.strictEqual(cut!.outputCut, true)
    assert.isBelow((cut!.output as string).length, EXCERPT_BYTES_MAX * 2)
    const bytes = await bytesOf("commands", sourceOf(events, { whole: true }))
    assert.notMatch(bytes.toString(), UNCLEAN)
    const whole = JSON.parse(bytes.toString())
    assert.notProperty(whole, "outputCut")
    assert.strictEqual((whole.output as string).split("\n").length, 501)
    assert.strictEqual((whole.output as string).split("\n").at(-1), "\ufffd")
    assert.strictEqual(whole.command, "\x1b]0;t\x07")
  })

  it("what is missing is a line where it is missing: a removed beginning is the first", async () => {
    const after = [
      removed(7),
      commandFinished(4, { exitCode: 0 }),
      gap,
      commandStarted(5, "x"),
      gap,
      commandFinished(5)
    ]
    for (const whole of [false, true]) {
      const lines = await linesOf(sourceOf(after, { kind: "exec", whole }))
      assert.deepStrictEqual(
        lines.map(({ number, startedAt, text, type }) => (type === "missing" ? text : [number, startedAt === null])),
        [
          REMOVED,
          [4, true],
          "output 3 to 9 is missing: the keeper dropped it",
          [5, false],
          "output 3 to 9 is missing: the keeper dropped it"
        ]
      )
      assert.strictEqual(lines[0]!.at, "2020-09-21T19:54:19.667000Z")
    }
    assert.deepStrictEqual(
      (await linesOf(sourceOf([removed(7), output(`end${mark("D;0")}${prompt}a\r\n${mark("C")}`)]))).map(
        ({ command, text }) => text ?? command
      ),
      [REMOVED, "a"]
    )
    const [first, second] = await linesOf(sourceOf([removed(7), output("rest")], { argv: ["top"] }))
    assert.deepStrictEqual([first!.text, second!.command, second!.output], [REMOVED, "top", "rest"])
  })
})

describe("--format csv", () => {
  it("shares what the lines know: a shell with prompt marks has a row for each command", async () => {
    assert.deepStrictEqual(
      (await rowsOf(sourceOf(MARKED))).map((row) => [row[0], ...row.slice(2)]),
      [
        ["1", "make", "completed", "2", "", "500", "/srv", "16", "ok"],
        ["2", "ls -l", "running", "", "", "", "/srv", "1", "x"]
      ]
    )
    assert.strictEqual((await rowsOf(sourceOf(SHELL)))[0]![9], "one\ntwo\nthreelate")
  })

  it("a removed beginning and a gap are rows", async () => {
    const rows = await rowsOf(sourceOf([removed(7), gap, commandStarted(5, "x"), commandFinished(5)], { kind: "exec" }))
    assert.deepStrictEqual(
      rows.map((row) => [row[0], row[3], row[9]]),
      [
        ["", "missing", REMOVED],
        ["", "missing", "output 3 to 9 is missing: the keeper dropped it"],
        ["5", "completed", ""]
      ]
    )
    assert.isTrue(rows.every((row) => row.length === 10))
    assert.deepStrictEqual(
      (await rowsOf(sourceOf([removed(7), output("rest")]))).map((row) => row[9]),
      [REMOVED, "rest"]
    )
  })

  it("that a session was lost is a row and a line, whatever kind it is", async () => {
    const LOST = "the session was lost: its keeper is gone"
    for (const events of [
      [exec, commandStarted(1, "x"), lost],
      [output(`${prompt}x\r\n${mark("C")}y`), lost],
      [output("y"), lost]
    ]) {
      const source = () => sourceOf(events, { status: "lost", ...(events[0] === exec && { kind: "exec" }) })
      const rows = await rowsOf(source())
      assert.deepStrictEqual(
        rows.filter((row) => row[3] === "missing").map((row) => row[9]),
        [LOST]
      )
      const lines = await linesOf(source())
      assert.deepStrictEqual(
        lines.filter(({ type }) => type === "missing").map(({ text }) => text),
        [LOST]
      )
      assert.deepStrictEqual(
        lines.filter(({ type }) => type === "command").map(({ status }) => status),
        ["lost"]
      )
    }
  })
})

describe("--format text", () => {
  it("lines as the terminal showed them", async () => {
    const shown = "10%\r20%\r100%\r\n\x1b[31mred\x1b[m\tx\r\nab\b\bAB\r\n\x1b[?1049hvim\x1b[?1049lback\r\nno end"
    assert.strictEqual(await textOf(sourceOf([output(shown)])), "100%\nred     x\nAB\nback\nno end\n")
    const cut = Buffer.from("é日本\r\n")
    const bytes = Array.from(cut, (byte) => output(Uint8Array.of(byte)))
    assert.strictEqual(await textOf(sourceOf(bytes)), "é日本\n")
    assert.notMatch(await textOf(sourceOf([output("a\u202eb\ufeffc\x1b]0;t\x07\r\n")])), UNCLEAN)
    assert.strictEqual(await textOf(sourceOf([])), "")
  })

  it("of a shell for commands: each command behind a `$`, its output below", async () => {
    const events = [
      exec,
      commandStarted(1, "ls\ncat x"),
      stdout(1, "one\ntwo"),
      commandFinished(1),
      commandStarted(2, "pwd"),
      stdout(2, "/\n")
    ]
    assert.strictEqual(await textOf(sourceOf(events)), "$ ls\n> cat x\none\ntwo\n$ pwd\n/\n")
  })

  it("what is missing stands on a line of its own, a removed beginning on the first", async () => {
    assert.strictEqual(
      await textOf(sourceOf([removed(7), output("half"), gap, output("rest\r\n")])),
      `[${REMOVED}]\nhalf\n[output 3 to 9 is missing: the keeper dropped it]\nrest\n`
    )
  })
})

describe("--format html", () => {
  it("names a removed beginning", async () => {
    const page = (await bytesOf("html", sourceOf([removed(7), output("rest\r\n")]))).toString()
    assert.match(page, /<p class="missing">events 1 to (?:6 are not in the journal any more|7 were removed)/)
  })
})

describe("memory of long sessions", () => {
  it("text and whole outputs are written as they come", async () => {
    const chunk = output("x".repeat(60).concat("\r\n").repeat(1000))
    const pieces: Array<number> = []
    const { Effect, Stream } = await import("effect")
    const { exportFormat } = await import("../../src/export/Export.ts")
    for (const format of ["text", "commands", "tlog"]) {
      const source = sourceOf(
        Array.from({ length: 30 }, () => chunk),
        { whole: true }
      )
      const write = await exportFormat(format)!.load()
      await Effect.runPromise(Stream.runForEach(write(source), (piece) => Effect.sync(() => pieces.push(piece.length))))
    }
    // A page of the journal here is two chunks; what it becomes is not more than some times as long.
    assert.isBelow(Math.max(...pieces), 4 * 62_000)
    assert.isAbove(pieces.length, 45)
  })
})
