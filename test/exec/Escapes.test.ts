import { assert, describe, it } from "@effect/vitest"
import { parseEscapes, showEscapes } from "../../src/exec/Escapes.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const utf8 = (text: string) => [...Buffer.from(text)]

// The text as it is typed (String.raw), and the bytes it stands for.
const rows: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
  ["", []],
  ["hello", utf8("hello")],
  [String.raw`hello\nworld`, utf8("hello\nworld")],
  [String.raw`\n`, [0x0a]],
  [String.raw`\r`, [0x0d]],
  [String.raw`\t`, [0x09]],
  [String.raw`\b`, [0x08]],
  [String.raw`\f`, [0x0c]],
  [String.raw`\v`, [0x0b]],
  [String.raw`a\r\nb`, utf8("a\r\nb")],
  [String.raw`\n\n\n`, utf8("\n\n\n")],
  [String.raw`\x1B[A`, utf8("\x1b[A")],
  [String.raw`\x1b[A`, utf8("\x1b[A")],
  [String.raw`\x03`, [3]],
  [String.raw`\x00`, [0]],
  [String.raw`\x7f`, [0x7f]],
  [String.raw`\xff`, [0xff]],
  [String.raw`\xc3\xa9`, utf8("é")],
  [String.raw`\x414`, utf8("A4")],
  [String.raw`\u0041`, utf8("A")],
  [String.raw`\u00e9`, utf8("é")],
  [String.raw`\u00E9`, utf8("é")],
  [String.raw`\u20ac`, utf8("€")],
  [String.raw`\u0000`, [0]],
  [String.raw`\ud83d\ude00`, utf8("😀")],
  [String.raw`\u00411`, utf8("A1")],
  [String.raw`\\`, utf8("\\")],
  [String.raw`\\n`, utf8("\\n")],
  ["\\\\\\\\", utf8("\\\\")],
  [String.raw`\\\n`, utf8("\\\n")],
  [String.raw`\\x41`, utf8("\\x41")],
  [String.raw`\x5cn`, utf8("\\n")],
  [String.raw`\x1`, utf8("\\x1")],
  [String.raw`\x`, utf8("\\x")],
  [String.raw`\xzz`, utf8("\\xzz")],
  [String.raw`\u001`, utf8("\\u001")],
  [String.raw`\u`, utf8("\\u")],
  [String.raw`\u{41}`, utf8("\\u{41}")],
  [String.raw`\q`, utf8("\\q")],
  [String.raw`\N\R\T`, utf8("\\N\\R\\T")],
  [String.raw`\X41`, utf8("\\X41")],
  [String.raw`\U0041`, utf8("\\U0041")],
  [String.raw`\e[A`, utf8("\\e[A")],
  [String.raw`\0`, utf8("\\0")],
  [String.raw`\ud83d`, utf8("\\ud83d")],
  [String.raw`\ude00\ud83d`, utf8("\\ude00\\ud83d")],
  [String.raw`\ud83d\n`, utf8("\\ud83d\n")],
  ["end\\", utf8("end\\")],
  ["a\0b", [0x61, 0, 0x62]],
  [`a\0b${String.raw`\\`}\0`, [0x61, 0, 0x62, 0x5c, 0]],
  ["a\nb", utf8("a\nb")],
  ["日本😀", utf8("日本😀")],
  [String.raw`echo "a\tb"\r`, utf8('echo "a\tb"\r')]
]

describe("escapes", () => {
  for (const [text, bytes] of rows) {
    it(`D21: ${JSON.stringify(text)}`, () => assert.deepStrictEqual([...parseEscapes(text)], bytes))
  }

  it("D21: shown bytes read back to the same", () => {
    for (const [, bytes] of rows) {
      const shown = showEscapes(Uint8Array.from(bytes))
      assert.deepStrictEqual([...parseEscapes(shown)], bytes, shown)
    }
    const random = seededRandom(21)
    const pieces = [
      "\\",
      "n",
      "x41",
      "u0041",
      "é",
      "😀",
      "\u202e",
      "\u2028",
      "\u0085",
      "\ufeff",
      "\x1b",
      "\0",
      "d83d",
      "\\u"
    ]
    for (let turn = 0; turn < 3000; turn++) {
      const bytes = Buffer.concat(
        Array.from({ length: random.below(12) }, () =>
          random.below(3) === 0 ? random.bytes(random.below(5)) : Buffer.from(pieces[random.below(pieces.length)]!)
        )
      )
      const shown = showEscapes(bytes)
      assert.deepStrictEqual([...parseEscapes(shown)], [...bytes], shown)
      assert.match(shown, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]*$/u)
    }
  })

  it("D21: shows what acts on a terminal as escapes, and the rest as it is", () => {
    assert.strictEqual(showEscapes(Buffer.from('\x1b[31m"é日😀"\r\n\\\0\x7f')), '\\x1b[31m"é日😀"\\r\\n\\\\\\x00\\x7f')
    assert.strictEqual(showEscapes(Buffer.from("\u0085\u202e\u{e0001}")), "\\u0085\\u202e\\udb40\\udc01")
    assert.strictEqual(showEscapes(Uint8Array.from([0xff, 0xc3, 0x41, 0xe2, 0x82])), "\\xff\\xc3A\\xe2\\x82")
  })

  it("D21: stays quick on long input", () => {
    const before = process.cpuUsage().user
    parseEscapes("\\".repeat(500_001))
    parseEscapes("\\ud83d".repeat(100_000))
    showEscapes(Buffer.alloc(500_000, 0xe2))
    assert.isBelow((process.cpuUsage().user - before) / 1000, 4000)
  })
})
