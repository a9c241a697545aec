/**
 * Exports of a session of a gigabyte as recordings, each in a process of its own that reads the store without an engine:
 * MB of the session's output a second, and the most memory the process had.
 */
import { rmSync } from "node:fs"
import { storePaths } from "../../src/session/StorePaths.ts"
import { figure, type Report } from "./Report.ts"
import type { Workspace } from "./Workspace.ts"

const SESSION_BYTES = 1_000_000_000
const BYTES_PER_MB = 1e6
const BYTES_PER_MIB = 2 ** 20
const AIM_MB_PER_SECOND = 50
const AIM_MIB = 200
/** With an aim, then those that are only told. */
const FORMATS = ["asciicast", "ttyrec", "asciicast3", "script", "asciicast-segmented"] as const
const FORMATS_WITH_AIM: ReadonlyArray<string> = ["asciicast", "ttyrec"]

export const recordings = async (workspace: Workspace): Promise<Report> => {
  const { store } = storePaths(workspace.newFolder("recordings"))
  const { session } = await workspace.program<{ session: string }>("buildRecording", [store, String(SESSION_BYTES)])
  const found: Array<{ readonly format: string; readonly speed: number; readonly mebibytes: number }> = []
  for (const format of FORMATS) {
    const out = workspace.path(`out.${format}`)
    const { millis, peakBytes } = await workspace.program<{ millis: number; peakBytes: number }>("exportSpeed", [
      store,
      session,
      format,
      out
    ])
    rmSync(out, { recursive: true, force: true })
    found.push({
      format,
      speed: SESSION_BYTES / BYTES_PER_MB / (millis / 1000),
      mebibytes: peakBytes / BYTES_PER_MIB
    })
  }
  rmSync(store, { recursive: true, force: true })
  return {
    tables: [
      {
        title: "Export of a session of 1 GB",
        columns: ["format", "MB/s", "most memory, MiB"],
        rows: found.map(({ format, mebibytes, speed }) => [format, figure(speed), figure(mebibytes)])
      }
    ],
    aims: found
      .filter(({ format }) => FORMATS_WITH_AIM.includes(format))
      .flatMap(({ format, mebibytes, speed }) => [
        {
          aim: `${format}: at least ${AIM_MB_PER_SECOND} MB/s`,
          measured: `${figure(speed)} MB/s`,
          holds: speed >= AIM_MB_PER_SECOND
        },
        { aim: `${format}: less than ${AIM_MIB} MiB`, measured: `${figure(mebibytes)} MiB`, holds: mebibytes < AIM_MIB }
      ]),
    notes: ["with opening the store, writing the file and its fsync; without the start of Node"]
  }
}
