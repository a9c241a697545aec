/** `reprise diff`: runs written into a journal, compared. One store on a disk is asked through the command line. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { lineDiff } from "../../cli/LineDiff.ts"
import { compareRuns, differenceJson, differenceText } from "../../cli/RunDifference.ts"
import type { SessionEvent, SessionId } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { readRun } from "../../src/session/RecordedRun.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { commandFinished, commandStarted, created, output } from "../projections/events.ts"
import { makeRepriseInside } from "./reprise.ts"

const memory = HistoryLive.layer.pipe(Layer.provideMerge(JournalMemory.layer))
const write = Effect.fnUntraced(function* (events: ReadonlyArray<SessionEvent>) {
  const journal = yield* Journal
  const session = newSessionId()
  const made = events.map((event, index) => ({ event, actor: "engine", timeMicros: 1e15 + index * 1000 }))
  yield* journal.append(session, made)
  return session
})
const piece = (exec: number, channel: "stdout" | "stderr", text: string, offset = 0): SessionEvent => ({
  _tag: "OutputReceived",
  channel,
  exec,
  offset,
  data: Buffer.from(text)
})
const ended: SessionEvent = { _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] }
const shell = (text: string, exitCode = 0): ReadonlyArray<SessionEvent> => [
  created({ kind: "exec", language: "bash" }),
  commandStarted(1, "make test"),
  piece(1, "stdout", text),
  piece(1, "stderr", "warning: \x1b[31mold\x1b[m\n"),
  commandFinished(1, { exitCode, stdoutBytes: Buffer.byteLength(text), stderrBytes: 20 }),
  commandStarted(2, "make test"),
  piece(2, "stdout", `${text}more\n`),
  commandFinished(2, { exitCode: 2, stdoutBytes: Buffer.byteLength(text) + 5, durationMicros: 3_000_000 }),
  ended
]
const compare = Effect.fnUntraced(function* (
  one: readonly [SessionId, number | null],
  other: readonly [SessionId, number | null],
  key?: (line: string) => string,
  linesMax?: number
) {
  const options = { key, linesMax }
  return compareRuns(["a", "b"], [yield* readRun(...one, options), yield* readRun(...other, options)], key)
})

describe("lineDiff", () => {
  it("turns the one into the other, whatever they are", () => {
    const random = seededRandom(5)
    for (let run = 0; run < 200; run++) {
      const lines = () => Array.from({ length: random.below(30) }, () => `l${random.below(6)}`)
      const one = lines()
      const other = random.below(3) === 0 ? [...one, "new", ...lines()] : lines()
      const { added, hunks, removed } = lineDiff(one, other)
      const result: Array<string> = []
      let at = 0
      for (const hunk of hunks) {
        const begin = hunk.oldLines === 0 ? hunk.oldStart : hunk.oldStart - 1
        result.push(...one.slice(at, begin))
        assert.strictEqual(result.length, hunk.newLines === 0 ? hunk.newStart : hunk.newStart - 1, `run ${run}`)
        at = begin
        for (const line of hunk.lines) {
          if (line[0] !== "+") assert.strictEqual(one[at++], line.slice(1))
          if (line[0] !== "-") result.push(line.slice(1))
        }
      }
      result.push(...one.slice(at))
      assert.deepStrictEqual(result, other, `run ${run}`)
      assert.strictEqual(other.length - one.length, added - removed)
    }
  })

  it("ends where two are too different to be matched", () => {
    const lines = (name: string) => Array.from({ length: 4000 }, (_, index) => `${name}${index}`)
    const { added, isRough, removed } = lineDiff(lines("a"), lines("b"))
    assert.deepStrictEqual([added, removed, isRough], [4000, 4000, true])
  })
})

describe("diff", () => {
  it.live(
    "of commands of a shell for commands: streams apart, outcomes, and no difference for how long they took",
    () =>
      Effect.gen(function* () {
        const one = yield* write(shell("a\nb\nc\n"))
        const other = yield* write(shell("a\nB\nc\n"))
        const again = yield* write(shell("a\nb\nc\n"))
        assert.deepStrictEqual((yield* compare([one, 1], [again, 1])).differences, [])
        const changed = yield* compare([one, 1], [other, 1])
        assert.deepStrictEqual(changed.differences, ["output"])
        assert.strictEqual(
          differenceText(changed, false),
          "--- a stdout\n+++ b stdout\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
        )
        const longer = yield* compare([one, 1], [one, 2])
        assert.deepStrictEqual(longer.differences, ["output", "exit"])
        assert.match(
          differenceText(longer, false),
          /^exit: exited 0 -> exited 2\ntook: 0\.00s -> 3\.00s\n--- a stdout\n[^@]+@@ -1,3 \+1,4 @@\n a\n b\n c\n\+more\n--- a stderr\n[^@]+@@ -1 \+0,0 @@\n-warning: old\n$/
        )
        assert.deepStrictEqual((yield* compare([one, null], [again, null])).differences, [])
        assert.deepStrictEqual((yield* compare([one, 1], [other, 1], (line) => line.toLowerCase())).differences, [])
        assert.strictEqual((yield* Effect.flip(compare([one, 1], [one, 3])))._tag, "InvalidRequest")
      }).pipe(Effect.provide(memory))
  )

  it.live("of a shell that marks its prompt, and of sessions", () =>
    Effect.gen(function* () {
      const marked = (text: string) => [
        created({ cwd: "/x" }),
        output("\x1b]133;A\x07$ \x1b]133;B\x07make\r\n\x1b]133;C\x07one\r\n"),
        output(`\x1b[32m${text}\x1b[m\r\n\x1b]133;D;1\x07\x1b]133;A\x07$ \x1b]133;B\x07make\r\n\x1b]133;C\x07one\r\nt`),
        output("wo\r\n\x1b]133;D;0\x07"),
        ended
      ]
      const one = yield* write(marked("two"))
      const other = yield* write(marked("three"))
      const runs = yield* compare([one, 1], [one, 2])
      assert.deepStrictEqual(runs.differences, ["exit"])
      assert.strictEqual(runs.runs[0].command, "make")
      assert.strictEqual(runs.runs[0].cwd, "/x")
      assert.deepStrictEqual((yield* compare([one, 1], [other, 1])).differences, ["output"])
      const sessions = yield* compare([one, null], [other, null])
      assert.include(differenceText(sessions, false), "\n-two\n+three\n")
      const json = JSON.parse(differenceJson(sessions))
      assert.isFalse(json.equal)
      assert.deepStrictEqual([json.streams[0].removed, json.streams[0].added], [1, 1])
    }).pipe(Effect.provide(memory))
  )

  it.live("of more lines than are kept: told, and still known whether they are equal", () =>
    Effect.gen(function* () {
      const long = (end: string) => [created(), output(`${"x\n".repeat(110)}${end}\n`), ended]
      const one = yield* write(long("a"))
      const other = yield* write(long("b"))
      const difference = yield* compare([one, null], [other, null], undefined, 100)
      assert.deepStrictEqual(difference.differences, ["output"])
      assert.include(
        differenceText(difference, false),
        "11 and 11 lines at the end were not compared one by one; they differ"
      )
      assert.deepStrictEqual((yield* compare([one, null], [one, null], undefined, 100)).differences, [])
    }).pipe(Effect.provide(memory))
  )

  it.live("on the command line ends with 0, 1 or more as diff(1), and prints nothing that acts on a terminal", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      const sessions = yield* Effect.gen(function* () {
        const hostile = yield* write([created({ name: "hostile" }), output("a\u202eb\r\n"), ended])
        return [yield* write(shell("a\n")), hostile] as const
      }).pipe(
        Effect.provide(Layer.fresh(JournalLevel.layer({ location: storePaths(reprise.store).journal }))),
        Effect.scoped
      )
      const [one] = sessions
      const equal = yield* reprise.run(["diff", `${one}#1`, `${one}#1`])
      assert.deepStrictEqual([equal.code, equal.stdout.toString(), equal.stderr], [0, "", ""])
      const stat = yield* reprise.run(["diff", `${one}#1`, `${one}#2`, "--stat"])
      assert.strictEqual(stat.code, 1)
      assert.match(stat.stdout.toString(), /^exit +exited 0 +exited 2$/m)
      const shown = yield* reprise.run(["diff", "hostile", one])
      assert.strictEqual(shown.code, 1)
      assert.include(shown.stdout.toString(), "-a\\u{202e}b\n")
      assert.strictEqual((yield* reprise.run(["diff", `${one}#9`, one])).code, 64)
      assert.strictEqual((yield* reprise.run(["diff", one, one, "--ignore", "("])).code, 2)
    })
  )
})
