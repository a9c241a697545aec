/**
 * The campaigns that try to make the engine lose something, for as long as one likes:
 *
 *     npm run torture -- [--seconds N] [--seed S] [--only NAME,NAME] [--fast-exits N] [--keep FOLDER]
 *
 * They run beside each other, each in a process of its own (one of them replaces the clock of its process). A line tells
 * every ten seconds how far they are. The first failure ends all of them: seed, campaign, what was expected and a kept copy
 * of the store are printed, and the exit code is 1. Everything else happens in temporary folders that are removed.
 */
import { type ChildProcess, fork } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { numberOption, scriptOptions } from "../fixtures/scriptOptions.ts"
import { type Campaign, count, emptyTally, type Tally } from "./Campaign.ts"
import { damage } from "./damage.ts"
import { engineKills } from "./engineKills.ts"
import { fastExits } from "./fastExits.ts"
import { faultCampaign } from "./faultCampaign.ts"
import { keeperKills } from "./keeperKills.ts"
import { killPoints } from "./killPoints.ts"

const SECONDS_DEFAULT = 60
const LINE_MILLIS = 10_000
/** How often a campaign tells how far it is. */
const TELL_MILLIS = 1000
/** 128 + SIGINT, as a shell tells it. */
const INTERRUPTED_EXIT_CODE = 130
/** What a round that has begun may take to its end after a signal. */
const LAST_ROUND_MILLIS = 120_000

const campaignsOf = (exits: number | undefined): ReadonlyArray<Campaign> => [
  engineKills,
  killPoints,
  keeperKills,
  damage,
  faultCampaign,
  fastExits(exits)
]

const USAGE = `npm run torture -- [--seconds N] [--seed S] [--only NAME,NAME] [--fast-exits N] [--keep FOLDER]

  --seconds N     how long (default: ${SECONDS_DEFAULT}); what has begun by then is finished
  --seed S        the same seed makes the same faults (default: another one each time)
  --only NAMES    of ${campaignsOf(undefined)
    .map(({ name }) => name)
    .join(", ")}
  --fast-exits N  ends that campaign after so many programs
  --keep FOLDER   where the store of a failure is put (default: a new folder)

0: nothing was lost. 1: something was, and the seed and how to run it again are printed.`

const options = scriptOptions(USAGE, {
  seconds: { type: "string" },
  seed: { type: "string" },
  only: { type: "string" },
  "fast-exits": { type: "string" },
  keep: { type: "string" },
  /** This is the process of that campaign. */
  one: { type: "string" }
})
const campaigns = campaignsOf(numberOption(USAGE, "fast-exits", options["fast-exits"], 1))

/** A campaign may replace the timers of its process. */
const realSetInterval = setInterval

const say = (text: string) => process.stdout.write(`${text}\n`)

const triesOf = (tally: Tally): string => [...tally.tries].map(([name, tries]) => `${tries} ${name}`).join(", ")

const figuresOf = ({ doubled, hangs, lost, processesLeft, wrong }: Tally): string =>
  `${lost} lost, ${doubled} doubled, ${wrong} wrong, ${hangs} hangs, ${processesLeft} processes left`

/** What a campaign's process tells: everything so far. */
type Told = Omit<Tally, "tries"> & { readonly tries: ReadonlyArray<[string, number]> }

/** One campaign, in this process. */
const run = async (campaign: Campaign, seconds: number, seed: number): Promise<number> => {
  const tally = emptyTally()
  const began = performance.now()
  const elapsed = () => Math.round((performance.now() - began) / 1000)
  let isInterrupted = false
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      isInterrupted = true
    })
  }
  process.on("disconnect", () => {
    isInterrupted = true
  })
  const tell = () => process.send?.({ ...tally, tries: [...tally.tries] } satisfies Told)
  const telling = realSetInterval(tell, TELL_MILLIS)
  let code = 0
  try {
    await campaign.run({ seed, tally, isOver: () => isInterrupted || elapsed() >= seconds })
  } catch (error) {
    code = 1
    const detail = error instanceof Error ? (error.name === "TortureFailure" ? error.message : error.stack) : error
    say(`FAILED ${campaign.name}, seed ${seed}, after ${elapsed()} s: ${detail}`)
    say(`again:   npm run torture -- --seconds ${seconds} --seed ${seed} --only ${campaign.name}`)
  }
  clearInterval(telling)
  await new Promise<void>((resolve) => {
    if (process.send === undefined) resolve()
    else process.send({ ...tally, tries: [...tally.tries] } satisfies Told, () => resolve())
  })
  return code
}

const sum = (all: Iterable<Told>): Tally => {
  const tally = emptyTally()
  for (const { tries, ...figures } of all) {
    for (const [what, times] of tries) count(tally, what, times)
    for (const [name, value] of Object.entries(figures)) tally[name as keyof typeof figures] += value
  }
  return tally
}

/** Each in a process of its own. */
const runAll = async (names: ReadonlyArray<string>, seconds: number, seed: number): Promise<number> => {
  const began = performance.now()
  const elapsed = () => Math.round((performance.now() - began) / 1000)
  const told = new Map<string, Told>()
  const children = new Set<ChildProcess>()
  let code = 0
  const end = () => {
    for (const child of children) child.kill("SIGINT")
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      code ||= INTERRUPTED_EXIT_CODE
      end()
      setTimeout(() => {
        for (const child of children) child.kill("SIGKILL")
      }, LAST_ROUND_MILLIS).unref()
    })
  }
  if (options.keep !== undefined) mkdirSync(options.keep, { recursive: true })
  const keep = options.keep ?? mkdtempSync(join(tmpdir(), "reprise-torture-kept-"))
  const given = options["fast-exits"] === undefined ? [] : ["--fast-exits", options["fast-exits"]]
  const line = setInterval(() => {
    const tally = sum(told.values())
    say(`${elapsed()} s: ${triesOf(tally)}; ${figuresOf(tally)}`)
  }, LINE_MILLIS)
  await Promise.all(
    names.map(async (name) => {
      const args = ["--one", name, "--seconds", String(seconds), "--seed", String(seed), ...given]
      // Of its own process group: a Ctrl-C reaches it through this process, once.
      const child = fork(import.meta.filename, args, {
        env: { ...process.env, REPRISE_TORTURE_KEEP: keep },
        detached: true
      })
      children.add(child)
      child.on("message", (message) => told.set(name, message as Told))
      await new Promise<void>((resolve) => {
        child.once("exit", (exitCode, signal) => {
          children.delete(child)
          if (exitCode !== 0) {
            if (exitCode !== 1) say(`FAILED ${name}, seed ${seed}: its process ended with ${exitCode ?? signal}`)
            code ||= 1
            end()
          }
          resolve()
        })
      })
    })
  )
  clearInterval(line)
  const tally = sum(told.values())
  say(`\n${elapsed()} s, seed ${seed}`)
  for (const [name, tries] of tally.tries) say(`${String(tries).padStart(8)} ${name}`)
  say(figuresOf(tally))
  if (readdirSync(keep).length === 0 && options.keep === undefined) rmSync(keep, { recursive: true })
  return code
}

const main = async (): Promise<number> => {
  const seconds = numberOption(USAGE, "seconds", options.seconds, 1) ?? SECONDS_DEFAULT
  const seed = numberOption(USAGE, "seed", options.seed, 0) ?? Date.now() % 1_000_000
  const one = campaigns.find(({ name }) => name === options.one)
  if (one !== undefined) return run(one, seconds, seed)
  const names = options.only?.split(",") ?? campaigns.map(({ name }) => name)
  const unknown = names.find((name) => campaigns.every((campaign) => campaign.name !== name))
  if (unknown !== undefined) {
    process.stderr.write(`there is no ${JSON.stringify(unknown)}\n\n${USAGE}\n`)
    return 2
  }
  say(
    `torture: ${seconds} s, seed ${seed}, ${names.join(", ")}; node ${process.versions.node}, ${availableParallelism()} cores`
  )
  return runAll(names, seconds, seed)
}

process.exit(await main())
