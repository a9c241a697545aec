/**
 * Damaged copies of a store that a real engine wrote and closed: one bit flipped, a file cut off, a stretch overwritten or
 * zeroed, at places drawn. Whatever the damage is, no event is served that was not appended at its place, and none is
 * missing without a word about it.
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Effect, Layer, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Journal, JournalLevel } from "../../journal/index.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { type Campaign, type CampaignRun, count } from "./Campaign.ts"
import type { Served } from "./programs/readDamaged.ts"
import { SessionUnderTorture } from "./SessionUnderTorture.ts"
import { type StoreUnderTorture, withStore } from "./StoreUnderTorture.ts"
import { TortureFailure } from "./TortureFailure.ts"

const READER = join(import.meta.dirname, "programs/readDamaged.ts")
/** Engines in turn: what one leaves in its log becomes a table at the next opening. */
const ENGINES = 3
const SESSIONS_PER_ENGINE = 3
const LINES_MAX = 20_000
/** Damages of one store; then another one is written. */
const DAMAGES_PER_STORE = 400
const STRETCH_BYTES_MAX = 6000
/** LevelDB's diary, and a file that is empty on purpose: nothing is read from them. */
const UNREAD = /(^|\/)(LOG|LOG\.old|LOCK)$/

type Random = ReturnType<typeof seededRandom>
type Expected = ReadonlyArray<readonly [SessionId, ReadonlyArray<string>]>

export const damage: Campaign = {
  name: "damage",
  run: async (run) => {
    const random = seededRandom(run.seed)
    while (!run.isOver()) {
      await withStore({ tally: run.tally }, (store) => damageCopies(store, run, random, DAMAGES_PER_STORE))
    }
  }
}

/** Writes a store, and reads copies of it, each damaged in one place. */
export const damageCopies = async (
  store: StoreUnderTorture,
  { isOver, tally }: Pick<CampaignRun, "isOver" | "tally">,
  random: Random,
  damages: number
): Promise<void> => {
  const sessions = await written(store, random)
  const expected = await Effect.runPromise(
    digests(sessions).pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location: store.paths.journal }))))
  )
  const expectedFile = join(store.folder, "expected.json")
  writeFileSync(expectedFile, JSON.stringify(expected))
  const copy = join(store.folder, "copy")
  const reader = new Reader(expectedFile)
  try {
    for (let i = 0; i < damages && !isOver(); i++) {
      rmSync(copy, { recursive: true, force: true })
      cpSync(store.paths.journal, copy, { recursive: true })
      chmodSync(copy, 0o700)
      const what = damageOne(copy, random)
      const served = await reader.read(copy)
      count(tally, "damages")
      if (served === undefined) throw failure(store, what, "a verified prefix, or a refusal", "the end of the process")
      if (served.wrong > 0) {
        tally.wrong += served.wrong
        throw failure(store, what, "only what was appended", `${served.wrong} events that were not`)
      }
      if (served.missing > 0 && served.named === undefined) {
        tally.lost += served.missing
        throw failure(store, what, "a word about what is missing", `${served.missing} events missing, and none`)
      }
    }
  } finally {
    reader.close()
  }
}

const failure = (store: StoreUnderTorture, what: string, expected: string, found: string) =>
  new TortureFailure(`damage: ${what}`, { expected, found, store: store.paths.store })

/** Sessions with output of many sizes, over a few engines that all stop cleanly. */
const written = async (store: StoreUnderTorture, random: Random): Promise<ReadonlyArray<SessionId>> => {
  const ids: Array<SessionId> = []
  for (let engines = 0; engines < ENGINES; engines++) {
    await store.open()
    for (let i = 0; i < SESSIONS_PER_ENGINE; i++) {
      const session = new SessionUnderTorture(store)
      await session.create({ argv: ["seq", "1", String(1 + random.below(LINES_MAX))] })
      session.follow()
      await session.untilEnd()
      ids.push(session.id)
    }
    await store.stop()
  }
  return ids
}

const digests = (sessions: ReadonlyArray<SessionId>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const expected: Array<Expected[number]> = []
    for (const session of sessions) {
      const entries = yield* Stream.runCollect(journal.read(session))
      expected.push([
        session,
        [...entries].map((entry) => createHash("sha256").update(JSON.stringify(entry)).digest("hex").slice(0, 16))
      ])
    }
    return expected
  })

const damageOne = (folder: string, random: Random): string => {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !UNREAD.test(file) && readFileSync(file).length > 0)
    .sort()
  const file = files[random.below(files.length)]!
  const bytes = readFileSync(file)
  const at = random.below(bytes.length)
  const name = `${file.slice(folder.length + 1)} of ${bytes.length} bytes`
  switch (random.below(4)) {
    case 0:
    case 1: {
      const bit = random.below(8)
      bytes[at]! ^= 1 << bit
      writeFileSync(file, bytes)
      return `bit ${bit} of byte ${at} of ${name} flipped`
    }
    case 2:
      truncateSync(file, at)
      return `${name} cut at ${at}`
    default: {
      const length = 1 + random.below(STRETCH_BYTES_MAX)
      const isZeroed = random.below(2) === 0
      bytes.fill(isZeroed ? 0 : 0xa5, at, Math.min(bytes.length, at + length))
      writeFileSync(file, bytes)
      return `${length} bytes from ${at} of ${name} ${isZeroed ? "zeroed" : "overwritten"}`
    }
  }
}

/** A process that reads one copy after the other. */
class Reader {
  readonly #child
  readonly #lines: AsyncIterator<string>

  constructor(expectedFile: string) {
    this.#child = spawn(process.execPath, [READER, expectedFile], { stdio: ["pipe", "pipe", "ignore"] })
    this.#child.stdin.on("error", () => {})
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** undefined: the process ended. */
  async read(folder: string): Promise<Served | undefined> {
    this.#child.stdin.write(`${folder}\n`)
    const { done, value } = await this.#lines.next()
    return done ? undefined : (JSON.parse(value) as Served)
  }

  close(): void {
    this.#child.kill("SIGKILL")
  }
}
