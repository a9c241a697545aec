import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent, TerminalSize } from "../../journal/Event.ts"
import { makeRecording, recordEvent, recordedParts } from "../../projections/Recording.ts"
import { created, output } from "./events.ts"

const resized = (cols: number, rows: number): SessionEvent => ({ _tag: "Resized", size: { cols, rows } })
const parts = (size: TerminalSize, events: ReadonlyArray<SessionEvent>) => {
  const recording = makeRecording(size)
  for (const event of events) recordEvent(recording, event)
  return recordedParts(recording).map(({ cols, data, rows }) => [cols, rows, Buffer.from(data).toString()])
}

describe("Recording", () => {
  it("10.5.12 joins the output of one size and leaves out a size that nothing was written in", () => {
    const size = { cols: 1, rows: 2 }
    assert.deepStrictEqual(parts(size, []), [[1, 2, ""]])
    assert.deepStrictEqual(parts(size, [output("a"), resized(3, 4)]), [
      [1, 2, "a"],
      [3, 4, ""]
    ])
    assert.deepStrictEqual(parts(size, [resized(3, 4)]), [[3, 4, ""]])
    assert.deepStrictEqual(parts(size, [output("a"), output("b"), resized(3, 4), output("c"), output("d")]), [
      [1, 2, "ab"],
      [3, 4, "cd"]
    ])
    assert.deepStrictEqual(parts(size, [created({ size: { cols: 9, rows: 9 } }), output("")]), [[9, 9, ""]])
  })
})
