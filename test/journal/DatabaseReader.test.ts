/** LevelDB's files read without LevelDB: the same entries, also while it writes, and what is damaged is named. */
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { assert, describe, it } from "@effect/vitest"
import { Level } from "level"
import { DatabaseReader } from "../../journal/DatabaseReader.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const withDatabase = async (use: (folder: string, open: () => Promise<Database>) => Promise<void>) => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-reader-"))
  const opened: Array<Database> = []
  try {
    await use(folder, async () => {
      const level: Database = new Level(folder, {
        keyEncoding: "view",
        valueEncoding: "view",
        writeBufferSize: 64 * 1024
      })
      await level.open()
      opened.push(level)
      return level
    })
  } finally {
    for (const level of opened) await level.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
type Database = Level<Uint8Array, Uint8Array>

const read = async (folder: string, isEntry: (key: Uint8Array, value: Uint8Array) => boolean = () => true) => {
  const reader = await DatabaseReader.open(folder, { isEntry })
  const entries = new Map<string, string>()
  let last = ""
  try {
    for await (const page of reader.pages())
      for (const [key, value] of page) {
        const name = Buffer.from(key).toString("latin1")
        assert.isTrue(name > last, `${name} after ${last}`)
        last = name
        entries.set(name, Buffer.from(value).toString("latin1"))
      }
  } finally {
    reader.close()
  }
  return { entries, damages: reader.damages }
}

/** Writes, overwrites and deletes; gives what must then be there. */
const fill = async (level: Database, expected: Map<string, string>, seed: number, operations = 4000) => {
  const random = seededRandom(seed)
  for (let done = 0; done < operations; ) {
    const batch = Array.from({ length: 1 + random.below(40) }, () => {
      const name = `k${String(random.below(1500)).padStart(5, "0")}`
      const key = Buffer.from(name)
      done++
      if (random.below(5) === 0) {
        expected.delete(name)
        return { type: "del", key } as const
      }
      const text =
        random.below(2) === 0 ? random.bytes(random.below(200)).toString("latin1") : "again ".repeat(random.below(60))
      expected.set(name, text)
      return { type: "put", key, value: Buffer.from(text, "latin1") } as const
    })
    await level.batch(batch)
  }
}

const sorted = (entries: Map<string, string>) => [...entries].sort(([one], [other]) => (one < other ? -1 : 1))

describe("the reader of LevelDB's files", () => {
  it("gives what LevelDB gives: of tables of all ages, of the log, without what was deleted", () =>
    withDatabase(async (folder, open) => {
      const expected = new Map<string, string>()
      const tables: Array<number> = []
      const look = () => {
        tables.push(readdirSync(folder).filter((name) => name.endsWith(".ldb")).length)
        return read(folder)
      }
      for (let opening = 0; opening < 3; opening++) {
        const level = await open()
        await fill(level, expected, opening)
        const { damages, entries } = await look()
        assert.deepStrictEqual(damages, [])
        assert.deepStrictEqual([...entries], sorted(expected))
        await level.close()
        assert.deepStrictEqual([...(await look()).entries], sorted(expected))
      }
      // How many there are when it looks is LevelDB's affair: it joins them beside the writer, sooner or later.
      assert.isAtLeast(Math.max(...tables), 2, tables.join())
    }))

  it("gives one moment of a database that another process writes all the time, with all that was acknowledged before", () =>
    withDatabase(async (folder, open) => {
      await (await open()).close()
      // Every key of a round is written in one batch: a mixture of rounds would be no moment.
      const script = `
        const { Level } = await import("level")
        const level = new Level(process.argv[1], { keyEncoding: "view", valueEncoding: "view", writeBufferSize: 64 * 1024 })
        const filler = Buffer.alloc(2000, "x")
        for (let round = 0; ; round++) {
          const value = Buffer.concat([Buffer.from(String(round).padStart(8, "0")), filler])
          await level.batch(Array.from({ length: 20 }, (_, at) => ({ type: "put", key: Buffer.from("key" + at), value })))
          process.stdout.write(round + "\\n")
        }`
      const root = new URL("../..", import.meta.url)
      const writer = spawn(process.execPath, ["--input-type=module", "-e", script, folder], {
        cwd: root,
        stdio: ["ignore", "pipe", "inherit"]
      })
      const ended = new Promise((resolve) => writer.once("close", resolve))
      try {
        const rounds = createInterface({ input: writer.stdout })[Symbol.asyncIterator]()
        let last = -1
        // At least once it must have been in the middle: then it sees more than was acknowledged when it began.
        let isAhead = false
        for (let look = 0; look < 60 || !isAhead; look++) {
          const acknowledged = Number((await rounds.next()).value)
          const { damages, entries } = await read(folder)
          assert.deepStrictEqual(damages, [])
          const found = [...new Set([...entries.values()].map((value) => Number(value.slice(0, 8))))]
          assert.strictEqual(found.length, 1, found.join())
          assert.isAtLeast(found[0]!, Math.max(acknowledged, last))
          last = found[0]!
          isAhead ||= last > acknowledged
        }
      } finally {
        writer.kill("SIGKILL")
        await ended
      }
    }))

  it("reads on without CURRENT and without the manifest, and says that LevelDB would not", () =>
    withDatabase(async (folder, open) => {
      const expected = new Map<string, string>()
      const level = await open()
      await fill(level, expected, 7)
      await level.close()
      for (const name of ["CURRENT", readFileSync(join(folder, "CURRENT"), "latin1").trim()]) {
        unlinkSync(join(folder, name))
        const { damages, entries } = await read(folder)
        assert.deepStrictEqual([...entries], sorted(expected))
        assert.isTrue(damages.some(({ file, needsRepair }) => file === "CURRENT" && needsRepair))
      }
    }))

  it("puts one flipped bit right wherever it is in a log", () =>
    withDatabase(async (folder, open) => {
      const level = await open()
      const expected = new Map<string, string>()
      await fill(level, expected, 8, 300)
      await level.close()
      const [log] = readdirSync(folder).filter((name) => name.endsWith(".log"))
      const path = join(folder, log!)
      const sound = readFileSync(path)
      assert.isAbove(sound.length, 20_000)
      for (let at = 0; at < sound.length; at += 397) {
        const bytes = Buffer.from(sound)
        bytes[at]! ^= 1 << (at % 8)
        writeFileSync(path, bytes)
        const { damages, entries } = await read(folder)
        assert.deepStrictEqual([...entries], sorted(expected), `${at}`)
        assert.deepInclude(damages[0], { file: log!, needsRepair: true, loss: "none" }, `${at}`)
      }
    }))

  it("finds the blocks of a table that was cut off, and names the keys behind them", () =>
    withDatabase(async (folder, open) => {
      const level = await open()
      for (let at = 0; at < 2000; at++)
        await level.put(Buffer.from(`key${String(at).padStart(5, "0")}`), Buffer.from(`value ${at} `.repeat(5)))
      await level.close()
      await (await open()).close()
      const [table] = readdirSync(folder).filter((name) => name.endsWith(".ldb"))
      const path = join(folder, table!)
      truncateSync(path, Math.floor(readFileSync(path).length / 2))
      const whole = 2000
      const { damages, entries } = await read(
        folder,
        (key, value) => `${key}`.startsWith("key") && `${value}`.startsWith("value ")
      )
      assert.isAbove(entries.size, whole / 5)
      assert.isBelow(entries.size, whole)
      for (const [key, value] of entries) assert.strictEqual(value, `value ${Number(key.slice(3))} `.repeat(5))
      const damage = damages.find(({ file }) => file === table)
      assert.deepInclude(damage, { loss: "keys", needsRepair: true })
      assert.isTrue(
        Buffer.from(damage!.keys!.from).toString() >=
          [...entries.keys()].findLast((key) => key < `${damage!.keys!.to}`)!
      )
    }))
})
