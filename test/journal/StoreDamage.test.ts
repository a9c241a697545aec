/** One bit flipped anywhere in a store: no wrong byte is ever served, and the damage is named. */
import { spawn } from "node:child_process"
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Journal, JournalLevel, type SessionId } from "../../journal/index.ts"
import { JournalCore } from "../../journal/JournalCore.ts"
import { lookAtJournal } from "../../journal/JournalLook.ts"
import { eventKey, streamBytes } from "../../journal/Keys.ts"
import { MemoryStorage } from "../../journal/MemoryStorage.ts"
import { makeJournal } from "../../journal/makeJournal.ts"
import type { RangeOptions } from "../../journal/Storage.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

/** Flipped bits; REPRISE_TRIES makes them more. */
const PLACES = Math.max(180, Number(process.env.REPRISE_TRIES ?? 0))
/** Places where a log is cut. */
const CUTS = Math.max(500, Number(process.env.REPRISE_TRIES ?? 0))
/** Places of a table where 2 to 6,000 bytes are overwritten: up to all of its index. */
const OVERWRITTEN = process.env.REPRISE_TRIES === undefined ? 24 : 60
const NAMED = ["named", "refused-corrupt", "refused-incomplete", "refused-format"]

const openings = (location: string) => ({
  run: <A, E>(effect: Effect.Effect<A, E, Journal>) =>
    Effect.runPromise(effect.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location })))))
})

/** A store with tables (from two openings) and a log, and what its streams hold. */
const makeStore = async (location: string) => {
  const random = seededRandom(11)
  const streams: Array<[SessionId, Array<string>]> = Array.from({ length: 4 }, () => [newSessionId(), []])
  for (let round = 0; round < 3; round++) {
    await openings(location).run(
      Effect.gen(function* () {
        const journal = yield* Journal
        for (let i = 0; i < 60; i++) {
          const [stream, texts] = streams[i % streams.length]!
          // Blocks of both kinds: what does not get smaller LevelDB keeps as it is, the rest it compresses.
          const data =
            i % streams.length < 2
              ? random.bytes(300 + random.below(200))
              : Buffer.from(`${random.below(1000)} lines\r\n`.repeat(40))
          texts.push(data.toString("hex"))
          yield* journal.append(stream, [
            { ...outputEvent(""), event: { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 0, data } }
          ])
        }
      })
    )
  }
  return streams
}

const filesOf = (folder: string, prefix = ""): ReadonlyArray<string> =>
  readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesOf(folder, join(prefix, entry.name)) : [join(prefix, entry.name)]
  )

const temporary = async (use: (folder: string) => Promise<void>) => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-damage-"))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What a user meets at each place, in a process of its own: LevelDB must not end that either. */
const probe = async (folder: string, base: string, places: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const script = fileURLToPath(new URL("../fixtures/damageProbe.ts", import.meta.url))
  const child = spawn(process.execPath, [script, base, join(folder, "scratch"), join(folder, "expected.json")], {
    stdio: ["pipe", "pipe", "ignore"]
  })
  const ended = new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)))
  child.stdin.on("error", () => {})
  child.stdin.end(places.join("\n"))
  const words: Array<string> = []
  for await (const line of createInterface({ input: child.stdout })) words.push(line)
  assert.strictEqual(await ended, 0, `ended at ${places[words.length]}`)
  return words
}

/** What is read back: LOG is LevelDB's own diary and LOCK is empty. */
const readFilesOf = (base: string) =>
  filesOf(base).filter((file) => !/LOG|LOCK/.test(file) && statSync(join(base, file)).size > 0)

describe("a damaged store", () => {
  it("names as damage what LevelDB calls an I/O error, gives what is before it, and opens all the same", async () => {
    class Pointing extends MemoryStorage {
      from: Uint8Array | undefined
      override async range(options: RangeOptions) {
        const { from } = this
        // A page that would touch the place behind which a table points out of its file; a stream's end always would.
        if (from !== undefined && Buffer.compare(options.to, from) > 0 && options.limit > 0) {
          const [one] = await super.range({ ...options, reverse: false, limit: 1 })
          if (options.reverse || options.limit > 1 || one === undefined || Buffer.compare(one[0], from) >= 0) {
            throw new Error("IO error: STORE/db/000005.ldb: Invalid argument")
          }
        }
        return super.range(options)
      }
    }
    const storage = new Pointing()
    const stream = newSessionId()
    const core = (sealed = new Map<SessionId, number>()) =>
      new JournalCore({ storage, durability: "process", nowMicros: () => 1, sealed })
    await core().append(
      stream,
      Array.from({ length: 5 }, () => outputEvent("text"))
    )
    storage.from = eventKey(streamBytes(stream), 3)
    const damaged = core(new Map([[stream, 5]]))
    await damaged.checkSeal()
    assert.deepInclude(damaged.openingDamages[0], { stream, from: 1, to: null })
    const journal = makeJournal(damaged)
    const read: Array<number> = []
    const error = await Effect.runPromise(
      Effect.flip(
        Stream.runForEach(journal.read(stream), ({ sequence }) => Effect.sync(() => void read.push(sequence)))
      )
    )
    assert.deepStrictEqual(read, [1, 2])
    assert.deepInclude(error, { _tag: "JournalDamaged", from: 3, to: null })
    const backwards = await Effect.runPromise(Effect.flip(Stream.runDrain(journal.readBackwards(stream))))
    assert.deepInclude(backwards, { _tag: "JournalDamaged", from: 1, to: null })
    const followed: Array<string> = []
    const end = await Effect.runPromise(
      Effect.flip(
        Stream.runForEach(journal.follow(stream, 0), (item) => Effect.sync(() => void followed.push(item._tag)))
      )
    )
    assert.deepStrictEqual(followed, ["Page"])
    assert.strictEqual(end._tag, "JournalDamaged")
    // Nobody may write behind an end that is not known.
    const append = await Effect.runPromise(Effect.flip(journal.append(stream, [outputEvent("more")])))
    assert.strictEqual(append._tag, "StorageUnavailable")
  })

  it("lets go of its lock when the opening fails behind LevelDB", () =>
    temporary(async (folder) => {
      // In the way of the file that is written last.
      const obstacle = join(folder, `.${process.pid}.tmp`)
      mkdirSync(obstacle)
      const failure = await openings(folder).run(Effect.void).catch(String)
      assert.include(failure, "cannot open")
      rmSync(obstacle, { recursive: true })
      await openings(folder).run(Effect.asVoid(Journal))
    }))

  it(
    `reliability row 11: one flipped bit in ${PLACES} places is never served and always named`,
    { timeout: 300_000 },
    () =>
      temporary(async (folder) => {
        const base = join(folder, "base")
        const streams = await makeStore(base)
        writeFileSync(join(folder, "expected.json"), JSON.stringify(streams))
        const files = readFilesOf(base)
        const sizes = files.map((file) => statSync(join(base, file)).size)
        const total = sizes.reduce((sum, size) => sum + size, 0)
        const places = files.flatMap((file, index) => {
          const count = Math.max(3, Math.round((PLACES * sizes[index]!) / total))
          return Array.from(
            { length: count },
            (_, place) => `${file} ${Math.floor(((place + 0.5) * sizes[index]!) / count)}`
          )
        })
        assert.isAtLeast(places.length, PLACES)
        const words = await probe(folder, base, places)
        const wrong = places
          .map((place, index) => `${place}: ${words[index]}`)
          .filter((_, index) => !NAMED.includes(words[index]!))
        // A bit that LevelDB never looks at (padding, a table's filter, an old manifest record) harms nothing: all was served.
        const harmful = wrong.filter((line) => !line.endsWith(": intact"))
        assert.strictEqual(harmful.join("\n"), "")
        assert.isBelow(wrong.length, places.length * 0.15, wrong.join("\n"))
      })
  )

  it(
    `reliability row 11: a check reads through one flipped bit in ${PLACES} places, or names what is gone`,
    { timeout: 300_000 },
    () =>
      temporary(async (folder) => {
        const base = join(folder, "base")
        await makeStore(base)
        const sound = await lookAtJournal(base)
        assert.deepStrictEqual([sound.damages, sound.files], [[], []])
        const files = readFilesOf(base).filter((file) => file.startsWith("db"))
        const total = files.reduce((sum, file) => sum + statSync(join(base, file)).size, 0)
        let corrected = 0
        let places = 0
        for (const file of files) {
          const path = join(base, file)
          const bytes = readFileSync(path)
          const count = Math.max(3, Math.round((PLACES * bytes.length) / total))
          for (let place = 0; place < count; place++) {
            const at = Math.floor(((place + 0.5) * bytes.length) / count)
            const damaged = Buffer.from(bytes)
            damaged[at]! ^= 1 << (at % 8)
            writeFileSync(path, damaged)
            const look = await lookAtJournal(base)
            const isAll = look.entries.sha256 === sound.entries.sha256
            if (isAll && look.files.length > 0) corrected++
            assert.isTrue(isAll || look.damages.length > 0, `${file} ${at}`)
            places++
          }
          writeFileSync(path, bytes)
        }
        // All but those in a filter and in bytes that nobody reads.
        assert.isAbove(corrected, places * 0.8)
      })
  )

  it(`more than one bit in ${OVERWRITTEN} places is never served, and always named`, () =>
    temporary(async (folder) => {
      const base = join(folder, "base")
      writeFileSync(join(folder, "expected.json"), JSON.stringify(await makeStore(base)))
      const random = seededRandom(12)
      const tables = readFilesOf(base).filter((file) => file.endsWith(".ldb"))
      const places = Array.from({ length: OVERWRITTEN }, (_, index) => {
        const table = tables[index % tables.length]!
        return `${table} ${random.below(statSync(join(base, table)).size)} ${index % 3 === 0 ? 2 : 1 + random.below(6000)}`
      })
      const words = await probe(folder, base, places)
      // A table's filter is never looked at, and two bytes may be overwritten with themselves.
      const wrong = places.filter((_, index) => !["named", "intact"].includes(words[index]!))
      assert.deepStrictEqual(wrong, [])
      assert.isAtLeast(words.filter((word) => word === "named").length, OVERWRITTEN * 0.9)
    }))

  it(
    `reliability row 10: a log cut at ${CUTS} places leaves a verified prefix, and what is missing is named`,
    { timeout: 300_000 },
    () =>
      temporary(async (folder) => {
        const base = join(folder, "base")
        const stream = newSessionId()
        const random = seededRandom(10)
        const texts = Array.from({ length: 80 }, () => random.bytes(20 + random.below(200)).toString("hex"))
        await openings(base).run(
          Effect.gen(function* () {
            const journal = yield* Journal
            for (const text of texts) yield* journal.append(stream, [outputEvent(text)])
          })
        )
        const database = join(base, "db")
        const [log] = readdirSync(database).filter((name) => name.endsWith(".log"))
        const { size } = statSync(join(database, log!))
        assert.isAbove(size, 16 * 1024)
        // Every byte of the last 4 KiB and every 97th before it, thinned out evenly to so many.
        const all = Array.from({ length: size }, (_, at) => at).filter((at) => at >= size - 4096 || at % 97 === 0)
        const cuts = Array.from(
          { length: Math.min(CUTS, all.length) },
          (_, at) => all[Math.floor((at * all.length) / Math.min(CUTS, all.length))]!
        )
        let shortest = texts.length
        const tryCut = async (cut: number) => {
          const copy = join(folder, `copy-${cut}`)
          cpSync(base, copy, { recursive: true })
          chmodSync(copy, 0o700)
          truncateSync(join(copy, "db", log!), cut)
          // What a check says of it before anything opens it.
          const look = await lookAtJournal(copy)
          await openings(copy).run(
            Effect.gen(function* () {
              const journal = yield* Journal
              const served: Array<string> = []
              const damage = yield* Effect.flip(
                Stream.runForEach(journal.read(stream), ({ event }) =>
                  Effect.sync(
                    () => void served.push(event._tag === "OutputReceived" ? Buffer.from(event.data).toString() : "")
                  )
                )
              )
              assert.deepStrictEqual(served, texts.slice(0, served.length), `${cut}`)
              shortest = Math.min(shortest, served.length)
              const missing = { stream, from: served.length + 1, to: texts.length }
              assert.deepInclude(damage, { _tag: "JournalDamaged", ...missing })
              const named = { ...missing, reason: "the end is missing" }
              assert.deepInclude(journal.openingDamages, named)
              assert.deepInclude(look.damages, named)
              // No number stands for two events, however many are gone.
              if (cut % 10 === 0) {
                assert.strictEqual((yield* journal.append(stream, [outputEvent("later")])).first, texts.length + 1)
              }
            })
          )
          rmSync(copy, { recursive: true })
        }
        // Most of the time of each is the disk's.
        const lanes = Array.from({ length: 6 }, async () => {
          for (let cut = cuts.pop(); cut !== undefined; cut = cuts.pop()) await tryCut(cut)
        })
        await Promise.all(lanes)
        assert.strictEqual(shortest, 0)
      })
  )

  it("takes no more into a stream whose end is gone and not known, and goes on with the others", () =>
    temporary(async (folder) => {
      const location = join(folder, "journal")
      const [lost, other] = [newSessionId(), newSessionId()]
      await openings(location).run(
        Effect.gen(function* () {
          const journal = yield* Journal
          for (const stream of [lost, other]) yield* journal.append(stream, [outputEvent("one"), outputEvent("two")])
        })
      )
      rmSync(join(location, "ends.json"))
      mkdirSync(join(location, "damaged"), { mode: 0o700 })
      writeFileSync(
        join(location, "damaged", "000005.ldb.json"),
        JSON.stringify([{ stream: lost, from: 3, to: null, reason: "table 000005.ldb, 0: a damaged block" }])
      )
      await openings(location).run(
        Effect.gen(function* () {
          const journal = yield* Journal
          const error = yield* Effect.flip(journal.append(lost, [outputEvent("three")]))
          assert.deepInclude(error, { _tag: "StorageUnavailable" })
          assert.include(error.message, "has lost its end, from event 3 on, and takes no more")
          const read = yield* Stream.runCollect(journal.read(lost))
          assert.strictEqual(read.length, 2)
          assert.strictEqual((yield* journal.append(other, [outputEvent("three")])).first, 3)
        })
      )
    }))
})
