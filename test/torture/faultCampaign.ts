/**
 * The campaign of faults: simulated engines whose storage, keepers and clock fail at random, one seed after the other, and
 * between them a real engine on a real disk with real keepers behind a faulty socket. Part of `npm run torture`.
 */
import { type Campaign, type CampaignRun, count } from "./Campaign.ts"
import { simulate } from "./EngineSimulation.ts"
import { oneIn } from "./FaultPlan.ts"
import { faultyRound } from "./faultyRound.ts"

/** Runs of the simulation for each round against a real engine: both take some seconds. */
const RUNS_PER_ROUND = 40
/** Lines typed in a real round, at least, and faults in it. */
const LINES = 30
const FAULTS_MIN = 11

export const faultCampaign: Campaign = {
  name: "faults",
  run: async (run: CampaignRun) => {
    for (let seed = run.seed * 1_000_000; !run.isOver(); seed++) {
      for (let i = 0; i < RUNS_PER_ROUND && !run.isOver(); i++) await simulateOne(run, seed++)
      if (run.isOver()) return
      const { faults, hangs, typed } = await faultyRound(seed, LINES, FAULTS_MIN)
      count(run.tally, "real faults", faults)
      count(run.tally, "lines typed", typed)
      run.tally.hangs += hangs
    }
  }
}

const simulateOne = async ({ tally }: CampaignRun, seed: number): Promise<void> => {
  const { acknowledged, engines, lies, plan } = await simulate({
    seed,
    steps: 60,
    storage: oneIn(5 + (seed % 5) * 6),
    host: oneIn(5 + (seed % 7) * 5),
    engineKills: 20,
    keeperKills: seed % 3 === 0 ? 30 : 0,
    clockJumps: 20
  })
  count(tally, "simulated faults", plan.faults)
  count(tally, "simulated engines", engines)
  count(tally, "simulated writes acknowledged", acknowledged)
  tally.lost += lies
}
