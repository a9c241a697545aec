/**
 * Attacks on a bundle of evidence: each is named, with the same word, by `reprise verify`'s own check and by the script that
 * leaves with the bundle.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import { checkpointText, generateSigner, type Signer, signNote, verifierKey } from "../../journal/SignedNote.ts"
import { checkBundles } from "../../src/evidence/BundleCheck.ts"
import { exportBundles } from "../../src/evidence/BundleExport.ts"
import { ensureKey } from "../../src/evidence/Keys.ts"
import { makeSealer } from "../../src/evidence/Sealer.ts"
import { importRecording } from "../../src/import/RecordingImporter.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { closed, makeStore, withJournal } from "../care/stores.ts"
import { runInside } from "../cli/runInside.ts"
import { outputEvent } from "../contracts/JournalContract.ts"
import { type Found, verdicts } from "./bundleVerdicts.ts"

interface Made {
  readonly paths: StorePaths
  readonly signer: Signer
  readonly session: SessionId
  readonly other: SessionId
  /** Of the store, from before the bundle. */
  readonly anchor: string
  readonly bundle: string
}

let root = ""
let made: Made

const sealing = (paths: StorePaths, sessions: ReadonlyArray<SessionId>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const sealer = yield* makeSealer({ journal, signer: (now) => ensureKey(paths, now).signer })
    for (const session of sessions) assert.isUndefined(yield* sealer.seal(session))
  })

const storeRow = (key: string) =>
  Effect.flatMap(Journal, (journal) =>
    Effect.map(journal.row("ev-store", Buffer.from(key)), (row) => Buffer.from(row!.value).toString("utf8"))
  )

const options = { reason: "case 7", nowMillis: 1_900_000_000_000 }

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "reprise-bundle-"))
  const { paths, texts } = await makeStore(join(root, "store"), 2, 300)
  const [session, other] = [...texts.keys()] as [SessionId, SessionId]
  const anchor = await withJournal(
    paths,
    Effect.gen(function* () {
      yield* sealing(paths, [session, other])
      const checkpoint = yield* storeRow("checkpoint")
      const journal = yield* Journal
      yield* journal.append(session, [outputEvent("the last words"), closed])
      yield* sealing(paths, [other, session])
      // Behind the seal.
      yield* journal.append(session, [
        { actor: "auditor", timeMicros: 5, event: { _tag: "HoldPlaced", reason: "case 7" } }
      ])
      return checkpoint
    })
  )
  const signer = ensureKey(paths, 0).signer
  const bundle = join(root, "bundle")
  await exportBundles(paths, [session], bundle, { ...options, signer, since: anchor })
  made = { paths, signer, session, other, anchor, bundle }
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

let copies = 0
const copy = (): string => {
  const folder = join(root, `copy-${copies++}`)
  cpSync(made.bundle, folder, { recursive: true })
  return folder
}

const key = () => verifierKey(made.signer)
const linesOf = (folder: string) => readFileSync(join(folder, "events.jsonl"), "utf8").trimEnd().split("\n")
const putLines = (folder: string, lines: ReadonlyArray<string>) =>
  writeFileSync(join(folder, "events.jsonl"), `${lines.join("\n")}\n`)
const editLine = (folder: string, sequence: number, edit: (line: Record<string, unknown>) => object) =>
  putLines(
    folder,
    linesOf(folder).map((text) => {
      const line = JSON.parse(text)
      return line.sequence === sequence ? JSON.stringify(edit(line)) : text
    })
  )
const attacked = (attack: (folder: string) => void, given?: { readonly key?: string; readonly anchor?: string }) => {
  const folder = copy()
  attack(folder)
  return verdicts(folder, { key: key(), ...given })
}
const put = (folder: string, name: string, text: string) => writeFileSync(join(folder, name), text)
const get = (folder: string, name: string) => readFileSync(join(folder, name), "utf8")
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
const resigned = (
  folder: string,
  edit: (manifest: { readonly files: Record<string, { sha256: string }> }) => void,
  signer: Signer
) => {
  const manifest = JSON.parse(get(folder, "manifest.json"))
  edit(manifest)
  put(folder, "manifest.json", JSON.stringify(manifest))
  const digest = Buffer.from(sha256(get(folder, "manifest.json")), "hex").toString("base64")
  put(folder, "manifest.note", signNote(`reprise bundle v1\nsession ${made.session}\nmanifest ${digest}\n`, signer))
}

describe("10.8 a bundle of evidence", () => {
  it("10.8: its script is one that a person can read: less than 150 lines", () => {
    assert.isBelow(get(made.bundle, "verify.mjs").split("\n").length, 150)
  })

  it("10.8: holds as it was exported, with the store's key and a checkpoint from before, and is its owner's alone", async () => {
    assert.deepStrictEqual(await verdicts(made.bundle, { key: key(), anchor: made.anchor }), {
      code: 0,
      integrity: [],
      completeness: []
    })
    assert.strictEqual((await verdicts(made.bundle)).code, 0)
    for (const name of readdirSync(made.bundle)) {
      assert.strictEqual(statSync(join(made.bundle, name)).mode & 0o077, 0, name)
    }
    const manifest = JSON.parse(get(made.bundle, "manifest.json"))
    assert.deepInclude(manifest, { session: made.session, store: made.signer.name, status: "exited" })
    assert.deepInclude(manifest.exported, { reason: "case 7" })
    assert.deepInclude(manifest.coverage, { events: 304, last: 304, sealed: 303, unsealed: 1, gaps: [], ended: true })
    assert.match(manifest.coverage.text, /^events 1 to 304 contiguous; sealed up to event 303; 1 not sealed;/)
  })

  const edits: ReadonlyArray<readonly [string, (folder: string) => void, Partial<Found>]> = [
    [
      "an edited byte of a payload",
      (folder) => editLine(folder, 7, (line) => ({ ...line, payload: `B${String(line.payload).slice(1)}` })),
      { code: 82, integrity: ["edited"] }
    ],
    [
      "an edited byte together with its leaf",
      (folder) => editLine(folder, 7, (line) => ({ ...line, leaf: Buffer.alloc(32, 7).toString("base64") })),
      { code: 82, integrity: ["edited"] }
    ],
    [
      "an edited time",
      (folder) => editLine(folder, 9, (line) => ({ ...line, time: Number(line.time) + 1 })),
      { code: 82, integrity: ["edited"] }
    ],
    [
      "an edited actor",
      (folder) => editLine(folder, 9, (line) => ({ ...line, actor: "nobody" })),
      { code: 82, integrity: ["edited"] }
    ],
    [
      "two events swapped",
      (folder) => {
        const lines = linesOf(folder)
        putLines(folder, [...lines.slice(0, 5), lines[6]!, lines[5]!, ...lines.slice(7)])
      },
      { code: 82 }
    ],
    [
      "two events swapped with their numbers",
      (folder) => {
        const [six, seven] = linesOf(folder)
          .slice(6, 8)
          .map((line) => JSON.parse(line))
        editLine(folder, 6, (line) => ({ ...seven, sequence: line.sequence }))
        editLine(folder, 7, (line) => ({ ...six, sequence: line.sequence }))
      },
      { code: 82, integrity: ["edited"] }
    ],
    [
      "a deleted middle event",
      (folder) => putLines(folder, linesOf(folder).toSpliced(100, 1)),
      { code: 82, integrity: ["evidence missing"], completeness: ["removed"] }
    ],
    [
      "a deleted middle event with only its leaf left",
      (folder) => editLine(folder, 100, ({ leaf, sequence }) => ({ missing: sequence, leaf, why: "removed" })),
      { code: 83, integrity: [], completeness: ["removed"] }
    ],
    [
      "a truncated tail",
      (folder) => putLines(folder, linesOf(folder).slice(0, -3)),
      { code: 82, integrity: ["evidence missing"], completeness: ["truncated"] }
    ],
    [
      "a truncated tail behind the seal",
      (folder) => putLines(folder, linesOf(folder).slice(0, -1)),
      { code: 83, integrity: [], completeness: ["truncated"] }
    ],
    [
      "an edited event behind the seal",
      (folder) => editLine(folder, 304, (line) => ({ ...line, actor: "nobody" })),
      { code: 82, integrity: ["edited"] }
    ],
    [
      "an edited name of an event's kind, which no leaf covers",
      (folder) => editLine(folder, 7, (line) => ({ ...line, name: "Nothing" })),
      { code: 82, integrity: ["edited"], completeness: [] }
    ],
    [
      "a field more in the first line",
      (folder) => {
        const [head, ...rest] = linesOf(folder)
        putLines(folder, [JSON.stringify({ ...JSON.parse(head!), note: "x" }), ...rest])
      },
      { code: 82, integrity: ["edited"], completeness: [] }
    ],
    [
      "kept state that was never exported",
      (folder) => putLines(folder, linesOf(folder).toSpliced(1, 0, '{"kept":"screen","sequence":5,"value":"AAAA"}')),
      { code: 82, integrity: ["edited"], completeness: [] }
    ],
    [
      "an edited statement",
      (folder) => put(folder, "statement.txt", get(folder, "statement.txt").replace("session ", "session x")),
      { code: 82, integrity: ["forged seal", "edited"] }
    ],
    [
      "a statement that is gone",
      (folder) => rmSync(join(folder, "statement.txt")),
      { code: 82, integrity: ["evidence missing"], completeness: ["removed"] }
    ],
    [
      "an edited first line of the proof",
      (folder) => put(folder, "statement.tlog-proof", get(folder, "statement.tlog-proof").replace("@v1", "@v9")),
      { code: 82, integrity: ["forged seal", "edited"] }
    ],
    ...["manifest.note", "store.checkpoint", "statement.txt", "statement.tlog-proof"].flatMap((name) => [
      [
        `an empty ${name}`,
        (folder: string) => put(folder, name, ""),
        { code: 82, integrity: ["evidence missing"] }
      ] as const,
      [
        `a ${name} cut in half`,
        (folder: string) => put(folder, name, get(folder, name).slice(0, get(folder, name).length / 2)),
        { code: 82, integrity: ["forged seal"] }
      ] as const
    ]),
    [
      "an edited manifest",
      (folder) => put(folder, "manifest.json", get(folder, "manifest.json").replace("case 7", "case 8")),
      { code: 82, integrity: ["edited"] }
    ],
    [
      "an edited file beside the events",
      (folder) => put(folder, "redactions.json", "[1]\n"),
      { code: 82, integrity: ["edited"] }
    ],
    [
      "a file that is gone",
      (folder) => rmSync(join(folder, "redactions.json")),
      { code: 83, completeness: ["removed"] }
    ],
    [
      "a checkpoint that is gone",
      (folder) => rmSync(join(folder, "session.checkpoint")),
      { code: 82, integrity: ["evidence missing"] }
    ]
  ]
  it.for(edits)("10.8: names %s", async ([, attack, expected]) => {
    const found = await attacked(attack)
    assert.strictEqual(found.code, expected.code)
    for (const verdict of ["integrity", "completeness"] as const) {
      if (expected[verdict] !== undefined) assert.includeMembers([...found[verdict]], [...expected[verdict]])
      if (expected[verdict]?.length === 0) assert.deepStrictEqual(found[verdict], [])
    }
  })

  it("10.8: names a checkpoint that was put in the place of another", async () => {
    const folder = join(root, "other")
    await exportBundles(made.paths, [made.other], folder, { ...options, signer: made.signer })
    const of = (name: string) => get(folder, name)
    const swapped = await attacked((copied) => put(copied, "session.checkpoint", of("session.checkpoint")))
    assert.strictEqual(swapped.code, 82)
    assert.include(swapped.integrity, "forged seal")
    const statement = await attacked((copied) => {
      for (const name of ["statement.txt", "statement.tlog-proof"]) put(copied, name, of(name))
    })
    assert.include(statement.integrity, "forged seal")
    // One of the same size with another root, under the right key: only somebody who has the key can make two.
    const checkpoint = checkpointText({
      origin: `${made.signer.name}/${made.session}`,
      size: 303,
      root: Buffer.alloc(32, 1)
    })
    const forked = await attacked((copied) => put(copied, "session.checkpoint", signNote(checkpoint, made.signer)))
    assert.includeMembers([...forked.integrity], ["forked", "edited"])
  })

  it("10.8: names a chain that was computed anew without the key, or with another", async () => {
    const forge = (folder: string, sign: (text: string, before: string) => string) => {
      editLine(folder, 7, (line) => ({ ...line, payload: `B${String(line.payload).slice(1)}` }))
      const before = get(folder, "session.checkpoint")
      const [origin = ""] = before.split("\n")
      put(folder, "session.checkpoint", sign(checkpointText({ origin, size: 303, root: Buffer.alloc(32, 2) }), before))
    }
    const kept = await attacked((folder) =>
      forge(folder, (text, before) => text + before.slice(before.indexOf("\n\n")))
    )
    assert.include(kept.integrity, "forged seal")
    const impostor = generateSigner(made.signer.name)
    const other = await attacked((folder) => forge(folder, (text) => signNote(text, impostor)))
    assert.include(other.integrity, "wrong key")
    // A bundle that is signed anew as a whole is told by the key that the auditor has from elsewhere, and by nothing else.
    const whole = (folder: string) => {
      for (const name of ["session.checkpoint", "store.checkpoint"]) {
        put(folder, name, signNote(`${get(folder, name).split("\n\n")[0]!}\n`, impostor))
      }
      const proof = get(folder, "statement.tlog-proof")
      put(folder, "statement.tlog-proof", proof.slice(0, proof.indexOf("\n\n") + 2) + get(folder, "store.checkpoint"))
      put(folder, "store.vkey", `${verifierKey(impostor)}\n`)
      const names = ["session.checkpoint", "store.checkpoint", "statement.tlog-proof", "store.vkey"]
      resigned(
        folder,
        ({ files }) => {
          for (const name of names) files[name]!.sha256 = sha256(get(folder, name))
        },
        impostor
      )
    }
    assert.include((await attacked(whole)).integrity, "wrong key")
    const folder = copy()
    whole(folder)
    assert.strictEqual((await verdicts(folder)).code, 0)
  })

  it("10.8: names forged proofs of inclusion and of consistency, and a log that forked or was put back", async () => {
    const changed = (name: string, line: number) => (folder: string) => {
      const lines = get(folder, name).split("\n")
      lines[line] = Buffer.alloc(32, 3).toString("base64")
      put(folder, name, lines.join("\n"))
    }
    const more = (name: string, line: number) => (folder: string) => {
      const lines = get(folder, name).split("\n")
      put(folder, name, lines.toSpliced(line, 0, Buffer.alloc(32, 3).toString("base64")).join("\n"))
    }
    const { anchor } = made
    const attacks = [
      changed("statement.tlog-proof", 2),
      more("statement.tlog-proof", 2),
      (folder: string) =>
        put(folder, "statement.tlog-proof", get(folder, "statement.tlog-proof").replace(/index \d+/, "index 0")),
      changed("consistency.txt", 2),
      more("consistency.txt", 2)
    ]
    for (const attack of attacks) assert.include((await attacked(attack, { anchor })).integrity, "forged seal")
    const shorter = await attacked((folder) => put(folder, "consistency.txt", ""), { anchor })
    assert.include(shorter.integrity, "evidence missing")
    // Checkpoints that the auditor has, and this log is none of their continuations.
    const { size } = { size: Number(get(made.bundle, "store.checkpoint").split("\n")[1]) }
    const anchorOf = (size: number, root = Buffer.alloc(32, 4)) =>
      signNote(checkpointText({ origin: made.signer.name, size, root }), made.signer)
    const none = () => {}
    assert.deepStrictEqual((await attacked(none, { anchor: anchorOf(size) })).integrity, ["forked"])
    assert.deepStrictEqual((await attacked(none, { anchor: anchorOf(size + 1) })).completeness, ["rolled back"])
    const before = Number(anchor.split("\n")[1])
    assert.deepStrictEqual((await attacked(none, { anchor: anchorOf(before) })).integrity, ["forked"])
    const foreign = signNote(
      checkpointText({ origin: made.signer.name, size, root: Buffer.alloc(32) }),
      generateSigner("x")
    )
    assert.deepStrictEqual((await attacked(none, { anchor: foreign })).integrity, ["wrong key"])
  })

  it("10.8: checks every anchor, an empty one too, and refuses arguments that it does not know", async () => {
    const { anchor } = made
    assert.deepInclude(await verdicts(made.bundle, { key: key(), anchor: "" }), {
      code: 82,
      integrity: ["forged seal"]
    })
    const file = (name: string, text: string) => {
      const path = join(root, name)
      writeFileSync(path, text)
      return path
    }
    const [good, empty, keyFile] = [file("anchor", anchor), file("empty", ""), file("key", key())]
    const script = (...args: ReadonlyArray<string>) =>
      spawnSync(process.execPath, [join(made.bundle, "verify.mjs"), made.bundle, ...args], { encoding: "utf8" })
    assert.strictEqual(script("--key", keyFile, "--anchor", good, "--anchor", good).status, 0)
    const second = script("--anchor", good, "--anchor", empty)
    assert.strictEqual(second.status, 82)
    assert.match(second.stdout, /^ {2}forged seal: anchor /m)
    const refused = [
      ["--anchr", good],
      ["--anchor"],
      ["--key", "--anchor", good],
      ["--key"],
      ["--key", join(root, "nothing")],
      ["--key", empty],
      ["--anchor", join(root, "nothing")],
      [good]
    ]
    for (const args of refused) {
      const { status, stderr, stdout } = script(...args)
      assert.deepStrictEqual([status, stdout], [64, ""], args.join(" "))
      assert.match(stderr, /^verify: [^\n]+\n$/)
    }
  })

  it("10.8: raises no alarm for another order of keys, and imports from a bundle", async () => {
    const folder = copy()
    putLines(
      folder,
      linesOf(folder).map((text) => {
        const line = JSON.parse(text)
        return JSON.stringify(Object.fromEntries(Object.entries(line).toReversed()))
      })
    )
    assert.deepStrictEqual(await verdicts(folder, { key: key(), anchor: made.anchor }), {
      code: 0,
      integrity: [],
      completeness: []
    })
    const report = await importRecording(storePaths(join(root, "imported")), join(folder, "events.jsonl"), {
      dryRun: false,
      importer: "auditor",
      nowMicros: 5
    })
    assert.deepInclude(report, { session: made.session, events: 304, outcome: "imported" })
  })

  it("10.8: raises no alarm for redacted and for removed events, and names a removal and a redaction that were forged", async () => {
    const folder = join(root, "redacted")
    const { paths, session, signer } = made
    await withJournal(
      paths,
      Effect.gen(function* () {
        const { redaction, removal } = yield* Journal
        const edits = [{ from: 13, to: 17, bytes: Buffer.from("****") }]
        const events = [200, 201].map((sequence) => ({ sequence, edits }))
        const rules = [{ rule: "text", matches: 2 }]
        const about = { actor: "auditor", timeMicros: 6 }
        yield* redaction.replace(session, { ...about, from: 1, to: 303, rules, reason: "", events, rows: [] })
        yield* removal.remove(session, { ...about, to: 50, reason: "asked", policy: "by hand", kept: [], rows: [] }, [])
        yield* sealing(paths, [session])
      })
    )
    await exportBundles(paths, [session], folder, { ...options, signer })
    const manifest = JSON.parse(get(folder, "manifest.json"))
    // What stands for the removed events is there, and is none of those that are.
    assert.deepInclude(manifest.coverage, { redacted: 2, events: 256, ranges: [[51, 305]], ended: true })
    assert.deepInclude(manifest.coverage.removed, { to: 50, isRecorded: true })
    assert.match(
      manifest.coverage.text,
      /^events 51 to 305 contiguous; events 1 to 50 removed by auditor \(by hand\), one event tells of it in their place;/
    )
    assert.deepStrictEqual(await verdicts(folder, { key: key() }), { code: 0, integrity: [], completeness: [] })
    const keptState = join(root, "redacted-kept")
    cpSync(folder, keptState, { recursive: true })
    putLines(keptState, linesOf(keptState).toSpliced(1, 0, '{"kept":"screen","sequence":50,"value":"AAAA"}'))
    assert.deepInclude(await verdicts(keptState, { key: key() }), { code: 82, integrity: ["edited"] })
    const edited = join(root, "redacted-edited")
    cpSync(folder, edited, { recursive: true })
    editLine(edited, 200, (line) => ({ ...line, payload: Buffer.alloc(20).toString("base64") }))
    assert.deepInclude(await verdicts(edited, { key: key() }), { code: 82, integrity: ["edited"] })
    // What was whole is said to be removed.
    const forged = await attacked((copied) => {
      const [head, ...events] = linesOf(copied)
      const leaves = events
        .slice(0, 20)
        .map((text) => JSON.parse(text))
        .map(({ leaf, sequence }) => JSON.stringify({ missing: sequence, leaf, why: "removed" }))
      const [tombstone] = linesOf(folder)
        .map((text) => JSON.parse(text))
        .filter(({ kind }) => kind === 41)
      putLines(copied, [head!, ...leaves, JSON.stringify({ ...tombstone, sequence: 20 }), ...events.slice(20)])
    })
    assert.includeMembers([...forged.integrity], ["forged removal"])
  })

  it("10.8: makes a folder for each of several sessions, and says what nothing proves", async () => {
    const folder = join(root, "several")
    const { paths, signer } = made
    const report = await exportBundles(paths, [made.session, made.other], folder, { ...options, signer })
    assert.deepStrictEqual(
      report.bundles.map(({ folder }) => folder),
      [made.session, made.other].map((session) => join(folder, session))
    )
    const all = await checkBundles(folder, { key: key() })
    assert.deepStrictEqual(
      all.map(({ completeness, integrity }) => [integrity, completeness]),
      [
        ["intact", "complete"],
        ["intact", "complete"]
      ]
    )
    const script = spawnSync(process.execPath, [join(folder, made.other, "verify.mjs"), folder])
    assert.strictEqual(script.status, 0)
    const at = (name: string) => join(folder, made.session, name)
    const without = async () => {
      const found = await checkBundles(folder, { key: key() })
      const { status, stdout } = spawnSync(process.execPath, [join(folder, made.other, "verify.mjs"), folder], {
        encoding: "utf8"
      })
      assert.strictEqual(status, 83)
      assert.match(stdout, new RegExp(`${made.session}: completeness incomplete\\n  removed: manifest.json is missing`))
      const one = found.find(({ session }) => session === made.session)
      assert.deepInclude(one, { completeness: "incomplete", integrity: "unproven" })
      assert.deepStrictEqual(
        one?.findings.map(({ reason }) => reason),
        ["removed"]
      )
      assert.strictEqual(found.length, 2)
    }
    rmSync(at("manifest.json"))
    await without()
    for (const name of readdirSync(join(folder, made.session))) rmSync(at(name))
    await without()
    const unsealed = await makeStore(join(root, "unsealed"), 1, 4)
    const bare = join(root, "bare")
    await exportBundles(unsealed.paths, [...unsealed.texts.keys()], bare, options)
    const [found] = await checkBundles(bare, {})
    assert.deepInclude(found!, { integrity: "unproven", completeness: "unproven" })
    assert.strictEqual(spawnSync(process.execPath, [join(bare, "verify.mjs"), bare]).status, 84)
    assert.strictEqual(spawnSync(process.execPath, [join(bare, "verify.mjs"), join(root, "store")]).status, 64)
  })

  it("tells that a session was lost, and from where on; and no more of it when its keeper was found after all", async () => {
    const { paths, texts } = await makeStore(join(root, "lost"), 2, 4)
    const [lost, found] = [...texts.keys()] as [SessionId, SessionId]
    const at = { actor: "engine", timeMicros: 1_800_000_000_000_002 }
    // Its bytes are none of the terminal's.
    const data = Buffer.alloc(10_000)
    const ofCommand = { ...at, event: { _tag: "OutputReceived", channel: "stdout", exec: 1, offset: 0, data } } as const
    const gone = { ...at, event: { _tag: "SessionLost", reason: "its keeper is gone" } } as const
    await withJournal(
      paths,
      Effect.gen(function* () {
        const journal = yield* Journal
        for (const session of [lost, found])
          yield* journal.append(session, [outputEvent("the last words"), ofCommand, gone])
        yield* journal.append(found, [
          { ...at, event: { _tag: "SessionResumed", keeper: "k", outputOffset: 14, gapBytes: 0 } }
        ])
        yield* sealing(paths, [lost, found])
      })
    )
    const signer = ensureKey(paths, 0).signer
    const coverages = []
    for (const [session, name] of [
      [lost, "lost-bundle"],
      [found, "found-bundle"]
    ] as const) {
      const folder = join(root, name)
      await exportBundles(paths, [session], folder, { ...options, signer })
      assert.deepStrictEqual(await verdicts(folder, { key: verifierKey(signer) }), {
        code: 0,
        integrity: [],
        completeness: []
      })
      coverages.push(JSON.parse(get(folder, "manifest.json")).coverage)
    }
    const [of, ofFound] = coverages
    const reason = "the session was lost: its keeper is gone"
    assert.deepStrictEqual(of.lost, [{ sequence: 8, what: "output", from: of.lost[0].from, to: null, reason }])
    assert.isAtLeast(of.lost[0].from, data.length + "the last words".length)
    assert.match(of.text, /; output \d+ to \? never recorded \(the session was lost: its keeper is gone\);/)
    assert.match(of.text, /; how the session ended is not known$/)
    const [verdict] = await checkBundles(join(root, "lost-bundle"), {})
    assert.match(verdict!.notes.join(), /output \d+ to \? was never recorded: the session was lost: its keeper is gone/)
    assert.deepInclude(ofFound, { lost: [], interruptions: [{ from: 8, to: 9, gapBytes: 0 }], ended: false })
  })

  it("refuses to go on from what is no checkpoint of its log, with the reason and the code that `verify` has", async () => {
    const { anchor, paths, session, signer } = made
    const folder = join(root, "since")
    const size = Number(anchor.split("\n")[1])
    const of = (origin: string, size: number, by: Signer) =>
      signNote(checkpointText({ origin, size, root: Buffer.alloc(32, 4) }), by)
    const impostor = generateSigner(signer.name)
    const elsewhere = generateSigner("elsewhere")
    const refusals: ReadonlyArray<readonly [text: string, code: number, says: RegExp]> = [
      ["", 64, /no checkpoint; give one that `reprise anchor` printed/],
      ["\u0000\ufffd\u0007", 64, /no checkpoint/],
      [anchor.slice(0, 40), 64, /no checkpoint/],
      [of("elsewhere", size, elsewhere), 64, /of another log, elsewhere; give one/],
      [get(made.bundle, "session.checkpoint"), 64, /of another log, /],
      [anchor.replace(`\n${size}\n`, `\n${size - 1}\n`), 82, /forged seal: /],
      [of(signer.name, size, impostor), 82, /wrong key: the checkpoint is not signed by /],
      [of(signer.name, size, signer), 82, /forked: the log is another one .* at \d+ statements/],
      [
        of(signer.name, 10_000, signer),
        83,
        /rolled back: the checkpoint was made with 10000 statements, and the log has /
      ]
    ]
    const file = join(root, "since.anchor")
    const cli = (...args: ReadonlyArray<string>) =>
      Effect.runPromise(runInside(args, { env: { REPRISE_HOME: paths.store, HOME: root }, cwd: root, input: "" }))
    const exported = () => cli("export", session, "--format", "evidence", "--out", folder, "--since", file)
    for (const [text, code, says] of refusals) {
      writeFileSync(file, text)
      const refused = await exported()
      assert.strictEqual(refused.code, code, refused.stderr)
      assert.match(refused.stderr, says)
      assert.match(refused.stderr, /^reprise: --since: [^\n]+\n$/)
      assert.isFalse(existsSync(folder) || existsSync(`${folder}.tmp`))
      const verified = await cli("verify", "--anchor", file)
      if (code !== 64) {
        assert.strictEqual(verified.code, code)
        assert.include(verified.stdout.toString(), says.source.split(":")[0]!)
      }
    }
    writeFileSync(file, anchor)
    assert.strictEqual((await exported()).code, 0)
    assert.deepStrictEqual(await verdicts(folder, { key: key(), anchor }), { code: 0, integrity: [], completeness: [] })
  })
})
