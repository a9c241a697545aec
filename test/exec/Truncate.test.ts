import { assert, describe, it } from "@effect/vitest"
import type { Truncation } from "../../src/exec/Exec.ts"
import {
  CURSOR_ANSWER,
  HeadTail,
  type HeadTailOptions,
  headTail,
  lastLines,
  linesFrom,
  stripCursorQueries
} from "../../src/exec/Truncate.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const isValid = (bytes: Uint8Array) => {
  try {
    strict.decode(bytes)
    return true
  } catch {
    return false
  }
}
const run = (maxBytes: number, chunks: ReadonlyArray<Uint8Array | string>, options?: HeadTailOptions) => {
  const view = new HeadTail(maxBytes, options)
  for (const chunk of chunks) view.push(Buffer.from(chunk as string))
  return view.result()
}
const tailOnly = (maxBytes: number, ...chunks: ReadonlyArray<string>) => run(maxBytes, chunks, { headBytes: 0 })

describe("HeadTail", () => {
  it("gives everything when it fits, and says so", () => {
    assert.deepStrictEqual(run(10, []), { bytes: new Uint8Array(0), truncation: null })
    for (const max of [10, 11, 1000]) {
      const { bytes, truncation } = run(max, ["01234", "", "56789"])
      assert.deepStrictEqual([text(bytes), truncation], ["0123456789", null])
    }
    // Also what is not UTF-8, and a character that is not finished.
    assert.deepStrictEqual([...run(3, [Uint8Array.of(0x80, 0xff, 0xe2)]).bytes], [0x80, 0xff, 0xe2])
  })

  it("keeps head and tail, half each, and says what lies between", () => {
    const { bytes, truncation } = run(6, ["0123456789"])
    assert.strictEqual(text(bytes), "012789")
    const expected: Truncation = {
      totalBytes: 10,
      headBytes: 3,
      tailBytes: 3,
      omittedBytes: 4,
      omittedFrom: 3,
      omittedTo: 7
    }
    assert.deepStrictEqual(truncation, expected)
    assert.strictEqual(text(run(7, ["0123456789"]).bytes), "0126789")
  })

  it("R21: a cap of 10 keeps the last 10", () => {
    const { bytes, truncation } = tailOnly(10, "0123456789", "abcdef")
    assert.deepStrictEqual([text(bytes), truncation?.omittedBytes, truncation?.tailBytes], ["6789abcdef", 6, 10])
  })

  it("R22: a cap of 20,000 keeps the last of 90,000", () => {
    const { bytes, truncation } = tailOnly(20_000, "a".repeat(70_000), "b".repeat(20_000))
    assert.strictEqual(text(bytes), "b".repeat(20_000))
    assert.strictEqual(truncation?.totalBytes, 90_000)
  })

  it("R23: streams are capped each for itself", () => {
    assert.strictEqual(text(tailOnly(10, "aaaaaa", "bbbbbb").bytes), "aaaabbbbbb")
    assert.strictEqual(text(tailOnly(10, "cccccccccccc").bytes), "cccccccccc")
  })

  it("works with a cap of 0 and of 1, and with one that is no number of bytes", () => {
    for (const max of [0, -1, Number.NaN, 0.9]) {
      const { bytes, truncation } = run(max, ["ab", "c"])
      assert.strictEqual(bytes.length, 0)
      assert.deepStrictEqual([truncation?.omittedFrom, truncation?.omittedTo, truncation?.totalBytes], [0, 3, 3])
      assert.isNull(run(max, []).truncation)
    }
    assert.deepStrictEqual([text(run(1, ["abc"]).bytes), run(1, ["abc"]).truncation?.omittedTo], ["c", 2])
    assert.isNull(run(1, ["a"]).truncation)
    assert.deepStrictEqual([...run(1, ["a€"]).bytes], [])
    assert.strictEqual(text(run(Number.POSITIVE_INFINITY, ["abc"], { headBytes: 1 }).bytes), "abc")
    assert.strictEqual(text(run(4, ["0123456789"], { headBytes: 99 }).bytes), "0123")
  })

  it("D14: never cuts a character, wherever the chunks are cut", () => {
    const euros = Buffer.from("€".repeat(30))
    for (let max = 0; max < 90; max++) {
      const { bytes, truncation } = headTail(euros, max)
      assert.isTrue(isValid(bytes), `${max}`)
      assert.isAtLeast(bytes.length, max - 4)
      assert.strictEqual(truncation!.omittedFrom % 3, 0)
      assert.strictEqual(truncation!.omittedTo % 3, 0)
    }
  })

  it("gives the same for every chunking, valid text for valid text, and adds up", () => {
    const random = seededRandom(23)
    const pieces = ["a", "é", "€", "😀", "e\u0301", "\n", "\0"]
    for (let turn = 0; turn < 4000; turn++) {
      const valid = random.below(2) === 0
      const all = Buffer.concat(
        Array.from({ length: random.below(30) }, () =>
          valid || random.below(2) === 0
            ? Buffer.from(pieces[random.below(pieces.length)]!)
            : random.bytes(random.below(4))
        )
      )
      const max = random.below(40)
      const options = [undefined, { headBytes: 0 }, { headBytes: random.below(max + 1) }][random.below(3)]
      const view = new HeadTail(max, options)
      for (let at = 0; at < all.length; ) {
        const chunk = all.subarray(at, at + 1 + random.below(9))
        view.push(chunk)
        at += chunk.length
        if (random.below(4) === 0) view.result()
      }
      const result = view.result()
      assert.deepStrictEqual(result, headTail(all, max, options))
      assert.strictEqual(view.totalBytes, all.length)
      const { bytes, truncation } = result
      assert.isAtMost(bytes.length, max)
      if (valid) assert.isTrue(isValid(bytes))
      if (truncation === null) {
        assert.deepStrictEqual([...bytes], [...all])
        continue
      }
      assert.isAbove(all.length, max)
      assert.isAtLeast(bytes.length, max - 6)
      assert.deepStrictEqual(
        [...bytes],
        [...all.subarray(0, truncation.omittedFrom), ...all.subarray(truncation.omittedTo)]
      )
      assert.strictEqual(truncation.headBytes, truncation.omittedFrom)
      assert.strictEqual(truncation.tailBytes, all.length - truncation.omittedTo)
      assert.strictEqual(truncation.headBytes + truncation.omittedBytes + truncation.tailBytes, truncation.totalBytes)
    }
  })

  it("keeps bytes that are no text", () => {
    assert.deepStrictEqual([...headTail(new Uint8Array(50).fill(0x80), 10).bytes], new Array(10).fill(0x80))
    assert.strictEqual(headTail(new Uint8Array(50).fill(0xff), 10).bytes.length, 10)
    assert.isAtLeast(headTail(new Uint8Array(50).fill(0xf0), 10).bytes.length, 9)
  })

  it("keeps no more than its cap in memory", () => {
    const view = new HeadTail(1024)
    const chunk = new Uint8Array(1024 * 1024)
    const before = process.memoryUsage().arrayBuffers
    for (let turn = 0; turn < 200; turn++) view.push(chunk)
    assert.isBelow(process.memoryUsage().arrayBuffers - before, 64 * 1024)
    assert.strictEqual(view.result().truncation?.omittedBytes, 200 * 1024 * 1024 - 1024)
  })
})

describe("lines", () => {
  it("R29: a limit without an offset gives the last lines", () => {
    for (const end of ["", "\n", "\r\n"]) {
      assert.deepStrictEqual(lastLines(`one\ntwo\r\nthree${end}`, 2), { text: "two\nthree", totalLines: 3, from: 1 })
    }
    assert.strictEqual(lastLines("one\ntwo", 9).text, "one\ntwo")
    assert.deepStrictEqual(lastLines("one\ntwo", 0), { text: "", totalLines: 2, from: 2 })
    assert.deepStrictEqual(lastLines("", 3), { text: "", totalLines: 0, from: 0 })
    assert.strictEqual(lastLines("a\n\n\nb\n\n", 2).text, "b\n")
  })

  it("R29: an offset and a limit give the lines from there", () => {
    assert.deepStrictEqual(linesFrom("alpha\nbeta\ngamma", 1, 1), { text: "beta", totalLines: 3, from: 1 })
    assert.strictEqual(linesFrom("alpha\nbeta\ngamma\n", 1).text, "beta\ngamma")
    assert.deepStrictEqual(linesFrom("alpha", 5, 1), { text: "", totalLines: 1, from: 1 })
    assert.strictEqual(linesFrom("alpha\nbeta", -3, 1).text, "alpha")
    assert.strictEqual(linesFrom("alpha\nbeta", 0, 0).text, "")
  })

  it("D25: the last 2 of 5", () => assert.strictEqual(lastLines("1\n2\n3\n4\n5\n", 2).text, "4\n5"))
})

describe("cursor queries", () => {
  it("R26: are removed and counted", () => {
    const { cleaned, count } = stripCursorQueries(Buffer.from("hi\x1b[6nthere\x1b[?6n"))
    assert.deepStrictEqual([text(cleaned), count], ["hithere", 2])
    assert.strictEqual(CURSOR_ANSWER, "\x1b[1;1R")
  })

  it("R26: nothing else is", () => {
    for (const kept of ["", "hi", "\x1b[5n", "\x1b[?16n", "\x1b[66n", "[6n", "\x1b[6m", "\x1b\x1b[ 6n"]) {
      const result = stripCursorQueries(Buffer.from(kept))
      assert.deepStrictEqual([text(result.cleaned), result.count, result.incompleteBytes], [kept, 0, 0])
    }
    assert.deepStrictEqual(text(stripCursorQueries(Buffer.from("\x1b\x1b[6n\x1b[6n[6n")).cleaned), "\x1b[6n")
  })

  it("R26: a stream cut anywhere gives the same", () => {
    const random = seededRandom(26)
    const pieces = ["\x1b[6n", "\x1b[?6n", "\x1b", "[", "6", "n", "?", "a", "\x1b[", "\x1b[?"]
    for (let turn = 0; turn < 2000; turn++) {
      const all = Buffer.from(
        Array.from({ length: random.below(20) }, () => pieces[random.below(pieces.length)]).join("")
      )
      const whole = stripCursorQueries(all)
      let held: Uint8Array = new Uint8Array(0)
      let cleaned = ""
      let count = 0
      for (let at = 0; at < all.length; ) {
        const chunk = all.subarray(at, at + 1 + random.below(6))
        at += chunk.length
        const result = stripCursorQueries(Buffer.concat([held, chunk]))
        count += result.count
        const end = result.cleaned.length - result.incompleteBytes
        cleaned += text(result.cleaned.subarray(0, end))
        held = result.cleaned.slice(end)
      }
      assert.deepStrictEqual(
        [cleaned + text(held), count],
        [text(whole.cleaned), whole.count],
        JSON.stringify(text(all))
      )
    }
  })
})
