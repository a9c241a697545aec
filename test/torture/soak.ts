/**
 * `npm run soak [-- --hours 24 --seed S]`: the load of a day in minutes, and what engine and keepers hold after each hour.
 * Prints a line an hour and a table; exits with 1 when something grew beyond its bound.
 */
import { numberOption, scriptOptions } from "../fixtures/scriptOptions.ts"
import { FULL_HOUR } from "./SoakLoad.ts"
import { growthOf, growthTable, isWithin } from "./SoakReport.ts"
import { soak } from "./SoakRun.ts"

const USAGE = `npm run soak -- [--hours N] [--seed S]

  --hours N  of load, some ten seconds each (default: 24)
  --seed S   the same seed is the same load (default: another one each time)

0: nothing grew beyond its bound. 1: something did.`

const values = scriptOptions(USAGE, { hours: { type: "string" }, seed: { type: "string" } })
const hours = numberOption(USAGE, "hours", values.hours, 1) ?? 24
const seed = numberOption(USAGE, "seed", values.seed, 0) ?? Math.floor(Math.random() * 2 ** 31)
const say = (text: string) => process.stdout.write(`${text}\n`)

say(`seed ${seed}, ${hours} hours of ${FULL_HOUR.sessions} sessions and ${FULL_HOUR.commands} commands`)
let isOver = false
// After the hour that has begun: nothing is left then.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    isOver = true
  })
}
const began = performance.now()
const samples = await soak({
  hours,
  seed,
  load: FULL_HOUR,
  settles: true,
  isOver: () => isOver,
  sampled: (sample) => {
    const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
    say(
      `hour ${sample.hour}: ${sample.storeSessions} sessions; engine ${sample.engineFds} fds, ${sample.engineThreads} threads, ` +
        `${sample.engineTimers} timers, ${sample.engineHandles} handles, heap ${mib(sample.engineHeapBytes)}, code ${mib(sample.engineCodeBytes)}, outside ` +
        `${mib(sample.engineExternalBytes)}, a thread's ${mib(sample.engineWorkerBytes)}, anonymous ${mib(sample.engineAnonymousBytes)}, of it native ` +
        `${mib(sample.engineNativeBytes)}, files ${mib(sample.engineFileBytes)}; ${sample.keepers} keepers ${sample.keeperFds} fds, ` +
        `${sample.keeperThreads} threads, RSS ${mib(sample.keeperRssBytes)}; ${Math.round((performance.now() - began) / 1000)} s`
    )
  }
})
const growths = growthOf(samples)
say(`\n${growthTable(growths, samples.at(-1)!.hour)}`)
process.exitCode = growths.every(isWithin) ? 0 : 1
