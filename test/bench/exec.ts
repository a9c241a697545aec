/**
 * Commands in persistent shells: how long one that does nothing takes, beside a fresh `bash -c true`, through the service
 * in a process and through the engine's socket; 10 MB of output, a reset, a shell with many functions, and what a command
 * leaves in memory and journal.
 */
import { figure, median, percentile, type Report } from "./Report.ts"
import { Store } from "./Store.ts"
import { hasProgram, type Workspace } from "./Workspace.ts"

const BASH_COUNT = 1000
const OTHER_COUNT = 300
const GROWTH_COUNT = 10_000
const OUTPUT_ROUNDS = 7
const RESETS = 9
const FUNCTIONS = [0, 300, 3000] as const
const FUNCTIONS_COUNT = 100
/** `--version` tells which are there. */
const LANGUAGES = { bash: "bash", zsh: "zsh", python: "python3", node: "node" } as const
const NOOP_AIM_MILLIS = 3
const OUTPUT_AIM_MILLIS = 500
const RESET_AIM_MILLIS = 1000

interface Noop {
  readonly startMillis: number
  readonly samples: ReadonlyArray<number>
  readonly fresh: ReadonlyArray<number>
}
interface Output {
  readonly name: string
  readonly millis: ReadonlyArray<number>
  readonly intact: boolean
}
interface Look {
  readonly rss: number
  readonly journal: number
}

export const exec = async (workspace: Workspace): Promise<Report> => {
  const notes = [
    "service: the built library in one process, its keeper in another, durability process",
    "fresh bash: spawned by the same process in turn, in blocks of 50, until its streams are closed"
  ]
  /** Each in a store of its own, so that nobody's history is in another's figures. */
  const service = async <A>(...args: ReadonlyArray<string>): Promise<A> => {
    const store = new Store(workspace, workspace.newFolder("exec"))
    return workspace.program<A>("commands", ["service", store.paths.store, ...args])
  }
  const rows: Array<ReadonlyArray<string>> = []
  const aims: Array<Report["aims"][number]> = []
  const row = (name: string, samples: ReadonlyArray<number>, start?: number) =>
    rows.push([
      name,
      ...[0.5, 0.9, 0.99].map((share) => figure(percentile(samples, share))),
      start === undefined ? "" : figure(start)
    ])
  for (const [language, program] of Object.entries(LANGUAGES)) {
    if (!hasProgram(program, "--version")) {
      notes.push(`${program} is not installed: not measured`)
      continue
    }
    const count = language === "bash" ? BASH_COUNT : OTHER_COUNT
    const { fresh, samples, startMillis } = await service<Noop>("noop", language, String(count))
    const p50 = percentile(samples, 0.5)
    row(`${language}, a command that does nothing`, samples, startMillis)
    // Nothing was promised of zsh.
    if (language !== "zsh")
      aims.push({
        aim: `exec in ${language}: p50 is at most ${NOOP_AIM_MILLIS} ms`,
        measured: `${figure(p50)} ms`,
        holds: p50 <= NOOP_AIM_MILLIS
      })
    if (fresh.length === 0) continue
    const freshP50 = percentile(fresh, 0.5)
    row("bash -c true, fresh", fresh)
    aims.push({
      aim: "exec in bash: p50 is below a fresh bash -c true",
      measured: `${figure(p50 / freshP50)} of it`,
      holds: p50 < freshP50
    })
  }
  const store = new Store(workspace, workspace.newFolder("exec"))
  await store.start()
  const remote = await workspace.program<Noop>("commands", [
    "socket",
    store.paths.store,
    "noop",
    "bash",
    String(BASH_COUNT)
  ])
  await store.stop()
  row("bash, through the engine's socket", remote.samples, remote.startMillis)
  for (const functions of FUNCTIONS) {
    const samples = await service<Array<number>>("functions", String(FUNCTIONS_COUNT), String(functions))
    row(`bash, with ${functions} functions`, samples)
  }
  const outputs = await service<Array<Output>>("output", String(OUTPUT_ROUNDS))
  const resets = await service<Array<number>>("reset", String(RESETS))
  const { after, before } = await service<{ before: Look; after: Look }>("growth", String(GROWTH_COUNT))
  for (const { intact, millis, name } of outputs) {
    const middle = median(millis)
    aims.push({
      aim: `10 MB of ${name} are exact in less than ${OUTPUT_AIM_MILLIS} ms`,
      measured: `${figure(middle)} ms, ${intact ? "all, sha256 equal" : "NOT what was printed"}`,
      holds: intact && middle < OUTPUT_AIM_MILLIS
    })
  }
  const reset = median(resets)
  aims.push({
    aim: `a reset takes less than ${RESET_AIM_MILLIS} ms`,
    measured: `${figure(reset)} ms`,
    holds: reset < RESET_AIM_MILLIS
  })
  return {
    tables: [
      { title: "Commands, milliseconds", columns: ["way", "p50", "p90", "p99", "first start"], rows },
      {
        title: "Other times of a shell, milliseconds",
        columns: ["what", "median", "slowest"],
        rows: [
          ...outputs.map(({ millis, name }) => [
            `10 MB of ${name}`,
            figure(median(millis)),
            figure(Math.max(...millis))
          ]),
          ["reset", figure(reset), figure(Math.max(...resets))]
        ]
      },
      {
        title: `What ${GROWTH_COUNT} commands leave`,
        columns: ["what", "before", "after", "a command"],
        rows: [
          ["RSS of the process, MiB", figure(before.rss), figure(after.rss), ""],
          [
            "bytes of the journal",
            String(before.journal),
            String(after.journal),
            figure((after.journal - before.journal) / GROWTH_COUNT)
          ]
        ]
      }
    ],
    aims,
    notes
  }
}
