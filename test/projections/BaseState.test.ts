/**
 * A beginning is removed: every projection, and every cell of the screen, is at every later place what it was before. Of
 * random histories, from places that are nowhere special: in the middle of a character, of a sequence, of a command.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import type { SessionEvent } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { allBases, rowsBehind, summaryBases } from "../../projections/BaseState.ts"
import { Buffers, makeBuffers } from "../../projections/Buffers.ts"
import { Commands } from "../../projections/Commands.ts"
import { stateAt } from "../../projections/ProjectionRunner.ts"
import { lookAt, screenAt } from "../../projections/ScreenHistory.ts"
import { ScreenService } from "../../projections/ScreenService.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { BASE_SPACE, SNAPSHOT_SPACE, snapshotKey } from "../../projections/SnapshotRow.ts"
import { Title } from "../../projections/Title.ts"
import { WorkingDirectory } from "../../projections/WorkingDirectory.ts"
import {
  commandFinished,
  commandStarted,
  created,
  entriesOf,
  output,
  randomOutput,
  STREAM,
  seeded,
  started,
  stateChanged
} from "./events.ts"

const PROJECTIONS = {
  state: SessionState,
  directory: WorkingDirectory,
  title: Title,
  buffers: Buffers,
  commands: Commands
}
const layer = Layer.mergeAll(JournalMemory.layer, ScreenService.layer)

const history = (seed: number, count: number): ReadonlyArray<SessionEvent> => {
  const random = seeded(seed)
  const events: Array<SessionEvent> = [
    created({ kind: "exec", language: "bash", secretEnvNames: ["TOKEN"] }),
    started()
  ]
  let offset = 0
  let exec = 0
  while (events.length < count) {
    const roll = random()
    if (roll < 0.1)
      events.push({
        _tag: "Resized",
        size: { cols: 5 + Math.floor(random() * 60), rows: 3 + Math.floor(random() * 20) }
      })
    else if (roll < 0.2) events.push({ _tag: "InputWritten", data: new Uint8Array(3) })
    else if (roll < 0.3) {
      exec++
      events.push(commandStarted(exec, `echo ${exec}`, { ttyFrom: offset }))
      events.push({ _tag: "OutputReceived", channel: "stdout", exec, offset: 0, data: Buffer.from(`${exec}\n`) })
      events.push(commandFinished(exec, { cwd: `/tmp/${exec}`, stdoutBytes: 2, ttyTo: offset }))
      events.push(stateChanged(exec, { env: { A: String(exec) } }))
    } else {
      const data = randomOutput(random, 6)
      events.push(output(data, offset))
      offset += data.length
    }
  }
  return events
}

/** All that is known at a place, in a form that can be compared; the screen with every cell, mode and unfinished sequence. */
const knownAt = Effect.fnUntraced(function* (sequence: number) {
  const point = { _tag: "Sequence", sequence } as const
  const { damage, removed, states } = yield* stateAt(PROJECTIONS, STREAM, point)
  assert.isNull(damage)
  assert.isNull(removed)
  const screen = yield* lookAt(STREAM, point, 10_000, (screens, key) => screens.serialize(key))
  const view = yield* screenAt(STREAM, point)
  assert.strictEqual(view.status, "ok", view.reason ?? "")
  const encoded = Object.entries(PROJECTIONS).map(([key, { encode }]) =>
    Buffer.from(encode(states[key as keyof typeof states] as never)).toString("latin1")
  )
  const cells =
    screen._tag === "Seen" && screen.answer !== undefined ? Buffer.from(screen.answer).toString("hex") : null
  return JSON.stringify({ encoded, cells, view })
})

const removeTo = Effect.fnUntraced(function* (to: number) {
  const journal = yield* Journal
  const floor = (yield* journal.removal.of(STREAM))?.sequence ?? 0
  const bases = (yield* allBases(STREAM, to, floor))!
  assert.isDefined(bases)
  const removal = { ...bases, reason: "count", policy: "test", actor: "test", timeMicros: 9e15 } as const
  yield* journal.removal.remove(STREAM, removal, yield* rowsBehind(bases, STREAM))
  return bases.to
})

describe("states that stand for removed events", () => {
  for (const seed of [1, 2]) {
    it.live(
      `everything is at every later place what it was, after one removal and after two (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          const journal = yield* Journal
          const random = seeded(100 + seed)
          yield* journal.append(STREAM, entriesOf(history(seed, 48)))
          const head = yield* journal.head(STREAM)
          const before = new Map<number, string>()
          for (let at = 1; at <= head; at++) before.set(at, yield* knownAt(at))
          let floor = 0
          for (const part of [0.3, 0.8]) {
            const to = floor + Math.floor((head - floor) * (part * random() + 0.1))
            floor = yield* removeTo(to)
            for (let at = floor; at <= head; at++) assert.strictEqual(yield* knownAt(at), before.get(at), `event ${at}`)
            // And from nothing that was known: a process that has just started.
            yield* journal.deleteRows(SNAPSHOT_SPACE, new Uint8Array(0), Buffer.alloc(100, 0xff))
            assert.strictEqual(yield* knownAt(head), before.get(head))
            const rows = yield* Stream.runCollect(journal.rows(BASE_SPACE))
            assert.strictEqual(rows.length, 6)
          }
        }).pipe(Effect.provide(layer)),
      { timeout: 180_000 }
    )
  }

  it.live("a place in what was removed is answered with what happened to it, never with a state", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(STREAM, entriesOf(history(4, 60)))
      const to = yield* removeTo(40)
      for (const point of [
        { _tag: "Sequence", sequence: 7 },
        { _tag: "Time", timeMicros: 3_500_000 }
      ] as const) {
        const { removed, sequence, states } = yield* stateAt(PROJECTIONS, STREAM, point)
        assert.deepInclude({ ...removed! }, { _tag: "JournalRemoved", to, policy: "test" })
        assert.strictEqual(sequence, 0)
        assert.deepStrictEqual(states.state, SessionState.initial(STREAM))
        const screen = yield* screenAt(STREAM, point)
        assert.strictEqual(screen.status, "unavailable")
        assert.include(screen.reason!, `the earliest state is at event ${to}`)
      }
      // A time at or behind the last event removed is a place again.
      assert.isNull((yield* stateAt(PROJECTIONS, STREAM, { _tag: "Time", timeMicros: to * 1_000_000 })).removed)
    }).pipe(Effect.provide(layer))
  )

  it.live("what was not kept is said to be removed, and what cannot be read to be damaged", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(STREAM, entriesOf(history(5, 60)))
      const to = yield* removeTo(40)
      const other = { buffers: makeBuffers({ lines: 7 }) }
      assert.deepInclude({ ...(yield* stateAt(other, STREAM)).removed! }, { _tag: "JournalRemoved", to })
      const key = snapshotKey(SessionState.name, STREAM, to)
      yield* journal.deleteRows(BASE_SPACE, key, key)
      const found = yield* stateAt(PROJECTIONS, STREAM)
      assert.deepInclude({ ...found.damage! }, { _tag: "JournalDamaged", from: 1, to })
      assert.include(found.damage!.message, "session-state")
    }).pipe(Effect.provide(layer))
  )

  it.live("of a session that is removed as a whole the summary is left, and no snapshot", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(STREAM, entriesOf(history(6, 60)))
      const head = yield* journal.head(STREAM)
      const before = yield* stateAt({ state: SessionState, title: Title }, STREAM)
      yield* screenAt(STREAM)
      const bases = yield* summaryBases(STREAM, head)
      const removal = { ...bases, reason: "asked", policy: "test", actor: "test", timeMicros: 9e15 } as const
      yield* journal.removal.remove(STREAM, removal, yield* rowsBehind(bases, STREAM))
      const { states } = yield* stateAt({ state: SessionState, title: Title }, STREAM)
      assert.deepStrictEqual(states.state, before.states.state)
      assert.strictEqual(states.title.title, before.states.title.title)
      assert.deepStrictEqual([...(yield* Stream.runCollect(journal.rows(SNAPSHOT_SPACE)))], [])
      assert.isNotNull((yield* stateAt({ buffers: Buffers }, STREAM)).removed)
      assert.strictEqual((yield* screenAt(STREAM)).status, "unavailable")
    }).pipe(Effect.provide(layer))
  )
})
