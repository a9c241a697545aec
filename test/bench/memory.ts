/** Memory of the engine and its keepers with no session and with 200 idle ones. */
import { readFileSync } from "node:fs"
import { figure, type Report } from "./Report.ts"
import { Store } from "./Store.ts"
import type { Workspace } from "./Workspace.ts"

const SESSIONS = 200
/** Until what creating them needed was given back. */
const SETTLE_MILLIS = 3000
const KIB_PER_MIB = 1024

interface Memory {
  readonly rss: number
  readonly privateDirty: number
}

/** MiB. */
const memoryOf = (pid: number): Memory => {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1")
  const field = (name: string) => Number(text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, "m"))?.[1]) / KIB_PER_MIB
  return { rss: field("Rss"), privateDirty: field("Private_Dirty") }
}
const sum = (parts: ReadonlyArray<Memory>): Memory => ({
  rss: parts.reduce((total, { rss }) => total + rss, 0),
  privateDirty: parts.reduce((total, { privateDirty }) => total + privateDirty, 0)
})

export const memory = async (workspace: Workspace): Promise<Report> => {
  if (process.platform !== "linux") return { tables: [], aims: [], notes: ["/proc is missing: memory is not measured"] }
  const store = new Store(workspace, workspace.newFolder("memory"))
  await store.start()
  // The first session starts a keeper, which stays.
  await workspace.program("engineClient", ["flood", store.paths.store, "-", "true"])
  const look = async () => {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MILLIS))
    const { enginePid, keepers } = await store.status()
    return { engine: memoryOf(enginePid), keepers: keepers.map(({ pid }) => memoryOf(pid)) }
  }
  const empty = await look()
  await workspace.program("engineClient", ["idle", store.paths.store, String(SESSIONS)])
  const full = await look()
  await store.stop()
  const row = (name: string, { privateDirty, rss }: Memory) => [name, figure(rss), figure(privateDirty)]
  const perSession = (from: Memory, to: Memory): Memory => ({
    rss: (to.rss - from.rss) / SESSIONS,
    privateDirty: (to.privateDirty - from.privateDirty) / SESSIONS
  })
  const keepersEmpty = sum(empty.keepers)
  const keepersFull = sum(full.keepers)
  return {
    tables: [
      {
        title: "Memory, MiB",
        columns: ["process", "RSS", "private dirty"],
        rows: [
          row("engine, 0 sessions", empty.engine),
          row(`keeper, 0 sessions (${empty.keepers.length})`, keepersEmpty),
          row(`engine, ${SESSIONS} idle sessions`, full.engine),
          row(`keepers, ${SESSIONS} idle sessions (${full.keepers.length})`, keepersFull),
          row("engine, a session", perSession(empty.engine, full.engine)),
          row("keepers, a session (with a part of a keeper)", perSession(keepersEmpty, keepersFull))
        ]
      }
    ],
    aims: [],
    notes: ["RSS counts pages that processes share (Node's own code) once for each process"]
  }
}
