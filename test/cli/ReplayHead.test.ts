/**
 * A shell for commands as a replay draws it, without a terminal and a store: what is drawn at any place is what a recording
 * draws, going back costs a bounded part of what there is, what is kept is bounded, and what is wrong with the events
 * stays where it is.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { makeReplayHead } from "../../cli/ReplayHead.ts"
import { drawingCost, ReplaySnapshots } from "../../cli/ReplaySnapshots.ts"
import type { JournalEntry, SessionEvent } from "../../journal/Event.ts"
import { HistoryDamaged } from "../../src/session/SessionError.ts"
import type { SessionView } from "../../src/session/SessionView.ts"
import { removed, sourceOf, stdout } from "../export/sources.ts"
import { commandFinished, commandStarted, created, STREAM } from "../projections/events.ts"
import { castScreen } from "./castScreens.ts"

const SIZE = { cols: 40, rows: 6 }
const MIB = 1024 * 1024
const PAGE_EVENTS = 16

/** Events in memory as History gives them; it counts what was read. */
const historyOf = (events: ReadonlyArray<SessionEvent>) => {
  const { view } = sourceOf(events, { kind: "exec" })
  const first = events[0]!._tag === "EventsRemoved" ? events[0]!.to : 1
  const state = {
    view: { ...view, sequence: first + events.length - 1 } as SessionView,
    events: [...events],
    damagedFrom: Number.POSITIVE_INFINITY,
    read: 0
  }
  const entry = (event: SessionEvent, index: number): JournalEntry => ({
    sequence: first + index,
    timeMicros: view.createdAt + index,
    actor: "engine",
    event
  })
  const history = {
    events: (_: unknown, { after = 0, until = Number.POSITIVE_INFINITY }: { after?: number; until?: number } = {}) => {
      const from = Math.max(0, after - first + 1)
      const page = state.events.slice(from, from + PAGE_EVENTS).map((event, at) => entry(event, from + at))
      const wanted = page.filter(
        ({ event, sequence }) => (sequence <= until || event._tag === "EventsRemoved") && sequence < state.damagedFrom
      )
      state.read += wanted.length
      const damage = { session: STREAM, from: state.damagedFrom, to: state.damagedFrom, reason: "checksum" }
      return wanted.length === 0 && state.damagedFrom <= until && after < state.view.sequence
        ? Stream.fail(new HistoryDamaged(damage))
        : Stream.fromIterable(wanted).pipe(Stream.rechunk(PAGE_EVENTS))
    },
    redraw: () => Effect.die("its terminal shows nothing")
  }
  return { history, state }
}

const rowsOf = (head: Effect.Success<ReturnType<typeof makeReplayHead>>) =>
  Effect.map(head.content, ({ lines }) => lines)

describe("a shell for commands that is replayed", () => {
  it.live("is drawn back from near by, and shows what a recording shows wherever it goes", () =>
    Effect.gen(function* () {
      const line = (at: number) => `\x1b[3${at % 8}mline\x1b[m ${at} ${"x".repeat(at % 60)}\n`
      const text = (from: number) => Array.from({ length: 700 }, (_, at) => line(from + at)).join("")
      const events: Array<SessionEvent> = [created({ kind: "exec", size: SIZE })]
      for (let exec = 1; exec <= 6; exec++) {
        events.push(commandStarted(exec, `step ${exec}`))
        for (let at = 0; at < 30; at++) events.push(stdout(exec, text(at * 700), at % 7 === 0 ? "stderr" : "stdout"))
        events.push(commandFinished(exec, { exitCode: exec }))
      }
      const { history, state } = historyOf(events)
      const pieceBytes = text(0).length
      const head = yield* makeReplayHead(history as never, state.view)
      yield* head.seek(events.length)
      assert.strictEqual(state.read, events.length)
      // A snapshot for each MiB, so a jump reads no more than that and two pages.
      const readMax = Math.ceil(MIB / pieceBytes) + 2 * PAGE_EVENTS
      assert.isBelow(readMax * 2, events.length)
      for (const place of [events.length, 100, 3, 150, 64, 33, 32, 191, 1]) {
        state.read = 0
        yield* head.seek(place)
        assert.isAtMost(state.read, readMax, `read for ${place}`)
        assert.deepStrictEqual(yield* rowsOf(head), yield* Effect.promise(() => castScreen(events.slice(0, place))))
      }
      yield* head.seek(33)
      assert.strictEqual(head.label(), "command 1 completed, exit code 1")
      yield* head.seek(60)
      assert.strictEqual(head.label(), "command 2: step 2")
    })
  )

  it.live("is shown from what is left of it, up to what is damaged, and as it is after a redaction", () =>
    Effect.gen(function* () {
      const rest = [stdout(3, "left\n"), commandFinished(3), commandStarted(4, "next"), stdout(4, "of it\n")]
      const pruned = historyOf([removed(5000), ...rest])
      const head = yield* makeReplayHead(pruned.history as never, pruned.state.view)
      yield* head.seek(1)
      assert.strictEqual(head.position().sequence, 0)
      assert.deepStrictEqual([...new Set(yield* rowsOf(head))], [""])
      yield* head.seek(5000)
      assert.match(head.label()!, /^gap: events 1 to 5000 were removed/)
      yield* head.seek(5004)
      assert.deepStrictEqual((yield* rowsOf(head)).slice(0, 3), ["left", "$ next", "of it"])

      const events: ReadonlyArray<SessionEvent> = [
        created({ kind: "exec", size: SIZE }),
        commandStarted(1, "cat"),
        ...Array.from({ length: 40 }, (_, at) => stdout(1, `hunter2 ${at} ${"x".repeat(64 * 1024)}\n`)),
        commandFinished(1)
      ]
      const { history, state } = historyOf(events)
      const other = yield* makeReplayHead(history as never, state.view)
      yield* other.seek(events.length)
      state.damagedFrom = 20
      assert.strictEqual((yield* Effect.flip(other.seek(30)))._tag, "HistoryDamaged")
      yield* other.seek(2)
      assert.deepStrictEqual((yield* rowsOf(other))[0], "$ cat")
      state.damagedFrom = Number.POSITIVE_INFINITY

      // Redacted while it is looked at: nothing of before is kept when that was seen.
      const hidden = (event: SessionEvent): SessionEvent =>
        event._tag === "OutputReceived"
          ? { ...event, data: Buffer.from(Buffer.from(event.data).toString().replace("hunter2", "*******")) }
          : event
      state.events = [
        ...events.map(hidden),
        { _tag: "PayloadsRedacted", from: 1, to: events.length, rules: [], reason: "", events: [] }
      ]
      yield* other.seek(events.length + 1)
      state.read = 0
      yield* other.seek(30)
      assert.isAtLeast(state.read, 30)
      const shown = (yield* other.picture()).rows.join("\n")
      assert.notInclude(shown, "hunter2")
    })
  )

  it("keeps so many screens and bytes of them, at intervals that grow", () => {
    const snapshots = new ReplaySnapshots<number>()
    const fill = (from: number, to: number, screenBytes: number) => {
      for (let sequence = from; sequence <= to; sequence++) {
        const cost = drawingCost(sequence * 256 * 1024, sequence)
        if (snapshots.isDue(sequence, cost)) {
          snapshots.keep({ sequence, cost, screen: new Uint8Array(screenBytes), state: sequence })
        }
      }
    }
    assert.isUndefined(snapshots.before(1000))
    fill(1, 400, 1000)
    assert.strictEqual(snapshots.count, 100)
    assert.strictEqual(snapshots.before(8)?.state, 8)
    assert.strictEqual(snapshots.before(7)?.state, 4)
    // Drawn again, nothing is kept twice.
    fill(1, 400, 1000)
    assert.strictEqual(snapshots.count, 100)
    // Four gigabytes.
    fill(401, 16_384, 1000)
    assert.isAtMost(snapshots.count, 256)
    for (const place of [5000, 16_384, 9000])
      assert.isAtMost(place - snapshots.before(place)!.sequence, 16_384 / 128 + 4)
    // Screens that are large.
    snapshots.clear()
    assert.strictEqual(snapshots.bytes, 0)
    fill(1, 16_384, MIB)
    assert.isAtMost(snapshots.bytes, 32 * MIB)
    assert.isAtLeast(snapshots.count, 8)
  })
})
