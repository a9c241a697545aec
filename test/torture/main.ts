/**
 * The campaigns that try to make the engine lose something, for as long as one likes:
 *
 *     npm run torture -- [--seconds N] [--seed S] [--only NAME,NAME] [--fast-exits N] [--keep FOLDER]
 *
 * They run beside each other, so that each finds a busy machine. A line tells every ten seconds how far they are. The first
 * failure ends all of them: seed, campaign, what was expected and a kept copy of the store are printed, and the exit code
 * is 1. Everything happens in temporary folders that are removed at the end.
 */
import { mkdtempSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type Campaign, emptyTally, type Tally } from "./Campaign.ts"
import { damage } from "./damage.ts"
import { engineKills } from "./engineKills.ts"
import { fastExits } from "./fastExits.ts"
import { keeperKills } from "./keeperKills.ts"
import { killPoints } from "./killPoints.ts"

const SECONDS_DEFAULT = 60
const LINE_MILLIS = 10_000
/** 128 + SIGINT, as a shell tells it. */
const INTERRUPTED_EXIT_CODE = 130
/** What a round that has begun may take to its end after a signal. */
const LAST_ROUND_MILLIS = 120_000

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: String(SECONDS_DEFAULT) },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    only: { type: "string" },
    "fast-exits": { type: "string" },
    keep: { type: "string" }
  }
})

const campaigns: ReadonlyArray<Campaign> = [
  engineKills,
  killPoints,
  keeperKills,
  damage,
  fastExits(options["fast-exits"] === undefined ? undefined : Number(options["fast-exits"]))
]

const say = (text: string) => process.stdout.write(`${text}\n`)

const triesOf = (tally: Tally): string => [...tally.tries].map(([name, tries]) => `${tries} ${name}`).join(", ")

const figuresOf = ({ doubled, hangs, lost, processesLeft, wrong }: Tally): string =>
  `${lost} lost, ${doubled} doubled, ${wrong} wrong, ${hangs} hangs, ${processesLeft} processes left`

const main = async (): Promise<number> => {
  const seconds = Number(options.seconds)
  const seed = Number(options.seed)
  const names = options.only?.split(",") ?? campaigns.map(({ name }) => name)
  const unknown = names.find((name) => campaigns.every((campaign) => campaign.name !== name))
  if (unknown !== undefined || !(seconds > 0) || !Number.isSafeInteger(seed)) {
    const known = campaigns.map(({ name }) => name).join("|")
    process.stderr.write(
      `torture: --seconds N --seed S [--only ${known}]${unknown ? `; there is no ${unknown}` : ""}\n`
    )
    return 2
  }
  process.env.REPRISE_TORTURE_KEEP = options.keep ?? mkdtempSync(join(tmpdir(), "reprise-torture-kept-"))
  const began = performance.now()
  const elapsed = () => Math.round((performance.now() - began) / 1000)
  let isInterrupted = false
  let failures = 0
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      isInterrupted = true
      setTimeout(() => process.exit(INTERRUPTED_EXIT_CODE), LAST_ROUND_MILLIS).unref()
    })
  }
  say(
    `torture: ${seconds} s, seed ${seed}, ${names.join(", ")}; node ${process.versions.node}, ${availableParallelism()} cores`
  )
  const tally = emptyTally()
  const line = setInterval(() => say(`${elapsed()} s: ${triesOf(tally)}; ${figuresOf(tally)}`), LINE_MILLIS)
  const isOver = () => isInterrupted || failures > 0 || elapsed() >= seconds
  const runs = campaigns
    .filter(({ name }) => names.includes(name))
    .map(async (campaign) => {
      try {
        await campaign.run({ seed, isOver, tally })
      } catch (error) {
        failures++
        const detail = error instanceof Error ? (error.name === "TortureFailure" ? error.message : error.stack) : error
        say(`FAILED ${campaign.name}, seed ${seed}, after ${elapsed()} s: ${detail}`)
        say(`again:   npm run torture -- --seconds ${seconds} --seed ${seed} --only ${campaign.name}`)
      }
    })
  await Promise.all(runs)
  clearInterval(line)
  say(`\n${elapsed()} s, seed ${seed}`)
  for (const [name, tries] of tally.tries) say(`${String(tries).padStart(8)} ${name}`)
  say(figuresOf(tally))
  if (failures > 0) return 1
  return isInterrupted ? INTERRUPTED_EXIT_CODE : 0
}

process.exit(await main())
