import { assert, describe, it } from "@effect/vitest"
import type { SessionEvent } from "../../journal/Event.ts"
import { RECENT_COMMANDS_MAX, SessionState } from "../../projections/SessionState.ts"
import { created, entriesOf, foldAll, output, STREAM, started } from "./events.ts"

const exited = (exitCode: number | null, signal: string | null): SessionEvent => ({
  _tag: "LeaderExited",
  exitCode,
  signal
})
const lost: SessionEvent = { _tag: "SessionLost", reason: "keeper gone" }
const closed = (reason: "exited" | "ended" | "failed", exitCode: number | null = null): SessionEvent => ({
  _tag: "SessionClosed",
  exitCode,
  signal: null,
  reason,
  survivors: []
})
const status = (...events: ReadonlyArray<SessionEvent>) => {
  const state = foldAll(SessionState, [created(), ...events])
  return [state.status, state.exitCode, state.signal, state.terminalOpen]
}

describe("SessionState", () => {
  it("follows a session from its creation to its close", () => {
    assert.deepStrictEqual(status(), ["starting", null, null, false])
    assert.deepStrictEqual(status(started()), ["running", null, null, true])
    assert.deepStrictEqual(status(started(), exited(3, null)), ["exited", 3, null, true])
    assert.deepStrictEqual(status(started(), exited(null, "SIGKILL"), { _tag: "TerminalClosed", outputBytes: 0 }), [
      "exited",
      null,
      "SIGKILL",
      false
    ])
    assert.deepStrictEqual(status(closed("failed")), ["failed", null, null, false])
    assert.deepStrictEqual(status(started(), closed("ended", 0)), ["exited", 0, null, false])
  })

  it("never invents the end of a lost session", () => {
    assert.deepStrictEqual(status(started(), lost), ["lost", null, null, false])
    assert.deepStrictEqual(status(started(), lost, closed("ended", 0)), ["lost", null, null, false])
    assert.deepStrictEqual(status(started(), exited(7, null), lost), ["exited", 7, null, false])
  })

  it("takes a lost session back, or starts it anew, without the old outcome", () => {
    const resumed: SessionEvent = { _tag: "SessionResumed", keeper: "k2", outputOffset: 0, gapBytes: 0 }
    assert.deepStrictEqual(status(started(), lost, resumed), ["running", null, null, true])
    assert.deepStrictEqual(status(started(), exited(7, null), resumed), ["exited", 7, null, true])
    const again = foldAll(SessionState, [created(), started(1), lost, started(2)])
    assert.deepStrictEqual([again.status, again.pid, again.endedAt, again.lostReason], ["running", 2, null, null])
    const reopened = foldAll(SessionState, [created(), started(1), exited(1, null), closed("exited"), started(2)])
    assert.deepStrictEqual([reopened.status, reopened.closed, reopened.exitCode], ["running", false, null])
  })

  it("counts bytes, inputs and interruptions", () => {
    const state = foldAll(SessionState, [
      created({ name: "build" }),
      started(),
      output("hello", 0),
      { _tag: "OutputReceived", channel: "stderr", exec: 1, offset: 0, data: new Uint8Array(99) },
      output("!!", 9),
      { _tag: "InputWritten", data: new Uint8Array(4) },
      { _tag: "InputHidden" },
      { _tag: "SessionInterrupted", reason: "engine" },
      { _tag: "Resized", size: { cols: 100, rows: 30 } },
      { _tag: "SessionInterrupted", reason: "engine" },
      { _tag: "InputClosed" }
    ])
    assert.strictEqual(state.name, "build")
    assert.strictEqual(state.outputBytes, 11)
    assert.strictEqual(state.inputBytes, 4)
    assert.strictEqual(state.lastInputSequence, 11)
    assert.strictEqual(state.inputClosed, true)
    assert.strictEqual(state.interruptions, 2)
    assert.strictEqual(state.interrupted, true)
    assert.deepStrictEqual(state.size, { cols: 100, rows: 30 })
    assert.strictEqual(state.sequence, 11)
    assert.strictEqual(state.lastEventAt, 11_000_000)
    assert.strictEqual(state.id, STREAM)
  })

  it("remembers the last 256 commands and what they caused", () => {
    const count = RECENT_COMMANDS_MAX + 44
    const events = Array.from({ length: count }, (): SessionEvent => ({ _tag: "InputHidden" }))
    const ids = events.map((_, index) => `c${index}`)
    const fold = (from: typeof ids) =>
      entriesOf(events, from).reduce((state, entry) => SessionState.fold(state, entry), SessionState.initial(STREAM))
    const state = fold(ids)
    assert.strictEqual(state.recentCommands.size, RECENT_COMMANDS_MAX)
    assert.strictEqual(state.recentCommands.get(`c${count - 1}`), count)
    assert.isFalse(state.recentCommands.has("c43"))
    assert.isTrue(state.recentCommands.has("c44"))
    assert.deepStrictEqual(SessionState.decode(SessionState.encode(state)), state)
    // A command that caused several events stays young.
    assert.isTrue(fold(["keep", ...ids.slice(1, -10), "keep", ...ids.slice(-9)]).recentCommands.has("keep"))
  })

  it("refuses snapshots that are not its own", () => {
    const state = foldAll(SessionState, [created(), started()])
    const encoded = SessionState.encode(state)
    assert.deepStrictEqual(SessionState.decode(encoded), state)
    for (let length = 0; length < encoded.length; length++) {
      assert.throws(() => SessionState.decode(encoded.subarray(0, length)))
    }
    assert.throws(() => SessionState.decode(Buffer.concat([encoded, Buffer.from([0])])))
  })
})
