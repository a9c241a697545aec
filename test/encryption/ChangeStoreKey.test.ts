/**
 * A store that is put under another key: at every instruction at which the process may die one of the two keys opens all of it and
 * the other one nothing, the next opening does the rest, and no file holds a key that is wrapped with the other one.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { KEY_CHANGE_SPACE, KEY_COPY_SPACE, KEY_SPACE, unwrapDataKey } from "../../journal/DataKeys.ts"
import { keyRowsIn } from "../../journal/EntryReader.ts"
import { STORE_STREAM } from "../../journal/Event.ts"
import { Journal, JournalLevel, type SessionId } from "../../journal/index.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { KEY_CHANGE_KEY } from "../../journal/KeyChange.ts"
import { rowKey, streamBytes } from "../../journal/Keys.ts"
import { KILL_POINTS, type KillPointName } from "../../journal/KillPoint.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { decodeRow } from "../../journal/Record.ts"
import { readKeyName } from "../../journal/StoreGuard.ts"
import { loadStoreKey } from "../../journal/StoreKey.ts"
import { changeStoreKey } from "../../src/care/ChangeStoreKey.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { closed, copyStore, created, served, withFolder } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { encryptedPaths, inJournal, keyFile, looking } from "./stores.ts"

process.umask(0o077)

const POINTS = KILL_POINTS.filter((name) => name.startsWith("storekey."))
const OPTIONS = { actor: "tester", nowMicros: 5_000_000 }
/** More than one page of key rows, for the points that come with each page; the others come once, whatever there is. */
const SESSIONS_PAGED = 520
const SESSIONS = 20

const open = <A, E>(paths: StorePaths, effect: Effect.Effect<A, E, Journal>): Promise<A> =>
  Effect.runPromise(
    effect.pipe(
      Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal, key: paths.key, create: false })))
    )
  )

const write = async (paths: StorePaths, streams: ReadonlyArray<SessionId>) => {
  mkdirSync(paths.store, { recursive: true })
  await inJournal(
    paths,
    Journal.use((journal) =>
      Effect.forEach(streams, (stream) => journal.append(stream, [created(), outputEvent(`of ${stream}`), closed]))
    )
  )
}

const refusal = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work()
  } catch (error) {
    return error instanceof StoreRefused ? error.detail : String(error)
  }
  throw new Error("was not refused")
}

const wrappedIn = (paths: StorePaths) => looking(paths, keyRowsIn)

const changes = Effect.gen(function* () {
  const journal = yield* Journal
  const entries = yield* Stream.runCollect(journal.read(STORE_STREAM))
  return entries.filter(({ event }) => event._tag === "StoreAdministered")
})

const everything = (streams: ReadonlyArray<SessionId>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    assert.deepStrictEqual(journal.openingDamages, [])
    for (const stream of streams) assert.deepStrictEqual((yield* served(stream)).outputs, [`of ${stream}`])
    return yield* changes
  })

describe("a store's key is changed", () => {
  const folder = mkdtempSync(join(tmpdir(), "reprise-rekey-"))
  const [oldFile, newFile] = [keyFile(folder, 7), keyFile(folder, 8)]
  const [oldKey, newKey] = [loadStoreKey({ file: oldFile }), loadStoreKey({ file: newFile })]
  const small = { whole: encryptedPaths(folder, 7, "small"), streams: Array.from({ length: SESSIONS }, newSessionId) }
  const paged = { whole: encryptedPaths(folder, 7), streams: Array.from({ length: SESSIONS_PAGED }, newSessionId) }
  beforeAll(async () => {
    for (const { whole, streams } of [small, paged]) await write(whole, streams)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const dieAt = async (point: KillPointName) => {
    const { whole, streams } = /^storekey\.(copies|rows)\./.test(point) ? paged : small
    const looked = [streams[0]!, streams[streams.length / 2]!, streams.at(-1)!]
    const paths = storePaths(copyStore(whole, join(folder, point)).store, { file: oldFile })
    const cli = new CommandLine(paths.store)
    const command = ["--key-file", oldFile, "keys", "change-store-key", "--new-key-file", newFile]
    const killed = await cli.run(command, { env: { REPRISE_KILL_POINT: point } })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    const name = readKeyName(paths.journal)
    const isSwitched = name === newKey.name
    assert.isTrue(isSwitched || name === oldKey.name)
    assert.strictEqual(isSwitched, POINTS.indexOf(point) >= POINTS.indexOf("storekey.switch.after"))
    const [good, other, key, otherKey] = isSwitched
      ? ([newFile, oldFile, newKey, oldKey] as const)
      : ([oldFile, newFile, oldKey, newKey] as const)
    const before = [...(await wrappedIn(whole)), ...(await wrappedIn(paths))]
    const isLeft = point !== "storekey.begin.before" && point !== "storekey.told.after"
    const looks = await doctor(storePaths(paths.store), { engine: undefined })
    assert.strictEqual(
      looks.findings.some(({ what }) => /change of its key .* was interrupted/.test(what)),
      isLeft
    )
    assert.deepStrictEqual(looks.damages, [])

    const wrong = storePaths(paths.store, { file: other })
    assert.include(
      await refusal(() => open(wrong, everything(looked))),
      `is encrypted with the key ${name}, and ${other} holds the key ${otherKey.name}`
    )
    const right = storePaths(paths.store, { file: good })
    const told = await open(right, everything(looked))
    assert.strictEqual(told.length, isSwitched ? 1 : 0)
    // Both places are under the one key, and what was under the other is in no file.
    const after = await wrappedIn(paths)
    assert.strictEqual(after.length, 2 * (streams.length + 1))
    for (const [row, value] of after) assert.isDefined(unwrapDataKey(row, value, key))
    const stale = before.filter(([row, value]) => unwrapDataKey(row, value, key) === undefined)
    assert.strictEqual(stale.length > 0, isSwitched || !/begin|copies.before/.test(point))
    // Some of them, the first and so the store's own among them: each look reads every file.
    for (const [row, value] of stale.filter((_, index) => index % 300 === 0)) {
      const material = Buffer.from(decodeRow(row, value)!).subarray(1)
      assert.deepStrictEqual(filesHolding(paths.store, material), [])
    }

    const isFirst = point === POINTS[0]
    const report = isFirst
      ? await cli.json(command)
      : await changeStoreKey(storePaths(paths.store, { file: oldFile }), { file: newFile }, OPTIONS)
    assert.deepInclude(
      report,
      isSwitched ? { from: null, to: newKey.name } : { from: oldKey.name, keys: streams.length + 1, lost: 0 }
    )
    const [change, ...more] = await open(storePaths(paths.store, { file: newFile }), everything(looked))
    assert.deepStrictEqual(more, [])
    assert.deepInclude(change?.event, { what: "change-store-key", detail: `${oldKey.name} to ${newKey.name}` })
    assert.strictEqual(change?.actor, isSwitched || isFirst ? "cli" : OPTIONS.actor)
    assert.strictEqual(
      (await doctor(storePaths(paths.store, { file: newFile }), { engine: undefined })).state,
      "healthy"
    )
    rmSync(paths.store, { recursive: true, force: true })
  }

  for (const point of POINTS) {
    it(`10.7: ${point}: one of the two keys opens all of it`, { timeout: 240_000 }, () => dieAt(point))
  }

  it("10.7: no file holds a key under the old one, sessions made later have theirs, and it goes back", () =>
    withFolder(async (own) => {
      const paths = encryptedPaths(own, 7)
      const some = [newSessionId(), newSessionId()]
      await write(paths, some)
      const old = await wrappedIn(paths)
      const report = await changeStoreKey(paths, { file: newFile }, OPTIONS)
      assert.deepStrictEqual(report, { from: oldKey.name, to: newKey.name, keys: 3, lost: 0, left: [] })
      for (const [row, value] of old) {
        assert.deepStrictEqual(filesHolding(paths.store, Buffer.from(decodeRow(row, value)!).subarray(1)), [])
      }
      const now = storePaths(paths.store, { file: newFile })
      const later = newSessionId()
      await write(now, [later])
      await open(now, everything([...some, later]))
      // And back, with a command for the new key.
      const back = await changeStoreKey(now, { command: `cat ${oldFile}` }, OPTIONS)
      assert.deepInclude(back, { from: newKey.name, to: oldKey.name, keys: 4 })
      assert.strictEqual((await open(paths, everything([...some, later]))).length, 2)
    }))

  it("keeps what one damaged place has left, and names keys that were lost before", () =>
    withFolder(async (own) => {
      const paths = encryptedPaths(own, 7)
      const some = [newSessionId(), newSessionId(), newSessionId()] as const
      await write(paths, some)
      const storage = await LevelStorage.open(join(paths.journal, "db"), "process", false)
      await storage.batch([
        { key: rowKey(KEY_SPACE, streamBytes(some[0])), value: undefined },
        { key: rowKey(KEY_COPY_SPACE, streamBytes(some[1])), value: Buffer.from("damaged") },
        { key: rowKey(KEY_SPACE, streamBytes(some[2])), value: undefined },
        { key: rowKey(KEY_COPY_SPACE, streamBytes(some[2])), value: Buffer.from("damaged") }
      ])
      await storage.close()
      const report = await changeStoreKey(paths, { file: newFile }, OPTIONS)
      assert.deepInclude(report, { keys: 3, lost: 1 })
      const now = storePaths(paths.store, { file: newFile })
      await open(now, everything(some.slice(0, 2)))
      assert.include((await open(now, served(some[2]))).damage?.message, "the key of this session is missing")
      const places = (await wrappedIn(paths)).filter(([row, value]) => unwrapDataKey(row, value, newKey) !== undefined)
      assert.strictEqual(places.length, 6)
    }))

  it("refuses a wrong key, the same key, a plain store and one in use, and changes nothing", () =>
    withFolder(async (own) => {
      const paths = encryptedPaths(own, 7)
      const stream = newSessionId()
      await write(paths, [stream])
      const change = (from: StorePaths, file: string) => () => changeStoreKey(from, { file }, OPTIONS)
      const third = keyFile(folder, 9)
      assert.match(
        await refusal(change(storePaths(paths.store, { file: third }), newFile)),
        /is encrypted with the key [0-9a-f]{16}, and .*key-9 holds the key [0-9a-f]{16}; nothing was touched/
      )
      assert.match(await refusal(change(storePaths(paths.store), newFile)), /no key was given: set/)
      assert.match(await refusal(change(paths, oldFile)), /is encrypted with the key .* nothing was changed/)
      assert.match(await refusal(change(paths, join(own, "none"))), /the key file does not exist/)
      writeFileSync(join(own, "short"), "abc")
      assert.match(await refusal(change(paths, join(own, "short"))), /gives no key: it must be 32 bytes/)
      await open(
        paths,
        Effect.gen(function* () {
          const failure = yield* Effect.promise(() => refusal(change(paths, newFile)))
          assert.match(failure, /is in use by (process \d+|another process); run: reprise stop/)
          const journal = yield* Journal
          assert.isUndefined(yield* journal.row(KEY_CHANGE_SPACE, KEY_CHANGE_KEY))
        })
      )
      const plain = storePaths(join(own, "plain"))
      await write(plain, [stream])
      assert.match(await refusal(change({ ...plain, key: paths.key }, newFile)), /is not encrypted, and has no key/)
      assert.match(await refusal(change(storePaths(join(own, "no")), newFile)), /does not exist/)
      const aborted = new AbortController()
      aborted.abort(new Error("interrupted"))
      const failure = await refusal(() =>
        changeStoreKey(paths, { file: newFile }, { ...OPTIONS, signal: aborted.signal })
      )
      assert.include(failure, "interrupted")
      assert.strictEqual((await open(paths, everything([stream]))).length, 0)
      for (const [row, value] of await wrappedIn(paths)) assert.isDefined(unwrapDataKey(row, value, oldKey))
    }))
})
