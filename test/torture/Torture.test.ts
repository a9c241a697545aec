/** A short slice of each campaign of `npm run torture`, and the rows of the failure model that they prove. */
import { assert, describe, it } from "vitest"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { emptyTally, type Tally } from "./Campaign.ts"
import { damageCopies } from "./damage.ts"
import { round } from "./engineKills.ts"
import { exitFastOnce, rawShort } from "./fastExits.ts"
import { killKeepers } from "./keeperKills.ts"
import { dieAtEach, ENGINE_POINTS } from "./killPoints.ts"
import { withStore } from "./StoreUnderTorture.ts"

/** Every count here is this many times as large (`npm run campaign`). */
const TIMES = Number(process.env.REPRISE_TORTURE_TIMES ?? 1)
const SEED = Number(process.env.REPRISE_SEED ?? 1)
/** Outputs of programs that print and end at once, by the last number that they print: 200 in all. */
const EXITS = [
  { last: 3000, times: 80 * TIMES },
  { last: 20_000, times: 72 * TIMES },
  { last: 200_000, times: 8 * TIMES },
  { last: 10, times: 40 * TIMES }
]
const EXITS_AT_ONCE = 8
const RAW_EXITS = 10
const KILLS = 6 * TIMES
const KEEPER_KILLS = 2 * TIMES
const DAMAGES = 20 * TIMES
/** Of engines that die and restart, on cores that others use too. */
const TIMEOUT_MILLIS = 900_000 * TIMES

const assertNothingWrong = (tally: Tally) => {
  const { tries: _, ...figures } = tally
  assert.deepStrictEqual(figures, { lost: 0, doubled: 0, wrong: 0, hangs: 0, processesLeft: 0 })
}

const tries = (tally: Tally, what: string) => tally.tries.get(what) ?? 0

describe("torture", { timeout: TIMEOUT_MILLIS }, () => {
  it(`reliability row 9: an engine dies at each of ${ENGINE_POINTS.length} named points, ${2 * TIMES} times, and every one is reached`, async () => {
    const tally = emptyTally()
    const random = seededRandom(SEED)
    for (let i = 0; i < TIMES; i++) {
      await Promise.all([1, 2].map((times) => dieAtEach(ENGINE_POINTS, { tally, random, times, isOver: () => false })))
    }
    assert.strictEqual(tries(tally, "kill points"), 2 * TIMES * ENGINE_POINTS.length)
    assertNothingWrong(tally)
  })

  it("reliability row 1: 200 programs print and end at once, 8 at a time: no output is short, node-pty's is when it is paused", async () => {
    const tally = emptyTally()
    await withStore({ tally }, async (store) => {
      const engine = await store.open()
      for (const { last, times } of EXITS) {
        let left = times
        const worker = async () => {
          while (left-- > 0) await exitFastOnce(store, engine, { last, pause: "none", pauseMillis: 0, code: 0 })
        }
        await Promise.all(Array.from({ length: EXITS_AT_ONCE }, worker))
      }
      await store.stop()
    })
    assertNothingWrong(tally)
    // What this guards against is there: the same programs lose with node-pty as it is.
    assert.isAbove(await rawShort(3000, RAW_EXITS, 500), 0)
  })

  it("engines are killed at any age while programs print and are typed into", async () => {
    const tally = emptyTally()
    await withStore({ tally }, (store) => round(store, { tally, isOver: () => false }, seededRandom(SEED), KILLS))
    assert.strictEqual(tries(tally, "engine kills"), KILLS)
    assert.isAtLeast(tries(tally, "sessions compared"), 4)
    assertNothingWrong(tally)
  })

  it("keepers are killed: their sessions are lost, what was read of them is there, the others go on", async () => {
    const tally = emptyTally()
    await withStore({ tally }, (store) =>
      killKeepers(store, { tally, isOver: () => false }, seededRandom(SEED), KEEPER_KILLS)
    )
    assert.strictEqual(tries(tally, "keeper kills"), KEEPER_KILLS)
    assertNothingWrong(tally)
  })

  it("a store that a real engine wrote is damaged: nothing wrong is served, nothing is missing without a word", async () => {
    const tally = emptyTally()
    await withStore({ tally }, (store) =>
      damageCopies(store, { tally, isOver: () => false }, seededRandom(SEED), DAMAGES)
    )
    assert.strictEqual(tries(tally, "damages"), DAMAGES)
    assertNothingWrong(tally)
  })
})
