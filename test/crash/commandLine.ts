/** The real program on a store of its own: what the crash tests start, kill and read. Nothing of it is left afterwards. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { Sessions } from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { withDisposal } from "../fixtures/disposal.ts"
import { gone } from "../fixtures/processes.ts"
import { removeStore } from "../fixtures/removeStore.ts"

const program = join(dirname(fileURLToPath(import.meta.url)), "../../dist/bin/reprise.js")

/** Commands that only ask or tell: as processes they would cost more than what they ask for. */
const ASKING = new Set([
  "backup",
  "doctor",
  "end",
  "events",
  "history",
  "hold",
  "inspect",
  "list",
  "prune",
  "release",
  "replay",
  "resize",
  "send",
  "signal",
  "start",
  "status",
  "stop"
])

/** `run --detach` tells, too; without it, it is a terminal's program. */
const isAsking = (args: ReadonlyArray<string>): boolean =>
  ASKING.has(args[0] ?? "") || (args[0] === "run" && args.slice(0, args.indexOf("--")).includes("--detach"))

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string | Buffer
  readonly env?: Record<string, string>
  /** Leaves standard input open, for the test to write to. */
  readonly openInput?: boolean
}

export class CommandLine {
  readonly store: string
  readonly #program: string
  readonly #children = new Set<ChildProcess>()

  /** `entry`: the command line of another release. */
  constructor(store = mkdtempSync(join(tmpdir(), "reprise-cli-")), entry = program) {
    this.store = store
    this.#program = entry
  }

  spawn(args: ReadonlyArray<string>, options: RunOptions = {}): ChildProcess {
    const child = spawn(process.execPath, [this.#program, "--store", this.store, ...args], {
      stdio: [options.input === undefined && !options.openInput ? "ignore" : "pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.env }
    })
    this.#children.add(child)
    child.once("exit", () => this.#children.delete(child))
    return child
  }

  /** In a process of its own, unless the command is one that only asks or tells. */
  run(args: ReadonlyArray<string>, options: RunOptions = {}): Promise<Finished> {
    return this.#program === program && isAsking(args) && options.env === undefined
      ? this.#ask(args, options.input)
      : this.finished(this.spawn(args, options), options)
  }

  async #ask(args: ReadonlyArray<string>, input: string | Buffer = ""): Promise<Finished> {
    // Every command of the program is behind it, and most users of this file run none.
    const { runInside } = await import("../cli/runInside.ts")
    const options = { env: process.env, cwd: process.cwd(), input }
    return { ...(await Effect.runPromise(runInside(["--store", this.store, ...args], options))), signal: null }
  }

  finished(child: ChildProcess, options: RunOptions = {}): Promise<Finished> {
    if (options.input !== undefined) child.stdin?.end(options.input)
    const stdout: Array<Buffer> = []
    const stderr: Array<Buffer> = []
    child.stdout!.on("data", (chunk) => stdout.push(chunk))
    child.stderr!.on("data", (chunk) => stderr.push(chunk))
    return new Promise((resolve) => {
      child.on("close", (code, signal) =>
        resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() })
      )
    })
  }

  async text(args: ReadonlyArray<string>, options?: RunOptions): Promise<string> {
    const { code, stderr, stdout } = await this.run(args, options)
    if (code !== 0) throw new Error(`reprise ${args.join(" ")} ended with ${code}: ${stderr}`)
    return stdout.toString()
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON of the program under test; the assertions say what it must be.
  async json(args: ReadonlyArray<string>): Promise<any> {
    return JSON.parse(await this.text([...args, "--json"]))
  }

  /** Asked over its socket and not through a command, which would take longer than an engine's life in some tests. */
  enginePid(): Promise<number | null> {
    const layer = EngineClient.layer({ paths: storePaths(this.store), start: false, actor: "test" })
    return Effect.runPromise(
      Sessions.use(({ status }) => status).pipe(
        Effect.map(({ enginePid }) => enginePid),
        Effect.provide(layer),
        Effect.catch(() => Effect.succeed(null))
      )
    )
  }

  /** Ends sessions, engine and keepers, and removes the store. */
  async dispose(): Promise<void> {
    // First: one that is left would start an engine again.
    for (const child of this.#children) child.kill("SIGKILL")
    await this.#stop()
    await removeStore(this.store)
  }

  /** As `stop --sessions` does, without its process; that one also ends the sessions of an engine that is gone. */
  async #stop(): Promise<void> {
    const paths = storePaths(this.store)
    const layer = EngineClient.layer({ paths, start: false, anyVersion: true, actor: "test" })
    const pid = await Effect.runPromise(
      EngineClient.EngineControl.use((control) => control.stop({ sessions: true })).pipe(
        Effect.map((stopped) => stopped.pid),
        Effect.provide(layer),
        Effect.catchCause(() => Effect.succeed(undefined))
      )
    )
    if (pid !== undefined) await gone(pid)
    else if ((await listKeepers(paths.keepers)).length > 0) await this.run(["stop", "--sessions"])
  }
}

export const withCommandLine = async (use: (cli: CommandLine) => Promise<void>): Promise<void> => {
  const cli = new CommandLine()
  await withDisposal(
    () => cli.dispose(),
    () => use(cli)
  )
}

export const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex")

/** What `seq FIRST LAST` prints on a terminal. */
export const sequence = (last: number): string => Array.from({ length: last }, (_, i) => `${i + 1}\r\n`).join("")
