/**
 * Shells of a real background engine for the crash tests: a client of that engine, ways to kill it at a moment and to have
 * another one at once, and what of a session lives in the process table. It ends only processes that it was given by its
 * own engine, and leaves none behind.
 */

import { readdirSync, readFileSync } from "node:fs"
import { Cause, type Context, Effect, Exit, Layer, Schedule, Scope } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import type { Journal } from "../../journal/index.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import type { Redaction } from "../../src/erasure/Redaction.ts"
import { Exec, type ExecRequest, type ExecShape, type StartShell } from "../../src/exec/Exec.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import * as EngineStart from "../../src/remote/EngineStart.ts"
import type { History } from "../../src/session/History.ts"
import type { Sessions } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { withDisposal } from "../fixtures/disposal.ts"
import { isAlive, kill } from "../fixtures/processes.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { CommandLine } from "./commandLine.ts"

type Services = Exec | Sessions | History | Redaction

export class ExecUnderTest {
  readonly cli = new CommandLine()
  readonly paths = storePaths(this.cli.store)
  readonly #scope = Effect.runSync(Scope.make())
  #context!: Context.Context<Services>

  async open(): Promise<void> {
    await this.startEngine()
    const layer = EngineClient.layer({ paths: this.paths, start: true, actor: "test" })
    this.#context = await Effect.runPromise(Layer.buildWithScope(layer, this.#scope))
  }

  /** As a client does, and as often: a store whose engine has just been killed is locked until the kernel is done with it. */
  async startEngine(): Promise<void> {
    // Together with this process's own client: an engine that finds another one ends, for all that its start cost.
    do await Effect.runPromise(Effect.ignore(EngineStart.start(this.paths, { start: true })))
    while ((await this.cli.enginePid()) === null)
  }

  run<A, E>(effect: Effect.Effect<A, E, Services>): Promise<A> {
    return Effect.runPromiseExit(Effect.provideContext(effect, this.#context)).then((exit) => {
      if (Exit.isSuccess(exit)) return exit.value
      throw Cause.squash(exit.cause)
    })
  }

  exec<A, E>(use: (exec: ExecShape) => Effect.Effect<A, E>): Promise<A> {
    return this.run(Exec.use(use))
  }

  async start(request: StartShell = {}): Promise<SessionId> {
    return (await this.exec((shells) => shells.start({ cwd: this.cli.store, ...request }))).id as SessionId
  }

  /** Waits for the end. */
  command(session: SessionId, request: ExecRequest) {
    return this.exec((shells) => shells.exec(session, request))
  }

  /** kill -9, and another one. False when there was none to kill. */
  async killEngine(): Promise<boolean> {
    const pid = await this.cli.enginePid()
    if (pid === null) return false
    const isKilled = kill(pid)
    await this.startEngine()
    return isKilled
  }

  /** kill -9, and who waits for it starts another one. False when there was none to kill. */
  async onlyKillEngine(): Promise<boolean> {
    const pid = await this.cli.enginePid()
    return pid !== null && kill(pid)
  }

  /** Ends the engine, so that `journal` can be used; the sessions go on. */
  async withoutEngine<A, E>(use: Effect.Effect<A, E, Journal>): Promise<A> {
    const pid = await this.cli.enginePid()
    if (pid !== null) kill(pid)
    const layer = JournalLevel.layer({ location: this.paths.journal })
    const result = await Effect.runPromise(
      Effect.scoped(Effect.provide(use, layer)).pipe(
        Effect.retry({
          while: (error) => (error as { readonly reason?: unknown }).reason === "locked",
          schedule: Schedule.spaced("5 millis")
        })
      )
    )
    await this.startEngine()
    return result
  }

  async whileNoEngine(use: () => Promise<void>): Promise<void> {
    const pid = await this.cli.enginePid()
    if (pid !== null) kill(pid)
    await use()
    await this.startEngine()
  }

  async keeperPids(): Promise<ReadonlyArray<number>> {
    return (await listKeepers(this.paths.keepers)).map(({ pid }) => pid)
  }

  async killKeepers(): Promise<void> {
    for (const pid of await this.keeperPids()) kill(pid)
  }

  /** Whether a file of the store holds these bytes, as `grep -a` would find them. */
  holds(text: string): boolean {
    return filesHolding(this.cli.store, text).length > 0
  }

  async dispose(): Promise<void> {
    await Effect.runPromise(Scope.close(this.#scope, Exit.void))
    await this.cli.dispose()
  }
}

export const withShells = async (use: (shells: ExecUnderTest) => Promise<void>): Promise<void> => {
  const shells = new ExecUnderTest()
  await withDisposal(
    () => shells.dispose(),
    async () => {
      await shells.open()
      await use(shells)
    }
  )
}

/** Running processes with the session's mark in their environment. */
export const processesWith = (session: SessionId): ReadonlyArray<number> =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0) || !isAlive(pid)) return false
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`REPRISE_SESSION=${session}\0`)
      } catch {
        return false
      }
    })

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
