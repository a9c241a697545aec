/**
 * Throughput: the same 100 MB of coloured log lines through raw node-pty, `script`, and reprise, one after the other
 * in each round, so that a busy machine is busy for all of them. A figure is MB of the program's output a second; the
 * ratio is to raw node-pty of the same round, and the median of the rounds' ratios is told.
 */
import { existsSync, rmSync, statSync } from "node:fs"
import { writeLogLines } from "./logLines.ts"
import { figure, median, type Report } from "./Report.ts"
import { cpuMillis, Store } from "./Store.ts"
import { hasProgram, type Workspace } from "./Workspace.ts"

export const LOG_BYTES = 100_000_000
const AIM_OF_RAW = 0.95
const BYTES_PER_MB = 1e6

interface Sample {
  readonly millis: number
  /** undefined where nobody counts them. */
  readonly outputBytes?: number
  readonly intact?: boolean
  /** Of engine and keeper, with the summary after the end and the reading of what was written. */
  readonly cpuMillis?: number
}
interface Way {
  readonly name: string
  readonly samples: Array<Sample>
  readonly run: () => Promise<Sample>
}

interface Flood {
  readonly millis: number
  readonly outputBytes: number
  readonly summaryMillis: number
  readonly intact: boolean
}

export const throughput = async (workspace: Workspace, rounds: number): Promise<Report> => {
  const log = writeLogLines(workspace.path("lines.log"), LOG_BYTES)
  const notes: Array<string> = []
  const stores: Array<Store> = []
  const engine = async (durability: "process" | "power") => {
    const store = new Store(workspace, workspace.newFolder("throughput"))
    stores.push(store)
    await store.start(durability)
    // Starts the keeper, which every later session finds.
    await workspace.program("engineClient", ["flood", store.paths.store, "-", "true"])
    return store
  }
  const processStore = await engine("process")
  const powerStore = await engine("power")
  const summaryMillis: Array<number> = []
  const through = (store: Store) => async () => {
    const processes = await store.processes()
    const before = processes.map(cpuMillis)
    const sample = await workspace.program<Flood>("engineClient", [
      "flood",
      store.paths.store,
      log.terminalSha256,
      "cat",
      log.file
    ])
    summaryMillis.push(sample.summaryMillis)
    const spent = processes.map((pid, index) => cpuMillis(pid) - before[index]!)
    return { ...sample, cpuMillis: spent.reduce((total, millis) => total + millis, 0) }
  }
  const throughCommandLine =
    (args: ReadonlyArray<string>): Way["run"] =>
    async () => {
      const { code, millis, stderr } = await processStore.reprise(args, { stdio: ["ignore", "ignore", "pipe"] })
      if (code !== 0) throw new Error(`reprise ${args[0]} ended with ${code}: ${stderr.trim()}`)
      return { millis }
    }
  const ways: Array<Way> = []
  const add = (name: string, run: Way["run"]) => ways.push({ name, samples: [], run })
  add("raw node-pty", () => workspace.program<Sample>("rawPty", ["flood", "cat", log.file]))
  if (hasProgram("script", "--version")) {
    add("script -qc 'cat FILE' OUT", async () => {
      const out = workspace.path("script.out")
      const { code, millis } = await workspace.run("script", ["-qc", `cat ${log.file}`, out], {
        stdio: ["ignore", "ignore", "pipe"]
      })
      if (code !== 0) throw new Error(`script ended with ${code}`)
      const outputBytes = existsSync(out) ? statSync(out).size : 0
      rmSync(out, { force: true })
      // Two lines of its own are around the output.
      return { millis, outputBytes: Math.min(outputBytes, log.terminalBytes) }
    })
  } else notes.push("script (util-linux) is not installed: not measured")
  add("reprise, process", through(processStore))
  add("reprise, power", through(powerStore))
  add("reprise run -- cat FILE > /dev/null", throughCommandLine(["run", "--", "cat", log.file]))
  add("reprise replay last > /dev/null", throughCommandLine(["replay", "last"]))

  for (let round = 0; round < rounds; round++) for (const way of ways) way.samples.push(await way.run())
  for (const store of stores) await store.stop()
  for (const store of stores) rmSync(store.paths.store, { recursive: true, force: true })

  const raw = ways[0]!
  const ratio = (way: Way) => median(way.samples.map(({ millis }, round) => raw.samples[round]!.millis / millis))
  const speed = (way: Way) => median(way.samples.map(({ millis }) => log.bytes / BYTES_PER_MB / (millis / 1000)))
  const bytesOf = ({ samples }: Way): string => {
    if (samples.some(({ intact }) => intact === false)) return "WRONG BYTES"
    if (samples.some(({ intact }) => intact === true)) return "all, sha256 equal"
    const counted = samples.flatMap(({ outputBytes }) => outputBytes ?? [])
    if (counted.length === 0) return "not counted"
    const least = Math.min(...counted)
    return least === log.terminalBytes ? "all" : `${log.terminalBytes - least} of ${log.terminalBytes} missing`
  }
  const found = (name: string) => ways.find((way) => way.name.startsWith(name))
  const reprise = found("reprise, process")!
  const script = found("script")
  const toScript = (way: Way) =>
    script === undefined
      ? Number.NaN
      : median(way.samples.map(({ millis }, round) => script.samples[round]!.millis / millis))
  notes.push(
    `rounds: ${rounds}; ${log.bytes} bytes of output, ${log.terminalBytes} in the terminal`,
    "the reprise run and replay rows include the start of the command; raw node-pty does not include the start of Node",
    "CPU: of engine and keeper, with that summary and with reading everything back to verify it",
    `the summary of a session is made once after its end: median ${figure(median(summaryMillis))} ms, not counted above`
  )
  return {
    tables: [
      {
        title: "Throughput of one session that floods",
        columns: ["way", "MB/s", "of raw", "of script", "CPU, ms", "bytes"],
        rows: ways.map((way) => [
          way.name,
          figure(speed(way)),
          figure(ratio(way)),
          figure(toScript(way)),
          figure(median(way.samples.map((sample) => sample.cpuMillis ?? Number.NaN))),
          bytesOf(way)
        ])
      }
    ],
    aims: [
      {
        aim: `throughput (process) is at least ${AIM_OF_RAW} of raw node-pty`,
        measured: figure(ratio(reprise)),
        holds: ratio(reprise) >= AIM_OF_RAW
      },
      ...(script === undefined
        ? []
        : [
            {
              aim: "throughput (process) is at least that of script",
              measured: figure(toScript(reprise)),
              holds: toScript(reprise) >= 1
            }
          ])
    ],
    notes
  }
}
