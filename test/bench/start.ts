/**
 * Start: what a user waits for at a prompt, beside `tmux ls` and a Node that does nothing. In turn, in one run, with warm
 * caches.
 */
import { figure, median, percentile, type Report } from "./Report.ts"
import { commandLine, Store } from "./Store.ts"
import { hasProgram, type Workspace } from "./Workspace.ts"

const ROUNDS = 21
const WARM_UP_ROUNDS = 3
const SESSIONS = 10
const VERSION_AIM_MILLIS = 100
const LIST_AIM_MILLIS = 150

export const start = async (workspace: Workspace): Promise<Report> => {
  const notes = [`median of ${ROUNDS} rounds; ${SESSIONS} idle sessions each`]
  const store = new Store(workspace, workspace.newFolder("start"))
  await store.start()
  await workspace.program("engineClient", ["idle", store.paths.store, String(SESSIONS), "sleep", "1000"])
  const ways: Array<{ readonly name: string; readonly run: () => Promise<{ millis: number; code: number | null }> }> = [
    { name: "node, empty program", run: () => workspace.run(process.execPath, ["-e", "0"]) },
    { name: "reprise --version", run: () => workspace.run(process.execPath, [commandLine, "--version"]) },
    { name: "reprise list", run: () => store.reprise(["list"]) }
  ]
  if (hasProgram("tmux", "-V")) {
    const socket = workspace.path("tmux.sock")
    const tmux = (...args: ReadonlyArray<string>) => workspace.run("tmux", ["-S", socket, "-f", "/dev/null", ...args])
    workspace.mark(socket)
    workspace.atEnd(async () => void (await tmux("kill-server")))
    for (let session = 0; session < SESSIONS; session++) await tmux("new-session", "-d", "sleep", "1000000")
    ways.push({ name: "tmux ls", run: () => tmux("ls") })
  } else notes.push("tmux is not installed: not measured")
  const samples = new Map(ways.map(({ name }) => [name, [] as Array<number>]))
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    for (const { name, run } of ways) {
      const { code, millis } = await run()
      if (code !== 0) throw new Error(`${name} ended with ${code}`)
      if (round >= WARM_UP_ROUNDS) samples.get(name)!.push(millis)
    }
  }
  await store.stop()
  const aim = (name: string, millis: number) => {
    const measured = median(samples.get(name)!)
    return { aim: `${name} takes at most ${millis} ms`, measured: `${figure(measured)} ms`, holds: measured <= millis }
  }
  return {
    tables: [
      {
        title: "Start of a command, milliseconds",
        columns: ["command", "median", "p90"],
        rows: [...samples].map(([name, millis]) => [name, figure(median(millis)), figure(percentile(millis, 0.9))])
      }
    ],
    aims: [aim("reprise --version", VERSION_AIM_MILLIS), aim("reprise list", LIST_AIM_MILLIS)],
    notes
  }
}
