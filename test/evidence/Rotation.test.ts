/** 10.8: a store that goes on under another key: who trusts one of them is led to the other, and a forged change is told. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { STORE_STREAM } from "../../journal/Event.ts"
import { logKey, rotationKey, STORE_CHECKPOINT_KEY, STORE_KEY_KEY } from "../../journal/EvidenceRows.ts"
import { Journal, JournalLevel } from "../../journal/index.ts"
import { rowKey } from "../../journal/Keys.ts"
import { Frontier, leafHash } from "../../journal/Merkle.ts"
import {
  checkpointText,
  cosignNote,
  generateSigner,
  parseVerifierKey,
  type Signer,
  signerKey,
  signNote,
  type Verifier,
  verifierKey
} from "../../journal/SignedNote.ts"
import { statementText } from "../../journal/Statement.ts"
import { Evidence } from "../../src/evidence/Evidence.ts"
import * as EvidenceLocal from "../../src/evidence/EvidenceLocal.ts"
import { makeNextKey, readKey } from "../../src/evidence/Keys.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { created } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { Attacker, anchorOf, copyOf, named, sealing, verified, withFolder } from "./sealedStores.ts"

const one = newSessionId()
const other = newSessionId()

/** The store as `reprise anchor` and `reprise keys rotate` open it without an engine. */
const evidence = <A, E>(paths: StorePaths, use: (evidence: Evidence["Service"]) => Effect.Effect<A, E>) =>
  Effect.runPromise(
    Evidence.use(use).pipe(
      Effect.provide(EvidenceLocal.layer(paths)),
      Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal })))
    )
  )

const append = (paths: StorePaths, text: string) =>
  Effect.runPromise(
    Journal.use((journal) => journal.append(one, [outputEvent(text)])).pipe(
      Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal })))
    )
  )

const makeStore = async (folder: string) => {
  const paths = storePaths(`${folder}/store`)
  await sealing(paths, (journal) =>
    Effect.gen(function* () {
      yield* journal.append(one, [created(), outputEvent("one")])
      yield* journal.append(other, [created(), outputEvent("other")])
    })
  )
  return paths
}

const publicOf = (paths: StorePaths): Verifier => parseVerifierKey(verifierKey(readKey(paths)!.signer))!

describe("10.8 another key", () => {
  it("10.8 an anchor is made of everything that was acknowledged before, and of a copy without its key nothing is made anew", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      const { checkpoint, unsealed } = await evidence(paths, ({ seal }) => seal)
      assert.deepStrictEqual(unsealed, [])
      const anchor = { name: "anchor", text: checkpoint! }
      const report = await verified(paths, { anchors: [anchor] })
      assert.deepStrictEqual(named(report), [])
      assert.deepStrictEqual(
        report.sessions.map(({ sealed, session, unsealed }) => [session, sealed, unsealed]).toSorted(),
        [one, other].map((session) => [session, 2, 0]).toSorted()
      )
      // What it covers cannot go: neither the end of a session nor all of it.
      await Attacker.at(paths, (attacker) => attacker.remove(one, 2, 2))
      assert.deepStrictEqual(named(await verified(paths, { anchors: [anchor] }), one), ["completeness truncated 2"])

      const copy = copyOf(paths, folder, "copy")
      rmSync(copy.evidenceKey)
      const of = await evidence(copy, ({ seal }) => seal)
      assert.strictEqual(of.checkpoint, checkpoint)
      assert.include(of.unsealed[0]?.reason ?? "nothing is to be sealed", "nothing is to be sealed")
      await append(copy, "more")
      const later = await evidence(copy, ({ seal }) => seal)
      assert.strictEqual(later.checkpoint, checkpoint)
      assert.include(later.unsealed[0]!.reason, "put back the key")
      assert.isFalse(existsSync(copy.evidenceKey))
    }))

  it("10.8 verification follows from the old key and from an old anchor to the new key, and back", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      await evidence(paths, ({ seal }) => seal)
      const before = await anchorOf(paths, "before")
      const first = publicOf(paths)
      const report = await evidence(paths, ({ rotateKey }) => rotateKey({ actor: "auditor" }))
      const second = publicOf(paths)
      assert.deepStrictEqual([report.from, report.to], [verifierKey(first), verifierKey(second)])
      assert.isFalse(existsSync(`${paths.evidenceKey}.next`))
      assert.strictEqual(first.name, second.name)
      const behind = await anchorOf(paths, "behind")
      await append(paths, "more")
      await evidence(paths, ({ seal }) => seal)
      await evidence(paths, ({ rotateKey }) => rotateKey({}))
      const third = publicOf(paths)
      await append(paths, "more")
      await evidence(paths, ({ seal }) => seal)
      const anchors = [before, behind, await anchorOf(paths, "now")]
      for (const key of [undefined, first, second, third]) {
        const sound = await verified(paths, { anchors, ...(key !== undefined && { key }) })
        assert.deepStrictEqual([sound.integrity, sound.completeness, named(sound)], ["intact", "complete", []])
        const present = key === undefined || key === third ? undefined : verifierKey(third)
        assert.strictEqual(sound.key?.present, present)
      }
      // It is told in the store's own stream, and who asked for it.
      const told = await Effect.runPromise(
        Journal.use((journal) => Effect.map(journal.head(STORE_STREAM), (head) => head)).pipe(
          Effect.provide(Layer.fresh(JournalLevel.layer({ location: paths.journal })))
        )
      )
      assert.strictEqual(told, 2)
      assert.deepStrictEqual(
        (await verified(paths, { key: generateSigner(first.name) })).findings.some(
          ({ reason }) => reason === "wrong key"
        ),
        true
      )
    }))

  it("10.8 a change of key that was cut off has happened or has not, and nothing is made anew", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      await evidence(paths, ({ seal }) => seal)
      const anchor = await anchorOf(paths)
      const first = readFileSync(paths.evidenceKey)
      // Cut off before the log names the key: the next rotation makes another.
      makeNextKey(paths, publicOf(paths).name, Date.now())
      await evidence(paths, ({ seal }) => seal)
      assert.deepStrictEqual(readFileSync(paths.evidenceKey), first)
      // Cut off behind: the key file is still the old one.
      await evidence(paths, ({ rotateKey }) => rotateKey({}))
      renameSync(paths.evidenceKey, `${paths.evidenceKey}.next`)
      writeFileSync(paths.evidenceKey, first, { mode: 0o600 })
      assert.deepStrictEqual(named(await verified(paths, { anchors: [anchor] })), [])
      await append(paths, "more")
      const { unsealed } = await evidence(paths, ({ seal }) => seal)
      assert.deepStrictEqual(unsealed, [])
      assert.isFalse(existsSync(`${paths.evidenceKey}.next`))
      assert.notDeepEqual(readFileSync(paths.evidenceKey), first)
      assert.deepStrictEqual(named(await verified(paths, { anchors: [anchor] })), [])
    }))

  it("10.8 a forged change of key, one that was put back, and what the old key signs afterwards are told", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      await evidence(paths, ({ seal }) => seal)
      const anchor = await anchorOf(paths)
      const first = readKey(paths)!.signer
      const key = publicOf(paths)
      /** What whoever lacks the old key can write: a statement, and a checkpoint that `signers` sign. */
      const forged = async (name: string, thief: Signer, sign: (note: string) => string) => {
        const copy = copyOf(paths, folder, name)
        await Attacker.at(copy, async (attacker) => {
          const statements = await attacker.rows("ev-log")
          const successor = { from: verifierKey(key), to: verifierKey(thief) }
          const text = statementText({ sealed: undefined, timeMillis: 1, reason: "rotated", successor })
          const frontier = new Frontier()
          for (const [, value] of statements) frontier.append(leafHash(value))
          frontier.append(leafHash(Buffer.from(text)))
          const note = Buffer.from(
            sign(checkpointText({ origin: key.name, size: frontier.size, root: frontier.root() }))
          )
          await attacker.putRow(rowKey("ev-log", logKey(statements.length)), Buffer.from(text))
          await attacker.putRow(rowKey("ev-store", rotationKey(statements.length)), note)
          await attacker.putRow(rowKey("ev-store", STORE_CHECKPOINT_KEY), note)
          await attacker.putRow(rowKey("ev-store", STORE_KEY_KEY), Buffer.from(verifierKey(thief)))
        })
        const made = JSON.stringify({ key: signerKey(thief), made: new Date().toISOString() })
        writeFileSync(copy.evidenceKey, made, { mode: 0o600 })
        return copy
      }
      const thief = generateSigner(key.name)
      const withoutOld = await forged("without", thief, (text) => signNote(text, thief))
      const withWrong = await forged("wrong", thief, (text) => {
        const [, line] = signNote(`${text}x\n`, first).split("\n\n")
        return cosignNote(`${text}\n${line}`, thief)
      })
      for (const copy of [withoutOld, withWrong]) {
        for (const given of [{ key }, {}, { anchors: [anchor] }]) {
          const report = await verified(copy, given)
          assert.strictEqual(report.integrity, "violated")
          assert.include(named(report), "integrity forged rotation")
        }
      }
      // With the old key itself nobody can tell, until there was another anchor.
      const real = copyOf(paths, folder, "real")
      await evidence(real, ({ rotateKey }) => rotateKey({}))
      const later = await anchorOf(real, "later")
      const stolen = await forged("stolen", thief, (text) => cosignNote(signNote(text, first), thief))
      assert.deepStrictEqual(named(await verified(stolen, { anchors: [anchor], key })), [])
      assert.deepStrictEqual(named(await verified(stolen, { anchors: [later], key })), ["integrity forked"])

      // Put back: the log ends with a statement that names a key, and the row that proves it is gone.
      const gone = copyOf(real, folder, "gone")
      await Attacker.at(gone, async (attacker) => {
        for (const [row] of await attacker.rows("ev-store")) {
          if (Buffer.from(row).includes("rotation")) await attacker.putRow(row, undefined)
        }
      })
      assert.deepStrictEqual(named(await verified(gone, { key })), ["integrity evidence missing"])

      // The old key, which somebody had a copy of, signs one statement more.
      const again = copyOf(real, folder, "again")
      const size = (await verified(again)).log!.statements + 1
      const note = signNote(checkpointText({ origin: key.name, size, root: Buffer.alloc(32) }), first)
      const said = named(await verified(again, { anchors: [{ name: "late", text: note }] }))
      assert.deepStrictEqual(said, ["integrity wrong key"])
    }))
})
