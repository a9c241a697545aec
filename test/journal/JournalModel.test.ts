/** Random histories against a model: what was acknowledged is there, in order, once, whatever the storage does meanwhile. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import type { SessionId } from "../../journal/Event.ts"
import { JournalCore } from "../../journal/JournalCore.ts"
import { SequenceConflict, StorageUnavailable } from "../../journal/JournalError.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { MemoryStorage } from "../../journal/MemoryStorage.ts"
import type { Put, RangeOptions, Storage } from "../../journal/Storage.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

/** Fails a batch when told to: before anything of it is written, or after all of it is (a ghost). */
class FailingStorage implements Storage {
  failNext: "none" | "before" | "after" = "none"
  reopened = 0
  readonly #storage: Storage
  constructor(storage: Storage) {
    this.#storage = storage
  }
  async batch(puts: ReadonlyArray<Put>): Promise<void> {
    const fail = this.failNext
    this.failNext = "none"
    if (fail === "before") throw new Error("write failed: No space left on device")
    await this.#storage.batch(puts)
    if (fail === "after") throw new Error("fdatasync failed: Input/output error")
  }
  range(options: RangeOptions) {
    return this.#storage.range(options)
  }
  reopen(): Promise<void> {
    this.reopened++
    return this.#storage.reopen()
  }
  close(): Promise<void> {
    return this.#storage.close()
  }
}

const resumed = (core: JournalCore) =>
  new Promise<void>((resolve) => {
    if (core.suspension === undefined) return resolve()
    const stop = core.onSuspension(() => {
      if (core.suspension !== undefined) return
      stop()
      resolve()
    })
  })

const labelOf = (data: unknown) => Buffer.from(data as Uint8Array).toString()

const runHistory = async (seed: number, makeStorage: () => Promise<Storage>) => {
  const random = seededRandom(seed)
  const storage = new FailingStorage(await makeStorage())
  const core = new JournalCore({ storage, durability: "process", nowMicros: () => 1 })
  const streams = [newSessionId(), newSessionId(), newSessionId()]
  /** Per stream: labels that were acknowledged with their sequence, and labels whose append failed (there or not). */
  const acknowledged = new Map<SessionId, Map<number, string>>(streams.map((s) => [s, new Map()]))
  const unknown = new Set<string>()
  let label = 0
  let faults = 0
  const follower = core.follower(streams[0]!, 0)
  const followed: Array<string> = []
  const following = (async () => {
    for (;;) {
      const item = await core.next(follower)
      if (item === undefined) return
      if (item._tag === "Page")
        for (const { event } of item.entries) followed.push(labelOf("data" in event && event.data))
    }
  })()
  for (let step = 0; step < 120; step++) {
    const stream = streams[random.below(3)]!
    if (random.below(12) === 0) {
      storage.failNext = random.below(2) === 0 ? "before" : "after"
      faults++
    }
    const writes = Array.from({ length: 1 + random.below(4) }, () => {
      const labels = Array.from({ length: 1 + random.below(3) }, () => `e${label++}`)
      const expected = random.below(6) === 0 ? random.below(5) : undefined
      return core
        .append(
          stream,
          labels.map((text) => outputEvent(text)),
          { expected }
        )
        .then(
          ({ first }) => {
            for (const [index, text] of labels.entries()) acknowledged.get(stream)!.set(first + index, text)
          },
          (error: unknown) => {
            if (error instanceof SequenceConflict) return
            if (!(error instanceof StorageUnavailable)) throw error
            for (const text of labels) unknown.add(text)
          }
        )
    })
    await Promise.all(writes)
    await resumed(core)
  }
  for (const stream of streams) {
    const seen: Array<string> = []
    const head = await core.head(stream)
    while (seen.length < head) {
      const { damage, entries } = await core.page(stream, seen.length, head)
      assert.isUndefined(damage)
      for (const { event, sequence } of entries) {
        assert.strictEqual(sequence, seen.length + 1)
        seen.push(labelOf("data" in event && event.data))
      }
    }
    for (const [sequence, text] of acknowledged.get(stream)!) assert.strictEqual(seen[sequence - 1], text)
    assert.strictEqual(new Set(seen).size, seen.length, "nothing twice")
    const known = new Set(acknowledged.get(stream)!.values())
    for (const text of seen) assert.isTrue(known.has(text) || unknown.has(text), `${text} came from nowhere`)
    if (stream === streams[0]) {
      while (followed.length < seen.length) await new Promise((resolve) => setImmediate(resolve))
      assert.deepStrictEqual(followed, seen, "the follower saw the stream")
    }
  }
  assert.strictEqual(storage.reopened > 0, faults > 0)
  core.release(follower)
  await following
  await core.close()
}

/** A follower looks at the head some ticks of the microtask queue after it asked; how many is the implementation's own. */
const TICKS_MAX = 10

/**
 * A follower that has seen everything asks for more, and `ticks` later (below 0: earlier) the storage says that the batch
 * on its way failed, which was written after all.
 */
const followsThroughFailure = async (ticks: number) => {
  const memory = new MemoryStorage()
  const written = Promise.withResolvers<void>()
  const isWriting = Promise.withResolvers<void>()
  let fails = false
  const storage: Storage = {
    batch: async (puts) => {
      await memory.batch(puts)
      if (!fails) return
      fails = false
      isWriting.resolve()
      await written.promise
    },
    range: (options) => memory.range(options),
    reopen: () => memory.reopen(),
    close: () => memory.close()
  }
  const core = new JournalCore({ storage, durability: "process", nowMicros: () => 1 })
  const stream = newSessionId()
  const append = (text: string) => core.append(stream, [outputEvent(text)])
  await append("before")
  const follower = core.follower(stream, 0)
  const seen: Array<string> = []
  /** The next page; "the follower has caught up" is none. */
  const page = async () => {
    for (;;) {
      const item = await core.next(follower)
      if (item?._tag !== "Page") continue
      for (const { event } of item.entries) seen.push(labelOf("data" in event && event.data))
      return
    }
  }
  await page()
  fails = true
  const refused = append("ghost").catch((error: unknown) => error)
  await isWriting.promise
  const fail = () => written.reject(new Error("fdatasync failed: Input/output error"))
  if (ticks < 0) fail()
  for (let tick = ticks; tick < -1; tick++) await null
  const ghost = page()
  for (let tick = 0; tick < ticks; tick++) await null
  if (ticks >= 0) fail()
  assert.instanceOf(await refused, StorageUnavailable)
  await resumed(core)
  await append("after")
  await ghost
  if (seen.length < 3) await page()
  assert.deepStrictEqual(seen, ["before", "ghost", "after"], `after ${ticks} ticks`)
  core.release(follower)
  await core.close()
}

describe("journal model", () => {
  it("a follower that looks whether it has caught up at the moment of a failure sees what was written after all", async () => {
    for (let ticks = -TICKS_MAX; ticks <= TICKS_MAX; ticks++) await followsThroughFailure(ticks)
  })

  for (let seed = 1; seed <= 12; seed++) {
    it(`keeps every acknowledged event through failing batches, in memory, seed ${seed}`, () =>
      runHistory(seed, async () => new MemoryStorage()))
  }
  for (let seed = 101; seed <= 104; seed++) {
    it(`keeps every acknowledged event through failing batches, on LevelDB, seed ${seed}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "reprise-model-"))
      try {
        await runHistory(seed, () => LevelStorage.open(join(folder, "db"), "process", true))
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  }
})
