/**
 * Children of node-pty's fork that have not executed their program yet. Until then they are copies of this process and
 * hold its descriptors: whoever asks the kernel whether anybody else has a FIFO open would count them. Told by
 * GuardedPty, asked by InputPipe. (Node's own child processes are past that point when `spawn` returns.)
 */
import { readlinkSync } from "node:fs"
import { hasMarker, readProcess } from "./ProcessTable.ts"
import type { ProcessIdentity } from "./PtyHost.ts"

interface Copy extends ProcessIdentity {
  readonly marker: string
}

let copies: ReadonlyArray<Copy> = []

export const forked = (copy: Copy): void => {
  // Those of earlier forks are looked at here, so that there are never more than a few.
  copies = [...copies.filter(isCopy), copy]
}

/** Whether any is left at this moment; no other can come before the caller gives up its turn. */
export const areForkedCopies = (): boolean => {
  if (copies.length > 0) copies = copies.filter(isCopy)
  return copies.length > 0
}

/** Two proofs of the new program, because one can hide either: another file, or the environment that we gave it. */
const isCopy = ({ marker, pid, startTime }: Copy): boolean => {
  const entry = readProcess(pid)
  if (entry === null || entry.startTime !== startTime || entry.state === "Z" || hasMarker(pid, marker)) return false
  try {
    return readlinkSync(`/proc/${pid}/exe`) === readlinkSync("/proc/self/exe")
  } catch {
    // Not ours to look at: a program of another user, as a copy of this one never is.
    return false
  }
}
