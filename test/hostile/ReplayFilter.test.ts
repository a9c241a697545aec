/** What never reaches a person's terminal, however it is written and wherever it is cut. */
import { assert, describe, it } from "vitest"
import { makeReplayFilter, type ReplayFilterOptions } from "../../cli/ReplayFilter.ts"
import { randomOutput, seeded } from "../projections/events.ts"

interface Shown extends ReplayFilterOptions {
  readonly isReplayed?: boolean
}

const shown = (pieces: ReadonlyArray<string | Uint8Array>, { isReplayed = true, ...options }: Shown = {}): string => {
  const filter = makeReplayFilter(options)
  const parts = pieces.map((piece) =>
    Buffer.from(filter.feed(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece, isReplayed))
  )
  return Buffer.concat([...parts, filter.end()]).toString("latin1")
}

/** At every place, and byte by byte. */
const everyCut = (text: string, expected: string, options?: Shown) => {
  for (let cut = 0; cut <= text.length; cut++) {
    assert.strictEqual(shown([text.slice(0, cut), text.slice(cut)], options), expected, JSON.stringify(text))
  }
  assert.strictEqual(shown([...text], options), expected, JSON.stringify(text))
}

const CLIPBOARD = [
  "\u001b]52;c;eA==\u0007",
  "\u001b]52;c;eA==\u001b\\",
  "\u001b]052;;eA==\u0007",
  "\u001b]\u00015\u00022;c;e\u0003A==\u0007",
  "\u001b\u0001]52;c;eA==\u0007",
  "\u00c2\u009d52;c;eA==\u00c2\u009c",
  "\u001b]52;c;eA==\u0018",
  "\u001b\u001b]52;c;eA==\u0007",
  "\u001b]5522;type=write;eA==\u001b\\",
  "\u001b]1337;Copy=:eA==\u0007",
  "\u001b]1337;CopyToClipboard=general\u0007",
  // Inside what a multiplexer would pass on.
  "\u001bPtmux;\u001b\u001b]52;c;eA==\u0007\u001b\\"
]
const QUESTIONS = ["\u001b]52;c;?\u0007", "\u001b]52;c;?\u001b\\", "\u001b]52;;?\u0007"]

/** What of these is drawn or passed on: nothing that fills a clipboard. */
const rest = (text: string) =>
  text.startsWith("\u001bP") ? "\u001bPtmux;\u001b\u001b\\" : text.startsWith("\u001b\u001b") ? "\u001b" : ""

describe("what a terminal is shown", () => {
  it("hostile case 4: no clipboard is filled by what is shown again, and live only where that is switched on", () => {
    for (const text of CLIPBOARD) {
      everyCut(`a${text}b`, `a${rest(text)}b`)
      everyCut(`a${text}b`, `a${rest(text)}b`, { clipboard: true })
      everyCut(`a${text}b`, `a${rest(text)}b`, { isReplayed: false })
    }
    everyCut(`a${CLIPBOARD[0]}b`, `a${CLIPBOARD[0]}b`, { isReplayed: false, clipboard: true })
    // Longer than anything that is held back, in pieces of any size.
    const long = `a\u001b]52;c;${"QUJD".repeat(50_000)}\u0007b`
    for (const size of [1000, 4096, 65_536]) {
      const pieces = Array.from({ length: Math.ceil(long.length / size) }, (_, at) =>
        long.slice(at * size, (at + 1) * size)
      )
      assert.strictEqual(shown(pieces), "ab")
      assert.strictEqual(shown(pieces, { isReplayed: false }), "ab")
      assert.strictEqual(shown(pieces, { isReplayed: false, clipboard: true }), long)
    }
  })

  it("hostile case 5: nobody reads the clipboard, not even where it may be filled", () => {
    for (const text of QUESTIONS) {
      for (const options of [{}, { isReplayed: false }, { isReplayed: false, clipboard: true }]) {
        everyCut(`a${text}b`, "ab", options)
      }
    }
  })

  it("hostile case 6, hostile case 7: what is shown again asks nothing, also with control characters in between", () => {
    const asked = [
      "\u0005",
      "\u001bZ",
      "\u00c2\u009a",
      "\u001b[6n",
      "\u001b[\n6n",
      "\u001b[06n",
      "\u00c2\u009b6n",
      "\u001b[c",
      "\u001b[>c",
      "\u001b[>q",
      "\u001b[?2004$p",
      "\u001b[21t",
      "\u001b[0021t",
      "\u001b[1;1;1;1;1;1*y",
      "\u001b[?1;1;0S",
      "\u001b[?4m",
      "\u001b[5i",
      "\u001bP$q\nid\n\u001b\\",
      "\u001bP$qm\u001b\\",
      "\u001bP+q544e\u001b\\",
      "\u001bP@kitty-cmd{}\u001b\\",
      "\u001b]50;?\u0007",
      "\u001b]4;1;?\u0007",
      "\u001b]11;?\u001b\\",
      "\u001b]21;foreground=?\u001b\\",
      "\u001b]1337;ReportCellSize\u0007",
      "\u001b]777;notify;a;b\u0007",
      "\u001b]9;message\u0007",
      "\u001b]99;i=1:p=?;\u001b\\",
      "\u001b_Gi=1,a=q;AAAA\u001b\\",
      "\u001b_Gi=1;AAAA\u001b\\"
    ]
    for (const text of asked) {
      everyCut(`a${text}b`, "ab")
      // A live program may ask; an answer is typed to it.
      everyCut(`a${text}b`, `a${text}b`, { isReplayed: false })
    }
    assert.strictEqual(shown([`a\u001bP$q${"x".repeat(10_000)}`, `${"y".repeat(10_000)}\u001b\\b`]), "ab")
  })

  it("everything else is there, byte for byte", () => {
    const kept = [
      "\u001b[31mred\u001b[0m\u001b[2J\u001b[?1049h\u001b]0;title\u0007\u001b]11;#fff\u0007\u001b[22;0t\u001b[2 q",
      "\u001bP0;1|x\u001b\\\u001bPq#0;2;0;0;0~\u001b\\\u001b_Gq=2,a=T;AAAA\u001b\\\u001b]8;;http://x\u0007l\u001b]8;;\u0007",
      "\u001b]1337;File=name=eA==:AAAA\u0007\u001b]133;A\u0007\u001b]9;4;1;50\u0007\u001b]9;9;/tmp\u0007\u001b]7;file:///\u0007",
      "\u00ff\u00c2\u00a0\u00c3\u00a9\u00e2\u0080\u009d\u001b(0\u001b)B\u001b#8\u001b[3;4H\u001b]P0123456\u001b[>4;1m\u001b[?25l"
    ]
    for (const text of kept) {
      everyCut(text, text)
      everyCut(text, text, { isReplayed: false })
    }
  })

  it("random output: every split gives the same, and nothing is left to take out", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const data = Buffer.from(randomOutput(seeded(seed), 60)).toString("latin1")
      for (const isReplayed of [true, false]) {
        const whole = shown([data], { isReplayed })
        assert.strictEqual(shown([...data], { isReplayed }), whole, `seed ${seed}`)
        assert.notMatch(whole, /\u001b\]0*52;/, `seed ${seed}`)
      }
    }
  })
})
