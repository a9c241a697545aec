/** A full disk loses nothing that was acknowledged, says so, and is over by itself when there is room. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Journal, JournalLevel, type JournalShape } from "../../journal/index.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { canMount, fillDisk, withSmallDisk } from "../fixtures/smallDisk.ts"

const isWritable = (journal: JournalShape) =>
  Effect.callback<void>((resume) => {
    const check = () => {
      if (journal.suspended() !== undefined) return
      stop()
      resume(Effect.void)
    }
    const stop = journal.onSuspended(check)
    check()
  })

describe.skipIf(!canMount)(`reliability row 12: a full disk${canMount ? "" : " (mounting a tmpfs needs root)"}`, () => {
  for (const mebibytes of [4, 6, 8, 24]) {
    for (const durability of ["process", "power"] as const) {
      it(`of ${mebibytes} MiB in mode ${durability} loses no acknowledged event`, () =>
        withSmallDisk(mebibytes, async (folder) => {
          const layer = () => Layer.fresh(JournalLevel.layer({ location: join(folder, "journal"), durability }))
          const stream = newSessionId()
          const acknowledged: Array<string> = []
          await Effect.runPromise(
            Effect.gen(function* () {
              const journal = yield* Journal
              const write = (text: string) =>
                Effect.map(
                  journal.append(stream, [outputEvent(text.padEnd(4000, "."))]),
                  () => void acknowledged.push(text)
                )
              for (let round = 0; round < 3; round++) {
                const free = fillDisk(folder)
                let refusals = 0
                for (let i = 0; refusals < 3 && i < 20_000; i++) {
                  yield* write(`r${round}-${i}`).pipe(
                    Effect.catchTag("StorageUnavailable", (error) =>
                      Effect.sync(() => {
                        refusals++
                        assert.isTrue(error.diskFull, error.message)
                        assert.include(error.message, "free some space")
                      })
                    )
                  )
                }
                assert.strictEqual(refusals, 3)
                assert.isTrue(journal.suspended()?.diskFull)
                free()
                yield* isWritable(journal)
                for (let i = 0; i < 50; i++) yield* write(`after${round}-${i}`)
              }
            }).pipe(Effect.provide(layer()))
          )
          const kept = await Effect.runPromise(
            Effect.gen(function* () {
              const journal = yield* Journal
              assert.deepStrictEqual((yield* journal.verify).damages, [])
              return yield* Stream.runCollect(journal.read(stream))
            }).pipe(Effect.provide(layer()))
          )
          const texts = [...kept].map(({ event }) =>
            event._tag === "OutputReceived" ? Buffer.from(event.data).toString().replace(/\.+$/, "") : ""
          )
          assert.deepStrictEqual(
            acknowledged.filter((text) => !texts.includes(text)),
            []
          )
          assert.strictEqual(new Set(texts).size, texts.length)
        }))
    }
  }
})
