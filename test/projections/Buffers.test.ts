import { assert, describe, it } from "@effect/vitest"
import { Buffers, makeBuffers, rawTail, rawTailText, TAIL_BYTES_MAX, textTail } from "../../projections/Buffers.ts"
import { LINE_CHARACTERS_MAX } from "../../projections/PlainText.ts"
import { bytes, chunked, cpuMillis, foldAll, HOSTILE, output, randomCuts, randomOutput, seeded } from "./events.ts"

const text = (data: string | Uint8Array) => {
  const { lines, open } = textTail(foldAll(Buffers, [output(data)]))
  return [...lines, open]
}

describe("Buffers", () => {
  it("keeps the last bytes exactly and says how many came before", () => {
    const small = makeBuffers({ tailBytes: 8 })
    const state = foldAll(small, [output("abc", 0), output("defgh", 3), output("ij", 8)])
    assert.deepStrictEqual(rawTail(state), { bytes: bytes("cdefghij"), cutBytes: 2 })
    assert.deepStrictEqual(rawTail(state, 3), { bytes: bytes("hij"), cutBytes: 7 })
    const large = foldAll(small, [output("0123456789abcdef", 0)])
    assert.deepStrictEqual(rawTail(large), { bytes: bytes("89abcdef"), cutBytes: 8 })
    const multi = foldAll(small, [output("aé日本語", 0)])
    assert.deepStrictEqual(rawTailText(multi), { bytes: bytes("本語"), cutBytes: 6 })
    const open = foldAll(Buffers, [output(bytes("aé").subarray(0, 2))])
    assert.deepStrictEqual(rawTailText(open), { bytes: bytes("a"), cutBytes: 0 })
  })

  it("gives plain lines as a terminal would have shown them", () => {
    assert.deepStrictEqual(text("\x1b[31mred\x1b[0m text\r\nnext"), ["red text", "next"])
    assert.deepStrictEqual(text("10%\r50%\r100%\r\n"), ["100%", ""])
    assert.deepStrictEqual(text("abcdef\rxy\x1b[K\n"), ["xy", ""])
    assert.deepStrictEqual(text("lls\b\b\bls\x1b[K -l\n"), ["ls -l", ""])
    assert.deepStrictEqual(text("a\tb\n"), ["a       b", ""])
    assert.deepStrictEqual(text("\x1b]0;title\x07$ \x1bP1;2q#0\x1b\\ok\x1b_x\x1b\\!\n"), ["$ ok!", ""])
    assert.deepStrictEqual(text("before\x1b[?1049h\x1b[Hvim\r\n~\x1b[?1049lafter\n"), ["before", "after", ""])
    assert.deepStrictEqual(text("one\x1b[5;1Htwo\n"), ["one", "two", ""])
    assert.deepStrictEqual(text("abc\x1b[2D\x1b[1P\x1b[2@!\n"), ["a! c", ""])
    assert.deepStrictEqual(text("x\x1b[5Cy   \n"), ["x     y", ""])
  })

  it("hostile case 11: broken UTF-8, cut at each place, stays byte-exact and shows U+FFFD", () => {
    const data = Uint8Array.from([
      0xff, 0xfe, 0x41, 0xc3, 0xa9, 0x42, 0, 0x43, 0xed, 0xa0, 0x80, 0x44, 0xf0, 0x9f, 0x98
    ])
    const whole = foldAll(Buffers, chunked(data, []))
    assert.strictEqual(textTail(whole).open, "\ufffd\ufffdAéBC\ufffd\ufffd\ufffdD")
    for (let cut = 1; cut < data.length; cut++) {
      const state = foldAll(Buffers, chunked(data, [cut]))
      assert.deepStrictEqual(rawTail(state).bytes, data)
      assert.deepStrictEqual(Buffers.encode(state), Buffers.encode(whole), `cut at ${cut}`)
    }
    assert.strictEqual(text(Buffer.concat([data, bytes("\n")]))[0], "\ufffd\ufffdAéBC\ufffd\ufffd\ufffdD\ufffd")
  })

  it("10.1 (6) the streaming decoder agrees with TextDecoder", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seeded(seed)
      // Lead, continuation and ASCII bytes; no controls, which the text leaves out.
      const data = Uint8Array.from({ length: 40 }, () => {
        const roll = random()
        return roll < 0.3 ? 0x41 : roll < 0.7 ? 0x80 + Math.floor(random() * 0x40) : 0xc3 + Math.floor(random() * 0x3d)
      })
      const expected = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat([data, bytes("\n")]))
      const lines = text(Buffer.concat([data, bytes("\n")]))
      assert.strictEqual(lines[0], expected.slice(0, -1), `seed ${seed}`)
    }
  })

  it("hostile case 12: random bytes: every split gives the same state, and a snapshot goes on the same", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = seeded(seed)
      const data =
        seed % 4 === 0 ? Uint8Array.from({ length: 3000 }, () => Math.floor(random() * 256)) : randomOutput(random, 150)
      const small = makeBuffers({ tailBytes: 64, lines: 20, characters: 400 })
      const whole = small.encode(foldAll(small, chunked(data, [])))
      let state = small.initial("x" as never)
      for (const event of chunked(data, randomCuts(random, data.length, 20))) {
        state = small.fold(state, { sequence: 1, timeMicros: 0, actor: "", event })
        if (random() < 0.5) state = small.decode(small.encode(state))
      }
      assert.deepStrictEqual(small.encode(state), whole, `seed ${seed}`)
    }
  })

  it("hostile case 13: a line of 10 MB is cut with a mark, a million empty lines and a pile of marks stay within their caps", () => {
    const began = cpuMillis()
    const [line] = text(`${"x".repeat(10_000_000)}\n`)
    assert.strictEqual(line, `${"x".repeat(LINE_CHARACTERS_MAX)} [… 9990000 more characters]`)
    const empty = foldAll(Buffers, [output("\n".repeat(1_000_000))])
    assert.strictEqual(textTail(empty).lines.length, 10_000)
    assert.strictEqual(textTail(empty, 10).droppedLines, 999_990)
    assert.strictEqual(rawTail(empty).bytes.length, TAIL_BYTES_MAX)
    assert.isBelow(text(`a${"\u0301".repeat(100_000)}\n`)[0]!.length, LINE_CHARACTERS_MAX + 100)
    assert.isBelow(cpuMillis(began), 5000)
  })

  it("hostile output costs little", () => {
    for (const [name, make] of Object.entries(HOSTILE)) {
      const data = make()
      const began = cpuMillis()
      const state = foldAll(Buffers, [output(data)])
      Buffers.decode(Buffers.encode(state))
      assert.isBelow(cpuMillis(began), 2000, name)
    }
  })
})
