/**
 * An encrypted store whose processes die: its engine in mode power, its engine and its keepers at once, and whoever destroys a key at
 * every instruction of that. Nothing acknowledged is missing, and no file beside or in the journal holds what was to be secret.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, Stream } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { unwrapDataKey } from "../../journal/DataKeys.ts"
import { keyRowsIn } from "../../journal/EntryReader.ts"
import { STORE_STREAM } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import { streamBytes, streamEnd } from "../../journal/Keys.ts"
import { KILL_POINTS, type KillPointName } from "../../journal/KillPoint.ts"
import { decodeRow } from "../../journal/Record.ts"
import { loadStoreKey } from "../../journal/StoreKey.ts"
import { backup } from "../../src/care/Backup.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { planRepair } from "../../src/care/Repair.ts"
import { verifyStore } from "../../src/evidence/Verify.ts"
import { History, Redaction } from "../../src/index.ts"
import { listKeepers } from "../../src/keeper/KeeperProcess.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { closed, copyStore, created, served } from "../care/stores.ts"
import { makeReprise } from "../cli/reprise.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { CommandLine } from "../crash/commandLine.ts"
import { isAlive } from "../fixtures/processes.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { encryptedPaths, keyFile, looking, redacting } from "./stores.ts"

process.umask(0o077)

describe("an encrypted store in mode power", () => {
  /** Each where it could stay behind; in two parts, so that nothing but the store can hold it whole. */
  const secretOf = (what: string) => `${what}-${["sword", "fish"].join("")}-4711`
  const SECRETS = ["output", "input", "name", "argv", "cwd", "title", "command", "printed", "variable", "marker"]

  it(
    "10.7: an engine that is killed again and again loses no line, and no file holds a secret, also when the keepers die too",
    () =>
      Effect.runPromise(
        Effect.scoped(
          Effect.gen(function* () {
            const reprise = yield* makeReprise
            const folder = dirname(reprise.store)
            reprise.env.REPRISE_STORE_KEY_FILE = keyFile(folder)
            reprise.env.REPRISE_DURABILITY = "power"
            const ok = (args: ReadonlyArray<string>, input = "") =>
              Effect.map(reprise.run(args, input), ({ code, stderr, stdout }) => {
                assert.strictEqual(code, 0, `${args.join(" ")}: ${stderr}`)
                return stdout.toString()
              })
            const die = Effect.gen(function* () {
              const engine = (yield* reprise.enginePid)!
              process.kill(engine, "SIGKILL")
              while (isAlive(engine)) yield* Effect.sleep(5)
            })
            const clean = (where: string) => {
              for (const what of SECRETS) assert.deepStrictEqual(filesHolding(where, secretOf(what)), [], what)
            }
            const where = join(folder, secretOf("cwd"))
            mkdirSync(where)
            const script =
              `printf '\\033]0;${secretOf("title")}\\007'; echo ${secretOf("output")}; ` +
              'i=0; while read x; do i=$((i+1)); echo "$i $x"; done'
            const run = ["run", "--detach", "--name", secretOf("name"), "--cwd", where]
            const id = (yield* ok([...run, "--", "sh", "-c", script, secretOf("argv")])).trim()
            assert.strictEqual(JSON.parse(yield* ok(["status", "--json"])).durability, "power")
            yield* ok(["start", "--name", "sh"])
            yield* ok([
              "exec",
              "sh",
              "--",
              `V=${secretOf("variable")}; : ${secretOf("command")}; echo ${secretOf("printed")}`
            ])
            for (let line = 1; line <= 3; line++) {
              yield* ok(["send", id, "--", `${secretOf("input")} ${line}\n`])
              yield* die
            }
            yield* ok(["search", secretOf("output"), "--json"])
            yield* ok(["state", "sh"])
            clean(reprise.store)
            // What the keeper has read and no engine yet goes with the keeper.
            const answer = `3 ${secretOf("input")} 3`
            while (!(yield* ok(["replay", id])).includes(answer)) yield* Effect.sleep(20)
            // Both at once: nothing is ended in order. What a shell is doing then lies in its folder until an engine looks.
            yield* reprise.start(["exec", "sh", "--", `: ${secretOf("running")}; read x </dev/tty`])
            const isStarted = Effect.map(reprise.events("sh"), (entries) =>
              entries.some(({ event }) => event._tag === "CommandStarted" && event.code.includes(secretOf("running")))
            )
            while (!(yield* isStarted)) yield* Effect.sleep(20)
            yield* die
            for (const { pid } of yield* Effect.promise(() => listKeepers(storePaths(reprise.store).keepers))) {
              if (pid !== null) process.kill(pid, "SIGKILL")
            }
            clean(reprise.store)
            yield* ok(["backup", join(folder, "copy")])
            clean(join(folder, "copy"))
            const replayed = yield* ok(["replay", id])
            assert.include(replayed, secretOf("output"))
            for (let line = 1; line <= 3; line++) {
              // Typed lines are echoed; the answer is once.
              assert.strictEqual(replayed.split(`${line} ${secretOf("input")} ${line}`).length, 2, replayed)
            }
            yield* ok(["run", "--", "true"])
            clean(reprise.store)
            assert.deepStrictEqual(filesHolding(reprise.store, secretOf("running")), [])
          })
        )
      ),
    300_000
  )
})

describe("a process dies in the middle of destroy-key", () => {
  const POINTS = KILL_POINTS.filter(
    (name) => name.startsWith("retention.") || (name.startsWith("redaction.") && !name.startsWith("redaction.batch"))
  )
  const SECRET = "swordfish-4711"
  const OUTPUTS = 600
  const [stream, other] = [newSessionId(), newSessionId()]
  const folder = mkdtempSync(join(tmpdir(), "reprise-destroy-"))
  const whole = encryptedPaths(folder)
  const storeKey = loadStoreKey(whole.key!)

  beforeAll(() =>
    redacting(
      whole,
      Effect.gen(function* () {
        const journal = yield* Journal
        for (const id of [stream, other]) {
          const outputs = Array.from({ length: OUTPUTS }, (_, index) => outputEvent(`${SECRET} ${index}`))
          yield* journal.append(id, [created(`named ${SECRET}`), ...outputs, closed])
        }
        yield* (yield* History).list
      })
    )
  )
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** Both places of the session's key. */
  const keysIn = async (paths: StorePaths) =>
    (await looking(paths, keyRowsIn)).filter(([row]) => Buffer.from(row.subarray(-16)).equals(streamBytes(stream)))

  const dieAt = async (point: KillPointName) => {
    const copy = copyStore(whole, join(folder, point))
    const paths = storePaths(copy.store, whole.key)
    const keys = await keysIn(paths)
    assert.lengthOf(keys, 2)
    const destroy = ["--key-file", keyFile(folder), "destroy-key", stream, "--yes", "--reason", "case 4711"]
    const killed = await new CommandLine(paths.store).run(destroy, { env: { REPRISE_KILL_POINT: point } })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    const isDone = point !== "retention.tombstone.before"
    // Both places or none.
    for (const [row, value] of await keysIn(paths))
      assert.strictEqual(unwrapDataKey(row, value, storeKey) === "destroyed", isDone)

    // Who only reads finds nothing damaged, before anybody has finished it.
    for (const key of [paths.key, undefined]) {
      const checked = await doctor({ ...paths, key }, { engine: undefined })
      assert.deepInclude(checked, { state: "healthy", damages: [] })
    }
    assert.strictEqual((await planRepair(paths)).state, "sound")
    const copied = await backup(paths, join(folder, `${point}-copy`), { nowMicros: 5 })
    assert.deepStrictEqual(copied.damages, [])
    assert.strictEqual((await verifyStore(paths, { anchors: [] })).integrity, "intact")

    await redacting(
      paths,
      Effect.gen(function* () {
        const journal = yield* Journal
        assert.deepStrictEqual(journal.openingDamages, [])
        assert.deepStrictEqual((yield* journal.verify).damages, [])
        assert.deepStrictEqual([...(yield* journal.redaction.unfinished)], [])
        const { damage, outputs } = yield* served(stream)
        assert.isUndefined(damage)
        assert.strictEqual(outputs.length, isDone ? 0 : OUTPUTS)
        assert.strictEqual((yield* served(other)).outputs.length, OUTPUTS)
        // And again.
        const report = yield* Redaction.use((redaction) =>
          redaction.destroyKey({ session: stream, reason: "case 4711" })
        )
        assert.strictEqual(report.events, isDone ? 0 : OUTPUTS + 2)
        assert.deepStrictEqual((yield* served(stream)).outputs, [])
        const told = yield* Stream.runCollect(journal.read(STORE_STREAM))
        assert.strictEqual(told.filter(({ event }) => event._tag === "KeyDestroyed").length, 1)
        assert.deepStrictEqual([...(yield* journal.redaction.unfinished)], [])
      })
    )
    for (const [row, value] of keys) {
      assert.deepStrictEqual(filesHolding(paths.store, Buffer.from(decodeRow(row, value)!).subarray(1)), [])
    }
    // What stands for its events, and nothing of them.
    const bytes = streamBytes(stream)
    const events = await looking(paths, async (reader) => {
      let count = 0
      for await (const page of reader.pages({ from: bytes, to: streamEnd(bytes) })) count += page.length
      return count
    })
    assert.strictEqual(events, 1)
    rmSync(paths.store, { recursive: true, force: true })
  }

  for (const point of POINTS) {
    it(`10.7: ${point}: destroyed or not, and the next opening takes the rest off the disk`, { timeout: 240_000 }, () =>
      dieAt(point)
    )
  }
})
