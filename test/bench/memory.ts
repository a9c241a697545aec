/**
 * Very many idle sessions: what engine and keepers take of memory, descriptors and threads for each, how long creating,
 * taking back and ending them takes, and the echo of one of them. 1,000 are the engine's own limit.
 */
import { readdirSync, readFileSync } from "node:fs"
import { figure, percentile, type Report } from "./Report.ts"
import { Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

/** With a shell in each; the last one is the one that is typed into. */
const STEPS = [0, 64, 500, 999]
const SESSIONS = 1000
const IDLE_PROGRAM = ["bash", "--norc", "--noprofile"]
const KEYS = 500
/** Until an idle process has given back what creating sessions needed. */
const SETTLE_MILLIS = 15_000
const KIB_PER_MIB = 1024
const CREATE_AIM_MILLIS = 20_000
const SESSION_AIM_KIB = 200
const ECHO_AIM_MILLIS = 20
const RESTART_AIM_MILLIS = 5000

interface Memory {
  readonly pss: number
  readonly rss: number
  readonly privateDirty: number
  readonly threads: number
  readonly descriptors: number
}

/** Memory in MiB. */
const memoryOf = (pid: number): Memory => {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1")
  const field = (name: string) => Number(text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, "m"))?.[1]) / KIB_PER_MIB
  return {
    pss: field("Pss"),
    rss: field("Rss"),
    privateDirty: field("Private_Dirty"),
    threads: readdirSync(`/proc/${pid}/task`).length,
    descriptors: readdirSync(`/proc/${pid}/fd`).length
  }
}

const sum = (parts: ReadonlyArray<Memory>): Memory => {
  const total = (field: keyof Memory) => parts.reduce((all, part) => all + part[field], 0)
  return {
    pss: total("pss"),
    rss: total("rss"),
    privateDirty: total("privateDirty"),
    threads: total("threads"),
    descriptors: total("descriptors")
  }
}

const look = async (store: Store) => {
  const { enginePid, keepers } = await store.status()
  const pids = keepers.map(({ pid }) => pid)
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MILLIS))
  return { engine: memoryOf(enginePid), keepers: sum(pids.map(memoryOf)), keeperCount: pids.length }
}

const row = (name: string, { descriptors, privateDirty, pss, rss, threads }: Memory) => [
  name,
  figure(pss),
  figure(rss),
  figure(privateDirty),
  String(threads),
  String(descriptors)
]

export const memory = async (workspace: Workspace): Promise<Report> => {
  if (process.platform !== "linux") return { tables: [], aims: [], notes: ["/proc is missing: memory is not measured"] }
  const store = new Store(workspace, workspace.newFolder("memory"))
  await store.start()
  const rows: Array<ReadonlyArray<string>> = []
  const totals: Array<Memory> = []
  let createMillis = 0
  let sessions = 0
  const add = async () => {
    const { engine, keeperCount, keepers } = await look(store)
    rows.push(row(`engine, ${sessions} sessions`, engine))
    if (keeperCount > 0) rows.push(row(`keepers (${keeperCount}), ${sessions} sessions`, keepers))
    totals.push(sum([engine, keepers]))
  }
  for (const step of STEPS) {
    if (step > sessions) {
      const args = ["idle", store.paths.store, String(step - sessions), ...IDLE_PROGRAM]
      createMillis += (await workspace.program<{ readonly millis: number }>("engineClient", args)).millis
      sessions = step
    }
    await add()
  }
  const { samples } = await workspace.program<{ readonly samples: ReadonlyArray<number> }>("engineClient", [
    "echo",
    store.paths.store,
    String(KEYS)
  ])
  await store.kill()
  const killed = performance.now()
  await store.start()
  const readyMillis = performance.now() - killed
  await store.status()
  const answeredMillis = performance.now() - killed
  await add()
  rows.splice(-2, 2, ...rows.slice(-2).map(([name, ...cells]) => [`${name}, taken back`, ...cells]))
  const ended = performance.now()
  await store.stop()
  const stopMillis = performance.now() - ended
  const kibOf = (total: Memory) => (total.pss * KIB_PER_MIB) / sessions
  const full = totals[STEPS.length - 1]!
  const takenBack = totals[STEPS.length]!
  const few = totals[1]!
  const marginal = (field: "pss" | "rss") => ((full[field] - few[field]) * KIB_PER_MIB) / (sessions - STEPS[1]!)
  const echoP99 = percentile(samples, 0.99)
  const aim = (text: string, value: number, max: number, unit: string) => ({
    aim: text,
    measured: `${figure(value)} ${unit}`,
    holds: value < max
  })
  return {
    tables: [
      {
        title: "Memory of idle sessions, MiB",
        columns: ["processes", "PSS", "RSS", "private dirty", "threads", "descriptors"],
        rows
      },
      {
        title: `What ${sessions} idle sessions cost`,
        columns: ["what", "figure"],
        rows: [
          ["KiB of PSS for each", figure(kibOf(full))],
          ["KiB of PSS for each, taken back by another engine", figure(kibOf(takenBack))],
          [`KiB of PSS for each beyond ${STEPS[1]}`, figure(marginal("pss"))],
          [`KiB of RSS for each beyond ${STEPS[1]}`, figure(marginal("rss"))],
          ["creating them, s", figure(createMillis / 1000)],
          ["echo in one more, p50, ms", figure(percentile(samples, 0.5))],
          ["echo in one more, p99, ms", figure(echoP99)],
          ["engine killed: until the next is ready, s", figure(readyMillis / 1000)],
          ["engine killed: until a client is answered, s", figure(answeredMillis / 1000)],
          ["ending them (reprise stop --sessions), s", figure(stopMillis / 1000)]
        ]
      }
    ],
    aims: [
      aim(`${SESSIONS} sessions are created in less than 20 s`, createMillis / 1000, CREATE_AIM_MILLIS / 1000, "s"),
      aim(`each of ${SESSIONS} takes less than ${SESSION_AIM_KIB} KB`, kibOf(full), SESSION_AIM_KIB, "KiB"),
      aim(`echo p99 among ${SESSIONS} is below ${ECHO_AIM_MILLIS} ms`, echoP99, ECHO_AIM_MILLIS, "ms"),
      aim("all are taken back in less than 5 s", answeredMillis / 1000, RESTART_AIM_MILLIS / 1000, "s")
    ],
    notes: [
      `${IDLE_PROGRAM.join(" ")} in each; ${SETTLE_MILLIS / 1000} s after the last one was created`,
      "PSS counts a page that n processes share as 1/n in each, RSS as a whole one; the programs themselves do not count"
    ]
  }
}
