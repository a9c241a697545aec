/** `reprise verify` of a sealed session of a gigabyte, beside `sha256sum` over the same bytes as a recording. */
import { rmSync } from "node:fs"
import { type Measured, measuredRun } from "./measuredRun.ts"
import { figure, type Report } from "./Report.ts"
import { RECORDED_BYTES, recordedStore } from "./recordedStore.ts"
import { commandLine } from "./Store.ts"
import { hasProgram, type Workspace } from "./Workspace.ts"

const BYTES_PER_MB = 1e6
const AIM_MB_PER_SECOND = 100

export const verify = async (workspace: Workspace): Promise<Report> => {
  const { session, store } = await recordedStore(workspace)
  const environment = { REPRISE_HOME: store.paths.store }
  const run = (args: ReadonlyArray<string>) =>
    measuredRun(workspace, process.execPath, [commandLine, ...args], environment)
  const verified = await run(["verify", session])
  const out = workspace.path("out.ttyrec")
  await run(["export", session, "--format", "ttyrec", "--out", out])
  const summed = hasProgram("sha256sum", "--version") ? await measuredRun(workspace, "sha256sum", [out]) : undefined
  rmSync(out)
  const row = (name: string, { cpuMillis, millis, peakBytes }: Measured) => [
    name,
    figure(speed(millis)),
    figure(cpuMillis / 1000),
    figure(peakBytes / BYTES_PER_MB)
  ]
  return {
    tables: [
      {
        title: "Verifying a session of 1 GB",
        columns: ["command", "MB/s", "CPU, s", "most memory, MB"],
        rows: [
          row("reprise verify SESSION", verified),
          ...(summed === undefined ? [] : [row("sha256sum of its ttyrec", summed)])
        ]
      }
    ],
    aims: [
      {
        aim: `verify of 1 GB: at least ${AIM_MB_PER_SECOND} MB/s`,
        measured: `${figure(speed(verified.millis))} MB/s`,
        holds: speed(verified.millis) >= AIM_MB_PER_SECOND
      }
    ],
    notes: ["MB of the session's output; each event's checksum, its sealed hash, the tree, the signatures"]
  }
}

const speed = (millis: number): number => RECORDED_BYTES / BYTES_PER_MB / (millis / 1000)
