/**
 * Whether the machine has room for one more terminal. node-pty starts a thread for each and aborts the whole process,
 * all its sessions with it, when the kernel refuses that thread: no try/catch helps, so the room is looked at before.
 * Used by Preflight only. It reserves nothing; the margin covers what others take between the look and the fork.
 */
import { readdirSync, readFileSync, statSync } from "node:fs"

/** Processes or threads that must stay free: the program and its waiter, and room for whoever forks meanwhile. */
const PROCESS_MARGIN = 32
/** File descriptors that must stay free: master, slave, pid handle, engine connection, and Node's own. */
const DESCRIPTOR_MARGIN = 16

/** Where to look: other roots are for tests. */
export interface HeadRoomRoots {
  readonly proc: string
  readonly cgroup: string
}
const ROOTS: HeadRoomRoots = { proc: "/proc", cgroup: "/sys/fs/cgroup" }

/** One line that says which limit is reached, or null when there is room (or nothing that tells). */
export const missingHeadRoom = (roots: HeadRoomRoots = ROOTS, uid = process.getuid?.() ?? 0): string | null => {
  const limits = read(`${roots.proc}/self/limits`)
  if (limits === null) return null
  const descriptorsMax = softLimit(limits, "Max open files")
  const descriptors = entries(`${roots.proc}/self/fd`)
  if (descriptors !== null && descriptors + DESCRIPTOR_MARGIN > descriptorsMax) {
    return `${descriptors} of ${descriptorsMax} file descriptors are in use: raise the limit (ulimit -n) or close sessions`
  }
  const tasks = Number(read(`${roots.proc}/loadavg`)?.split(" ")[3]?.split("/")[1] ?? 0)
  const tasksMax = Math.min(
    numberIn(`${roots.proc}/sys/kernel/threads-max`),
    numberIn(`${roots.proc}/sys/kernel/pid_max`)
  )
  if (tasks + PROCESS_MARGIN > tasksMax) {
    return `the machine runs ${tasks} of ${tasksMax} possible threads: end some processes`
  }
  // The kernel does not count root's processes against this limit.
  const ownMax = uid === 0 ? Number.POSITIVE_INFINITY : softLimit(limits, "Max processes")
  // Counting one's own threads costs a walk over /proc; as long as all threads together fit, there is no need.
  if (tasks + PROCESS_MARGIN > ownMax) {
    const own = threadsOf(uid, roots.proc)
    if (own + PROCESS_MARGIN > ownMax) {
      return `this user runs ${own} of ${ownMax} possible threads: raise the limit (ulimit -u) or end some processes`
    }
  }
  return fullGroup(roots)
}

let descriptorLimit: number | undefined
/**
 * Whether a descriptor that was just opened leaves the margin free. The kernel gives the lowest free number, so the
 * number alone tells, and the limit of a process does not change by itself: no file is read after the first time.
 */
export const hasDescriptorsLeft = (fd: number): boolean => {
  descriptorLimit ??= softLimit(read("/proc/self/limits") ?? "", "Max open files")
  return fd + DESCRIPTOR_MARGIN < descriptorLimit
}

/** A control group (container, systemd unit) may allow less than the machine; every level above it counts too. */
const fullGroup = (roots: HeadRoomRoots): string | null => {
  const own = read(`${roots.proc}/self/cgroup`)?.match(/^0::(\/.*)$/m)?.[1]
  if (own === undefined) return null
  const parts = own.split("/").filter((part) => part !== "" && part !== "..")
  for (let depth = parts.length; depth >= 0; depth--) {
    const folder = [roots.cgroup, ...parts.slice(0, depth)].join("/")
    const max = numberIn(`${folder}/pids.max`)
    if (max === Number.POSITIVE_INFINITY) continue
    const current = numberIn(`${folder}/pids.current`, 0)
    if (current + PROCESS_MARGIN > max) {
      return `this control group runs ${current} of ${max} possible threads: raise pids.max or end some processes`
    }
  }
  return null
}

const threadsOf = (uid: number, proc: string): number => {
  let threads = 0
  for (const name of readdirSync(proc)) {
    if (!/^\d+$/.test(name)) continue
    try {
      if (statSync(`${proc}/${name}`).uid === uid) threads += readdirSync(`${proc}/${name}/task`).length
    } catch {
      // It ended meanwhile.
    }
  }
  return threads
}

const softLimit = (limits: string, name: string): number => {
  const value = limits.match(new RegExp(`^${name}\\s+(\\S+)`, "m"))?.[1]
  return value === undefined || value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value)
}

const numberIn = (file: string, missing = Number.POSITIVE_INFINITY): number => {
  const text = read(file)?.trim()
  return text === undefined || !/^\d+$/.test(text) ? missing : Number(text)
}

const read = (file: string): string | null => {
  try {
    return readFileSync(file, "latin1")
  } catch {
    return null
  }
}

const entries = (folder: string): number | null => {
  try {
    return readdirSync(folder).length
  } catch {
    return null
  }
}
