/** What the samples of a soak say: growth from the second hour on, against its bounds, as a table. Pure; `SoakRun.ts` has the samples. */
import type { Sample } from "./SoakEngine.ts"

const MIB = 2 ** 20

/** Before it caches fill: code is compiled, tables are opened, pools reach their size. */
export const WARM_HOURS = 2
/** Of the hours after that, in which a count may still reach its height: LevelDB starts a thread with its first compaction. */
const FIRST_PART = 1 / 4

export interface SoakSample extends Sample {
  readonly hour: number
  readonly storeSessions: number
}

export interface Growth {
  readonly what: string
  readonly from: number
  readonly to: number
  /** From WARM_HOURS to the last hour, in the unit. */
  readonly growth: number
  readonly growthMax: number
  readonly unit: "" | "MiB"
}

type Measure = { readonly what: string; readonly of: (sample: SoakSample) => number; readonly max: number }

/** LevelDB starts the thread that compacts with the first compaction, which may be hours after the engine's start. */
export const LATE_THREADS = 1

/** These are the same after every hour: one more is one that nobody closes. */
const COUNTS: ReadonlyArray<Measure> = [
  { what: "engine: descriptors", of: (sample) => sample.engineFds, max: 0 },
  { what: "engine: threads", of: (sample) => sample.engineThreads, max: LATE_THREADS },
  { what: "engine: timers", of: (sample) => sample.engineTimers, max: 0 },
  { what: "engine: handles", of: (sample) => sample.engineHandles, max: 0 },
  { what: "keepers", of: (sample) => sample.keepers, max: 0 },
  { what: "keepers: descriptors", of: (sample) => sample.keeperFds, max: 0 },
  { what: "keepers: threads", of: (sample) => sample.keeperThreads, max: 0 }
]

/** By linear fit, so that one sample before a collection is no growth. MiB in a day. */
const BYTES: ReadonlyArray<Measure> = [
  { what: "engine: heap", of: (sample) => sample.engineHeapBytes / MIB, max: 4 },
  // V8 goes on optimizing functions for hours, about 2 KB each and a few thousand of them, and then has done it.
  { what: "engine: compiled code", of: (sample) => sample.engineCodeBytes / MIB, max: 10 },
  { what: "engine: outside of the heap", of: (sample) => sample.engineExternalBytes / MIB, max: 4 },
  // It holds the 64 screens that were looked at last: 2 MiB more an hour until it is so many, after five hours.
  { what: "engine: a drawing thread", of: (sample) => sample.engineWorkerBytes / MIB, max: 32 },
  // It goes up and down by 14 MiB: LevelDB's write buffer and cache (8 MiB each), what a thread that comes and goes has outside of its heap.
  { what: "engine: other memory", of: (sample) => sample.engineNativeBytes / MIB, max: 48 },
  { what: "keepers: RSS", of: (sample) => sample.keeperRssBytes / MIB, max: 16 }
]

/** Of the samples after the warm-up. `bytes` false leaves out what a short slice cannot say. */
export const growthOf = (samples: ReadonlyArray<SoakSample>, bytes = true): ReadonlyArray<Growth> => {
  const warm = samples.filter(({ hour }) => hour >= WARM_HOURS)
  if (warm.length < 2) throw new Error(`growth is measured from hour ${WARM_HOURS} on`)
  const [first, last] = [warm[0]!, warm.at(-1)!]
  const early = warm.slice(0, Math.max(1, Math.floor(warm.length * FIRST_PART)))
  const counts = COUNTS.map(({ max, of, what }): Growth => {
    const [from, to] = [Math.max(...early.map(of)), of(last)]
    return { what, from, to, growth: to - from, growthMax: max, unit: "" }
  })
  if (!bytes) return counts
  const hours = last.hour - first.hour
  return [
    ...counts,
    ...BYTES.map(({ max, of, what }): Growth => {
      // An engine that was started again begins anew: the steepest of its lives counts.
      const slope = Math.max(...livesOf(warm).map((life) => slopeOf(life, of)))
      return { what, from: of(first), to: of(last), growth: slope * hours, growthMax: max, unit: "MiB" }
    })
  ]
}

/** Samples of one engine process, at least three; the hour of its start is its own warm-up. */
const livesOf = (samples: ReadonlyArray<SoakSample>): ReadonlyArray<ReadonlyArray<SoakSample>> => {
  const lives = Map.groupBy(samples, ({ enginePid }) => enginePid)
  const long = [...lives.values()].map((life) => life.slice(1)).filter((life) => life.length >= 3)
  return long.length > 0 ? long : [samples]
}

/** Per hour, least squares. */
const slopeOf = (samples: ReadonlyArray<SoakSample>, of: Measure["of"]): number => {
  const hourMean = samples.reduce((sum, { hour }) => sum + hour, 0) / samples.length
  const mean = samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length
  let above = 0
  let below = 0
  for (const sample of samples) {
    above += (sample.hour - hourMean) * (of(sample) - mean)
    below += (sample.hour - hourMean) ** 2
  }
  return below === 0 ? 0 : above / below
}

export const isWithin = ({ growth, growthMax }: Growth): boolean => growth <= growthMax

const figure = (value: number, unit: Growth["unit"]): string =>
  unit === "" ? String(value) : `${value.toFixed(1)} MiB`

/** A markdown table. */
export const growthTable = (growths: ReadonlyArray<Growth>, hours: number): string =>
  [
    `| what | from hour ${WARM_HOURS} | hour ${hours} | growth | bound | |`,
    "| --- | ---: | ---: | ---: | ---: | --- |",
    ...growths.map((growth) => {
      const cells = [growth.from, growth.to, growth.growth, growth.growthMax].map((value) => figure(value, growth.unit))
      return `| ${growth.what} | ${cells.join(" | ")} | ${isWithin(growth) ? "ok" : "TOO MUCH"} |`
    })
  ].join("\n")
