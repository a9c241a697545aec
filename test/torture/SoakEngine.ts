/**
 * The built engine of a soak, over a store of its own: started with a sampler in it, stopped, killed, and asked what it and
 * its keepers hold. `SoakRun.ts` owns one. Nothing of it is left after `dispose`.
 */

import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { READY_FD } from "../../src/remote/EngineStart.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { residentBytesOf, threadsOf } from "../fixtures/processFigures.ts"
import { removeStore } from "../fixtures/removeStore.ts"

const ENGINE = join(import.meta.dirname, "../../dist/bin/engine.js")
const SAMPLER = join(import.meta.dirname, "programs/sampler.ts")
/** A sample takes milliseconds; an engine that gives none hangs. */
const SAMPLE_MILLIS_MAX = 30_000
const LOOK_MILLIS = 5
const LOOKS = 10
/** LevelDB keeps its tables open up to a number of its own, and opens them when it likes. */
const TABLE = /\.(ldb|sst)$/

/** What the engine and its keepers hold. Bytes after a garbage collection. */
export interface Sample {
  readonly enginePid: number
  /** Without LevelDB's tables. */
  readonly engineFds: number
  readonly engineThreads: number
  readonly engineTimers: number
  readonly engineHandles: number
  /** Without what functions were compiled to. */
  readonly engineHeapBytes: number
  readonly engineCodeBytes: number
  readonly engineExternalBytes: number
  /** Heap and buffers of the largest thread that draws: of two, one comes and goes. */
  readonly engineWorkerBytes: number
  /** Memory that is no file's. */
  readonly engineAnonymousBytes: number
  /** Of that, what is not in the heaps, nor in the buffers of the threads that draw. */
  readonly engineNativeBytes: number
  /**
   * Resident pages of files: Node's program and LevelDB's tables, which it maps (2 MiB each, at most 1000). They are page cache,
   * which the kernel takes back when something else needs it, and the bound is the size of the store.
   */
  readonly engineFileBytes: number
  readonly keepers: number
  /** Of all keepers together. */
  readonly keeperFds: number
  readonly keeperThreads: number
  readonly keeperRssBytes: number
}

export class SoakEngine {
  readonly store = mkdtempSync(join(tmpdir(), "reprise-soak-"))
  readonly paths = storePaths(this.store)
  readonly #sample = join(this.store, "sample.json")
  #child: ChildProcess | undefined

  constructor(limits: Readonly<Record<string, number>> = {}) {
    writeFileSync(this.paths.config, JSON.stringify({ limits }))
  }

  /** Resolves when it serves the store. */
  async start(): Promise<void> {
    const { NODE_OPTIONS: _options, REPRISE_SESSION: _session, ...env } = process.env
    const child = spawn(process.execPath, ["--import", SAMPLER, ENGINE, "--store", this.store], {
      stdio: ["ignore", "ignore", "inherit", "pipe"],
      env: { ...env, REPRISE_SAMPLE: this.#sample }
    })
    this.#child = child
    const ready = child.stdio[READY_FD] as Socket
    const [line] = await Promise.race([once(ready, "data"), once(child, "exit")])
    ready.destroy()
    if (!String(line).includes('"Ready"')) throw new Error(`the engine did not start: ${line}`)
  }

  /** SIGTERM ends it cleanly, SIGKILL as a crash would. Its keepers and their sessions go on. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, "exit")
    child.kill(signal)
    await ended
  }

  /** Heap, without compiled code, and buffers of the engine after a collection. */
  async heldBytes(): Promise<number> {
    const { externalBytes, heapBytes } = await this.#read()
    return heapBytes + externalBytes
  }

  /** For root alone. */
  async sample(): Promise<Sample> {
    const own = await this.#read()
    const keepers = (await listKeepers(this.paths.keepers)).map(({ pid }) => pid)
    const sum = (of: (pid: number) => number) => keepers.reduce((total, pid) => total + of(pid), 0)
    return {
      enginePid: own.pid,
      engineFds: fdsOf(own.pid),
      engineThreads: threadsOf(own.pid),
      engineTimers: own.timers,
      engineHandles: own.handles,
      engineHeapBytes: own.heapBytes,
      engineCodeBytes: own.codeBytes,
      engineExternalBytes: own.externalBytes,
      engineWorkerBytes: own.workerBytes,
      engineAnonymousBytes: own.anonymousBytes,
      engineNativeBytes: own.nativeBytes,
      engineFileBytes: own.fileBytes,
      keepers: keepers.length,
      keeperFds: await lowest(() => sum(fdsOf)),
      keeperThreads: sum(threadsOf),
      keeperRssBytes: sum(residentBytesOf)
    }
  }

  async #read() {
    rmSync(this.#sample, { force: true })
    this.#child!.kill("SIGUSR2")
    for (const until = performance.now() + SAMPLE_MILLIS_MAX; performance.now() < until; ) {
      try {
        return JSON.parse(readFileSync(this.#sample, "utf8"))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
      }
      await sleep(LOOK_MILLIS)
    }
    throw new Error(`the engine gave no sample for ${SAMPLE_MILLIS_MAX} ms`)
  }

  /** Keepers outlive an engine, and are ended here. */
  async dispose(): Promise<void> {
    await this.end("SIGKILL")
    await removeStore(this.store)
  }
}

const fdsOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return !TABLE.test(readlinkSync(`/proc/${pid}/fd/${fd}`))
    } catch {
      // Closed since.
      return false
    }
  }).length

/** Asking a keeper who it is opens a connection, which it closes a moment later. */
const lowest = async (look: () => number): Promise<number> => {
  let found = look()
  for (let again = 0; again < LOOKS; again++) {
    await sleep(LOOK_MILLIS)
    found = Math.min(found, look())
  }
  return found
}
