/** Redactions that are recorded: whatever else happens to the session, they are no fault, and what nothing records is one. */
import { writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import type { JournalShape } from "../../journal/index.ts"
import { generateSigner, signerKey } from "../../journal/SignedNote.ts"
import { parseStatement } from "../../journal/Statement.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { closed, created } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { verdicts } from "./bundleVerdicts.ts"
import { Attacker, copyOf, named, sealing, verified, withFolder } from "./sealedStores.ts"
import { assertSound, bundleOf, imported } from "./soundStores.ts"

/** Behind the header of an output: channel, command, offset. */
const TEXT_AT = 13

const redact = (journal: JournalShape, session: SessionId, sequence: number, at: number) =>
  journal.redaction.replace(session, {
    from: 1,
    to: sequence,
    rules: [{ rule: "text", matches: 1 }],
    reason: "",
    actor: "auditor",
    timeMicros: 1_800_000_000_000_000,
    rows: [],
    events: [{ sequence, edits: [{ from: TEXT_AT + at, to: TEXT_AT + at + 1, bytes: Buffer.from("*") }] }]
  })

const recorded = async (folder: string) => {
  const paths = storePaths(`${folder}/store`)
  const session = newSessionId()
  await sealing(paths, (journal, sealer) =>
    Effect.gen(function* () {
      yield* journal.append(session, [created(), outputEvent("first"), outputEvent("secret")])
      assert.isUndefined(yield* sealer.seal(session))
    })
  )
  return { paths, session }
}

let copies = 0
/** The same with one byte of the event changed, of its time and of its payload. */
const assertEditTold = async (paths: StorePaths, session: SessionId, sequence: number) => {
  for (const at of [8, -1]) {
    const copy = copyOf(paths, `${paths.store}.copies`, `${copies++}`)
    await Attacker.at(copy, async (attacker) => {
      const value = await attacker.value(session, sequence)
      value[at < 0 ? value.length + at : at]! ^= 1
      await attacker.put(session, sequence, value)
    })
    assert.deepStrictEqual(named(await verified(copy), session), [`integrity edited ${sequence}`])
    assert.deepInclude(await verdicts(await bundleOf(copy, session)), { code: 82, integrity: ["edited"] })
  }
}

describe("10.8 a recorded redaction", () => {
  for (const isReopened of [false, true]) {
    it(`10.8 of the last sealed event lets sealing go on, ${isReopened ? "of a store that is opened again" : "in one engine"}`, () =>
      withFolder(async (folder) => {
        const { paths, session } = await recorded(folder)
        if (isReopened) {
          await sealing(paths, (journal) => redact(journal, session, 3, 0))
          await sealing(paths, (journal) => redact(journal, session, 3, 1))
        }
        await sealing(paths, (journal, sealer) =>
          Effect.gen(function* () {
            if (!isReopened) yield* redact(journal, session, 3, 0)
            yield* journal.append(session, [outputEvent("after")])
            assert.isUndefined(yield* sealer.seal(session))
            assert.deepStrictEqual(yield* sealer.sealAll, [])
          })
        )
        const report = await verified(paths)
        assert.deepInclude(report.sessions.find((one) => one.session === session)!, { unsealed: 0, redacted: 1 })
        await assertSound(paths, session)
      }))
  }

  it("10.8 is found behind events that are gone, and goes on where an earlier version had stopped", () =>
    withFolder(async (folder) => {
      const { paths, session } = await recorded(folder)
      await sealing(paths, (journal) =>
        Effect.gen(function* () {
          yield* journal.append(session, [outputEvent("lost"), outputEvent("lost")])
          yield* redact(journal, session, 3, 0)
        })
      )
      await Attacker.at(paths, async (attacker) => {
        await attacker.remove(session, 4, 5)
        for (const [key, value] of await attacker.rows("ev-seal")) {
          const seal = {
            ...JSON.parse(Buffer.from(value).toString()),
            stopped: "event 3 is not the one that was sealed"
          }
          await attacker.putRow(key, Buffer.from(JSON.stringify(seal)))
        }
      })
      await sealing(paths, (_, sealer) =>
        Effect.gen(function* () {
          assert.isUndefined(yield* sealer.seal(session))
        })
      )
      await Attacker.at(paths, async (attacker) => {
        const seals = (await attacker.rows("ev-seal")).map(([, value]) => JSON.parse(Buffer.from(value).toString()))
        assert.isTrue(seals.every(({ stopped }) => stopped === undefined))
      })
      assert.deepStrictEqual(named(await verified(paths)), [])
    }))

  it("10.8 of another event, or of another payload, does not excuse the last one", () =>
    withFolder(async (folder) => {
      const { paths, session } = await recorded(folder)
      await sealing(paths, (journal) =>
        Effect.gen(function* () {
          yield* redact(journal, session, 2, 0)
          yield* redact(journal, session, 3, 0)
        })
      )
      const unrecorded = copyOf(paths, folder, "unrecorded")
      await Attacker.at(unrecorded, async (attacker) => {
        const value = await attacker.value(session, 3)
        value[value.length - 1]! ^= 1
        await attacker.put(session, 3, value)
      })
      for (let opening = 0; opening < 2; opening++) {
        await sealing(unrecorded, (journal, sealer) =>
          Effect.gen(function* () {
            yield* journal.append(session, [outputEvent("after")])
            for (let time = 0; time < 2; time++)
              assert.include(yield* sealer.seal(session), "event 3 is not the one that was sealed")
            const log = yield* Stream.runCollect(journal.rows("ev-log"))
            const reasons = log.map(({ value }) => parseStatement(Buffer.from(value).toString())!.reason)
            // Said once.
            assert.deepStrictEqual(
              reasons.filter((reason) => reason === "stopped"),
              ["stopped"]
            )
          })
        )
      }
      assert.include(named(await verified(unrecorded), session), "integrity edited 3")
    }))

  it("10.8 is none also when another store had sealed the event before, or the same one under another key", () =>
    withFolder(async (folder) => {
      const { paths, session } = await recorded(folder)
      await sealing(paths, (journal, sealer) =>
        Effect.gen(function* () {
          yield* redact(journal, session, 3, 0)
          yield* journal.append(session, [closed])
          yield* sealer.seal(session)
        })
      )
      const anew = copyOf(paths, folder, "anew")
      writeFileSync(
        anew.evidenceKey,
        JSON.stringify({ key: signerKey(generateSigner("reprise.local/X")), made: new Date(0).toISOString() })
      )
      const there = await imported(paths, session, folder, "there")
      for (const store of [anew, there]) {
        await sealing(store, (_, sealer) => Effect.all([session, STORE_STREAM].map((stream) => sealer.seal(stream))))
        await assertSound(store, session)
        for (const at of [1, 2]) {
          await sealing(store, (journal, sealer) =>
            Effect.gen(function* () {
              yield* redact(journal, session, 3, at)
              yield* sealer.seal(session)
            })
          )
          await assertSound(store, session)
        }
        await assertEditTold(store, session, 3)
      }
    }))
})
