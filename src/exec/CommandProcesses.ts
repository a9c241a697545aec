/**
 * The processes of one command: those of the session, without the shell, that were started since the command was. Asked of
 * the kernel each time, remembered never. Used to end a command whose time is over, or on request.
 */
import { readFileSync } from "node:fs"
import { constants } from "node:os"
import { type ProcessEntry, processesOfSession, readProcess } from "../keeper/ProcessTable.ts"

/** /proc counts start times in hundredths of a second since boot, on every Linux. */
const TICKS_A_SECOND = 100

/** Now, in the unit of a process's start time; 0 where there is no /proc. */
export const ticksNow = (): number => {
  try {
    return Math.floor(Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * TICKS_A_SECOND)
  } catch {
    return 0
  }
}

export interface CommandScope {
  readonly session: string
  readonly shell: { readonly pid: number; readonly startTime: string }
  /** `ticksNow` when the command was started. */
  readonly since: number
}

const processesOfCommand = ({ session, shell, since }: CommandScope): ReadonlyArray<ProcessEntry> =>
  processesOfSession({ leader: shell, marker: session }).filter(
    (entry) => entry.pid !== shell.pid && Number(entry.startTime) >= since
  )

/** Signals every one of them that still is the process that was found; answers how many got it. */
export const signalCommand = (scope: CommandScope, signal: NodeJS.Signals): number => {
  let signalled = 0
  // Children first: a parent that sees its child end may start another.
  for (const { pid, startTime } of [...processesOfCommand(scope)].reverse()) {
    if (readProcess(pid)?.startTime !== startTime) continue
    try {
      process.kill(pid, constants.signals[signal])
      signalled++
    } catch {
      // It ended meanwhile.
    }
  }
  return signalled
}
