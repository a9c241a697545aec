/**
 * Loaded into an engine before its own code (`node --import`), by `SoakEngine.ts`: on SIGUSR2 it collects garbage and
 * writes what the process holds to the file that REPRISE_SAMPLE names. It counts timers by wrapping the functions that
 * make them, because Node tells nothing of those that do not keep it alive. It opens nothing that stays open.
 */
import { renameSync, writeFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const file = process.env.REPRISE_SAMPLE!
delete process.env.REPRISE_SAMPLE

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

const timers = new Set<unknown>()
const { clearInterval, clearTimeout, setInterval, setTimeout } = globalThis
type Callback = (...args: ReadonlyArray<unknown>) => void

const countedTimeout = (callback: Callback, millis?: number, ...args: ReadonlyArray<unknown>) => {
  const timer = setTimeout(() => {
    timers.delete(timer)
    callback(...args)
  }, millis)
  timers.add(timer)
  return timer
}
const countedInterval = (callback: Callback, millis?: number, ...args: ReadonlyArray<unknown>) => {
  const timer = setInterval(callback, millis, ...args)
  timers.add(timer)
  return timer
}
Object.assign(globalThis, {
  // With their promise forms.
  setTimeout: Object.defineProperties(countedTimeout, Object.getOwnPropertyDescriptors(setTimeout)),
  setInterval: Object.defineProperties(countedInterval, Object.getOwnPropertyDescriptors(setInterval)),
  clearTimeout: (timer: NodeJS.Timeout) => {
    timers.delete(timer)
    clearTimeout(timer)
  },
  clearInterval: (timer: NodeJS.Timeout) => {
    timers.delete(timer)
    clearInterval(timer)
  }
})

process.on("SIGUSR2", () => {
  // Twice: what finalizers of the first let go is gone after the second.
  collect()
  setImmediate(() => {
    collect()
    const { arrayBuffers, external, heapUsed, rss } = process.memoryUsage()
    const sample = {
      pid: process.pid,
      timers: timers.size,
      handles: process.getActiveResourcesInfo().filter((name) => name !== "Timeout" && name !== "Immediate").length,
      heapBytes: heapUsed,
      externalBytes: external + arrayBuffers,
      rssBytes: rss
    }
    writeFileSync(`${file}.part`, JSON.stringify(sample))
    renameSync(`${file}.part`, file)
  })
})
