import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { NewEvent, SessionEvent } from "../../journal/Event.ts"
import { Journal, type JournalShape } from "../../journal/Journal.ts"
import { JournalDamaged } from "../../journal/JournalError.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { Buffers } from "../../projections/Buffers.ts"
import type { Projection } from "../../projections/Projection.ts"
import { SNAPSHOT_EVENTS, sequenceAt, stateAt, summaryOf } from "../../projections/ProjectionRunner.ts"
import { INDEX_SPACE, indexKey, readIndexRow } from "../../projections/SessionIndex.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { SNAPSHOT_SPACE, snapshotKey, snapshotRowOf } from "../../projections/SnapshotRow.ts"
import { WorkingDirectory } from "../../projections/WorkingDirectory.ts"
import { created, foldAll, output, randomOutput, STREAM, seeded, started } from "./events.ts"

const PROJECTIONS = { state: SessionState, directory: WorkingDirectory, buffers: Buffers }

const newEvents = (events: ReadonlyArray<SessionEvent>, from = 0): ReadonlyArray<NewEvent> =>
  events.map((event, index) => ({ event, actor: "engine", timeMicros: 1_000_000 * (from + index + 1) }))

/** A session of output, inputs and sizes with more than one snapshot's worth of events. */
const session = (seed: number, count: number): ReadonlyArray<SessionEvent> => {
  const random = seeded(seed)
  const events: Array<SessionEvent> = [created(), started()]
  let offset = 0
  while (events.length < count) {
    const roll = random()
    if (roll < 0.1) events.push({ _tag: "Resized", size: { cols: 10 + Math.floor(random() * 90), rows: 24 } })
    else if (roll < 0.2) events.push({ _tag: "InputWritten", data: new Uint8Array(3) })
    else {
      const data = randomOutput(random, 3)
      events.push(output(data, offset))
      offset += data.length
    }
  }
  return events
}

const snapshots = Journal.use((journal) => Stream.runCollect(journal.rows(SNAPSHOT_SPACE)))

/** The journal, with a hole at one sequence. */
const damagedAt = (journal: JournalShape, sequence: number): JournalShape => {
  const damage = new JournalDamaged({ stream: STREAM, from: sequence, to: sequence, reason: "checksum" })
  return {
    ...journal,
    read: (stream, options = {}) => {
      const after = options.after ?? 0
      const until = options.until ?? Number.POSITIVE_INFINITY
      if (sequence <= after || sequence > until) return journal.read(stream, options)
      const before = journal.read(stream, { ...options, until: sequence - 1 })
      return Stream.concat(sequence - 1 > after ? before : Stream.empty, Stream.fail(damage))
    }
  }
}

describe("stateAt", () => {
  it.effect("with snapshots equals the plain fold, at every kind of point", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const events = session(7, SNAPSHOT_EVENTS * 2 + 500)
      yield* journal.append(STREAM, newEvents(events))
      const first = yield* stateAt(PROJECTIONS, STREAM)
      assert.strictEqual(first.eventsFolded, events.length)
      assert.isAbove((yield* snapshots).length, 2)
      const random = seeded(8)
      const points = [
        0,
        1,
        SNAPSHOT_EVENTS,
        SNAPSHOT_EVENTS + 1,
        events.length,
        ...Array.from({ length: 12 }, () => Math.floor(random() * events.length))
      ]
      for (const sequence of points) {
        const found = yield* stateAt(PROJECTIONS, STREAM, { _tag: "Sequence", sequence })
        assert.strictEqual(found.sequence, sequence)
        assert.isNull(found.damage)
        const some = events.slice(0, sequence)
        assert.deepStrictEqual(found.states.state, foldAll(SessionState, some), `state at ${sequence}`)
        const directory = foldAll(WorkingDirectory, some)
        assert.deepStrictEqual(found.states.directory.cwd, directory.cwd)
        assert.deepStrictEqual(Buffers.encode(found.states.buffers), Buffers.encode(foldAll(Buffers, some)))
        const timed = yield* stateAt({ state: SessionState }, STREAM, {
          _tag: "Time",
          timeMicros: sequence * 1_000_000 + 1
        })
        assert.strictEqual(timed.sequence, sequence)
      }
      const beyond = yield* stateAt(PROJECTIONS, STREAM, { _tag: "Sequence", sequence: 1e9 })
      assert.strictEqual(beyond.sequence, events.length)
    }).pipe(Effect.provide(JournalMemory.layer))
  )

  it.effect("a second look costs the tail since the last snapshot", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(STREAM, newEvents(session(3, SNAPSHOT_EVENTS * 2)))
      yield* stateAt({ state: SessionState }, STREAM)
      const again = yield* stateAt({ state: SessionState }, STREAM)
      assert.isBelow(again.eventsFolded, SNAPSHOT_EVENTS + 1)
      assert.isBelow((yield* stateAt({ state: SessionState }, STREAM)).eventsFolded, SNAPSHOT_EVENTS + 1)
    }).pipe(Effect.provide(JournalMemory.layer))
  )

  it.effect("snapshots of another version, or damaged ones, are ignored", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const events = session(4, 50)
      yield* journal.append(STREAM, newEvents(events))
      yield* journal.putRows([
        snapshotRowOf("session-state", 99, STREAM, 49, SessionState.encode(SessionState.initial(STREAM))),
        snapshotRowOf("session-state", SessionState.version, STREAM, 48, Buffer.from("rubbish")),
        { space: SNAPSHOT_SPACE, key: snapshotKey("session-state", STREAM, 47), value: new Uint8Array(2) }
      ])
      const found = yield* stateAt({ state: SessionState }, STREAM)
      assert.strictEqual(found.eventsFolded, 50)
      assert.deepStrictEqual(found.states.state, foldAll(SessionState, events))
    }).pipe(Effect.provide(JournalMemory.layer))
  )

  it.effect("ends at damage and says so; all states are of the same place", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const events = session(5, 400)
      yield* journal.append(STREAM, newEvents(events))
      const at300: Projection<{ sum: number }> = {
        name: "sum",
        version: 1,
        initial: () => ({ sum: 0 }),
        fold: (state, entry) => ({ sum: state.sum + entry.sequence }),
        encode: (state) => Buffer.from(JSON.stringify(state)),
        decode: (bytes) => JSON.parse(Buffer.from(bytes).toString())
      }
      yield* journal.putRows([snapshotRowOf("sum", 1, STREAM, 300, at300.encode({ sum: 45150 }))])
      const broken = damagedAt(journal, 200)
      const found = yield* stateAt({ state: SessionState, sum: at300 }, STREAM).pipe(
        Effect.provideService(Journal, broken)
      )
      assert.strictEqual(found.sequence, 199)
      assert.deepInclude(found.damage, { from: 200, to: 200 })
      assert.deepStrictEqual(found.states.state, foldAll(SessionState, events.slice(0, 199)))
      assert.strictEqual(found.states.sum.sum, (199 * 200) / 2)
      // Where every projection has a snapshot behind the damage, nothing of it is needed.
      const behind = yield* stateAt({ sum: at300 }, STREAM).pipe(Effect.provideService(Journal, broken))
      assert.deepStrictEqual([behind.sequence, behind.damage, behind.states.sum.sum], [400, null, 80200])
      const before = yield* stateAt({ state: SessionState }, STREAM, { _tag: "Sequence", sequence: 150 }).pipe(
        Effect.provideService(Journal, broken)
      )
      assert.deepStrictEqual([before.sequence, before.damage], [150, null])
    }).pipe(Effect.provide(JournalMemory.layer))
  )
})

describe("sequenceAt", () => {
  it.effect("finds the last event at or before a time", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(STREAM, newEvents(session(1, 300)))
      for (const [timeMicros, sequence] of [
        [0, 0],
        [999_999, 0],
        [1_000_000, 1],
        [1_000_001, 1],
        [150_500_000, 150],
        [300_000_000, 300],
        [1e15, 300]
      ] as const) {
        assert.deepStrictEqual(yield* sequenceAt(STREAM, { _tag: "Time", timeMicros }), {
          sequence,
          damage: null,
          removed: null
        })
      }
      const missing = "01ARZ3NDEKTSV4RRFFQ69G5FAZ" as typeof STREAM
      assert.strictEqual((yield* sequenceAt(missing, { _tag: "Time", timeMicros: 5 })).sequence, 0)
    }).pipe(Effect.provide(JournalMemory.layer))
  )

  it.effect("keeps its definition where the clock went back", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const random = seeded(11)
      const times = Array.from(
        { length: 200 },
        (_, i) => 1000 + (i + 1) * 10 - (random() < 0.2 ? Math.floor(random() * 900) : 0)
      )
      yield* journal.append(
        STREAM,
        times.map((timeMicros) => ({ event: { _tag: "InputHidden" as const }, actor: "a", timeMicros }))
      )
      for (let timeMicros = 0; timeMicros < 3100; timeMicros += 37) {
        const { sequence } = yield* sequenceAt(STREAM, { _tag: "Time", timeMicros })
        assert.isTrue(sequence === 0 || times[sequence - 1]! <= timeMicros)
        assert.isTrue(sequence === times.length || times[sequence]! > timeMicros)
      }
    }).pipe(Effect.provide(JournalMemory.layer))
  )
})

describe("summaryOf", () => {
  it.effect("is one row once it is known, is renewed when events came, and is final after the close", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(
        STREAM,
        newEvents([created({ name: "n" }), started(), output("\x1b]7;file:///w\x07\x1b]2;t\x07")])
      )
      const { summary } = yield* summaryOf(STREAM)
      assert.deepInclude(summary, { name: "n", status: "running", cwd: "/w", title: "t", sequence: 3, closed: false })
      assert.deepStrictEqual(readIndexRow(yield* journal.row(INDEX_SPACE, indexKey(STREAM))), summary)
      yield* journal.append(
        STREAM,
        newEvents([{ _tag: "SessionClosed", exitCode: 0, signal: null, reason: "ended", survivors: [] }])
      )
      const closed = (yield* summaryOf(STREAM)).summary
      assert.deepInclude(closed, { status: "exited", exitCode: 0, closed: true, sequence: 4 })
      const unreadable = damagedAt(journal, 1)
      const again = yield* summaryOf(STREAM).pipe(Effect.provideService(Journal, unreadable))
      assert.deepStrictEqual(again.summary, closed)
    }).pipe(Effect.provide(JournalMemory.layer))
  )

  it.effect("does not put back the row of a session that ended while it was read", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(STREAM, newEvents([created({ name: "n" }), started()]))
      const ends = Effect.gen(function* () {
        yield* journal.append(
          STREAM,
          newEvents([{ _tag: "SessionClosed", exitCode: 0, signal: null, reason: "ended", survivors: [] }])
        )
        yield* summaryOf(STREAM)
      }).pipe(Effect.provideService(Journal, journal))
      const endedBetween: typeof journal = {
        ...journal,
        putRows: (rows, madeOf) => Effect.andThen(Effect.orDie(ends), journal.putRows(rows, madeOf))
      }
      const { summary } = yield* summaryOf(STREAM).pipe(Effect.provideService(Journal, endedBetween))
      assert.deepInclude(summary, { status: "running", sequence: 2 })
      const row = readIndexRow(yield* journal.row(INDEX_SPACE, indexKey(STREAM)))
      assert.deepInclude(row, { status: "exited", closed: true, sequence: 3 })
    }).pipe(Effect.provide(JournalMemory.layer))
  )
})
