/**
 * Replay: jumps to random places of a session, forward and backward, beside the length of its history. Where a jump goes
 * must not matter, nor how long the history is.
 */
import { rmSync } from "node:fs"
import { figure, median, percentile, type Report } from "./Report.ts"
import type { Workspace } from "./Workspace.ts"

const HISTORIES = [
  ["1 MB", 1e6],
  ["1 GB", 1e9]
] as const
const AIM_MILLIS = 100

interface Jumps {
  readonly forward: ReadonlyArray<number>
  readonly backward: ReadonlyArray<number>
  readonly inexact: number
  readonly events: number
  /** Processor time of each jump, of all threads. */
  readonly cpuMillis: ReadonlyArray<number>
}

export const seek = async (workspace: Workspace): Promise<Report> => {
  const rows: Array<ReadonlyArray<string>> = []
  const aims: Array<Report["aims"][number]> = []
  for (const kind of ["plain", "colored"]) {
    for (const [name, bytes] of HISTORIES) {
      const store = workspace.newFolder("seek")
      const jumps = await workspace.program<Jumps>("seekHistory", [store, kind, String(bytes)])
      rmSync(store, { recursive: true, force: true })
      for (const way of ["forward", "backward"] as const) {
        const p95 = percentile(jumps[way], 0.95)
        const title = `${name}, ${kind}, ${way}${jumps.inexact > 0 ? ` (${jumps.inexact} NOT THE PLACE)` : ""}`
        rows.push([
          title,
          figure(median(jumps[way])),
          figure(p95),
          figure(Math.max(...jumps[way])),
          figure(percentile(jumps.cpuMillis, 0.95)),
          String(jumps.events)
        ])
        if (bytes !== 1e9) continue
        const aim = `1 GB, ${kind}: a jump ${way} takes less than ${AIM_MILLIS} ms (p95)`
        aims.push({ aim, measured: `${figure(p95)} ms`, holds: p95 < AIM_MILLIS && jumps.inexact === 0 })
      }
    }
  }
  return {
    tables: [
      {
        title: "A jump to a random place of a session, milliseconds",
        columns: ["history", "p50", "p95", "max", "CPU, p95", "events"],
        rows
      }
    ],
    aims,
    notes: ["the screen of an event as bytes, through History; 200 jumps each, drawn in the background before"]
  }
}
