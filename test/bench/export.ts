/**
 * Exports of a session of a gigabyte as recordings, as `reprise export` writes them without an engine: MB of the session's
 * output a second, processor time, and the most memory of the whole process. Beside it the players of the same files.
 */
import { spawnSync } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { type Measured, measuredRun } from "./measuredRun.ts"
import { figure, type Report } from "./Report.ts"
import { RECORDED_BYTES, recordedStore } from "./recordedStore.ts"
import { commandLine } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

const BYTES_PER_MB = 1e6
const AIM_MB_PER_SECOND = 50
const AIM_MB = 200

interface Format {
  readonly name: string
  /** With an aim, or only told. */
  readonly hasAim: boolean
  /** Who reads the file, as fast as it can. */
  readonly peer: {
    readonly name: string
    readonly versionFlag: string
    readonly args: (out: string) => ReadonlyArray<string>
    /** It wants a terminal, which `script` has: of it only the time is known. */
    readonly needsTerminal?: true
  }
}

const FORMATS: ReadonlyArray<Format> = [
  {
    name: "asciicast",
    hasAim: true,
    peer: { name: "asciinema", versionFlag: "--version", args: (out) => ["cat", out], needsTerminal: true }
  },
  { name: "ttyrec", hasAim: true, peer: { name: "ttyplay", versionFlag: "-h", args: (out) => ["-n", out] } },
  {
    name: "script",
    hasAim: false,
    peer: {
      name: "scriptreplay",
      versionFlag: "--version",
      args: (out) => ["-m", "0", "-T", join(out, "timing"), "-O", join(out, "typescript")]
    }
  }
]

export const exports = async (workspace: Workspace): Promise<Report> => {
  const { session, store } = await recordedStore(workspace)
  const rows: Array<ReadonlyArray<string>> = []
  const aims: Array<Report["aims"][number]> = []
  const missing: Array<string> = []
  const row = (name: string, { cpuMillis, millis, peakBytes }: Measured) =>
    rows.push([name, figure(speed(millis)), figure(cpuMillis / 1000), figure(peakBytes / BYTES_PER_MB)])
  for (const { hasAim, name, peer } of FORMATS) {
    const out = workspace.path(`out.${name}`)
    const args = [commandLine, "export", session, "--format", name, "--out", out]
    const measured = await measuredRun(workspace, process.execPath, args, { REPRISE_HOME: store.paths.store })
    row(`reprise export --format ${name}`, measured)
    if (isThere(peer.name, peer.versionFlag)) {
      row(`${peer.name} ${peer.needsTerminal ? "cat " : ""}of that file`, await played(workspace, peer, out))
    } else missing.push(peer.name)
    rmSync(out, { recursive: true, force: true })
    if (!hasAim) continue
    const fast = speed(measured.millis)
    const megabytes = measured.peakBytes / BYTES_PER_MB
    aims.push(
      {
        aim: `export of 1 GB as ${name}: at least ${AIM_MB_PER_SECOND} MB/s`,
        measured: `${figure(fast)} MB/s`,
        holds: fast >= AIM_MB_PER_SECOND
      },
      {
        aim: `export of 1 GB as ${name}: the whole process below ${AIM_MB} MB`,
        measured: `${figure(megabytes)} MB`,
        holds: megabytes < AIM_MB
      }
    )
  }
  return {
    tables: [{ title: "Export of a session of 1 GB", columns: ["command", "MB/s", "CPU, s", "most memory, MB"], rows }],
    aims,
    notes: [
      "MB of the session's output; whole commands with their start, opening the store, writing the file and its fsync",
      "memory: VmHWM, with mapped files",
      ...missing.map((command) => `${command} is not installed`)
    ]
  }
}

/** Some know no flag that ends well, so only whether they can be started is asked. */
const isThere = (name: string, flag: string): boolean =>
  spawnSync(name, [flag], { stdio: "ignore" }).error === undefined

const played = async (workspace: Workspace, peer: Format["peer"], out: string): Promise<Measured> => {
  const args = peer.args(out)
  if (!peer.needsTerminal) return measuredRun(workspace, peer.name, args)
  // Names of this run's own: nothing in them has to be quoted.
  const line = `${peer.name} ${args.join(" ")} > /dev/null`
  const { millis } = await measuredRun(workspace, "script", ["-qec", line, "/dev/null"])
  return { millis, cpuMillis: Number.NaN, peakBytes: Number.NaN }
}

const speed = (millis: number): number => RECORDED_BYTES / BYTES_PER_MB / (millis / 1000)
