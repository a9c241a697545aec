/**
 * A store whose engine may die at any moment, and a client that does not give up: what the campaigns kill, and what they
 * ask. It starts engines itself, so that it knows the process to kill before that answers anybody; some of them two at a
 * time, as two clients do. Every answer is timed. Nothing of it is left after `dispose`, and what is left by mistake is
 * counted.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import type { Readable } from "node:stream"
import { setTimeout as sleep } from "node:timers/promises"
import { Cause, type Context, Effect, Exit, Layer, Scope } from "effect"
import type { History, Lifecycle, Sessions } from "../../src/index.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import type { SessionOutput } from "../../src/remote/SessionOutput.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { withDisposal } from "../fixtures/disposal.ts"
import { isAlive, kill } from "../fixtures/processes.ts"
import { removeStore } from "../fixtures/removeStore.ts"
import type { Tally } from "./Campaign.ts"
import { hangMillis, servedMillis } from "./Patience.ts"
import { TortureFailure } from "./TortureFailure.ts"

/** As a user has it. */
const BUNDLE = join(import.meta.dirname, "../../dist/bin/engine.js")
/** An engine says on it how its start went (EngineStart.ts). */
const READY_FD = 3
/** Between two tries of a call that cannot be served now. */
const REPEAT_MILLIS = 40
/** Between two looks whether an answer is late. */
const LOOK_MILLIS = 100
/** DESIGN.md: a session's end takes no longer. */
const END_MILLIS_MAX = 5000

export type Services = Sessions | History | Lifecycle | SessionOutput | EngineClient.EngineControl

export interface StoreOptions {
  readonly tally: Tally
  /** The engine's program, given `--store FOLDER`. Default: the one that is published. */
  readonly program?: string
}

export interface EngineProcess {
  readonly child: ChildProcess
  readonly pid: number
  /** Resolves when it serves, or said that another one does, or has ended without a word. */
  readonly ready: Promise<void>
  /** Resolves with the signal that ended it. */
  readonly ended: Promise<NodeJS.Signals | null>
}

export class StoreUnderTorture {
  readonly folder = mkdtempSync(join(tmpdir(), "reprise-torture-"))
  readonly paths: StorePaths = storePaths(join(this.folder, "store"))
  readonly tally: Tally
  readonly #program: string
  readonly #scope = Effect.runSync(Scope.make())
  readonly #engines = new Set<EngineProcess>()
  /** No process of theirs may be left in the end. */
  readonly #sessions = new Set<string>()
  #context: Context.Context<Services> | undefined
  #lastKill = 0

  constructor({ program = BUNDLE, tally }: StoreOptions) {
    this.tally = tally
    this.#program = program
    mkdirSync(this.paths.store, { mode: 0o700 })
  }

  /** Starts an engine and connects. */
  async open(): Promise<EngineProcess> {
    const engine = this.startEngine()
    await engine.ready
    await this.connect()
    return engine
  }

  async connect(): Promise<void> {
    const layer = EngineClient.layer({ paths: this.paths, start: false, actor: "torture" })
    this.#context = await Effect.runPromise(Layer.buildWithScope(layer, this.#scope))
  }

  /** `killPoint`: it dies there by itself. */
  startEngine(killPoint?: string): EngineProcess {
    const { NODE_OPTIONS: _options, REPRISE_SESSION: _session, ...env } = process.env
    const child = spawn(process.execPath, [this.#program, "--store", this.paths.store], {
      detached: true,
      cwd: "/",
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      env: { ...env, ...(killPoint !== undefined && { REPRISE_KILL_POINT: killPoint }) }
    })
    const pipe = child.stdio[READY_FD] as Readable
    const ready = new Promise<void>((resolve) => {
      pipe.once("data", () => resolve()).once("close", () => resolve())
      pipe.on("error", () => resolve())
    })
    const ended = new Promise<NodeJS.Signals | null>((resolve) => {
      child.once("exit", (_, signal) => {
        if (signal === "SIGKILL") this.#lastKill = servedMillis()
        this.#engines.delete(engine)
        pipe.destroy()
        resolve(signal)
      })
    })
    const engine: EngineProcess = { child, pid: child.pid!, ready, ended }
    this.#engines.add(engine)
    return engine
  }

  /** kill -9; false when it was gone already. */
  async killEngine(engine: EngineProcess): Promise<boolean> {
    const isKilled = engine.child.exitCode === null && engine.child.signalCode === null && engine.child.kill("SIGKILL")
    await engine.ended
    return isKilled
  }

  /**
   * Answers, however many engines it takes: a call that says it cannot be served now is asked again, with the same ids.
   * An answer that takes too long after the last kill is a hang.
   */
  call<A, E>(what: string, effect: Effect.Effect<A, E, Services>): Promise<A> {
    const abort = new AbortController()
    return this.within(what, () => this.#repeat(effect, abort.signal)).finally(() => abort.abort())
  }

  /** As `call`, for what has no time limit: ends when it ends, or is left. */
  async follow<E>(effect: Effect.Effect<void, E, Services>, left: AbortSignal): Promise<void> {
    try {
      await this.#repeat(effect, left)
    } catch (error) {
      if (!left.aborted) throw error
    }
  }

  async #repeat<A, E>(effect: Effect.Effect<A, E, Services>, signal: AbortSignal): Promise<A> {
    for (;;) {
      signal.throwIfAborted()
      const exit = await Effect.runPromiseExit(Effect.provideContext(effect, this.#context!), { signal })
      if (Exit.isSuccess(exit)) return exit.value
      const error = Cause.squash(exit.cause)
      if (signal.aborted || !isAway(error)) throw error
      await sleep(REPEAT_MILLIS)
    }
  }

  /** Rejects when it takes longer than a hang after the last kill, and counts that. */
  async within<A>(what: string, answer: () => Promise<A>): Promise<A> {
    const began = servedMillis()
    const asked = performance.now()
    let watch: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      watch = setInterval(() => {
        if (servedMillis() - Math.max(began, this.#lastKill) < hangMillis()) return
        clearInterval(watch)
        this.tally.hangs++
        const hang = this.#hang(what, performance.now() - asked)
        // Whoever asked may not care for the answer; a hang is one nevertheless.
        console.error(hang.message)
        reject(hang)
      }, LOOK_MILLIS)
    })
    try {
      return await Promise.race([answer(), late])
    } finally {
      clearInterval(watch)
    }
  }

  #hang(what: string, millis: number): TortureFailure {
    return new TortureFailure(`${what}: hang`, {
      expected: `an answer within ${Math.round(hangMillis())} ms of the last kill`,
      found: `${Math.round(millis)} ms since it was asked`,
      store: this.paths.store
    })
  }

  /** What it leaves is looked for at the end. */
  note(session: string): void {
    this.#sessions.add(session)
  }

  /** Ends all sessions and the engine, as `stop --sessions` does; then nothing of the store may run any more. */
  async stop(): Promise<void> {
    const engines = [...this.#engines]
    const ended = Promise.all(engines.map((engine) => engine.ended))
    // Its answer may be lost with it: then nobody is asked again.
    const left = new AbortController()
    const told = this.#repeat(
      EngineClient.EngineControl.use((control) => control.stop({ sessions: true })),
      left.signal
    )
    try {
      await this.within("stop --sessions", () => Promise.race([told, ended]))
      await this.within("the end of the engine", () => ended)
    } finally {
      left.abort()
      await told.catch(() => undefined)
    }
    const killed = engines.find((engine) => engine.child.exitCode !== 0)
    if (killed !== undefined) {
      throw new TortureFailure("an engine that was told to stop", {
        expected: "exit code 0",
        found: `exit code ${killed.child.exitCode}, signal ${killed.child.signalCode}`,
        store: this.paths.store
      })
    }
    await this.#checkProcesses()
  }

  async #checkProcesses(): Promise<void> {
    const began = servedMillis()
    for (;;) {
      const left = this.#left()
      if (left.length === 0) return
      if (servedMillis() - began > END_MILLIS_MAX) {
        this.tally.processesLeft += left.length
        throw new TortureFailure("after the end of all sessions", {
          expected: "no process of the store",
          found: left.map((pid) => `${pid} ${commandOf(pid)}`).join(", "),
          store: this.paths.store
        })
      }
      await sleep(20)
    }
  }

  #left(): ReadonlyArray<number> {
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => pid > 0 && isAlive(pid) && this.#isOurs(pid))
  }

  /** By the store in its arguments (engines, keepers), or by the session's mark in its environment. */
  #isOurs(pid: number): boolean {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(this.paths.store)) return true
      const marked = /REPRISE_SESSION=(\w+)/.exec(readFileSync(`/proc/${pid}/environ`, "latin1"))?.[1]
      return marked !== undefined && this.#sessions.has(marked)
    } catch {
      return false
    }
  }

  /** A copy of the store, for whoever looks into a failure. */
  keep(into: string): string {
    const copy = join(into, basename(this.folder))
    cpSync(this.paths.store, copy, { recursive: true, filter: (path) => !path.endsWith(".sock") })
    return copy
  }

  /** Ends what still runs, by force, and removes the folder. */
  async dispose(): Promise<void> {
    await Effect.runPromise(Scope.close(this.#scope, Exit.void))
    for (const engine of [...this.#engines]) await this.killEngine(engine)
    for (const pid of this.#left()) kill(pid)
    await removeStore(this.paths.store, this.folder)
  }
}

/**
 * With a store of its own, which is removed afterwards; after a failure a copy of it stays where REPRISE_TORTURE_KEEP says.
 */
export const withStore = async <A>(
  options: StoreOptions,
  use: (store: StoreUnderTorture) => Promise<A>
): Promise<A> => {
  const store = new StoreUnderTorture(options)
  return withDisposal(
    () => store.dispose(),
    () =>
      use(store).catch((error: unknown) => {
        const keep = process.env.REPRISE_TORTURE_KEEP
        if (keep !== undefined && error instanceof Error) error.message += `\n  store:    ${store.keep(keep)}`
        throw error
      })
  )
}

/** Engine, keeper, storage or the connection to them were away, or the store is full: asked again, the same may be answered. */
const isAway = (error: unknown): boolean => {
  if (typeof error !== "object" || error === null || !("_tag" in error)) return false
  if (error._tag === "LimitExceeded") return "limit" in error && error.limit === "store bytes"
  return AWAY_TAGS.has(String(error._tag))
}
const AWAY_TAGS = new Set(["SessionUnavailable", "EngineAbsent", "EngineUnavailable", "EngineUnreachable"])

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").slice(0, 120)
  } catch {
    return "(gone)"
  }
}
