/**
 * Attaching to what a journal says and nothing else: its events are written here one by one, so that every order of them can
 * be tried. The history of a session is no ring: nothing is ever dropped, so the peers' cases about a ring of 5, 10 or 1,024
 * places (G1, G2, G6) ask here that all is there, and a gap is told only where the journal says that something is missing.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import { Attach, type AttachItem, type AttachOptions, History, Journal, Reprise } from "../../src/index.ts"
import { makeAttach } from "../../src/session/AttachEngine.ts"
import { Clients } from "../../src/session/Clients.ts"
import { newSessionId } from "../contracts/JournalContract.ts"

const CREATED: SessionEvent = {
  _tag: "SessionCreated",
  argv: ["sh"],
  cwd: "/",
  envNames: [],
  size: { cols: 100, rows: 30 },
  term: "xterm",
  owner: "nobody",
  kind: "exec",
  language: "bash"
}
const started = (pid: number): SessionEvent => ({ _tag: "ProcessStarted", pid, startTime: "1", keeper: "" })
const closed = (exitCode: number | null): SessionEvent => ({
  _tag: "SessionClosed",
  exitCode,
  signal: null,
  reason: "exited",
  survivors: []
})
const exited = (exitCode: number): SessionEvent => ({ _tag: "LeaderExited", exitCode, signal: null })
const lost: SessionEvent = { _tag: "SessionLost", reason: "its keeper is gone" }
const output = (
  offset: number,
  text: string,
  channel: "tty" | "stdout" | "stderr" = "tty",
  exec = 0
): SessionEvent => ({
  _tag: "OutputReceived",
  channel,
  exec,
  offset,
  data: Buffer.from(text)
})

const append = (session: SessionId, ...events: ReadonlyArray<SessionEvent>) =>
  Effect.flatMap(Journal, (journal) =>
    journal.append(
      session,
      events.map((event) => ({ event, actor: "test", timeMicros: 1 }))
    )
  )

const written = (...events: ReadonlyArray<SessionEvent>) =>
  Effect.gen(function* () {
    const session = newSessionId()
    yield* append(session, CREATED, started(7), ...events)
    return session
  })

const items = (session: SessionId, options: AttachOptions = { after: 0 }) =>
  Effect.flatMap(Attach, (attach) => Stream.runCollect(attach.attach(session, options)))

const rest = (all: ReadonlyArray<AttachItem>) =>
  all.filter(({ _tag }) => _tag !== "Attached" && _tag !== "ReplayComplete").map((item) => ({ ...item }))

const text = (all: ReadonlyArray<AttachItem>) =>
  Buffer.concat(all.flatMap((item) => (item._tag === "Output" ? [item.data] : []))).toString()

const memory = (title: string, test: Effect.Effect<void, unknown, Attach | History | Journal>) =>
  it.live(title, () => test.pipe(Effect.provide(Reprise.layerMemory)))

describe("attaching to a history", () => {
  memory(
    "G1 G2 G6: every range is there, whatever its length; what is out of range is empty",
    Effect.gen(function* () {
      const history = yield* History
      const id = yield* written(...Array.from({ length: 2000 }, (_, i) => output(i, "x")), exited(0), closed(0))
      const range = (from: number, to: number) =>
        Effect.map(Stream.runCollect(history.events(id, { after: from - 1, until: to })), (events) => events.length)
      // The peers' ranges are inclusive at both ends; `after` is not.
      for (const [from, to, count] of [
        [1, 10, 10],
        [3, 7, 5],
        [5, 5, 1],
        [1, 2004, 2004],
        [2005, 2010, 0],
        [2000, 2010, 5]
      ] as const) {
        assert.strictEqual(yield* range(from, to), count)
      }
      assert.lengthOf(text(yield* items(id)), 2000)
      assert.lengthOf(text(yield* items(id, { after: 1002 })), 1000)
      assert.isFalse((yield* items(id)).some(({ _tag }) => _tag === "Missing"))
    })
  )

  memory(
    "G3: streams come merged in the order of their sequence, each piece with its channel and command",
    Effect.gen(function* () {
      const id = yield* written(
        output(0, "a", "stdout", 1),
        output(0, "b", "stderr", 1),
        output(1, "c", "stdout", 1),
        output(2, "d", "stdout", 1),
        output(0, "e"),
        // The next command's bytes begin at 0 again, and are never joined to those before.
        output(0, "f", "stdout", 2),
        output(3, "g", "stdout", 1),
        closed(0)
      )
      const pieces = (yield* items(id)).flatMap((item) =>
        item._tag === "Output"
          ? [[Buffer.from(item.data).toString(), item.channel, item.exec, item.offset, item.sequence]]
          : []
      )
      assert.deepStrictEqual(pieces, [
        ["a", "stdout", 1, 0, 3],
        ["b", "stderr", 1, 0, 4],
        ["cd", "stdout", 1, 1, 6],
        ["e", undefined, undefined, 0, 7],
        ["f", "stdout", 2, 0, 8],
        ["g", "stdout", 1, 3, 9]
      ])
    })
  )

  memory(
    "G4 G5 G8: nothing is no event; 20 writers x 100 give 2,000 numbers without a gap; what a writer does with its bytes afterwards changes nothing",
    Effect.gen(function* () {
      const journal = yield* Journal
      const history = yield* History
      const id = newSessionId()
      assert.strictEqual((yield* Effect.flip(journal.append(id, [])))._tag, "EventRefused")
      assert.strictEqual(yield* journal.head(id), 0)
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (writer) =>
          Effect.forEach(
            Array.from({ length: 100 }, (_, i) => i),
            (i) =>
              Effect.gen(function* () {
                const data = Buffer.from(`${writer}.${i} `)
                yield* append(id, { _tag: "OutputReceived", channel: "tty", exec: 0, offset: 0, data })
                data.fill(0)
              })
          ),
        { concurrency: "unbounded" }
      )
      const events = yield* Stream.runCollect(history.events(id))
      assert.deepStrictEqual(
        events.map(({ sequence }) => sequence),
        Array.from({ length: 2000 }, (_, i) => i + 1)
      )
      const texts = events.map(({ event }) =>
        event._tag === "OutputReceived" ? Buffer.from(event.data).toString() : ""
      )
      assert.lengthOf(new Set(texts), 2000)
      for (let writer = 0; writer < 20; writer++) {
        assert.deepStrictEqual(
          texts.filter((one) => one.startsWith(`${writer}.`)),
          Array.from({ length: 100 }, (_, i) => `${writer}.${i} `)
        )
      }
    })
  )

  // There is no clear. What comes nearest is a session whose shell was lost and brought back: its numbers go on.
  memory(
    "G7: a session that was lost and has a new process goes on in its numbers; who reads it is told what cannot be known, and gets one end",
    Effect.gen(function* () {
      const id = yield* written(output(0, "before"), lost)
      assert.deepStrictEqual(rest(yield* items(id)).at(-1), {
        _tag: "Ended",
        reason: "lost",
        exitCode: null,
        signal: null,
        detail: "its keeper is gone",
        sequence: 4
      })
      yield* append(id, started(8), output(6, "after"), exited(2), closed(2))
      const all = rest(yield* items(id))
      assert.deepStrictEqual(
        all.map((item) => [item._tag, "sequence" in item && item.sequence]),
        [
          ["Output", 3],
          ["Missing", 5],
          ["Output", 6],
          ["Exited", 7],
          ["Ended", 8]
        ]
      )
      assert.deepInclude(all[1], { from: 6, to: null, why: "the session was lost: its keeper is gone" })
      assert.deepInclude(all[4], { reason: "exited", exitCode: 2 })
      for (let after = 0; after <= 8; after++) {
        const ends = (yield* items(id, { after })).filter(({ _tag }) => _tag === "Ended")
        assert.deepStrictEqual(
          ends.map((item) => item._tag === "Ended" && item.exitCode),
          [2]
        )
      }
    })
  )

  memory(
    "a keeper that is found after all has lost nothing, and nothing is said to be missing",
    Effect.gen(function* () {
      const id = yield* written(
        output(0, "a"),
        lost,
        { _tag: "SessionInterrupted", reason: "again" },
        { _tag: "SessionResumed", keeper: "", outputOffset: 1, gapBytes: 0 },
        output(1, "b"),
        exited(0),
        closed(0)
      )
      const all = yield* items(id)
      assert.strictEqual(text(all), "ab")
      assert.deepStrictEqual(
        rest(all).map(({ _tag }) => _tag),
        ["Output", "Exited", "Ended"]
      )
    })
  )

  memory(
    "G29: a gap is told for the range that is truly missing, also among thousands of pieces of another stream",
    Effect.gen(function* () {
      const gap: SessionEvent = { _tag: "GapDetected", what: "output", from: 2000, to: 2500, why: "not held any more" }
      const id = yield* written(
        output(0, "e", "stderr", 1),
        ...Array.from({ length: 2000 }, (_, i) => output(i, "x")),
        gap,
        { ...gap, what: "input", why: "input is none of its readers' business" },
        output(2500, "y"),
        closed(0)
      )
      const all = yield* items(id)
      assert.deepStrictEqual(
        all.filter(({ _tag }) => _tag === "Missing"),
        [{ _tag: "Missing", from: 2000, to: 2500, why: "not held any more", sequence: 2004 }]
      )
      assert.lengthOf(text(all), 2002)
      // Behind it nothing is missing.
      assert.isFalse((yield* items(id, { after: 2004 })).some(({ _tag }) => _tag === "Missing"))
    })
  )

  memory(
    "G21: told twice that the program ended, the first code stands",
    Effect.gen(function* () {
      const id = yield* written(output(0, "x"), exited(3), exited(0), closed(3))
      for (const after of [0, 3, 5, 6]) {
        assert.deepInclude((yield* items(id, { after })).at(-1), { _tag: "Ended", exitCode: 3 })
      }
    })
  )

  memory(
    "the code of a program that ended before its session was lost is told with the end, wherever the reader began",
    Effect.gen(function* () {
      const id = yield* written(output(0, "x"), exited(4), lost)
      for (let after = 0; after <= 5; after++) {
        const all = yield* items(id, { after })
        assert.lengthOf(
          all.filter(({ _tag }) => _tag === "Ended"),
          1
        )
        assert.deepInclude(all.at(-1), { _tag: "Ended", reason: "lost", exitCode: 4, detail: "its keeper is gone" })
      }
    })
  )

  memory(
    "an end is an end, whatever a broken engine appended behind it",
    Effect.gen(function* () {
      const id = yield* written(output(0, "x"), exited(4), closed(4), output(1, "late"), {
        _tag: "CwdChanged",
        cwd: "/",
        source: "proc"
      })
      const other = yield* written(output(0, "x"), exited(4), lost, { _tag: "CwdChanged", cwd: "/", source: "proc" })
      for (const session of [id, other]) {
        const head = yield* Effect.flatMap(Journal, (journal) => journal.head(session))
        for (let after = 0; after <= head; after++) {
          const all = yield* items(session, { after })
          assert.lengthOf(
            all.filter(({ _tag }) => _tag === "Ended"),
            1
          )
          assert.deepInclude(all.at(-1), { _tag: "Ended", exitCode: 4 })
        }
      }
    })
  )

  memory(
    "a session that never started ends too, and one that is replayed from its beginning begins with the size it had then",
    Effect.gen(function* () {
      const id = newSessionId()
      yield* append(id, CREATED, { ...closed(null), reason: "failed" } as SessionEvent)
      const all = yield* items(id, {})
      assert.deepStrictEqual(
        all.map(({ _tag }) => _tag),
        ["Attached", "Screen", "ReplayComplete", "Ended"]
      )
      assert.deepInclude(all[1], { size: { cols: 100, rows: 30 } })
      assert.deepInclude(all.at(-1), { reason: "failed", exitCode: null })
    })
  )

  memory(
    "a window that cannot be fitted, because the storage is away, is only drawn for",
    Effect.gen(function* () {
      const history = yield* History
      const id = yield* written(output(0, "x"), closed(0))
      const { attach } = makeAttach({
        history,
        engine: {
          clients: new Clients({
            monotonicMillis: () => 1,
            clientsMax: 1,
            isLive: () => false,
            journal: async () => false
          }),
          live: () => undefined,
          resize: () => Promise.reject(new StorageUnavailable({ operation: "read", reason: "away", diskFull: false })),
          defect: () => {}
        }
      })
      const all = yield* Stream.runCollect(attach(id, { size: { cols: 40, rows: 10 } }))
      assert.deepInclude(all[0], { _tag: "Attached", size: { cols: 100, rows: 30 } })
      assert.strictEqual(all.at(-1)?._tag, "Ended")
    })
  )
})
