import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import { parseOsc, sameHost, WorkingDirectory } from "../../projections/WorkingDirectory.ts"
import { bytes, chunked, created, foldAll, latin1, output, randomCuts, randomOutput, seeded } from "./events.ts"

const at = (...events: ReadonlyArray<SessionEvent | string>) =>
  foldAll(WorkingDirectory, [
    created({ cwd: "/start" }),
    ...events.map((event) => (typeof event === "string" ? output(event) : event))
  ])
const osc7 = (value: string) => {
  const report = parseOsc(bytes(`7;${value}`))
  return report?._tag === "Cwd" ? report.path : undefined
}
const proc = (cwd: string): SessionEvent => ({ _tag: "CwdChanged", cwd, source: "proc" })

describe("WorkingDirectory", () => {
  it("10.6 OSC 7: accepted forms (VS Code)", () => {
    assert.strictEqual(osc7("file:///"), "/")
    assert.strictEqual(osc7("file:///test-root/local"), "/test-root/local")
    assert.strictEqual(osc7("file://some-hostname/test-root/local"), "/test-root/local")
    assert.strictEqual(osc7("file:///test-root/%6c%6f%63%61%6c"), "/test-root/local")
    assert.strictEqual(osc7("file:///test-root/local%22"), '/test-root/local"')
    assert.strictEqual(osc7('file:///test-root/local"'), '/test-root/local"')
    assert.strictEqual(osc7("file:///tmp/100%"), "/tmp/100%")
    assert.strictEqual(osc7("file:///a?b#c"), "/a?b#c")
  })

  it("10.6 OSC 7: ignored forms (VS Code), a bare path among them", () => {
    for (const value of [
      "file://",
      "file://myhost",
      "/test-root",
      "//test-root",
      "///test-root",
      ":///test-root",
      "http:///test-root",
      "ftp:///test-root",
      "ssh:///test-root",
      "some/dir",
      "",
      "/private/tmp",
      "file:///a%00b",
      "file:///%ff"
    ]) {
      assert.isUndefined(osc7(value), value)
    }
  })

  it("10.6 OSC 7: which host is ours (zmx)", () => {
    assert.strictEqual(at("\x1b]7;file://myhost/private/tmp\x07").cwd, "/private/tmp")
    assert.strictEqual(at("\x1b]7;file://myhost/a%20b\x07").cwd, "/a b")
    assert.strictEqual(at("\x1b]7;kitty-shell-cwd://myhost/raw%20path\x07").cwd, "/raw%20path")
    assert.strictEqual(at("\x1b]7;file://localhost/l\x07").cwd, "/l")
    const remote = at("\x1b]7;file://myhost/here\x07", "\x1b]7;file://otherhost/home/me\x07")
    assert.strictEqual(remote.cwd, "/here")
    assert.deepStrictEqual(remote.remote, { host: "otherhost", path: "/home/me" })
    const back = at(
      "\x1b]7;file://myhost/here\x07",
      "\x1b]7;file://other/x\x07",
      "\x1b]7;file://MYHOST.local/there\x07"
    )
    assert.strictEqual(back.cwd, "/there")
    assert.isNull(back.remote)
    assert.isTrue(
      sameHost("myhost.local", "myhost") && sameHost("myhost", "myhost.lan") && sameHost("MyHost", "myhost")
    )
    assert.isFalse(sameHost("myhost", "otherhost"))
  })

  it("a stranger's host named first is healed by the engine's own look", () => {
    const state = at(
      "\x1b]7;file://evil/tmp\x07",
      "\x1b]7;file://real/work\x07",
      proc("/work"),
      "\x1b]7;file://real/next\x07"
    )
    assert.strictEqual(state.cwd, "/next")
  })

  it("10.6 OSC 9;9, 133, 633 and 1337", () => {
    assert.strictEqual(at("\x1b]9;9;/some/path\x07").cwd, "/some/path")
    assert.strictEqual(at('\x1b]9;9;"/some/path"\x07').cwd, "/some/path")
    assert.strictEqual(at("\x1b]9;9;C:\\Users\x07").cwd, "/start")
    assert.strictEqual(at("\x1b]633;P;Cwd=/foo\x07").cwd, "/foo")
    assert.strictEqual(at("\x1b]133;P;Cwd=/foo\x07").cwd, "/foo")
    assert.strictEqual(at("\x1b]633;P;Cwd=/some\\x20thing\\x3bx\\\\y\x07").cwd, "/some thing;x\\y")
    assert.strictEqual(at("\x1b]633;P;Cwd=/lit\\\\x3b\x07").cwd, "/lit\\x3b")
    assert.strictEqual(at("\x1b]633;P;Cwd==/x\x07").cwd, "/start")
    assert.strictEqual(at("\x1b]633;P;IsWindows=False\x07").cwd, "/start")
    assert.strictEqual(at("\x1b]133;P;k=i\x07").cwd, "/start")
    assert.strictEqual(at("\x1b]1337;CurrentDir=/a=b c\x07").cwd, "/a=b c")
    const far = at("\x1b]7;file://home/x\x07", "\x1b]1337;RemoteHost=me@far\x07", "\x1b]1337;CurrentDir=/far\x07")
    assert.strictEqual(far.cwd, "/x")
    assert.strictEqual(
      at("\x1b]7;file://home/x\x07", "\x1b]1337;RemoteHost=me@home\x07", "\x1b]1337;CurrentDir=/y\x07").cwd,
      "/y"
    )
  })

  it("the latest wins, whoever says it", () => {
    assert.strictEqual(at("\x1b]7;file:///a\x07", proc("/b")).cwd, "/b")
    const state = at(proc("/b"), "\x1b]7;file:///a\x1b\\text")
    assert.deepStrictEqual([state.cwd, state.source, state.sequence], ["/a", "osc7", 3])
  })

  it("10.6 (9) BEL, ST and the C1 forms of UTF-8 end a sequence; CAN, SUB and another escape end it unused", () => {
    assert.strictEqual(at("\x1b]7;file:///a\x1b\\").cwd, "/a")
    assert.strictEqual(at("\u009d7;file:///a\u009c").cwd, "/a")
    assert.strictEqual(at("\x1b]7;file:///a\x18").cwd, "/start")
    assert.strictEqual(at("\x1b]7;file:///a\x1a\x07").cwd, "/start")
    assert.strictEqual(at("\x1b]7;file:///a\x1b[m\x07").cwd, "/start")
    assert.strictEqual(at("\x1b]0;open\x1b]7;file:///b\x07").cwd, "/b")
    assert.strictEqual(at("\x1b\x1b]7;file:///b\x07").cwd, "/b")
    // The 8-bit forms are ends of ordinary characters: ” is e2 80 9d.
    assert.strictEqual(at(output(latin1("\x9d7;file:///a\x07"))).cwd, "/start")
    assert.strictEqual(at("”7;file:///a\x07").cwd, "/start")
  })

  it("hostile case 9, hostile case 10: stores a hostile path as it was meant, and no path that is none", () => {
    assert.strictEqual(at("\x1b]7;file:///a%0ab%1b[31m\x07").cwd, "/a\nb\x1b[31m")
    assert.strictEqual(at("\x1b]7;file:///x/%c2%9b\x07").cwd, "/x/\u009b")
    assert.strictEqual(at(`\x1b]7;file:///${"a".repeat(4094)}\x07`).cwd, "/start")
    assert.strictEqual(at(`\x1b]7;file:///${"a".repeat(9000)}\x07`).cwd, "/start")
    assert.strictEqual(at(output(latin1("\x1b]7;file:///\xff\x07"))).cwd, "/start")
  })

  it("10.6 (1) every split of a stream gives the same state", () => {
    const text = "ab\x1b]7;file://h/é%20x\x1b\\”\u009d633;P;Cwd=/ü\u009c\x1b]0;t\x1b\x1b]9;9;/last\x07"
    const data = bytes(text)
    const whole = foldAll(WorkingDirectory, chunked(data, []))
    for (let cut = 1; cut < data.length; cut++) {
      const state = foldAll(WorkingDirectory, chunked(data, [cut]))
      assert.strictEqual(state.cwd, whole.cwd, `cut at ${cut}`)
    }
    const one = foldAll(
      WorkingDirectory,
      chunked(
        data,
        Array.from(data, (_, index) => index)
      )
    )
    assert.strictEqual(one.cwd, "/last")
  })

  it("random output: splits and snapshots change nothing", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed)
      const data = randomOutput(random, 60)
      const whole = foldAll(WorkingDirectory, chunked(data, []))
      const events = chunked(data, randomCuts(random, data.length, 12))
      let state = WorkingDirectory.initial("x" as never)
      for (const [index, event] of events.entries()) {
        state = WorkingDirectory.fold(state, { sequence: index + 1, timeMicros: 0, actor: "", event })
        state = WorkingDirectory.decode(WorkingDirectory.encode(state))
      }
      assert.deepStrictEqual(
        [state.cwd, state.remote, state.host, state.scanner.phase, state.scanner.truncated],
        [whole.cwd, whole.remote, whole.host, whole.scanner.phase, whole.scanner.truncated],
        `seed ${seed}`
      )
    }
  })
})
