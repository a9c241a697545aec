import { assert, describe, it } from "@effect/vitest"
import { describeDetachKey, makeDetachFilter, parseDetachKey } from "../../cli/DetachKey.ts"
import { exitCodeOf } from "../../cli/ExitCode.ts"
import { formatTime, parseMoment, parseSince } from "../../cli/Moment.ts"
import { exitCodeOfEnd } from "../../cli/Outcome.ts"
import { separateProgram } from "../../cli/ProgramArguments.ts"
import { makeReplayFilter } from "../../cli/ReplayFilter.ts"
import { parseSize } from "../../cli/Size.ts"
import { makeTerminalModes } from "../../cli/TerminalModes.ts"
import { formatAge, formatBytes, inOrder, watchLines } from "../../cli/WatchTable.ts"
import type { SessionId } from "../../journal/Event.ts"
import type { LiveEntry } from "../../src/session/Lifecycle.ts"
import { HistoryDamaged, SessionEnded, SessionNotFound, SpawnFailed } from "../../src/session/SessionError.ts"

const text = (value: string) => new TextEncoder().encode(value)

describe("sizes", () => {
  it("are COLSxROWS", () => {
    assert.deepStrictEqual(parseSize("80x24"), { cols: 80, rows: 24 })
    assert.deepStrictEqual(parseSize("0X9"), { cols: 0, rows: 9 })
    for (const wrong of ["", "80", "80x", "x24", "80x24x1", "-1x5", "1.5x2", "80 x 24"])
      assert.isUndefined(parseSize(wrong))
  })
})

describe("moments", () => {
  it("are sequences, times or offsets", () => {
    assert.strictEqual(parseSince("30m", 3_600_000), 1_800_000_000)
    assert.strictEqual(parseSince("1700000000", 0), 1_700_000_000_000_000)
    for (const text of ["12", "+5s", "yesterday", "30", ""]) assert.isUndefined(parseSince(text, 0), text)
    assert.deepStrictEqual(parseMoment("12"), { _tag: "Sequence", sequence: 12 })
    assert.deepStrictEqual(parseMoment("1700000000"), { _tag: "Time", timeMicros: 1_700_000_000_000_000 })
    assert.deepStrictEqual(parseMoment("1700000000.25"), { _tag: "Time", timeMicros: 1_700_000_000_250_000 })
    assert.deepStrictEqual(parseMoment("2023-11-14T22:13:20.000123Z"), {
      _tag: "Time",
      timeMicros: 1_700_000_000_000_123
    })
    assert.deepStrictEqual(parseMoment("2023-11-14T23:13:20+01:00"), {
      _tag: "Time",
      timeMicros: 1_700_000_000_000_000
    })
    assert.deepStrictEqual(parseMoment("+1.5s"), { _tag: "Offset", micros: 1_500_000 })
    assert.deepStrictEqual(parseMoment("+250ms"), { _tag: "Offset", micros: 250_000 })
    assert.deepStrictEqual(parseMoment("+2m"), { _tag: "Offset", micros: 120_000_000 })
    for (const wrong of ["", "now", "-5", "+", "+5d", "2023-13-45T00:00Z", "1e9"])
      assert.isUndefined(parseMoment(wrong))
    // Days that do not exist, and one that does.
    for (const wrong of [
      "2026-02-30",
      "2026-02-29",
      "2026-04-31T10:00",
      "2026-02-30T00:00:00Z",
      "2026-06-31 00:00+02:00"
    ])
      assert.isUndefined(parseMoment(wrong))
    assert.isUndefined(parseSince("2026-02-30", 0))
    assert.strictEqual(parseMoment("2024-02-29T23:59Z")?._tag, "Time")
  })

  it("what is printed can be given back", () => {
    const time = 1_700_000_000_987_654
    assert.strictEqual(formatTime(time), "2023-11-14T22:13:20.987654Z")
    assert.deepStrictEqual(parseMoment(formatTime(time)), { _tag: "Time", timeMicros: time })
  })
})

describe("the program's arguments", () => {
  const table: ReadonlyArray<readonly [string, string]> = [
    ["run seq 1 5", "run -- seq 1 5"],
    ["run -- seq 1", "run -- seq 1"],
    ["run --name x --detach sh -c ls", "run --name x --detach -- sh -c ls"],
    ["--store /s run --env A=1 env -i", "--store /s run --env A=1 -- env -i"],
    ["run --size=80x24 top -d 1", "run --size=80x24 -- top -d 1"],
    ["list --json", "list --json"],
    ["run --help", "run --help"],
    ["run sh -- -c", "run -- sh -- -c"],
    ["exec s ls -la", "exec s -- ls -la"],
    ["exec s --json --yield 5 ls --all", "exec s --json --yield 5 -- ls --all"],
    ["exec --id x s -- ls", "exec --id x s -- ls"],
    ["exec s --json", "exec s --json"],
    ["exec run exec", "exec run -- exec"],
    ["constructor x y", "constructor x y"]
  ]
  for (const [input, expected] of table) {
    it(input, () => {
      assert.strictEqual(separateProgram(input.split(" ")).join(" "), expected)
    })
  }
})

describe("the detach key", () => {
  const typed = (key: string, ...chunks: ReadonlyArray<string>) => {
    const filter = makeDetachFilter(parseDetachKey(key)!)
    let sent = ""
    for (const chunk of chunks) {
      const { bytes, detach } = filter(text(chunk))
      sent += new TextDecoder().decode(bytes)
      if (detach) return `${sent}|left`
    }
    return sent
  }
  it("leaves after a line's start only", () => {
    assert.strictEqual(typed("~", "~."), "|left")
    assert.strictEqual(typed("~", "ls\r", "~", ".", "x"), "ls\r|left")
    assert.strictEqual(typed("~", "a~."), "a~.")
    assert.strictEqual(typed("~", "\r~~."), "\r~.")
    assert.strictEqual(typed("~", "\r~x~."), "\r~x~.")
    assert.strictEqual(typed("%", "%."), "|left")
  })
  it("is not found in what is pasted", () => {
    assert.strictEqual(typed("~", "\x1b[200~a\n~.\n\x1b[201~", "\r~."), "\x1b[200~a\n~.\n\x1b[201~\r|left")
    assert.strictEqual(typed("~", "\x1b[20", "0~\n~.", "\x1b[201~"), "\x1b[200~\n~.\x1b[201~")
    assert.strictEqual(typed("^]", "\x1b[200~\x1d\x1b[201~", "\x1d"), "\x1b[200~\x1d\x1b[201~|left")
  })
  it("as a control character is known as a sequence too", () => {
    assert.strictEqual(typed("^]", "a\x1b[93;5ub"), "a|left")
    assert.strictEqual(typed("^A", "a\x1b[27;5;97~b"), "a|left")
    assert.strictEqual(typed("^A", "a\x1b[98;5ub"), "a\x1b[98;5ub")
  })
  it("as a control character leaves anywhere, as none nowhere", () => {
    assert.strictEqual(typed("^]", "ab\x1dcd"), "ab|left")
    assert.strictEqual(typed("none", "~.\r~."), "~.\r~.")
    assert.isUndefined(parseDetachKey("ab"))
    assert.strictEqual(describeDetachKey(parseDetachKey("^]")!), "Ctrl-]")
  })
})

describe("the terminal's modes", () => {
  const resetAfter = (...chunks: ReadonlyArray<string>) => {
    const modes = makeTerminalModes()
    for (const chunk of chunks) modes.watch(text(chunk))
    return modes.reset()
  }
  it("nothing is reset that was not set", () => {
    assert.strictEqual(resetAfter("hello\r\n", "\x1b[31mred\x1b[0m"), "")
    assert.strictEqual(resetAfter("\x1b[?1049h", "\x1b[?1049l"), "")
  })
  it("keyboards, regions, character sets, cursors, links, progress and colours are taken back", () => {
    assert.strictEqual(resetAfter("\x1b[>1u\x1b[?1049h\x1b[>5u"), "\x1b[<1u\x1b[?1049l\x1b[<1u")
    assert.strictEqual(resetAfter("\x1b[>1u\x1b[<u\x1b[>4;2m\x1b[>4m"), "")
    assert.strictEqual(resetAfter("\x1b[>4;2m\x1b[5 q"), "\x1b[>4m\x1b[0 q")
    assert.strictEqual(resetAfter("\x1b[2;10r"), "\x1b[!p\x1b7\x1b[r\x1b8")
    assert.strictEqual(resetAfter("\x1b[2;10r\x1b[r"), "")
    assert.strictEqual(resetAfter("\x1b(0\x1b[4h"), "\x1b[!p\x1b(B\x0f\x1b[4l")
    assert.strictEqual(resetAfter("\x1b]8;id=1;http://x\x07text"), "\x1b]8;;\x1b\\")
    assert.strictEqual(resetAfter("\x1b]9;4;1;50\x07\x1b]11;#000000\x07"), "\x1b]9;4;0\x1b\\\x1b]111\x1b\\")
    assert.strictEqual(resetAfter("\x1b]11;?\x07\x1b]9;4;0\x07\x1b[2;3r\x1b[!p"), "")
  })
  it("what was left on is taken back, over the border of two chunks too", () => {
    assert.strictEqual(resetAfter("\x1b[?10", "49h\x1b[?25l"), "\x1b[?1049l\x1b[?25h")
    assert.strictEqual(resetAfter("\x1b[?1000;1006h\x1b=\x1b[1;31m"), "\x1b[0m\x1b[?1000l\x1b[?1006l\x1b>")
    assert.strictEqual(resetAfter("\x1b[?2004h\x1bc"), "")
  })
})

describe("what is shown again", () => {
  const shown = (...chunks: ReadonlyArray<string>) => {
    const filter = makeReplayFilter()
    const bytes = chunks.map((chunk) => filter.feed(Buffer.from(chunk, "latin1")))
    return Buffer.concat([...bytes, filter.end()]).toString("latin1")
  }
  const questions = [
    "\x05",
    "\x1b[c",
    "\x1b[>c",
    "\x1b[=0c",
    "\x1b[6n",
    "\x1b[?996n",
    "\x1b[>0q",
    "\x1b[?u",
    "\x1b[?2026$p",
    "\x1b[14t",
    "\x1b[18t",
    "\x1b]10;?\x07",
    "\x1b]4;1;?\x1b\\",
    "\x1b]52;c;aGVsbG8=\x07",
    "\x1bP+q544e\x1b\\",
    "\x1bP$qm\x1b\\",
    "\x1b[1$w",
    "\x1b[1;1;1;1;10;10*y",
    "\x1b[?1;1;0S",
    "\x1b]10;?;?\x07",
    "\x1b]50;?\x07",
    // As one character: C2 9B, C2 9D and C2 90, as UTF-8 has them.
    "\xc2\x9b6n",
    "\xc2\x9d52;c;?\xc2\x9c",
    "\xc2\x90$qm\xc2\x9c",
    "\xc2\x9a"
  ]
  it("asks the terminal nothing, wherever its bytes are cut", () => {
    for (const question of questions) {
      for (let cut = 0; cut <= question.length; cut++) {
        assert.strictEqual(
          shown(`a${question.slice(0, cut)}`, `${question.slice(cut)}b`),
          "ab",
          JSON.stringify(question)
        )
      }
    }
  })
  it("is drawn as it was", () => {
    const kept =
      "\x1b[31mred\x1b[0m\x1b[2J\x1b[?1049h\x1b]0;title\x07\x1b]11;#fff\x07\x1b[22;0t\x1b[2 q\x1bP0;1|x\x1b\\\xff\x1b[3;4H"
    for (let cut = 0; cut <= kept.length; cut++) assert.strictEqual(shown(kept.slice(0, cut), kept.slice(cut)), kept)
    assert.strictEqual(shown("open \x1b]0;ti"), "open \x1b]0;ti")
  })
})

describe("the table of sessions", () => {
  const entry = (id: string, values: Partial<LiveEntry> = {}): LiveEntry => ({
    id: id as SessionId,
    name: null,
    group: null,
    kind: "terminal",
    status: "running",
    exitCode: null,
    signal: null,
    argv: ["sh"],
    size: { cols: 80, rows: 24 },
    pid: 1,
    clients: [],
    createdAt: 1,
    endedAt: null,
    activeAt: 1_000_000,
    outputBytes: 0,
    inputBytes: 0,
    sequence: 1,
    ...values
  })
  it("fits its window and shows nothing that a program could use to write elsewhere", () => {
    const entries = Array.from({ length: 30 }, (_, index) =>
      entry(`01ARZ3NDEKTSV4RRFFQ69G5F${String(index).padStart(2, "0")}`, { name: `\x1b[2J${index}`, createdAt: index })
    )
    const sessions = inOrder(entries).map((one) => ({ entry: one, usage: undefined }))
    for (const rows of [1, 2, 3, 10, 40]) {
      const lines = watchLines({ sessions, note: "", now: 2_000_000, size: { cols: 50, rows } })
      assert.isAtMost(lines.length, rows)
      for (const line of lines) {
        assert.isAtMost(line.length, 50)
        assert.notInclude(line, "\x1b")
      }
    }
    const [count, , first] = watchLines({ sessions, note: "", now: 2_000_000, size: { cols: 200, rows: 10 } })
    assert.match(count!, /^30 live/)
    assert.match(
      first!,
      /^01ARZ3NDEKTSV4RRFFQ69G5F29 {2}\\e\[2J29 {2}running {2}0 {8}80x24 {2}- {4}- {7}0 {7}1s {6}sh$/
    )
  })
  it("has the live ones first", () => {
    const ended = entry("B", { status: "exited", exitCode: 3, endedAt: 5, createdAt: 9 })
    assert.deepStrictEqual(
      inOrder([ended, entry("A"), entry("C", { createdAt: 2 })]).map(({ id }) => id as string),
      ["C", "A", "B"]
    )
  })
  it("bytes and ages are short", () => {
    assert.deepStrictEqual([0, 999, 1000, 1024, 20_000, 5e6, 3e9].map(formatBytes), [
      "0",
      "999",
      "1.0K",
      "1.0K",
      "20K",
      "4.8M",
      "2.8G"
    ])
    assert.deepStrictEqual([0, 59e6, 60e6, 7200e6, 86_400e6].map(formatAge), ["0s", "59s", "1m", "2h", "1d"])
  })
})

describe("exit codes", () => {
  it("an end is a code, a signal, or unknown", () => {
    assert.strictEqual(exitCodeOfEnd({ exitCode: 3, signal: null }), 3)
    assert.strictEqual(exitCodeOfEnd({ exitCode: null, signal: "SIGTERM" }), 143)
    assert.strictEqual(exitCodeOfEnd({ exitCode: null, signal: null }), 79)
  })
  it("an error has the code of its family", () => {
    assert.strictEqual(exitCodeOf(new SessionNotFound({ session: "x", candidates: [] })), 66)
    assert.strictEqual(exitCodeOf(new SessionEnded({ session: "x", status: "exited" })), 67)
    assert.strictEqual(exitCodeOf(new HistoryDamaged({ session: "x", reason: "" })), 65)
    assert.strictEqual(exitCodeOf(new SpawnFailed({ failure: "program-missing", reason: "" })), 127)
    assert.strictEqual(exitCodeOf(new SpawnFailed({ failure: "program-not-executable", reason: "" })), 126)
    assert.strictEqual(exitCodeOf(new SpawnFailed({ failure: "limit", reason: "" })), 75)
    assert.strictEqual(exitCodeOf(new Error("?")), 70)
  })
})
