/** Output that was made to defeat a terminal emulator: each is drawn or quarantined in time, in a thread, and nobody else waits. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { screenAt } from "../../projections/ScreenHistory.ts"
import { ScreenService } from "../../projections/ScreenService.ts"
import { MIB } from "../fixtures/processFigures.ts"
import { created, entriesOf, HOSTILE, output, randomOutput, seeded } from "../projections/events.ts"
import { TIMEOUT_MILLIS } from "./timeLimit.ts"

/** Mebibytes of random output; `npm run campaign` makes it 100. */
const FUZZ = Number(process.env.REPRISE_FUZZ ?? 2)
const SEED = Number(process.env.REPRISE_SEED ?? 28)
/** As much as one record holds. */
const PIECE_BYTES = 63 * 1024
/** What the emulator is given for one piece of work, before it is ended. */
const DEADLINE_MILLIS = 2000
/** What this thread works in one turn of its event loop, at most: an emulator that hangs in it would work for seconds. */
const TURN_MILLIS_MAX = 500

/** Processor time of this thread alone: nobody else on a busy machine counts. */
const threadMillis = (): number => {
  const { system, user } = process.threadCpuUsage()
  return (system + user) / 1000
}

const piecesOf = (data: Uint8Array): ReadonlyArray<SessionEvent> =>
  Array.from({ length: Math.ceil(data.length / PIECE_BYTES) }, (_, i) =>
    output(data.slice(i * PIECE_BYTES, (i + 1) * PIECE_BYTES), i * PIECE_BYTES)
  )

const fuzz = (seed: number): Uint8Array => {
  const random = seeded(seed)
  const pieces: Array<Uint8Array> = []
  for (let bytes = 0; bytes < MIB; ) {
    const piece = random() < 0.5 ? randomOutput(random, 200) : Uint8Array.from({ length: 2000 }, () => random() * 256)
    pieces.push(piece)
    bytes += piece.length
  }
  return Buffer.concat(pieces)
}

const inputs = {
  ...HOSTILE,
  ...Object.fromEntries(Array.from({ length: FUZZ }, (_, i) => [`random, seed ${SEED + i}`, () => fuzz(SEED + i)]))
}

describe("reliability row 28", { timeout: TIMEOUT_MILLIS + FUZZ * 10_000 }, () => {
  it.live(
    `${Object.keys(HOSTILE).length} hostile inputs and ${FUZZ} MiB of random ones: no screen takes its thread's time, none the engine's`,
    () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const other = "01ARZ3NDEKTSV4RRFFQ69G5FAW" as SessionId
        yield* journal.append(other, entriesOf([created(), output("beside")]))
        let slowestTurn = 0
        const watching = yield* Effect.forkScoped(
          Effect.gen(function* () {
            for (let before = threadMillis(); ; before = threadMillis()) {
              yield* Effect.sleep(1)
              slowestTurn = Math.max(slowestTurn, threadMillis() - before)
            }
          })
        )
        for (const [at, [name, make]] of Object.entries(inputs).entries()) {
          const stream = `01ARZ3NDEKTSV4RRFFQ69G${String(at).padStart(4, "0")}` as SessionId
          const data = make()
          for (const event of [created(), ...piecesOf(data)]) {
            yield* journal.append(stream, entriesOf([event]))
          }
          slowestTurn = 0
          let screen = yield* screenAt(stream)
          // A long history is drawn in several looks, each of which answers in time.
          while (screen.status === "behind") screen = yield* screenAt(stream)
          assert.include(["ok", "quarantined"], screen.status, name)
          if (screen.status === "quarantined") assert.include(screen.reason, `${DEADLINE_MILLIS} ms`, name)
          assert.isBelow(slowestTurn, TURN_MILLIS_MAX, name)
          assert.strictEqual((yield* screenAt(other)).lines[0], "beside", name)
          if (process.env.REPRISE_FIGURES) console.log(name, screen.status, slowestTurn)
        }
        yield* Fiber.interrupt(watching)
      }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(JournalMemory.layer, ScreenService.layer)))
  )
})
