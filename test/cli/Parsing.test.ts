import { assert, describe, it } from "@effect/vitest"
import { describeDetachKey, makeDetachFilter, parseDetachKey } from "../../cli/DetachKey.ts"
import { exitCodeOf } from "../../cli/ExitCode.ts"
import { formatTime, parseMoment } from "../../cli/Moment.ts"
import { exitCodeOfEnd } from "../../cli/Outcome.ts"
import { separateProgram } from "../../cli/ProgramArguments.ts"
import { parseSize } from "../../cli/Size.ts"
import { makeTerminalModes } from "../../cli/TerminalModes.ts"
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
  it("what was left on is taken back, over the border of two chunks too", () => {
    assert.strictEqual(resetAfter("\x1b[?10", "49h\x1b[?25l"), "\x1b[?1049l\x1b[?25h")
    assert.strictEqual(resetAfter("\x1b[?1000;1006h\x1b=\x1b[1;31m"), "\x1b[0m\x1b[?1000l\x1b[?1006l\x1b>")
    assert.strictEqual(resetAfter("\x1b[?2004h\x1bc"), "")
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
    assert.strictEqual(exitCodeOf(new Error("?")), 70)
  })
})
