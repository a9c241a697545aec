import { assert, describe, it } from "@effect/vitest"
import { Screen } from "../../projections/Screen.ts"
import { bytes, cpuMillis, HOSTILE, randomOutput, seeded } from "./events.ts"

const screen = (text: string | Uint8Array, cols = 80, rows = 24) => {
  const made = new Screen({ cols, rows })
  made.feed(typeof text === "string" ? bytes(text) : text)
  return made
}
const restored = (from: Screen): Screen => {
  const snapshot = from.serialize()
  if (snapshot === undefined) throw new Error("no snapshot")
  return Screen.restore(snapshot)
}
const rows = (text: string, cols?: number, count?: number) => screen(text, cols, count).view().lines

describe("Screen", () => {
  it("shows text, wide and combined characters, colours without their bytes", () => {
    assert.deepStrictEqual(rows("a\x1b[31mb\x1b[0m\r\n日本e\u0301 \r\n", 10, 3), ["ab", "日本e\u0301", ""])
    assert.strictEqual(screen("\x1b[?1049hx").view().alternate, true)
    assert.deepStrictEqual(screen("ab", 2, 1).view().cursor, { x: 1, y: 0 })
    assert.deepStrictEqual(screen("a", 1, 1).view().size, { cols: 1, rows: 1 })
    assert.strictEqual(screen("\x1b]2;t\x1b\\").view().title, "t")
  })

  it("10.5 (1) (2) restores cursor and marks where they were", () => {
    assert.deepStrictEqual(restored(screen("\x1b[2J\x1b[10;20H")).view().cursor, { x: 19, y: 9 })
    const marks = restored(
      screen("\x1b[2;5HMARK_A\x1b[6;15HMARK_B\x1b[10;30HMARK_C\x1b[14;50HMARK_D\x1b[16;20H")
    ).view()
    assert.strictEqual(marks.lines[1], "    MARK_A")
    assert.strictEqual(marks.lines[5]?.indexOf("MARK_B"), 14)
    assert.strictEqual(marks.lines[9]?.indexOf("MARK_C"), 29)
    assert.strictEqual(marks.lines[13]?.indexOf("MARK_D"), 49)
    assert.deepStrictEqual(marks.cursor, { x: 19, y: 15 })
  })

  it("10.5 (3) (4) restores the screen under a scrollback, and restoring twice is restoring once", () => {
    const original = screen(Array.from({ length: 80 }, (_, i) => `line ${i}`).join("\r\n"))
    const snapshot = original.serialize()!
    const copy = Screen.restore(snapshot)
    assert.deepStrictEqual(copy.view(), original.view())
    assert.deepStrictEqual(copy.serialize(), snapshot)
  })

  it("10.5 (5) (6) keeps the alternate screen apart and survives another size", () => {
    const original = screen("shell$ \x1b[?1049h\x1b[Heditor")
    const copy = restored(original)
    copy.feed(bytes("\x1b[?1049l"))
    assert.strictEqual(copy.view().lines[0], "shell$")
    assert.notInclude(copy.view().lines.join(), "editor")
    const tall = restored(screen(Array.from({ length: 30 }, (_, i) => `l${i}`).join("\r\n"), 80, 30))
    tall.resize({ cols: 80, rows: 24 })
    assert.strictEqual(tall.view().lines[23], "l29")
    tall.resize({ cols: 80, rows: 30 })
    assert.strictEqual(tall.view().lines[0], "l0")
  })

  it("10.5 (9) restores what only later output shows: margins, character set, saved cursor, tab stops, modes", () => {
    for (const [before, after] of [
      ["\x1b[5;10r\x1b[10;1H", "\n\n\nx"],
      ["\x1b(0", "lqk"],
      ["\x1b[7;7H\x1b[31m\x1b7\x1b[0m\x1b[H", "\x1b8here"],
      ["\x1b[3g\x1b[1;20H\x1bH\x1b[H", "\tx"],
      ["\x1b[?6h\x1b[5;10r", "\x1b[1;1Hx"],
      ["\x1b[?7l", "y".repeat(100)],
      ["\x1b[4h", "\rinsert"],
      ["a", "\x1b[5b"],
      ["\x1b[20h", "a\nb"],
      ["e", "\u0301"],
      ["\x1b[38;5;", "9mred"],
      ["\x1b]2;half", " title\x07"],
      ["\xe2\x82", "x"]
    ] as const) {
      const original = screen(`some text\r\n${before}`)
      const copy = restored(original)
      original.feed(bytes(after))
      copy.feed(bytes(after))
      assert.deepStrictEqual(copy.view(), original.view(), JSON.stringify(before))
      assert.deepStrictEqual(copy.serialize(), original.serialize(), JSON.stringify(before))
    }
  })

  it("10.5 (10) a full row leaves the cursor where it was (xterm.js#6165)", () => {
    const original = screen("x".repeat(80))
    const copy = restored(original)
    for (const one of [original, copy]) one.feed(bytes("yz\x1b[6n"))
    assert.deepStrictEqual(copy.view(), original.view())
    assert.strictEqual(copy.view().lines[1], "yz")
  })

  it("random output: a restored screen goes on like its original, and splits change nothing", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed)
      const original = new Screen({ cols: 20, rows: 6 })
      let copy = new Screen({ cols: 20, rows: 6 })
      for (let step = 0; step < 8; step++) {
        const data = randomOutput(random, 40)
        const cut = Math.floor(random() * data.length)
        original.feed(data)
        copy.feed(data.subarray(0, cut))
        copy.feed(data.subarray(cut))
        if (random() < 0.3) {
          const size = { cols: 2 + Math.floor(random() * 40), rows: 1 + Math.floor(random() * 12) }
          original.resize(size)
          copy.resize(size)
        }
        const snapshot = copy.serialize()
        assert.isDefined(snapshot, `seed ${seed}: every state has a snapshot`)
        copy = Screen.restore(snapshot!)
        assert.deepStrictEqual(copy.view(), original.view(), `seed ${seed} step ${step}`)
      }
      assert.deepStrictEqual(copy.serialize(), original.serialize(), `seed ${seed}`)
    }
  })

  it("hostile case 1, hostile case 2, hostile case 3: none of the hostile inputs takes 2 s, and the screen lives on", () => {
    for (const [name, make] of Object.entries(HOSTILE)) {
      const data = make()
      const began = cpuMillis()
      const made = new Screen({ cols: 80, rows: 24 })
      for (let at = 0; at < data.length; at += 65536) made.feed(data.subarray(at, at + 65536))
      made.feed(bytes("\x18\x1b[m\x1b[H\x1b[2Jok"))
      const view = made.view()
      assert.isBelow(cpuMillis(began), 2000, name)
      assert.strictEqual(view.lines[0], "ok", name)
    }
    const began = cpuMillis()
    screen("a\x1b[2147483647b".repeat(4000))
    assert.isBelow(cpuMillis(began), 2000)
  })

  it("hostile case 6, hostile case 7: answers nothing", () => {
    const made = screen(
      "\x1b[6n\x1b[c\x1b[>c\x1bP$qm\x1b\\\x1bP$q\nid\n\x1b\\\x1b[?2004$p\x1b]11;?\x07\x1b]52;c;?\x07\x1b]2;evil\x07\x1b[21t\x1b[18t\x05"
    )
    assert.deepStrictEqual(made.view().lines.join(""), "")
  })

  it("hostile case 11, hostile case 12: views hold printable characters only", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seeded(seed)
      const lines = screen(Uint8Array.from({ length: 20_000 }, () => Math.floor(random() * 256)))
        .view()
        .lines.join("")
      assert.notMatch(lines, /[\u0000-\u001f\u007f-\u009f]/)
    }
  })

  it("refuses snapshots that are not its own", () => {
    const snapshot = screen("x").serialize()!
    assert.throws(() => Screen.restore(snapshot.subarray(0, 40)))
    assert.throws(() => Screen.restore(bytes("no snapshot")))
  })
})
