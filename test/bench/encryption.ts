/**
 * What encryption costs: the same log lines through an engine with a plain store and one with an encrypted store, one after
 * the other in each round. The ratios are of the same round, and their median is told.
 */
import { rmSync, writeFileSync } from "node:fs"
import { writeLogLines } from "./logLines.ts"
import { figure, median, type Report } from "./Report.ts"
import { cpuMillis, Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

const SAMPLE_BYTES = 50_000_000
const BYTES_PER_MB = 1e6

interface Sample {
  readonly millis: number
  readonly cpuMillis: number
  readonly intact: boolean
}

export const encryption = async (workspace: Workspace, rounds: number): Promise<Report> => {
  const log = writeLogLines(workspace.path("encryption.log"), SAMPLE_BYTES)
  const file = workspace.path("store.key")
  writeFileSync(file, Buffer.alloc(32, 7), { mode: 0o600 })
  const ways = ["plain", "encrypted"].map((name) => ({
    name,
    store: new Store(workspace, workspace.newFolder(name), name === "plain" ? undefined : { file }),
    samples: [] as Array<Sample>,
    bytes: 0
  }))
  for (const { store } of ways) {
    await store.start()
    // Starts the keeper, and compiles what a flood needs.
    await workspace.program("engineClient", ["flood", store.paths.store, "-", "cat", log.file])
  }
  for (let round = 0; round < rounds; round++) {
    for (const { samples, store } of ways) {
      const processes = await store.processes()
      const before = processes.map(cpuMillis)
      const { intact, millis } = await workspace.program<Sample>("engineClient", [
        "flood",
        store.paths.store,
        log.terminalSha256,
        "cat",
        log.file
      ])
      const spent = processes.map((pid, index) => cpuMillis(pid) - before[index]!)
      samples.push({ intact, millis, cpuMillis: spent.reduce((sum, one) => sum + one, 0) })
    }
  }
  for (const way of ways) {
    await way.store.stop()
    way.bytes = way.store.journalBytes()
    rmSync(way.store.paths.store, { recursive: true, force: true })
  }
  rmSync(log.file)
  const [plain, encrypted] = ways as [(typeof ways)[number], (typeof ways)[number]]
  const ratio = (of: (sample: Sample) => number) =>
    median(encrypted.samples.map((sample, round) => of(sample) / of(plain.samples[round]!)))
  return {
    tables: [
      {
        title: "A flood into a plain and into an encrypted store",
        columns: ["store", "MB/s", "CPU, ms", "bytes on disk for a byte", "bytes"],
        rows: ways.map(({ bytes, name, samples }) => [
          name,
          figure(median(samples.map(({ millis }) => log.bytes / BYTES_PER_MB / (millis / 1000)))),
          figure(median(samples.map((sample) => sample.cpuMillis))),
          figure(bytes / (log.terminalBytes * (rounds + 1))),
          samples.every(({ intact }) => intact) ? "all, sha256 equal" : "WRONG BYTES"
        ])
      }
    ],
    aims: [],
    notes: [
      `rounds: ${rounds}, in turn; ${log.bytes} bytes each; CPU of engine and keeper, with reading everything back`,
      `encrypted to plain, of the same round: ${figure(1 / ratio(({ millis }) => millis))} of the throughput, ` +
        `${figure(ratio((sample) => sample.cpuMillis))} of the processor time`
    ]
  }
}
