/** The beginning of a stream is removed: every reader is told once, in its place, and nothing behind it changes. */

import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { EntryCheck } from "../../journal/EntryCheck.ts"
import {
  type FollowItem,
  Journal,
  type JournalEntry,
  JournalLevel,
  JournalMemory,
  type Removal,
  type SessionId
} from "../../journal/index.ts"
import { JournalCore } from "../../journal/JournalCore.ts"
import { KEPT_SPACE } from "../../journal/KeptRows.ts"
import { eventKey, rowKey, streamBytes } from "../../journal/Keys.ts"
import { MemoryStorage } from "../../journal/MemoryStorage.ts"
import { encodeRecord } from "../../journal/Record.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { bytesIn } from "../fixtures/bytesIn.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const removalTo = (to: number, changes: Partial<Removal> = {}): Removal => ({
  to,
  reason: "asked",
  policy: "by hand",
  actor: "tester",
  timeMicros: 1_800_000_000_000_000,
  kept: [],
  rows: [],
  ...changes
})

const collect = <E>(stream: Stream.Stream<JournalEntry, E>) => Effect.map(Stream.runCollect(stream), (all) => [...all])
const numbersOf = (entries: ReadonlyArray<JournalEntry>) => entries.map(({ sequence }) => sequence)

/** Events 1 to `count`, each with its number in its output. */
const fill = Effect.fnUntraced(function* (stream: SessionId, count: number) {
  const journal = yield* Journal
  const head = yield* journal.head(stream)
  const events = Array.from({ length: count }, (_, i) => outputEvent(`event ${head + i + 1}\n`, (head + i) * 10))
  yield* journal.append(stream, events)
})

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "reprise-removal-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const journals: ReadonlyArray<readonly [string, Layer.Layer<Journal, unknown>]> = [
  ["memory", JournalMemory.layer],
  ["LevelDB", Layer.unwrap(Effect.map(folder, (path) => JournalLevel.layer({ location: join(path, "journal") })))]
]

for (const [name, layer] of journals) {
  describe(`removal, ${name}`, () => {
    it.live("a reader from anywhere in it is given what stands for it, then what follows", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* fill(stream, 3000)
        const before = yield* collect(journal.read(stream, { after: 2000 }))
        const entry = yield* journal.removal.remove(stream, removalTo(2000), [])
        assert.strictEqual(entry.sequence, 2000)
        for (const after of [0, 1, 5, 1999]) {
          const [first, ...others] = yield* collect(journal.read(stream, { after }))
          assert.deepStrictEqual(first!.event, entry.event)
          assert.strictEqual(first!.sequence, 2000)
          assert.deepStrictEqual(others, before)
        }
        assert.deepStrictEqual(yield* collect(journal.read(stream, { after: 2000 })), before)
        // One place in it, as whoever looks up an event asks.
        assert.deepStrictEqual(numbersOf(yield* collect(journal.read(stream, { after: 4, until: 5 }))), [2000])
        const backwards = yield* collect(journal.readBackwards(stream))
        assert.deepStrictEqual(backwards, [...before].reverse().concat(entry))
        assert.deepStrictEqual(numbersOf(yield* collect(journal.readBackwards(stream, { before: 2001 }))), [2000])
        assert.deepStrictEqual(numbersOf(yield* collect(journal.readBackwards(stream, { before: 7 }))), [2000])
        assert.deepStrictEqual(yield* collect(journal.readBackwards(stream, { before: 2000 })), [])
        const followed = yield* journal.follow(stream, 17).pipe(
          Stream.takeUntil((item) => item._tag === "Synced"),
          Stream.runCollect
        )
        const entries = [...followed].flatMap((item: FollowItem) => (item._tag === "Page" ? item.entries : []))
        assert.deepStrictEqual(numbersOf(entries), [2000, ...numbersOf(before)])
        assert.deepStrictEqual((yield* journal.verify).damages, [])
        assert.deepStrictEqual(yield* journal.removal.unfinished, [])
      }).pipe(Effect.provide(layer))
    )

    it.live("tells how much it was, and hashes every record, an earlier removal's too", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* fill(stream, 10)
        const key = (sequence: number) => eventKey(streamBytes(stream), sequence)
        const records = Array.from({ length: 10 }, (_, i) =>
          encodeRecord(key(i + 1), outputEvent(`event ${i + 1}\n`, i * 10))
        )
        const hashOf = (from: number, to: number, first?: Uint8Array) => {
          const hash = createHash("sha256")
          if (first !== undefined) hash.update(key(1)).update(first)
          for (let at = from; at <= to; at++) hash.update(key(at)).update(records[at - 1]!)
          return hash.digest("hex")
        }
        assert.deepStrictEqual(yield* journal.removal.measure(stream, 4), {
          events: 4,
          bytes: records.slice(0, 4).reduce((sum, one) => sum + one.byteLength, 0)
        })
        const first = yield* journal.removal.remove(stream, removalTo(4), [])
        assert.deepInclude(first.event, { from: 1, to: 4, events: 4, outputBytes: 30 + 8, sha256: hashOf(1, 4) })
        assert.strictEqual((yield* journal.removal.measure(stream, 6)).events, 2)
        const second = yield* journal.removal.remove(stream, removalTo(6), [])
        const stored = encodeRecord(key(1), { event: first.event, actor: "tester", timeMicros: first.timeMicros })
        assert.deepInclude(second.event, {
          from: 1,
          to: 6,
          events: 6,
          bytes: records.slice(0, 6).reduce((sum, one) => sum + one.byteLength, 0),
          sha256: hashOf(5, 6, stored)
        })
        assert.deepStrictEqual(numbersOf(yield* collect(journal.read(stream))), [6, 7, 8, 9, 10])
        for (const to of [0, 3, 6, 11]) {
          const refused = yield* Effect.flip(journal.removal.remove(stream, removalTo(to), []))
          assert.strictEqual(refused._tag, "EventRefused")
        }
        assert.deepStrictEqual((yield* journal.verify).damages, [])
      }).pipe(Effect.provide(layer))
    )

    it.live("a stream of which everything was removed goes on where it was", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* fill(stream, 5)
        yield* journal.removal.remove(stream, removalTo(5), [])
        assert.strictEqual(yield* journal.head(stream), 5)
        assert.deepStrictEqual(numbersOf(yield* collect(journal.read(stream))), [5])
        const appended = yield* journal.append(stream, [outputEvent("more")], { expected: 5 })
        assert.deepStrictEqual(appended, { first: 6, last: 6 })
        assert.deepStrictEqual(numbersOf(yield* collect(journal.read(stream))), [5, 6])
        assert.deepStrictEqual([...(yield* Stream.runCollect(journal.streams()))], [stream])
        assert.deepStrictEqual((yield* journal.verify).damages, [])
      }).pipe(Effect.provide(layer))
    )

    it.live("readers and followers beside removals and appends miss nothing that is kept and see nothing twice", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* fill(stream, 500)
        const isInOrder = (entries: ReadonlyArray<JournalEntry>, from: number) => {
          let last = from
          for (const { event, sequence } of entries) {
            if (event._tag === "EventsRemoved") assert.isAbove(sequence, last)
            else assert.strictEqual(sequence, last + 1)
            last = sequence
          }
          return last
        }
        const random = seededRandom(3)
        const follower = yield* journal.follow(stream, 0).pipe(
          Stream.flatMap((item) => Stream.fromArray(item._tag === "Page" ? [...item.entries] : [])),
          Stream.takeUntil(({ sequence }) => sequence === 8500),
          Stream.runCollect,
          Effect.forkChild({ startImmediately: true })
        )
        const reader = yield* Effect.gen(function* () {
          for (let round = 0; round < 30; round++) {
            const after = random.below(3000)
            isInOrder(yield* collect(journal.read(stream, { after })), after)
            yield* collect(journal.readBackwards(stream))
          }
        }).pipe(Effect.forkChild({ startImmediately: true }))
        for (let round = 0; round < 20; round++) {
          yield* fill(stream, 400)
          yield* journal.removal.remove(stream, removalTo((round + 1) * 380), [])
        }
        yield* Fiber.join(reader)
        const entries = [...(yield* Fiber.join(follower))]
        assert.strictEqual(isInOrder(entries, 0), 8500)
        assert.deepStrictEqual((yield* journal.verify).damages, [])
      }).pipe(Effect.provide(layer))
    )
  })
}

describe("what stands for removed events", () => {
  it("is no row like others: damaged, it is named by whoever checks the store", async () => {
    const storage = new MemoryStorage()
    const core = new JournalCore({ storage, durability: "process", nowMicros: () => 1 })
    const stream = newSessionId()
    await core.append(stream, [outputEvent("a"), outputEvent("b", 1)])
    const key = Buffer.alloc(8)
    key.writeBigUInt64BE(1n)
    const row = {
      space: KEPT_SPACE,
      key: Buffer.concat([Buffer.from(`title|${stream}|`), key]),
      value: Buffer.from("state")
    }
    await core.removal.remove(stream, removalTo(1, { kept: ["title"], rows: [row] }), [])
    assert.deepStrictEqual((await core.verify()).damages, [])
    const full = rowKey(KEPT_SPACE, row.key)
    await storage.batch([{ key: full, value: Buffer.from("no checksum") }])
    const damage = { stream, from: 1, to: 1, reason: "what was kept of removed events (title) does not verify" }
    assert.deepStrictEqual((await core.verify()).damages, [damage])
    const check = new EntryCheck()
    const all = { from: Buffer.alloc(0), to: Buffer.alloc(30, 0xff), limit: 100, bytesMax: 1e6 }
    for (const [found, value] of await storage.range(all)) check.add(found, value)
    assert.deepStrictEqual(check.report().damages, [damage])
    await core.close()
  })
})

describe("removal on disk", () => {
  it.live("space comes back, a later opening is clean, and only a store with removals has the newer format", () =>
    Effect.gen(function* () {
      const location = join(yield* folder, "journal")
      const run = <A, E>(effect: Effect.Effect<A, E, Journal>) =>
        effect.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location }))))
      const format = () => readFileSync(join(location, "format.json"), "utf8")
      const random = seededRandom(5)
      const stream = newSessionId()
      const other = newSessionId()
      yield* run(
        Effect.gen(function* () {
          const journal = yield* Journal
          for (let i = 0; i < 200; i++) {
            yield* journal.append(stream, [
              {
                ...outputEvent(""),
                event: {
                  _tag: "OutputReceived",
                  channel: "tty",
                  exec: 0,
                  offset: i * 40_000,
                  data: random.bytes(40_000)
                }
              }
            ])
          }
          yield* fill(other, 100)
        })
      )
      assert.strictEqual(format(), `{"format":1}\n`)
      const before = bytesIn(join(location, "db"))
      const removed = yield* run(
        Effect.gen(function* () {
          const { removal } = yield* Journal
          const { event } = yield* removal.remove(stream, removalTo(190), [])
          return event._tag === "EventsRemoved" ? event.bytes : 0
        })
      )
      assert.strictEqual(format(), `{"format":2}\n`)
      const freed = before - bytesIn(join(location, "db"))
      assert.isAtLeast(freed, 0.8 * removed)
      yield* run(
        Effect.gen(function* () {
          const journal = yield* Journal
          assert.deepStrictEqual(journal.openingDamages, [])
          assert.deepStrictEqual((yield* journal.verify).damages, [])
          assert.strictEqual(yield* journal.head(stream), 200)
          assert.strictEqual((yield* collect(journal.read(stream))).length, 11)
          assert.strictEqual((yield* collect(journal.read(other))).length, 100)
          yield* journal.removal.remove(other, removalTo(100), [])
        })
      )
      // The end of a stream of which everything was removed is not missing either.
      yield* run(
        Effect.gen(function* () {
          const journal = yield* Journal
          assert.deepStrictEqual(journal.openingDamages, [])
          assert.strictEqual(yield* journal.head(other), 100)
        })
      )
    })
  )
})
