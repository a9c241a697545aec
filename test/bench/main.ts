/**
 * The benchmarks behind the figures this project claims. `npm run bench` runs all of them; `--only NAME` (throughput,
 * echo, exec, doors, disk, encryption, memory, opening, start, attach, export, verify, search, seek), `--rounds N` of the throughput,
 * `--search-bytes N` of the session that is searched, and `--json FILE` for machines.
 * Everything happens in one temporary folder that is removed at the end, after a failure and after a signal. Not run by
 * the tests: figures belong to a machine, so machine, date and versions are printed with them. A missed aim is printed
 * and is no failure.
 */
import { statfsSync, writeFileSync } from "node:fs"
import { arch, cpus, loadavg, release, totalmem, type } from "node:os"
import { numberOption, scriptOptions } from "../fixtures/scriptOptions.ts"
import { attach } from "./attachScreen.ts"
import { disk } from "./disk.ts"
import { doors } from "./doors.ts"
import { echo } from "./echo.ts"
import { encryption } from "./encryption.ts"
import { exec } from "./exec.ts"
import { exports } from "./export.ts"
import { memory } from "./memory.ts"
import { opening } from "./opening.ts"
import { aimText, type Report, tableText } from "./Report.ts"
import { search } from "./search.ts"
import { seek } from "./seek.ts"
import { start } from "./start.ts"
import { throughput } from "./throughput.ts"
import { verify } from "./verify.ts"
import { Workspace } from "./Workspace.ts"

const ROUNDS_DEFAULT = 5
/** The claim is about a gigabyte. */
const SEARCH_BYTES_DEFAULT = 1_000_000_000
const BYTES_PER_GIB = 2 ** 30
/** 128 + SIGINT, as a shell tells it. */
const INTERRUPTED_EXIT_CODE = 130
/** `f_type` of the file systems whose speed says nothing about a disk. */
const MEMORY_FILE_SYSTEMS = new Map([
  [0x01021994, "tmpfs"],
  [0x858458f6, "ramfs"]
])

const USAGE = `npm run bench -- [--only NAME] [--rounds N] [--search-bytes N] [--json FILE]

  --only NAME       start, echo, exec, doors, throughput, disk, encryption, memory, opening, attach, export, verify, search, seek
  --rounds N        of throughput and encryption (default: ${ROUNDS_DEFAULT})
  --search-bytes N  of the session that is searched (default: ${SEARCH_BYTES_DEFAULT})
  --json FILE       the figures, for machines`

const options = scriptOptions(USAGE, {
  only: { type: "string" },
  json: { type: "string" },
  rounds: { type: "string" },
  "search-bytes": { type: "string" }
})
const rounds = numberOption(USAGE, "rounds", options.rounds, 1) ?? ROUNDS_DEFAULT
const searchBytes = numberOption(USAGE, "search-bytes", options["search-bytes"], 1_000_000) ?? SEARCH_BYTES_DEFAULT

const measurements: Readonly<Record<string, (workspace: Workspace) => Promise<Report>>> = {
  start,
  echo,
  exec,
  doors,
  throughput: (workspace) => throughput(workspace, rounds),
  disk,
  encryption: (workspace) => encryption(workspace, rounds),
  memory,
  opening,
  attach,
  export: exports,
  verify,
  search: (workspace) => search(workspace, searchBytes),
  seek
}

const machine = (folder: string) => ({
  machine: `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / BYTES_PER_GIB)} GiB, ${arch()}`,
  system: `${type()} ${release()}`,
  temporaryFiles: MEMORY_FILE_SYSTEMS.get(statfsSync(folder).type) ?? "on a disk",
  date: new Date().toISOString(),
  node: process.versions.node,
  libuv: process.versions.uv,
  loadBefore: loadavg()[0]!.toFixed(2)
})

const say = (text: string) => process.stdout.write(`${text}\n`)

const main = async (): Promise<void> => {
  const names = options.only === undefined ? Object.keys(measurements) : options.only.split(",")
  const unknown = names.find((name) => !Object.hasOwn(measurements, name))
  if (unknown !== undefined) {
    process.stderr.write(`there is no ${JSON.stringify(unknown)}\n\n${USAGE}\n`)
    process.exitCode = 2
    return
  }
  const workspace = new Workspace()
  let interrupted = false
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, async () => {
      if (interrupted) return
      interrupted = true
      await workspace.dispose()
      process.exit(INTERRUPTED_EXIT_CODE)
    })
  }
  try {
    const about = machine(workspace.folder)
    for (const [name, value] of Object.entries(about)) say(`${`${name}:`.padEnd(16)}${value}`)
    const reports: Record<string, Report> = {}
    for (const name of names) {
      const report = await measurements[name]!(workspace)
      reports[name] = report
      for (const table of report.tables) say(`\n${tableText(table)}`)
      for (const note of report.notes) say(`  ${note}`)
    }
    say("\nAims")
    for (const { aims } of Object.values(reports)) for (const aim of aims) say(aimText(aim))
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ ...about, reports }, null, 2)}\n`)
  } catch (error) {
    // What was ended for a signal fails; that is no news.
    if (!interrupted) {
      process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`)
      process.exitCode = 1
    }
  } finally {
    // The one that the signal began goes on.
    if (interrupted) await new Promise(() => {})
    await workspace.dispose()
  }
}

await main()
