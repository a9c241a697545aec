/**
 * What the processes of sessions use, as /proc shows it: one look at the whole table serves every session that is asked
 * for within a quarter of a second, so that asking for all of many sessions costs one look. For showing only: whoever
 * signals a process reads the table anew (ProcessTable.ts).
 */
import { readdirSync, readFileSync } from "node:fs"
import { setImmediate as nextTurn } from "node:timers/promises"
import { SESSION_MARKER, type SessionIdentity } from "./ProcessTable.ts"

/** A look serves this long. Two of them are at least this far apart, which is what a share of the CPU needs to mean something. */
export const LOOK_MILLIS = 250
/** Processes read before others get their turn: about 1 ms. */
const SLICE_PROCESSES = 64
/** Of an environment, which may be megabytes; the marker is set first of all by nobody, but no shell has more than this before it. */
const ENVIRONMENT_BYTES_MAX = 1024 * 1024

export interface ProcessesUsage {
  readonly processes: number
  /** User and system time of them since each began, and of the children they have waited for. */
  readonly cpuMicros: number
  readonly rssBytes: number
  /** Of the look, on the clock of `performance.now`. */
  readonly atMillis: number
}

interface Used {
  readonly pid: number
  readonly startTime: string
  readonly isZombie: boolean
  readonly sessionLeader: number
  readonly cpuMicros: number
  readonly rssBytes: number
  readonly marker: string
}

interface Look {
  readonly atMillis: number
  readonly byPid: ReadonlyMap<number, Used>
  readonly byLeader: ReadonlyMap<number, ReadonlyArray<Used>>
  readonly byMarker: ReadonlyMap<string, ReadonlyArray<Used>>
}

export class ProcessUsage {
  #look: Look | undefined
  #looking: Promise<Look> | undefined
  /** A process's marker does not change while it is the same program: read once, kept while it lives. */
  #markers = new Map<string, string>()

  /** undefined where there is no /proc. */
  async of({ leader, marker }: SessionIdentity): Promise<ProcessesUsage | undefined> {
    const units = kernelUnits
    if (units === undefined) return undefined
    const { atMillis, byLeader, byMarker, byPid } = await this.#now(units)
    const now = byPid.get(leader.pid)
    // The leader's pid can be another process by now: then its number names another session.
    const isOurs = now === undefined || now.startTime === leader.startTime
    const ours = new Set(isOurs ? byLeader.get(leader.pid) : [])
    for (const one of byMarker.get(marker) ?? []) ours.add(one)
    let processes = 0
    let cpuMicros = 0
    let rssBytes = 0
    for (const one of ours) {
      if (!one.isZombie) processes++
      cpuMicros += one.cpuMicros
      rssBytes += one.rssBytes
    }
    return { processes, cpuMicros, rssBytes, atMillis }
  }

  async #now(units: KernelUnits): Promise<Look> {
    if (this.#look !== undefined && performance.now() - this.#look.atMillis < LOOK_MILLIS) return this.#look
    this.#looking ??= this.#read(units).finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #read(units: KernelUnits): Promise<Look> {
    const atMillis = performance.now()
    const byPid = new Map<number, Used>()
    const byLeader = new Map<number, Array<Used>>()
    const byMarker = new Map<string, Array<Used>>()
    const markers = new Map<string, string>()
    let read = 0
    for (const name of readdirSync("/proc")) {
      const first = name.charCodeAt(0)
      if (first < 0x31 || first > 0x39) continue
      if (++read % SLICE_PROCESSES === 0) await nextTurn()
      const used = this.#process(name, units, markers)
      if (used === undefined) continue
      byPid.set(used.pid, used)
      add(byLeader, used.sessionLeader, used)
      if (used.marker !== "") add(byMarker, used.marker, used)
    }
    this.#markers = markers
    this.#look = { atMillis, byPid, byLeader, byMarker }
    return this.#look
  }

  #process(name: string, units: KernelUnits, markers: Map<string, string>): Used | undefined {
    let line: string
    try {
      line = readFileSync(`/proc/${name}/stat`, "latin1")
    } catch {
      // It ended meanwhile.
      return undefined
    }
    // The program's name in brackets may hold anything: fields count from the last bracket. proc(5) numbers them from 3 here.
    const fields = line.slice(line.lastIndexOf(") ") + 2).split(" ")
    const field = (number: number) => Number(fields[number - 3])
    const startTime = fields[19]!
    const key = `${name} ${startTime}`
    const marker = this.#markers.get(key) ?? markerOf(name)
    markers.set(key, marker)
    return {
      pid: Number(name),
      startTime,
      isZombie: fields[0] === "Z" || fields[0] === "X",
      sessionLeader: field(6),
      cpuMicros: ((field(14) + field(15) + field(16) + field(17)) * 1_000_000) / units.ticksPerSecond,
      rssBytes: field(24) * units.pageBytes,
      marker
    }
  }
}

const add = <K>(lists: Map<K, Array<Used>>, key: K, used: Used): void => {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [used])
  else list.push(used)
}

const MARKER = `${SESSION_MARKER}=`

const markerOf = (pid: string): string => {
  let environment: string
  try {
    environment = readFileSync(`/proc/${pid}/environ`, "latin1").slice(0, ENVIRONMENT_BYTES_MAX)
  } catch {
    // Another user's, or gone.
    return ""
  }
  const at = environment.startsWith(MARKER) ? 0 : environment.indexOf(`\0${MARKER}`) + 1
  if (at === 0 && !environment.startsWith(MARKER)) return ""
  return environment.slice(at + MARKER.length).split("\0", 1)[0]!
}

interface KernelUnits {
  readonly ticksPerSecond: number
  readonly pageBytes: number
}

/** Entries of the auxiliary vector that the kernel gives every process: getauxval(3). */
const AT_PAGESZ = 6n
const AT_CLKTCK = 17n

const readKernelUnits = (): KernelUnits | undefined => {
  let vector: Buffer
  try {
    vector = readFileSync("/proc/self/auxv")
  } catch {
    return undefined
  }
  let ticksPerSecond = 100
  let pageBytes = 4096
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    const type = vector.readBigUInt64LE(at)
    const value = Number(vector.readBigUInt64LE(at + 8))
    if (type === AT_PAGESZ) pageBytes = value
    if (type === AT_CLKTCK) ticksPerSecond = value
  }
  return { ticksPerSecond, pageBytes }
}

/** Read when this is loaded: a process that has forbidden dumps of itself, and is not root, may not read it any more. */
const kernelUnits = readKernelUnits()
