/**
 * A process dies at every instruction of a removal at which it can matter: what is behind it is all there, what stands for
 * it verifies, every state is what it was, and the next run does the rest.
 */
import { chmodSync, cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { NewEvent, SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { KILL_POINTS, type KillPointName } from "../../journal/KillPoint.ts"
import { Buffers } from "../../projections/Buffers.ts"
import { Commands } from "../../projections/Commands.ts"
import { stateAt } from "../../projections/ProjectionRunner.ts"
import { screenAt } from "../../projections/ScreenHistory.ts"
import type { ScreenService } from "../../projections/ScreenService.ts"
import { SessionState } from "../../projections/SessionState.ts"
import * as RetentionLocal from "../../src/erasure/RetentionLocal.ts"
import { Retention } from "../../src/index.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { History } from "../../src/session/History.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { bytesIn } from "../fixtures/bytesIn.ts"
import { created, started } from "../projections/events.ts"
import { CommandLine, withCommandLine } from "./commandLine.ts"

/** REPRISE_TRIES raises it: half of them remove the beginning, half the whole of a session. */
const TRIES = Math.max(2, Number(process.env.REPRISE_TRIES ?? 2))
const EVENTS = 1600
const KEPT = 300
const POINTS = KILL_POINTS.filter((name) => name.startsWith("retention."))
const STREAMS: ReadonlyArray<SessionId> = [newSessionId(), newSessionId()]
const [stream, other] = STREAMS as readonly [SessionId, SessionId]

const historyOf = (): ReadonlyArray<NewEvent> => {
  const events: Array<SessionEvent> = [created({ name: "recorded" }), started()]
  let offset = 0
  while (events.length < EVENTS - 1) {
    const data = Buffer.from(`\x1b[3${events.length % 8}mline ${events.length} ${"x".repeat(events.length % 200)}\r\n`)
    events.push({ _tag: "OutputReceived", channel: "tty", exec: 0, offset, data })
    offset += data.length
  }
  events.push({ _tag: "SessionClosed", exitCode: 3, signal: null, reason: "exited", survivors: [] })
  return events.map((event, index) => ({ event, actor: "engine", timeMicros: 1_000_000 * (index + 1) }))
}

const run = <A, E>(store: string, effect: Effect.Effect<A, E, Journal | ScreenService | Retention>): Promise<A> => {
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

/** Of the places that are looked at: states, the screen, and the events behind each of them. */
const known = Effect.fnUntraced(function* (places: ReadonlyArray<number>) {
  const journal = yield* Journal
  const found: Array<unknown> = []
  for (const sequence of places) {
    const point = { _tag: "Sequence", sequence } as const
    const { damage, removed, states } = yield* stateAt(
      { state: SessionState, buffers: Buffers, commands: Commands },
      stream,
      point
    )
    const { lines, status } = yield* screenAt(stream, point)
    const events = yield* Stream.runCollect(journal.read(stream, { after: sequence }))
    found.push({
      damage,
      removed,
      state: Buffer.from(SessionState.encode(states.state)).toString(),
      buffers: Buffer.from(Buffers.encode(states.buffers)).toString("latin1"),
      commands: Buffer.from(Commands.encode(states.commands)).toString(),
      lines,
      status,
      events: JSON.stringify(events)
    })
  }
  return found
})

// Beside each other: the command whose engine dies waits 10 s for another one.
describe("a process dies in the middle of a removal", { concurrent: true }, () => {
  const to = EVENTS - KEPT
  const places = [to, to + 1, to + 150, EVENTS]
  const folder = mkdtempSync(join(tmpdir(), "reprise-removal-"))
  const whole = join(folder, "whole")
  let before: ReadonlyArray<unknown> = []
  beforeAll(async () => {
    before = await run(
      whole,
      Effect.gen(function* () {
        const journal = yield* Journal
        for (const id of STREAMS) yield* journal.append(id, historyOf())
        return yield* known(places)
      })
    )
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const dieAt = async (point: KillPointName, attempt: number) => {
    const isWhole = attempt % 2 === 1
    const times = point.startsWith("retention.delete") ? 1 + (attempt % 3) : 1
    const store = join(folder, `${point}-${attempt}`)
    cpSync(whole, store, { recursive: true })
    for (const path of [store, join(store, "journal")]) chmodSync(path, 0o700)
    const size = bytesIn(join(store, "journal/db"))
    const { signal, stderr } = await new CommandLine(store).run(
      ["prune", stream, ...(isWhole ? [] : ["--max-events", String(KEPT)])],
      { env: { REPRISE_KILL_POINT: `${point}:${times}` } }
    )
    assert.strictEqual(signal, "SIGKILL", stderr)
    const removed = await run(
      store,
      Effect.gen(function* () {
        const journal = yield* Journal
        assert.deepStrictEqual(journal.openingDamages, [])
        assert.deepStrictEqual((yield* journal.verify).damages, [])
        assert.strictEqual(yield* journal.head(stream), EVENTS)
        assert.strictEqual((yield* Stream.runCollect(journal.read(other))).length, EVENTS)
        const gone = yield* journal.removal.of(stream)
        assert.strictEqual(gone === undefined, point === "retention.tombstone.before")
        assert.deepStrictEqual([...(yield* journal.removal.unfinished)], gone === undefined ? [] : [stream])
        const kept = places.filter((place) => gone === undefined || place > gone.sequence || !isWhole)
        assert.deepStrictEqual(yield* known(kept), before.slice(places.length - kept.length))
        const { states } = yield* stateAt({ state: SessionState }, stream)
        assert.deepInclude(states.state, { exitCode: 3, closed: true, name: "recorded" })

        const retention = yield* Retention
        const policy = { session: { maxEvents: KEPT }, store: {} }
        yield* retention.prune({ sessions: [stream], ...(isWhole ? {} : { policy }) })
        const { event } = (yield* journal.removal.of(stream))!
        assert.deepInclude(event, { _tag: "EventsRemoved", to: isWhole ? EVENTS : to })
        assert.deepStrictEqual([...(yield* journal.removal.unfinished)], [])
        assert.deepStrictEqual((yield* journal.verify).damages, [])
        if (!isWhole) assert.deepStrictEqual(yield* known(places), before)
        return event._tag === "EventsRemoved" ? event.bytes : 0
      })
    )
    assert.isAbove(removed, 100_000)
    // What was deleted is not on the disk any more: one of two streams is there, and little of the other.
    assert.isBelow(bytesIn(join(store, "journal/db")), isWhole ? 0.75 * size : 0.9 * size)
    rmSync(store, { recursive: true, force: true })
  }

  for (const point of POINTS) {
    it(`reliability row 9: ${point}, ${TRIES} times`, { timeout: 60_000 + TRIES * 60_000 }, async () => {
      for (let attempt = 0; attempt < TRIES; attempt++) await dieAt(point, attempt)
    })
  }
})

describe("an engine dies in the middle of a removal", { concurrent: true }, () => {
  it(
    "reliability row 9: a program that runs on is taken back, and no line behind the removal is missing",
    { timeout: 300_000 },
    () =>
      withCommandLine(async (cli) => {
        // Waits in a read of its own: a `sleep` is a process for each line.
        const program =
          'trap "exit 0" USR1; exec 9<> <(:); i=0; while :; do i=$((i+1)); echo "line $i"; read -rt 0.002 -u 9; done'
        const id = (
          await cli.text(["run", "--detach", "--name", "counter", "--", "bash", "-c", program], {
            env: { REPRISE_KILL_POINT: "retention.delete.before:1" }
          })
        ).trim()
        const engine = await cli.enginePid()
        // Asked over the socket: a command for each look would take longer than the lines.
        await Effect.runPromise(
          History.use((history) =>
            Stream.runDrain(
              Stream.takeUntil(
                history.follow(id as SessionId, 0),
                (item) => item._tag === "Page" && item.entries.at(-1)!.sequence >= 200
              )
            )
          ).pipe(Effect.provide(EngineClient.layer({ paths: storePaths(cli.store), start: false, actor: "test" })))
        )
        const { code } = await cli.run(["prune", id, "--max-events", "50"])
        assert.notStrictEqual(code, 0)
        assert.notStrictEqual(await cli.enginePid(), engine)
        await cli.text(["signal", id, "USR1", "--target", "leader"])
        await cli.run(["attach", id])
        const { stderr, stdout } = await cli.run(["replay", id])
        assert.include(stderr, "removed on")
        const lines = [...stdout.toString().matchAll(/^line (\d+)\r$/gm)].map((match) => Number(match[1]))
        assert.isAbove(lines.length, 10)
        assert.deepStrictEqual(
          lines,
          lines.map((_, index) => lines[0]! + index)
        )
        await cli.text(["stop"])
        await run(
          cli.store,
          Effect.gen(function* () {
            const journal = yield* Journal
            assert.deepStrictEqual([...(yield* journal.removal.unfinished)], [])
            assert.deepStrictEqual((yield* journal.verify).damages, [])
          })
        )
      })
  )
})
