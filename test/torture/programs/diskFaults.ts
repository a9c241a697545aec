/**
 * Run as a process of its own, in which system calls are made to fail: journals on real LevelDB, one after the other, whose
 * n-th append meets a fault of the disk. Prints one line of JSON: what was tried, and what was lost or doubled.
 *
 *   diskFaults.ts FOLDER RUNS SEED
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { Journal, JournalLevel, type JournalShape } from "../../../journal/index.ts"
import { newSessionId, outputEvent } from "../../contracts/JournalContract.ts"
import { seededRandom } from "../../fixtures/seededRandom.ts"
import { descriptorsOf, limitTo, replaceDescriptor } from "../BrokenDescriptors.ts"

const [folder = "", runs = "0", seed = "1"] = process.argv.slice(2)
const random = seededRandom(Number(seed))

/** EFBIG in the middle of a write; the same, and no descriptor to open the store with; ENOSPC and EIO of the log alone. */
const FAULTS = ["short", "short-then-descriptors", "full", "brokenTerminal"] as const
const APPENDS = 30

const logOf = (database: string): string => {
  const [log] = readdirSync(database)
    .filter((name) => name.endsWith(".log"))
    .sort()
    .slice(-1)
  return join(database, log!)
}

const isBack = (journal: JournalShape) =>
  Effect.callback<void>((resume) => {
    const look = () => {
      if (journal.suspended() !== undefined) return
      stop()
      resume(Effect.void)
    }
    const stop = journal.onSuspended(look)
    look()
  })

/** Breaks something; the answer mends it. */
const breakDisk = (kind: (typeof FAULTS)[number], database: string): (() => void) => {
  const log = logOf(database)
  switch (kind) {
    case "short":
      return limitTo("fileBytes", statSync(log).size + random.below(6000))
    case "short-then-descriptors": {
      const open = readdirSync("/proc/self/fd").length
      const undo = [limitTo("fileBytes", statSync(log).size + random.below(6000)), limitTo("descriptors", open - 2)]
      return () => {
        for (const mend of undo) mend()
      }
    }
    default:
      // The next opening has a descriptor of its own.
      for (const fd of descriptorsOf(database, ".log")) replaceDescriptor(fd, kind)
      return () => {}
  }
}

const tally = {
  runs: 0,
  refused: 0,
  acknowledged: 0,
  lost: 0,
  doubled: 0,
  ghosts: 0,
  damages: 0,
  reasons: {} as Record<string, number>
}

const one = async (kind: (typeof FAULTS)[number], at: number, refusalsMax: number, durability: "process" | "power") => {
  const location = join(folder, `run-${tally.runs}`)
  mkdirSync(location, { mode: 0o700 })
  const layer = () => Layer.fresh(JournalLevel.layer({ location, durability }))
  const stream = newSessionId()
  const acknowledged: Array<string> = []
  const refused: Array<string> = []
  await Effect.runPromise(
    Effect.gen(function* () {
      const journal = yield* Journal
      let mend: (() => void) | undefined
      let refusals = 0
      for (let i = 0; i < APPENDS; i++) {
        if (i === at) mend = breakDisk(kind, join(location, "db"))
        const text = `e${i}.`
        yield* journal.append(stream, [outputEvent(text.padEnd(100 + random.below(4000), "x"))]).pipe(
          Effect.tap(() => Effect.sync(() => acknowledged.push(text))),
          Effect.catchTag("StorageUnavailable", ({ reason }) =>
            Effect.gen(function* () {
              refused.push(text)
              const word = /File too large|No space left|Input\/output error|Too many open/.exec(reason)?.[0] ?? reason
              tally.reasons[word] = (tally.reasons[word] ?? 0) + 1
              // For ever is until so many were refused: what is asked meanwhile is refused at once.
              if (++refusals < refusalsMax) return
              mend?.()
              yield* isBack(journal)
            })
          )
        )
      }
      mend?.()
      yield* isBack(journal)
      yield* journal.append(stream, [outputEvent("last.")])
      acknowledged.push("last.")
    }).pipe(Effect.provide(layer()))
  )
  const texts = await Effect.runPromise(
    Effect.gen(function* () {
      const journal = yield* Journal
      tally.damages += (yield* journal.verify).damages.length
      const events = yield* Stream.runCollect(journal.read(stream))
      return [...events].map(({ event }) =>
        event._tag === "OutputReceived" ? Buffer.from(event.data).toString().replace(/x+$/, "") : ""
      )
    }).pipe(Effect.provide(layer()))
  )
  tally.runs++
  tally.refused += refused.length
  tally.acknowledged += acknowledged.length
  tally.lost += acknowledged.filter((text) => !texts.includes(text)).length
  tally.doubled += texts.length - new Set(texts).size
  tally.ghosts += refused.filter((text) => texts.includes(text)).length
  rmSync(location, { recursive: true, force: true })
}

for (let n = 0; tally.runs < Number(runs); n++) {
  const kind = FAULTS[n % FAULTS.length]!
  await one(
    kind,
    1 + (Math.floor(n / FAULTS.length) % (APPENDS - 5)),
    n % 8 < 4 ? 1 : 3,
    n % 16 < 8 ? "process" : "power"
  )
}
process.stdout.write(`${JSON.stringify(tally)}\n`)
