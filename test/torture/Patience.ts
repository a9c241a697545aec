/**
 * Judges whether an answer took too long, on a machine that may be busy: a hang is a silence of HANG_MILLIS in which this
 * process itself was served. Time in which it was not counts for nobody, and with more runnable processes than cores
 * everybody is given as much longer.
 */
import { availableParallelism, loadavg } from "node:os"
import { HANG_MILLIS } from "./Campaign.ts"

/** Between two looks. One that comes much later tells that this process had to wait for a core. */
const TICK_MILLIS = 50

/** Asked once: the answer is read from many files. */
const CORES = availableParallelism()

let served = 0
let last = performance.now()
const ticker = setInterval(() => {
  const now = performance.now()
  served += Math.min(now - last, 2 * TICK_MILLIS)
  last = now
}, TICK_MILLIS)
ticker.unref()

/** Milliseconds in which this process was served, from an arbitrary beginning. */
export const servedMillis = (): number => served

export const hangMillis = (): number => HANG_MILLIS * Math.max(1, loadavg()[0]! / CORES)
