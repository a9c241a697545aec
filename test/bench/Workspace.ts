/**
 * The temporary folder of one run of the bench and everything that was started in it. Used by every measurement. At the
 * end, after a failure and after a signal, `dispose` ends what still runs and removes the folder. It ends only processes
 * that it started or that carry the folder's unique name, each by its id.
 */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** What one program of the bench may print: a line of JSON, or the list of a few sessions. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024

export interface Finished {
  readonly millis: number
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Workspace {
  readonly folder = mkdtempSync(join(tmpdir(), "reprise-bench-"))
  readonly #children = new Set<ChildProcess>()
  readonly #finalizers: Array<() => Promise<void> | void> = []
  /** Texts that only processes of this run have among their arguments. */
  readonly #marks = [this.folder]
  #names = 0

  /** Programs get this environment: no store, session or compiled code of the user. */
  readonly environment: NodeJS.ProcessEnv = (() => {
    const { REPRISE_HOME: _home, REPRISE_SESSION: _session, NODE_OPTIONS: _options, ...rest } = process.env
    return { ...rest, XDG_CACHE_HOME: join(this.folder, "cache") }
  })()

  path(name: string): string {
    return join(this.folder, name)
  }

  /** A new empty folder. */
  newFolder(name: string): string {
    const folder = this.path(`${name}${this.#names++}`)
    mkdirSync(folder, { mode: 0o700 })
    return folder
  }

  /** Called at the end, in reverse order, before processes are ended by force. */
  atEnd(finalizer: () => Promise<void> | void): void {
    this.#finalizers.push(finalizer)
  }

  mark(text: string): void {
    this.#marks.push(text)
  }

  spawn(command: string, args: ReadonlyArray<string>, options: SpawnOptions = {}): ChildProcess {
    const child = spawn(command, args, { env: this.environment, ...options })
    this.#children.add(child)
    child.once("exit", () => this.#children.delete(child))
    return child
  }

  /** Runs a program to its end; the time is from before its fork until its exit was seen. */
  run(command: string, args: ReadonlyArray<string>, options: SpawnOptions = {}): Promise<Finished> {
    return new Promise((resolve, reject) => {
      const start = performance.now()
      const child = this.spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options })
      let millis = 0
      let stdout = ""
      let stderr = ""
      const keep = (text: string, chunk: Buffer) => (text + chunk.toString()).slice(-OUTPUT_BYTES_MAX)
      child.stdout?.on("data", (chunk: Buffer) => {
        stdout = keep(stdout, chunk)
      })
      child.stderr?.on("data", (chunk: Buffer) => {
        stderr = keep(stderr, chunk)
      })
      child.once("error", reject)
      child.once("exit", () => {
        millis = performance.now() - start
      })
      child.once("close", (code) => resolve({ millis, code, stdout, stderr }))
    })
  }

  /** A program of test/bench/programs. */
  programFile(name: string): string {
    return join(import.meta.dirname, "programs", `${name}.ts`)
  }

  /** Runs a program of test/bench/programs and gives the JSON it printed last. */
  async program<A>(name: string, args: ReadonlyArray<string>): Promise<A> {
    const { code, stderr, stdout } = await this.run(process.execPath, [this.programFile(name), ...args])
    const line = stdout.trimEnd().split("\n").at(-1)
    if (code !== 0 || !line) throw new Error(`${name} ${args.join(" ")} ended with ${code}: ${stderr.trim()}`)
    return JSON.parse(line) as A
  }

  async dispose(): Promise<void> {
    for (const finalizer of this.#finalizers.splice(0).reverse()) {
      try {
        await finalizer()
      } catch (error) {
        process.stderr.write(`bench: while cleaning up: ${error instanceof Error ? error.message : error}\n`)
      }
    }
    for (const child of this.#children) child.kill("SIGKILL")
    for (const pid of this.#processesLeft()) {
      try {
        process.kill(pid, "SIGKILL")
      } catch {
        // It ended by itself.
      }
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }

  /** Engines and keepers carry the path of their store; what they hold hangs up with them. */
  #processesLeft(): ReadonlyArray<number> {
    let names: ReadonlyArray<string>
    try {
      names = readdirSync("/proc").filter((name) => /^\d+$/.test(name))
    } catch {
      return []
    }
    return names.map(Number).filter((pid) => {
      if (pid === process.pid) return false
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "latin1")
        return this.#marks.some((mark) => command.includes(mark))
      } catch {
        return false
      }
    })
  }
}

/** Whether a program is there; it is asked for its version. */
export const hasProgram = (name: string, versionFlag: string): boolean =>
  spawnSync(name, [versionFlag], { stdio: "ignore" }).status === 0
