/**
 * A slice of a soak: some hours of a small load with the real engine and its keepers, and nothing more of what is counted is
 * held at the end than after the first of them. Bytes need a longer one (`npm run soak`).
 */
import { assert, describe, it } from "vitest"
import { INSIDE_NEEDS, seesInside } from "../fixtures/processFigures.ts"
import { growthOf, isWithin, type SoakSample } from "./SoakReport.ts"
import { soak } from "./SoakRun.ts"

/** REPRISE_SEED moves what happens when, REPRISE_SOAK_HOURS makes it longer. */
const HOURS = Number(process.env.REPRISE_SOAK_HOURS ?? 3)
const SEED = Number(process.env.REPRISE_SEED ?? 11)
const LOAD = { sessions: 10, commands: 10 }

if (process.platform === "linux") {
  describe("soak", () => {
    it.skipIf(!seesInside)(
      `reliability row 25: ${HOURS} hours of every kind of session, with engines that stop and die, leave no descriptor, thread or timer behind (${INSIDE_NEEDS})`,
      {
        timeout: 120_000 + HOURS * 120_000
      },
      async () => {
        const samples = await soak({ hours: HOURS, seed: SEED, load: LOAD })
        assert.isAbove(samples.at(-1)!.storeSessions, HOURS * (LOAD.sessions - 2))
        assert.deepStrictEqual(
          growthOf(samples, false).filter((growth) => !isWithin(growth)),
          []
        )
      }
    )
  })
}

describe("what a soak says", () => {
  const sample = (hour: number, changes: Partial<SoakSample>): SoakSample => ({
    hour,
    storeSessions: hour,
    enginePid: 1,
    engineFds: 30,
    engineThreads: 12,
    engineTimers: 2,
    engineHandles: 4,
    engineHeapBytes: 20e6,
    engineCodeBytes: 8e6,
    engineExternalBytes: 10e6,
    engineWorkerBytes: 10e6,
    engineAnonymousBytes: 100e6,
    engineNativeBytes: 50e6,
    engineFileBytes: 60e6,
    keepers: 1,
    keeperFds: 20,
    keeperThreads: 9,
    keeperRssBytes: 50e6,
    ...changes
  })
  const tooMuch = (changes: (hour: number) => Partial<SoakSample>) =>
    growthOf(Array.from({ length: 24 }, (_, index) => sample(index + 1, changes(index + 1))))
      .filter((growth) => !isWithin(growth))
      .map(({ what }) => what)

  it("nothing of what only goes up and down", () => {
    assert.deepStrictEqual(
      tooMuch((hour) => ({ engineHeapBytes: 20e6 + (hour % 3) * 1e6 })),
      []
    )
  })

  it("a descriptor in a day, a megabyte in an hour, also of an engine that was started again", () => {
    assert.deepStrictEqual(
      tooMuch((hour) => ({ engineFds: hour === 24 ? 31 : 30 })),
      ["engine: descriptors"]
    )
    assert.deepStrictEqual(
      tooMuch((hour) => ({ enginePid: hour < 12 ? 1 : 2, engineHeapBytes: 20e6 + (hour % 12) * 1e6 })),
      ["engine: heap"]
    )
  })
})
