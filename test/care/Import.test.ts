/** What a backup may bring into a store, and what is refused before anything is written. */
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { DatabaseReader } from "../../journal/DatabaseReader.ts"
import { Journal, type SessionId } from "../../journal/index.ts"
import { eventKey, streamBytes } from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { encodeRecord } from "../../journal/Record.ts"
import { backup } from "../../src/care/Backup.ts"
import { importBackup } from "../../src/care/Import.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { closed, contentOf, copyStore, created, filesOf, makeStore, served, withFolder, withJournal } from "./stores.ts"

const now = { nowMicros: 1_800_000_000_000_000 }
const all = { dryRun: false, skipDifferent: false }
const outcomes = async (paths: StorePaths, folder: string, options = all) =>
  (await importBackup(paths, folder, options)).sessions.map(({ outcome }) => outcome)
const failure = (
  paths: StorePaths,
  folder: string,
  options = all
): Promise<Error & { readonly _tag?: string; readonly record?: number }> =>
  importBackup(paths, folder, options).then(
    () => assert.fail("was imported"),
    (error) => error
  )
/** Written as only somebody who means harm, or a version to come, would. */
const writeRaw = async (paths: StorePaths, entries: ReadonlyArray<readonly [Uint8Array, Uint8Array]>) => {
  const storage = await LevelStorage.open(join(paths.journal, "db"), "process", false)
  await storage.batch(entries.map(([key, value]) => ({ key, value })))
  await storage.close()
}
const sealed = (key: Uint8Array, value: Buffer): Buffer => {
  value.writeUInt32BE(crc32(value.subarray(4), crc32(key)), 0)
  return value
}

describe("an import", () => {
  it("brings every event into a new store, once, and is told apart from what is there", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"))
      const { target } = await backup(paths, join(folder, "backup"), now)
      const other = storePaths(join(folder, "other"))
      assert.deepStrictEqual(await outcomes(other, target, { ...all, dryRun: true }), ["new", "new", "new"])
      assert.isFalse(existsSync(other.store))
      assert.deepStrictEqual(await outcomes(other, target), ["new", "new", "new"])
      assert.deepStrictEqual(await outcomes(other, target), ["same", "same", "same"])
      await withJournal(
        other,
        Effect.gen(function* () {
          const journal = yield* Journal
          assert.deepStrictEqual(journal.openingDamages, [])
          assert.deepStrictEqual((yield* journal.verify).damages, [])
          for (const [stream, written] of texts) assert.deepStrictEqual((yield* served(stream)).outputs, written)
          // What went on since is no other content.
          yield* journal.append([...texts.keys()][0]!, [outputEvent("later")])
        })
      )
      assert.deepStrictEqual(await outcomes(other, target), ["same", "same", "same"])
      // An older state of a session is another content: nobody knows which of the two is the right one.
      const older = await backup(other, join(folder, "newer"), now)
      const error = await failure(paths, older.target)
      assert.deepInclude(error, { _tag: "SessionDiffers" })
      assert.include(error.message, [...texts.keys()][0]!)
      assert.deepStrictEqual((await outcomes(paths, older.target, { ...all, skipDifferent: true })).sort(), [
        "differs",
        "same",
        "same"
      ])
    }))

  it("brings back what is damaged or gone, and nothing else", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"))
      const { target } = await backup(paths, join(folder, "backup"), now)
      const [stream] = texts.keys()
      const key = eventKey(streamBytes(stream!), 5)
      // The end of each is gone with the log.
      unlinkSync(filesOf(paths, ".log").toSorted().at(-1)!)
      await writeRaw(paths, [[key, Buffer.from("not what was written")]])
      const whole = (journal: StorePaths) =>
        withJournal(
          journal,
          Effect.gen(function* () {
            let count = 0
            for (const [id, written] of texts) if ((yield* served(id)).outputs.length === written.length) count++
            return count
          })
        )
      assert.isBelow(await whole(paths), texts.size)
      const mended = await importBackup(paths, target, all)
      assert.isTrue(mended.sessions.some(({ outcome }) => outcome === "mended"))
      assert.strictEqual(await whole(paths), texts.size)
      assert.deepStrictEqual(await outcomes(paths, target), ["same", "same", "same"])
    }))

  it("goes on where it was interrupted", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"), 2, 600)
      const { target } = await backup(paths, join(folder, "backup"), now)
      const other = storePaths(join(folder, "other"))
      let pages = 0
      const signal = { throwIfAborted: () => assert.isBelow(pages++, 4, "interrupted") } as AbortSignal
      await failure(other, target, { ...all, signal } as typeof all)
      assert.isAbove(pages, 3)
      await outcomes(other, target)
      await withJournal(
        other,
        Effect.gen(function* () {
          for (const [stream, written] of texts) assert.deepStrictEqual((yield* served(stream)).outputs, written)
        })
      )
    }))

  it("refuses a store that is in use, a later format, itself, and what is no store", () =>
    withFolder(async (folder) => {
      const { paths } = await makeStore(join(folder, "store"))
      const { target } = await backup(paths, join(folder, "backup"), now)
      const error = await withJournal(
        paths,
        Effect.promise(() => failure(paths, target))
      )
      assert.deepInclude(error, { _tag: "StoreInUse" })
      assert.include(String(await failure(paths, paths.store)), "is the store itself")
      mkdirSync(join(folder, "empty"))
      assert.include(String(await failure(paths, join(folder, "empty"))), "does not exist")
      writeFileSync(join(target, "journal", "format.json"), `{"format":99}`)
      assert.include(String(await failure(paths, target)), "has format 99")
    }))
})

describe("a hostile backup", () => {
  /** Each must be refused with nothing written, in the store or anywhere else. */
  const FOLDERS: ReadonlyArray<readonly [string, (backup: StorePaths, outside: string) => void, RegExp]> = [
    [
      "is a link",
      ({ store }) => {
        renameSync(store, `${store}.real`)
        symlinkSync(`${store}.real`, store)
      },
      /symbolic link/
    ],
    [
      "has a link for its journal",
      ({ journal }) => {
        renameSync(journal, `${journal}.real`)
        symlinkSync(`${journal}.real`, journal)
      },
      /symbolic link/
    ],
    [
      "has a link for its database",
      ({ journal }) => {
        renameSync(join(journal, "db"), join(journal, "real"))
        symlinkSync(join(journal, "real"), join(journal, "db"))
      },
      /symbolic link/
    ],
    [
      "has a link for a table",
      (paths, outside) => {
        const [table] = filesOf(paths, ".ldb")
        renameSync(table!, join(outside, "table"))
        symlinkSync(join(outside, "table"), table!)
      },
      /symbolic link/
    ],
    [
      "names a manifest with ../",
      ({ journal }, outside) => {
        writeFileSync(join(outside, "MANIFEST-1"), "")
        writeFileSync(join(journal, "db", "CURRENT"), "../../outside/MANIFEST-1\n")
      },
      /CURRENT names no manifest|incomplete/
    ],
    [
      "names a manifest with an absolute path",
      ({ journal }) => writeFileSync(join(journal, "db", "CURRENT"), "/etc/passwd\n"),
      /CURRENT names no manifest|incomplete/
    ],
    [
      "has 10 GB of zeros for a log",
      (paths) => truncateSync(filesOf(paths, ".log")[0]!, 10_000_000_000),
      /no file of a store has more/
    ],
    [
      "has 10 GB of zeros for a table",
      (paths) => truncateSync(filesOf(paths, ".ldb")[0]!, 10_000_000_000),
      /no file of a store has more/
    ],
    [
      "has two tables of one name",
      (paths) => {
        const [table] = filesOf(paths, ".ldb")
        writeFileSync(table!.replace(".ldb", ".sst"), readFileSync(table!))
        truncateSync(table!, 100)
      },
      /has 100 of \d+ bytes|events are missing|creation/
    ],
    [
      "has a folder in the place of a table",
      (paths) => {
        const [table] = filesOf(paths, ".ldb")
        rmSync(table!)
        mkdirSync(table!)
      },
      /is not a file/
    ],
    [
      "has a table that is longer than its list says",
      (paths) => {
        const [table] = filesOf(paths, ".ldb")
        appendFileSync(table!, "more")
      },
      /has \d+ of \d+ bytes/
    ]
  ]

  for (const [name, make, text] of FOLDERS) {
    it(`hostile case 28: a backup that ${name} is refused before anything is written`, () =>
      withFolder(async (folder) => {
        const outside = join(folder, "outside")
        mkdirSync(outside)
        const { paths } = await makeStore(join(folder, "store"), 1)
        const bad = copyStore((await makeStore(join(folder, "made"))).paths, join(folder, "bad"))
        make(bad, outside)
        const before = [contentOf(paths.store), contentOf(outside)]
        for (const dryRun of [true, false]) {
          assert.match(String(await failure(paths, bad.store, { ...all, dryRun })), text)
          assert.deepStrictEqual([contentOf(paths.store), contentOf(outside)], before)
        }
      }))
  }

  const tooMany = async (folder: string, files: number, filesMax?: number) => {
    const { paths } = await makeStore(join(folder, "bad"), 1)
    const database = join(paths.journal, "db")
    // A link is the cheapest file; ext4 takes 65,000 of one.
    for (let at = 0; at < files; at++) {
      const one = join(folder, `${Math.floor(at / 50_000)}`)
      if (at % 50_000 === 0) writeFileSync(one, "")
      linkSync(one, join(database, `${at}.x`))
    }
    if (filesMax !== undefined) {
      const error = await DatabaseReader.open(database, { isEntry: () => true, filesMax }).catch(String)
      assert.include(error, `more than ${filesMax} files`)
      return
    }
    const error = await failure(storePaths(join(folder, "new")), paths.store)
    assert.include(String(error), "more than 100000 files")
    assert.isFalse(existsSync(join(folder, "new")))
  }
  it("hostile case 28: a backup with too many files is refused before one of them is read", () =>
    withFolder((folder) => tooMany(folder, 2000, 2000)))
  if (Number(process.env.REPRISE_TRIES ?? 0) >= 100) {
    it(
      "hostile case 28: a backup with 1,000,000 files is refused before one of them is read",
      { timeout: 300_000 },
      () => withFolder((folder) => tooMany(folder, 1_000_000))
    )
  }

  const session = newSessionId()
  const key = (sequence: number, stream: SessionId = session) => eventKey(streamBytes(stream), sequence)
  const record = (sequence: number, change: (value: Buffer) => Buffer = (value) => value) => {
    const value = encodeRecord(key(sequence), sequence === 1 ? created() : outputEvent("x".repeat(100)))
    return [key(sequence), sealed(key(sequence), change(value))] as const
  }
  const time = (micros: bigint) => (value: Buffer) => {
    value.writeBigUInt64BE(micros, 6)
    return value
  }
  const kind = (number: number) => (value: Buffer) => {
    value[5] = number
    return value
  }
  /** Checksums are right in all of them. */
  const RECORDS: ReadonlyArray<readonly [string, ReadonlyArray<readonly [Uint8Array, Uint8Array]>, number, RegExp]> = [
    [
      "whose sequence goes back",
      [
        record(1),
        [
          eventKey(streamBytes(session), 0),
          sealed(eventKey(streamBytes(session), 0), encodeRecord(key(0), outputEvent("")))
        ]
      ],
      1,
      /sequence 0/
    ],
    ["whose sequence leaps", [record(1), record(2), record(4)], 3, /sequence 4 follows 2/],
    ["whose sequence is 2^63", [record(1), record(2 ** 63)], 2, /cannot be/],
    ["whose time is 1e18", [record(1), record(2, time(10n ** 18n))], 2, /time/],
    ["whose time is 2^64 - 1", [record(1), record(2, time(2n ** 64n - 1n))], 2, /time/],
    ["of an unknown kind", [record(1), record(2, kind(200))], 2, /kind 200/],
    ["of a known kind that is not of its shape", [record(1), record(2, kind(17))], 2, /kind 17/],
    [
      "of format version 2",
      [
        record(1),
        record(2, (value) => {
          value[4] = 2
          return value
        })
      ],
      2,
      /format version 2/
    ],
    ["that does not begin with its creation", [[key(1), encodeRecord(key(1), outputEvent("first"))]], 1, /creation/],
    [
      "with a record of 100 KB of output",
      [record(1), record(2, (value) => Buffer.concat([value, Buffer.alloc(100_000)]))],
      2,
      /at most 65536/
    ],
    [
      "with a record of 8 MB",
      [record(1), record(2, (value) => kind(17)(Buffer.concat([value, Buffer.alloc(8_000_000)])))],
      2,
      /at most/
    ],
    ["with a wrong checksum", [record(1), [key(2), Buffer.alloc(200, 1)]], 2, /checksum/],
    ["with a key that is no event's", [record(1), [Buffer.from("zz"), Buffer.from("?")]], 2, /no event's/]
  ]
  for (const [name, entries, at, text] of RECORDS) {
    it(`hostile case 29: a recording ${name} is refused with its number, the store unchanged`, () =>
      withFolder(async (folder) => {
        const { paths } = await makeStore(join(folder, "store"), 1)
        const bad = storePaths(join(folder, "bad"))
        mkdirSync(bad.store, { mode: 0o700 })
        await withJournal(bad, Effect.asVoid(Journal))
        await writeRaw(bad, entries)
        const before = contentOf(paths.store)
        const error = await failure(paths, bad.store)
        assert.match(error.message, text)
        assert.deepInclude(error, { _tag: "BackupRefused", record: at })
        assert.deepStrictEqual(contentOf(paths.store), before)
      }))
  }

  it("hostile case 29: a record of 1 GB is refused without being read into memory", () =>
    withFolder(async (folder) => {
      const { paths } = await makeStore(join(folder, "bad"), 1)
      // A log is where a record that large would be; its bytes need not be there to be promised.
      truncateSync(filesOf(paths, ".log")[0]!, 1_000_000_000)
      const before = process.memoryUsage().rss
      assert.include(
        String(await failure(storePaths(join(folder, "new")), paths.store)),
        "no file of a store has more than"
      )
      assert.isBelow(process.memoryUsage().rss - before, 64 * 1024 * 1024)
    }))

  it("hostile case 29: a backup that has lost its end is refused", () =>
    withFolder(async (folder) => {
      const { paths } = await makeStore(join(folder, "store"))
      const { target } = await backup(paths, join(folder, "backup"), now)
      const copy = storePaths(target)
      const log = filesOf(copy, ".log").toSorted().at(-1)!
      truncateSync(log, Math.floor(readFileSync(log).length / 2))
      const error = await failure(storePaths(join(folder, "new")), target)
      assert.include(error.message, "are missing")
    }))

  it("takes a session that ended as it is", () =>
    withFolder(async (folder) => {
      const stream = newSessionId()
      const paths = storePaths(join(folder, "store"))
      mkdirSync(paths.store, { mode: 0o700 })
      await withJournal(
        paths,
        Effect.flatMap(Journal, (journal) => journal.append(stream, [created(), outputEvent("all"), closed]))
      )
      assert.deepStrictEqual(await outcomes(storePaths(join(folder, "other")), paths.store), ["new"])
    }))
})
