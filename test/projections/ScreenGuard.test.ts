import { assert, describe, it } from "@effect/vitest"
import { guard, makeScreenGuard, restoreScreenGuard, saveScreenGuard } from "../../projections/ScreenGuard.ts"
import { bytes, cpuMillis, HOSTILE, latin1, randomCuts, randomOutput, seeded } from "./events.ts"

const size = { cols: 80, rows: 24 }
const through = (data: Uint8Array | string, cuts: ReadonlyArray<number> = []) => {
  const state = makeScreenGuard(size)
  const all = typeof data === "string" ? bytes(data) : data
  const parts: Array<Uint8Array> = []
  let from = 0
  for (const to of [...cuts, all.length]) {
    parts.push(guard(state, all.subarray(from, to)).slice())
    from = to
  }
  return Buffer.concat(parts).toString()
}

describe("ScreenGuard", () => {
  it("leaves what well-behaved programs write as it is", () => {
    for (const text of [
      "plain text\r\n",
      "é 日本 😀 e\u0301 «»\u00a0",
      "\x1b[31m\x1b[1;38;5;200;48;2;1;2;3m\x1b[0m\x1b[m",
      "\x1b[38:2::10:20:30m",
      "\x1b[10;20H\x1b[2J\x1b[K\x1b[?25l\x1b[?1049h\x1b[2;10r",
      "\x1b(0\x1b)B\x1b7\x1b8\x1bM\x1b=\x1b>\x1bc\x1b#8",
      "\x1b]0;title é\x07",
      '\x1b[3 q\x1b[!p\x1b[1"q\x1b[4l',
      "\x1b[24L\x1b[80@\x1b[1920b"
    ]) {
      assert.strictEqual(through(text), text)
    }
    assert.strictEqual(through("\x1b]2;t\x1b\\"), "\x1b]2;t\x07")
  })

  it("hostile case 1: clamps parameters to what the screen can use", () => {
    assert.strictEqual(through("a\x1b[2147483647b"), "a\x1b[1920b")
    for (const [final, limit] of [
      ["L", 24],
      ["M", 24],
      ["S", 24],
      ["T", 24],
      ["I", 80],
      ["Z", 80],
      ["@", 80],
      ["P", 80],
      ["X", 80],
      ["'}", 80]
    ] as const) {
      assert.strictEqual(through(`\x1b[2147483647${final}`), `\x1b[${limit}${final}`)
      assert.strictEqual(through(`\x1b[99${final}`), `\x1b[${Math.min(99, limit)}${final}`)
    }
    assert.strictEqual(through("\x1b[2147483648;99999999999999999999999H"), "\x1b[65535;65535H")
    assert.strictEqual(through(`\x1b[${"1;".repeat(1e4)}m`).length < 100, true)
    assert.strictEqual(through("\x1b[1<5m!"), "!")
  })

  it("hostile case 2, hostile case 3, hostile case 4, hostile case 6: drops links, clipboard, strings and queries, and keeps the text around them", () => {
    assert.strictEqual(through("\x1b]8;id=1;http://x\x07link\x1b]8;;\x07"), "link")
    assert.strictEqual(through("a\x1b]52;c;eA==\x07b\x1b]52;c;?\x1b\\c"), "abc")
    assert.strictEqual(through("\x1b[6n\x1b[c\x1b[>c\x1b[?2004$p\x1b[>q\x1bP$qm\x1b\\\x1b[21t."), ".")
    assert.strictEqual(through("\x1bP$q\nid\n\x1b\\\x1b_x\x07y\x1b\\\x1b^z\u009cok"), "ok")
    assert.strictEqual(through(`\x1b]0;${"z".repeat(8e6)}\x18ok`), "ok")
    assert.strictEqual(through(`\x1bP${"z".repeat(2e7)}\x18ok`), "ok")
  })

  it("control characters inside a sequence act at once, and a broken sequence goes alone", () => {
    assert.strictEqual(through("\x1b[3\n1m"), "\n\x1b[31m")
    assert.strictEqual(through("\x1b[3\x18x"), "x")
    assert.strictEqual(through("\x1b[3\x1b[1m"), "\x1b[1m")
    assert.strictEqual(through("\x1b[3éx"), "éx")
    assert.strictEqual(through("\u009b31mx"), "\x1b[31mx")
  })

  it("gives valid UTF-8 whatever comes in; 8-bit C1 bytes are not controls", () => {
    assert.strictEqual(through(latin1("a\x9b5mb\xff")), "a\ufffd5mb\ufffd")
    assert.strictEqual(through("”“"), "”“")
  })

  it("random output: every split gives the same bytes, also through a saved state, and its result is a fixed point", () => {
    for (let seed = 1; seed <= 80; seed++) {
      const random = seeded(seed)
      const data = randomOutput(random, 80)
      const whole = through(data)
      assert.strictEqual(through(data, randomCuts(random, data.length, 15)), whole, `seed ${seed}`)
      assert.strictEqual(through(whole), whole, `seed ${seed}`)
      let state = makeScreenGuard(size)
      const parts: Array<Uint8Array> = []
      for (const byte of data) {
        parts.push(guard(state, Uint8Array.of(byte)).slice())
        state = restoreScreenGuard(size, saveScreenGuard(state))
      }
      assert.strictEqual(Buffer.concat(parts).toString(), whole, `seed ${seed}`)
    }
  })

  it("hostile output costs little and grows nothing", () => {
    for (const [name, make] of Object.entries(HOSTILE)) {
      const data = make()
      const began = cpuMillis()
      const state = makeScreenGuard(size)
      guard(state, data)
      assert.isBelow(cpuMillis(began), 2000, name)
      assert.isAtMost(state.held.length, 4096)
    }
  })
})
