/**
 * Another shell in the place of one that has ended, was lost or is to be reset: a process under new pipes, then the state of the
 * old one, and a report of what came back. One at a time. It starts no process itself (EngineCore does) and gives up after a few
 * shells that end before they take a command.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { NewEvent, SessionEvent } from "../../journal/Event.ts"
import type { CommandsState } from "../../projections/Commands.ts"
import { type PipeRequest, SPAWN_NOTE_BYTES_MAX } from "../keeper/PipeHost.ts"
import type { KeeperNote } from "../session/KeeperNote.ts"
import type { LiveSession } from "../session/LiveSession.ts"
import { SessionUnavailable } from "../session/SessionError.ts"
import type { Driver, ShellState } from "./Driver.ts"
import type { RestoreReport } from "./Exec.ts"
import type { ShellEnvironment, ShellMemory } from "./ShellMemory.ts"

/** A shell that says nothing for so long does not start. */
export const READY_TIMEOUT_MILLIS = 10_000
/** Shells that end before they take a command, in a row: then the session ends. */
const RESTARTS_MAX = 3

export interface RestartPort {
  /** Starts another shell process in this session. */
  readonly relaunch: (
    session: LiveSession,
    how: {
      readonly env: Readonly<Record<string, string>>
      readonly cwd: string
      readonly pipes: ReadonlyArray<PipeRequest>
      readonly note: Uint8Array
    }
  ) => Promise<void>
  readonly defaultEnvironment: () => Readonly<Record<string, string>>
  readonly isFolder: (path: string) => boolean
}

/** The session whose shell it is. */
export interface RestartOwner {
  readonly live: LiveSession
  readonly driver: Driver
  /** Of the session's files. */
  readonly folder: string
  readonly state: CommandsState
  /** The old shell's pipes go, and its words with them: those of the next. */
  newPipes(): ReadonlyArray<PipeRequest>
  /** The first line of a shell process, where its driver has one. */
  greet(sequence: number): void
  writeLine(sequence: number, line: string): void
  untilReady(millis: number): Promise<"ready" | "gone" | "slow">
  saveNote(): void
  event(event: SessionEvent): NewEvent
  /** The restart is over: commands may wait. */
  restarted(): void
}

type Restarting = NonNullable<KeeperNote["restarting"]>

export class ShellRestart {
  readonly #port: RestartPort
  readonly #owner: RestartOwner
  readonly #memory: ShellMemory
  #underWay: Promise<RestoreReport> | undefined
  #resetting: Promise<RestoreReport> | undefined
  /** In a row, since a shell took a command. */
  #restarts = 0
  /** Waits for the end of a shell that is reset. */
  #gone: (() => void) | undefined
  #restore: { readonly line: string; readonly done: (lines: ReadonlyArray<string>) => void } | undefined
  /** What the session was brought back with, if this engine did it. */
  lastRestore: RestoreReport | null = null

  constructor(port: RestartPort, owner: RestartOwner, memory: ShellMemory) {
    this.#port = port
    this.#owner = owner
    this.#memory = memory
  }

  get isUnderWay(): boolean {
    return this.#underWay !== undefined
  }

  /** The shell's process has ended, and its command has an outcome. */
  async shellGone(): Promise<void> {
    const { live } = this.#owner
    if (this.#gone !== undefined) return this.#gone()
    if (live.isEnded || this.isUnderWay) return
    if (++this.#restarts > RESTARTS_MAX) return live.giveUp()
    await this.#start("died")
  }

  /** Ends everything in the session and starts again as it was created. */
  reset(): Promise<RestoreReport> {
    this.#resetting ??= this.#reset().finally(() => {
      this.#resetting = undefined
    })
    return this.#resetting
  }

  async #reset(): Promise<RestoreReport> {
    const { live } = this.#owner
    await this.#underWay?.catch(() => undefined)
    if (live.isRunning && live.state.status === "running") {
      const gone = new Promise<void>((resolve) => {
        this.#gone = resolve
      })
      try {
        await live.signal("SIGKILL", "session", {})
        await Promise.race([gone, sleep(READY_TIMEOUT_MILLIS)])
      } finally {
        this.#gone = undefined
      }
    }
    return this.#start("reset")
  }

  /** A lost session, read from the journal: gets a shell again. */
  async bringBack(): Promise<void> {
    this.lastRestore = await this.#start("lost")
  }

  /** The session was taken back: what was under way with its shell goes on. False: nothing was. */
  resume(): boolean {
    const { live } = this.#owner
    if (this.#restore !== undefined) {
      this.#owner.writeLine(live.state.sequence + 1, this.#restore.line)
      return true
    }
    const unfinished = this.#memory.unfinishedRestart
    if (unfinished === null || this.isUnderWay) return false
    void this.#once(() => this.#finish(unfinished)).catch(() => undefined)
    return true
  }

  /** The shell has run what brings its state back, and says what it could not. */
  restored(missing: string | null): void {
    this.#restore?.done((missing ?? "").split("\n").filter((line) => line !== ""))
  }

  /** Another shell with what is known of the old one (not for `reset`: as at the start). */
  #start(reason: RestoreReport["reason"]): Promise<RestoreReport> {
    return this.#once(() => this.#restart(reason))
  }

  #once(restart: () => Promise<RestoreReport>): Promise<RestoreReport> {
    this.#underWay ??= restart().finally(() => {
      this.#underWay = undefined
      this.#owner.restarted()
    })
    return this.#underWay
  }

  async #restart(reason: RestoreReport["reason"]): Promise<RestoreReport> {
    const owner = this.#owner
    const { live, state } = owner
    this.#memory.begin()
    const pipes = owner.newPipes()
    const missing: Array<string> = []
    const wanted = this.#memory.wanted(reason, state, missing)
    const isThere = this.#port.isFolder(wanted.cwd)
    if (!isThere) missing.push(`directory ${wanted.cwd}: it is gone`)
    const cwd = isThere ? wanted.cwd : this.#port.isFolder(state.creationCwd) ? state.creationCwd : "/"
    const environment = this.#memory.environment ?? this.#rebuiltEnvironment(missing)
    this.#memory.environment = environment
    const restarting = { reason, cwd, missing }
    this.#memory.unfinishedRestart = restarting
    const note = this.#memory.note(state, SPAWN_NOTE_BYTES_MAX)
    await this.#port.relaunch(live, { env: environment.env, cwd, pipes, note })
    owner.greet(live.state.sequence)
    const started = await owner.untilReady(READY_TIMEOUT_MILLIS)
    if (started !== "ready") {
      throw new SessionUnavailable({ session: live.id, reason: `its shell could not be started again (${started})` })
    }
    return this.#finish(restarting)
  }

  /** A shell that was started for this gets the state of the old one; also one that an engine before started. */
  async #finish({ cwd, missing, reason }: Restarting): Promise<RestoreReport> {
    const owner = this.#owner
    const { live } = owner
    this.#restarts = 0
    const wanted = this.#memory.wanted(reason, owner.state, [])
    const failed = reason === "reset" ? [] : await this.#runRestore({ ...wanted, cwd })
    const report: RestoreReport = {
      reason,
      restored: {
        cwd: cwd === wanted.cwd ? cwd : null,
        env: [...wanted.env.keys()],
        functions: [...wanted.functions.keys()],
        aliases: [...wanted.aliases.keys()],
        imports: [...wanted.imports]
      },
      missing: [...missing, ...failed]
    }
    await live.append([
      owner.event({ _tag: "ShellRestarted", ...report }),
      owner.event({ _tag: "CwdChanged", cwd, source: "exec" })
    ])
    this.#memory.broughtBack(wanted.env, owner.state)
    this.#memory.unfinishedRestart = null
    owner.saveNote()
    return report
  }

  /** The engine that knew the environment is gone: what any program gets, and a word about what is missing. */
  #rebuiltEnvironment(missing: Array<string>): ShellEnvironment {
    const { driver, folder, live, state } = this.#owner
    const env = { ...this.#port.defaultEnvironment(), ...driver.env(folder) }
    for (const name of live.state.envNames) {
      if (env[name] === undefined && !state.env.has(name)) missing.push(`variable ${name}: its value is not stored`)
    }
    return { env, secretNames: new Set() }
  }

  async #runRestore(wanted: ShellState): Promise<ReadonlyArray<string>> {
    const { driver, folder, live } = this.#owner
    const source = join(folder, "restore.src")
    writeFileSync(source, driver.restore(wanted), { mode: 0o600 })
    const nowhere = "/dev/null"
    const line = driver.line({
      exec: 0,
      source,
      stdin: nowhere,
      stdout: nowhere,
      stderr: nowhere,
      mark: "",
      cwd: undefined,
      env: {}
    })
    const restored = new Promise<ReadonlyArray<string>>((resolve) => {
      const timer = setTimeout(() => resolve(["the shell did not finish restoring its state"]), READY_TIMEOUT_MILLIS)
      this.#restore = {
        line,
        done: (lines) => {
          clearTimeout(timer)
          resolve(lines)
        }
      }
    })
    this.#owner.writeLine(live.state.sequence + 1, line)
    const lines = await restored
    this.#restore = undefined
    rmSync(source, { force: true })
    return lines
  }
}

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))
