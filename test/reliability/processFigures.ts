/** What the kernel tells of a process: what it uses and what it holds. Used by the tests of this folder; it changes nothing. */
import { readdirSync, readFileSync } from "node:fs"

/** Of a clock tick in /proc: Linux has shown hundredths of a second to programs since ever. */
const TICK_MILLIS = 10

/** Processor time since its start, in milliseconds. */
export const cpuMillisOf = (pid: number): number => {
  const line = readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = line.slice(line.lastIndexOf(") ") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * TICK_MILLIS
}

const statusOf = (pid: number, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1])

export const residentBytesOf = (pid: number): number => statusOf(pid, "VmRSS") * 1024

export const threadsOf = (pid: number): number => statusOf(pid, "Threads")

export const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** Children that ended and that nobody collected. */
export const zombiesOf = (pid: number): number =>
  readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      const line = readFileSync(`/proc/${name}/stat`, "latin1")
      const [state, parent] = line.slice(line.lastIndexOf(") ") + 2).split(" ")
      return state === "Z" && Number(parent) === pid
    } catch {
      return false
    }
  }).length

export const MIB = 1024 * 1024
