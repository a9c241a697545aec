/**
 * The kernel's process table as /proc shows it: who belongs to a session, and signalling a process that is certainly
 * still the one that was meant. Used by GuardedPty (start time), Terminals (signals), InputWait and ProcessLook. It never keeps a
 * table: every call reads anew, because anything remembered may be another process by now. Where there is no /proc
 * (macOS) only the leader is known.
 */
import { closeSync, readdirSync, readFileSync } from "node:fs"
import { constants } from "node:os"
import { libc } from "./Libc.ts"
import type { ProcessIdentity } from "./PtyHost.ts"

/** In the environment of every program of a session, so that those that left it with setsid are found too. */
export const SESSION_MARKER = "REPRISE_SESSION"

export interface ProcessEntry extends ProcessIdentity {
  /** One letter: R, S, D, T (stopped), Z (dead, not yet collected) … */
  readonly state: string
  readonly group: number
  readonly sessionLeader: number
  /** Foreground group of its controlling terminal; -1 when it has none. */
  readonly foregroundGroup: number
}

/** One line of /proc/PID/stat. The name in brackets may hold spaces and brackets: fields count from the last one. */
export const parseStat = (line: string): ProcessEntry | null => {
  const nameEnd = line.lastIndexOf(") ")
  const pid = Number.parseInt(line, 10)
  if (nameEnd < 0 || !Number.isInteger(pid)) return null
  const fields = line.slice(nameEnd + 2).split(" ")
  const startTime = fields[19]
  if (startTime === undefined) return null
  return {
    pid,
    startTime,
    state: fields[0]!,
    group: Number(fields[2]),
    sessionLeader: Number(fields[3]),
    foregroundGroup: Number(fields[5])
  }
}

export const readProcess = (pid: number): ProcessEntry | null => {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    return null
  }
}

export interface SessionIdentity {
  readonly leader: ProcessIdentity
  /** The value of SESSION_MARKER in the environment of its programs. */
  readonly marker: string
  /**
   * Nobody watched the leader end: its pid may have named another kernel session since, in another container even. Then only
   * a leader that still runs proves that the number is the session's. Default false.
   */
  readonly isUnwatched?: boolean | undefined
}

/** Every process of the session that still runs: same kernel session, or the same marker in its environment. */
export const processesOfSession = (session: SessionIdentity): ReadonlyArray<ProcessEntry> => {
  const walk = walkTable([session])
  for (let step = walk.next(); ; step = walk.next()) if (step.done === true) return step.value[0]!
}

/**
 * The same for several sessions at once, in their order: one walk, however many they are. It stops after each process, so
 * that whoever walks can serve others meanwhile.
 */
export function* walkTable(
  sessions: ReadonlyArray<SessionIdentity>
): Generator<void, ReadonlyArray<ReadonlyArray<ProcessEntry>>> {
  const found = sessions.map(({ leader }) => (leader.startTime === "" ? [...withoutTable(leader.pid)] : []))
  const byLeader = new Map<number, Array<number>>()
  const byMarker = new Map<string, Array<number>>()
  let oldest = Number.POSITIVE_INFINITY
  sessions.forEach(({ isUnwatched, leader, marker }, index) => {
    if (leader.startTime === "") return
    oldest = Math.min(oldest, Number(leader.startTime))
    addTo(byMarker, marker, index)
    const leaderNow = readProcess(leader.pid)
    // The leader's pid can be used again once the whole session is gone; then its number names another session.
    const numberIsOurs = leaderNow === null ? isUnwatched !== true : leaderNow.startTime === leader.startTime
    if (numberIsOurs) addTo(byLeader, leader.pid, index)
  })
  if (oldest === Number.POSITIVE_INFINITY) return found
  for (const name of readdirSync("/proc")) {
    const first = name.charCodeAt(0)
    if (first < 0x31 || first > 0x39) continue
    yield
    const entry = readProcess(Number(name))
    if (entry === null || entry.state === "Z" || entry.state === "X" || entry.pid === process.pid) continue
    // No process of a session is older than its leader; this spares reading most environments.
    const startTime = Number(entry.startTime)
    if (startTime < oldest) continue
    const add = (indexes: ReadonlyArray<number>) => {
      for (const index of indexes) {
        if (startTime >= Number(sessions[index]!.leader.startTime)) found[index]!.push(entry)
      }
    }
    const ofNumber = byLeader.get(entry.sessionLeader)
    if (ofNumber !== undefined) add(ofNumber)
    else for (const marker of markersOf(entry.pid)) add(byMarker.get(marker) ?? [])
  }
  return found
}

const addTo = <K>(map: Map<K, Array<number>>, key: K, index: number): void => {
  const there = map.get(key)
  if (there === undefined) map.set(key, [index])
  else there.push(index)
}

/**
 * The leader and its descendants, at most `max`: a matter of microseconds for each, whatever else the machine runs. Those
 * whose parent has ended are not among them. Empty when the leader is gone, or where the kernel lists no children.
 */
export const descendantsOf = (leader: ProcessIdentity, max: number): ReadonlyArray<ProcessEntry> => {
  const found: Array<ProcessEntry> = []
  const pids = [leader.pid]
  for (let pid = pids.shift(); pid !== undefined && found.length < max; pid = pids.shift()) {
    const entry = readProcess(pid)
    if (entry === null || (pid === leader.pid && entry.startTime !== leader.startTime)) continue
    found.push(entry)
    try {
      // A child is its parent's thread's.
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        const children = readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1")
        for (const child of children.split(" ")) if (child !== "") pids.push(Number(child))
      }
    } catch {
      // It ended meanwhile.
    }
  }
  return found
}

/**
 * Signals the process only if it is still the one meant. The handle is opened first and the start time compared after:
 * whatever dies in between, nobody else can get the signal.
 */
export const signalProcess = ({ pid, startTime }: ProcessIdentity, signal: NodeJS.Signals): boolean => {
  const number = constants.signals[signal]
  if (number === undefined || pid <= 1) return false
  const pidfd = libc().pidfdOpen(pid)
  if (pidfd < 0) {
    // No such process, or a kernel without such handles: then the check and the kill are two steps.
    return isSame(pid, startTime) && killQuietly(pid, signal)
  }
  try {
    return isSame(pid, startTime) && libc().pidfdSignal(pidfd, number)
  } finally {
    closeSync(pidfd)
  }
}

/** Signals a process group only if it belongs to this kernel session: a dead group's number may be used again. */
export const signalGroup = (group: number, leader: ProcessIdentity, signal: NodeJS.Signals): boolean => {
  if (group <= 1) return false
  if (leader.startTime === "") return killQuietly(-group, signal)
  const groupLeader = readProcess(group)
  const isOurs =
    groupLeader !== null
      ? groupLeader.sessionLeader === leader.pid && groupLeader.group === group
      : processesOfSession({ leader, marker: "\0" }).some((entry) => entry.group === group)
  return isOurs && killQuietly(-group, signal)
}

/** The command line for people: one line without control characters, at most this long. */
const COMMAND_CHARS_MAX = 200
export const commandOf = (pid: number): string => {
  for (const file of ["cmdline", "comm"]) {
    try {
      const text = readFileSync(`/proc/${pid}/${file}`, "utf8").replace(/[\0-\x1f\x7f-\x9f]+/g, " ")
      if (text.trim() !== "") return text.trim().slice(0, COMMAND_CHARS_MAX)
    } catch {
      // It ended meanwhile, or belongs to someone else.
    }
  }
  return ""
}

const withoutTable = (pid: number): ReadonlyArray<ProcessEntry> =>
  killQuietly(pid, 0) ? [{ pid, startTime: "", state: "?", group: pid, sessionLeader: pid, foregroundGroup: -1 }] : []

const isSame = (pid: number, startTime: string): boolean => {
  if (startTime === "") return true
  const entry = readProcess(pid)
  return entry !== null && entry.startTime === startTime && entry.state !== "Z"
}

const killQuietly = (pid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** The values of SESSION_MARKER in its environment: one at most, unless the program was given several. */
const markersOf = (pid: number): ReadonlySet<string> => {
  const markers = new Set<string>()
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, "latin1")
    const start = `${SESSION_MARKER}=`
    for (let at = environment.indexOf(start); at >= 0; at = environment.indexOf(start, at + 1)) {
      const end = environment.indexOf("\0", at)
      if ((at === 0 || environment[at - 1] === "\0") && end >= 0) {
        markers.add(environment.slice(at + start.length, end))
      }
    }
  } catch {
    // It ended meanwhile, or belongs to someone else.
  }
  return markers
}
