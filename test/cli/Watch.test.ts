/** `reprise watch` and `inspect --usage`: all sessions of a store as a table, as lines, and what they use. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isInstalled } from "../fixtures/installed.ts"
import { makeRepriseInside, type Reprise, watch } from "./reprise.ts"
import { assertSane, makeTerminals } from "./terminals.ts"

const json = (bytes: Buffer) => JSON.parse(bytes.toString())
const detached = (reprise: Reprise, name: string, ...command: ReadonlyArray<string>) =>
  Effect.map(reprise.run(["run", "--detach", "--name", name, "--", ...command]), ({ stdout }) =>
    stdout.toString().trim()
  )
/** A line is complete when it ends. */
const parse = (text: string): ReadonlyArray<{ position: number; session: string; type: string; time: string }> =>
  text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))

describe("watch", { concurrent: true, timeout: 120_000 }, () => {
  it.live("in a pipe it is a line for each change, and goes on behind any position after the engine was killed", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      const first = yield* detached(reprise, "first", "sleep", "1000")
      const watching = yield* reprise.start(["watch", "--json", "--after", "0"])
      const shows = watch(watching.stdout!)
      yield* shows("ProcessStarted")
      assert.strictEqual((yield* reprise.run(["resize", "first", "100x30"])).code, 0)
      yield* shows(/"type":"Resized"[^\n]*\n/)
      const pid = yield* reprise.enginePid
      process.kill(pid!, "SIGKILL")
      const second = yield* detached(reprise, "second", "true")
      yield* shows(new RegExp(`"session":"${second}"[^\\n]*SessionClosed[^\\n]*\\n`))
      yield* reprise.run(["end", "first"])
      const all = parse(yield* shows(new RegExp(`"session":"${first}"[^\\n]*SessionClosed[^\\n]*\\n`)))
      const positions = all.map(({ position }) => position)
      assert.deepStrictEqual(
        positions,
        [...new Set(positions)].sort((one, other) => one - other)
      )
      const types = (session: string) => all.flatMap((event) => (event.session === session ? [event.type] : []))
      assert.includeMembers(types(first), [
        "SessionCreated",
        "ProcessStarted",
        "Resized",
        "LeaderExited",
        "SessionClosed"
      ])
      assert.includeMembers(types(second), ["SessionCreated", "ProcessStarted", "LeaderExited", "SessionClosed"])
      for (const type of ["SessionCreated", "SessionClosed"]) {
        assert.strictEqual(all.filter((event) => event.type === type).length, 2)
      }
      assert.notInclude(
        all.map(({ type }) => type),
        "OutputReceived"
      )

      const middle = positions[Math.floor(positions.length / 2)]!
      const later = yield* reprise.start(["watch", "--json", "--after", String(middle)])
      const rest = all.filter(({ position }) => position > middle)
      const seen = parse(yield* watch(later.stdout!)(new RegExp(`"position":${positions.at(-1)}[^\\n]*\\n`)))
      assert.deepStrictEqual(seen.slice(0, rest.length), rest)

      const text = yield* reprise.start(["watch", "--after", "0"])
      const line = new RegExp(`^ *\\d+ {2}${first} {2}\\S+Z {2}\\S+ {2}SessionCreated .*sleep`, "m")
      assert.match(yield* watch(text.stdout!)(line), line)
    })
  )

  it.live("without an engine it waits for one, and starts none", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      const watching = yield* reprise.start(["watch"])
      const shows = watch(watching.stdout!)
      yield* watch(watching.stderr!)("no engine runs for this store; waiting for one\n")
      assert.isNull(yield* reprise.enginePid)
      const id = yield* detached(reprise, "it", "sleep", "1000")
      // It may come after the session: what happens from then on is told.
      yield* Effect.gen(function* () {
        yield* reprise.run(["resize", "it", "90x30"])
        yield* reprise.run(["resize", "it", "80x24"])
      }).pipe(Effect.forever, Effect.raceFirst(shows(/Resized/)))
      assert.match(yield* shows(id), /Resized/)
    })
  )

  it.live.skipIf(!isInstalled("tmux"))(
    "on a terminal it is a table that stays up to date, and gives the terminal back",
    () =>
      Effect.gen(function* () {
        const { open, reprise } = yield* makeTerminals
        const pane = yield* open(110, 12)
        yield* pane.line("echo mi''ne; reprise watch")
        yield* pane.until(/^0 live · no engine runs · q quits\n/)
        yield* detached(reprise, "first", "sh", "-c", "echo hello; while :; do sleep 0.01; done")
        yield* pane.until(
          /^1 live · q quits\n.*\n\w{10,} {2}first {2}running {2}0 {8}80x24 {2}[1-9][\d.]*% +[\d.]+[KM] +7 +\d+s +sh -c/
        )
        const attached = yield* reprise.start(["attach", "first", "--read-only"])
        yield* pane.until(/first {2}running {2}1 /)
        attached.kill("SIGTERM")
        yield* reprise.run(["resize", "first", "100x30"])
        yield* pane.until(/first {2}running.*100x30/)
        for (let index = 0; index < 3; index++) yield* detached(reprise, `more${index}`, "sleep", "1000")
        yield* pane.resize(110, 6)
        yield* pane.until(/^4 live[\s\S]*1 more\s*$/)
        yield* pane.resize(80, 5)
        yield* pane.until(/^4 live[\s\S]*2 more\s*$/)
        yield* pane.resize(110, 20)
        yield* pane.until(/^4 live[\s\S]*first/)
        yield* reprise.run(["end", "more0"])
        yield* pane.until(/^3 live, 1 ended[\s\S]*more0 +exited SIGHUP/)
        assert.strictEqual(yield* pane.ask("#{alternate_on} #{cursor_flag}"), "1 0")
        yield* pane.keys("q")
        yield* pane.until("mine")
        yield* assertSane(pane)
        yield* pane.line("clear; reprise watch; echo le''ft=$?")
        yield* pane.until(/^3 live/)
        yield* pane.keys("C-c")
        yield* pane.until("left=0")
        yield* assertSane(pane)
      })
  )

  it.live("inspect --usage tells what a session's processes use", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      yield* detached(reprise, "it", "sh", "-c", "sleep 1000 & sleep 1000")
      const { usage } = json((yield* reprise.run(["inspect", "it", "--usage", "--json"])).stdout)
      assert.isAtLeast(usage.processes, 1)
      assert.isAbove(usage.rssBytes, 100_000)
      assert.match(
        (yield* reprise.run(["inspect", "it", "--usage"])).stdout.toString(),
        /^processes +\d\n.*\nmemory +[\d.]+[KM]$/m
      )
      yield* reprise.run(["end", "it"])
      assert.isNull(json((yield* reprise.run(["inspect", "it", "--usage", "--json"])).stdout).usage)
      yield* reprise.run(["stop"])
      assert.isNull(json((yield* reprise.run(["inspect", "it", "--usage", "--json"])).stdout).usage)
    })
  )
})
