/** The journal in memory, under the same contract as the one on disk: for tests and embedding. It survives nothing. */
import { Clock, Effect, Layer } from "effect"
import { Journal } from "./Journal.ts"
import { JournalCore } from "./JournalCore.ts"
import { MemoryStorage } from "./MemoryStorage.ts"
import { makeJournal } from "./makeJournal.ts"

export const layer: Layer.Layer<Journal> = Layer.effect(
  Journal,
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const nowMicros = () => Number(clock.currentTimeNanosUnsafe() / 1000n)
    const core = new JournalCore({ storage: new MemoryStorage(), durability: "process", nowMicros })
    yield* Effect.addFinalizer(() => Effect.promise(() => core.close()))
    return makeJournal(core)
  })
)
