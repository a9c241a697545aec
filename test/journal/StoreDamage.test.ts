/** One bit flipped anywhere in a store: no wrong byte is ever served, and the damage is named. */
import { spawn } from "node:child_process"
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
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
import { eventKey, streamBytes } from "../../journal/Keys.ts"
import { MemoryStorage } from "../../journal/MemoryStorage.ts"
import { makeJournal } from "../../journal/makeJournal.ts"
import type { RangeOptions } from "../../journal/Storage.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

/** reliability.md, row 11: places for a pull request. */
const PLACES = 180
/** Places of a table where 2 to 6,000 bytes are overwritten: up to all of its index. */
const OVERWRITTEN = 60
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
          const data = random.bytes(300 + random.below(200))
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
    const core = () =>
      new JournalCore({ storage, durability: "process", nowMicros: () => 1, sealed: new Map([[stream, 5]]) })
    await core().append(
      stream,
      Array.from({ length: 5 }, () => outputEvent("text"))
    )
    storage.from = eventKey(streamBytes(stream), 3)
    const damaged = core()
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

  it(`reliability 4.11: one flipped bit in ${PLACES} places is never served and always named`, () =>
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
    }))

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

  it("reliability 4.10: a log cut anywhere leaves a verified prefix, and what is missing is named", () =>
    temporary(async (folder) => {
      const base = join(folder, "base")
      const streams = await makeStore(base)
      const log = filesOf(base)
        .filter((file) => file.endsWith(".log"))
        .map((file) => join(base, file))
        .sort((a, b) => statSync(b).size - statSync(a).size)[0]!
      const size = statSync(log).size
      for (let cut = 1; cut <= 40; cut++) {
        truncateSync(log, Math.floor(size - (size * cut) / 41))
        const copy = join(folder, "copy")
        rmSync(copy, { recursive: true, force: true })
        cpSync(base, copy, { recursive: true })
        chmodSync(copy, 0o700)
        await openings(copy).run(
          Effect.gen(function* () {
            const journal = yield* Journal
            let missing = 0
            for (const [stream, texts] of streams) {
              const read = yield* Stream.runCollect(journal.read(stream))
              const served = [...read].map(({ event }) =>
                event._tag === "OutputReceived" ? Buffer.from(event.data).toString("hex") : ""
              )
              assert.deepStrictEqual(served, texts.slice(0, served.length))
              if (served.length < texts.length) {
                missing++
                assert.deepInclude(journal.openingDamages, {
                  stream,
                  from: served.length + 1,
                  to: texts.length,
                  reason: "the end is missing"
                })
              }
            }
            assert.isAbove(missing, 0)
          })
        )
      }
    }))
})
