/** Which ends of streams a journal remembers, and that a bounded number of them is enough for everything it promises. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { IDLE_HEADS_MAX, StreamHeads } from "../../journal/StreamHeads.ts"
import { newSessionId } from "../contracts/JournalContract.ts"

interface Head {
  readonly stream: SessionId
  assigned: number
  committed: number
}

const headOf = (name: string, sequence = 1): Head => ({
  stream: name as SessionId,
  assigned: sequence,
  committed: sequence
})

describe("StreamHeads", () => {
  const make = () => {
    const followed = new Set<SessionId>()
    const forgotten: Array<SessionId> = []
    const heads = new StreamHeads<Head>({
      isFollowed: (stream) => followed.has(stream),
      forgotten: ({ stream }) => forgotten.push(stream)
    })
    return { followed, forgotten, heads }
  }

  it("forgets the one that was read first, when there are more than its bound", () => {
    const { forgotten, heads } = make()
    for (let i = 0; i < IDLE_HEADS_MAX + 3; i++) heads.add(headOf(`${i}`))
    assert.deepStrictEqual(forgotten, ["0", "1", "2"] as ReadonlyArray<string>)
    assert.lengthOf([...heads.values()], IDLE_HEADS_MAX)
  })

  it("keeps what is written to, followed, or not durable yet, and forgets it when that is over", () => {
    const { followed, forgotten, heads } = make()
    const written = heads.keep(headOf("written"))
    assert.strictEqual(heads.keep(headOf("written")), written)
    heads.add(headOf("followed"))
    followed.add("followed" as SessionId)
    const waiting = headOf("waiting")
    waiting.assigned = 2
    heads.add(waiting)
    for (let i = 0; i < 2 * IDLE_HEADS_MAX; i++) heads.add(headOf(`${i}`))
    for (const name of ["written", "followed", "waiting"]) assert.isDefined(heads.get(name as SessionId), name)
    heads.release("written" as SessionId)
    followed.clear()
    waiting.committed = 2
    forgotten.length = 0
    for (let i = 0; i < 2 * IDLE_HEADS_MAX; i++) heads.add(headOf(`later ${i}`))
    assert.includeMembers(forgotten, ["written", "followed", "waiting"] as unknown as Array<SessionId>)
  })
})

describe("a journal with more streams than it remembers", () => {
  it.effect("appends, reads and follows each of them from where it was", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const streams = Array.from({ length: IDLE_HEADS_MAX + 200 }, newSessionId)
      const event = { event: { _tag: "MarkerSet", label: "x" }, actor: "tester", timeMicros: 1 } as const
      for (const round of [1, 2]) {
        for (const stream of streams) {
          const { last } = yield* journal.append(stream, [event], { expected: round - 1 })
          assert.strictEqual(last, round)
          journal.hot.forget(stream)
        }
      }
      for (const stream of [streams[0]!, streams.at(-1)!]) {
        assert.strictEqual(yield* journal.head(stream), 2)
        const followed = yield* journal.follow(stream, 1).pipe(Stream.take(2), Stream.runCollect)
        assert.deepStrictEqual(
          followed.map(({ _tag }) => _tag),
          ["Page", "Synced"]
        )
      }
    }).pipe(Effect.provide(JournalMemory.layer))
  )
})
