/**
 * A store of the bench with an engine process as a user has it: the built `dist/bin/engine.js`, which starts the built
 * keepers. Used by the measurements. It speaks to the engine only through the built command line.
 */
import { once } from "node:events"
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import type { Readable } from "node:stream"
import type { StoreKeySource } from "../../journal/StoreKey.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import type { Finished, Workspace } from "./Workspace.ts"

const root = resolve(import.meta.dirname, "../..")
const engineProgram = join(root, "dist/bin/engine.js")
export const commandLine = join(root, "dist/bin/reprise.js")

/** Where an engine says how its start went: READY_FD of src/remote/EngineStart.ts. */
const READY_FD = 3
/** Ending 1,000 sessions takes some seconds; then the bench ends the processes by force. */
const STOP_MILLIS_MAX = 60_000

/** Linux counts the time of processes in hundredths of a second, whatever its timer runs at. */
const MILLIS_PER_TICK = 10

export class Store {
  readonly paths: StorePaths
  readonly #workspace: Workspace
  #exited: Promise<unknown> | undefined

  constructor(workspace: Workspace, folder: string, key?: StoreKeySource & { readonly file: string }) {
    this.#workspace = workspace
    this.paths = storePaths(folder, key)
    workspace.mark(this.paths.run)
    workspace.atEnd(async () => {
      await this.stop()
      // A long name of the temporary folder puts the sockets elsewhere.
      rmSync(this.paths.run, { recursive: true, force: true })
    })
  }

  /** Starts the engine and gives the time until it said that it can be used. */
  async start(durability: "process" | "power" = "process", nodeFlags: ReadonlyArray<string> = []): Promise<number> {
    const begin = performance.now()
    const args = [...nodeFlags, engineProgram, "--store", this.paths.store, "--durability", durability]
    const child = this.#workspace.spawn(process.execPath, args, {
      // Its own process group: Ctrl-C ends the bench, which then ends the engine.
      detached: true,
      cwd: "/",
      env: this.#environment,
      stdio: ["ignore", "inherit", "inherit", "pipe"]
    })
    this.#exited = once(child, "exit")
    const [line] = (await once(child.stdio[READY_FD] as Readable, "data")) as [Buffer]
    const millis = performance.now() - begin
    if (!line.includes('"Ready"')) throw new Error(`the engine did not start: ${line}`)
    return millis
  }

  /** Kills the engine; its sessions and keepers go on. */
  async kill(): Promise<void> {
    const exited = this.#exited
    this.#exited = undefined
    process.kill((await this.status()).enginePid, "SIGKILL")
    await exited
  }

  /** Ends the engine and every session. */
  async stop(): Promise<void> {
    if (this.#exited === undefined) return
    const exited = this.#exited
    this.#exited = undefined
    const { code, stderr } = await this.reprise(["stop", "--sessions"], { timeout: STOP_MILLIS_MAX })
    if (code !== 0) throw new Error(`reprise stop ended with ${code}: ${stderr.trim()}`)
    await exited
  }

  get #environment(): NodeJS.ProcessEnv {
    const { key } = this.paths
    const { environment } = this.#workspace
    return key !== undefined && "file" in key ? { ...environment, REPRISE_STORE_KEY_FILE: key.file } : environment
  }

  reprise(args: ReadonlyArray<string>, options: Parameters<Workspace["run"]>[2] = {}): Promise<Finished> {
    return this.#workspace.run(process.execPath, [commandLine, ...args], {
      ...options,
      env: { ...this.#environment, REPRISE_HOME: this.paths.store }
    })
  }

  async status(): Promise<{
    readonly enginePid: number
    readonly keepers: ReadonlyArray<{ readonly pid: number; readonly sessions: ReadonlyArray<string> }>
  }> {
    return JSON.parse((await this.reprise(["status", "--json"])).stdout)
  }

  /** The engine and its keepers. */
  async processes(): Promise<ReadonlyArray<number>> {
    const { enginePid, keepers } = await this.status()
    return [enginePid, ...keepers.map(({ pid }) => pid)]
  }

  /** Bytes of the files of the journal, in all of its folders. */
  journalBytes(): number {
    return readdirSync(this.paths.journal, { recursive: true, withFileTypes: true }).reduce((sum, entry) => {
      if (!entry.isFile()) return sum
      // LevelDB removes tables at any time.
      const bytes = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0
      return sum + bytes
    }, 0)
  }
}

/** Time that a process and its threads spent on a processor; NaN where the system does not tell. */
export const cpuMillis = (pid: number): number => {
  try {
    // Fields 14 and 15; the name before them may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ")
    return (Number(fields[11]) + Number(fields[12])) * MILLIS_PER_TICK
  } catch {
    return Number.NaN
  }
}
