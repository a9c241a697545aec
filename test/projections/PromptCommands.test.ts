import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import { makeOscScanner, OSC_PAYLOAD_BYTES_MAX, scanOsc } from "../../projections/OscScanner.ts"
import { feedPlainText, makePlainText, openLine } from "../../projections/PlainText.ts"
import { type PromptCommand, type PromptCommandEnd, PromptCommands } from "../../projections/PromptCommands.ts"
import { makePromptMarkFilter } from "../../projections/PromptMark.ts"
import { directorySequence } from "../../projections/ScreenRedraw.ts"
import { escapeValue, parseShellMark, splitPair, unescapeValue } from "../../projections/ShellMark.ts"
import { parseOsc } from "../../projections/WorkingDirectory.ts"
import { bytes, chunked, created, entriesOf, output, randomCuts, randomOutput, seeded } from "./events.ts"

interface Told {
  readonly command: PromptCommand
  end?: PromptCommandEnd
  readonly raw: Array<Uint8Array>
}

const commandsOf = (events: ReadonlyArray<SessionEvent>, nonce?: string): ReadonlyArray<Told> => {
  const all: Array<Told> = []
  const commands = new PromptCommands(
    {
      started: (command) => void all.push({ command, raw: [] }),
      output: (data) => void all.at(-1)!.raw.push(data.slice()),
      ended: (end) => {
        all.at(-1)!.end = end
      }
    },
    nonce === undefined ? {} : { nonce }
  )
  for (const entry of entriesOf(events)) commands.take(entry)
  return all
}
const shown = (raw: ReadonlyArray<Uint8Array>): string => {
  const text = makePlainText()
  const lines: Array<string> = []
  feedPlainText(text, Buffer.concat(raw), (line) => lines.push(line))
  if (openLine(text) !== "") lines.push(openLine(text))
  return lines.join("\n")
}
/** Text, exit code, output of each command of a shell that printed this; other events may follow. */
const rows = (text: string, ...after: ReadonlyArray<SessionEvent>) =>
  commandsOf([created(), output(text), ...after]).map(({ command, end, raw }) => [
    command.text,
    end === undefined ? "running" : end.exitCode,
    shown(raw)
  ])
/** OSC 133 or 633 with BEL. */
const mark = (what: string) => `\x1b]133;${what}\x07`
const code = (what: string) => `\x1b]633;${what}\x07`
const prompt = `${mark("A")}$ ${mark("B")}`
const closed = (changes: Partial<Extract<SessionEvent, { _tag: "SessionClosed" }>> = {}): SessionEvent => ({
  _tag: "SessionClosed",
  exitCode: 3,
  signal: null,
  reason: "exited",
  survivors: [],
  ...changes
})

describe("parseShellMark and its parts", () => {
  it("10.6 key=value (VS Code)", () => {
    for (const [text, pair] of [
      ["", ["", undefined]],
      ["some-text", ["some-text", undefined]],
      ["key=", ["key", ""]],
      ["=value", ["", "value"]],
      ["key==value", ["key", "=value"]],
      ["key=value===true", ["key", "value===true"]],
      ["=", ["", ""]],
      ["==", ["", "="]]
    ] as const) {
      assert.deepStrictEqual(splitPair(text), pair, text)
    }
  })

  it("10.6 escapes (VS Code), both ways", () => {
    for (const [plain, escaped] of [
      ["some thing", "some\\x20thing"],
      ["\\", "\\\\"],
      [";", "\\x3b"],
      ["\n", "\\x0a"],
      ["\\x3b", "\\\\x3b"]
    ] as const) {
      assert.strictEqual(escapeValue(plain), escaped)
      assert.strictEqual(unescapeValue(escaped), plain)
    }
    const every = String.fromCharCode(...Array.from({ length: 128 }, (_, index) => index))
    assert.strictEqual(unescapeValue(escapeValue(every)), every)
    assert.match(escapeValue(every), /^[!-:<-\x7f]+$/)
  })

  it("10.6 a command line is trusted with the right nonce, recorded without", () => {
    const line = (payload: string, nonce?: string) => parseShellMark(bytes(payload), nonce)
    const told = (text: string, trusted: boolean) => ({ _tag: "CommandLineTold", text, trusted })
    assert.deepStrictEqual(line("633;E;ls;n1", "n1"), told("ls", true) as never)
    assert.deepStrictEqual(line("633;E;ls;n2", "n1"), told("ls", false) as never)
    assert.deepStrictEqual(line("633;E;ls", "n1"), told("ls", false) as never)
    assert.deepStrictEqual(line("633;E;ls;"), told("ls", false) as never)
    assert.deepStrictEqual(line("633;E;ls;", ""), told("ls", false) as never)
    const [first, second] = commandsOf(
      [created(), output(`${code("E;ls;n1")}${code("C")}${code("D")}${code("E;rm;")}${code("C")}`)],
      "n1"
    )
    assert.deepStrictEqual([first!.command.trusted, second!.command.trusted], [true, false])
    assert.deepStrictEqual([first!.command.text, second!.command.text], ["ls", "rm"])
  })

  it("10.6 zmx toOsc7Cwd: what is written is read back", () => {
    const written = (path: string) => directorySequence(path, "")
    assert.include(written("/tmp/100%"), "/tmp/100%25")
    assert.include(written("/a b"), "/a%20b")
    assert.include(written("/a-b_c.d~e"), "/a-b_c.d~e")
    for (const path of ["/tmp/100%", "/a b", `/quote'and"dquote`, "/é/日本", "/a;b\\c"]) {
      const report = parseOsc(bytes(written(path).slice(2, -2)))
      assert.deepStrictEqual([report?._tag, report?._tag === "Cwd" && report.path], ["Cwd", path])
    }
  })

  it("10.6 what is no mark", () => {
    for (const payload of [
      "133",
      "133;",
      "133;AB",
      "133;Z",
      "633;P;Cwd=/foo",
      "633;SetMark;Id=1",
      "1337;SetMark",
      "13;A"
    ]) {
      assert.isUndefined(parseShellMark(bytes(payload)), payload)
    }
  })
})

describe("PromptCommands", () => {
  it("10.6 a command: text, folder, exit code, exactly its output", () => {
    const text = `\x1b]7;file:///home/me/a%20b\x07${prompt}ls -l\r\n${mark("C")}one\r\ntwo\r\n${mark("D;7")}${prompt}`
    const [{ command, end, raw }] = commandsOf([created(), output(text)]) as [Told]
    assert.deepStrictEqual(
      [command.number, command.text, command.textFrom, command.cwd, command.startedAt, command.sequence],
      [1, "ls -l", "echo", "/home/me/a b", 2_000_000, 2]
    )
    assert.deepStrictEqual([end!.status, end!.exitCode, end!.outputBytes], ["completed", 7, 10])
    assert.strictEqual(shown(raw), "one\ntwo")
    assert.deepStrictEqual(rows(`${code("A")}$ ${code("B")}x\r\n${code("E;x;")}${code("C")}o${code("D;7")}`), [
      ["x", 7, "o"]
    ])
  })

  it("10.6 633;P;Cwd sets the folder and begins no command", () => {
    const events = [created(), output(`${code("P;Cwd=/foo")}text${code("P;Cwd=/bar")}`)]
    assert.deepStrictEqual(commandsOf(events), [])
    assert.strictEqual(commandsOf([...events, output(code("C"))])[0]!.command.cwd, "/bar")
  })

  it("10.6 (1) every split of a stream gives the same commands", () => {
    const text =
      `${prompt}echo é${mark("A;k=s")}> ${mark("B")}x\r\n${code("E;echo\\x20é;n")}${mark("C;aid=7")}ü\x1b]0;t\x1b\\` +
      `\u009d52;c;eA==\u009cout\x1b]133;D;130;aid=7\x1b\\\x1b]7;file:///tmp\x07${prompt}`
    const data = bytes(text)
    const told = (cuts: ReadonlyArray<number>) =>
      commandsOf([created(), ...chunked(data, cuts)]).map(({ command, end, raw }) => [
        { ...command, startedAt: 0, sequence: 0 },
        { ...end!, endedAt: 0, sequence: 0 },
        shown(raw)
      ])
    const whole = told([])
    assert.lengthOf(whole, 1)
    for (let cut = 1; cut < data.length; cut++) assert.deepStrictEqual(told([cut]), whole, `cut at ${cut}`)
    assert.deepStrictEqual(told(Array.from(data, (_, index) => index)), whole)
  })

  it("10.6 (1) random output in any pieces: the same commands, and never more than one at a time", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seeded(seed)
      const marks = [prompt, mark("C"), mark("D;1"), mark("A;k=s"), code("E;cmd;"), mark("D"), code("C"), "text"]
      const parts = Array.from({ length: 30 }, () =>
        random() < 0.5 ? randomOutput(random, 3) : bytes(marks[Math.floor(random() * marks.length)]!)
      )
      const data = new Uint8Array(Buffer.concat(parts))
      const told = (cuts: ReadonlyArray<number>) =>
        commandsOf([created(), ...chunked(data, cuts)]).map(({ command, end, raw }) => [
          command.text,
          command.clipboard,
          end?.exitCode,
          end?.outputBytes,
          Buffer.concat(raw).toString("latin1")
        ])
      assert.deepStrictEqual(told(randomCuts(random, data.length, 12)), told([]), `seed ${seed}`)
    }
  })

  it("10.6 (3) a beginning without an end: the shell ended in it, and what is not known is not said", () => {
    const text = `${prompt}exit 3\r\n${mark("C")}exit\r\n`
    const ends = (...after: ReadonlyArray<SessionEvent>) => {
      const { end } = commandsOf([created(), output(text), ...after])[0]!
      return end === undefined ? "running" : [end.status, end.exitCode, end.signal]
    }
    assert.deepStrictEqual(ends({ _tag: "LeaderExited", exitCode: 3, signal: null }, closed()), ["exited", 3, null])
    assert.deepStrictEqual(ends(closed()), ["exited", 3, null])
    assert.deepStrictEqual(ends({ _tag: "LeaderExited", exitCode: null, signal: "SIGHUP" }), ["died", null, "SIGHUP"])
    assert.deepStrictEqual(ends(closed({ reason: "ended", exitCode: 0 })), ["died", 0, null])
    assert.deepStrictEqual(ends({ _tag: "SessionLost", reason: "keeper gone" }), ["lost", null, null])
    assert.strictEqual(ends(), "running")
  })

  it("10.6 (4) a bare end: the exit code is not known, and that is not 0", () => {
    assert.deepStrictEqual(rows(`${prompt}a\r\n${mark("C")}${mark("D")}`), [["a", null, ""]])
    assert.deepStrictEqual(rows(`${prompt}a\r\n${mark("C")}${mark("D;")}`), [["a", null, ""]])
    assert.deepStrictEqual(rows(`${prompt}a\r\n${mark("C")}${mark("D;x")}`), [["a", null, ""]])
    assert.deepStrictEqual(rows(`${prompt}a\r\n${mark("C")}out\r\n${prompt}`), [["a", null, "out"]])
    assert.deepStrictEqual(rows(`${prompt}a\r\n${mark("C")}out${mark("N")}`), [["a", null, "out"]])
    assert.deepStrictEqual(rows(`${mark("C")}${mark("D;1;err=x")}`), [["", 1, ""]])
  })

  it("10.6 (5) an end without a beginning is passed over", () => {
    assert.deepStrictEqual(rows(`${mark("D;130")}${prompt}a\r\n${mark("C")}${mark("D;0")}${mark("D;1")}`), [
      ["a", 0, ""]
    ])
  })

  it("10.6 (6) a full-screen program: kept as bytes, not in the text", () => {
    const text = `${prompt}vim\r\n${mark("C")}\x1b[?1049h\x1b[Hsecret screen\x1b[?1049lbye\r\n${mark("D;0")}`
    const [{ end, raw }] = commandsOf([created(), output(text)]) as [Told]
    assert.strictEqual(shown(raw), "bye")
    assert.include(Buffer.concat(raw).toString(), "secret screen")
    assert.strictEqual(end!.outputBytes, "\x1b[?1049h\x1b[Hsecret screen\x1b[?1049lbye\r\n".length)
  })

  it("10.6 (7) titles, links and the clipboard pass as they are; the clipboard is told", () => {
    const passing = "\x1b]0;t\x07\x1b]2;u\x1b\\\x1b]8;;http://x\x07l\x1b]8;;\x07"
    const run = (inside: string) =>
      commandsOf([created(), output(`${prompt}a\r\n${mark("C")}${inside}${mark("D;0")}`)])[0]!
    for (const [inside, clipboard] of [
      [passing, false],
      [`${passing}\x1b]52;c;c2VjcmV0\x07`, true]
    ] as const) {
      const { command, raw } = run(inside)
      assert.strictEqual(command.clipboard, clipboard)
      assert.strictEqual(Buffer.concat(raw).toString(), `${inside}${mark("D;0")}`)
    }
    const filter = makePromptMarkFilter()
    assert.strictEqual(
      Buffer.from(filter.feed(bytes(`${passing}\x1b]52;c;eA==\x07`))).toString(),
      `${passing}\x1b]52;c;eA==\x07`
    )
  })

  it("10.6 (8)(17) a secondary prompt goes on with the same input", () => {
    for (const [begin, end] of [
      ["A;k=s", "B"],
      ["P;k=s", "B"],
      ["A;cl=m;k=s", "B"]
    ] as const) {
      const text = `${prompt}for x in 1\r\n${mark(begin)}> ${mark(end)}do echo\r\n${mark(begin)}> ${mark(end)}done\r\n${mark("C")}o${mark("D;0")}`
      assert.deepStrictEqual(rows(text), [["for x in 1\ndo echo\ndone", 0, "o"]])
    }
    const vscode = `${code("A")}$ ${code("B")}a \\\r\n${code("F")}> ${code("G")}b\r\n${code("C")}${code("D;0")}`
    assert.deepStrictEqual(rows(vscode), [["a \\\nb", 0, ""]])
    // Without the prompt's end it cannot be told from what is typed.
    assert.deepStrictEqual(rows(`${prompt}a\r\n${mark("P;k=s")}> b\r\n${mark("C")}${mark("D;0")}`), [["a\n> b", 0, ""]])
  })

  it("10.6 (9) BEL, ST and the C1 forms end a mark", () => {
    const forms = (begin: string, end: string) =>
      ["A", "B", "C", "D;5"].map((what) => `${begin}133;${what}${end}${what === "B" ? "x\r\n" : ""}`).join("")
    for (const [begin, end] of [
      ["\x1b]", "\x07"],
      ["\x1b]", "\x1b\\"],
      ["\u009d", "\u009c"]
    ] as const) {
      assert.deepStrictEqual(rows(forms(begin, end)), [["x", 5, ""]])
    }
  })

  it("10.6 (10) two beginnings and two ends are one command", () => {
    const text = `${mark("C;cmdline_url=echo%20hi%3b%20%c3%a9")}${mark("C")}hi\r\n${mark("D;0")}${mark("D;0")}`
    assert.deepStrictEqual(rows(text), [["echo hi; é", 0, "hi"]])
  })

  it("10.6 (12) an empty command line is no command", () => {
    assert.deepStrictEqual(rows(`${code("E;;")}${code("C")}${code("D")}`), [])
    assert.deepStrictEqual(rows(`${code("A")}${code("B")}\r\n${code("E;;n")}${code("C")}x${code("D;0")}`), [])
    assert.deepStrictEqual(rows(`${mark("C;cmdline=")}${mark("D")}`), [])
  })

  it("10.6 (13) cmdline= is quoted for a shell and goes on to the end", () => {
    const line = (quoted: string) => rows(`${mark(`C;cmdline=${quoted}`)}${mark("D;0")}`)[0]?.[0]
    assert.strictEqual(line("echo\\ a\\;b"), "echo a;b")
    assert.strictEqual(line("echo\\ a;b"), "echo a;b")
    assert.strictEqual(line("$'a\\nb\\tc\\'d\\\\e\\xc3\\xa9\\303\\251\\u20ac'"), "a\nb\tc'd\\eéé€")
    assert.strictEqual(line("'one two'\\''three'\" four\\$\""), "one two'three four$")
    assert.strictEqual(rows(`${mark("C;aid=1;cmdline=ls\\ -l")}${mark("D;0;aid=1")}`)[0]?.[0], "ls -l")
  })

  it("10.6 (14) a wezterm variable that base64 broke into lines is put together", () => {
    const long = `echo ${"x".repeat(100)} end`
    const base64 = Buffer.from(long).toString("base64").replace(/.{76}/g, "$&\r\n")
    assert.include(base64, "\n")
    const set = (value: string) => `\x1b]1337;SetUserVar=WEZTERM_PROG=${value}\x07`
    assert.deepStrictEqual(rows(`${set("")}${prompt}e\r\n${set(base64)}${mark("C")}o${mark("D;0")}${set("")}`), [
      [long, 0, "o"]
    ])
    assert.deepStrictEqual(rows(`${prompt}e\r\n${mark("C")}${set(base64)}o${mark("D;0")}${set("")}${mark("D")}`), [
      [long, 0, "o"]
    ])
  })

  it("10.6 (15) Ghostty's bash says 0 whatever happened: that exit code is doubtful", () => {
    const doubt = (changes: Parameters<typeof created>[0], exit: number) =>
      commandsOf([created(changes), output(`${prompt}a\r\n${mark("C")}${mark(`D;${exit}`)}`)])[0]!.end!.exitCodeDoubtful
    assert.isTrue(doubt({ envNames: ["HOME", "GHOSTTY_RESOURCES_DIR"] }, 0))
    assert.isTrue(doubt({ term: "xterm-ghostty" }, 0))
    assert.isFalse(doubt({ term: "xterm-ghostty" }, 1))
    assert.isFalse(doubt({ term: "xterm-ghostty", argv: ["/bin/zsh"] }, 0))
    assert.isFalse(doubt({}, 0))
  })

  it("10.6 (16) the echo is the last resort, with the line editing applied", () => {
    const typed = "lz\b\x1b[Ks -x\b\b\b\x1b[K-l"
    assert.deepStrictEqual(rows(`${prompt}${typed}\r\n${mark("C")}${mark("D;0")}`), [["ls-l", 0, ""]])
    const [{ command }] = commandsOf([created(), output(`${prompt}ll\r\n${code("E;ls\\x20-l;")}${code("C")}`)]) as [
      Told
    ]
    assert.deepStrictEqual([command.text, command.textFrom], ["ls -l", "reported"])
    // Told for a command that never came, it is not the next one's.
    assert.deepStrictEqual(rows(`${code("E;old;")}${prompt}new\r\n${mark("C")}${mark("D;0")}`), [["new", 0, ""]])
  })

  it("10.6 (17) a carriage return before the terminator is accepted, the stale end after an empty Enter is not", () => {
    assert.deepStrictEqual(rows(`${prompt}a\r\n\x1b]133;C;aid=x\r\x1b\\o\x1b]133;D;4\r\x1b\\`), [["a", 4, "o"]])
    const empty = `${prompt}a\r\n${mark("C")}${mark("D;4")}${prompt}\r\n${mark("D;4")}${prompt}b\r\n${mark("C")}${mark("D;0")}`
    assert.deepStrictEqual(rows(empty), [
      ["a", 4, ""],
      ["b", 0, ""]
    ])
  })

  it("10.6 I: the input ends with its line, without a mark", () => {
    assert.deepStrictEqual(rows(`${mark("A")}$ ${mark("I")}ls\r\nout\r\n${mark("D;0")}`), [["ls", 0, "out"]])
  })

  it("10.6 an OSC without an end: memory stays bounded, every byte passes, and the marks behind it are found", () => {
    const scanner = makeOscScanner()
    let found = 0
    const open = bytes(`\x1b]0;${"z".repeat(200_000)}`)
    for (let index = 0; index < 10; index++) scanOsc(scanner, open, () => found++)
    assert.deepStrictEqual([found, scanner.held!.length], [0, OSC_PAYLOAD_BYTES_MAX])
    const text = `${prompt}a\r\n${mark("C")}before\x1b]0;${"z".repeat(200_000)}${mark("D;6")}`
    const [{ end, raw }] = commandsOf([created(), output(text)]) as [Told]
    assert.strictEqual(end!.exitCode, 6)
    assert.strictEqual(end!.outputBytes, 200_010)
    assert.strictEqual(shown(raw), "before")
    const filter = makePromptMarkFilter()
    const passed = Buffer.concat([filter.feed(bytes(`\x1b]133;A;${"z".repeat(70_000)}`)), filter.end()])
    assert.strictEqual(passed.length, 70_008)
  })

  it("a command line that is too long is cut and says so", () => {
    const long = "x".repeat(70_000)
    const [reported, echoed] = commandsOf([
      created(),
      output(`${code(`E;${long};`)}${code("C")}${code("D;0")}${prompt}${long}\r\n${mark("C")}`)
    ])
    assert.isTrue(reported!.command.textCut && echoed!.command.textCut)
    assert.isBelow(reported!.command.text.length, 66_000)
    assert.isBelow(echoed!.command.text.length, 17_000)
  })
})
