/**
 * Engines killed at random: programs that print numbered lines and echo what is typed, short programs that come and go, and
 * an engine that dies every second or so, at any age from its first milliseconds on. In the end every byte is there once
 * and in its place, for who read live and for who reads now, every acknowledged line was typed once, every exit code is
 * the program's, and nothing is left running.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { sequence } from "../crash/commandLine.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type Campaign, type CampaignRun, count, type Tally } from "./Campaign.ts"
import { checkNumbered, EXIT_CODE, numberedProgram } from "./NumberedProgram.ts"
import { SessionUnderTorture } from "./SessionUnderTorture.ts"
import { type EngineProcess, type StoreUnderTorture, withStore } from "./StoreUnderTorture.ts"
import { TortureFailure } from "./TortureFailure.ts"

/** Stores at the same time, each with its own engine. */
const STORES = 3
const SESSIONS = 4
/** Kills of one store before its sessions are ended and compared. */
const KILLS_PER_ROUND = 15
const KILL_MILLIS_MAX = 500
/** So often, in percent, an engine is killed by its age since the fork and not since it answers: in its recovery, mostly. */
const YOUNG_PERCENT = 35
/** Of an engine's deaths in its youth in a row: calls are repeated, but nothing would ever get on. */
const YOUNG_MAX = 3
/** So often, in percent, two engines are started at once. */
const TWINS_PERCENT = 20

type Random = ReturnType<typeof seededRandom>

export const engineKills: Campaign = {
  name: "engineKills",
  run: async (run) => {
    const workers = Array.from({ length: STORES }, async (_, index) => {
      const random = seededRandom(run.seed * STORES + index)
      while (!run.isOver()) await withStore({ tally: run.tally }, (store) => round(store, run, random))
    })
    await Promise.all(workers)
  }
}

/** One store's life. */
export const round = async (
  store: StoreUnderTorture,
  { isOver, tally }: Pick<CampaignRun, "isOver" | "tally">,
  random: Random,
  killsMax = KILLS_PER_ROUND
): Promise<void> => {
  const killer = new Killer(store, tally, random)
  await killer.start()
  await killer.engine.ready
  await store.connect()
  const sessions = Array.from({ length: SESSIONS }, () => new SessionUnderTorture(store))
  let over = false
  const killing = killer.kill(killsMax, () => over || isOver())
  const driving = sessions.map((session, index) => drive(session, index, random, () => over))
  const coming = comeAndGo(store, random, () => over, tally)
  // Whoever fails first ends the others, so that nothing of this round goes on behind its store.
  const all = Promise.all([
    killing.then(() => {
      over = true
    }),
    ...driving,
    coming
  ])
  try {
    await all
  } catch (error) {
    over = true
    await Promise.allSettled([killing, ...driving, coming])
    throw error
  }
  for (const session of sessions) await finish(session, tally)
  await store.stop()
}

/** Ends the program by its own word and compares everything that is known of it. */
export const finish = async (session: SessionUnderTorture, tally: Tally): Promise<void> => {
  await session.type("end")
  const { exitCode, reason } = await session.untilEnd()
  const { output, store, typed } = session
  const where = `session ${session.id}`
  checkNumbered(tally, { where, output, typed, isWhole: true, store: store.paths.store })
  if (exitCode !== EXIT_CODE || reason !== "exited") {
    tally.wrong++
    throw session.failure("its end", `exited, ${EXIT_CODE}`, `${reason}, ${exitCode}`)
  }
  await session.checkReplay()
  count(tally, "sessions compared")
}

export const begin = async (session: SessionUnderTorture, mode: "raw" | "secret"): Promise<void> => {
  await session.create({ argv: numberedProgram(mode) })
  session.follow()
  await session.shows("ready\r\n")
}

const drive = async (session: SessionUnderTorture, index: number, random: Random, isOver: () => boolean) => {
  await begin(session, index % 2 === 0 ? "raw" : "secret")
  for (let i = 0; !isOver(); i++) {
    await session.type(random.below(12) === 0 ? `burst ${1 + random.below(8000)}` : `input-${i}`)
    await sleep(random.below(150))
  }
}

/** Sessions are created, print and end while engines die: their whole life is exact. */
const comeAndGo = async (store: StoreUnderTorture, random: Random, isOver: () => boolean, tally: Tally) => {
  while (!isOver()) {
    const session = new SessionUnderTorture(store)
    const last = [1, 3000, 20_000][random.below(3)]!
    const code = random.below(200)
    await session.create({ argv: ["sh", "-c", `seq 1 ${last}; exit ${code}`] })
    session.follow()
    const { exitCode, reason } = await session.untilEnd()
    if (!session.output.equals(Buffer.from(sequence(last)))) {
      tally.lost++
      throw session.failure(`seq 1 ${last}`, `${sequence(last).length} bytes`, `${session.output.length} bytes`)
    }
    if (exitCode !== code || reason !== "exited") {
      tally.wrong++
      throw session.failure("its end", `exited, ${code}`, `${reason}, ${exitCode}`)
    }
    await session.checkReplay()
    count(tally, "sessions compared")
    await sleep(random.below(300))
  }
}

/** Kills the engine of a store again and again, and starts the next one, as the next command does. */
export class Killer {
  readonly #store: StoreUnderTorture
  readonly #tally: Tally
  readonly #random: Random
  #engine: EngineProcess | undefined
  #young = 0

  constructor(store: StoreUnderTorture, tally: Tally, random: Random) {
    this.#store = store
    this.#tally = tally
    this.#random = random
  }

  get engine(): EngineProcess {
    return this.#engine!
  }

  /** Of two that are started at once the one that does not get the store ends by itself. */
  async start(): Promise<void> {
    const isTwin = this.#random.below(100) < TWINS_PERCENT
    const engine = this.#store.startEngine()
    this.#engine = engine
    if (!isTwin) return this.#young < YOUNG_MAX ? undefined : engine.ready
    const twin = this.#store.startEngine()
    await Promise.all([engine.ready, twin.ready])
    const winner = await Promise.race([
      engine.ended.then(() => twin),
      twin.ended.then(() => engine),
      // Both are there only for a moment: the one that found the other ends.
      sleep(10_000).then(() => undefined)
    ])
    if (winner !== undefined) this.#engine = winner
  }

  async kill(killsMax: number, isOver: () => boolean): Promise<void> {
    for (let kills = 0; kills < killsMax && !isOver(); ) {
      const engine = this.engine
      const isYoung = this.#young < YOUNG_MAX && this.#random.below(100) < YOUNG_PERCENT
      if (!isYoung) await engine.ready
      this.#young = isYoung ? this.#young + 1 : 0
      await sleep(1 + this.#random.below(KILL_MILLIS_MAX))
      if (await this.#store.killEngine(engine)) {
        kills++
        count(this.#tally, "engine kills")
      } else {
        throw new TortureFailure("the engine", {
          expected: "to live until it is killed",
          found: `its end by itself: exit code ${engine.child.exitCode}, signal ${engine.child.signalCode}`,
          store: this.#store.paths.store
        })
      }
      await sleep(this.#random.below(50))
      await this.start()
    }
    await this.engine.ready
  }
}
