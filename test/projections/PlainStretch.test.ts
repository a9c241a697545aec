import { assert, describe, it } from "@effect/vitest"
import { isPlain } from "../../projections/PlainStretch.ts"
import { Screen } from "../../projections/Screen.ts"
import { bytes, randomOutput, seeded } from "./events.ts"

const LINES: ReadonlyArray<(random: () => number, index: number) => string> = [
  (_, index) => `line ${index}\r\n`,
  (random, index) => `\x1b[3${index % 8}m${"x".repeat(Math.floor(random() * 120))}\x1b[0m\r\n`,
  (_, index) => `\x1b[48;5;${index % 256}mé日本\x1b[m\x1b[K\r\n`,
  (_, index) => `\x1b[1;4${index % 8}mstays\r\n`,
  () => "\tonly\n",
  () => "over\rwritten\b\b\r\n",
  () => "\x1b[2K\x1b[38;2;1;2;3m\x1b[4:3m~\r\n",
  () => "\xffbroken\xc3\r\n",
  () => "\r\n",
  () => "e\u0301 \u00b0 no end"
]
/** What a stretch must not go over. */
const OTHERS = [
  "\x1b[5;10r",
  "\x0e",
  "\x0f",
  "\x1b[?1049h",
  "\x1b[A",
  "\u009b31m",
  "\u0084",
  "\x1b[4h",
  "\x1b]2;t\x07",
  "\x1bc"
]

const log = (random: () => number, count: number): Uint8Array => {
  const kinds = LINES.filter(() => random() < 0.5)
  if (kinds.length === 0) kinds.push(LINES[0]!)
  const parts: Array<string> = []
  for (let index = 0; index < count; index++) {
    parts.push(kinds[Math.floor(random() * kinds.length)]!(random, index))
    if (random() < 0.0002) parts.push(OTHERS[Math.floor(random() * OTHERS.length)]!)
  }
  // As bytes: some of the lines are broken UTF-8.
  return new Uint8Array(
    Buffer.concat(parts.map((part) => Buffer.from(part, part.includes("broken") ? "latin1" : "utf8")))
  )
}

describe("Screen.feed of long output", () => {
  it("leaves the same state, byte by byte, as drawing all of it", () => {
    let fedBytes = 0
    let skippedBytes = 0
    for (let seed = 1; seed <= 12; seed++) {
      const random = seeded(seed)
      const size = { cols: 2 + Math.floor(random() * 100), rows: 1 + Math.floor(random() * 40) }
      const skipping = new Screen(size)
      const drawing = new Screen(size)
      for (let round = 0; round < 3; round++) {
        const before = round === 0 ? new Uint8Array(0) : randomOutput(random, 20)
        const ordinary = bytes(random() < 0.7 ? "\x18\x1b[?1049l\x1b[r\x1b(B\x0f" : "")
        const data = Buffer.concat([
          before,
          ordinary,
          log(random, 1500 + Math.floor(random() * 3000)),
          randomOutput(random, 3)
        ])
        const cut = Math.floor(random() * data.length)
        skipping.feed(data.subarray(0, cut))
        skipping.feed(data.subarray(cut))
        for (let at = 0; at < data.length; at += 4096) drawing.feed(data.subarray(at, at + 4096))
        fedBytes += data.length
        assert.deepStrictEqual(skipping.serialize(), drawing.serialize(), `seed ${seed} round ${round}`)
      }
      skippedBytes += skipping.skippedBytes
      assert.strictEqual(drawing.skippedBytes, 0)
    }
    // It did leave out something: else this test says nothing.
    assert.isAbove(skippedBytes, fedBytes / 4)
  })
})

describe("Screen.jump", () => {
  const PLAIN = LINES.filter((line) => !line(() => 0.5, 1).includes("\x1b"))
  const plainLog = (random: () => number, count: number): Uint8Array => {
    const parts = Array.from({ length: count }, (_, index) =>
      PLAIN[Math.floor(random() * PLAIN.length)]!(random, index)
    )
    return new Uint8Array(
      Buffer.concat(parts.map((part) => Buffer.from(part, part.includes("broken") ? "latin1" : "utf8")))
    )
  }

  it("over plain output leaves the same state, byte by byte, as drawing all of it; or draws nothing", () => {
    let jumps = 0
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed)
      const size = { cols: 2 + Math.floor(random() * 100), rows: 1 + Math.floor(random() * 40) }
      const jumping = new Screen(size)
      const drawing = new Screen(size)
      // Colours, modes and a place of the cursor; sometimes margins, another character set or the alternate screen.
      const before = Buffer.concat([
        randomOutput(random, 20),
        bytes(random() < 0.7 ? "\x18\x1b[?1049l\x1b[r" : ""),
        plainLog(random, 3)
      ])
      const middle = plainLog(random, 3000)
      assert.isTrue(isPlain(middle))
      const end = plainLog(random, 2400)
      for (const screen of [jumping, drawing]) screen.feed(before)
      const unmoved = jumping.serialize()
      if (jumping.jump(end)) {
        jumps++
        for (const data of [middle, end]) {
          for (let at = 0; at < data.length; at += 4096) drawing.feed(data.subarray(at, at + 4096))
        }
        assert.deepStrictEqual(jumping.serialize(), drawing.serialize(), `seed ${seed}`)
      } else assert.deepStrictEqual(jumping.serialize(), unmoved, `seed ${seed}`)
    }
    assert.isAbove(jumps, 20)
  })

  it("what is not plain is not taken for plain", () => {
    for (const other of OTHERS.filter((text) => !text.startsWith("\x1b") || text.length > 1)) {
      const data = new Uint8Array(Buffer.from(`line\r\n${other}line\r\n`))
      assert.isFalse(isPlain(data), JSON.stringify(other))
    }
    assert.isFalse(isPlain(new Uint8Array([0x61, 0xc2])), "half of what may be a control")
    assert.isTrue(isPlain(new Uint8Array(Buffer.from("caf\u00e9 \u00b0 \u65e5\r\n\t\b"))))
  })
})
