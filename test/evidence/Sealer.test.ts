/** What the sealer does over time, across deaths, and with what it finds; and the key it signs with. */
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, lstatSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { STORE_STREAM } from "../../journal/Event.ts"
import { type JournalShape, StoreRefused } from "../../journal/index.ts"
import { parseStatement } from "../../journal/Statement.ts"
import { ensureKey, readKey } from "../../src/evidence/Keys.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { closed, created } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { Attacker, named, sealing, verified, withFolder } from "./sealedStores.ts"

const SEAL_AND_DIE = fileURLToPath(new URL("./programs/sealAndDie.ts", import.meta.url))

const statements = (journal: JournalShape) =>
  Effect.map(Stream.runCollect(journal.rows("ev-log")), (rows) =>
    rows.map(({ value }) => parseStatement(Buffer.from(value).toString())!)
  )

describe("10.8 sealing", () => {
  it("10.8 takes up an old store, goes on behind events that are gone, and never seals over a lost end", () =>
    withFolder(async (folder) => {
      const paths = storePaths(`${folder}/store`)
      const [one, other] = [newSessionId(), newSessionId()]
      await sealing(paths, (journal) =>
        Effect.gen(function* () {
          for (const stream of [one, other]) {
            yield* journal.append(stream, [
              created(),
              ...Array.from({ length: 600 }, (_, at) => outputEvent(`${at}`)),
              closed
            ])
          }
        })
      )
      assert.strictEqual((await verified(paths)).integrity, "unproven")
      await Attacker.at(paths, (attacker) => attacker.remove(one, 100, 101))
      await sealing(paths, (_, sealer) =>
        Effect.gen(function* () {
          assert.isUndefined(yield* sealer.seal(one))
          assert.isUndefined(yield* sealer.seal(other))
        })
      )
      const sealed = await verified(paths)
      assert.deepStrictEqual(named(sealed), [])
      assert.deepInclude(sealed.sessions.find(({ session }) => session === one)!, { sealed: 602, absent: 2 })
      await Attacker.at(paths, (attacker) => attacker.remove(other, 590, 602))
      rmSync(`${paths.journal}/ends.json`)
      await sealing(paths, (journal, sealer) =>
        Effect.gen(function* () {
          yield* journal.append(other, [outputEvent("in the place of another")])
          assert.include(yield* sealer.seal(other), "it ends with event 590, and 602 were sealed")
          yield* journal.append(
            other,
            Array.from({ length: 20 }, (_, at) => outputEvent(`${at}`))
          )
          assert.include(yield* sealer.seal(other), "it ends with event 590")
          const [last] = (yield* statements(journal)).slice(-1)
          assert.deepInclude(last!, { reason: "stopped" })
        })
      )
      assert.deepStrictEqual(named(await verified(paths), other), ["integrity edited 590-602"])
    }))

  it("10.8 a death before or behind a seal leaves the whole seal or nothing of it, and the next engine goes on", () =>
    withFolder(async (folder) => {
      const paths = storePaths(`${folder}/store`)
      const one = newSessionId()
      await sealing(paths, (journal) =>
        journal.append(one, [created(), ...Array.from({ length: 9000 }, (_, at) => outputEvent(`${at}`))])
      )
      for (const [point, sealed] of [
        ["evidence.seal.before:2", 4096],
        ["evidence.seal.after:1", 8192]
      ] as const) {
        const { signal } = spawnSync(process.execPath, [SEAL_AND_DIE, paths.store, one], {
          env: { ...process.env, REPRISE_KILL_POINT: point }
        })
        assert.strictEqual(signal, "SIGKILL")
        const report = await verified(paths)
        assert.deepStrictEqual(named(report), [])
        assert.deepInclude(report.sessions[0]!, { sealed, unsealed: 9001 - sealed })
      }
      await sealing(paths, (_, sealer) => sealer.seal(one))
      const report = await verified(paths)
      assert.deepStrictEqual([named(report), report.sessions[0]!.sealed, report.log!.statements], [[], 9001, 3])
    }))

  it("10.8 removal: what goes keeps its hashes, loses its salts, and is told in the store's own stream", () =>
    withFolder(async (folder) => {
      const paths = storePaths(`${folder}/store`)
      const one = newSessionId()
      await sealing(paths, (journal, sealer) =>
        Effect.gen(function* () {
          yield* journal.append(one, [created(), ...Array.from({ length: 600 }, (_, at) => outputEvent(`${at}`))])
          yield* sealer.seal(one)
          const removal = {
            to: 300,
            reason: "asked",
            policy: "asked for",
            actor: "auditor",
            timeMicros: 1,
            kept: [],
            rows: []
          } as const
          yield* journal.removal.remove(one, removal, [])
          yield* sealer.forgetRemoved(one)
          const told = yield* Stream.runCollect(journal.read(STORE_STREAM))
          assert.deepInclude(told.at(-1)!.event, { _tag: "RemovalRecorded", session: one, to: 300 })
          const tiles = yield* Stream.runCollect(journal.rows("ev-tile"))
          const salts = tiles
            .slice(0, 2)
            .flatMap(({ value }) =>
              Array.from({ length: value.byteLength / 48 }, (_, at) =>
                value.subarray(at * 48 + 32, at * 48 + 48).some((byte) => byte !== 0)
              )
            )
          assert.deepStrictEqual(salts.indexOf(true), 300)
          yield* journal.append(one, [outputEvent("on")])
          yield* sealer.seal(one)
          yield* sealer.seal(STORE_STREAM)
        })
      )
      const report = await verified(paths)
      assert.deepStrictEqual(named(report), [])
      assert.deepInclude(report.sessions.find(({ session }) => session === one)!, {
        sealed: 602,
        removed: 300,
        events: 303
      })
    }))

  it.effect("10.8 seals what is quiet, at once what has ended, and says every hour that nothing happened", () =>
    Effect.promise(() =>
      withFolder(async (folder) => {
        const paths = storePaths(`${folder}/store`)
        await sealing(paths, (journal, sealer) =>
          Effect.gen(function* () {
            const one = newSessionId()
            const running = yield* Effect.forkChild(sealer.run)
            yield* Effect.yieldNow
            yield* journal.append(one, [created()])
            /** Lets the time go by until there are so many statements; what is not timed takes its real time. */
            const until = Effect.fnUntraced(function* (count: number, millis: number) {
              for (;;) {
                yield* TestClock.adjust(millis)
                yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
                const found = yield* statements(journal)
                if (found.length >= count) return found.map(({ reason }) => reason)
              }
            })
            // While a seal is written hours may go by here: more may have been said by then.
            assert.strictEqual((yield* until(1, 1000))[0], "quiet")
            assert.deepStrictEqual((yield* until(3, 600_000)).slice(0, 3), ["quiet", "idle", "idle"])
            yield* Fiber.interrupt(running)
          }).pipe(Effect.provide(TestClock.layer()))
        )
      })
    )
  )
})

describe("10.8 the key", () => {
  it("10.8 is made once, for its user alone, and refused where others can read it or it is no key", () =>
    withFolder(async (folder) => {
      const paths = storePaths(folder)
      assert.isUndefined(readKey(paths))
      const key = ensureKey(paths, 1_800_000_000_000)
      assert.match(key.signer.name, /^reprise\.local\/[0-9A-Z]{26}$/)
      assert.strictEqual(lstatSync(paths.evidenceKey).mode & 0o777, 0o600)
      assert.strictEqual(ensureKey(paths, 1).signer.name, key.signer.name)
      assert.strictEqual(readKey(paths)?.madeMillis, 1_800_000_000_000)
      assert.isFalse(existsSync(`${paths.evidenceKey}.${process.pid}.tmp`))
      const refused = (detail: string) => {
        try {
          readKey(paths)
        } catch (error) {
          assert.instanceOf(error, StoreRefused)
          return assert.include((error as StoreRefused).detail, detail)
        }
        assert.fail("it was read")
      }
      chmodSync(paths.evidenceKey, 0o640)
      refused("is open to other users (mode 640)")
      chmodSync(paths.evidenceKey, 0o600)
      const text = readFileSync(paths.evidenceKey, "utf8")
      writeFileSync(paths.evidenceKey, text.replace("PRIVATE", "PUBLIC"))
      refused("is no key")
      rmSync(paths.evidenceKey)
      symlinkSync("/dev/null", paths.evidenceKey)
      refused("is a symbolic link")
    }))
})
