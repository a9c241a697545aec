import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { makeScreenFollower, type ScreenFollower, UNDRAWN_BYTES } from "../../projections/ScreenFollower.ts"
import { quarantineOf, screenAt } from "../../projections/ScreenHistory.ts"
import { ScreenOptions, ScreenService } from "../../projections/ScreenService.ts"
import { SNAPSHOT_SPACE, snapshotSequence } from "../../projections/SnapshotRow.ts"
import { created, entriesOf, output, STREAM } from "./events.ts"

const OTHER = "01ARZ3NDEKTSV4RRFFQ69G5FAW" as SessionId
const blocked = new URL("./fixtures/BlockedWorker.ts", import.meta.url)
const CHUNK_BYTES = 50_000

const write = (events: ReadonlyArray<SessionEvent>, stream = STREAM) =>
  Journal.use((journal) => journal.append(stream, entriesOf(events)))
/** A session of lines, and the bytes of its output. */
const printed = (chunks: number) => {
  const line = `\x1b[32m${"z".repeat(70)}\x1b[0m\r\n`
  const events = Array.from({ length: chunks }, (_, i) =>
    output(`${line.repeat(Math.floor(CHUNK_BYTES / line.length))}${i}\r\n`, i * CHUNK_BYTES)
  )
  return [created(), ...events]
}
const snapshots = (stream: SessionId) =>
  Journal.use((journal) => Stream.runCollect(journal.rows(SNAPSHOT_SPACE))).pipe(
    Effect.map((rows) =>
      rows
        .filter(({ key }) => Buffer.from(key).toString("latin1").startsWith(`screen|${stream}|`))
        .map(({ key }) => snapshotSequence(key))
    )
  )
/** Of ordinary priority: a busy machine gives the other hardly any time. */
const makeFollower = (workerUrl?: URL) =>
  Effect.updateService(makeScreenFollower(workerUrl), ScreenOptions, (options) => ({ ...options, isBackground: false }))
const done = (follower: ScreenFollower) =>
  Effect.gen(function* () {
    while (follower.waiting() > 0) yield* Effect.sleep(5)
  })

describe("makeScreenFollower", () => {
  it.live("leaves snapshots so near the head that a look draws little, and the look shows the same", () =>
    Effect.gen(function* () {
      const events = printed(100)
      yield* write(events)
      yield* write(printed(3), OTHER)
      const follower = yield* makeFollower()
      follower.drawLater(STREAM)
      yield* done(follower)
      const made = yield* snapshots(STREAM)
      assert.isAtMost((events.length - made.at(-1)!) * CHUNK_BYTES, UNDRAWN_BYTES)
      const shown = yield* screenAt(STREAM)
      // The same without any snapshot.
      yield* write(events, OTHER)
      assert.deepStrictEqual({ ...(yield* screenAt(OTHER)), sequence: 0 }, { ...shown, sequence: 0 })
    }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))
  )

  it.live("a session that was taken back is drawn only if much of it is not", () =>
    Effect.gen(function* () {
      yield* write(printed(100))
      yield* write(printed(10), OTHER)
      const follower = yield* makeFollower()
      follower.drawLater(STREAM, 100 * CHUNK_BYTES)
      follower.drawLater(OTHER, 10 * CHUNK_BYTES)
      yield* done(follower)
      const first = yield* snapshots(STREAM)
      assert.isAbove(first.length, 3)
      assert.deepStrictEqual(yield* snapshots(OTHER), [])
      follower.drawLater(STREAM, 100 * CHUNK_BYTES)
      yield* done(follower)
      assert.deepStrictEqual(yield* snapshots(STREAM), first)
    }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))
  )

  it.live("a thread that ends over one session's output draws the others, and quarantines nothing", () =>
    Effect.gen(function* () {
      yield* write([created(), output("CRASH")])
      yield* write(printed(60), OTHER)
      const follower = yield* makeFollower(blocked)
      follower.drawLater(STREAM)
      follower.drawLater(OTHER)
      yield* done(follower)
      assert.isUndefined(yield* quarantineOf(STREAM))
      assert.isAbove((yield* snapshots(OTHER)).length, 0)
      follower.drawLater(STREAM)
      assert.strictEqual(follower.waiting(), 0)
    }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))
  )

  it.live("ends with its scope in the middle of a session", () =>
    Effect.gen(function* () {
      yield* write(printed(200))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const follower = yield* makeFollower()
          follower.drawLater(STREAM)
          while ((yield* snapshots(STREAM)).length === 0) yield* Effect.sleep(1)
        })
      )
      const left = (yield* snapshots(STREAM)).length
      yield* Effect.sleep(100)
      assert.strictEqual((yield* snapshots(STREAM)).length, left)
    }).pipe(Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))
  )
})
