/** The lossless text of a session: what is written is imported as it was, and what is not of that form is refused. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type JournalEntry, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { Journal } from "../../journal/index.ts"
import { eventKey, streamBytes } from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { BASE_SPACE, snapshotKey, snapshotValue } from "../../projections/SnapshotRow.ts"
import { doctor } from "../../src/care/Doctor.ts"
import { exportEvents } from "../../src/export/EventsExport.ts"
import { importRecording } from "../../src/import/RecordingImporter.ts"
import { History } from "../../src/session/History.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { makeStore, withFolder, withJournal } from "../care/stores.ts"
import { outputEvent, sampleEvents } from "../contracts/JournalContract.ts"

const options = { dryRun: false, importer: "auditor", nowMicros: 1_900_000_000_000_000 }
const closing = { _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] } as const

const exported = (paths: StorePaths, session: SessionId): Promise<Buffer> =>
  Effect.runPromise(Effect.map(Stream.runCollect(exportEvents(paths, session)), (pieces) => Buffer.concat([...pieces])))
const entries = (paths: StorePaths, session: SessionId): Promise<ReadonlyArray<JournalEntry>> =>
  withJournal(
    paths,
    Effect.flatMap(Journal, (journal) => Stream.runCollect(journal.read(session)))
  )
const view = (paths: StorePaths, session: SessionId) =>
  withJournal(paths, History.use((history) => history.get(session)).pipe(Effect.provide(HistoryLive.layer)))
const failure = (paths: StorePaths, file: string): Promise<Error> =>
  importRecording(paths, file, options).then(
    () => assert.fail("was imported"),
    (error) => error
  )

/** A closed session with events of all kinds, a live one, and files of both. */
const setUp = async (folder: string) => {
  const { paths, texts } = await makeStore(join(folder, "store"), 2, 4)
  const [closed, live] = [...texts.keys()] as [SessionId, SessionId]
  const odd = sampleEvents.filter(({ _tag }) => !/^(Session|Process|Events|Leader|Terminal|Unknown)/.test(_tag))
  const all = [
    ...odd,
    { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 9, data: Buffer.of(0, 255, 10) },
    closing
  ]
  await withJournal(
    paths,
    Effect.flatMap(Journal, (journal) =>
      journal.append(
        closed,
        all.map((event, index) => ({ event: event as never, actor: "o'dd", commandId: "c1", timeMicros: 7 + index }))
      )
    )
  )
  const file = join(folder, "closed.events.jsonl")
  const liveFile = join(folder, "live.events.jsonl")
  writeFileSync(file, await exported(paths, closed))
  writeFileSync(liveFile, await exported(paths, live))
  return { paths, closed, live, file, liveFile, other: storePaths(join(folder, "other")) }
}

describe("--format events", () => {
  it("gives the same session in another store, and the same text again", () =>
    withFolder(async (folder) => {
      const { closed, file, other, paths } = await setUp(folder)
      const report = await importRecording(other, file, options)
      assert.deepInclude(report, { session: closed, original: null, outcome: "imported", format: "reprise-events" })
      assert.deepStrictEqual(await entries(other, closed), await entries(paths, closed))
      assert.isTrue((await exported(other, closed)).equals(readFileSync(file)))
      assert.strictEqual((await importRecording(other, file, options)).outcome, "same")
      assert.deepInclude(await view(other, closed), { status: "exited", exitCode: 0 })
      assert.strictEqual((await doctor(other, { engine: undefined })).state, "healthy")
      // Where it came from stands in the store's own stream, once.
      const [origin, ...more] = await entries(other, STORE_STREAM)
      assert.deepStrictEqual(more, [])
      assert.deepInclude(origin!.event, {
        _tag: "RecordingImported",
        session: closed,
        format: "reprise-events",
        sha256: report.sha256,
        bytes: readFileSync(file).byteLength,
        importer: "auditor"
      })
    }))

  it("never gives a live session: one that ran is lost, and says what it was", () =>
    withFolder(async (folder) => {
      const { live, liveFile, other, paths } = await setUp(folder)
      // Its own store has all of it.
      assert.strictEqual((await importRecording(paths, liveFile, options)).outcome, "same")
      await importRecording(other, liveFile, options)
      assert.deepInclude(await view(other, live), { status: "lost", exitCode: null, terminalOpen: false })
      const added = (await entries(other, live)).slice((await entries(paths, live)).length)
      assert.deepStrictEqual(
        added.map(({ event }) => event._tag),
        ["RecordingImported", "SessionLost"]
      )
      assert.strictEqual((await importRecording(other, liveFile, options)).outcome, "same")
      // From here on it is the same from store to store.
      const again = join(folder, "again.jsonl")
      writeFileSync(again, await exported(other, live))
      const third = storePaths(join(folder, "third"))
      await importRecording(third, again, options)
      assert.isTrue((await exported(third, live)).equals(readFileSync(again)))
    }))

  it("does not write what another store says of itself into this one", () =>
    withFolder(async (folder) => {
      const { closed, file, other } = await setUp(folder)
      writeFileSync(file, readFileSync(file, "latin1").replace(closed, STORE_STREAM), "latin1")
      assert.include((await failure(other, file)).message, "names a store's own stream, which is no session")
    }))

  it("gets another id where its own is another session's", () =>
    withFolder(async (folder) => {
      const { closed, file, live, liveFile, paths } = await setUp(folder)
      const changed = join(folder, "changed.jsonl")
      const lines = readFileSync(file, "utf8").split("\n")
      writeFileSync(changed, lines.toSpliced(3, 1, lines[3]!.replace(/"time":\d+/, '"time":5')).join("\n"))
      const report = await importRecording(paths, changed, options)
      assert.notStrictEqual(report.session, closed)
      assert.strictEqual(report.original, closed)
      const found = await entries(paths, report.session)
      assert.deepInclude(found.at(-1)!.event, { _tag: "RecordingImported", original: closed })
      assert.strictEqual((await importRecording(paths, changed, options)).outcome, "same")
      // The living one went on, differently.
      await withJournal(
        paths,
        Effect.flatMap(Journal, (journal) => journal.append(live, [outputEvent("more")]))
      )
      assert.strictEqual((await importRecording(paths, liveFile, options)).outcome, "same")
      assert.strictEqual((await doctor(paths, { engine: undefined })).state, "healthy")
    }))

  it("brings what stands for removed events", () =>
    withFolder(async (folder) => {
      const { closed, other, paths } = await setUp(folder)
      const state = { ...SessionState.initial(closed), argv: ["sh"], createdAt: 5, sequence: 3 }
      const row = {
        space: BASE_SPACE,
        key: snapshotKey(SessionState.name, closed, 3),
        value: snapshotValue(SessionState.version, SessionState.encode(state))
      }
      const removal = { to: 3, reason: "asked", policy: "by hand", actor: "test", timeMicros: 1, rows: [row] } as const
      await withJournal(
        paths,
        Effect.flatMap(Journal, (journal) =>
          journal.removal.remove(closed, { ...removal, kept: [SessionState.name] }, [])
        )
      )
      const file = join(folder, "removed.jsonl")
      writeFileSync(file, await exported(paths, closed))
      await importRecording(other, file, options)
      assert.isTrue((await exported(other, closed)).equals(readFileSync(file)))
      assert.deepInclude(await view(other, closed), { status: "exited", argv: ["sh"] })
      assert.strictEqual((await doctor(other, { engine: undefined })).state, "healthy")
    }))

  it("finishes an import that was killed, and needs no engine", () =>
    withFolder(async (folder) => {
      const { closed, file, other } = await setUp(folder)
      await importRecording(other, file, options)
      const storage = await LevelStorage.open(join(other.journal, "db"), "process", false)
      // What a death before the last batch leaves: everything but the first event, and half of the others.
      const key = (sequence: number) => eventKey(streamBytes(closed), sequence)
      await storage.batch([1, 4, 5, 6].map((sequence) => ({ key: key(sequence), value: undefined })))
      await storage.close()
      assert.strictEqual((await importRecording(other, file, options)).outcome, "imported")
      assert.isTrue((await exported(other, closed)).equals(readFileSync(file)))
      await withJournal(
        other,
        Effect.promise(async () => {
          assert.strictEqual((await importRecording(other, file, options)).outcome, "same")
          const fresh = join(folder, "fresh.jsonl")
          writeFileSync(fresh, readFileSync(file, "utf8").replaceAll('"actor":"o\'dd"', '"actor":"other"'))
          assert.include((await failure(other, fresh)).message, "is in use by")
        })
      )
    }))

  it("refuses what no export wrote, by its line, with the store as it was", () =>
    withFolder(async (folder) => {
      const { file, other } = await setUp(folder)
      const text = readFileSync(file, "utf8")
      const lines = text.trimEnd().split("\n")
      const edited = (line: number, edit: (line: string) => string) =>
        lines.map((one, index) => (index === line - 1 ? edit(one) : one)).join("\n")
      const cases: ReadonlyArray<readonly [string, RegExp]> = [
        ["", /of no format that can be imported/],
        ["hello\n", /of no format that can be imported/],
        [edited(1, (line) => line.replace('"version":1', '"version":9')), /line 1: has version 9/],
        [edited(1, (line) => line.replace(/"session":"[^"]*"/, '"session":"../x"')), /line 1: names no session/],
        [lines.slice(0, -1).join("\n"), /ends with event \d+; its first line says/],
        [text.slice(0, -20), /is no JSON object/],
        [lines.toSpliced(4, 1).join("\n"), /line 5: sequence 5 does not follow 3/],
        [[...lines.slice(0, 4), lines[5], lines[4], ...lines.slice(6)].join("\n"), /line 5: sequence/],
        [edited(3, (line) => line.replace(/"payload":"/, '"payload":"*')), /line 3: its payload is not base64/],
        [edited(3, (line) => line.replace(/"kind":\d+/, '"kind":250')), /kind 250 is not known/],
        [edited(3, (line) => line.replace('"record":1', '"record":2')), /line 3: has record format 2/],
        [edited(3, (line) => line.replace(/"time":\d+/, '"time":-1')), /line 3: its time/],
        [edited(3, (line) => line.replace(/"actor":"[^"]*"/, '"actor":"\\u0007"')), /event 2: actor must be/],
        [lines.toSpliced(1, 1).join("\n"), /line 2: sequence 2 does not follow 0/]
      ]
      for (const [content, expected] of cases) {
        const bad = join(folder, "bad.jsonl")
        writeFileSync(bad, content)
        const error = await failure(other, bad)
        assert.match(error.message, expected)
        assert.match(error.message, /nothing was imported$/)
      }
      assert.match((await failure(other, folder)).message, /is no ordinary file/)
      assert.match((await failure(other, join(folder, "none"))).message, /there is no such file/)
    }))
})
