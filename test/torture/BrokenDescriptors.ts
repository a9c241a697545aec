/**
 * Makes system calls of this very process fail, without a debugger, a compiler or root: limits that the kernel enforces
 * (a file may not grow, no descriptor is left) and descriptors that are replaced under whoever uses them. Used by programs
 * that a test starts for it: what fails here fails for everything in the process. Linux only.
 */
import { openSync, readdirSync, readlinkSync } from "node:fs"
import koffi from "koffi"

const libc = koffi.load(null)
const setLimit = libc.func("int setrlimit(int resource, void *limit)")
const getLimit = libc.func("int getrlimit(int resource, void *limit)")
const duplicate = libc.func("int dup2(int from, int to)")
const closeDescriptor = libc.func("int close(int fd)")
const makePipe = libc.func("int pipe(void *fds)")
const openTerminal = libc.func("int posix_openpt(int flags)")
const unlockTerminal = libc.func("int unlockpt(int fd)")
const terminalName = libc.func("str ptsname(int fd)")

const RESOURCES = { fileBytes: 1, descriptors: 7 } as const
const O_RDWR = 2
const O_NOCTTY = 0o400

/** Sets the soft limit; the answer sets it back. */
export const limitTo = (resource: keyof typeof RESOURCES, value: number): (() => void) => {
  const before = Buffer.alloc(16)
  const number = RESOURCES[resource]
  if (getLimit(number, before) !== 0) throw new Error(`getrlimit: ${koffi.errno()}`)
  const limit = Buffer.from(before)
  limit.writeBigUInt64LE(BigInt(value), 0)
  if (setLimit(number, limit) !== 0) throw new Error(`setrlimit: ${koffi.errno()}`)
  return () => {
    if (setLimit(number, before) !== 0) throw new Error(`setrlimit: ${koffi.errno()}`)
  }
}

/** Descriptors of this process on files whose path ends so. */
export const descriptorsOf = (folder: string, suffix: string): ReadonlyArray<number> =>
  readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => {
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`)
        return path.startsWith(folder) && path.endsWith(suffix)
      } catch {
        // The one with which the folder was read.
        return false
      }
    })

/** What a descriptor can be replaced with, and what its writes and syncs then say. */
const REPLACEMENTS = {
  /** write: ENOSPC. */
  full: () => openSync("/dev/full", "w"),
  /** write: EIO, as of a terminal whose other end is gone. */
  brokenTerminal: () => {
    const master = openTerminal(O_RDWR | O_NOCTTY) as number
    unlockTerminal(master)
    const slave = openSync(terminalName(master) as string, O_RDWR | O_NOCTTY)
    closeDescriptor(master)
    return slave
  },
  /** write: taken, up to 64 KiB; fdatasync: EINVAL. Its reading end stays open for as long as the process. */
  pipe: () => {
    const fds = Buffer.alloc(8)
    if (makePipe(fds) !== 0) throw new Error(`pipe: ${koffi.errno()}`)
    return fds.readInt32LE(4)
  }
} as const

/** From here on the descriptor is another file; whoever has it does not know. */
export const replaceDescriptor = (fd: number, replacement: keyof typeof REPLACEMENTS): void => {
  const other = REPLACEMENTS[replacement]()
  if (duplicate(other, fd) < 0) throw new Error(`dup2: ${koffi.errno()}`)
  closeDescriptor(other)
}
