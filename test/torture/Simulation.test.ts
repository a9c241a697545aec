/**
 * Engines whose storage and keepers fail, in simulated time: whatever fails, nothing that was acknowledged is lost, doubled or
 * wrong, and when the faults stop everything works again by itself. REPRISE_SEEDS and REPRISE_SEED raise and move the runs.
 */
import { assert, describe, it } from "vitest"
import { type SimulationOptions, simulate } from "./EngineSimulation.ts"
import { type Decide, type FaultCode, nth, oneIn } from "./FaultPlan.ts"

const SEEDS = Number(process.env.REPRISE_SEEDS ?? 24)
const FIRST_SEED = Number(process.env.REPRISE_SEED ?? 1)
const NEVER = () => undefined

/** Everything at once: what fails, and how often, is the seed's as well. */
const everything = (seed: number): SimulationOptions => ({
  seed,
  steps: 50,
  storage: oneIn(6 + (seed % 5) * 6),
  host: oneIn(6 + (seed % 7) * 5),
  engineKills: 20,
  keeperKills: seed % 3 === 0 ? 30 : 0,
  clockJumps: 20
})

describe("an engine in simulated time", () => {
  it(`loses, doubles and invents nothing whatever fails, and works again when nothing does: ${SEEDS} seeds`, {
    timeout: 180_000 + SEEDS * 5000
  }, async () => {
    let faults = 0
    let acknowledged = 0
    let lies = 0
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const run = await simulate(everything(seed))
      faults += run.plan.faults
      acknowledged += run.acknowledged
      lies += run.lies
    }
    assert.isAbove(faults, SEEDS * 10)
    assert.isAbove(acknowledged, SEEDS * 4)
    // Nobody ever believed a handle after its first failed write.
    assert.strictEqual(lies, 0)
  })

  it("one seed is one run: every call, decision and answer is the same again", async () => {
    for (const seed of [3, 11, 12]) {
      const one = await simulate(everything(seed))
      const other = await simulate(everything(seed))
      assert.deepStrictEqual(other.plan.trace, one.plan.trace)
      assert.strictEqual(other.plan.digest, one.plan.digest)
      assert.notStrictEqual((await simulate(everything(seed + 100))).plan.digest, one.plan.digest)
    }
  })
})

/** One batch in `times` is written and then said to have failed. */
const nthGhosts =
  (times: number): Decide =>
  (_call, operation, _kinds, below) =>
    operation === "batch" && below(times) === 0 ? "ghost" : undefined

describe("the wall clock", () => {
  it("reliability row 36: it is set back and forth, with engines that end and die between: order is kept and no timeout fires", async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + 8; seed++) {
      const run = await simulate({
        seed,
        steps: 60,
        storage: oneIn(40),
        host: oneIn(60),
        engineKills: 15,
        clockJumps: 3
      })
      assert.isAbove(run.jumps, 8)
      assert.isAbove(run.backwards, 0)
    }
  })
})

/** As in SQLite's I/O error loops: the first call fails, then the second, … until a run has no n-th call any more. */
const failEveryCall = async (kind: FaultCode | "short" | "ghost", forEver: boolean, runsMax: number) => {
  let runs = 0
  for (let call = 1; runs < runsMax; call++) {
    const run = await simulate({ seed: 7, steps: 7, storage: nth(call, kind, forEver), host: NEVER, engineKills: 7 })
    runs++
    assert.strictEqual(run.lies, 0)
    if (run.plan.faults === 0) break
  }
  return runs
}

describe("a storage call that fails", () => {
  const ghosts = Number(process.env.REPRISE_GHOSTS ?? 200)
  it(`reliability row 17: ${ghosts} writes that are there although they failed: nothing twice, also when it is sent again`, {
    timeout: 180_000 + ghosts * 500
  }, async () => {
    let failed = 0
    let there = 0
    for (let seed = FIRST_SEED; failed < ghosts; seed++) {
      const storage = nthGhosts(4)
      const run = await simulate({ seed, steps: 60, storage, host: NEVER, engineKills: 15 })
      failed += run.plan.counts.get("storage ghost") ?? 0
      there += run.ghosts
    }
    // Some were never sent again: they are there once, and nobody was told so.
    assert.isAbove(there, 0)
  })

  for (const forEver of [false, true]) {
    const times = forEver ? "for ever" : "once"
    it(`reliability row 13: the n-th one ${times}, EIO, ENOSPC, EMFILE, short or done all the same, for every n until a run passes`, {
      timeout: 600_000
    }, async () => {
      let runs = 0
      for (const kind of ["EIO", "ENOSPC", "EMFILE", "short", "ghost"] as const) {
        runs += await failEveryCall(kind, forEver, Number(process.env.REPRISE_RUNS ?? 1000))
      }
      assert.isAtLeast(runs, 150)
    })
  }
})
