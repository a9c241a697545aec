/** Encrypted stores without an engine: what is in their files, who opens them, what damage and a destroyed key become. */
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { KEY_SPACE, KEY_SPACES } from "../../journal/DataKeys.ts"
import { STORE_STREAM } from "../../journal/Event.ts"
import { Journal, type SessionId } from "../../journal/index.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { eventKey, rowKey, spaceEnd, streamBytes } from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { encodeRow } from "../../journal/Record.ts"
import { loadStoreKey } from "../../journal/StoreKey.ts"
import { BASE_SPACE, snapshotKey } from "../../projections/SnapshotRow.ts"
import { backup } from "../../src/care/Backup.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { importBackup } from "../../src/care/Import.ts"
import { planRepair, repair } from "../../src/care/Repair.ts"
import { keyDestruction } from "../../src/erasure/KeyDestruction.ts"
import { exportBundles } from "../../src/evidence/BundleExport.ts"
import { readKey } from "../../src/evidence/Keys.ts"
import { verifyStore } from "../../src/evidence/Verify.ts"
import { StoreSnapshot } from "../../src/export/StoreSnapshot.ts"
import { History, Redaction } from "../../src/index.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { closed, created, served, withFolder } from "../care/stores.ts"
import { runInside } from "../cli/runInside.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { verdicts } from "../evidence/bundleVerdicts.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { encryptedPaths, inJournal, keyFile, looking, redacting } from "./stores.ts"

process.umask(0o077)

const SECRET = "swordfish-4711"

const write = (paths: StorePaths, streams: ReadonlyArray<SessionId>, outputs = 30) =>
  inJournal(
    paths,
    Effect.gen(function* () {
      const journal = yield* Journal
      for (const stream of streams) {
        const texts = Array.from({ length: outputs }, (_, index) => outputEvent(`${SECRET} ${index}`))
        yield* journal.append(stream, [created(`named ${SECRET}`), ...texts, closed], {
          rows: [{ space: "index", key: Buffer.from(stream), value: Buffer.from(`row of ${SECRET}`) }]
        })
      }
    })
  )

const refusal = async (work: () => Promise<unknown>): Promise<StoreRefused> => {
  try {
    await work()
  } catch (error) {
    assert.instanceOf(error, StoreRefused, String(error))
    return error as StoreRefused
  }
  throw new Error("was not refused")
}

const edit = async (paths: StorePaths, change: (storage: LevelStorage) => Promise<void>): Promise<void> => {
  const storage = await LevelStorage.open(join(paths.journal, "db"), "process", false)
  await change(storage).finally(() => storage.close())
}

const valueAt = async (storage: LevelStorage, key: Uint8Array): Promise<Buffer> => {
  const to = Buffer.concat([key, Buffer.of(0)])
  const [found] = await storage.range({ from: key, to, limit: 1, bytesMax: 1e6 })
  return Buffer.from(found![1])
}

describe("an encrypted store", () => {
  it("10.7: holds nothing of what was written in any file, neither in the log nor in tables, and gives it back", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const streams = [newSessionId(), newSessionId()]
      await write(paths, streams)
      assert.deepStrictEqual(filesHolding(paths.store, SECRET), [])
      // Opened again, the log becomes a table.
      const { outputs, damage } = await inJournal(paths, served(streams[1]!))
      assert.isUndefined(damage)
      assert.strictEqual(outputs.length, 30)
      assert.deepStrictEqual(filesHolding(paths.store, SECRET), [])
      assert.deepInclude(JSON.parse(readFileSync(join(paths.journal, "format.json"), "utf8")), {
        format: 3,
        key: loadStoreKey(paths.key!).name
      })
    }))

  it("refuses no key, another key and a lost key by name, changes nothing, and a plain store refuses a key", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const stream = newSessionId()
      await write(paths, [stream])
      const read = (given: StorePaths) => () => inJournal(given, served(stream))
      const none = await refusal(read(storePaths(paths.store)))
      assert.deepInclude({ ...none }, { reason: "key" })
      assert.match(
        none.message,
        /is encrypted with the key [0-9a-f]{16}, and no key was given: set REPRISE_STORE_KEY_FILE/
      )
      const other = await refusal(read(storePaths(paths.store, { file: keyFile(folder, 8) })))
      assert.match(other.message, /is encrypted with the key [0-9a-f]{16}, and .*key-8 holds the key [0-9a-f]{16}/)
      assert.match(
        (await refusal(read(storePaths(paths.store, { file: join(folder, "no") })))).message,
        /does not exist/
      )
      assert.strictEqual((await inJournal(paths, served(stream))).outputs.length, 30)

      const plain = storePaths(join(folder, "plain"))
      await write(plain, [stream])
      const given = await refusal(read({ ...plain, key: paths.key }))
      assert.match(given.message, /is not encrypted, and a key was given/)
      assert.isNotEmpty(filesHolding(plain.store, SECRET))
    }))

  it("takes a key from a file of its user alone, or from a command that answers in time, as bytes, hex or base64", () =>
    withFolder(async (folder) => {
      const key = Buffer.alloc(32, 200)
      const { name } = loadStoreKey({ command: `printf ${key.toString("hex")}` })
      for (const [index, content] of [
        key,
        `${key.toString("hex").toUpperCase()}\n`,
        key.toString("base64")
      ].entries()) {
        const file = join(folder, `key${index}`)
        writeFileSync(file, content, { mode: 0o600 })
        assert.strictEqual(loadStoreKey({ file }).name, name)
        assert.strictEqual(loadStoreKey({ command: `cat ${file}` }).name, name)
      }
      const file = join(folder, "open")
      writeFileSync(file, key)
      chmodSync(file, 0o640)
      for (const [source, expected] of [
        [{ file }, /open to other users \(mode 640\); run: chmod 600/],
        [{ file: folder }, /is not a file/],
        [{ command: "exit 3" }, /failed \(exit code 3\)/],
        [{ command: "echo short" }, /gives no key: it must be 32 bytes/],
        [{ command: "yes" }, /gives more than a key/]
      ] as const) {
        assert.match((await refusal(async () => loadStoreKey(source))).message, expected)
      }
    }))

  it("names a flipped bit, a forged value and one that was moved, each as damage of that event", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const streams = [newSessionId(), newSessionId()] as const
      await write(paths, streams)
      const keyOf = (stream: SessionId, sequence: number) => eventKey(streamBytes(stream), sequence)
      await edit(paths, async (storage) => {
        const flipped = await valueAt(storage, keyOf(streams[0], 5))
        flipped[30]! ^= 1
        const forged = await valueAt(storage, keyOf(streams[0], 9))
        forged[30]! ^= 1
        const moved = await valueAt(storage, keyOf(streams[1], 12))
        await storage.batch([
          { key: keyOf(streams[0], 5), value: flipped },
          // With a checksum that is right in its place.
          { key: keyOf(streams[0], 9), value: encodeRow(keyOf(streams[0], 9), forged.subarray(4)) },
          { key: keyOf(streams[0], 12), value: encodeRow(keyOf(streams[0], 12), moved.subarray(4)) }
        ])
      })
      const report = await inJournal(
        paths,
        Journal.use((journal) => journal.verify)
      )
      assert.deepStrictEqual(
        report.damages.map(({ from, reason, stream }) => [stream, from, reason]),
        [
          [streams[0], 5, "checksum does not match"],
          [streams[0], 9, "cannot be decrypted: it is not what was written there"],
          [streams[0], 12, "cannot be decrypted: it is not what was written there"]
        ]
      )
      const { damage, outputs } = await inJournal(paths, served(streams[0]))
      assert.strictEqual(outputs.length, 3)
      assert.strictEqual(damage?.from, 5)
      // Without a key a check sees what the checksums show.
      const blind = await doctor(storePaths(paths.store), { engine: undefined })
      assert.deepStrictEqual(
        blind.damages.map(({ from }) => from),
        [5]
      )
      assert.deepInclude(blind.encryption, { isOpened: false })
    }))

  it("reads a key from its copy, and names what has lost both: no other session is lost with it", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const streams = [newSessionId(), newSessionId()] as const
      await write(paths, streams)
      await edit(paths, (storage) =>
        storage.batch([
          { key: rowKey(KEY_SPACE, streamBytes(STORE_STREAM)), value: Buffer.from("damaged") },
          { key: rowKey(KEY_SPACE, streamBytes(streams[0])), value: undefined }
        ])
      )
      assert.strictEqual((await inJournal(paths, served(streams[0]))).outputs.length, 30)
      await edit(paths, (storage) =>
        storage.batch(KEY_SPACES.map((space) => ({ key: rowKey(space, streamBytes(streams[0])), value: undefined })))
      )
      const { damage, outputs } = await inJournal(paths, served(streams[0]))
      assert.deepStrictEqual(outputs, [])
      assert.include(damage?.message, "the key of this session is missing")
      // What is appended to it is readable, and so are the others.
      await inJournal(
        paths,
        Journal.use((journal) => journal.append(streams[0], [outputEvent("more")]))
      )
      assert.strictEqual((await inJournal(paths, served(streams[1]))).outputs.length, 30)
    }))

  it("is backed up with and without its key, imported into plain and other encrypted stores, and repaired", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const streams = [newSessionId(), newSessionId()]
      await write(paths, streams)
      const nowMicros = 1
      const blind = await backup(storePaths(paths.store), join(folder, "blind"), { nowMicros })
      const seeing = await backup(paths, join(folder, "seeing"), { nowMicros })
      assert.strictEqual(blind.sha256, seeing.sha256)
      assert.deepStrictEqual(filesHolding(join(folder, "blind"), SECRET), [])
      const copy = storePaths(join(folder, "blind"), paths.key)
      assert.strictEqual((await inJournal(copy, served(streams[0]!))).outputs.length, 30)
      const snapshot = await StoreSnapshot.open(copy)
      for await (const items of snapshot.events(streams[0]!)) assert.isTrue(items.every(({ _tag }) => _tag === "Event"))
      snapshot.close()

      const options = { dryRun: false, skipDifferent: false }
      const other = storePaths(join(folder, "other"), { file: keyFile(folder, 9) })
      const imported = await importBackup(other, copy.store, { ...options, backupKey: paths.key })
      assert.deepStrictEqual(
        imported.sessions.map(({ outcome }) => outcome),
        ["new", "new"]
      )
      assert.strictEqual((await inJournal(other, served(streams[1]!))).outputs.length, 30)
      assert.deepStrictEqual(filesHolding(other.store, SECRET), [])
      const again = await importBackup(other, copy.store, { ...options, backupKey: paths.key })
      assert.deepStrictEqual(
        again.sessions.map(({ outcome }) => outcome),
        ["same", "same"]
      )
      const plain = storePaths(join(folder, "plain"))
      await importBackup(plain, copy.store, { ...options, backupKey: paths.key })
      assert.isNotEmpty(filesHolding(plain.store, SECRET))
      // The way from a plain store to an encrypted one.
      const target = storePaths(join(folder, "target"), paths.key)
      await importBackup(target, plain.store, options)
      assert.strictEqual((await inJournal(target, served(streams[0]!))).outputs.length, 30)
      assert.deepStrictEqual(filesHolding(target.store, SECRET), [])

      rmSync(join(paths.journal, "format.json"))
      assert.match((await refusal(() => repair(storePaths(paths.store), { nowMicros }))).message, /give the key/)
      assert.isNotNull((await repair(paths, { nowMicros })).kept)
      assert.strictEqual((await inJournal(paths, served(streams[0]!))).outputs.length, 30)
      assert.strictEqual((await doctor(paths, { engine: undefined })).state, "healthy")
    }))
})

describe("a destroyed key", () => {
  it("erases its session, leaves the others, keeps the evidence, and says who did it", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const streams = [newSessionId(), newSessionId()] as const
      await write(paths, streams)
      const wrapped: Array<Buffer> = []
      await edit(paths, async (storage) => {
        wrapped.push(await valueAt(storage, rowKey(KEY_SPACE, streamBytes(streams[0]))))
      })
      // The row's own checksum is another in each of its places.
      const material = wrapped[0]!.subarray(5)
      const holdsMaterial = () => filesHolding(paths.store, material)
      assert.isNotEmpty(holdsMaterial())
      await redacting(
        paths,
        Effect.gen(function* () {
          const redaction = yield* Redaction
          const history = yield* History
          const report = yield* redaction.destroyKey({ session: streams[0], reason: "case 4711", actor: "auditor" })
          assert.deepStrictEqual(report, { events: 32 })
          const view = (yield* history.list).find(({ id }) => id === streams[0])!
          assert.deepInclude(view, { name: null, argv: [], cwd: "", status: "exited", exitCode: 0 })
          assert.deepInclude(view.removed, { to: 32, policy: "its key was destroyed" })
          // A second time it is told so.
          const twice = yield* redaction.destroyKey({ session: streams[0], reason: "" })
          assert.deepStrictEqual(twice, { events: 0 })
        })
      )
      assert.deepStrictEqual(holdsMaterial(), [])
      assert.deepStrictEqual((await inJournal(paths, served(streams[0]))).outputs, [])
      assert.strictEqual((await inJournal(paths, served(streams[1]))).outputs.length, 30)
      const told = await inJournal(paths, storeEvents)
      const destroyed = told.find(({ event }) => event._tag === "KeyDestroyed")!
      assert.strictEqual(destroyed.actor, "auditor")
      assert.deepInclude(destroyed.event, { session: streams[0], to: 32, reason: "case 4711" })
      const report = await verifyStore(paths, { anchors: [] })
      assert.deepInclude(report, { integrity: "intact", completeness: "complete", findings: [] })
      assert.deepInclude(
        report.sessions.find(({ session }) => session === streams[0]),
        { removed: 32, sealed: 32 }
      )
      const checked = await doctor(paths, { engine: undefined })
      assert.deepInclude(checked, { state: "healthy", damages: [] })
      assert.deepStrictEqual(
        checked.findings.filter(({ level }) => level === "warning"),
        []
      )
      assert.strictEqual(checked.evidence?.key, "there")
      assert.isAbove(checked.evidence?.sealedSessions ?? 0, 0)
      assert.strictEqual((await doctor(storePaths(paths.store), { engine: undefined })).state, "healthy")
      // Its evidence says what the list does.
      const bundle = join(folder, "bundle")
      await exportBundles(paths, [streams[0]], bundle, { reason: null, nowMillis: 5, signer: readKey(paths)?.signer })
      const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8"))
      assert.deepInclude(manifest, { status: "exited", exitCode: 0, created: null })
      assert.deepInclude(manifest.coverage, { events: 1, ranges: [], ended: true })
      assert.match(
        manifest.coverage.text,
        /^none of its events is there any more; events 1 to 32 removed by auditor \(its key was destroyed\), .*; the session has ended$/
      )
      assert.deepStrictEqual(await verdicts(bundle), { code: 0, integrity: [], completeness: [] })
      // A replay says why there is nothing to be seen.
      const env = { REPRISE_HOME: paths.store, HOME: folder, REPRISE_STORE_KEY_FILE: keyFile(folder) }
      for (const speed of ["max", "9"]) {
        const args = ["replay", streams[0], "--speed", speed]
        const replayed = await Effect.runPromise(runInside(args, { env, cwd: folder, input: "" }))
        assert.strictEqual(replayed.code, 0)
        assert.match(
          replayed.stderr,
          /^reprise: output.* missing: the session's key was destroyed on \d{4}-\d\d-\d\d\n$/
        )
      }
    }))

  it("leaves nothing that is taken for damage: not what was kept of an earlier removal, nor events that a process left", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const streams = [newSessionId(), newSessionId(), newSessionId()] as const
      await write(paths, streams)
      const rowsOf = (to: number, session: SessionId) =>
        ["state", "screen", "of-an-older-version"].map((name) => ({
          space: BASE_SPACE,
          key: snapshotKey(name, session, to),
          value: Buffer.from("what it was")
        }))
      const removal = { to: 10, reason: "asked", policy: "by hand", actor: "test", timeMicros: 1, kept: [] } as const
      const keptRows = (session: SessionId) =>
        looking(paths, async (reader) => {
          let count = 0
          const bounds = { from: rowKey(BASE_SPACE, new Uint8Array(0)), to: spaceEnd(BASE_SPACE) }
          for await (const page of reader.pages(bounds)) {
            count += page.filter(([key]) => Buffer.from(key).includes(`${session}|`)).length
          }
          return count
        })
      await inJournal(
        paths,
        Effect.gen(function* () {
          const journal = yield* Journal
          for (const session of streams) {
            yield* journal.removal.remove(session, { ...removal, rows: rowsOf(10, session) }, [])
          }
        })
      )
      const isHealthy = async () => {
        for (const key of [paths.key, undefined]) {
          const found = await doctor({ ...paths, key }, { engine: undefined })
          assert.deepInclude(found, { state: "healthy", damages: [] })
        }
        assert.strictEqual((await planRepair(paths)).state, "sound")
        const { damages } = await inJournal(
          paths,
          Journal.use(({ verify }) => verify)
        )
        assert.deepStrictEqual(damages, [])
        const report = await verifyStore(paths, { anchors: [] })
        assert.strictEqual(report.integrity, "intact")
      }
      await redacting(
        paths,
        Redaction.use((redaction) => redaction.destroyKey({ session: streams[0], reason: "" }))
      )
      assert.strictEqual(await keptRows(streams[0]), 3)
      await isHealthy()
      // As an older version left it: the rows of the earlier removal are there, and nobody can read them.
      await inJournal(
        paths,
        Effect.gen(function* () {
          const journal = yield* Journal
          const { removal, stale } = yield* keyDestruction(streams[1], { actor: "auditor", reason: "", timeMicros: 5 })
          const before = stale.filter(({ space }) => space !== BASE_SPACE)
          yield* journal.removal.remove(streams[1], { ...removal, rows: removal.rows.slice(0, -1) }, before)
        })
      )
      assert.strictEqual(await keptRows(streams[1]), 6)
      await isHealthy()
      // A process that died behind the batch left the events too.
      const leftover: Array<readonly [Uint8Array, Buffer]> = []
      await edit(paths, async (storage) => {
        for (let sequence = 11; sequence <= 32; sequence++) {
          const key = eventKey(streamBytes(streams[2]), sequence)
          leftover.push([key, await valueAt(storage, key)])
        }
      })
      await redacting(
        paths,
        Redaction.use((redaction) => redaction.destroyKey({ session: streams[2], reason: "" }))
      )
      await edit(paths, (storage) => storage.batch(leftover.map(([key, value]) => ({ key, value }))))
      await isHealthy()
      const copy = await backup(paths, join(folder, "copy"), { nowMicros: 5 })
      assert.deepStrictEqual(copy.damages, [])
      const other = encryptedPaths(folder, 7, "other")
      const { sessions } = await importBackup(other, copy.target, { dryRun: false, skipDifferent: false })
      assert.deepStrictEqual([...new Set(sessions.map(({ outcome }) => outcome))], ["new"])
      assert.strictEqual((await doctor(other, { engine: undefined })).state, "healthy")
    }))

  it("is gone from the files also when the process died behind the batch that destroyed it", () =>
    withFolder(async (folder) => {
      const paths = encryptedPaths(folder)
      const stream = newSessionId()
      await write(paths, [stream])
      const wrapped: Array<Buffer> = []
      await edit(paths, async (storage) => {
        wrapped.push(await valueAt(storage, rowKey(KEY_SPACE, streamBytes(stream))))
      })
      const material = wrapped[0]!.subarray(5)
      await inJournal(
        paths,
        Effect.gen(function* () {
          const journal = yield* Journal
          const { removal } = yield* keyDestruction(stream, { actor: "auditor", reason: "", timeMicros: 5 })
          yield* journal.removal.remove(stream, removal, [])
          assert.deepStrictEqual(yield* journal.redaction.unfinished, [stream])
        })
      )
      await redacting(
        paths,
        Journal.use((journal) => Effect.map(journal.redaction.unfinished, (left) => assert.deepStrictEqual(left, [])))
      )
      assert.deepStrictEqual(filesHolding(paths.store, material), [])
    }))

  it("is refused in a plain store, and of a session that is held or has not ended", () =>
    withFolder(async (folder) => {
      const destroy = (session: SessionId) =>
        Redaction.use((redaction) => Effect.flip(redaction.destroyKey({ session, reason: "" })))
      const plain = storePaths(join(folder, "plain"))
      const [ended, running] = [newSessionId(), newSessionId()]
      await write(plain, [ended])
      assert.match((await redacting(plain, destroy(ended))).message, /the store is not encrypted/)
      const paths = encryptedPaths(folder)
      await write(paths, [ended])
      await inJournal(
        paths,
        Journal.use((journal) =>
          Effect.all([
            journal.append(running, [created(), outputEvent("still here")]),
            journal.append(ended, [{ ...closed, event: { _tag: "HoldPlaced", reason: "case 7" } }])
          ])
        )
      )
      assert.match((await redacting(paths, destroy(ended))).message, /it is held \(case 7\)/)
      assert.match((await redacting(paths, destroy(running))).message, /has not ended/)
      assert.strictEqual((await inJournal(paths, served(ended))).outputs.length, 30)
    }))
})

const storeEvents = Effect.gen(function* () {
  const journal = yield* Journal
  const found: Array<import("../../journal/Event.ts").JournalEntry> = []
  yield* Stream.runForEach(journal.read(STORE_STREAM), (entry) => Effect.sync(() => found.push(entry)))
  return found
})
