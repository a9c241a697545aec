/** Stores that earlier releases left are read for ever as they were meant, and a later one's is refused by name. */
import { createHash } from "node:crypto"
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Stream } from "effect"
import { afterAll, beforeAll } from "vitest"
import { toJsonLine } from "../../cli/EventLine.ts"
import type { JournalEntry, SessionEvent, SessionId } from "../../journal/Event.ts"
import { EVENT_KIND_MAX } from "../../journal/EventKind.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { STORE_FORMAT } from "../../journal/StoreGuard.ts"
import { Buffers, Commands, type Projection, SessionState, Title, WorkingDirectory } from "../../projections/index.ts"
import { History, Journal, Sessions } from "../../src/index.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import {
  type Programs,
  RELEASES,
  RELEASES_TRIED,
  STORES_ARCHIVE,
  type StoreWords,
  unpack,
  unpackPrograms
} from "../fixtures/releases/Releases.ts"
import { idOf, untilEnd } from "../session/sessionsUnderTest.ts"
import { upgradeStore } from "./upgradeUnderTest.ts"

let programs: Programs
let stores: string
beforeAll(() => {
  programs = unpackPrograms()
  stores = mkdtempSync(join(tmpdir(), "reprise-stores-"))
  unpack(STORES_ARCHIVE, stores)
})
afterAll(() => {
  programs.dispose()
  rmSync(stores, { recursive: true, force: true })
})

const place = (name: string, journal: string): void => {
  cpSync(join(stores, name, "journal"), journal, { recursive: true })
  chmodSync(journal, 0o700)
}

/** As the command line prints it. */
const printed = (value: unknown) => JSON.parse(JSON.stringify(value))
const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex")

/** Folded from the first event, without any snapshot that the release kept. */
const PROJECTIONS: ReadonlyArray<Projection<unknown>> = [
  SessionState,
  WorkingDirectory,
  Title,
  Buffers,
  Commands
] as never

/**
 * Hashes of what each projection makes of each session, by its version: recorded once (GOLDEN=write) and equal in all
 * versions of this package that have that version of the projection.
 */
const HASHES_FILE = new URL("../fixtures/releases/projections.json", import.meta.url)
const hashes: Record<string, string> = existsSync(HASHES_FILE) ? JSON.parse(readFileSync(HASHES_FILE, "utf8")) : {}
const checkHash = (name: string, hash: string): void => {
  if (hashes[name] === undefined && process.env.GOLDEN === "write") {
    hashes[name] = hash
    writeFileSync(HASHES_FILE, `${JSON.stringify(hashes, undefined, 2)}\n`)
  }
  assert.strictEqual(hash, hashes[name], `${name}; of a version that was raised, run once with GOLDEN=write`)
}

const reading = (journal: string) =>
  HistoryLive.layer.pipe(Layer.provideMerge(JournalLevel.layer({ location: journal, create: false })))

const eventsOf = (id: string) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    return [...(yield* Stream.runCollect(journal.read(id as SessionId)))]
  })

/** What a release said of a store holds: every word of it, though more may be said by now. */
const checkWords = Effect.fnUntraced(function* (store: string, words: StoreWords) {
  const history = yield* History
  const journal = yield* Journal
  assert.deepStrictEqual((yield* journal.verify).damages, [])
  const list = yield* history.list
  assert.deepStrictEqual(
    list.map(({ id }) => id),
    words.list.map(({ id }) => id)
  )
  list.forEach((view, index) => {
    // The first releases put an event behind a session's last word now and then, and their lists did not count it.
    const { lastEventAt, sequence, ...said } = words.list[index]!
    assert.deepInclude(printed(view), sequence === view.sequence ? words.list[index]! : said)
  })
  for (const { events, id, outputSha256, views } of words.sessions) {
    const session = id as SessionId
    const entries = yield* eventsOf(id)
    assert.lengthOf(entries, events.length)
    entries.forEach((entry, index) => void assert.deepInclude(JSON.parse(toJsonLine(entry)), events[index]!))
    assert.strictEqual(sha256(bytesOf(entries)), outputSha256)
    for (const { screen: saidScreen, ...said } of views) {
      const { screen, view } = yield* history.stateAt(session, { _tag: "Sequence", sequence: said.sequence })
      assert.deepInclude(printed(view), said)
      const { lines, ...others } = screen
      assert.deepInclude({ ...printed(others), text: lines.join("\n") }, saidScreen)
    }
    for (const projection of PROJECTIONS) {
      const state = entries.reduce((before, entry) => projection.fold(before, entry), projection.initial(session))
      checkHash(`${store} ${id} ${projection.name}.v${projection.version}`, sha256(projection.encode(state)))
    }
  }
})

const bytesOf = (entries: ReadonlyArray<JournalEntry>): Buffer =>
  Buffer.concat(
    entries.flatMap(({ event }) => (event._tag === "OutputReceived" && event.channel === "tty" ? [event.data] : []))
  )

describe("a store of an earlier release", () => {
  for (const release of RELEASES) {
    for (const state of ["clean", "killed"]) {
      it.live(
        `reliability row 26: ${release}, ${state}: views, events, screens and projections are those recorded; it verifies and goes on`,
        () =>
          Effect.gen(function* () {
            const name = `${release}/${state}`
            const words: StoreWords = JSON.parse(readFileSync(join(stores, name, "words.json"), "utf8"))
            assert.isAtLeast(words.list.length, 6)
            const store = yield* upgradeStore(programs)
            place(name, store.paths.journal)
            yield* checkWords(name, words).pipe(Effect.provide(reading(store.paths.journal)))

            // An engine goes on with it. What lived then is lost now, in one more event.
            const living = words.list.filter(({ status }) => status === "running").map(({ id }) => id)
            assert.lengthOf(living, state === "killed" ? 1 : 0)
            const created = yield* Effect.gen(function* () {
              const history = yield* History
              for (const id of living) assert.strictEqual((yield* history.get(id as SessionId)).status, "lost")
              const created = idOf(yield* Effect.flatMap(Sessions, ({ create }) => create({ argv: ["echo", "new"] })))
              yield* untilEnd(created)
              return created
            }).pipe(Effect.provide(store.layer({ inProcess: true })))
            const others = words.sessions.filter(({ id }) => !living.includes(id))
            yield* Effect.gen(function* () {
              const history = yield* History
              const journal = yield* Journal
              assert.deepStrictEqual((yield* journal.verify).damages, [])
              assert.strictEqual((yield* history.list)[0]!.id, created)
              for (const { events, id } of words.sessions) {
                const entries = yield* eventsOf(id)
                entries.forEach(({ sequence }, index) => void assert.strictEqual(sequence, index + 1))
                assert.lengthOf(entries, living.includes(id) ? events.length + 1 : events.length)
              }
              assert.isNotEmpty(others)
            }).pipe(Effect.provide(reading(store.paths.journal)))
          })
      )
    }
  }
})

/** Every file, as it is. */
const contentOf = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name)
        return [path, sha256(readFileSync(path))]
      })
  )

describe("a store of a later format", () => {
  it.live(
    "reliability row 37: is refused by name by this version and by earlier ones, and nothing in it is touched",
    () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        place("protocol-3/clean", store.paths.journal)
        const format = STORE_FORMAT + 1
        writeFileSync(join(store.paths.journal, "format.json"), `{"format":${format}}\n`)
        const before = contentOf(store.paths.journal)
        const exit = yield* Effect.exit(Effect.provide(Effect.void, store.layer()))
        assert.isTrue(Exit.isFailure(exit))
        yield* Effect.promise(() =>
          Promise.all(
            [store.own, ...RELEASES_TRIED.map(store.old)].flatMap((cli) =>
              [["list"], ["run", "--", "true"]].map(async (args) => {
                const { code, stderr } = await cli.run(args)
                assert.strictEqual(code, 73, stderr)
                assert.match(
                  stderr,
                  new RegExp(`has format ${format}, this version reads up to \\d; use a newer reprise`)
                )
              })
            )
          )
        )
        assert.deepStrictEqual(contentOf(store.paths.journal), before)
      })
  )

  it.live(
    "reliability row 37: one from which events were removed is refused by releases that know of no removals",
    () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        const { own } = store
        yield* Effect.promise(async () => {
          await own.text(["run", "--name", "cut", "--", "seq", "1", "20"])
          await own.text(["prune", "cut", "--max-events", "1"])
          await own.text(["stop"])
          const before = contentOf(store.paths.journal)
          for (const release of RELEASES_TRIED) {
            for (const args of [["list"], ["run", "--", "true"]]) {
              const { code, stderr } = await store.old(release).run(args)
              assert.strictEqual(code, 73, stderr)
              assert.match(stderr, /has format 2, this version reads up to 1; use a newer reprise/)
            }
          }
          assert.deepStrictEqual(contentOf(store.paths.journal), before)
          assert.deepInclude(await own.json(["inspect", "cut"]), { status: "exited", exitCode: 0 })
        })
      })
  )
})

describe("events of a kind to come", () => {
  const payload = Buffer.from('{"said":"later \u00e9"}')
  const later: SessionEvent = { _tag: "Unknown", kind: EVENT_KIND_MAX + 60, payload }
  const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId
  const events: ReadonlyArray<SessionEvent> = [
    {
      _tag: "SessionCreated",
      argv: ["echo"],
      cwd: "/",
      envNames: [],
      size: { cols: 80, rows: 24 },
      term: "dumb",
      owner: "x",
      name: "mixed",
      kind: "terminal"
    },
    later,
    { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 0, data: Buffer.from("hi") },
    { _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] }
  ]

  it.live(
    "reliability row 37: are passed on as Unknown with every byte, by this engine and by earlier ones, and change nothing else",
    () =>
      Effect.gen(function* () {
        const store = yield* upgradeStore(programs)
        yield* Effect.flatMap(Journal, (journal) =>
          journal.append(
            id,
            events.map((event) => ({ event, actor: event._tag === "Unknown" ? "future" : "cli", timeMicros: 5 }))
          )
        ).pipe(Effect.provide(JournalLevel.layer({ location: store.paths.journal })))
        const line = {
          sequence: 2,
          actor: "future",
          type: "Unknown",
          kind: later.kind,
          payload: payload.toString("base64")
        }
        // By an engine of this version, over its socket; then by earlier engines, which write to the store too.
        for (const cli of [store.own, ...RELEASES_TRIED.map(store.old)]) {
          yield* Effect.promise(async () => {
            await cli.text(["run", "--", "true"])
            const lines = (await cli.text(["events", id])).trim().split("\n")
            assert.lengthOf(lines, events.length)
            assert.deepInclude(JSON.parse(lines[1]!), line)
            assert.deepInclude(await cli.json(["inspect", id]), {
              status: "exited",
              exitCode: 0,
              outputBytes: 2,
              sequence: 4
            })
          })
          const entries = yield* Effect.flatMap(History, (history) => Stream.runCollect(history.events(id))).pipe(
            Effect.provide(EngineClient.layer({ paths: store.paths, start: false }))
          )
          assert.deepStrictEqual(
            [...entries].map(({ event }) => printed(event)),
            events.map(printed)
          )
          yield* store.killEngine
        }
        const kept = yield* eventsOf(id).pipe(Effect.provide(reading(store.paths.journal)))
        assert.deepStrictEqual(
          kept.map(({ event }) => printed(event)),
          events.map(printed)
        )
      })
  )
})
