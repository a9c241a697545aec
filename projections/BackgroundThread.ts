/**
 * Gives the thread that loads it the lowest priority if it was started with `isBackground`. ScreenWorker.ts loads it
 * before everything else. On Linux a thread has a number that stands for it alone; elsewhere nothing happens.
 */
import { readlinkSync } from "node:fs"
import { constants, setPriority } from "node:os"
import { isMainThread, workerData } from "node:worker_threads"

/** What ScreenService.ts starts the thread with. */
export interface ScreenWorkerData {
  readonly isBackground: boolean
}

if (!isMainThread && (workerData as ScreenWorkerData | null)?.isBackground === true) {
  try {
    const thread = Number(readlinkSync("/proc/thread-self").split("/").at(-1))
    if (thread > 0) setPriority(thread, constants.priority.PRIORITY_LOW)
  } catch {
    // It draws as any other thread.
  }
}
