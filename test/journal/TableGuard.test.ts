/** LevelDB's tables checked without LevelDB: every flipped bit is found and put right, and what cannot be is taken out and named. */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Level } from "level"
import { crc32c } from "../../journal/Crc32c.ts"
import { Journal, JournalLevel, type SessionId } from "../../journal/index.ts"
import { liveTables, type Table } from "../../journal/Manifest.ts"
import { checkTable } from "../../journal/TableFile.ts"
import { guardTables, noteOpening, openingBytesMax } from "../../journal/TableGuard.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const EVENTS = 30
/** More than the 4 MiB that an opening checks, and less than the 8 MiB that LevelDB writes into one table. */
const LARGE = { events: 80, eventBytes: 60_000 }

const run = <A, E>(location: string, effect: Effect.Effect<A, E, Journal>) =>
  Effect.runPromise(effect.pipe(Effect.provide(Layer.fresh(JournalLevel.layer({ location })))))

/** One table with the events of two streams, of which the second has its end there; some of it compressed. */
const withTable = async (
  use: (store: {
    readonly location: string
    readonly database: string
    readonly table: Table
    readonly path: string
    readonly streams: ReadonlyArray<SessionId>
  }) => Promise<void>,
  { eventBytes, events } = { eventBytes: 600, events: EVENTS }
) => {
  const location = mkdtempSync(join(tmpdir(), "reprise-tables-"))
  try {
    const random = seededRandom(5)
    const streams = [newSessionId(), newSessionId()]
    await run(
      location,
      Effect.gen(function* () {
        const journal = yield* Journal
        for (let index = 0; index < events; index++)
          for (const stream of streams)
            yield* journal.append(stream, [
              outputEvent(index % 2 ? "a line\n".repeat(60) : random.bytes(eventBytes / 2).toString("hex"))
            ])
      })
    )
    // The second opening turns the log into a table.
    await run(location, Effect.asVoid(Journal))
    const database = join(location, "db")
    const manifest = readFileSync(join(database, readFileSync(join(database, "CURRENT"), "latin1").trim()))
    const [table] = liveTables(manifest) ?? []
    await use({ location, database, table: table!, path: join(database, table!.name), streams })
  } finally {
    rmSync(location, { recursive: true, force: true })
  }
}

const damage = (path: string, from: number, to: number) => {
  const bytes = readFileSync(path)
  bytes.fill(0x55, from, to)
  writeFileSync(path, bytes)
}

/** Length of the first block's content, found without the index by the checksum behind it. */
const firstBlockBytes = (table: Buffer, least: number): number => {
  const masked = (crc: number) => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
  let length = least
  while (masked(crc32c(table, 0, length + 1)) !== table.readUInt32LE(length + 1)) length++
  return length
}

const readCount = (stream: SessionId) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    let count = 0
    yield* journal.read(stream).pipe(
      Stream.runForEach(() => Effect.sync(() => void count++)),
      Effect.catchTag("JournalDamaged", () => Effect.void)
    )
    return count
  })

/** From one flipped bit to the next, in bytes: no divisor of it is one of 8, so every bit of a byte has its turn. */
const STEP = process.env.REPRISE_TRIES === undefined ? 5 : 1

describe("the check of LevelDB's tables", () => {
  it("knows CRC-32C", () => {
    assert.strictEqual(crc32c(Buffer.from("123456789"), 0, 9) >>> 0, 0xe3069283)
  })

  it("finds nothing in a sound table, and puts back single flipped bits outside of the filter", () =>
    withTable(async ({ path, table }) => {
      const sound = readFileSync(path)
      assert.deepStrictEqual(checkTable(table, sound), [])
      let filterBytes = 0
      for (let at = 0; at < sound.length; at += STEP) {
        const bytes = Buffer.from(sound)
        bytes[at]! ^= 1 << (at % 8)
        const findings = checkTable(table, bytes)
        if (findings.length === 0) filterBytes++
        assert.deepStrictEqual(
          findings.filter(({ lost }) => lost !== undefined),
          []
        )
        for (const { edit } of findings) bytes.set(edit.bytes, edit.offset)
        assert.deepStrictEqual(checkTable(table, bytes), [])
        if (findings.length > 0) assert.isTrue(bytes.equals(sound), `${at}`)
      }
      // 10 bits for each of 60 keys.
      assert.isBelow(filterBytes, 200 / STEP)
    }))

  it("takes out a block that cannot be put right, keeps the table, and names the events in every opening", () =>
    withTable(async ({ database, location, path, streams, table }) => {
      damage(path, 1000, 1100)
      const found = readFileSync(path)
      for (let opening = 0; opening < 3; opening++) {
        await run(
          location,
          Effect.gen(function* () {
            const journal = yield* Journal
            const named = journal.openingDamages.filter(({ reason }) => reason.includes(table.name))
            assert.isAbove(named.length, 0)
            const report = yield* journal.verify
            assert.includeDeepMembers([...report.damages], named)
            assert.isAbove(report.events, EVENTS)
            assert.isBelow(yield* readCount(streams[0]!), EVENTS)
          })
        )
      }
      assert.isTrue(readFileSync(join(location, "damaged", table.name)).equals(found))
      // LevelDB would never write again after a merge that failed.
      const level = new Level(database, { createIfMissing: false })
      await level.open()
      await (level as unknown as { compactRange(from: string, to: string): Promise<void> }).compactRange("", "\uffff")
      await level.put("still", "written")
      await level.close()
    }))

  it("makes a table without a readable index one without events, and names all it held", () =>
    withTable(async ({ location, path, streams, table }) => {
      damage(path, table.bytes - 100, table.bytes)
      await run(
        location,
        Effect.gen(function* () {
          const journal = yield* Journal
          assert.isAbove(journal.openingDamages.length, 0)
          for (const stream of streams) assert.strictEqual(yield* readCount(stream), 0)
          // The store goes on.
          yield* journal.append(newSessionId(), [outputEvent("new")])
        })
      )
    }))

  it("does not touch the tables of a store that is in use", () =>
    withTable(async ({ location, path }) => {
      await run(
        location,
        Effect.gen(function* () {
          damage(path, 1000, 1100)
          const before = readFileSync(path)
          const script = `
            const { JournalLevel } = await import("${new URL("../../journal/index.ts", import.meta.url)}")
            const { Effect, Layer } = await import("effect")
            const layer = JournalLevel.layer({ location: process.argv[1] })
            const error = await Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(layer))))
            console.log(error.reason)`
          const options = { cwd: new URL("../..", import.meta.url), encoding: "utf8" } as const
          const word = execFileSync(process.execPath, ["--input-type=module", "-e", script, location], options)
          assert.strictEqual(word.trim(), "locked")
          assert.isTrue(readFileSync(path).equals(before))
          assert.isFalse(existsSync(join(location, "damaged")))
        })
      )
    }))

  it("checks only the newest tables up to the given bytes", () =>
    withTable(async ({ database, location, path, table }) => {
      damage(path, 1000, 1100)
      const nobody = () => Promise.resolve()
      assert.deepStrictEqual(await guardTables(location, database, table.bytes - 1, nobody), [])
      assert.isAbove((await guardTables(location, database, table.bytes, nobody)).length, 0)
      assert.deepStrictEqual(await guardTables(location, database, table.bytes, nobody), [])
    }))

  it("checks everything after two openings in a row that ended neither cleanly nor after a minute", () => {
    const location = mkdtempSync(join(tmpdir(), "reprise-tables-"))
    try {
      const deaths: Array<boolean> = []
      const died = () => {
        deaths.push(openingBytesMax(location) === Number.POSITIVE_INFINITY)
        return noteOpening(location)
      }
      died()
      died().undo()
      died()
      died().settle()
      died()
      assert.deepStrictEqual(deaths, [false, false, false, true, false])
    } finally {
      rmSync(location, { recursive: true, force: true })
    }
  })

  it("finds damage that ends the process in a table too old for the opening's check, after two deaths", () =>
    withTable(async ({ database, location, path, streams, table }) => {
      assert.isAbove(table.bytes, 4 * 1024 * 1024)
      const bytes = readFileSync(path)
      const length = firstBlockBytes(bytes, LARGE.eventBytes)
      // A plain block of one entry whose key is 3 bytes long, which LevelDB asserts to be at least 8.
      bytes.fill(0, 0, length + 1)
      bytes.set([0, 3, 0, 1, 2, 3])
      bytes.writeUInt32LE(1, length - 4)
      writeFileSync(path, bytes)
      assert.isAbove(checkTable(table, bytes).length, 0)
      const script = `
        const { Journal, JournalLevel } = await import("${new URL("../../journal/index.ts", import.meta.url)}")
        const { Effect, Stream } = await import("effect")
        const read = Effect.flatMap(Journal, (journal) =>
          Effect.map(Effect.flip(Stream.runDrain(journal.read(process.argv[2]))), (error) => [error, journal.openingDamages]))
        const layer = JournalLevel.layer({ location: process.argv[1] })
        console.log(JSON.stringify(await Effect.runPromise(Effect.provide(read, layer))))`
      const [first] = streams.toSorted()
      const engine = () =>
        spawnSync(process.execPath, ["--input-type=module", "-e", script, location, first!], {
          cwd: new URL("../..", import.meta.url),
          encoding: "utf8"
        })
      assert.deepStrictEqual([engine().signal, engine().signal], ["SIGABRT", "SIGABRT"])
      for (let later = 0; later < 2; later++) {
        const { signal, stdout } = engine()
        assert.isNull(signal)
        const [error, damages] = JSON.parse(stdout)
        assert.deepInclude(error, { _tag: "JournalDamaged", stream: first, from: 1 })
        assert.deepInclude(damages[0], { stream: first, from: 1, to: error.to })
      }
      assert.isTrue(existsSync(join(database, table.name)))
    }, LARGE))

  it("leaves nothing behind after a clean stop", () =>
    withTable(async ({ location }) => {
      assert.deepStrictEqual(readdirSync(location).toSorted(), ["db", "ends.json", "format.json"])
    }))
})
