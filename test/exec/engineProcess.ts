/** The built engine in a process of its own over a store of its own, as the command line has it: a test can kill it. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync } from "node:fs"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Layer } from "effect"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { READY_FD } from "../../src/remote/EngineStart.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { kill as endNow } from "../fixtures/processes.ts"
import { removeStore } from "../fixtures/removeStore.ts"

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), "../../dist/bin/engine.js")

/** Resolves when it serves the store. */
const startEngine = (store: string): Promise<ChildProcess> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, "--store", store], {
      stdio: ["ignore", "ignore", "ignore", "pipe"]
    })
    child.once("exit", (code) => reject(new Error(`the engine ended with ${code}`)))
    const ready = child.stdio[READY_FD] as Socket
    ready.once("data", (line: Buffer) => {
      if (line.includes('"Ready"')) resolve(child)
      else reject(new Error(`the engine did not start: ${line}`))
    })
  })

const kill = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    child.once("exit", () => resolve())
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    child.kill("SIGKILL")
  })

export interface EngineProcess {
  readonly store: string
  /** Of the engine that runs. */
  readonly pid: () => number
  /** Another client. */
  readonly client: () => ReturnType<typeof EngineClient.layer>
  /** kill -9 of the engine, and of every keeper when asked to; resolves when the engine is gone. */
  readonly kill: (what: "engine" | "engine and keepers") => Effect.Effect<void>
  /** Another one, after `kill`. */
  readonly start: Effect.Effect<void>
}

/** It runs already; its sessions, its processes and its files end with the scope. */
export const engineProcess = Effect.acquireRelease(
  Effect.promise(async () => {
    const store = mkdtempSync(join(tmpdir(), "reprise-"))
    const paths = storePaths(store)
    let child = await startEngine(store)
    const engine: EngineProcess = {
      store,
      pid: () => child.pid!,
      client: () => Layer.fresh(EngineClient.layer({ paths, start: false, actor: "test" })),
      kill: (what) =>
        Effect.promise(async () => {
          const keepers = what === "engine" ? [] : await listKeepers(paths.keepers)
          await kill(child)
          for (const { pid } of keepers) endNow(pid)
        }),
      start: Effect.promise(async () => {
        child = await startEngine(store)
      })
    }
    // The keepers, whose end their sessions do not survive, before the files.
    const end = async () => {
      await kill(child)
      await removeStore(store)
    }
    return { engine, end }
  }),
  ({ end }) => Effect.promise(end)
).pipe(Effect.map(({ engine }) => engine))
