/**
 * The stored forms of version 1, as files: snapshots and index rows that an engine of this version wrote must be read,
 * or be ignored by a raised version, for ever. To add a version: raise it in the projection, keep the old file.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import { Buffers, textTail } from "../../projections/Buffers.ts"
import { Commands } from "../../projections/Commands.ts"
import { Screen } from "../../projections/Screen.ts"
import { indexRow, readIndexRow, summarize } from "../../projections/SessionIndex.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { Title } from "../../projections/Title.ts"
import { WorkingDirectory } from "../../projections/WorkingDirectory.ts"
import {
  commandFinished,
  commandStarted,
  created,
  entriesOf,
  foldAll,
  output,
  STREAM,
  shellRestarted,
  started,
  stateChanged
} from "./events.ts"

const EVENTS: ReadonlyArray<SessionEvent> = [
  created({ name: "golden", group: "g é", limits: { idleMillis: 60_000, journalBytes: 5, evenWhenBusy: true } }),
  started(),
  output("\x1b]7;file://h/work\x07\x1b]2;title é\x07\x1b[31mred\x1b[0m\r\nnext \x1b]0;open"),
  { _tag: "InputWritten", data: new Uint8Array(2) },
  { _tag: "LimitReached", limit: "journalBytes", value: 5 },
  { _tag: "LeaderExited", exitCode: 3, signal: null },
  { _tag: "SessionClosed", exitCode: 3, signal: null, reason: "exited", survivors: [{ pid: 9, command: "sleep" }] }
]

const COMMAND_EVENTS: ReadonlyArray<SessionEvent> = [
  created({ kind: "exec", language: "python" }),
  commandStarted(1, "import math"),
  { _tag: "OutputReceived", channel: "stderr", exec: 1, offset: 0, data: new Uint8Array(5) },
  commandFinished(1, { exitCode: 1, cwd: "/tmp" }),
  stateChanged(1, {
    env: { A: "1", TOKEN: "***", HOME: null },
    masked: ["TOKEN"],
    functions: { "f é": "f() {\n :\n}" },
    aliases: { ll: "ls -l" },
    imports: ["import math"],
    omitted: ["function big: too large"]
  }),
  commandStarted(2, "sleep 9"),
  { _tag: "SessionLost", reason: "keeper gone" },
  shellRestarted("lost", { cwd: "/tmp", env: ["A"], functions: ["f é"], imports: ["import math"] }, ["alias ll"]),
  commandStarted(3, "x", { ttyFrom: 7 })
]

/** Missing files are written only when asked for (GOLDEN=write), never by an ordinary run. */
const golden = (name: string, bytes: Uint8Array): Uint8Array => {
  const url = new URL(`./golden/${name}`, import.meta.url)
  if (!existsSync(url) && process.env.GOLDEN === "write") writeFileSync(url, bytes)
  return new Uint8Array(readFileSync(url))
}

describe("stored forms", () => {
  it("session state", () => {
    const state = entriesOf(EVENTS, [undefined, "c1", undefined, "c2"]).reduce(
      (before, entry) => SessionState.fold(before, entry),
      SessionState.initial(STREAM)
    )
    const bytes = golden("session-state.v5.bin", SessionState.encode(state))
    assert.deepStrictEqual(SessionState.decode(bytes), state)
    assert.deepStrictEqual(new Uint8Array(SessionState.encode(state)), bytes)
    // Of a version before: not read as one of this, so it is made again from the events.
    for (const name of ["session-state.v2.bin", "session-state.v3.bin"]) {
      assert.throws(() => SessionState.decode(golden(name, new Uint8Array(0))))
    }
  })

  it("working directory", () => {
    const state = foldAll(WorkingDirectory, EVENTS)
    const bytes = golden("working-directory.v1.bin", WorkingDirectory.encode(state))
    assert.deepStrictEqual(new Uint8Array(WorkingDirectory.encode(WorkingDirectory.decode(bytes))), bytes)
    assert.strictEqual(WorkingDirectory.decode(bytes).cwd, "/work")
  })

  it("title", () => {
    const bytes = golden("title.v1.bin", Title.encode(foldAll(Title, EVENTS)))
    const state = Title.decode(bytes)
    assert.strictEqual(state.title, "title é")
    const event = output("ed\x07")
    assert.strictEqual(Title.fold(state, { sequence: 7, timeMicros: 0, actor: "", event }).title, "opened")
  })

  it("buffers", () => {
    const bytes = golden("buffers.v1.bin", Buffers.encode(foldAll(Buffers, EVENTS)))
    const state = Buffers.decode(bytes)
    assert.deepStrictEqual(textTail(state), { lines: ["red"], open: "next", droppedLines: 0 })
    assert.deepStrictEqual(new Uint8Array(Buffers.encode(state)), bytes)
  })

  it("commands", () => {
    const state = foldAll(Commands, COMMAND_EVENTS)
    const bytes = golden("commands.v1.bin", Commands.encode(state))
    assert.deepStrictEqual(Commands.decode(bytes), state)
    assert.deepStrictEqual(new Uint8Array(Commands.encode(state)), bytes)
  })

  it("index row", () => {
    const summary = summarize(foldAll(SessionState, EVENTS), "/work", "title é")
    const row = indexRow(summary)
    const value = golden("index.v2.bin", row.value)
    assert.deepStrictEqual(readIndexRow({ ...row, value }), summary)
    assert.isUndefined(readIndexRow({ ...row, value: Buffer.concat([Buffer.from([9]), value.subarray(1)]) }))
    assert.isUndefined(readIndexRow({ ...row, value: value.subarray(0, 20) }))
    assert.isUndefined(readIndexRow({ ...row, value: golden("index.v1.bin", new Uint8Array(0)) }))
  })

  it("screen", () => {
    const screen = new Screen({ cols: 20, rows: 4 })
    screen.feed(Buffer.from("\x1b[31mred\x1b[0m\r\n日本e\u0301\x1b]2;t\x07\x1b[2;3r\x1b(0\x1b["))
    const restored = Screen.restore(golden("screen.v1.bin", screen.serialize()!))
    for (const one of [screen, restored]) one.feed(Buffer.from("4;1Hlqk\n\n"))
    assert.deepStrictEqual(restored.view(), screen.view())
  })
})
