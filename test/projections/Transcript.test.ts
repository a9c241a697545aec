/** Entries of a session, with the rows of TPipe's buffers (T6, T7, T13, T26 of the comparison with our peers). */
import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import {
  loadTranscript,
  makeTranscript,
  saveTranscript,
  searchTranscript,
  Transcript,
  transcriptStats
} from "../../projections/Transcript.ts"
import { bytes, commandStarted, created, foldAll, output, STREAM } from "./events.ts"

const input = (text: string): SessionEvent => ({ _tag: "InputWritten", data: bytes(text) })
const failed = (text: string | Uint8Array, exec = 1): SessionEvent => ({
  _tag: "OutputReceived",
  channel: "stderr",
  exec,
  offset: 0,
  data: typeof text === "string" ? bytes(text) : text
})
const contents = (state: ReturnType<typeof foldAll<ReturnType<typeof Transcript.initial>>>) =>
  state.entries.map(({ data }) => Buffer.from(data).toString())

describe("Transcript", () => {
  it("T6: entries in order with their directions, found by text with their index, and counted", () => {
    const state = foldAll(Transcript, [
      created(),
      input("input command"),
      output("output result"),
      failed("error message")
    ])
    assert.deepStrictEqual(
      state.entries.map(({ direction, index, sequence }) => [index, direction, sequence]),
      [
        [0, "input", 2],
        [1, "output", 3],
        [2, "error", 4]
      ]
    )
    const found = searchTranscript(state, "command")
    assert.deepStrictEqual(
      found.map(({ entry, entryIndex, matchText }) => [entryIndex, Buffer.from(entry.data).toString(), matchText]),
      [[0, "input command", "command"]]
    )
    assert.deepStrictEqual(transcriptStats(state), {
      session: STREAM,
      createdAt: 1_000_000,
      totalEntries: 3,
      inputEntries: 1,
      outputEntries: 1,
      errorEntries: 1,
      totalSizeBytes: 39,
      droppedEntries: 0,
      droppedBytes: 0
    })
  })

  it("T7: a text is found whatever its case, and is a text", () => {
    const state = foldAll(Transcript, [output("Found an error"), output("a.b (c)"), output("GROẞ")])
    assert.deepStrictEqual(
      searchTranscript(state, "ERROR").map(({ entryIndex, matchText }) => [entryIndex, matchText]),
      [[0, "error"]]
    )
    assert.strictEqual(searchTranscript(state, "A.B (C)").length, 1)
    assert.strictEqual(searchTranscript(state, "a?b").length, 0)
    assert.strictEqual(searchTranscript(state, "groß").length, 1)
    assert.deepStrictEqual(searchTranscript(state, ""), [])
  })

  it("T13: at the cap the oldest bytes go, never more, and numbers stay", () => {
    const small = makeTranscript({ bytes: 10 })
    const state = foldAll(small, [output("1234567890"), output("abcd")])
    assert.deepStrictEqual(contents(state), ["567890", "abcd"])
    assert.deepInclude(state.entries[0], { index: 0, cutBytes: 4 })
    assert.deepInclude(transcriptStats(state), { totalSizeBytes: 10, droppedBytes: 4, droppedEntries: 0 })
    assert.deepStrictEqual(contents(foldAll(small, [output("0123456789abcdef")])), ["6789abcdef"])
    // No half characters.
    assert.deepStrictEqual(contents(foldAll(small, [output("日本語日")])), ["本語日"])
    const many = foldAll(makeTranscript({ entries: 2 }), [output("a"), output("b"), output("c")])
    assert.deepStrictEqual(
      many.entries.map(({ index }) => index),
      [1, 2]
    )
    assert.strictEqual(searchTranscript(many, "C")[0]?.entryIndex, 2)
  })

  it("T26: saved and loaded again, all is the same, and goes on the same", () => {
    const small = makeTranscript({ bytes: 64 })
    const events: ReadonlyArray<SessionEvent> = [
      created(),
      input("x".repeat(40)),
      commandStarted(1, "echo \u2028 'é'\n"),
      failed(Uint8Array.from([0xff, 0, 0x0a, 0xc3]), 3),
      output("\ufeffbyte order mark 😀")
    ]
    const state = foldAll(small, events)
    const loaded = loadTranscript(saveTranscript(state))
    assert.deepStrictEqual(loaded, state)
    assert.deepStrictEqual(transcriptStats(loaded), transcriptStats(state))
    const next = { sequence: 6, timeMicros: 7, actor: "ann", commandId: "c1", event: output("more") }
    assert.deepStrictEqual(
      small.fold(small.decode(small.encode(state)), next),
      small.fold(foldAll(small, events), next)
    )
    assert.deepInclude(small.fold(loaded, next).entries.at(-1), { actor: "ann", commandId: "c1", exec: null })
  })

  it("a file that is damaged or of somebody else is refused", () => {
    const file = saveTranscript(foldAll(Transcript, [output("one"), output("two")]))
    for (const [wrong, reason] of [
      ["", "JSON"],
      ["{}\n", "not a transcript"],
      [file.slice(0, -1), "cut off"],
      [file.split("\n").slice(0, 2).join("\n"), "cut off"],
      [file.replace('"two"', '"three"'), "bytes"],
      [file.replace('"output"', '"sideways"'), "bad entry 0"],
      [file.replace('"index":1', '"index":7'), "bad entry 1"]
    ] as const) {
      assert.throws(() => loadTranscript(wrong), reason)
    }
  })
})
