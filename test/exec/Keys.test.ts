import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import {
  hexBytes,
  KEY_NAMES,
  keyBytes,
  keysBytes,
  PASTE_END,
  PASTE_START,
  pasteBytes,
  typingBytes,
  UnknownKey
} from "../../src/exec/Keys.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const show = (bytes: Uint8Array) => Buffer.from(bytes).toString()
const key = (name: string) => {
  const result = keyBytes(name)
  return Result.isSuccess(result) ? show(result.success) : result.failure
}
const unknown = (name: string): UnknownKey => {
  const result = key(name)
  assert.instanceOf(result, UnknownKey, name)
  return result as UnknownKey
}

const DELTA: Readonly<Record<string, string>> = {
  arrow_up: "\x1b[A",
  arrow_down: "\x1b[B",
  arrow_right: "\x1b[C",
  arrow_left: "\x1b[D",
  enter: "\r",
  tab: "\t",
  escape: "\x1b",
  space: " ",
  backspace: "\x7f",
  home: "\x1b[H",
  end: "\x1b[F",
  page_up: "\x1b[5~",
  page_down: "\x1b[6~",
  delete: "\x1b[3~",
  insert: "\x1b[2~",
  f1: "\x1bOP",
  f2: "\x1bOQ",
  f3: "\x1bOR",
  f4: "\x1bOS",
  f5: "\x1b[15~",
  f6: "\x1b[17~",
  f7: "\x1b[18~",
  f8: "\x1b[19~",
  f9: "\x1b[20~",
  f10: "\x1b[21~",
  f11: "\x1b[23~",
  f12: "\x1b[24~"
}

const TOKENS: Readonly<Record<string, string>> = {
  Enter: "\r",
  ENTER: "\r",
  Return: "\r",
  Tab: "\t",
  "S-Tab": "\x1b[Z",
  BTab: "\x1b[Z",
  "shift+tab": "\x1b[Z",
  Escape: "\x1b",
  Esc: "\x1b",
  Space: " ",
  BSpace: "\x7f",
  Up: "\x1b[A",
  Down: "\x1b[B",
  Right: "\x1b[C",
  Left: "\x1b[D",
  Home: "\x1b[H",
  End: "\x1b[F",
  PPage: "\x1b[5~",
  PageUp: "\x1b[5~",
  PgUp: "\x1b[5~",
  NPage: "\x1b[6~",
  PageDown: "\x1b[6~",
  PgDn: "\x1b[6~",
  DC: "\x1b[3~",
  Delete: "\x1b[3~",
  IC: "\x1b[2~",
  Insert: "\x1b[2~",
  F1: "\x1bOP",
  F12: "\x1b[24~",
  "C-c": "\x03",
  "c-C": "\x03",
  "^C": "\x03",
  "^c": "\x03",
  "^[": "\x1b",
  "^?": "\x7f",
  "^@": "\0",
  "M-x": "\x1bx",
  "M-X": "\x1bX",
  "A-x": "\x1bx",
  "alt+x": "\x1bx",
  "meta+x": "\x1bx",
  "M-é": "\x1bé",
  "S-a": "A",
  "C-Space": "\0",
  "C-@": "\0",
  "C-2": "\0",
  "C-[": "\x1b",
  "C-\\": "\x1c",
  "C-]": "\x1d",
  "C-^": "\x1e",
  "C-_": "\x1f",
  "C-/": "\x1f",
  "C-?": "\x7f",
  "C-8": "\x7f",
  "C-M-c": "\x1b\x03",
  "M-C-c": "\x1b\x03",
  "M-^C": "\x1b\x03",
  "ctrl+alt+c": "\x1b\x03",
  "ctrl+shift+c": "\x03",
  "M-Enter": "\x1b\r",
  "M-BSpace": "\x1b\x7f",
  "C-BSpace": "\b",
  "M-S-Tab": "\x1b\x1b[Z",
  "C-Enter": "\r",
  "C-Up": "\x1b[1;5A",
  "S-Up": "\x1b[1;2A",
  "M-Up": "\x1b[1;3A",
  "C-M-S-Up": "\x1b[1;8A",
  "ctrl+arrow_left": "\x1b[1;5D",
  "C-Home": "\x1b[1;5H",
  "S-End": "\x1b[1;2F",
  "C-DC": "\x1b[3;5~",
  "M-PPage": "\x1b[5;3~",
  "C-F1": "\x1b[1;5P",
  "S-F5": "\x1b[15;2~",
  KPEnter: "\x1bOM",
  KP0: "\x1bOp",
  KP5: "\x1bOu",
  KP9: "\x1bOy",
  "KP/": "\x1bOo",
  "KP*": "\x1bOj",
  "KP-": "\x1bOm",
  "KP+": "\x1bOk",
  "KP.": "\x1bOn"
}

describe("keys", () => {
  for (const [name, bytes] of Object.entries(DELTA)) it(`D22: ${name}`, () => assert.strictEqual(key(name), bytes))
  it("D22: ctrl+a to ctrl+z", () => {
    for (let code = 1; code <= 26; code++) {
      const letter = String.fromCharCode(0x60 + code)
      for (const name of [`ctrl+${letter}`, `C-${letter}`, `^${letter}`]) {
        assert.strictEqual(key(name), String.fromCharCode(code), name)
      }
    }
  })
  for (const [name, bytes] of Object.entries(TOKENS)) it(`R25: ${name}`, () => assert.strictEqual(key(name), bytes))

  it("R24: are characters, which stand for themselves", () => {
    for (const character of ["h", "H", "^", "-", "+", "é", "日", "😀", "\r", "\0", " "]) {
      assert.strictEqual(key(character), character)
    }
    const result = keysBytes(["h", "i", "Enter"])
    assert.strictEqual(show(Result.getOrThrow(result)), "hi\r")
    assert.strictEqual(Result.getOrThrow(keysBytes([])).length, 0)
  })

  it("R25: every name is a key, in any case", () => {
    for (const name of KEY_NAMES) for (const one of [name, name.toUpperCase()]) assert.isString(key(one), one)
    assert.strictEqual(new Set(KEY_NAMES).size, KEY_NAMES.length)
  })

  it("D22: an unknown one is an error that lists the names and the nearest", () => {
    const error = unknown("arow_up")
    assert.deepStrictEqual(
      [error._tag, error.code, error.key, error.suggestion],
      ["UnknownKey", "InvalidArgument", "arow_up", "arrow_up"]
    )
    for (const name of ["arrow_up", "enter", "f12", "KPEnter"]) assert.include(error.message, name)
    assert.deepStrictEqual(error.names, KEY_NAMES)
    const suggestions = {
      entr: "enter",
      "page up": "page_up",
      "ctl+c": "ctrl+c",
      "C-Upp": "C-Up",
      "shift+tabb": "shift+tab",
      F13: "f1",
      hello: null,
      xyzzyplugh: null
    }
    for (const [name, suggestion] of Object.entries(suggestions)) {
      assert.strictEqual(unknown(name).suggestion, suggestion, name)
    }
    assert.strictEqual(key("KP_5"), "\x1bOu")
  })

  it("D22: nothing and what no terminal sends are unknown too", () => {
    const names = [
      "",
      "C-",
      "ctrl+",
      "^",
      "C-é",
      "C--",
      "C-C-C-C-c",
      "\ud800",
      "M-\ud800",
      "M-hello",
      "hi",
      "  ",
      "__proto__"
    ]
    for (const name of names.filter((one) => one !== "^")) unknown(name)
    const long = unknown("C-".repeat(1_000_000))
    assert.isAtMost(long.key.length, 64)
    const result = keysBytes(["a", "nope", "b"])
    assert.isTrue(Result.isFailure(result) && result.failure.key === "nope")
  })

  it("R25: hex tokens, with a warning for those that are none", () => {
    const { bytes, warnings } = hexBytes(["0d", "0x0a", "zz", "A", "0XFF", "100", ""])
    assert.deepStrictEqual([...bytes], [0x0d, 0x0a, 0x0a, 0xff])
    assert.strictEqual(warnings.length, 3)
    assert.include(warnings[0], "zz")
  })

  it("R25: text, hex and keys together", () => {
    const typed = Result.getOrThrow(typingBytes({ literal: "hi", hex: ["0d", "0x0a", "zz"], keys: ["Enter"] }))
    assert.strictEqual(show(typed.bytes), "hi\r\n\r")
    assert.strictEqual(typed.warnings.length, 1)
    assert.strictEqual(Result.getOrThrow(typingBytes({})).bytes.length, 0)
    assert.isTrue(Result.isFailure(typingBytes({ literal: "hi", keys: ["nope"] })))
  })

  it("R25: a paste is bracketed, and cannot end itself", () => {
    const inner = (text: string) => show(pasteBytes(text)).slice(PASTE_START.length, -PASTE_END.length)
    assert.strictEqual(show(pasteBytes("line1\nline2é")), "\x1b[200~line1\nline2é\x1b[201~")
    assert.strictEqual(show(pasteBytes("")), "\x1b[200~\x1b[201~")
    assert.strictEqual(show(pasteBytes("a\n", { bracketed: false })), "a\n")
    assert.strictEqual(inner("a\x1b[201~rm\x1b[201~b"), "armb")
    assert.strictEqual(inner("a\x1b[20\x1b[201~1~b"), "ab")
    assert.strictEqual(inner("a\u009b201~b"), "ab")
    assert.strictEqual(inner("\x1b[2\u009b201~01~b"), "b")
    assert.strictEqual(inner("\x1b[200~x~"), "\x1b[200~x~")
    const random = seededRandom(25)
    for (let turn = 0; turn < 2000; turn++) {
      const pieces = ["\x1b[201~", "\x1b[2", "01~", "\x1b", "[20", "1~", "~", "\u009b", "201~", "x"]
      const text = Array.from({ length: random.below(30) }, () => pieces[random.below(pieces.length)]).join("")
      const pasted = show(pasteBytes(text))
      assert.strictEqual(pasted.indexOf(PASTE_END), pasted.length - PASTE_END.length, JSON.stringify(text))
      assert.isFalse(pasted.includes("\u009b201~"))
    }
  })
})
