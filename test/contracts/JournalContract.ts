/**
 * What every journal must do, whatever it stores its bytes in. Exported (`reprise/testing`): a new storage runs this
 * suite and is then a journal.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Layer, Stream } from "effect"
import { monotonicFactory } from "ulid"
import {
  ACTOR_ENGINE,
  ACTOR_PROGRAM,
  type FollowItem,
  Journal,
  type JournalEntry,
  type NewEvent,
  PAGE_EVENTS_MAX,
  type SessionEvent,
  type SessionId
} from "../../journal/index.ts"

const ulid = monotonicFactory()
export const newSessionId = (): SessionId => ulid() as SessionId

export const outputEvent = (text: string, offset = 0): NewEvent => ({
  event: { _tag: "OutputReceived", channel: "tty", exec: 0, offset, data: Buffer.from(text) },
  actor: ACTOR_PROGRAM,
  timeMicros: 1_700_000_000_000_000
})
const marker = (label: string): NewEvent => ({
  event: { _tag: "MarkerSet", label },
  actor: ACTOR_ENGINE,
  timeMicros: 1_700_000_000_000_001
})

/** One of each kind, with values at the edges. */
export const sampleEvents: ReadonlyArray<SessionEvent> = [
  {
    _tag: "SessionCreated",
    argv: ["sh", "-c", "echo é\n\u0000"],
    cwd: "/",
    envNames: ["PATH"],
    size: { cols: 1, rows: 1000 },
    term: "xterm",
    owner: "root",
    name: "n",
    kind: "terminal"
  },
  { _tag: "ProcessStarted", pid: 4194304, startTime: "18446744073709551615", keeper: "" },
  { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 0, data: Buffer.from([0, 255, 0x1b, 10]) },
  {
    _tag: "OutputReceived",
    channel: "stderr",
    exec: 4_294_967_295,
    offset: Number.MAX_SAFE_INTEGER,
    data: Buffer.alloc(0)
  },
  { _tag: "InputWritten", data: Buffer.from([3, 0xc3]) },
  { _tag: "InputHidden" },
  { _tag: "Resized", size: { cols: 80, rows: 24 } },
  { _tag: "SignalSent", signal: "SIGINT", target: "foreground" },
  { _tag: "InputClosed" },
  { _tag: "CwdChanged", cwd: "/tmp/a b\n", source: "proc" },
  { _tag: "MarkerSet", label: "m" },
  { _tag: "ClientAttached", client: "c", readOnly: true },
  { _tag: "ClientDetached", client: "c" },
  { _tag: "LimitReached", limit: "bytes", value: 1.5 },
  { _tag: "GapDetected", what: "output", from: 3, to: null, why: "w" },
  { _tag: "LeaderExited", exitCode: null, signal: "SIGKILL" },
  { _tag: "TerminalClosed", outputBytes: 9 },
  { _tag: "SessionInterrupted", reason: "r" },
  { _tag: "SessionResumed", keeper: "k", outputOffset: 4, gapBytes: 0 },
  { _tag: "SessionLost", reason: "r" },
  { _tag: "SessionClosed", exitCode: 3, signal: null, reason: "exited", survivors: [{ pid: 1, command: "init" }] },
  { _tag: "EngineStarted", pid: 1, version: "0", node: "24" },
  { _tag: "EngineStopped", reason: "r" },
  { _tag: "Unknown", kind: 250, payload: Buffer.from("later") },
  {
    _tag: "CommandStarted",
    exec: 1,
    execId: "x-1",
    code: "echo $'\\0' é\n",
    stdin: "none",
    tty: false,
    cwd: "/tmp",
    env: { A: "1" },
    secretEnvNames: ["TOKEN"],
    timeoutMillis: null,
    ttyFrom: 0
  },
  { _tag: "CommandInputWritten", exec: 1, base64: "AP8=", end: true },
  {
    _tag: "CommandFinished",
    exec: 1,
    status: "died",
    exitCode: null,
    signal: "SIGKILL",
    cwd: "/",
    value: null,
    durationMicros: 1500,
    stdoutBytes: 3,
    stderrBytes: 0,
    ttyTo: 7
  },
  {
    _tag: "ShellStateChanged",
    exec: 1,
    cwd: "/tmp",
    env: { A: "1", B: null, TOKEN: "***" },
    masked: ["TOKEN"],
    functions: { f: "f () { :; }", g: null },
    aliases: { ll: "ls -l" },
    imports: ["import math"],
    omitted: []
  },
  {
    _tag: "ShellRestarted",
    reason: "died",
    restored: { cwd: "/tmp", env: ["A"], functions: ["f"], aliases: [], imports: [] },
    missing: ["variable TOKEN: its value is not stored"]
  },
  { _tag: "DefectDetected", what: "screen-redraw", session: "s", at: 7, detail: "cell 3,4" },
  {
    _tag: "EventsRemoved",
    from: 1,
    to: 9,
    events: 9,
    bytes: 900,
    outputBytes: 300,
    lastTimeMicros: 1_700_000_000_000_000,
    sha256: "00ff",
    reason: "age",
    policy: "older than 30 days",
    kept: ["session-state"]
  },
  { _tag: "HoldPlaced", reason: "é" },
  { _tag: "HoldReleased" },
  {
    _tag: "HistoryAccessed",
    what: "read",
    session: null,
    by: "auditor",
    through: "cli",
    after: 0,
    until: null,
    times: 2,
    reason: "case 7"
  },
  {
    _tag: "RecordingImported",
    session: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    format: "asciicast-v2",
    sha256: "00ff",
    bytes: 300,
    importer: "auditor",
    original: "01BX5ZZKBKACTAV9WEVGEMMVRZ"
  },
  {
    _tag: "RemovalRecorded",
    session: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    to: 3,
    sha256: "00ff",
    tombstone: "ff00",
    reason: "asked",
    policy: "é"
  },
  {
    _tag: "PayloadsRedacted",
    from: 1,
    to: 9,
    rules: [{ rule: "jwt", matches: 2 }],
    reason: "é",
    events: [{ sequence: 3, original: "00ff", sealed: true, replacement: "ff00", ranges: [[13, 20]] }]
  },
  {
    _tag: "KeyDestroyed",
    session: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    to: 5,
    reason: "case 4711"
  },
  { _tag: "StoreAdministered", what: "hold", session: "01ARZ3NDEKTSV4RRFFQ69G5FAV", detail: "é" },
  { _tag: "SecretsRedacted", what: "input", rules: [{ rule: "text", matches: 2 }], bytes: 18, events: 1 }
]

const plain = (event: SessionEvent) =>
  JSON.stringify(event, (_, value) =>
    value instanceof Uint8Array || value?.type === "Buffer" ? Buffer.from(value.data ?? value).toString("hex") : value
  )

const collect = <E>(stream: Stream.Stream<JournalEntry, E>) => Effect.map(Stream.runCollect(stream), (all) => [...all])
const key = (text: string) => Buffer.from(text)

/** `layer` gives a fresh, empty journal each time it is built. */
export const journalContract = (name: string, layer: () => Layer.Layer<Journal, unknown>) =>
  describe(`journal contract: ${name}`, () => {
    const live = (title: string, effect: Effect.Effect<void, unknown, Journal>) =>
      it.live(title, () => effect.pipe(Effect.provide(layer()), Effect.orDie))

    live(
      "gives back every kind of event as it was appended",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        const events = sampleEvents.map((event, index) => ({
          event,
          actor: "tester",
          commandId: index % 2 ? `c${index}` : undefined,
          timeMicros: 1_700_000_000_123_456 + index
        }))
        const appended = yield* journal.append(stream, events)
        assert.deepStrictEqual(appended, { first: 1, last: events.length })
        const read = yield* collect(journal.read(stream))
        assert.deepStrictEqual(
          read.map((e) => plain(e.event)),
          sampleEvents.map(plain)
        )
        assert.deepStrictEqual(
          read.map((e) => [e.sequence, e.actor, e.commandId, e.timeMicros]),
          events.map((e, i) => [i + 1, e.actor, e.commandId, e.timeMicros])
        )
      })
    )

    live(
      "D27: concurrent appends get dense sequences, each once",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        const results = yield* Effect.forEach(
          Array.from({ length: 200 }, (_, i) => i),
          (i) => journal.append(stream, [marker(`m${i}`), marker(`n${i}`)]),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          results.flatMap((r) => [r.first, r.last]).sort((a, b) => a - b),
          Array.from({ length: 400 }, (_, i) => i + 1)
        )
        const read = yield* collect(journal.read(stream))
        assert.deepStrictEqual(
          read.map((e) => e.sequence),
          Array.from({ length: 400 }, (_, i) => i + 1)
        )
        for (const { first } of results) {
          const [a, b] = [read[first - 1]!.event, read[first]!.event]
          assert.isTrue(a._tag === "MarkerSet" && b._tag === "MarkerSet" && a.label.slice(1) === b.label.slice(1))
        }
      })
    )

    live(
      "refuses an append whose expected head is not the head, and stores nothing of it",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* journal.append(stream, [marker("a")], { expected: 0 })
        const error = yield* Effect.flip(
          journal.append(stream, [marker("b")], { expected: 0, rows: [{ space: "t", key: key("k"), value: key("v") }] })
        )
        assert.deepInclude({ ...error }, { _tag: "SequenceConflict", expected: 0, actual: 1 })
        assert.strictEqual(yield* journal.head(stream), 1)
        assert.isUndefined(yield* journal.row("t", key("k")))
      })
    )

    live(
      "refuses what could not be read back: oversized, wrong fields, odd labels, nothing",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        const refusals: ReadonlyArray<ReadonlyArray<NewEvent>> = [
          [outputEvent("x".repeat(70_000))],
          [{ ...marker("a"), actor: "é" }],
          [{ ...marker("a"), commandId: "x".repeat(65) }],
          [{ ...marker("a"), timeMicros: Number.NaN }],
          [{ ...marker("a"), event: { _tag: "Resized", size: { cols: 0, rows: 1 } } }],
          [marker("fine"), { ...marker("a"), event: { _tag: "MarkerSet", label: 3 } as never }],
          []
        ]
        for (const events of refusals) {
          assert.strictEqual((yield* Effect.flip(journal.append(stream, events)))._tag, "EventRefused")
        }
        assert.strictEqual(yield* journal.head(stream), 0)
      })
    )

    live(
      "reads are exclusive after, inclusive until, and page through more than a page",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        const other = newSessionId()
        const count = PAGE_EVENTS_MAX * 2 + 7
        yield* journal.append(
          stream,
          Array.from({ length: count }, (_, i) => marker(`${i + 1}`))
        )
        yield* journal.append(other, [marker("other")])
        assert.deepStrictEqual(
          (yield* collect(journal.read(stream))).map((e) => e.sequence),
          Array.from({ length: count }, (_, i) => i + 1)
        )
        assert.deepStrictEqual(
          (yield* collect(journal.read(stream, { after: 3, until: 6 }))).map((e) => e.sequence),
          [4, 5, 6]
        )
        assert.deepStrictEqual(yield* collect(journal.read(stream, { after: count })), [])
        assert.deepStrictEqual(yield* collect(journal.read(stream, { after: count + 50 })), [])
        assert.deepStrictEqual(yield* collect(journal.read(newSessionId())), [])
        const back = yield* collect(journal.readBackwards(stream))
        assert.deepStrictEqual(
          back.map((e) => e.sequence),
          Array.from({ length: count }, (_, i) => count - i)
        )
        assert.deepStrictEqual(
          (yield* collect(journal.readBackwards(stream, { before: 4 }))).map((e) => e.sequence),
          [3, 2, 1]
        )
        assert.deepStrictEqual((yield* collect(journal.readBackwards(stream, { before: 1 }))).length, 0)
      })
    )

    live(
      "a page is bounded in bytes",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        const big = "x".repeat(60_000)
        for (let i = 0; i < 20; i++) yield* journal.append(stream, [outputEvent(big, i * big.length)])
        const chunks = yield* Stream.runCollect(Stream.chunks(journal.read(stream)))
        assert.isTrue([...chunks].every((chunk) => chunk.length <= 6))
        assert.strictEqual([...chunks].flat().length, 20)
      })
    )

    live(
      "lists the streams in id order, without the rows",
      Effect.gen(function* () {
        const journal = yield* Journal
        const ids = Array.from({ length: 30 }, newSessionId)
        for (const id of [...ids].reverse())
          yield* journal.append(id, [marker("a"), marker("b")], {
            rows: [{ space: "t", key: key(id), value: key("v") }]
          })
        assert.deepStrictEqual([...(yield* Stream.runCollect(journal.streams()))], ids)
        assert.deepStrictEqual([...(yield* Stream.runCollect(journal.streams(ids[9])))], ids.slice(10))
      })
    )

    live(
      "tells the writer of rows which sequence its events have, in the order in which batches become durable",
      Effect.gen(function* () {
        const journal = yield* Journal
        const streams = Array.from({ length: 8 }, newSessionId)
        let given = 0
        const durable: Array<number> = []
        yield* Effect.forEach(
          streams.flatMap((stream) => [stream, stream, stream]),
          (stream, i) => {
            let place = 0
            const rows = (first: number) => {
              place = ++given
              return [{ space: "t", key: key(String(place).padStart(5, "0")), value: key(`${stream} ${first}`) }]
            }
            // Some of the heads are known when it is called, and some are not.
            const ahead = i % 3 === 1 ? Effect.asVoid(journal.head(stream)) : Effect.void
            return Effect.andThen(ahead, journal.append(stream, [marker("a"), marker("b")], { rows })).pipe(
              Effect.map(() => durable.push(place))
            )
          },
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          durable,
          Array.from({ length: 24 }, (_, i) => i + 1)
        )
        const rows = yield* Stream.runCollect(journal.rows("t"))
        const told = rows.map(({ value }) => Buffer.from(value).toString())
        assert.lengthOf(told, 24)
        for (const stream of streams) {
          assert.deepStrictEqual(
            told.filter((text) => text.startsWith(stream)),
            [1, 3, 5].map((first) => `${stream} ${first}`)
          )
        }
        // Refused, it writes no row.
        const expected = 99
        const rows2 = () => [{ space: "t2", key: key("k"), value: key("v") }]
        yield* Effect.flip(journal.append(streams[0]!, [marker("c")], { expected, rows: rows2 }))
        assert.lengthOf(yield* Stream.runCollect(journal.rows("t2")), 0)
      })
    )

    live(
      "does not write rows made of a head that its stream has left, not even behind events that are still on their way",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        const row = (value: string) => ({ space: "t", key: key("k"), value: key(value) })
        const written = Effect.map(journal.row("t", key("k")), (found) => found && Buffer.from(found.value).toString())
        yield* journal.append(stream, [marker("one")], { rows: [row("1")] })
        yield* journal.putRows([row("1 again")], { stream, head: 1 })
        assert.strictEqual(yield* written, "1 again")
        const appending = yield* Effect.forkChild(journal.append(stream, [marker("two")], { rows: [row("2")] }))
        yield* Effect.yieldNow
        yield* journal.putRows([row("1 late")], { stream, head: 1 })
        yield* Fiber.join(appending)
        yield* journal.putRows([row("1 later")], { stream, head: 1 })
        assert.strictEqual(yield* written, "2")
      })
    )

    live(
      "keeps rows apart from events and from other spaces, in key order, both ways",
      Effect.gen(function* () {
        const journal = yield* Journal
        const keys = Array.from({ length: 2500 }, (_, i) => String(i).padStart(5, "0"))
        yield* journal.putRows(keys.map((k) => ({ space: "t", key: key(k), value: key(`v${k}`) })))
        yield* journal.putRows([
          { space: "t2", key: key("zz"), value: key("other") },
          { space: "s", key: key("zz"), value: key("other") }
        ])
        const rows = (range?: Parameters<typeof journal.rows>[1]) =>
          Effect.map(Stream.runCollect(journal.rows("t", range)), (all) =>
            [...all].map((r) => Buffer.from(r.key).toString())
          )
        assert.deepStrictEqual(yield* rows(), keys)
        assert.deepStrictEqual(yield* rows({ reverse: true }), [...keys].reverse())
        assert.deepStrictEqual(yield* rows({ from: key("00003"), to: key("00005") }), ["00003", "00004", "00005"])
        assert.deepStrictEqual(yield* rows({ to: key("00005"), reverse: true, limit: 2 }), ["00005", "00004"])
        assert.strictEqual(Buffer.from((yield* journal.row("t", key("00007")))!.value).toString(), "v00007")
        assert.isUndefined(yield* journal.row("t", key("missing")))
        yield* journal.deleteRows("t", key("00001"), key("02400"))
        assert.deepStrictEqual(yield* rows(), ["00000", ...keys.slice(2401)])
        assert.isDefined(yield* journal.row("t2", key("zz")))
      })
    )

    live(
      "follow gives history, then Synced once, then what is appended, with no gap and no repeat",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* journal.append(
          stream,
          Array.from({ length: 10 }, (_, i) => marker(`${i}`))
        )
        const synced = yield* Deferred.make<void>()
        const seen: Array<FollowItem> = []
        const reader = yield* journal.follow(stream, 4).pipe(
          Stream.tap((item) => {
            seen.push(item)
            return item._tag === "Synced" ? Deferred.succeed(synced, undefined) : Effect.void
          }),
          Stream.takeUntil((item) => item._tag === "Page" && item.entries.some((e) => e.sequence === 2010)),
          Stream.runDrain,
          Effect.forkChild
        )
        yield* Deferred.await(synced)
        yield* Effect.forEach(
          Array.from({ length: 2000 }, (_, i) => i),
          (i) => journal.append(stream, [outputEvent("x".repeat(i % 700), i)]),
          { concurrency: 50 }
        )
        yield* Fiber.join(reader)
        const sequences = seen.flatMap((item) => (item._tag === "Page" ? item.entries.map((e) => e.sequence) : []))
        assert.deepStrictEqual(
          sequences,
          Array.from({ length: 2006 }, (_, i) => i + 5)
        )
        assert.deepStrictEqual(
          seen.filter((item) => item._tag === "Synced"),
          [{ _tag: "Synced", sequence: 10 }]
        )
      })
    )

    live(
      "a follower that stops reading holds little memory, delays nobody, and then gets everything",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* journal.append(stream, [marker("a")])
        const gate = yield* Deferred.make<void>()
        const synced = yield* Deferred.make<void>()
        const seen: Array<number> = []
        const reader = yield* journal.follow(stream, 0).pipe(
          Stream.tap((item) =>
            item._tag === "Synced"
              ? Effect.andThen(Deferred.succeed(synced, undefined), Deferred.await(gate))
              : Effect.sync(() => void seen.push(...item.entries.map((e) => e.sequence)))
          ),
          Stream.takeUntil(() => seen.at(-1) === 101),
          Stream.runDrain,
          Effect.forkChild
        )
        yield* Deferred.await(synced)
        const big = "y".repeat(60_000)
        for (let i = 0; i < 100; i++) yield* journal.append(stream, [outputEvent(big, i * big.length)])
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(reader)
        assert.deepStrictEqual(
          seen,
          Array.from({ length: 101 }, (_, i) => i + 1)
        )
      })
    )

    live(
      "the hot path keeps its order with ordinary appends and reports each write",
      Effect.gen(function* () {
        const journal = yield* Journal
        const stream = newSessionId()
        yield* journal.append(stream, [marker("first")])
        const written: Array<number> = []
        const scratch = Buffer.alloc(1)
        const last = yield* Effect.callback<number>((resume) => {
          for (let i = 0; i < 100; i++) {
            scratch[0] = i // the bytes may be used again at once
            const sequence = journal.hot.appendOutput(stream, "tty", 0, i, [scratch], 1, (error) => {
              assert.isUndefined(error)
              written.push(sequence)
              if (written.length === 100) resume(Effect.succeed(sequence))
            })
          }
        })
        assert.strictEqual(last, 101)
        yield* journal.append(stream, [marker("last")], { expected: 101 })
        const read = yield* collect(journal.read(stream, { after: 1, until: 101 }))
        assert.deepStrictEqual(
          read.map((e) => (e.event._tag === "OutputReceived" ? [e.event.offset, e.event.data[0]] : [])),
          Array.from({ length: 100 }, (_, i) => [i, i])
        )
      })
    )

    live(
      "verify counts what is there and finds nothing wrong with it",
      Effect.gen(function* () {
        const journal = yield* Journal
        for (let i = 0; i < 5; i++)
          yield* journal.append(
            newSessionId(),
            sampleEvents.map((event) => ({ event, actor: "a", timeMicros: 1 }))
          )
        assert.deepStrictEqual(yield* journal.verify, { streams: 5, events: 5 * sampleEvents.length, damages: [] })
      })
    )
  })
