/**
 * Keepers killed at random, alone, together with their engine, or while there is none: the sessions of a dead keeper are
 * lost and say so, without an exit code that nobody saw, and everything that was read of them is there; the sessions of
 * other keepers go on in the same process and lose nothing.
 */
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Sessions } from "../../src/index.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type Campaign, type CampaignRun, count } from "./Campaign.ts"
import { begin, finish } from "./engineKills.ts"
import { lost } from "./killPoints.ts"
import { SessionUnderTorture } from "./SessionUnderTorture.ts"
import { type EngineProcess, type StoreUnderTorture, withStore } from "./StoreUnderTorture.ts"

const PROGRAM = join(import.meta.dirname, "programs/engineOfSmallKeepers.ts")
/** In two keepers. */
const SESSIONS = 4
const KILLS_PER_STORE = 10
const KILL_MILLIS_MAX = 600

export const keeperKills: Campaign = {
  name: "keeperKills",
  run: async (run) => {
    const random = seededRandom(run.seed)
    while (!run.isOver()) {
      await withStore({ tally: run.tally, program: PROGRAM }, (store) => killKeepers(store, run, random))
    }
  }
}

interface Living {
  readonly session: SessionUnderTorture
  readonly pid: number | null
}

/** `killsMax` keepers of one store, one after the other. */
export const killKeepers = async (
  store: StoreUnderTorture,
  { isOver, tally }: Pick<CampaignRun, "isOver" | "tally">,
  random: ReturnType<typeof seededRandom>,
  killsMax = KILLS_PER_STORE
): Promise<void> => {
  let engine = await store.open()
  let living: ReadonlyArray<Living> = []
  for (let kills = 0; kills < killsMax && !isOver(); kills++) {
    living = await filled(store, living)
    const typing = living.map(({ session }, index) => session.type(`kill-${kills}-${index}`))
    if (random.below(2) === 0) typing.push(living[0]!.session.type(`burst ${1 + random.below(20_000)}`))
    await sleep(random.below(KILL_MILLIS_MAX))
    const keepers = (await statusOf(store)).keepers.filter(({ sessions }) => sessions.length > 0)
    const keeper = keepers[random.below(keepers.length)]!
    engine = await kill(store, engine, keeper.pid, random.below(4))
    count(tally, "keeper kills")
    const isLost = ({ session }: Living) => keeper.sessions.includes(session.id)
    const others = living.filter((one) => !isLost(one))
    for (const { session } of living.filter(isLost)) await lost(session, tally)
    // What was on its way to a lost session may be refused; to the others nothing is.
    await Promise.all(
      typing.map((typed, index) => (others.includes(living[index]!) ? typed : typed.catch(() => undefined)))
    )
    for (const { pid, session } of others) {
      await session.type(`after-${kills}`)
      await session.shows(`got after-${kills}\r\n`)
      const view = await session.view()
      if (view.status === "running" && view.pid === pid) continue
      tally.wrong++
      throw session.failure("a session of another keeper", `running, process ${pid}`, `${view.status}, ${view.pid}`)
    }
    living = others
  }
  for (const { session } of living) await finish(session, tally)
  await store.stop()
}

const filled = async (store: StoreUnderTorture, living: ReadonlyArray<Living>): Promise<ReadonlyArray<Living>> => {
  const more = Array.from({ length: SESSIONS - living.length }, async (_, index) => {
    const session = new SessionUnderTorture(store)
    await begin(session, index % 2 === 0 ? "raw" : "secret")
    return { session, pid: (await session.view()).pid }
  })
  return [...living, ...(await Promise.all(more))]
}

const statusOf = (store: StoreUnderTorture) =>
  store.call(
    "status",
    Sessions.use((sessions) => sessions.status)
  )

/** 0 and 1: the keeper alone. 2: the engine with it. 3: the keeper while there is no engine. */
const kill = async (store: StoreUnderTorture, engine: EngineProcess, keeper: number, how: number) => {
  if (how < 2) {
    process.kill(keeper, "SIGKILL")
    return engine
  }
  if (how === 2) process.kill(keeper, "SIGKILL")
  await store.killEngine(engine)
  if (how === 3) process.kill(keeper, "SIGKILL")
  const next = store.startEngine()
  await next.ready
  return next
}
