import { assert, describe, it } from "@effect/vitest"
import { escapeArguments, escapeBytes, escapeText } from "../../cli/Escape.ts"

const TEXT: ReadonlyArray<readonly [string, string]> = [
  ["plain text, ünïcödé, 日本語, 👩‍💻", "plain text, ünïcödé, 日本語, 👩‍💻"],
  ["a\nb\r\tc", "a\\nb\\r\\tc"],
  ["\u001b]0;title\u0007", "\\e]0;title\\a"],
  ["\u0000\u007f", "\\x00\\x7f"],
  ["\u009b31m", "\\x9b31m"],
  ["user\u202egnp.exe", "user\\u{202e}gnp.exe"],
  ["\u2066\u200f\u061c\u2028\ufeff\u200b", "\\u{2066}\\u{200f}\\u{61c}\\u{2028}\\u{feff}\\u{200b}"],
  ["\u{e0041}", "\\u{e0041}"],
  ["\ud800x", "\\u{d800}x"]
]

const BYTES: ReadonlyArray<readonly [ReadonlyArray<number>, string]> = [
  [[0x68, 0x69, 0x0d, 0x0a], "hi\\r\\n"],
  [[0xc3, 0xa9], "é"],
  [[0xff, 0xfe, 0x41], "\\xff\\xfeA"],
  [[0xc3], "\\xc3"],
  [[0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"],
  [[0xc0, 0xaf], "\\xc0\\xaf"],
  [[0xc2, 0x9b], "\\x9b"],
  [[0xf0, 0x9f, 0x98, 0x80, 0x1b], "😀\\e"],
  [[0xf4, 0x90, 0x80, 0x80], "\\xf4\\x90\\x80\\x80"]
]

describe("hostile case 9, hostile case 10: Escape", () => {
  for (const [input, expected] of TEXT) {
    it(`shows ${expected}`, () => {
      assert.strictEqual(escapeText(input), expected)
    })
  }

  for (const [input, expected] of BYTES) {
    it(`shows the bytes ${input.map((byte) => byte.toString(16)).join(" ")}`, () => {
      assert.strictEqual(escapeBytes(Uint8Array.from(input)), expected)
    })
  }

  it("no byte whatever becomes a control character", () => {
    const all = Uint8Array.from({ length: 65_536 }, (_, index) => (index >> (index % 2 === 0 ? 8 : 0)) & 0xff)
    assert.notMatch(escapeBytes(all), /[\u0000-\u001f\u007f-\u009f]/)
  })

  it("quotes arguments as a person would type them", () => {
    assert.strictEqual(escapeArguments(["sh", "-c", "echo 'a b'\n", ""]), `sh -c 'echo '\\''a b'\\''\\n' ''`)
  })
})
