/**
 * Programs that print and end at once, 8 at a time with a reader that stops, 8 with one that does not: every byte of each is there, with idle and with busy cores, with
 * readers that read and with ones that stop before, at and after the first piece, and also when the engine stands still
 * for a while, so that the program ends while its terminal is paused. node-pty as it is runs the same beside, in the same
 * run: how many of its outputs are short is told with ours.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { availableParallelism, loadavg } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { sequence } from "../crash/commandLine.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type Campaign, type CampaignRun, count } from "./Campaign.ts"
import { SessionUnderTorture } from "./SessionUnderTorture.ts"
import { type EngineProcess, type StoreUnderTorture, withStore } from "./StoreUnderTorture.ts"

const AT_ONCE = 8
/** Ended programs of one store: its history grows, and other stores are to be tried too. */
const EXITS_PER_STORE = 200
/** Runs of node-pty for each kind of exit; its own start takes longer than most of them. */
const RAW_EXITS = 40
/** 14 KB: what the kernel holds of a terminal that nobody reads, so that the program ends meanwhile. */
const RAW_LAST = 3000
const PAUSE_MILLIS_MAX = 700
/** An engine stands still for at most this long: well below what its keeper and clients wait for. */
const STILL_MILLIS_MAX = 800
/** More runnable processes than this on a core: it is busy. */
const BUSY_PER_CORE = 2
/** Raw terminals are paused for longer than node-pty waits before it throws away the rest (200 ms). */
const RAW_PAUSE_MILLIS = 500

/** `seq 1 LAST`: 17 KB in most tries, as little as 31 bytes, up to 1.4 MB, which fills what a keeper holds. */
const LASTS = [3000, 3000, 3000, 3000, 10, 10, 20_000, 200_000]
const PAUSES = ["before", "at", "after", "engine"] as const

export const fastExits = (exitsMax = Number.POSITIVE_INFINITY): Campaign => ({
  name: "fastExits",
  run: async (run) => {
    let left = exitsMax
    for (let round = 0; !run.isOver() && left > 0; round++) {
      // Beside the other campaigns the cores are busy anyway.
      const isBusy = loadavg()[0]! > BUSY_PER_CORE * availableParallelism()
      const burners = round % 2 === 0 || isBusy ? [] : Array.from({ length: availableParallelism() }, burn)
      try {
        const exits = Math.min(EXITS_PER_STORE, left)
        left -= exits
        await withStore({ tally: run.tally }, (store) => exitFast(store, { ...run, exits, round }))
        await countRaw(run)
      } finally {
        for (const burner of burners) burner.kill("SIGKILL")
      }
    }
  }
})

/** Keeps a core busy. */
const burn = (): ChildProcess => spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" })

interface Round extends CampaignRun {
  readonly exits: number
  readonly round: number
}

const exitFast = async (store: StoreUnderTorture, { exits, isOver, round, seed, tally }: Round): Promise<void> => {
  const random = seededRandom(seed * 1000 + round)
  const engine = await store.open()
  let left = exits
  const worker = async (isPaused: boolean) => {
    while (left-- > 0 && !isOver()) {
      const last = LASTS[random.below(LASTS.length)]!
      const pause = isPaused ? PAUSES[random.below(PAUSES.length)]! : "none"
      await exitFastOnce(store, engine, {
        last,
        pause,
        pauseMillis: 100 + random.below(PAUSE_MILLIS_MAX),
        code: random.below(256)
      })
      count(tally, pause === "none" ? "fast exits" : "fast exits, paused")
    }
  }
  await Promise.all(Array.from({ length: 2 * AT_ONCE }, (_, index) => worker(index < AT_ONCE)))
  await store.stop()
}

export interface FastExit {
  readonly last: number
  readonly pause: (typeof PAUSES)[number] | "none"
  readonly pauseMillis: number
  readonly code: number
}

/** One program from its start to its end, compared to the byte. */
export const exitFastOnce = async (
  store: StoreUnderTorture,
  engine: EngineProcess,
  { code, last, pause, pauseMillis }: FastExit
): Promise<void> => {
  const session = new SessionUnderTorture(store)
  const argv = code === 0 ? ["seq", "1", String(last)] : ["sh", "-c", `seq 1 ${last}; exit ${code}`]
  const created = session.create({ argv })
  if (pause === "engine") {
    // What the program prints now stays with the keeper; above its bound the terminal is paused.
    engine.child.kill("SIGSTOP")
    await sleep(Math.min(pauseMillis, STILL_MILLIS_MAX))
    engine.child.kill("SIGCONT")
  }
  await created
  if (pause === "before") await sleep(pauseMillis)
  let pieces = 0
  session.follow(async () => {
    pieces++
    if ((pause === "at" && pieces === 1) || (pause === "after" && pieces === 2)) await sleep(pauseMillis)
  })
  const { exitCode, reason } = await session.untilEnd()
  const expected = Buffer.from(sequence(last))
  const { output } = session
  if (!output.equals(expected)) {
    if (output.length < expected.length) store.tally.lost++
    else store.tally.wrong++
    throw session.failure(
      `seq 1 ${last}, reader paused: ${pause}`,
      `${expected.length} bytes`,
      `${output.length} bytes`
    )
  }
  if (exitCode !== code || reason !== "exited") {
    store.tally.wrong++
    throw session.failure("its end", `exited, ${code}`, `${reason}, ${exitCode}`)
  }
}

const countRaw = async ({ tally }: CampaignRun): Promise<void> => {
  for (const pauseMillis of [0, RAW_PAUSE_MILLIS]) {
    const paused = pauseMillis > 0 ? ", paused" : ""
    count(tally, `raw node-pty${paused}`, RAW_EXITS)
    count(tally, `raw node-pty${paused}, short`, await rawShort(RAW_LAST, RAW_EXITS, pauseMillis))
  }
}

/** How many of `times` outputs of `seq 1 last` are short with node-pty alone. */
export const rawShort = async (last: number, times: number, pauseMillis: number): Promise<number> => {
  const program = join(import.meta.dirname, "programs/rawPtys.ts")
  const child = spawn(process.execPath, [program, String(last), String(times), String(pauseMillis)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  let text = ""
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part
  })
  await new Promise((resolve) => child.once("close", resolve))
  return (JSON.parse(text) as { readonly short: number }).short
}
