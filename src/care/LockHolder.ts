/**
 * Who holds a store's lock, without opening the lock file: closing any descriptor of it would drop a lock held by the same
 * process. Linux lists locks by inode; elsewhere nobody can tell.
 */
import { lstatSync, readFileSync } from "node:fs"

/** Process id; 0 when it is a process that this one cannot see; undefined when nobody holds it or it is not known. */
export const lockHolder = (database: string): number | undefined => {
  const stat = lstatSync(`${database}/LOCK`, { throwIfNoEntry: false, bigint: true })
  if (stat === undefined) return undefined
  let locks: string
  try {
    locks = readFileSync("/proc/locks", "latin1")
  } catch {
    return undefined
  }
  for (const line of locks.split("\n")) {
    // "1: POSIX  ADVISORY  WRITE 4711 08:01:1234567 0 EOF"; a line with "->" is one that waits.
    const [, pid, device = "", inode] =
      /POSIX\s+ADVISORY\s+WRITE\s+(-?\d+) ([0-9a-f]+:[0-9a-f]+):(\d+) /.exec(line) ?? []
    if (pid === undefined || line.includes("->") || BigInt(inode!) !== stat.ino) continue
    if (deviceName(stat.dev) === device) return Math.max(0, Number(pid))
  }
  return undefined
}

/** Major and minor number, as /proc writes them. */
const deviceName = (dev: bigint): string => {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn)
  return `${hex(major)}:${hex(minor)}`
}

const hex = (number: bigint): string => number.toString(16).padStart(2, "0")
