/**
 * A day of an engine in minutes: the load of each hour, then a look at what engine and keepers hold. `npm run soak` runs
 * all of it, a test a slice. What grows from the second hour to the last has no bound in production either. The engine
 * is stopped, killed and started again on the way, as it is in a day; its keepers and two sessions live through all of it.
 */
import assert from "node:assert"
import { setTimeout as sleep } from "node:timers/promises"
import { Effect, ManagedRuntime, Stream } from "effect"
import { Exec } from "../../src/exec/Exec.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { Attach } from "../../src/session/Attach.ts"
import { Lifecycle } from "../../src/session/Lifecycle.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type Sample, SoakEngine } from "./SoakEngine.ts"
import { type HourLoad, type SoakServices, soakHour } from "./SoakLoad.ts"
import { LATE_THREADS, type SoakSample, WARM_HOURS } from "./SoakReport.ts"

/**
 * What an hour leaves behind ends within seconds: clients that broke off are waited for, files are removed. Its text is indexed for
 * at most a fifth of the time, and the thread that does it ends after that.
 */
const QUIET_MILLIS_MAX = 90_000
const QUIET_LOOK_MILLIS = 250
/** Two looks of `IdleMemory` and what follows the second: in an hour of people, a process is idle for as long as this. */
const SETTLE_MILLIS = 5000
/** In the middle of a day. */
const RESTART_HOUR = 12
const STANDING_SESSIONS = 2

export interface SoakOptions {
  readonly hours: number
  readonly seed: number
  readonly load: HourLoad
  /** Bytes are looked at, so the keepers get the time in which they give back what they do not use. Default false. */
  readonly settles?: boolean
  readonly sampled?: (sample: SoakSample) => void
  /** Looked at between hours. */
  readonly isOver?: () => boolean
}

export const soak = async ({
  hours,
  isOver,
  load,
  sampled,
  seed,
  settles = false
}: SoakOptions): Promise<ReadonlyArray<SoakSample>> => {
  const engine = new SoakEngine({ resizeDebounceMillis: 5 })
  const random = seededRandom(seed)
  const samples: Array<SoakSample> = []
  await engine.start()
  const runtime = ManagedRuntime.make(EngineClient.layer({ paths: engine.paths, start: false, actor: "soak" }))
  const run = <A, E>(effect: Effect.Effect<A, E, SoakServices>): Promise<A> => runtime.runPromise(effect)
  try {
    const terminal = await run(Sessions.use((sessions) => sessions.create({ argv: ["cat"], cwd: "/" })))
    const shell = await run(Exec.use((exec) => exec.start({ cwd: "/" })))
    // One client that is there all day.
    runtime.runFork(
      Effect.flatMap(Attach, ({ attach }) => Stream.runDrain(attach(terminal.id, { client: "standing" })))
    )
    for (let hour = 1; hour <= hours && isOver?.() !== true; hour++) {
      await run(soakHour(load, random))
      const again = await run(Exec.use((exec) => exec.exec(shell.id, { code: `n=$((n + 1)); echo $n` })))
      assert.strictEqual(Buffer.from(again.stdout).toString(), `${hour}\n`)
      if (hour === 1) {
        await engine.end("SIGTERM")
        await engine.start()
      }
      if (hour === 1 || (hour === RESTART_HOUR && hours > RESTART_HOUR)) {
        await engine.end("SIGKILL")
        await engine.start()
      }
      const reference = samples.find((sample) => sample.hour === WARM_HOURS)
      const sample: SoakSample = { hour, ...(await quietSample(engine, run, reference, settles)) }
      samples.push(sample)
      sampled?.(sample)
    }
    return samples
  } finally {
    await runtime.dispose()
    await engine.dispose()
  }
}

/** When the hour's sessions have ended and what waits for a while has waited: at the latest after QUIET_MILLIS_MAX, as it is then. */
const quietSample = async (
  engine: SoakEngine,
  run: <A, E>(effect: Effect.Effect<A, E, SoakServices>) => Promise<A>,
  reference: Sample | undefined,
  settles: boolean
): Promise<Omit<SoakSample, "hour">> => {
  const until = performance.now() + QUIET_MILLIS_MAX
  let isSettled = !settles
  for (;;) {
    const { sessions } = await run(Sessions.use((service) => service.status))
    const live = await run(Effect.flatMap(Lifecycle, (lifecycle) => lifecycle.live))
    const sample = await engine.sample()
    const isQuiet =
      sessions.live === STANDING_SESSIONS &&
      live.length === STANDING_SESSIONS &&
      live.reduce((clients, entry) => clients + entry.clients.length, 0) === 1
    const isAsBefore =
      reference === undefined ||
      (["engineFds", "engineThreads", "engineTimers", "engineHandles", "keeperFds", "keeperThreads"] as const).every(
        (name) => sample[name] <= reference[name] + (name === "engineThreads" ? LATE_THREADS : 0)
      )
    if ((isQuiet && isAsBefore) || performance.now() > until) {
      if (isSettled) return { ...sample, storeSessions: sessions.total }
      isSettled = true
      await sleep(SETTLE_MILLIS)
    }
    await sleep(QUIET_LOOK_MILLIS)
  }
}
