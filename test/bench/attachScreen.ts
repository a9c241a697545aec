/**
 * Attaching to a session: the time until the first screen is there as bytes, beside the length of the session's history,
 * and how the drawing in the background keeps up with a flood. The first screen must not depend on the history.
 */
import { rmSync } from "node:fs"
import { coloredLine, plainLine, writeLogLines } from "./logLines.ts"
import { figure, median, type Report } from "./Report.ts"
import type { Workspace } from "./Workspace.ts"

const KINDS = { plain: plainLine, colored: coloredLine } as const
const HISTORIES = [
  ["1 KB", 1e3],
  ["1 MB", 1e6],
  ["100 MB", 1e8],
  ["1 GB", 1e9]
] as const
/** A log of a twentieth of the flood, printed that often. */
const LOG_BYTES = 5e7
const LOG_REPEATS = 20
const BYTES_PER_MB = 1e6
const AIM_MILLIS = 100
const AIM_RATIO = 2

interface Attached {
  readonly drawn: number
  readonly cold: number
  readonly first: ReadonlyArray<number>
  readonly again: ReadonlyArray<number>
  readonly dataBytes: number
  readonly isHead: boolean
}

interface Flooded {
  readonly flood: number
  readonly outputBytes: number
  readonly behind: number
  readonly caughtUp: number
  readonly attach: number
  readonly isHead: boolean
}

export const attach = async (workspace: Workspace): Promise<Report> => {
  const histories: Array<readonly [string, Attached]> = []
  const floods: Array<readonly [string, Flooded]> = []
  const aims: Array<Report["aims"][number]> = []
  for (const [kind, lineOf] of Object.entries(KINDS)) {
    const firsts: Array<number> = []
    for (const [name, bytes] of HISTORIES) {
      const store = workspace.newFolder("attach")
      const attached = await workspace.program<Attached>("attachHistory", [store, kind, String(bytes)])
      histories.push([`${name}, ${kind}`, attached])
      firsts.push(median(attached.first))
      rmSync(store, { recursive: true, force: true })
    }
    aims.push(
      {
        aim: `1 GB, ${kind}: the first screen takes less than ${AIM_MILLIS} ms`,
        measured: `${figure(firsts.at(-1)!)} ms`,
        holds: firsts.at(-1)! < AIM_MILLIS
      },
      {
        aim: `1 GB, ${kind}: the first screen takes less than ${AIM_RATIO} times what it takes of 1 KB`,
        measured: figure(firsts.at(-1)! / firsts[0]!),
        holds: firsts.at(-1)! < AIM_RATIO * firsts[0]!
      }
    )
    const log = writeLogLines(workspace.path("attach.log"), LOG_BYTES, lineOf)
    const store = workspace.newFolder("attach")
    workspace.mark(store)
    floods.push([kind, await workspace.program<Flooded>("attachFlood", [store, log.file, String(LOG_REPEATS)])])
    rmSync(store, { recursive: true, force: true })
    rmSync(log.file, { force: true })
  }
  return {
    tables: [
      {
        title: "The first screen of a session, milliseconds",
        columns: ["history", "first look", "next look", "with the thread's start", "bytes sent", "drawn before in"],
        rows: histories.map(([name, attached]) => [
          attached.isHead ? name : `${name} (NOT THE HEAD)`,
          figure(median(attached.first)),
          figure(median(attached.again)),
          figure(attached.cold),
          String(attached.dataBytes),
          figure(attached.drawn)
        ])
      },
      {
        title: "Drawing in the background, after a flood of 1 GB",
        columns: ["output", "flood, MB/s", "behind at its end, MB", "caught up after, ms", "attach then, ms"],
        rows: floods.map(([name, flood]) => [
          flood.isHead ? name : `${name} (NOT THE HEAD)`,
          figure(flood.outputBytes / BYTES_PER_MB / (flood.flood / 1000)),
          figure(flood.behind / BYTES_PER_MB),
          figure(flood.caughtUp),
          figure(flood.attach)
        ])
      }
    ],
    aims,
    notes: [
      "first look: nobody has looked at the session before, but at another one in the last minute; median of 15",
      "the bytes draw 24 lines and up to 256 above them, and were tried on a second emulator before they were given out"
    ]
  }
}
