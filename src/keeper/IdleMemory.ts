/**
 * Gives memory back to the system once a process is idle. Used by the processes that stay, the engine and the keepers. V8
 * collects when something is allocated: what a burst of work left behind (a thousand sessions that were created or taken
 * back: 40 to 100 MB) stays for as long as nothing happens. It never collects while the process has something to do.
 */
import { performance } from "node:perf_hooks"
import { getHeapStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { libc } from "./Libc.ts"

/** How often it is looked. */
const LOOK_MILLIS = 2000
/** Of the time since the last look: with more work than this the process is not idle. Typing takes about 1 %. */
const BUSY_PART_MAX = 0.005
/** A collection stops the process for 10 to 60 ms: it has to be worth that. */
const GROWN_BYTES_MIN = 8 * 1024 * 1024
/** V8 frees what buffers had in threads of its own, after the collection. */
const SWEEP_MILLIS = 500

/**
 * `release` drops, beforehand, what is kept only to be used again. The timer keeps no process alive.
 *
 * One collection is enough: V8 follows it with some of its own, a few seconds apart and in small steps, and gives back the
 * pages that they free. Without a first one it never begins.
 */
export const collectWhenIdle = (release: () => void = () => {}): void => {
  let collect: (() => void) | undefined
  let last = performance.eventLoopUtilization()
  let lowest = 0
  setInterval(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, last)
    last = now
    if (utilization > BUSY_PART_MAX) return
    const size = heapBytes()
    if (size - lowest >= GROWN_BYTES_MIN) {
      release()
      collect ??= exposedCollector()
      collect()
      lowest = heapBytes()
      setTimeout(() => libc().trimHeap(), SWEEP_MILLIS).unref()
    } else if (lowest - size >= GROWN_BYTES_MIN) {
      libc().trimHeap()
    }
    lowest = Math.min(lowest, size)
  }, LOOK_MILLIS).unref()
}

/** Made when it is needed: a context costs a starting process milliseconds. */
const exposedCollector = (): (() => void) => {
  setFlagsFromString("--expose-gc")
  return runInNewContext("gc") as () => void
}

const heapBytes = (): number => {
  const { external_memory, total_heap_size } = getHeapStatistics()
  return total_heap_size + external_memory
}
