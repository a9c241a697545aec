/** 10.8: everything that can be done to a store while no engine looks, each told by its name, and what must not alarm. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { rmSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type NewEvent, STORE_STREAM } from "../../journal/Event.ts"
import { storedLeafHash } from "../../journal/EvidenceLeaf.ts"
import { KEPT_SPACE, keptStatesOf } from "../../journal/KeptRows.ts"
import { eventKey, rowKey, streamBytes } from "../../journal/Keys.ts"
import { Frontier } from "../../journal/Merkle.ts"
import { encodeRecord } from "../../journal/Record.ts"
import { checkpointText, generateSigner, parseVerifierKey, signerKey, signNote } from "../../journal/SignedNote.ts"
import { snapshotKey } from "../../projections/SnapshotRow.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { checkBundles } from "../../src/evidence/BundleCheck.ts"
import { exportBundles } from "../../src/evidence/BundleExport.ts"
import { readKey } from "../../src/evidence/Keys.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { created } from "../care/stores.ts"
import { newSessionId, outputEvent } from "../contracts/JournalContract.ts"
import { Attacker, anchorOf, copyOf, named, sealing, verified, withFolder } from "./sealedStores.ts"

const EVENTS = 300
const one = newSessionId()
const other = newSessionId()
const events: ReadonlyArray<NewEvent> = [
  created(),
  ...Array.from({ length: EVENTS - 1 }, (_, at) => outputEvent(`line ${at}`))
]

/** Two sealed sessions; of the first two events behind the seal. */
const makeStore = (folder: string): Promise<StorePaths> => {
  const paths = storePaths(`${folder}/store`)
  return sealing(paths, (journal, sealer) =>
    Effect.gen(function* () {
      yield* journal.append(STORE_STREAM, [storeEvent])
      yield* journal.append(one, events.slice(0, 100))
      yield* sealer.seal(one)
      yield* journal.append(one, events.slice(100))
      yield* journal.append(other, events.slice(0, 5))
      for (const stream of [one, other, STORE_STREAM]) assert.isUndefined(yield* sealer.seal(stream))
      yield* journal.append(one, [outputEvent("not"), outputEvent("sealed yet")])
    })
  ).then(() => paths)
}

const storeEvent: NewEvent = {
  actor: "engine",
  timeMicros: 1_800_000_000_000_000,
  event: { _tag: "EngineStarted", pid: 1, version: "1", node: "v24" }
}

describe("10.8 attacks on a store", () => {
  it("10.8 each is told by its name, integrity and completeness apart", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      const anchor = await anchorOf(paths)
      const sound = await verified(paths, { anchors: [anchor] })
      assert.deepStrictEqual([sound.integrity, sound.completeness, named(sound)], ["intact", "complete", []])
      assert.strictEqual(sound.key?.from, "key file")
      const evidence = sound.sessions.find(({ session }) => session === one)!
      assert.deepInclude(evidence, { events: EVENTS + 2, sealed: EVENTS, unsealed: 2, removed: 0, redacted: 0 })
      const some = await verified(paths, { sessions: [other] })
      assert.deepStrictEqual([some.integrity, some.sessions.length, named(some)], ["intact", 2, []])

      /** The attack on a copy of the store, and what verification says of it. */
      const attacked = async (name: string, attack: (attacker: Attacker, copy: StorePaths) => Promise<void>) => {
        const copy = copyOf(paths, folder, name)
        await Attacker.at(copy, (attacker) => attack(attacker, copy))
        const report = await verified(copy, { anchors: [anchor] })
        return { report, said: named(report, one) }
      }
      const told = async (
        name: string,
        attack: (attacker: Attacker) => Promise<void>,
        expected: ReadonlyArray<string>
      ) => {
        const { report, said } = await attacked(name, attack)
        assert.deepStrictEqual(said, expected, name)
        const has = (verdict: string) => expected.some((finding) => finding.startsWith(verdict))
        assert.strictEqual(report.integrity, has("integrity") ? "violated" : "intact", name)
        assert.strictEqual(report.completeness, has("completeness") ? "incomplete" : "complete", name)
      }

      await told(
        "one byte of a payload",
        async (attacker) => {
          const value = await attacker.value(one, 42)
          value[value.length - 1]! ^= 1
          await attacker.put(one, 42, value)
        },
        ["integrity edited 42"]
      )
      await told(
        "a time",
        async (attacker) => {
          const value = await attacker.value(one, 299)
          value[13]! ^= 1
          await attacker.put(one, 299, value)
        },
        ["integrity edited 299"]
      )
      await told(
        "an actor",
        async (attacker) => {
          const value = await attacker.value(one, 1)
          value[15]! ^= 1
          await attacker.put(one, 1, value)
        },
        ["integrity edited 1"]
      )
      await told(
        "a checksum",
        async (attacker) => {
          const value = await attacker.value(one, 7)
          await attacker.put(one, 7, value.fill(0, 20, 21))
        },
        ["integrity edited 7"]
      )
      await told(
        "two events swapped",
        async (attacker) => {
          const [first, second] = [await attacker.value(one, 10), await attacker.value(one, 200)]
          await attacker.put(one, 10, second)
          await attacker.put(one, 200, first)
        },
        ["integrity reordered 10", "integrity reordered 200"]
      )
      await told("an event in the middle", (attacker) => attacker.remove(one, 150, 150), ["completeness removed 150"])
      await told(
        "events moved over one",
        async (attacker) => {
          for (let sequence = 280; sequence <= EVENTS; sequence++) {
            await attacker.put(one, sequence, await attacker.value(one, sequence + 1))
          }
          await attacker.remove(one, EVENTS + 1, EVENTS + 2)
        },
        [
          ...Array.from({ length: 20 }, (_, at) =>
            at === 0 ? ["integrity reordered 280", "completeness removed 280"] : [`integrity reordered ${280 + at}`]
          ).flat(),
          "integrity edited 300"
        ]
      )
      await told("the end", (attacker) => attacker.remove(one, 250, EVENTS + 2), ["completeness truncated 250-300"])
      await told("what was not sealed", (attacker) => attacker.remove(one, EVENTS + 1, EVENTS + 2), [])
      await told("a whole session", (attacker) => attacker.remove(other, 1, 5), [
        `completeness session gone 1-5 ${other}`
      ])
      await told(
        "a session with its evidence",
        async (attacker) => {
          await attacker.remove(other, 1, 5)
          for (const space of ["ev-tile", "ev-seal"]) {
            for (const [key] of await attacker.rows(space)) {
              if (Buffer.from(key).includes(streamBytes(other))) await attacker.putRow(key, undefined)
            }
          }
        },
        [`integrity evidence missing ${other}`, `completeness session gone 1-5 ${other}`]
      )
      await told(
        "a statement of the log",
        async (attacker) => {
          const [, second] = await attacker.rows("ev-log")
          await attacker.putRow(second![0], Buffer.from(Buffer.from(second![1]).toString().replace("time 2", "time 1")))
        },
        ["integrity forked", "integrity edited"]
      )
      await told(
        "the last statement",
        async (attacker) => {
          await attacker.putRow((await attacker.rows("ev-log")).at(-1)![0], undefined)
        },
        [
          "completeness rolled back",
          "completeness log truncated",
          "completeness rolled back 00000000000000000000000000"
        ]
      )

      // Events that were never recorded cannot take the place of a removed end either.
      const rewritten = await attacked("another end", async (attacker) => {
        await attacker.remove(one, 290, EVENTS + 2)
        for (let sequence = 290; sequence <= 310; sequence++) {
          await attacker.append(one, sequence, outputEvent(`another ${sequence}`))
        }
      })
      assert.deepStrictEqual(rewritten.said, ["integrity edited 290-300"])

      // A beginning that nobody asked to remove.
      const forged = await attacked("a forged removal", async (attacker) => {
        await attacker.remove(one, 2, 200)
        await attacker.append(one, 1, removedEvents(200))
      })
      assert.deepStrictEqual(forged.said, ["integrity forged removal 1-200"])
    }))

  it("10.8 names a tile above the leaves that is wrong or gone, of a session and of the log", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      const rows: Array<readonly [Uint8Array, Uint8Array]> = []
      await Attacker.at(paths, async (attacker) => {
        rows.push(...(await attacker.rows("ev-tile")))
      })
      const [key, value] = rows.find(([row]) => row["\xffev-tile\0".length] === 1)!
      for (const [name, changed, said] of [
        ["wrong", Buffer.from(value).fill(value[3]! ^ 1, 3, 4), "integrity edited"],
        ["gone", undefined, "integrity evidence missing"]
      ] as const) {
        const copy = copyOf(paths, folder, name)
        await Attacker.at(copy, (attacker) => attacker.putRow(key, changed))
        const report = await verified(copy)
        assert.deepStrictEqual(named(report, one), [said])
        assert.include(report.findings[0]!.detail, "its tile 0 of level 1")
        const seen = await doctor(copy, { engine: undefined })
        assert.strictEqual(seen.state, "damaged")
        assert.include(seen.findings.find(({ level }) => level === "damaged")!.what, "tile 0 of level 1")
      }
      // Well, and of a key that is gone.
      const sound = await doctor(paths, { engine: undefined })
      assert.deepInclude(sound.evidence!, { sealedSessions: 3, unsealedEvents: 2, key: "there", broken: [] })
      assert.deepStrictEqual([sound.state, sound.evidence!.statements], ["healthy", 4])
      rmSync(paths.evidenceKey)
      const keyless = await doctor(paths, { engine: undefined })
      assert.strictEqual(keyless.state, "healthy")
      assert.include(keyless.findings.find(({ where }) => where === paths.evidenceKey)!.what, "is not there")
    }))

  it("10.8 hashes made anew without the key, with another key, an old copy, and two histories under one key", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      const key = readKey(paths)!.signer
      const old = copyOf(paths, folder, "old")
      await sealing(paths, (journal, sealer) =>
        Effect.gen(function* () {
          yield* journal.append(one, [outputEvent("later")])
          yield* sealer.seal(one)
        })
      )
      const anchor = await anchorOf(paths)

      // All hashes right, signed by somebody else, or by nobody.
      for (const [name, signer] of [
        ["another key", generateSigner(key.name)],
        ["no key", undefined]
      ] as const) {
        const copy = copyOf(paths, folder, name)
        await Attacker.at(copy, async (attacker) => {
          const value = await attacker.value(other, 3)
          value[value.length - 1]! ^= 1
          await attacker.put(other, 3, value)
          const bytes = streamBytes(other)
          const [tile] = (await attacker.rows("ev-tile")).filter(([row]) => Buffer.from(row).includes(bytes))
          const changed = Buffer.from(tile![1])
          const frontier = new Frontier()
          for (let sequence = 1; sequence <= 5; sequence++) {
            const at = (sequence - 1) * 48
            const salt = changed.subarray(at + 32, at + 48)
            const leaf = storedLeafHash(eventKey(bytes, sequence), await attacker.value(other, sequence), salt)!
            changed.set(leaf, at)
            frontier.append(leaf)
          }
          await attacker.putRow(tile![0], changed)
          const text = checkpointText({ origin: `${key.name}/${other}`, size: 5, root: frontier.root() })
          const [seal] = (await attacker.rows("ev-seal")).filter(([row]) => Buffer.from(row).includes(bytes))
          const before = JSON.parse(Buffer.from(seal![1]).toString())
          const checkpoint =
            signer === undefined
              ? text + before.checkpoint.slice(before.checkpoint.indexOf("\n\n") + 1)
              : signNote(text, signer)
          await attacker.putRow(seal![0], Buffer.from(JSON.stringify({ ...before, checkpoint })))
        })
        const said = named(await verified(copy, { anchors: [anchor] }), other)
        assert.deepStrictEqual(said, [
          signer === undefined ? "integrity forged seal" : "integrity wrong key",
          "integrity edited 1-5"
        ])
      }

      // A whole new evidence under a new key, its key file too: nothing in the store shows it.
      const anew = copyOf(paths, folder, "anew")
      writeFileSync(
        anew.evidenceKey,
        JSON.stringify({ key: signerKey(generateSigner("reprise.local/X")), made: new Date().toISOString() })
      )
      await Attacker.at(anew, async (attacker) => {
        const value = await attacker.value(other, 3)
        value[value.length - 1]! ^= 1
        await attacker.put(other, 3, value)
      })
      await sealing(anew, (_, sealer) => Effect.all([one, other, STORE_STREAM].map((stream) => sealer.seal(stream))))
      assert.strictEqual((await verified(anew)).integrity, "intact")
      const byKey = await verified(anew, { key: parseVerifierKey(sound(key))! })
      assert.include(named(byKey), "integrity wrong key")
      assert.deepStrictEqual(named(await verified(anew, { anchors: [anchor] })), ["integrity wrong key"])

      // An old copy of the whole store is sound in itself.
      assert.strictEqual((await verified(old)).integrity, "intact")
      const rolled = await verified(old, { anchors: [anchor] })
      assert.deepStrictEqual(
        [rolled.integrity, rolled.completeness, named(rolled)],
        ["intact", "incomplete", ["completeness rolled back"]]
      )

      // It goes on another way: the same size, another root.
      await sealing(old, (journal, sealer) =>
        Effect.gen(function* () {
          yield* journal.append(one, [outputEvent("another")])
          yield* sealer.seal(one)
        })
      )
      assert.strictEqual((await verified(old)).integrity, "intact")
      const fork = await verified(old, { anchors: [anchor] })
      assert.deepStrictEqual(named(fork), ["integrity forked"])
      const both = await verified(paths, { anchors: [anchor, await anchorOf(old, "the other")] })
      assert.deepStrictEqual(named(both), ["integrity forked"])

      // Without key file and evidence nothing is said to be right.
      rmSync(old.evidenceKey)
      assert.strictEqual((await verified(old)).key?.from, "store")
      await Attacker.at(old, async (attacker) => {
        for (const space of ["ev-tile", "ev-seal", "ev-log", "ev-logtile", "ev-store"]) {
          for (const [row] of await attacker.rows(space)) await attacker.putRow(row, undefined)
        }
      })
      const nothing = await verified(old)
      assert.deepStrictEqual([nothing.integrity, nothing.completeness, nothing.key], ["unproven", "unproven", null])
      const lost = await verified(old, { anchors: [anchor], key: key })
      assert.deepStrictEqual(named(lost), ["completeness rolled back"])
    }))

  it("10.8 names of JSON in another order and a recorded redaction do not alarm; one that nothing records does", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      await Attacker.at(paths, async (attacker) => {
        const { event, ...rest } = created()
        const { _tag, ...fields } = event as typeof event & Record<string, unknown>
        const turned = Object.fromEntries(Object.entries(fields).reverse())
        const key = eventKey(streamBytes(one), 1)
        const value = encodeRecord(key, { ...rest, event: { ...turned, _tag } as typeof event })
        assert.notDeepEqual(value, await attacker.value(one, 1))
        await attacker.append(one, 1, { ...rest, event: { ...turned, _tag } as typeof event })
      })
      assert.deepStrictEqual(named(await verified(paths)), [])

      await sealing(paths, (journal, sealer) =>
        Effect.gen(function* () {
          const bytes = Buffer.from("*")
          const redaction = {
            from: 1,
            to: EVENTS,
            rules: [{ rule: "text", matches: 2 }],
            reason: "",
            actor: "auditor",
            timeMicros: 1_800_000_000_000_000,
            rows: [],
            events: [5, 299, 301].map((sequence) => ({ sequence, edits: [{ from: 13, to: 14, bytes }] }))
          }
          yield* journal.redaction.replace(one, redaction)
          assert.strictEqual(
            (yield* journal.row("ev-tile", tileOfFirst))!.value
              .subarray(4 * 48 + 32, 5 * 48)
              .some((byte) => byte !== 0),
            false
          )
          yield* sealer.seal(one)
        })
      )
      const redacted = await verified(paths)
      assert.deepStrictEqual(named(redacted), [])
      assert.deepInclude(redacted.sessions.find(({ session }) => session === one)!, { redacted: 2, sealed: EVENTS + 3 })
      for (const [sequence, at, said] of [
        [5, 40, "integrity edited 5"],
        [5, 13, "integrity edited 5"],
        [301, 40, "integrity edited 301"]
      ] as const) {
        const copy = copyOf(paths, folder, `${sequence} ${at}`)
        await Attacker.at(copy, async (attacker) => {
          const value = await attacker.value(one, sequence)
          value[Math.min(at, value.length - 1)]! ^= 1
          await attacker.put(one, sequence, value)
        })
        assert.deepStrictEqual(named(await verified(copy), one), [said])
      }
    }))

  it("10.8 what is kept of removed events is what was recorded of it, also when it was redacted and removed from again", () =>
    withFolder(async (folder) => {
      const paths = await makeStore(folder)
      const about = { actor: "auditor", timeMicros: 1_800_000_000_000_000 }
      const rowsAt = (to: number, secret: string) =>
        ["screen", "title"].map((name) => ({
          space: KEPT_SPACE,
          key: snapshotKey(name, one, to),
          value: Buffer.from(`${name} ${to} ${secret}`)
        }))
      const remove = (to: number) =>
        sealing(paths, (journal, sealer) =>
          Effect.gen(function* () {
            const removal = { ...about, to, reason: "asked", policy: "by hand", kept: ["screen", "title"] } as const
            const stale = ["screen", "title"].map((name) => ({
              space: KEPT_SPACE,
              from: snapshotKey(name, one, 0),
              to: snapshotKey(name, one, to - 1)
            }))
            yield* journal.removal.remove(one, { ...removal, rows: rowsAt(to, "secret") }, stale)
            for (const stream of [one, STORE_STREAM]) yield* sealer.seal(stream)
          })
        )
      /** The store as it is, and copies in which one row is another one, of another place, or gone. */
      const check = async (to: number, secret: string) => {
        const name = `${to} ${secret}`
        assert.deepStrictEqual(named(await verified(paths)), [], name)
        const bundle = async (store: StorePaths, at: string) => {
          await exportBundles(store, [one], at, { reason: null, nowMillis: 5, signer: readKey(store)?.signer })
          const { status } = spawnSync(process.execPath, [`${at}/verify.mjs`, at])
          const [checked] = await checkBundles(at, {})
          return [status, ...checked!.findings.map(({ reason }) => reason)]
        }
        assert.deepStrictEqual(await bundle(paths, `${folder}/bundle ${name}`), [0])
        const [screen, title] = rowsAt(to, secret).map(({ key, value }) => ({ key: rowKey(KEPT_SPACE, key), value }))
        for (const [attack, puts] of Object.entries({
          edited: [{ key: title!.key, value: Buffer.from("nothing happened") }],
          swapped: [
            { key: title!.key, value: screen!.value },
            { key: screen!.key, value: title!.value }
          ],
          gone: [{ key: title!.key, value: undefined }]
        })) {
          const copy = copyOf(paths, folder, `${name} ${attack}`)
          await Attacker.at(copy, async (attacker) => {
            for (const { key, value } of puts) await attacker.putRow(key, value)
          })
          assert.deepStrictEqual(named(await verified(copy), one), [`integrity edited 1-${to}`], `${name} ${attack}`)
          if (attack !== "edited") continue
          const exported = await bundle(copy, `${folder}/bundle ${name} ${attack}`)
          assert.strictEqual(exported[0], 82)
          assert.include(exported, "forged removal")
        }
      }
      await remove(50)
      await check(50, "secret")
      await sealing(paths, (journal, sealer) =>
        Effect.gen(function* () {
          const rows = rowsAt(50, "******")
          const keptStates = keptStatesOf(rows, 50)
          const redaction = { ...about, from: 51, to: EVENTS, rules: [], reason: "", events: [], rows, keptStates }
          yield* journal.redaction.replace(one, redaction)
          yield* sealer.seal(one)
        })
      )
      await check(50, "******")
      // The redaction before speaks of rows that are gone.
      await remove(60)
      await check(60, "secret")
    }))
})

const tileOfFirst = Buffer.concat([Buffer.of(0), streamBytes(one), Buffer.alloc(8)])

const sound = (key: { readonly name: string; readonly keyId: Uint8Array; readonly publicBytes: Uint8Array }): string =>
  `${key.name}+${Buffer.from(key.keyId).toString("hex")}+${Buffer.concat([Buffer.of(1), key.publicBytes]).toString("base64")}`

const removedEvents = (to: number): NewEvent => ({
  actor: "engine",
  timeMicros: 1_800_000_000_000_000,
  event: {
    _tag: "EventsRemoved",
    from: 1,
    to,
    events: to,
    bytes: 1,
    outputBytes: 1,
    lastTimeMicros: 1_800_000_000_000_000,
    sha256: createHash("sha256").digest("hex"),
    reason: "asked",
    policy: "asked for",
    kept: []
  }
})
