/**
 * Engines that die at a named instruction (journal/KillPoint.ts), each of them in turn: whatever stands there is done
 * either wholly or not at all. Sessions are read and typed into meanwhile, short ones come and go, what one engine leaves
 * undone the next one does, and everything is compared in the end. A point that no engine comes to is a failure: a crash
 * was to be tried there and was not.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Schedule } from "effect"
import { KILL_POINTS, type KillPointName } from "../../journal/KillPoint.ts"
import { Sessions } from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { STORE_BYTES_MIN } from "../../src/session/EngineConfig.ts"
import { sequence } from "../crash/commandLine.ts"
import { bytesIn } from "../fixtures/bytesIn.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type Campaign, type CampaignRun, count, type Tally } from "./Campaign.ts"
import { begin, finish } from "./engineKills.ts"
import { checkNumbered } from "./NumberedProgram.ts"
import { SessionUnderTorture } from "./SessionUnderTorture.ts"
import { type EngineProcess, type StoreUnderTorture, withStore } from "./StoreUnderTorture.ts"
import { TortureFailure } from "./TortureFailure.ts"

/** Sessions that live while engines die. */
const SESSIONS = 3
/** What an engine may be driven at most until it has come to its point. */
const DRIVES_MAX = 40
/** Room below the quota before a store is full: it is looked at once for 256 KiB. As much above it, it is full when its engine starts. */
const ROOM_BYTES = 64 * 1024
/** Lines of one burst that fills it, 13 bytes each. */
const BURST_LINES = 30_000

/** How often at most an engine comes to a point that it does not come to again and again. */
const comingsMax = (point: KillPointName): number => {
  if (/^(engine\.started|recovery\.keepers|journal\.reopen\.after)/.test(point)) return 1
  if (/^(recovery|session\.lost)\./.test(point)) return SESSIONS
  return Number.POSITIVE_INFINITY
}

/** Those of retention are tried where retention is (test/crash/RetentionKill.test.ts), and so are the others that no engine comes to. */
export const ENGINE_POINTS: ReadonlyArray<KillPointName> = KILL_POINTS.filter(
  (name) => !/^(retention|redaction|storekey)\./.test(name)
)

export const killPoints: Campaign = {
  name: "killPoints",
  run: async (run) => {
    const random = seededRandom(run.seed)
    for (let times = 1; !run.isOver(); times = 4) await dieAtEach(ENGINE_POINTS, { ...run, random, times })
  }
}

export interface DieOptions extends Pick<CampaignRun, "tally" | "isOver"> {
  readonly random: ReturnType<typeof seededRandom>
  /** Dies when it comes there for the n-th time, n drawn up to this. */
  readonly times: number
}

/** In one store an engine dies at each of the points, in an order that is drawn. */
export const dieAtEach = (points: ReadonlyArray<KillPointName>, options: DieOptions): Promise<void> =>
  withStore({ tally: options.tally }, async (store) => {
    const dying = new DyingStore(store, options)
    await dying.begin()
    const ordered = shuffled(points, options.random)
    for (const point of ordered.filter((one) => !isSpecial(one))) {
      if (options.isOver()) break
      await dying.die(point)
    }
    for (const point of ordered.filter(isSpecial)) {
      if (options.isOver()) break
      // Sessions are lost there, or nothing can be journaled: nothing else may be under way.
      await dying.settle()
      await dying.die(point)
    }
    await dying.finish()
  })

const isSpecial = (point: KillPointName): boolean => /^(session\.lost|journal\.reopen)\./.test(point)

const shuffled = <A>(items: ReadonlyArray<A>, random: DieOptions["random"]): ReadonlyArray<A> => {
  const rest = [...items]
  return items.map(() => rest.splice(random.below(rest.length), 1)[0]!)
}

class DyingStore {
  readonly #store: StoreUnderTorture
  readonly #options: DieOptions
  readonly #tally: Tally
  #engine!: EngineProcess
  #living: ReadonlyArray<SessionUnderTorture> = []
  /** Asked of engines that have died since. */
  #pending: Array<Promise<void>> = []
  #drives = 0

  constructor(store: StoreUnderTorture, options: DieOptions) {
    this.#store = store
    this.#options = options
    this.#tally = options.tally
  }

  async begin(): Promise<void> {
    this.#engine = await this.#store.open()
    await this.#newSessions()
  }

  async #newSessions(): Promise<void> {
    this.#living = Array.from({ length: SESSIONS }, () => new SessionUnderTorture(this.#store))
    await Promise.all(this.#living.map((session, index) => begin(session, index === 0 ? "secret" : "raw")))
  }

  /** With an engine that does not die everything that was asked is done. */
  async settle(): Promise<void> {
    await this.#next()
    await Promise.all(this.#pending.splice(0))
  }

  async #next(armed?: string): Promise<EngineProcess> {
    await this.#store.killEngine(this.#engine)
    this.#engine = this.#store.startEngine(armed)
    return this.#engine
  }

  async die(point: KillPointName): Promise<void> {
    const { random, times } = this.#options
    const armed = `${point}:${1 + random.below(Math.min(times, comingsMax(point)))}`
    const isFull = point.startsWith("journal.reopen")
    if (isFull) {
      await this.#store.killEngine(this.#engine)
      this.#fill()
    }
    const engine = await this.#next(armed)
    let isDead = false
    const died = engine.ended.then((signal) => {
      isDead = true
      if (signal === "SIGKILL") return
      const found = `exit code ${engine.child.exitCode}, signal ${signal}`
      throw this.#failure(armed, "a death by SIGKILL at the point", found)
    })
    await Promise.race([engine.ready, died])
    if (point.startsWith("session.lost")) await this.#killKeepers()
    const work = isFull ? this.#burst : this.#drive
    for (let i = 0; i < DRIVES_MAX && !isDead && !point.startsWith("session.lost"); i++) {
      const drive = work()
      drive.catch(() => undefined)
      this.#pending.push(drive)
      await Promise.race([drive, died, ...(point === "journal.reopen.after" ? [this.#makeRoom(engine)] : [])])
    }
    await this.#store.within(`${armed} to be reached`, () => died)
    if (isFull) {
      rmSync(this.#filler, { force: true })
      rmSync(this.#store.paths.config, { force: true })
    }
    count(this.#tally, "kill points")
    if (point.startsWith("session.lost")) {
      await this.#next()
      for (const session of this.#living) await lost(session, this.#tally)
      await this.#newSessions()
    }
  }

  async finish(): Promise<void> {
    await this.settle()
    for (const session of this.#living) await finish(session, this.#tally)
    await this.#store.stop()
  }

  get #filler(): string {
    return join(this.#store.paths.store, "filler")
  }

  /** To just below its quota, or above it. */
  #fill(): void {
    const { config, store } = this.#store.paths
    const room = this.#options.random.below(2) === 0 ? ROOM_BYTES : -ROOM_BYTES
    const bytes = STORE_BYTES_MIN - room - bytesIn(store)
    if (bytes > 0) writeFileSync(this.#filler, Buffer.alloc(bytes))
    writeFileSync(
      config,
      JSON.stringify({ limits: { storeBytes: Math.max(STORE_BYTES_MIN, STORE_BYTES_MIN - bytes) } })
    )
  }

  /** Once the store is full. Given up with the engine: the next one has room, and would never say that it is full. */
  async #makeRoom(engine: EngineProcess): Promise<void> {
    const left = new AbortController()
    const ended = engine.ended.then(() => left.abort())
    const untilFull = Sessions.use((sessions) => sessions.status).pipe(
      Effect.repeat({ until: ({ suspended }) => suspended !== null, schedule: Schedule.spaced("20 millis") }),
      Effect.asVoid
    )
    await this.#store.follow(untilFull, left.signal)
    rmSync(this.#filler, { force: true })
    rmSync(this.#store.paths.config, { force: true })
    await ended
  }

  async #killKeepers(): Promise<void> {
    for (const { pid } of await listKeepers(this.#store.paths.keepers)) process.kill(pid, "SIGKILL")
  }

  readonly #burst = (): Promise<void> => this.#living.at(-1)!.type(`burst ${BURST_LINES}`)

  /** Types a line into each session, and runs a short one from its creation to its end. */
  readonly #drive = async (): Promise<void> => {
    const number = this.#drives++
    const typing = Promise.all(this.#living.map((session) => session.type(`input-${number}`)))
    const last = 1 + (number % 10) * 300
    const session = new SessionUnderTorture(this.#store)
    await session.create({ argv: ["sh", "-c", `seq 1 ${last}; exit ${number % 200}`] })
    session.follow()
    const { exitCode } = await session.untilEnd()
    if (!session.output.equals(Buffer.from(sequence(last)))) {
      this.#tally.lost++
      throw session.failure("its output", `seq 1 ${last}`, `${session.output.length} bytes`)
    }
    if (exitCode !== number % 200) {
      this.#tally.wrong++
      throw session.failure("its exit code", String(number % 200), String(exitCode))
    }
    await session.checkReplay()
    await typing
  }

  #failure(what: string, expected: string, found: string): TortureFailure {
    return new TortureFailure(what, { expected, found, store: this.#store.paths.store })
  }
}

/** Its keeper is gone: it says so, invents no exit code, and what was read of it is there and right. */
export const lost = async (session: SessionUnderTorture, tally: Tally): Promise<void> => {
  const { exitCode, reason, signal } = await session.untilEnd()
  if (reason !== "lost" || exitCode !== null || signal !== null) {
    tally.wrong++
    throw session.failure("its end", "lost, with no exit code and no signal", `${reason}, ${exitCode}, ${signal}`)
  }
  const { output, store, typed } = session
  checkNumbered(tally, {
    where: `lost session ${session.id}`,
    output,
    typed,
    isWhole: false,
    store: store.paths.store
  })
  await session.checkReplay()
  count(tally, "sessions compared")
}
