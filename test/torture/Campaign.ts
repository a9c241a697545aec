/**
 * What a campaign is: one kind of attack on the engine, repeated until it is told to stop, that counts what it tried and
 * what was lost. `npm run torture` runs all of them in turn, tests in `npm test` run a short slice of each. Everything
 * that a campaign does at random comes from its seed, so that the seed of a failure shows it again.
 */

/** What a campaign has done so far. Every figure but those of `tries` must be 0. */
export interface Tally {
  /** By name: "engine kills", "keeper kills", "faults", "fast exits" … */
  readonly tries: Map<string, number>
  /** Acknowledged bytes that are not there, or events. */
  lost: number
  /** Bytes or events that are there twice. */
  doubled: number
  /** Bytes served that nobody wrote. */
  wrong: number
  /** Answers that took longer than HANG_MILLIS. */
  hangs: number
  /** Processes left behind. */
  processesLeft: number
}

/** An answer that takes longer counts as a hang. */
export const HANG_MILLIS = 5000

export interface CampaignRun {
  readonly seed: number
  /** Looked at between rounds: a round that has begun is finished. */
  readonly isOver: () => boolean
  readonly tally: Tally
}

export interface Campaign {
  readonly name: string
  /** Rejects at the first thing that is not as promised, with what was expected, what was found and where the evidence lies. */
  readonly run: (run: CampaignRun) => Promise<void>
}

export const emptyTally = (): Tally => ({
  tries: new Map(),
  lost: 0,
  doubled: 0,
  wrong: 0,
  hangs: 0,
  processesLeft: 0
})

export const count = (tally: Tally, what: string, times = 1): void => {
  tally.tries.set(what, (tally.tries.get(what) ?? 0) + times)
}
