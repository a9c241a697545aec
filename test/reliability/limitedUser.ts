/**
 * A user who may run only so many processes, started as that user by LimitedMachine.test.ts: sets the limit of a running
 * engine and its keeper to one value after another and starts sessions until it is refused. Prints what happened as JSON.
 * Arguments: store, values of the limit above what the user runs at that moment, as JSON.
 */
import { execFileSync } from "node:child_process"
import { readdirSync, statSync } from "node:fs"
import type { RepriseError, Terminal } from "../../src/client/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { storePaths } from "../../src/session/StorePaths.ts"

/** More than the largest value allows. */
const SESSIONS_MAX = 40

export interface LimitedRound {
  /** What may run beside what runs already. */
  readonly room: number
  readonly started: number
  readonly code: string
  readonly message: string
  readonly isSameEngine: boolean
}

const [store = "", rooms = "[]"] = process.argv.slice(2)
const built: typeof import("../../src/client/index.ts") = await import(
  String(new URL("../../dist/src/client/index.js", import.meta.url))
)

const ownThreads = (): number => {
  let threads = 0
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      if (statSync(`/proc/${name}`).uid === process.getuid!()) threads += readdirSync(`/proc/${name}/task`).length
    } catch {
      // It ended meanwhile.
    }
  }
  return threads
}

const limit = (pids: ReadonlyArray<number>, value: number): void => {
  for (const pid of pids) execFileSync("prlimit", ["--pid", String(pid), `--nproc=${value}:`])
}

const client = await built.connect({ store })
// The keeper runs with its first session, which goes on through all of it.
const first = await client.terminal({ command: ["cat"] })
const { enginePid } = await client.status()
const results: Array<LimitedRound> = []
for (const room of JSON.parse(rooms) as ReadonlyArray<number>) {
  const keepers = await listKeepers(storePaths(store).keepers)
  limit([enginePid, ...keepers.map(({ pid }) => pid)], ownThreads() + room)
  const started: Array<Terminal> = []
  let refused: RepriseError | undefined
  while (refused === undefined && started.length < SESSIONS_MAX) {
    await client.terminal({ command: ["sleep", "1000"] }).then(
      (terminal) => started.push(terminal),
      (error) => {
        refused = error
      }
    )
  }
  const status = await client.status()
  results.push({
    room,
    started: started.length,
    code: refused?.code ?? "",
    message: refused?.message ?? "",
    isSameEngine: status.enginePid === enginePid
  })
  await Promise.all(started.map((terminal) => terminal.close()))
}
await first.writeStdin("still here\n")
let text = ""
for await (const { stdout } of first) {
  text += Buffer.from(stdout ?? "").toString()
  if (text.includes("still here\r\nstill here")) break
}
await first.close()
await client.close()
process.stdout.write(JSON.stringify({ results, text }))
