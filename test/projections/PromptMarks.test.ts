import { assert, describe, it } from "@effect/vitest"
import { makeFinder, OutputText } from "../../projections/OutputText.ts"
import { PromptCommands } from "../../projections/PromptMarks.ts"
import { bytes, chunked, randomCuts, randomOutput, seeded } from "./events.ts"

const SCRIPT = bytes(
  "\x1b]133;A\x07$ \x1b]133;B\x07mak\x08\x1b[Kke test\r\n\x1b]133;C\x07one\r\n\x1b[31mtwo\x1b[m\r\n\x1b]133;D;3\x07" +
    "\x1b]133;A;redraw=0\x1b\\$ \x1b]133;B\x1b\\\x1b]633;E;echo \\x3b x;nonce\x07echo\r\n\x1b]133;C\x1b\\x\x1b]0;t\x07\r\n" +
    "\x1b]133;A\x07$ \x1b]133;B\x07\x1b]133;C;cmdline_url=ls%20-l\x07last"
)

/** What was told, as lines; pieces of output that follow each other are one. */
const told = (pieces: ReadonlyArray<Uint8Array>): string => {
  const commands = new PromptCommands()
  let text = ""
  for (const piece of pieces) {
    commands.feed(piece, {
      started: ({ line, number }) => {
        text += `<${number} ${line}>`
      },
      output: (_, data) => {
        text += Buffer.from(data).toString()
      },
      finished: ({ number }, code) => {
        text += `<${number} ended ${code}>`
      }
    })
  }
  return text
}
const piecesOf = (data: Uint8Array, cuts: ReadonlyArray<number>) =>
  chunked(data, cuts).flatMap((event) => (event._tag === "OutputReceived" ? [event.data] : []))

describe("PromptCommands", () => {
  it("tells the commands of a shell that marks its prompt, with their output and codes", () => {
    assert.strictEqual(
      told([SCRIPT]),
      "<1 make test>one\r\n\x1b[31mtwo\x1b[m\r\n<1 ended 3><2 echo ; x>x\x1b]0;t\x07\r\n<2 ended null><3 ls -l>last"
    )
  })

  it("tells the same however the output is cut", () => {
    const whole = told([SCRIPT])
    for (let cut = 1; cut < SCRIPT.length; cut++) {
      assert.strictEqual(told([SCRIPT.slice(0, cut), SCRIPT.slice(cut)]), whole, String(cut))
    }
    assert.strictEqual(told([...SCRIPT].map((byte) => Uint8Array.of(byte))), whole)
  })
})

describe("OutputText", () => {
  const textOf = (pieces: ReadonlyArray<Uint8Array>) => {
    const output = new OutputText()
    return pieces.map((piece) => output.feed(piece)).join("")
  }

  it("has the words and not the sequences between them, however the output is cut", () => {
    const random = seeded(11)
    for (let run = 0; run < 40; run++) {
      const data = randomOutput(random, 30)
      const cuts = randomCuts(random, data.length, 5)
      const pieces = piecesOf(data, cuts)
      // What an unfinished sequence at the very end becomes is not known yet.
      const end = bytes("\x18 end")
      assert.strictEqual(textOf([...pieces, end]), textOf([data, end]), `run ${run}, cuts ${cuts.join(" ")}`)
    }
    assert.strictEqual(
      textOf([bytes("a\x1b[1;31mb\x1b[0mc\x1b]0;title\x07d\x1b[5;1He\x1b[Cf\tg\r\n")]),
      "abcd\ne f g\n\n"
    )
  })

  it("is searched in small letters for any, in capitals for themselves", () => {
    assert.isTrue(makeFinder("error é").in(Buffer.from("an ERROR é").toString("latin1")))
    assert.isFalse(makeFinder("Error").in("error"))
  })
})
