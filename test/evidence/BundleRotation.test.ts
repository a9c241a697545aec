/**
 * 10.8: bundles of a store whose key was followed by another: who trusts any of the keys, or has a checkpoint that one of them
 * signed, is led to the one that signed the bundle, by both readers; a forged change is told by both.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { STORE_CHECKPOINT_KEY } from "../../journal/EvidenceRows.ts"
import { Journal } from "../../journal/index.ts"
import {
  checkpointText,
  cosignNote,
  generateSigner,
  type Signer,
  signNote,
  verifierKey
} from "../../journal/SignedNote.ts"
import { statementText } from "../../journal/Statement.ts"
import type { BundleRotation } from "../../src/evidence/Bundle.ts"
import { exportBundles } from "../../src/evidence/BundleExport.ts"
import { ensureKey, makeNextKey } from "../../src/evidence/Keys.ts"
import { makeSealer } from "../../src/evidence/Sealer.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { created, withJournal } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { verdicts } from "./bundleVerdicts.ts"

const SOUND = { code: 0, integrity: [], completeness: [] }

interface Made {
  /** In the order of their time. */
  readonly keys: readonly [Signer, Signer, Signer]
  /** Each signed by the key of its time, before it was followed. */
  readonly anchors: readonly [string, string, string]
  /** Of a session that was sealed under the first key alone, by which of the anchors it was exported with `--since`. */
  readonly quiet: readonly [string, string]
  /** Of one that was sealed under each. */
  readonly busy: string
}

let root = ""
let made: Made

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "reprise-rotated-"))
  process.umask(0o077)
  const paths = storePaths(join(root, "store"))
  const [quiet, busy] = [newSessionId(), newSessionId()] as [SessionId, SessionId]
  const keys: Array<Signer> = []
  const anchors: Array<string> = []
  await withJournal(
    paths,
    Effect.gen(function* () {
      const journal = yield* Journal
      const sealer = yield* makeSealer({
        journal,
        signer: (now, recorded) => ensureKey(paths, now, recorded).signer,
        nextSigner: (name, now) => makeNextKey(paths, name, now)
      })
      yield* journal.append(quiet, [created(), outputEvent("quiet")])
      yield* journal.append(busy, [created()])
      for (const text of ["one", "two", "three"]) {
        yield* journal.append(busy, [outputEvent(text)])
        assert.deepStrictEqual(yield* sealer.sealAll, [])
        keys.push(ensureKey(paths, 0).signer)
        const row = yield* journal.row("ev-store", STORE_CHECKPOINT_KEY)
        anchors.push(Buffer.from(row!.value).toString("utf8"))
        if (text !== "three") assert.isObject(yield* sealer.rotate)
      }
    })
  )
  const exported = async (session: SessionId, name: string, since: string) => {
    const folder = join(root, name)
    await exportBundles(paths, [session], folder, { reason: null, nowMillis: 5, signer: keys[2], since })
    return folder
  }
  made = {
    keys: keys as [Signer, Signer, Signer],
    anchors: anchors as [string, string, string],
    quiet: [await exported(quiet, "quiet", anchors[0]!), await exported(quiet, "quiet-2", anchors[1]!)],
    busy: await exported(busy, "busy", anchors[0]!)
  }
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const get = (folder: string, name: string) => readFileSync(join(folder, name), "utf8")
let copies = 0

/** What both say of a copy with other rotations, to who trusts the first key. */
const attacked = (
  change: (rotations: ReadonlyArray<BundleRotation>, folder: string) => ReadonlyArray<unknown> | undefined,
  given: Parameters<typeof verdicts>[1] = { key: verifierKey(made.keys[0]) }
) => {
  const folder = join(root, `copy-${copies++}`)
  cpSync(made.quiet[0], folder, { recursive: true })
  const file = join(folder, "rotations.json")
  const rotations = change(JSON.parse(readFileSync(file, "utf8")), folder)
  if (rotations === undefined) rmSync(file)
  else writeFileSync(file, JSON.stringify(rotations))
  return verdicts(folder, given)
}

describe("10.8 a bundle behind another key", () => {
  it("10.8: holds for who trusts the first, the second or the present key, and by checkpoints that each of them signed", async () => {
    const { anchors, busy, keys, quiet } = made
    const [first, second, third] = keys.map(verifierKey) as [string, string, string]
    assert.strictEqual(get(quiet[0], "store.vkey").trim(), third)
    assert.include(get(quiet[0], "session.checkpoint"), `${Buffer.from(keys[0].keyId).toString("base64").slice(0, 5)}`)
    for (const key of [first, second, third, undefined]) {
      assert.deepStrictEqual(await verdicts(quiet[0], { key, anchor: anchors[0] }), SOUND)
    }
    assert.deepStrictEqual(await verdicts(busy, { key: first, anchor: anchors[0] }), SOUND)
    assert.deepStrictEqual(await verdicts(quiet[1], { key: first, anchor: anchors[1] }), SOUND)
    assert.deepStrictEqual(await verdicts(busy, { key: second, anchor: anchors[2] }), SOUND)
    // Another store's key leads nowhere, and neither does a new one of the same name.
    for (const name of ["elsewhere", keys[0].name]) {
      const { code, integrity } = await verdicts(quiet[0], { key: verifierKey(generateSigner(name)) })
      assert.strictEqual(code, 82)
      assert.include(integrity, "wrong key")
    }
  })

  it("10.8: a change of key that is missing is refused: wrong key", async () => {
    const { anchors, keys } = made
    const all = await attacked(() => undefined)
    assert.deepInclude(all, { code: 82, completeness: ["removed"] })
    for (const found of [
      all,
      await attacked(([, second]) => [second]),
      await attacked(([first]) => [first]),
      // To who has only a checkpoint of before.
      await attacked(() => undefined, { anchor: anchors[0] }),
      await attacked(() => undefined, { key: verifierKey(keys[2]), anchor: anchors[0] })
    ]) {
      assert.include(found.integrity, "wrong key")
      assert.notInclude(found.integrity, "forged rotation")
    }
  })

  it("10.8: a change of key that is forged, or that the key before did not sign, is refused by name", async () => {
    const { anchors, keys } = made
    const [old] = keys
    const thief = generateSigner(old.name)
    const successor = { from: verifierKey(old), to: verifierKey(thief) }
    const statement = statementText({ sealed: undefined, timeMillis: 1, reason: "rotated", successor })
    const textOf = (note: string) => note.slice(0, note.lastIndexOf("\n\n") + 1)
    /** As the thief puts his key in the place of the store's: he signs what is signed, and names himself. */
    const takenOver = (folder: string) => {
      for (const name of ["store.checkpoint", "manifest.note"]) {
        writeFileSync(join(folder, name), signNote(textOf(get(folder, name)), thief))
      }
      writeFileSync(join(folder, "store.vkey"), `${verifierKey(thief)}\n`)
    }
    const forged = [
      // Signed by the one that follows alone.
      await attacked(([first, second]) => {
        const [text, lines = ""] = first!.checkpoint.split("\n\n")
        return [{ ...first, checkpoint: `${text}\n\n${lines.split("\n").slice(1).join("\n")}` }, second]
      }),
      // The thief's, with a signature of the old key that is of something else.
      await attacked(([first], folder) => {
        takenOver(folder)
        const text = textOf(first!.checkpoint)
        const [, line] = signNote(`${text}x\n`, old).split("\n\n")
        return [{ ...first, statement, checkpoint: cosignNote(`${text}\n${line}`, thief) }]
      }),
      // A checkpoint that the old key did sign, and a statement that was never in its log.
      await attacked(([first], folder) => {
        takenOver(folder)
        return [{ ...first, statement, checkpoint: cosignNote(anchors[0], thief), inclusion: [] }]
      }),
      // No change of key at all.
      await attacked(() => [{ statement }])
    ]
    for (const found of forged) {
      assert.strictEqual(found.code, 82)
      assert.includeMembers([...found.integrity], ["forged rotation", "wrong key"])
    }
    const elsewhere = await attacked(([first, second]) => [
      { ...first, consistency: [Buffer.alloc(32, 3).toString("base64"), ...first!.consistency.slice(1)] },
      second
    ])
    assert.include(elsewhere.integrity, "forged rotation")
  })

  it("10.8: what an old key signs after its time is refused: wrong key", async () => {
    const { anchors, keys } = made
    const [old] = keys
    const size = Number(anchors[2].split("\n")[1])
    const late = signNote(checkpointText({ origin: old.name, size, root: Buffer.alloc(32) }), old)
    const key = verifierKey(old)
    assert.deepStrictEqual((await verdicts(made.quiet[0], { key, anchor: late })).integrity, ["wrong key"])
    const resigned = await attacked((all, folder) => {
      const text = get(folder, "store.checkpoint")
      writeFileSync(join(folder, "store.checkpoint"), signNote(text.slice(0, text.lastIndexOf("\n\n") + 1), old))
      return all
    })
    assert.include(resigned.integrity, "wrong key")
  })
})
