/**
 * Loaded into an engine before its own code (`node --import`), by `SoakEngine.ts`: on SIGUSR2 it collects garbage and
 * writes what the process holds to the file that REPRISE_SAMPLE names. It counts timers by wrapping the functions that
 * make them, because Node tells nothing of those that do not keep it alive. It opens nothing that stays open.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { createRequire, syncBuiltinESMExports } from "node:module"
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString, writeHeapSnapshot } from "node:v8"
import { runInNewContext } from "node:vm"
import { BroadcastChannel, type Worker, type WorkerOptions } from "node:worker_threads"
import { libc } from "../../../src/keeper/Libc.ts"

const file = process.env.REPRISE_SAMPLE!
/** Where heap snapshots go, one for each sample: for who looks for what grew. */
const snapshots = process.env.REPRISE_SNAPSHOTS
delete process.env.REPRISE_SAMPLE
let count = 0

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as (options: object) => void
/** With it V8 also gives back the pages that it keeps for what comes next: as much as 75 MiB of an engine that works. */
const ALL = { type: "major", execution: "sync", flavor: "last-resort" }
/** V8's spaces that hold what functions were compiled to. */
const CODE = /^(code|trusted)_/

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

const COLLECT = new URL("collectThread.ts", import.meta.url).href
/** A thread collects in milliseconds; one that draws at this moment is counted with its garbage. */
const COLLECT_MILLIS = 100
const channel = new BroadcastChannel("reprise-collect")
channel.unref()
const threads = createRequire(import.meta.url)("node:worker_threads") as { Worker: typeof Worker }
const workers = new Set<Worker>()
threads.Worker = class extends threads.Worker {
  constructor(file: string | URL, options?: WorkerOptions) {
    super(file, { ...options, execArgv: ["--import", COLLECT] })
    workers.add(this)
    this.once("exit", () => workers.delete(this))
  }
}
syncBuiltinESMExports()

/** Of each thread that draws. */
const workerStatistics = async () => {
  channel.postMessage(null)
  await new Promise((resolve) => setTimeout(resolve, COLLECT_MILLIS))
  const all = await Promise.allSettled([...workers].map((worker) => worker.getHeapStatistics()))
  return all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []))
}

const statusBytes = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]) * 1024

process.on("SIGUSR2", () => {
  // Twice: what finalizers of the first let go is gone after the second.
  collect(ALL)
  setImmediate(async () => {
    collect(ALL)
    const threads = await workerStatistics()
    // As an idle engine does: what a burst left in the allocator is not held.
    libc().trimHeap()
    if (snapshots !== undefined) writeHeapSnapshot(`${snapshots}/${process.pid}-${++count}.heapsnapshot`)
    const { external_memory, total_physical_size, used_heap_size } = getHeapStatistics()
    const codeBytes = getHeapSpaceStatistics()
      .filter(({ space_name }) => CODE.test(space_name))
      .reduce((sum, { space_used_size }) => sum + space_used_size, 0)
    const status = readFileSync("/proc/self/status", "latin1")
    const anonymousBytes = statusBytes(status, "RssAnon")
    const sample = {
      pid: process.pid,
      timers: timers.size,
      handles: process.getActiveResourcesInfo().filter((name) => name !== "Timeout" && name !== "Immediate").length,
      heapBytes: used_heap_size - codeBytes,
      codeBytes,
      externalBytes: external_memory,
      workerBytes: Math.max(0, ...threads.map((thread) => thread.used_heap_size + thread.external_memory)),
      anonymousBytes,
      nativeBytes: threads.reduce(
        (rest, thread) => rest - thread.total_physical_size - thread.external_memory,
        anonymousBytes - total_physical_size
      ),
      fileBytes: statusBytes(status, "RssFile")
    }
    writeFileSync(`${file}.part`, JSON.stringify(sample))
    renameSync(`${file}.part`, file)
  })
})
