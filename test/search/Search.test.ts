/** Searching over a journal in memory, with the real thread: what is found, in which order, and what the index has to do with it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import { streamBytes } from "../../journal/Keys.ts"
import { OUTPUT_DATA_AT } from "../../journal/Record.ts"
import {
  BLOCK_SPACE,
  deleteSearchIndex,
  GRAM_SPACE,
  putSearchRows,
  SEGMENT_SPACE,
  searchIndexRanges,
  searchIndexVersion,
  segmentKey
} from "../../projections/SearchIndex.ts"
import { Search, type SearchQuery } from "../../src/search/Search.ts"
import { makeSearchIndexer } from "../../src/search/SearchIndexer.ts"
import { searchWorkerUrl } from "../../src/search/SearchLocal.ts"
import { packPage } from "../../src/search/SearchPage.ts"
import { SearchText } from "../../src/search/SearchText.ts"
import { indexedTo, readIndexes } from "../../src/search/SessionSearch.ts"
import { History } from "../../src/session/History.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { commandFinished, commandStarted, created, output, randomOutput, seeded } from "../projections/events.ts"
import {
  ended,
  entriesOf,
  hits,
  items,
  layer,
  linesOf,
  printed,
  START_MICROS,
  session,
  textOf
} from "./searchUnderTest.ts"

const rowsIn = (space: string) =>
  Journal.use((journal) => Effect.map(Stream.runCollect(journal.rows(space)), (rows) => rows.length))

/** Lines of words, some of them rare: several blocks of the index. */
const story = (seed: number, lines: number): ReadonlyArray<string> => {
  const random = seededRandom(seed)
  const words = ["alpha", "Beta", "gamma", "délta", "epsilon", "Ωmega", "日本語", "kappa😀"]
  return Array.from(
    { length: lines },
    (_, index) =>
      `${index} ${Array.from({ length: 8 }, () => `\x1b[3${random.below(8)}m${words[random.below(words.length)]}${random.below(5000)}`).join(" ")}\x1b[0m\r\n`
  )
}

const inChunks = (text: string, seed: number, size: number): ReadonlyArray<Uint8Array> => {
  const random = seededRandom(seed)
  const all = new Uint8Array(Buffer.from(text))
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < all.length; ) {
    const next = Math.min(all.length, at + 1 + random.below(size))
    chunks.push(all.slice(at, next))
    at = next
  }
  return chunks
}

describe("search", () => {
  it.live("finds exactly the lines that hold it, with the index and without, whatever the case", () =>
    Effect.gen(function* () {
      const events: ReadonlyArray<SessionEvent> = [
        created(),
        ...printed(inChunks(story(7, 6000).join(""), 8, 4000)),
        ...ended()
      ]
      const lines = textOf(events)
      yield* session(events)
      const queries: ReadonlyArray<SearchQuery> = [
        { pattern: "gamma4711" },
        { pattern: "GAMMA471", ignoreCase: true },
        { pattern: "ΩMEGA12 ", ignoreCase: true },
        { pattern: "日本語77" },
        { pattern: "5999 " },
        { pattern: "kappa😀1 ", ignoreCase: true },
        { pattern: "ma1[23]+ .*beta7", regex: true, flags: "i" },
        { pattern: "\\b(alpha|Beta)99\\b", regex: true },
        { pattern: "a.b(c" },
        { pattern: "nowhere to be found" }
      ]
      let isIndexed = false
      for (const round of ["first", "indexed"]) {
        for (const query of queries) {
          const source = query.regex ? query.pattern : query.pattern.replace(/[.(]/g, "\\$&")
          const pattern = new RegExp(source, `u${query.ignoreCase ? "i" : (query.flags ?? "")}`)
          const expected = lines.filter(({ line }) => pattern.test(line)).map(({ line, sequence }) => [sequence, line])
          const found = yield* hits(query)
          assert.deepStrictEqual(
            found.map(({ line, sequence }) => [sequence, line]),
            expected.reverse(),
            `${query.pattern}, ${round}`
          )
          for (const { line, ranges } of found) {
            const [[from, to]] = ranges as [[number, number]]
            assert.match(line.slice(from, to), pattern)
          }
          if (!isIndexed) {
            isIndexed = true
            assert.strictEqual(yield* rowsIn(SEGMENT_SPACE), 1)
            assert.strictEqual(yield* rowsIn(BLOCK_SPACE), 1)
            assert.strictEqual(yield* rowsIn(GRAM_SPACE), 256)
          }
        }
      }
    }).pipe(Effect.provide(layer))
  )

  it("reads the same lines from any event on with the state that was kept there", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seeded(seed)
      const data = randomOutput(random, 120)
      const events: Array<SessionEvent> = [created()]
      for (let at = 0; at < data.length; ) {
        const next = Math.min(data.length, at + 1 + Math.floor(random() * 60))
        const roll = random()
        const piece = data.subarray(at, next)
        if (roll < 0.6) events.push(output(piece, at))
        else if (roll < 0.8) events.push({ _tag: "InputWritten", data: piece })
        else
          events.push({
            _tag: "OutputReceived",
            channel: "stderr",
            exec: 1 + Math.floor(random() * 12),
            offset: 0,
            data: piece
          })
        at = next
      }
      const whole = textOf(events)
      const found: Array<unknown> = []
      let state: string | undefined
      for (const entry of entriesOf(events)) {
        const text = new SearchText((line, place) => found.push({ ...place, line }), state)
        text.feed(packPage([entry]))
        state = text.state()
      }
      new SearchText((line, place) => found.push({ ...place, line }), state).flush()
      assert.deepStrictEqual(found, whole as never, `seed ${seed}`)
    }
  })

  it.live(
    "knows input, commands, titles and the channels apart, with folder, number and exit code of the command",
    () =>
      Effect.gen(function* () {
        const shell = yield* session([
          created({ kind: "exec", argv: ["bash", "driver"], name: "needle shell", cwd: "/srv" }),
          commandStarted(1, "grep needle file"),
          {
            _tag: "OutputReceived",
            channel: "stdout",
            exec: 1,
            offset: 0,
            data: new Uint8Array(Buffer.from("out needle\n"))
          },
          {
            _tag: "OutputReceived",
            channel: "stderr",
            exec: 1,
            offset: 0,
            data: new Uint8Array(Buffer.from("err needle"))
          },
          commandFinished(1, { exitCode: 2 }),
          { _tag: "CwdChanged", cwd: "/srv/data", source: "exec" },
          commandStarted(2, "cat"),
          { _tag: "CommandInputWritten", exec: 2, base64: Buffer.from("given needle\n").toString("base64"), end: true },
          output("\x1b]0;title needle\x07terminal needle\r\n"),
          commandFinished(2, { exitCode: 0 }),
          { _tag: "InputWritten", data: new Uint8Array(Buffer.from("typed neex\x7fdle\r")) },
          output("after needle\r\n", 40)
        ])
        const found = yield* hits({ pattern: "needle" })
        assert.deepStrictEqual(
          found.map(({ channel, cwd, exec, in: source, line }) => [line, source, channel, exec, cwd]),
          [
            // The last event that touched a line that has not ended is where it stands.
            ["err needle", "output", "stderr", 1, "/srv/data"],
            ["after needle", "output", "tty", null, "/srv/data"],
            ["typed needle", "input", null, null, "/srv/data"],
            ["title needle", "titles", null, null, "/srv/data"],
            ["terminal needle", "output", "tty", 2, "/srv/data"],
            ["given needle", "input", null, 2, "/srv/data"],
            ["out needle", "output", "stdout", 1, "/srv"],
            ["grep needle file", "commands", null, 1, "/srv"],
            ["needle shell", "titles", null, null, "/srv"]
          ]
        )
        const count = (query: Partial<SearchQuery>) =>
          Effect.map(hits({ pattern: "needle", ...query }), ({ length }) => length)
        assert.strictEqual(yield* count({ in: "input" }), 2)
        assert.strictEqual(yield* count({ in: "commands" }), 1)
        assert.strictEqual(yield* count({ in: "titles" }), 2)
        assert.strictEqual(yield* count({ exitCode: 2 }), 3)
        assert.strictEqual(yield* count({ cwd: "/srv" }), 9)
        assert.strictEqual(yield* count({ cwd: "/srv/data/" }), 6)
        assert.strictEqual(yield* count({ cwd: "/sr" }), 0)
        assert.strictEqual(yield* count({ session: shell, limit: 2 }), 2)
        assert.strictEqual(yield* count({ since: START_MICROS + 8000 }), 4)
        assert.strictEqual(yield* count({ until: START_MICROS + 2000 }), 3)
        assert.strictEqual(yield* count({ pattern: "grep", since: START_MICROS + 2000 }), 0)
      }).pipe(Effect.provide(layer))
  )

  it.live("tells the sessions in which something happened last first", () =>
    Effect.gen(function* () {
      yield* session(
        [created({ name: "old" }), ...printed(["one word\r\ntwo word\r\n"]), ...ended(3)],
        START_MICROS + 1e9
      )
      yield* session(
        [created({ name: "new" }), ...printed(["three word\r\n", "open word"]), ...ended(0)],
        START_MICROS + 2e9
      )
      yield* session([created({ name: "oldest" }), ...printed(["four word\r\n"])], START_MICROS)
      const expected = ["open word", "three word", "two word", "one word", "four word"]
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "word" })), expected)
      assert.strictEqual(yield* rowsIn(SEGMENT_SPACE), 2, "those that have ended are indexed")
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "word" })), expected)
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "word", exitCode: 3 })), ["two word", "one word"])
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "word", since: START_MICROS + 2e9 })), expected.slice(0, 2))
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "word", limit: 3 })), expected.slice(0, 3))
    }).pipe(Effect.provide(layer))
  )

  it.live("a session that goes on is found in up to its last byte, beside what is indexed of it", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const text = story(3, 1500).join("")
      const lost: SessionEvent = { _tag: "SessionLost", reason: "its keeper is gone" }
      const id = yield* session([created(), ...printed(inChunks(text, 1, 40_000)), lost])
      yield* hits({ pattern: "x" })
      assert.strictEqual(yield* rowsIn(SEGMENT_SPACE), 1)
      const offset = Buffer.byteLength(text)
      // It is brought back.
      const more: ReadonlyArray<SessionEvent> = [
        { _tag: "ProcessStarted", pid: 1, startTime: "1", keeper: "" },
        output("late needle\r\nand ", offset),
        output("open needle", offset + 17)
      ]
      yield* journal.append(id, entriesOf(more, START_MICROS + 1e9))
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "needle" })), ["and open needle", "late needle"])
      assert.strictEqual((yield* hits({ pattern: "1499 " }))[0]?.line.slice(0, 5), "1499 ")
    }).pipe(Effect.provide(layer))
  )

  it.live("a pattern that takes for ever is refused and holds nobody up", () =>
    Effect.gen(function* () {
      yield* session([created(), ...printed([`${"a".repeat(5000)}!\r\n`, "quick\r\n"]), ...ended()])
      const slow = yield* Effect.forkChild(
        Effect.flip(Search.use(({ search }) => Stream.runCollect(search({ pattern: "(a+)+$", regex: true }))))
      )
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "quick" })), ["quick"])
      const error = yield* Fiber.join(slow)
      assert.deepInclude(error, { _tag: "InvalidRequest", field: "pattern" })
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "quick" })), ["quick"])
    }).pipe(Effect.provide(layer))
  )

  it.live("what cannot be is refused with the reason", () =>
    Effect.gen(function* () {
      const refusal = (query: SearchQuery) => Effect.flip(Search.use(({ search }) => Stream.runCollect(search(query))))
      for (const [query, word] of [
        [{ pattern: "" }, "1 to 1000 characters"],
        [{ pattern: "x".repeat(1001) }, "1 to 1000 characters"],
        [{ pattern: "(", regex: true }, "Unterminated group"],
        [{ pattern: "a", regex: true, flags: "gy" }, "flags"],
        [{ pattern: "a", limit: 0 }, "above 0"],
        [{ pattern: "a", cwd: "src" }, "absolute"],
        [{ pattern: "a", since: Number.NaN }, "time"]
      ] as const) {
        const error = yield* refusal(query)
        assert.strictEqual(error._tag, "InvalidRequest")
        assert.include(error.message, word)
      }
    }).pipe(Effect.provide(layer))
  )

  it.live("without its rows the index is made again, and nothing that was read before comes back", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const events = [created(), ...printed(inChunks(story(9, 2000).join(""), 2, 3000)), ...ended()]
      const id = yield* session(events)
      const expected = yield* hits({ pattern: "gamma12" })
      assert.isAbove(expected.length, 0)
      for (const space of [GRAM_SPACE, BLOCK_SPACE, SEGMENT_SPACE]) {
        const [row] = yield* Stream.runCollect(journal.rows(space, { limit: 1 }))
        yield* journal.deleteRows(space, row!.key, row!.key)
        assert.deepStrictEqual(yield* hits({ pattern: "gamma12" }), expected, space)
      }
      yield* deleteSearchIndex(id)
      for (const space of [GRAM_SPACE, BLOCK_SPACE, SEGMENT_SPACE]) assert.strictEqual(yield* rowsIn(space), 0, space)
      // Deleted while it is made: nothing is written of what was read before.
      const search = yield* Effect.forkChild(hits({ pattern: "gamma12" }))
      yield* Effect.sleep(0)
      yield* deleteSearchIndex(id)
      assert.deepStrictEqual(yield* Fiber.join(search), expected)
      assert.deepStrictEqual(yield* hits({ pattern: "gamma12" }), expected)
    }).pipe(Effect.provide(layer))
  )

  it.live(
    "an engine's indexer leaves nothing for a search to read of what has ended, and of what lives what fills a segment",
    () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const history = yield* History
        const indexer = makeSearchIndexer({ journal, history, workerUrl: searchWorkerUrl })
        const over = yield* session([created(), ...printed(["word of the dead\r\n"]), ...ended()])
        const alive = yield* session([created(), ...printed(["word of the living\r\n"])])
        // A block of one or two events each: more than a segment has.
        const much = Array.from({ length: 262 }, () => `${"x".repeat(8000)}\r\n`.repeat(8))
        const long = yield* session([created(), ...printed(["word of the long\r\n", ...much, "the end of it"])])
        yield* indexer.index([over, alive, long])
        const heads = yield* readIndexes(journal)
        assert.strictEqual(heads.size, 2)
        const indexOf = (id: string) => heads.get(Buffer.from(streamBytes(id as SessionId)).toString("hex"))
        assert.strictEqual(indexedTo(indexOf(over)!), yield* journal.head(over))
        assert.strictEqual(indexOf(long)!.length, 1)
        assert.strictEqual(indexOf(long)![0]!.head.blocks, 128)
        assert.isBelow(indexedTo(indexOf(long)!), yield* journal.head(long))
        assert.sameMembers(linesOf(yield* hits({ pattern: "word of the" })), [
          "word of the living",
          "word of the long",
          "word of the dead"
        ])
        assert.strictEqual((yield* hits({ pattern: "the end of" })).length, 1)
      }).pipe(Effect.provide(layer))
  )

  it.live("what was redacted is not found any more, also with rows of before, and what took its place is", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const id = yield* session([created(), ...printed(["password hunter2 word\r\n"]), ...ended()])
      assert.strictEqual((yield* hits({ pattern: "hunter2" })).length, 1)
      const version = searchIndexVersion(journal, id)
      const at = OUTPUT_DATA_AT + "password ".length
      const edits = [{ from: at, to: at + 7, bytes: new Uint8Array(Buffer.from("*******")) }]
      yield* journal.redaction.replace(id, {
        from: 1,
        to: 6,
        rules: [{ rule: "test", matches: 1 }],
        reason: "test",
        actor: "test",
        timeMicros: START_MICROS,
        events: [{ sequence: 2, edits }],
        rows: []
      })
      assert.deepStrictEqual(yield* hits({ pattern: "hunter2" }), [])
      yield* journal.redaction.finish(id, searchIndexRanges(id), [])
      assert.strictEqual(yield* rowsIn(SEGMENT_SPACE), 0)
      const rows = [{ space: SEGMENT_SPACE, key: segmentKey(id, 0), value: new Uint8Array(1) }]
      assert.isFalse(yield* putSearchRows(journal, id, { segment: 0, version, rows }), "read before")
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "*** word" })), ["password ******* word"])
      assert.deepStrictEqual(yield* hits({ pattern: "hunter2" }), [])
    }).pipe(Effect.provide(layer))
  )

  it.live("what was removed is not found, and what follows it is", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const id = yield* session([created(), ...printed(["early word\r\n", "late word\r\n"]), ...ended()])
      assert.strictEqual((yield* hits({ pattern: "word" })).length, 2)
      yield* journal.removal.remove(
        id,
        { to: 2, reason: "asked", policy: "asked for", actor: "test", timeMicros: START_MICROS, kept: [], rows: [] },
        []
      )
      // Also with rows of before.
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "word", session: id })), ["late word"])
      yield* deleteSearchIndex(id)
      assert.deepStrictEqual(linesOf(yield* hits({ pattern: "word", session: id })), ["late word"])
      assert.deepStrictEqual(yield* items({ pattern: "early", session: id }), [])
    }).pipe(Effect.provide(layer))
  )
})
