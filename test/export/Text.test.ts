/** `--format text` beside a terminal that shows the same bytes: lines that are wrapped, overwritten and edited. */
import xterm from "@xterm/headless"
import { assert, describe, it } from "vitest"
import { text } from "../../src/export/TextExport.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { created, output } from "../projections/events.ts"
import { entriesOf, exportEntries } from "./recordings.ts"

const textOf = async (cols: number, ...pieces: ReadonlyArray<string>): Promise<string> => {
  const session = { ...created(), size: { cols, rows: 24 } }
  const entries = entriesOf([[0, session], ...pieces.map((piece, at) => [at + 1, output(piece)] as const)])
  return (await exportEntries(text, entries)).bytes.toString("utf8")
}

/** Everything a terminal of this width has shown, each line whole; as the export ends its last line. */
const shown = async (cols: number, bytes: string): Promise<string> => {
  const terminal = new xterm.Terminal({ cols, rows: 24, scrollback: 5000, allowProposedApi: true })
  try {
    await new Promise<void>((done) => terminal.write(bytes, done))
    const lines: Array<string> = []
    const { active } = terminal.buffer
    for (let at = 0; at < active.length; at++) {
      const line = active.getLine(at)!
      if (line.isWrapped) lines[lines.length - 1] += line.translateToString(false)
      else lines.push(line.translateToString(false))
    }
    return `${lines
      .map((line) => line.trimEnd())
      .join("\n")
      .trimEnd()}\n`
  } finally {
    terminal.dispose()
  }
}

describe("text", () => {
  it("10.1 (8): a line is whole, however narrow the terminal", async () => {
    assert.strictEqual(await textOf(3, "he\x1b[1mllo\r\n", "world\r\n"), "hello\nworld\n")
  })

  it("shows a long command as a shell edits it at the edge, a bar at full width, and leaves out the alternate screen", async () => {
    const cases: ReadonlyArray<string> = [
      // readline goes over the edge with a space and a carriage return.
      "$ echo aaaaaaaaaaaaa \rbbbb\r\nok\r\n",
      // It goes back over the edge: up, to a column, and on.
      "$ echo aaaaaaaaaaaaa \rbbbb\x1b[A\x1b[5Gxx\x1b[B\rcc\x1b[K\r\nok\r\n",
      "[####      ] 40%\r[########  ] 80%\r[##########]100%\r\n",
      "12345678901234567890\r####################\r\nnext\r\n",
      "123456789012345678901234567890\rabc\r\nnext\r\n",
      "1234567890123456789012345\b\b\b\b\b\b\b\bxyz\r\n",
      "before\r\n\x1b[?1049h\x1b[2Jeditor\x1b[5;5Hmore\x1b[?1049lafter\r\n"
    ]
    for (const bytes of cases) {
      assert.strictEqual(await textOf(20, bytes), await shown(20, bytes), JSON.stringify(bytes))
      assert.strictEqual(await textOf(20, ...bytes), await shown(20, bytes), JSON.stringify(bytes))
    }
    // A window that becomes wider meanwhile.
    const session = { ...created(), size: { cols: 10, rows: 24 } }
    const entries = entriesOf([
      [0, session],
      [1, output("0123456789ab\r\n")],
      [2, { _tag: "Resized", size: { cols: 20, rows: 24 } }],
      [3, output("0123456789ab\rAB\r\n")]
    ])
    assert.strictEqual((await exportEntries(text, entries)).bytes.toString(), "0123456789ab\nAB23456789ab\n")
  })

  it("shows what a terminal shows of random edits on wrapped lines", async () => {
    const { below } = seededRandom(7)
    for (let round = 0; round < 60; round++) {
      let bytes = ""
      for (let step = 0; step < 40; step++) {
        const edits = [
          () => "abcdefghijklmnopqrstuvwxyz".slice(0, 1 + below(26)),
          () => "\r",
          () => "\b".repeat(1 + below(4)),
          () => `\x1b[${1 + below(9)}D`,
          // Erased from its first column on, a row is a line of its own to a terminal.
          () => "y\x1b[K",
          () => "x\r\n"
        ]
        bytes += edits[below(edits.length)]!()
      }
      assert.strictEqual(await textOf(10, bytes), await shown(10, bytes), JSON.stringify(bytes))
    }
  })
})
