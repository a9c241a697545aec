/**
 * Which process of a session waits for terminal input: the kernel is asked what each is blocked in, and what its
 * terminal's modes are. Used by Terminals. Silence, an idle processor or a prompt in the output prove nothing and are not
 * looked at: `sleep`, a busy loop and a wait for the network are no waits for input. It changes nothing. Linux only: elsewhere the answer is null.
 */
import { readdirSync, readFileSync, type Stats, statSync } from "node:fs"
import type { Termios } from "./Libc.ts"
import type { InputWait } from "./PipeHost.ts"
import {
  descendantsOf,
  type ProcessEntry,
  parseStat,
  processesOfSession,
  readProcess,
  type SessionIdentity
} from "./ProcessTable.ts"

/** Looked at in one call: each costs some 100 µs, in which nothing else is served. */
const PROCESSES_MAX = 128
/** Threads looked at in each: a runtime may read from any of its own. */
const THREADS_MAX = 64
/** Descriptors looked at when the kernel does not say which are polled; a terminal is among the first of a program. */
const DESCRIPTORS_MAX = 64

/** Device number of /dev/tty: the controlling terminal of whoever asks. */
const CONTROLLING_TERMINAL = 0x500
/** Of an epoll entry: readable. */
const EPOLLIN = 1

interface Calls {
  /** First argument: the descriptor. */
  readonly read: ReadonlySet<number>
  /** First argument: the descriptor of the set. */
  readonly epoll: ReadonlySet<number>
  /** poll, ppoll: second argument: how many are polled; none is a way to sleep. */
  readonly poll: ReadonlySet<number>
  /** select, pselect: first argument: one more than the highest. */
  readonly select: ReadonlySet<number>
}
/** Numbers of the system calls, which are the kernel's ABI: read, readv; epoll_(p)wait(2); (p)poll; (p)select. */
const CALLS: Partial<Record<NodeJS.Architecture, Calls>> = {
  x64: {
    read: new Set([0, 19]),
    epoll: new Set([232, 281, 441]),
    poll: new Set([7, 271]),
    select: new Set([23, 270])
  },
  arm64: { read: new Set([63, 65]), epoll: new Set([22, 441]), poll: new Set([73]), select: new Set([72]) }
}

/** Functions of the kernel in which a process sleeps, where its system call is not shown. */
const WAITS_READING = /^(n_tty_read|wait_woken)/
const WAITS_POLLING =
  /^(do_sys_poll|do_poll|do_select|core_sys_select|ep_poll|do_epoll_wait|poll_schedule_timeout|schedule_hrtimeout_range)/

/** The terminal of a session at this moment. */
export interface TerminalNow {
  readonly termios: Termios
  /** 0 when there is none. */
  readonly foregroundGroup: number
  /** Its device number; -1 when it is not known. */
  readonly device: number
  readonly leaderPid: number
  /** Paths of FIFOs from which the leader may read its commands. */
  readonly commandPipes: () => ReadonlyArray<string>
}

/** Reading the whole process table takes at most this part of the host's time: 3 ms on a machine with 120 processes. */
const TABLE_TIME_PART_MAX = 0.05
let readTableFrom = 0

/**
 * The leader of the foreground group first, which most often is the one, then the leader's other descendants: asked again
 * and again while a command is busy, this has to be cheap. Those whose parent has ended, or that a daemon of the session
 * started, are looked for in all processes of the machine, and not each time.
 */
export const inputWaitIn = (session: SessionIdentity, now: TerminalNow): InputWait | null => {
  const first = now.foregroundGroup > 1 ? readProcess(now.foregroundGroup) : null
  const wait = first === null ? null : inputWaitOf(first, now)
  if (wait !== null) return wait
  const known = new Set<number>(first === null ? [] : [first.pid])
  const waitAmong = (entries: ReadonlyArray<ProcessEntry>): InputWait | null => {
    const others = entries.filter(({ pid }) => !known.has(pid)).slice(0, PROCESSES_MAX)
    for (const entry of others) {
      known.add(entry.pid)
      const wait = inputWaitOf(entry, now)
      if (wait !== null) return wait
    }
    return null
  }
  const descendant = waitAmong(descendantsOf(session.leader, PROCESSES_MAX))
  const start = performance.now()
  if (descendant !== null || start < readTableFrom) return descendant
  const found = waitAmong(processesOfSession(session))
  readTableFrom = start + (performance.now() - start) / TABLE_TIME_PART_MAX
  return found
}

/** `proc` is another folder in tests. */
export const inputWaitOf = (
  entry: ProcessEntry,
  now: TerminalNow,
  proc = "/proc",
  calls = CALLS[process.arch]
): InputWait | null => {
  // One that was stopped while it read shows the call still, and reads nothing.
  if (isStopped(entry)) return null
  // The kernel stops whoever reads from the background of the terminal's own session.
  const inBackground = now.foregroundGroup > 0 && entry.group !== now.foregroundGroup
  if (inBackground && entry.sessionLeader === now.leaderPid) return null
  const looked = new LookedAt(`${proc}/${entry.pid}`, entry, now)
  const threads = namesIn(`${looked.folder}/task`, THREADS_MAX).map((thread) => `${looked.folder}/task/${thread}`)
  const states = threads.map((thread) => callOf(thread))
  if (calls === undefined || states.some((state) => state === "hidden")) return heuristicOf(looked, threads)
  const kernel = (kind: InputWait["kind"]): InputWait | null => {
    // It may have been stopped since its state was read.
    const stat = parseStat(textOf(`${looked.folder}/stat`) ?? "")
    return stat !== null && isStopped(stat) ? null : { kind, pid: entry.pid, confidence: "kernel" }
  }
  for (const state of states) {
    if (typeof state === "object" && calls.read.has(state.number) && looked.isTerminal(state.args[0]!)) {
      return kernel(kindOf(now.termios))
    }
  }
  // A thread that waits for events says nothing while another one works.
  if (!looked.maySleepForKeys() || states.includes("running")) return null
  for (const state of states) {
    if (typeof state !== "object") continue
    const { args, number } = state
    const polls = (calls.poll.has(number) && args[1]! > 0) || (calls.select.has(number) && args[0]! > 0)
    const waits = calls.epoll.has(number) ? looked.isTerminalIn(args[0]!) : polls && looked.hasTerminal()
    if (waits) return kernel("raw")
  }
  return null
}

const isStopped = ({ state }: ProcessEntry): boolean => state === "T" || state === "t" || state === "Z"

const kindOf = ({ canonical, echo }: Termios): InputWait["kind"] => (canonical ? (echo ? "text" : "secret") : "raw")

/** Where the system call may not be seen: the name of the kernel function tells that it waits, not for which descriptor. */
const heuristicOf = (looked: LookedAt, threads: ReadonlyArray<string>): InputWait | null => {
  const { entry, now } = looked
  // Others cannot be told from a wait for the network, which sleeps in the same function.
  if (entry.group !== now.foregroundGroup || looked.isTerminal(0) === false) return null
  const waits = threads.map((thread) => textOf(`${thread}/wchan`) ?? "")
  const found = (kind: InputWait["kind"]): InputWait => ({ kind, pid: entry.pid, confidence: "heuristic" })
  if (waits.some((name) => WAITS_READING.test(name))) return found(kindOf(now.termios))
  const polls = waits.some((name) => WAITS_POLLING.test(name))
  return polls && looked.maySleepForKeys() ? found("raw") : null
}

type Call = { readonly number: number; readonly args: ReadonlyArray<number> }

/** `hidden`: not ours to see. `other`: gone, or in no call. */
const callOf = (thread: string): Call | "running" | "hidden" | "other" => {
  let text: string
  try {
    text = readFileSync(`${thread}/syscall`, "latin1")
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === "EPERM" || code === "EACCES" || (code === "ENOENT" && exists(thread)) ? "hidden" : "other"
  }
  if (text.startsWith("running")) return "running"
  const [number, ...args] = text.split(" ")
  if (number === undefined || !/^\d+$/.test(number)) return "other"
  // Descriptors and counts fit a number; pointers lose bits that nobody looks at.
  return { number: Number(number), args: args.slice(0, 2).map(Number) }
}

/** One process, its descriptors looked at only when they matter. */
class LookedAt {
  readonly folder: string
  readonly entry: ProcessEntry
  readonly now: TerminalNow

  constructor(folder: string, entry: ProcessEntry, now: TerminalNow) {
    this.folder = folder
    this.entry = entry
    this.now = now
  }

  /** Whether the descriptor is the session's terminal; undefined when that cannot be seen. */
  isTerminal(fd: number): boolean | undefined {
    const stats = statOf(`${this.folder}/fd/${fd}`)
    if (stats === null) return exists(`${this.folder}/fd/.`) ? false : undefined
    if (!stats.isCharacterDevice()) return false
    if (stats.rdev === this.now.device) return true
    // Of a process that has left with setsid it would be another terminal.
    return stats.rdev === CONTROLLING_TERMINAL && this.entry.sessionLeader === this.now.leaderPid
  }

  hasTerminal(): boolean {
    return namesIn(`${this.folder}/fd`, DESCRIPTORS_MAX).some((fd) => this.isTerminal(Number(fd)) === true)
  }

  /** Whether a set of epoll waits for the terminal to become readable. */
  isTerminalIn(epoll: number): boolean {
    const text = textOf(`${this.folder}/fdinfo/${epoll}`)
    if (text === null) return this.hasTerminal()
    for (const [, fd, events] of text.matchAll(/^tfd:\s*(\d+) events:\s*([0-9a-f]+)/gm)) {
      if ((Number.parseInt(events!, 16) & EPOLLIN) !== 0 && this.isTerminal(Number(fd)) === true) return true
    }
    return false
  }

  /**
   * Programs that take keys one by one sleep until something happens. Only one in the foreground gets them; and a shell
   * that takes its commands from a pipe sleeps for those, whatever modes its last program left behind.
   */
  maySleepForKeys(): boolean {
    const { entry, now } = this
    if (now.termios.canonical || entry.group !== now.foregroundGroup) return false
    if (entry.pid !== now.leaderPid) return true
    const pipes = now.commandPipes().map(statOf)
    if (pipes.length === 0) return true
    return !namesIn(`${this.folder}/fd`, DESCRIPTORS_MAX).some((fd) => {
      const stats = statOf(`${this.folder}/fd/${fd}`)
      return stats?.isFIFO() === true && pipes.some((pipe) => pipe?.ino === stats.ino && pipe.dev === stats.dev)
    })
  }
}

const statOf = (path: string): Stats | null => {
  try {
    return statSync(path)
  } catch {
    return null
  }
}
const exists = (path: string): boolean => statOf(path) !== null

const textOf = (path: string): string | null => {
  try {
    return readFileSync(path, "latin1")
  } catch {
    return null
  }
}

const namesIn = (folder: string, max: number): ReadonlyArray<string> => {
  try {
    return readdirSync(folder).slice(0, max)
  } catch {
    return []
  }
}
