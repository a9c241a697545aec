/**
 * A process dies at every instruction of a redaction at which it can matter: all of it is done or nothing, the store reads
 * right, and the next process that has it takes out of the files what is left there.
 */
import { chmodSync, cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { NewEvent, SessionEvent } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { KILL_POINTS, type KillPointName } from "../../journal/KillPoint.ts"
import { Buffers } from "../../projections/Buffers.ts"
import { Commands } from "../../projections/Commands.ts"
import { stateAt } from "../../projections/ProjectionRunner.ts"
import { SessionState } from "../../projections/SessionState.ts"
import * as RetentionLocal from "../../src/erasure/RetentionLocal.ts"
import { History, type Redaction, type Retention } from "../../src/index.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { created, started } from "../projections/events.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { CommandLine } from "./commandLine.ts"

const KEY = "AKIAIOSFODNN7EXAMPLE"
const EVENTS = 1500
const POINTS = KILL_POINTS.filter((name) => name.startsWith("redaction."))
const stream = newSessionId()

/** Enough for snapshots of it on the way. */
const historyOf = (): ReadonlyArray<NewEvent> => {
  const events: Array<SessionEvent> = [created({ name: "recorded", argv: ["deploy", KEY] }), started()]
  let offset = 0
  while (events.length < EVENTS - 1) {
    const data = Buffer.from(`line ${events.length} ${events.length % 50 === 0 ? KEY : "x".repeat(1000)}\r\n`)
    events.push({ _tag: "OutputReceived", channel: "tty", exec: 0, offset, data })
    offset += data.length
  }
  events.push({ _tag: "SessionClosed", exitCode: 3, signal: null, reason: "exited", survivors: [] })
  return events.map((event, index) => ({ event, actor: "engine", timeMicros: 1_000_000 * (index + 1) }))
}

const run = <A, E>(
  store: string,
  effect: Effect.Effect<A, E, Journal | History | Redaction | Retention>
): Promise<A> => {
  const paths = storePaths(store)
  return Effect.runPromise(
    effect.pipe(
      Effect.provide(
        RetentionLocal.layer(paths).pipe(
          Layer.provideMerge(HistoryLive.layerWithScreens),
          Layer.provideMerge(JournalLevel.layer({ location: paths.journal }))
        )
      ),
      Effect.scoped
    )
  )
}

describe("a process dies in the middle of a redaction", () => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-redaction-"))
  const whole = join(folder, "whole")
  beforeAll(() =>
    run(
      whole,
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* journal.append(stream, historyOf())
        yield* stateAt({ state: SessionState, buffers: Buffers, commands: Commands }, stream)
        yield* (yield* History).list
      })
    )
  )
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const dieAt = async (point: KillPointName) => {
    const store = join(folder, point)
    cpSync(whole, store, { recursive: true })
    chmodSync(join(store, "journal"), 0o700)
    assert.isNotEmpty(filesHolding(store, KEY))
    const cli = new CommandLine(store)
    const killed = await cli.run(["redact", stream, "--rule", "aws-access-key"], { env: { REPRISE_KILL_POINT: point } })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    const isDone = point !== "redaction.batch.before"
    // Whoever has the store next finishes, before anything is asked.
    await run(
      store,
      Effect.gen(function* () {
        const journal = yield* Journal
        assert.deepStrictEqual(journal.openingDamages, [])
        assert.deepStrictEqual((yield* journal.verify).damages, [])
        assert.deepStrictEqual([...(yield* journal.redaction.unfinished)], [])
        assert.strictEqual(yield* journal.head(stream), isDone ? EVENTS + 1 : EVENTS)
        const entries = yield* Stream.runCollect(journal.read(stream))
        const holding = [...entries].filter(({ event }) => JSON.stringify(event, bytesAsText).includes(KEY))
        assert.strictEqual(holding.length, isDone ? 0 : EVENTS / 50)
      })
    )
    if (isDone) assert.deepStrictEqual(filesHolding(store, KEY), [])
    if (isDone) return rmSync(store, { recursive: true, force: true })
    const again = await cli.run(["redact", stream, "--rule", "aws-access-key", "--json"])
    assert.strictEqual(again.code, 0, again.stderr)
    const report = JSON.parse(again.stdout.toString())
    assert.strictEqual(report.events.length, EVENTS / 50)
    assert.deepStrictEqual(filesHolding(store, KEY), [])
    rmSync(store, { recursive: true, force: true })
  }

  for (const point of POINTS) {
    it(`10.7 (6): ${point}: all or nothing, and no file holds the key afterwards`, { timeout: 180_000 }, () =>
      dieAt(point)
    )
  }
})

const bytesAsText = (_: string, value: unknown): unknown =>
  (value as { type?: unknown })?.type === "Buffer"
    ? Buffer.from((value as { data: Array<number> }).data).toString()
    : value
