/**
 * A real engine in this process, on LevelDB and with real keepers, whose storage and sockets fail as a plan says. It comes and
 * goes as its user says; its keepers and their sessions go on meanwhile. Used by `faultyRound` and tests.
 */

import { mkdirSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Exit, Layer, ManagedRuntime, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { type Journal, JournalLevel } from "../../journal/index.ts"
import * as SessionEngine from "../../src/SessionEngine.ts"
import { History } from "../../src/session/History.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { KEEPER_PORT } from "../../src/session/Hosts.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { prepareStoreFolder } from "../../src/session/StoreFolder.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { removeStore } from "../fixtures/removeStore.ts"
import { type Decide, FaultPlan } from "./FaultPlan.ts"
import { faultySocket } from "./FaultySocket.ts"
import { FaultyStorage } from "./FaultyStorage.ts"

type Services = Sessions | History | Journal

/** The published program: it starts several times faster than its source. */
const KEEPER_ENTRY = fileURLToPath(new URL("../../dist/bin/keeper.js", import.meta.url))
/** Attempts to start the engine while its storage fails. */
const OPENINGS_MAX = 50

export class FaultyEngine {
  readonly plan: FaultPlan
  readonly paths: StorePaths
  readonly #doors: string
  readonly #storage: Decide
  readonly #socket: Decide
  #runtime: ManagedRuntime.ManagedRuntime<Services, unknown> | undefined

  constructor(options: { readonly seed: number; readonly storage: Decide; readonly socket: Decide }) {
    this.plan = new FaultPlan(options.seed)
    this.#storage = options.storage
    this.#socket = options.socket
    const folder = mkdtempSync(join(tmpdir(), "reprise-faults-"))
    this.paths = storePaths(join(folder, "store"))
    this.#doors = join(folder, "d")
    mkdirSync(this.#doors, { mode: 0o700 })
  }

  /** Starts it, again and again while its storage does not let it. */
  async start(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      prepareStoreFolder(this.paths)
      const runtime = ManagedRuntime.make(this.#layer() as Layer.Layer<Services, unknown>)
      const exit = await runtime.runPromiseExit(Sessions)
      this.#runtime = runtime
      if (Exit.isSuccess(exit)) return
      await runtime.dispose()
      if (this.plan.isOver || attempt >= OPENINGS_MAX)
        throw new Error(`the engine does not start: ${String(exit.cause)}`)
    }
  }

  run<A>(effect: Effect.Effect<A, unknown, Services>): Promise<Exit.Exit<A, unknown>> {
    return this.#runtime!.runPromiseExit(effect)
  }

  async stop(): Promise<void> {
    await this.#runtime?.dispose()
    this.#runtime = undefined
  }

  /** All output of a session that is in the journal. */
  async outputOf(session: SessionId): Promise<Buffer | undefined> {
    const parts: Array<Uint8Array> = []
    const exit = await this.run(
      History.use((history) =>
        Stream.runForEach(history.events(session), ({ event }) =>
          Effect.sync(() => {
            if (event._tag === "OutputReceived") parts.push(event.data)
          })
        )
      )
    )
    return Exit.isSuccess(exit) ? Buffer.concat(parts) : undefined
  }

  async dispose(): Promise<void> {
    await this.stop()
    await removeStore(this.paths.store, join(this.paths.store, ".."))
  }

  #layer() {
    const connect = faultySocket(this.#doors, this.plan.port("socket", this.#socket))
    return SessionEngine.layer({
      paths: this.paths,
      keeperEntry: KEEPER_ENTRY,
      keepers: { ...KEEPER_PORT, connect }
    }).pipe(
      Layer.provideMerge(HistoryLive.layer),
      Layer.provideMerge(
        JournalLevel.layer({
          location: this.paths.journal,
          wrapStorage: (storage) => new FaultyStorage(storage, this.plan.port("storage", this.#storage))
        })
      ),
      Layer.fresh
    )
  }
}
