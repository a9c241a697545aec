/** Texts found in what stands for removed events: wherever they stand, as many as there may be, in a time that is known. */
import { assert, describe, it } from "@effect/vitest"
import { SecretMask } from "../../src/redact/SecretMask.ts"
import { cpuMillis } from "../projections/events.ts"

const maskOf = (...texts: ReadonlyArray<string>) => new SecretMask({ texts, size: { cols: 80, rows: 24 } })

describe("SecretMask", () => {
  it("keeps units, bytes and lines of a text", () => {
    for (const [secret, text, masked] of [
      ["b", "abc", "a*c"],
      ["密码", "x密码y", "x\uff0a\uff0ay"],
      ["\u{1f600}a", "\u{1f600}ab", "\u{1f534}*b"],
      ["two\nthree", "one two\r\nthree four", "one ***\r\n***** four"],
      ["secret", "se\u200bcret", "**\u200b****"],
      ["secret", "\x1b[31mse\x1b[mcret", "\x1b[31m**\x1b[m****"],
      ["", "abc", "abc"]
    ] as const) {
      const mask = maskOf(secret)
      assert.strictEqual(mask.text(text), masked)
      assert.strictEqual(Buffer.byteLength(masked), Buffer.byteLength(text))
      assert.strictEqual(mask.places > 0, masked !== text)
    }
  })

  it("finds texts that overlap, or begin alike, and one over several words, or a name and its value", () => {
    assert.strictEqual(maskOf("abc123", "123xyz").text("-abc123xyz-"), "-*********-")
    assert.strictEqual(maskOf("token-1", "token-12345").text("token-12345 token-19"), "*********** *******9")
    assert.deepStrictEqual(maskOf("two three").words(["one", "two", "three"]), ["one", "***", "*****"])
    assert.deepStrictEqual(maskOf("KEY=abc").pair("KEY", "abc"), ["***", "***"])
    assert.deepStrictEqual(maskOf("abc").pair("KEY", "abc"), ["KEY", "***"])
  })

  it("finds them in what a terminal draws, and in the forms of a control string", () => {
    const drawn = maskOf("hunter2").output(Buffer.from("hun\x1b[31mter2 hxnter2\x1b[6D\x1b[1C\r\n"), false)
    assert.strictEqual(Buffer.from(drawn).toString(), "***\x1b[31m**** hxnter2\x1b[6D\x1b[1C\r\n")
    const osc = (payload: string) => Buffer.from(maskOf("my key").controlString(Buffer.from(payload))).toString()
    assert.strictEqual(osc("0;my key"), "0;******")
    assert.notInclude(osc("7;file://h/my%20key"), "key")
    assert.strictEqual(osc("0;nothing"), "0;nothing")
  })

  it("takes no longer for thousands of texts that begin alike, or for one that repeats itself", () => {
    const tokens = Array.from({ length: 10_000 }, (_, at) => `ghp_secret${String(at).padStart(12, "0")}`)
    const text = `${tokens.join(" ")}\n`.repeat(4)
    const began = cpuMillis()
    assert.notMatch(maskOf(...tokens).text(text), /ghp_/)
    assert.notInclude(maskOf("a".repeat(16_000)).text("a".repeat(1024 * 1024)), "a".repeat(16_000))
    assert.isBelow(cpuMillis(began), 5_000)
  })
})
