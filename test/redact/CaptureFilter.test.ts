/**
 * What rules at capture do to a stream, wherever it is cut and however slowly it comes. In process: sessions, engines and their
 * deaths are in test/crash/CaptureKill.test.ts.
 */
import { assert, describe, it } from "vitest"
import { type Captured, CaptureFilter } from "../../src/capture/CaptureFilter.ts"
import type { CaptureRequest } from "../../src/capture/CaptureRequest.ts"
import { captureRefusal, captureRules } from "../../src/capture/CaptureRule.ts"
import { SessionCapture } from "../../src/capture/SessionCapture.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const KEY = "AKIAIOSFODNN7EXAMPLE"
const TEXT = "hunter2-x"
const LINES = "first line\nsecond-line"
const REQUEST: CaptureRequest = { rules: ["all"], texts: [TEXT, "zwölf äpfel", LINES], patterns: ["ORD-[0-9]{6}"] }
const RULES = captureRules(REQUEST)

interface Filtered {
  readonly text: string
  readonly matches: Readonly<Record<string, number>>
}

/** `cut` says how many bytes come next; `isSlow`: the time of what is held is over before each. */
const filtered = (
  text: string,
  { cols, cut, isSlow = false }: { readonly cut: () => number; readonly isSlow?: boolean; readonly cols?: number }
): Filtered => {
  const filter = new CaptureFilter({ rules: RULES, cols })
  const bytes = Buffer.from(text)
  const out: Array<Buffer> = []
  const matches: Record<string, number> = {}
  const take = (captured: Captured) => {
    out.push(Buffer.from(captured.bytes))
    for (const [rule, count] of captured.matches) matches[rule] = (matches[rule] ?? 0) + count
  }
  for (let at = 0; at < bytes.length; ) {
    const length = cut()
    take(filter.push(bytes.subarray(at, at + length)))
    if (isSlow) take(filter.release())
    at += length
  }
  take(filter.release())
  const given = Buffer.concat(out)
  assert.strictEqual(given.length, bytes.length)
  return { text: given.toString(), matches }
}

const whole = () => Number.MAX_SAFE_INTEGER
const stars = (text: string) => "*".repeat(Buffer.byteLength(text))

const CASES: ReadonlyArray<readonly [name: string, given: string, shown: string]> = [
  ["a token", `key ${KEY} end\r\n`, `key ${stars(KEY)} end\r\n`],
  ["10.7 (2): colours inside", "AK\x1b[31mIAIOSFO\x1b[0mDNN7EXAMPLE\r\n", "**\x1b[31m*******\x1b[0m***********\r\n"],
  ["a text", `${TEXT} hunter2-y ${TEXT}\r\n`, `${stars(TEXT)} hunter2-y ${stars(TEXT)}\r\n`],
  [
    "a text of wider characters",
    "zwölf äpfel\r\n",
    "**¦*****¦****\r\n".replace("**¦*****¦****", "**\u00a6***\u00a6****")
  ],
  ["a text of two lines", "first line\r\nsecond-line\r\n", "**********\r\n***********\r\n"],
  ["a text with what is not shown in it", "hun\u200bter\u00ad2-x\r\n", "***\u200b***\u00ad***\r\n"],
  ["a short text in base64", "\x1b]52;c;aHVudGVyMi14\x07", "\x1b]52;c;KioqKioqKioq\x07"],
  ["a pattern", "ORD-123456 ORD-12345\r\n", "********** ORD-12345\r\n"],
  ["what is given to a name", "password=geheim12 ok\r\n", "password=******** ok\r\n"],
  ["10.7 (4): a title", `\x1b]0;t ${TEXT}\x07after\r\n`, `\x1b]0;t ${stars(TEXT)}\x07after\r\n`],
  ["a directory, percent-encoded", "\x1b]7;file://h/%68unter2-x\x07\r\n", "\x1b]7;file://h/***********\x07\r\n"],
  [
    "10.7 (7): a card number",
    "4111 1111 1111 1111, 4111 1111 1111 1112\r\n",
    "4111 11** **** 1111, 4111 1111 1111 1112\r\n"
  ],
  [
    "a private key",
    "-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\r\nMIIEvQ==\r\n-----END PRIVATE KEY-----\r\n$ ",
    `-----BEGIN PRIVATE KEY-----\r\n${"*".repeat(32)}\r\n********\r\n-----END PRIVATE KEY-----\r\n$ `
  ],
  ["what is drawn over", `${TEXT}${"\b".repeat(9)}zzzzzzzzz\r\n`, `*********${"\b".repeat(9)}zzzzzzzzz\r\n`],
  ["no secret", "secret and tokens, sk-learn, http://localhost:8080/ äöü \u{1F600}\r\n", ""]
]

describe("rules at capture", () => {
  for (const [name, given, shown] of CASES) {
    it(`${name}: the same in one piece, byte by byte and in any pieces`, () => {
      const expected = filtered(given, { cut: whole })
      assert.strictEqual(expected.text, shown === "" ? given : shown)
      const random = seededRandom(7)
      for (const cut of [() => 1, () => 1 + random.below(6), () => 1 + random.below(20)])
        assert.deepStrictEqual(filtered(given, { cut }), expected)
    })
  }

  it("a word that a full row cuts, by the terminal's line end or readline's", () => {
    assert.strictEqual(
      filtered("12345hunt\r\ner2-x ok\r\n", { cut: () => 1, cols: 9 }).text,
      "12345****\r\n***** ok\r\n"
    )
    assert.strictEqual(filtered("12345hunt \rer2-x ok\r\n", { cut: whole, cols: 9 }).text, "12345**** \r***** ok\r\n")
  })

  it("a text of two lines that is typed or pasted", () => {
    for (const [given, shown] of [
      ["a first line\rsecond-line\r", "a **********\r***********\r"],
      ["\x1b[200~first line\rsecond-line\x1b[201~\r", "\x1b[200~**********\r***********\x1b[201~\r"]
    ] as const) {
      const filter = new CaptureFilter({ rules: RULES, isTyped: true })
      assert.strictEqual(Buffer.from(filter.push(Buffer.from(given)).bytes).toString(), shown)
    }
  })

  it("what comes too slowly is given out masked but for its first characters, and words that only begin so are not", () => {
    const slow = (text: string) => filtered(text, { cut: () => 1, isSlow: true }).text
    assert.strictEqual(slow(`${TEXT}\r\n`), "hun******\r\n")
    assert.strictEqual(slow(`${KEY}\r\n`), "AKIAIOSFO***********\r\n")
    assert.strictEqual(slow("hunt\b \bter2-x\r\n"), "hun*\b \b******\r\n")
    const plain = "$ cat secret token npm_ghost http://localhost:8080/ 4111 1111\r\n"
    assert.strictEqual(slow(plain), plain)
  })

  it("another filter goes on where one was left, at each byte", () => {
    const given = Buffer.from(`a \x1b[1mhunt\x1b[0mer2-x b\r\n${KEY} \x1b]0;${TEXT}\x07`)
    for (let at = 1; at < given.length; at++) {
      for (const isSlow of [false, true]) {
        const first = new CaptureFilter({ rules: RULES })
        const out = [Buffer.from(first.push(given.subarray(0, at)).bytes)]
        if (isSlow) out.push(Buffer.from(first.release().bytes))
        const journaled = out.reduce((sum, { length }) => sum + length, 0)
        assert.isAtMost(first.neededFrom, journaled)
        const next = new CaptureFilter({ rules: RULES, position: first.neededFrom, outTo: journaled })
        out.push(Buffer.from(next.push(given.subarray(first.neededFrom)).bytes), Buffer.from(next.release().bytes))
        const shown = Buffer.concat(out)
        assert.strictEqual(shown.length, given.length)
        // A beginning that was given out is no more than the bound says.
        for (const secret of [TEXT.slice(4), KEY.slice(9)])
          assert.notInclude(shown.toString().replaceAll(/\x1b\[\dm/g, ""), secret, `${at} ${isSlow}`)
      }
    }
  })

  it("typed letter by letter, and by another engine from any of them on", () => {
    for (let at = 1; at < TEXT.length; at++) {
      const first = new SessionCapture(REQUEST)
      let shown = ""
      let bytes = 0
      let capture = first
      for (const [index, letter] of [...`${TEXT}\r`].entries()) {
        // The second of the two dies before the letter is journaled: it is typed again.
        for (const isJournaled of index === at ? [false, true] : [true]) {
          if (index === at && isJournaled)
            capture = SessionCapture.restored(["all", "text", "text", "pattern"], capture.note, bytes)
          const typed = capture.typed(Buffer.from(letter), bytes + 1)
          if (!isJournaled) continue
          shown += Buffer.from(typed.bytes).toString()
          bytes++
        }
      }
      assert.strictEqual(shown, "hun******\r")
    }
    const unknown = SessionCapture.restored(["text"], undefined, 0)
    assert.strictEqual(Buffer.from(unknown.typed(Buffer.from("ls -l\r"), 6).bytes).toString(), "** **\r")
  })

  it("bad rules are told in one line", () => {
    const bad: ReadonlyArray<readonly [CaptureRequest, RegExp]> = [
      [{ rules: ["nope"] }, /"nope" is no rule/],
      [{ texts: ["abc"] }, /at least 4 characters/],
      [{ texts: Array.from({ length: 65 }, (_, index) => `text-${index}`) }, /at most 64/],
      [{ texts: ["x".repeat(70_000)] }, /at most 65536 bytes/],
      [{ patterns: ["("] }, /no regular expression/],
      [{ patterns: ["a*"] }, /matches the empty text/],
      [{ patterns: ["(a+)+b"] }, /repeats a group/],
      [{ patterns: [".*x.*y"] }, /too many ways/],
      [{ patterns: ["(a+)+$"] }, /repeats a group/],
      [{ patterns: ["(?:a|a)*$"] }, /matches the empty text/],
      [{ patterns: ["a{0,2000}[a-z]{2000}b"] }, /too many ways/],
      [{ patterns: [""] }, /matches the empty text/],
      [{ patterns: ["(a)\\1"] }, /refers back/],
      [{ patterns: ["a(?=b)"] }, /looks ahead/]
    ]
    for (const [request, said] of bad) assert.match(captureRefusal(request) ?? "", said)
    assert.isUndefined(captureRefusal({ ...REQUEST, patterns: ["id: (?<secret>[\\w-]{4,20})", "foo.*bar"] }))
  })

  it("a pattern that repeats without end: so much of it as has an end, and output that nearly matches holds nobody up", () => {
    const masked = (pattern: string, text: string) => {
      const filter = new CaptureFilter({ rules: captureRules({ patterns: [pattern] }) })
      const given = [filter.push(Buffer.from(text)), filter.release()]
      return Buffer.concat(given.map(({ bytes }) => Buffer.from(bytes))).toString()
    }
    assert.strictEqual(masked("id=(?<secret>.+)", `id=${"x".repeat(5000)}\n`), `id=${"*".repeat(5000)}\n`)
    assert.strictEqual(masked("[0-9]+x", `${"7".repeat(900)}x`), "*".repeat(901))
    const before = process.cpuUsage()
    for (const pattern of ["[0-9]+x", ".*x", "(?<=7+)x", "7(?:77){2,}x"]) masked(pattern, "7".repeat(48 * 1024))
    // Each takes some 0.3 s; without an end, ten.
    assert.isBelow(process.cpuUsage(before).user / 1e6, 10)
  })

  it("hostile output is bounded in time and in what is held", () => {
    const filter = new CaptureFilter({ rules: RULES })
    const before = process.cpuUsage()
    for (const piece of [
      "a\b",
      "\x1b]0;",
      "A",
      "-----BEGIN PRIVATE KEY-----\n",
      "ORD-1\b\x1b[K",
      "\x1b[C\x1b[D",
      "4"
    ]) {
      for (let times = 0; times < 4; times++) {
        filter.push(Buffer.from(piece.repeat(Math.floor((48 * 1024) / piece.length))))
        assert.isAtMost(filter.heldBytes, 40 * 1024)
        assert.isAtMost(filter.position - filter.neededFrom, 64 * 1024)
      }
    }
    const { user } = process.cpuUsage(before)
    // 1.3 MB; what is quadratic takes minutes.
    assert.isBelow(user / 1e6, 20)
  })
})

describe("engines that die with a part journaled", () => {
  const line = `line ${TEXT}\r\n${KEY.slice(0, 4)}\x1b[31m${KEY.slice(4)}\x1b[0m\r\n\x1b]0;${TEXT}\x07${TEXT}\r\n`
  const bytes = Buffer.from(line.repeat(40), "latin1")
  const pieces = (text: string) => Array.from({ length: text.length - 5 }, (_, at) => text.slice(at, at + 6))

  /** One stream through engines of which each journals some of what it was given on, acknowledges what it may, and dies. */
  const journaledBy = (seed: number): string => {
    const random = seededRandom(seed)
    const pending: Array<string> = []
    let journaled = ""
    let acknowledged = 0
    let at = 0
    const take = (): ReturnType<SessionCapture["stream"]> =>
      new SessionCapture(REQUEST).stream({ position: at, outTo: journaled.length, cols: 80 }, (given) =>
        pending.push(Buffer.from(given).toString("latin1"))
      )
    let stream = take()
    while (at < bytes.length) {
      const to = Math.min(bytes.length, at + 1 + random.below(random.below(3) === 0 ? 400 : 6))
      stream.push(bytes.subarray(at, to))
      at = to
      if (random.below(4) === 0) stream.release()
      if (random.below(3) === 0) journaled += pending.splice(0, random.below(6)).join("")
      if (random.below(3) === 0) acknowledged = Math.max(acknowledged, stream.neededFor(journaled.length))
      if (random.below(12) > 0) continue
      stream.stop()
      pending.length = 0
      at = acknowledged
      stream = take()
    }
    stream.release()
    return journaled + pending.join("")
  }

  it("leave the next one all that a match goes on from", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const journaled = journaledBy(seed)
      assert.lengthOf(journaled, bytes.length)
      const said = journaled.replace(/\x1b\[\d*m/g, "")
      // The first characters of one that comes slowly may stand there.
      for (const piece of [...pieces(TEXT.slice(2)), ...pieces(KEY.slice(5))])
        assert.notInclude(said, piece, `seed ${seed}`)
    }
  })
})

describe("typed input whose write failed", () => {
  const typed = (capture: SessionCapture, text: string, to: number) =>
    Buffer.from(capture.typed(Buffer.from(text), to).bytes).toString()

  it("is searched once when it is typed again, and not at all when something else is", () => {
    for (const failed of ["n", "x"]) {
      const capture = new SessionCapture({ texts: ["nnnn-secret"] })
      let said = ""
      for (let at = 0; at < 3; at++) said += typed(capture, "n", at + 1)
      typed(capture, failed, 4)
      capture.retake(3)
      // Typed again, or something else.
      for (const letter of "n-secret") said += typed(capture, letter, said.length + 1)
      assert.strictEqual(said, "nnn********")
    }
  })
})
