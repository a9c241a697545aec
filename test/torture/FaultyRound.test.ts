/** The parts of the fault campaign that are real: LevelDB, keepers, programs. REPRISE_ROUNDS raises how often. */
import { assert, describe, it } from "vitest"
import { faultyRound } from "./faultyRound.ts"

const ROUNDS = Number(process.env.REPRISE_ROUNDS ?? 1)
const FAULTS_MIN = 11
const FIRST_SEED = Number(process.env.REPRISE_SEED ?? 1)

describe("a real engine with real keepers", () => {
  it(`types each line once and keeps each byte while its storage and sockets fail: ${ROUNDS} rounds`, {
    timeout: 240_000 + ROUNDS * 60_000
  }, async () => {
    let faults = 0
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
      const round = await faultyRound(seed, 30, FAULTS_MIN)
      faults += round.faults
      assert.strictEqual(round.hangs, 0)
    }
    assert.isAtLeast(faults, FAULTS_MIN * ROUNDS)
  })
})
