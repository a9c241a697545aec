/**
 * Looks at the kernel's process table for several sessions at once. Used by EndSession: with 1,000 sessions a walk over the
 * table takes 20 ms and more, and 1,000 that are closed together would walk it thousands of times. Whoever asks while a walk
 * is under way, or shortly after one, gets the next: an answer is never older than its question. It signals nobody.
 */
import { type ProcessEntry, type SessionIdentity, walkTable } from "./ProcessTable.ts"

/** A walk serves others after this much: an echo of another session waits no longer for it. */
const SLICE_MILLIS = 2
/** Pause after a walk, as a part of its time: ending sessions takes at most half of the process's. */
const PAUSE_PART = 1

interface Asked {
  readonly session: SessionIdentity
  readonly resolve: (entries: ReadonlyArray<ProcessEntry>) => void
  readonly reject: (error: unknown) => void
}

let waiting: Array<Asked> = []
let isLooking = false

/** Every process of the session that runs at some moment after the call (see `processesOfSession`). */
export const lookForProcesses = (session: SessionIdentity): Promise<ReadonlyArray<ProcessEntry>> =>
  new Promise((resolve, reject) => {
    waiting.push({ session, resolve, reject })
    if (!isLooking) void lookInTurn()
  })

const lookInTurn = async (): Promise<void> => {
  isLooking = true
  // Those who ask in this turn of the event loop are looked for together.
  await new Promise((resolve) => setImmediate(resolve))
  while (waiting.length > 0) {
    const asked = waiting
    waiting = []
    const start = performance.now()
    try {
      const found = await walkInSlices(asked.map(({ session }) => session))
      asked.forEach(({ resolve }, index) => {
        resolve(found[index]!)
      })
    } catch (error) {
      for (const { reject } of asked) reject(error)
    }
    const pauseMillis = (performance.now() - start) * PAUSE_PART
    await new Promise((resolve) => setTimeout(resolve, pauseMillis))
  }
  isLooking = false
}

const walkInSlices = async (
  sessions: ReadonlyArray<SessionIdentity>
): Promise<ReadonlyArray<ReadonlyArray<ProcessEntry>>> => {
  const walk = walkTable(sessions)
  let until = performance.now() + SLICE_MILLIS
  for (let step = walk.next(); ; step = walk.next()) {
    if (step.done === true) return step.value
    if (performance.now() < until) continue
    await new Promise((resolve) => setImmediate(resolve))
    until = performance.now() + SLICE_MILLIS
  }
}
