/** Redactions of real sessions: by the engine that runs them, and of what is left when it has stopped. */
import { createHash } from "node:crypto"
import { rmSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { keptRows } from "../../projections/DerivedRows.ts"
import { backup } from "../../src/care/Backup.ts"
import * as RetentionLocal from "../../src/erasure/RetentionLocal.ts"
import { redactSession } from "../../src/erasure/redactSession.ts"
import { Exec, History, Journal, Lifecycle, Redaction, Retention, Sessions } from "../../src/index.ts"
import { everythingRule, REDACT_RULES, textRule } from "../../src/redact/RedactRule.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { verified } from "../evidence/sealedStores.ts"
import { filesHolding } from "../redact/storeHolds.ts"
import { eventsOf, idOf, testStore, textOf, type, until, untilEnd } from "./sessionsUnderTest.ts"

const KEY = "AKIAIOSFODNN7EXAMPLE"
const MASKED = "*".repeat(KEY.length)
const PARTS = [KEY, KEY.slice(0, 12), KEY.slice(8)]

const rules = { rules: REDACT_RULES, reason: "case 4711", isDryRun: false }
const all = (session: SessionId) =>
  History.use((history) => Effect.map(Stream.runCollect(history.events(session)), (found) => [...found]))
const assertGone = (folder: string, texts: ReadonlyArray<string> = PARTS) => {
  for (const text of texts) assert.deepStrictEqual(filesHolding(folder, text), [], text)
}
/** Everything but what holds a payload. */
const labels = (entries: ReadonlyArray<JournalEntry>) =>
  entries.map(({ actor, commandId, event, sequence, timeMicros }) => [
    sequence,
    timeMicros,
    actor,
    commandId,
    event._tag,
    "data" in event ? event.data.byteLength : 0
  ])

describe("a redaction", () => {
  it.live(
    "10.7 (5) (6): of a session that runs: nothing moves, an event tells it, no file holds the key, and it goes on",
    () =>
      Effect.gen(function* () {
        const store = yield* testStore
        const id = yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const history = yield* History
          const script = `stty -echo; printf '\\033]0;key ${KEY}\\007AKIA\\033[31mIOSF'; sleep 0.1; echo 'ODNN7EXAMPLE'; i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo "line $i ${KEY}"; done; echo ready; stty echo; read x; echo "got $x"; read y; echo "then $y"`
          const id = idOf(
            yield* sessions.create({ argv: ["sh", "-c", script], name: `with ${KEY}`, env: { [KEY]: "1" } })
          )
          yield* until(id, "ready")
          yield* type(id, `${KEY}\n`)
          // With the end of its line: nothing is printed any more until it is typed into again.
          yield* until(id, /got \S+\r\n/)
          const followed = yield* history.follow(id, 0).pipe(
            Stream.takeUntil(
              (item) => item._tag === "Page" && item.entries.some(({ event }) => event._tag === "SessionClosed")
            ),
            Stream.runCollect,
            Effect.forkChild({ startImmediately: true })
          )
          yield* history.stateAt(id, { _tag: "Head" })
          const before = yield* all(id)
          assert.isNotEmpty(filesHolding(store.paths.store, KEY))
          const screenBefore = (yield* history.stateAt(id, { _tag: "Head" })).screen
          const dry = yield* redactSession(id, { ...rules, isDryRun: true })
          assert.strictEqual((yield* all(id)).length, before.length)
          const done = yield* redactSession(id, rules)
          assert.deepStrictEqual(done.events, dry.events)
          assert.deepStrictEqual(done.left, [])
          assertGone(store.paths.store)

          const after = yield* all(id)
          assert.deepStrictEqual(labels(after.slice(0, before.length)), labels(before))
          const { actor, event } = after[before.length]!
          assert(event._tag === "PayloadsRedacted")
          assert.strictEqual(actor, "engine")
          assert.deepInclude(event, { from: 1, reason: "case 4711" })
          assert.isAtLeast(event.rules.find(({ rule }) => rule === "aws-access-key")!.matches, 400)
          assert.deepStrictEqual(
            event.events.map(({ sequence }) => sequence),
            done.events
          )
          const output = eventsOf(after, "OutputReceived")
          assert.include(textOf(after), `\x1b]0;key ${MASKED}\x07****\x1b[31m****`)
          assert.include(textOf(after), `line 400 ${MASKED}\r\n`)
          for (const told of event.events) {
            const { event: redacted } = after[told.sequence - 1]!
            if (redacted._tag === "InputWritten") {
              assert.strictEqual(told.replacement, createHash("sha256").update(redacted.data).digest("hex"))
              assert.deepStrictEqual(told.ranges, [[0, KEY.length]])
            }
          }
          assert.isAbove(output.length, 0)
          // The cursor and every cell that is not the key's.
          const { screen, view } = yield* history.stateAt(id, { _tag: "Head" })
          assert.deepStrictEqual(screen.cursor, screenBefore.cursor)
          assert.deepStrictEqual(
            screen.lines,
            screenBefore.lines.map((line) => line.replaceAll(KEY, MASKED))
          )
          assert.strictEqual(view.name, `with ${MASKED}`)
          assert.notInclude(JSON.stringify(yield* history.list), KEY)
          assert.notInclude(JSON.stringify(yield* (yield* Lifecycle).live), KEY)
          // A second time there is nothing to find.
          assert.deepStrictEqual((yield* redactSession(id, rules)).events, [])

          yield* type(id, "more\n")
          assert.include(textOf(yield* untilEnd(id)), "then more")
          const items = [...(yield* Fiber.join(followed))].flatMap((item) =>
            item._tag === "Page" ? [...item.entries] : []
          )
          assert.deepStrictEqual(
            items.map(({ sequence }) => sequence),
            items.map((_, index) => index + 1)
          )
          return id
        }).pipe(Effect.provide(store.layer()))
        // What the engine has written at its end, and what is made of it later.
        assertGone(store.paths.store)
        const target = `${store.paths.store}-backup`
        yield* Effect.promise(() => backup(store.paths, target, { nowMicros: 1 }))
        assertGone(target)
        rmSync(target, { recursive: true })
        yield* Effect.gen(function* () {
          const journal = yield* Journal
          assert.deepStrictEqual((yield* journal.verify).damages, [])
          assert.deepStrictEqual([...(yield* journal.redaction.unfinished)], [])
          assert.strictEqual((yield* (yield* History).get(id)).name, `with ${MASKED}`)
        }).pipe(Effect.provide(local(store.paths.journal, store.paths)))
      })
  )

  it.live("10.7 (4): of a shell: its commands, their input, variables, functions, and what runs then", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      yield* Effect.gen(function* () {
        const exec = yield* Exec
        const { id } = yield* exec.start({ language: "bash" })
        const session = id as SessionId
        yield* exec.exec(session, {
          code: `export PLAIN=${KEY}; f() { echo ${KEY}; }; f; cat`,
          stdin: { _tag: "Bytes", data: Buffer.from(`in ${KEY}`) }
        })
        assert.isNotEmpty(filesHolding(store.paths.store, KEY))
        const done = yield* redactSession(session, rules)
        assert.isAbove(done.events.length, 2)
        assertGone(store.paths.journal)
        assert.notInclude(JSON.stringify(yield* exec.history(session)), KEY)
        const result = yield* exec.exec(session, { code: 'printf %s "$PLAIN" | wc -c' })
        assert.strictEqual(Buffer.from(result.stdout).toString().trim(), "20")
        yield* exec.end(session)
      }).pipe(Effect.provide(store.layer()))
      assertGone(store.paths.journal)
    })
  )

  it.live("without an engine, of a session that is held, of whole events, and of a beginning that was removed", () =>
    Effect.gen(function* () {
      const store = yield* testStore
      const id = yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        const id = idOf(
          yield* sessions.create({
            argv: ["sh", "-c", `i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo "$i hunter2x"; sleep 0.01; done`]
          })
        )
        yield* untilEnd(id)
        return id
      }).pipe(Effect.provide(store.layer()))
      yield* Effect.gen(function* () {
        const retention = yield* Retention
        yield* retention.hold(id, "court")
        const text = { rules: [textRule("hunter2x")], texts: ["hunter2x"], reason: "", isDryRun: false }
        const refused = yield* Effect.flip(redactSession(id, text))
        assert.include(refused.message, "held (court)")
        assert.isNotEmpty(filesHolding(store.paths.journal, "hunter2x"))
        yield* retention.release(id)
        const head = (yield* (yield* History).get(id)).sequence
        yield* retention.prune({ sessions: [id], policy: { session: { maxEvents: 12 }, store: {} } })
        const done = yield* redactSession(id, text)
        assert.isAbove(done.events.length, 0)
        assert.isTrue(done.events.every((sequence) => sequence > head - 12))
        const lines = (yield* all(id)).filter(({ event }) => event._tag === "OutputReceived")
        const last = lines[lines.length - 1]!.sequence
        yield* redactSession(id, {
          rules: [everythingRule],
          range: { from: last, to: last },
          reason: "",
          isDryRun: false
        })
        const entries = yield* all(id)
        assert.match(textOf(entries.filter(({ sequence }) => sequence === last)), /^[*\s]+$/)
        assert.strictEqual(entries[entries.length - 1]!.event._tag, "PayloadsRedacted")
        assert.strictEqual((yield* (yield* History).get(id)).status, "exited")
      }).pipe(Effect.provide(local(store.paths.journal, store.paths)))
      assertGone(store.paths.journal, ["hunter2x"])
    })
  )
})

describe("what is kept of removed events", () => {
  const SECRET = "hunter2secret"
  const text = (value: string, isDryRun = false) => ({
    rules: [textRule(value)],
    texts: [value],
    reason: "",
    isDryRun
  })
  /** Of a session that printed the secret and has ended, `use` with no engine; nothing of it is removed yet. */
  const ended = <A, E>(
    use: (id: SessionId) => Effect.Effect<A, E, Journal | History | Retention | Redaction | Sessions>
  ) =>
    Effect.gen(function* () {
      const store = yield* testStore
      const id = yield* Effect.gen(function* () {
        const script = `echo "cwd status ${SECRET} 12345"; printf '\\033]0;title ${SECRET}\\007'; for i in 1 2 3 4 5 6; do echo line $i ${SECRET}; sleep 0.02; done`
        const id = idOf(yield* (yield* Sessions).create({ argv: ["sh", "-c", script], name: "d" }))
        yield* untilEnd(id)
        return id
      }).pipe(Effect.provide(store.layer()))
      yield* (use(id) as Effect.Effect<A, E, Journal | History | Retention | Redaction>).pipe(
        Effect.provide(local(store.paths.journal, store.paths))
      )
      return store
    })
  const prune = (id: SessionId, maxEvents: number) =>
    Retention.use((retention) =>
      retention.prune({ sessions: [id], policy: { session: { maxEvents }, store: {} } })
    ).pipe(Effect.map(({ items }) => assert.strictEqual(items[0]?.outcome, "removed")))
  const toldOf = (entries: ReadonlyArray<JournalEntry>) => eventsOf(entries, "PayloadsRedacted").at(-1)

  it.live("loses the text and nothing else, on its screen too, and is counted, also beforehand", () =>
    Effect.gen(function* () {
      const store = yield* ended(
        Effect.fnUntraced(function* (id) {
          const history = yield* History
          yield* prune(id, 3)
          const before = yield* history.get(id)
          const screenOf = Effect.map(history.stateAt(id, { _tag: "Head" }), ({ screen }) => screen)
          const screen = yield* screenOf
          assert.include(screen.lines.join(), SECRET)
          // Words of its own form, and numbers.
          for (const word of ["status", "cwd", "exited", "1"]) yield* redactSession(id, text(word))
          const { createdAt, name, status } = yield* history.get(id)
          assert.deepStrictEqual([createdAt, name, status], [before.createdAt, "d", "exited"])
          const head = (yield* history.get(id)).sequence
          const dry = yield* redactSession(id, text(SECRET, true))
          assert.strictEqual((yield* history.get(id)).sequence, head)
          assert.include((yield* screenOf).lines.join(), SECRET)
          const done = yield* redactSession(id, text(SECRET))
          // The list's line, the title, what was printed, and the screen.
          assert.deepStrictEqual([dry.keptStates, done.keptStates], [4, 4])
          assert.deepStrictEqual(done.unreadable, [])
          const hidden = "*".repeat(SECRET.length)
          assert.deepStrictEqual(
            (yield* screenOf).lines,
            screen.lines.map((line) =>
              line.replaceAll(SECRET, hidden).replace("cwd status", "*** ******").replaceAll("1", "*")
            )
          )
          assert.strictEqual((yield* history.get(id)).title, `title ${hidden}`)
          assert.isDefined(toldOf(yield* all(id))?.keptStates)
          assert.strictEqual((yield* redactSession(id, text(SECRET))).keptStates, 0)
        })
      )
      assertGone(store.paths.journal, [SECRET])
    })
  )

  it.live("is not vouched for when it is not what was told, and is told to be unreadable when it is", () =>
    Effect.gen(function* () {
      const store = yield* ended(
        Effect.fnUntraced(function* (id) {
          const journal = yield* Journal
          yield* prune(id, 3)
          const rows = yield* keptRows(id)
          const title = rows.find(({ key }) => Buffer.from(key).toString("latin1").startsWith("title|"))!
          const forged = Buffer.from(Buffer.from(title.value).toString("latin1").replace("title ", "forge "), "latin1")
          yield* journal.putRows([{ ...title, value: forged }])
          const done = yield* redactSession(id, text("line"))
          assert.isAbove(done.keptStates, 0)
          assert.isUndefined(toldOf(yield* all(id))?.keptStates)
          const broken = { ...title, value: title.value.subarray(0, 20) }
          yield* journal.putRows([broken])
          const again = yield* redactSession(id, text(SECRET))
          assert.deepStrictEqual(again.unreadable, ["title"])
          assert.isUndefined(toldOf(yield* all(id))?.keptStates)
          const left = (yield* keptRows(id)).find(({ key }) => Buffer.compare(key, title.key) === 0)!
          assert.deepStrictEqual(Buffer.from(left.value), Buffer.from(broken.value))
        })
      )
      const report = yield* Effect.promise(() => verified(store.paths))
      assert.strictEqual(report.integrity, "violated")
    })
  )

  it.live("is searched when the events were removed while they were, and not for ever", () =>
    Effect.gen(function* () {
      yield* ended(
        Effect.fnUntraced(function* (id) {
          const redaction = yield* Redaction
          const retention = yield* Retention
          let left = 9
          /** Some are removed before each request. */
          const racing = (times: number): typeof redaction => {
            let races = times
            return {
              ...redaction,
              redact: (request) =>
                races-- > 0
                  ? Effect.andThen(
                      retention.prune({
                        sessions: [id],
                        policy: { session: { maxEvents: left-- }, store: {} }
                      }),
                      redaction.redact(request)
                    )
                  : redaction.redact(request)
            }
          }
          const done = yield* redactSession(id, text(SECRET)).pipe(Effect.provideService(Redaction, racing(1)))
          assert.isAbove(done.keptStates, 0)
          assert.notInclude(textOf(yield* all(id)), SECRET)
          assert.deepStrictEqual((yield* redactSession(id, text(SECRET))).events, [])
        })
      )
      yield* ended(
        Effect.fnUntraced(function* (id) {
          const redaction = yield* Redaction
          const retention = yield* Retention
          const head = (yield* (yield* History).get(id)).sequence
          let maxEvents = head
          const racing: typeof redaction = {
            ...redaction,
            redact: (request) =>
              Effect.andThen(
                retention.prune({ sessions: [id], policy: { session: { maxEvents: --maxEvents }, store: {} } }),
                redaction.redact({ ...request, events: [{ ...request.events[0]!, sequence: 1 }] })
              )
          }
          const refused = yield* Effect.flip(
            redactSession(id, text(SECRET)).pipe(Effect.provideService(Redaction, racing))
          )
          assert.strictEqual(refused._tag, "RemovedMeanwhile")
          assert.deepInclude(refused, { code: "ResourceExhausted" })
        })
      )
    })
  )
})

const local = (location: string, paths: Parameters<typeof RetentionLocal.layer>[0]) =>
  RetentionLocal.layer(paths).pipe(
    Layer.provideMerge(HistoryLive.layerWithScreens),
    Layer.provideMerge(JournalLevel.layer({ location }))
  )
