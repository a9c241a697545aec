/**
 * The rows of Delta's sessions that are about its command line or its processes (see test/exec/DeltaRows.test.ts for the
 * others), through the built program and a real engine. The same commands in front of a fake engine: exec.test.ts,
 * execControl.test.ts.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { Exec } from "../../src/exec/Exec.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { engineProcess } from "../exec/engineProcess.ts"
import { finish, makeReprise, makeRepriseInside, type Reprise, shareReprise } from "./reprise.ts"

/** Clients at once in D24, as many as the original's. */
const CLIENTS = 30

/** For what leaves the engine, and other sessions, alone. */
const shared = shareReprise(makeReprise)

const json = (bytes: Buffer) => JSON.parse(bytes.toString())
const start = (reprise: Reprise, args: ReadonlyArray<string> = []) =>
  Effect.map(reprise.run(["start", ...args]), ({ stdout }) => String(json(stdout).session_id))

/** What a session's terminal shows, until it holds this. */
const untilShown = (session: SessionId, holds: (text: string) => boolean) =>
  Effect.gen(function* () {
    let shown = ""
    const pages = (yield* History).follow(session, 0)
    yield* pages.pipe(
      Stream.takeUntil((item) => {
        for (const { event } of item._tag === "Page" ? item.entries : []) {
          if (event._tag === "OutputReceived") shown += Buffer.from(event.data).toString()
        }
        return holds(shown)
      }),
      Stream.runDrain
    )
    return shown
  })

describe("rows of Delta's sessions, through the command line", { concurrent: true }, () => {
  it.live("D8, D9, D10 and D11: what cannot be done is said, ending twice is fine, what has ended is cleaned", () =>
    Effect.gen(function* () {
      const reprise = yield* makeRepriseInside
      const [id, kept] = yield* Effect.all([start(reprise), start(reprise)], { concurrency: 2 })
      // D8
      const empty = yield* reprise.run(["exec", id], "")
      assert.deepStrictEqual(
        [empty.code, empty.stderr],
        [2, "reprise: No command provided (stdin is empty); see `reprise exec --help`\n"]
      )
      // D10
      for (const _ of [1, 2]) {
        const ended = yield* reprise.run(["end", id, "--json"])
        assert.deepStrictEqual(
          [ended.code, json(ended.stdout)],
          [0, { status: "terminated", session_id: id, survivors: [] }]
        )
      }
      // D9
      const [gone, unknown] = yield* Effect.all(
        [reprise.run(["exec", id, "--", "true"]), reprise.run(["exec", "sess_00000000", "--", "true"])],
        { concurrency: 2 }
      )
      assert.strictEqual(gone.code, 67)
      assert.match(gone.stderr, new RegExp(`^reprise: session ${id} is terminated`))
      assert.strictEqual(unknown.code, 66)
      assert.match(unknown.stderr, /^reprise: session "sess_00000000" not found/)
      // D11
      const listed = json((yield* reprise.run(["list", "--json"])).stdout)
      assert.deepStrictEqual(
        new Map(listed.map((view: { id: string; status: string }) => [view.id, view.status])),
        new Map([
          [kept, "running"],
          [id, "exited"]
        ])
      )
      const cleaned = yield* reprise.run(["cleanup", "--json"])
      assert.strictEqual(cleaned.code, 0)
      const { exec } = storePaths(reprise.store)
      assert.deepStrictEqual([existsSync(join(exec, id)), existsSync(join(exec, kept))], [false, true])
      assert.strictEqual((yield* reprise.run(["exec", kept, "--", "echo on"])).stdout.toString(), "on\n")
    })
  )

  it.live("D13 and D14: a killed command is no success, and 300,000 bytes arrive whole at a slow reader", () =>
    Effect.gen(function* () {
      const { reprise } = yield* shared
      const id = yield* start(reprise)
      assert.strictEqual((yield* reprise.run(["exec", id, "--", "kill -KILL $$"])).code, 137)
      const child = yield* reprise.start(["exec", id, "--", "printf '€%.0s' {1..100000}; touch printed"])
      child.stdout!.pause()
      // The command has ended and its client cannot be rid of its output yet.
      const result = finish(child)
      child.stdout!.pause()
      const folder = join(reprise.store, "..")
      while (!existsSync(join(folder, "printed"))) yield* Effect.sleep("5 millis")
      child.stdout!.resume()
      const { code, stderr, stdout } = yield* result
      assert.deepStrictEqual([code, stderr, stdout.byteLength], [0, "", 300_000])
      assert.isTrue(stdout.toString() === "€".repeat(100_000))
    })
  )

  it.live("D23 and D25: one process starts a session, another types, a third reads it, as long as it likes", () =>
    Effect.gen(function* () {
      const { name, reprise } = yield* shared
      const started = yield* reprise.run(["run", "--detach", "--name", name, "--", "sh"])
      assert.strictEqual(started.code, 0)
      const reader = yield* reprise.start(["attach", name, "--after", "0"])
      // From now on: what nobody has listened to is thrown away when the reader ends.
      const reading = yield* Effect.forkScoped(finish(reader), { startImmediately: true })
      assert.strictEqual((yield* reprise.run(["send", name, "echo h''i; exit 4", "--enter"])).code, 0)
      const { code, stdout } = yield* Fiber.join(reading)
      assert.strictEqual(code, 4)
      assert.include(stdout.toString(), "\r\nhi\r\n")
      // Reading takes nothing away.
      assert.strictEqual((yield* reprise.run(["replay", name])).stdout.toString(), stdout.toString())
    })
  )
})

describe("rows of Delta's sessions, through clients of an engine", { concurrent: true }, () => {
  it.live(`D24: ${CLIENTS} clients at once type into one terminal and read all of it`, () =>
    Effect.gen(function* () {
      const { reprise } = yield* shared
      const client = () =>
        Layer.fresh(EngineClient.layer({ paths: storePaths(reprise.store), start: false, actor: "test" }))
      const { id } = yield* Sessions.use((sessions) =>
        sessions.create({ argv: ["sh", "-c", "stty -echo -onlcr; echo ready; exec cat"] })
      ).pipe(Effect.provide(client()))
      yield* untilShown(id, (shown) => shown.includes("ready")).pipe(Effect.provide(client()))
      const line = (of: number) => `${`${of};`.repeat(20)}\n`
      const isWhole = (shown: string) => shown.split("\n").length > CLIENTS + 1
      const all = yield* Effect.forEach(
        Array.from({ length: CLIENTS }, (_, index) => index),
        (index) =>
          Effect.gen(function* () {
            yield* Sessions.use((sessions) => sessions.write(id, Buffer.from(line(index))))
            return yield* untilShown(id, isWhole)
          }).pipe(Effect.provide(client())),
        { concurrency: "unbounded" }
      )
      // Each has seen the same, and each line is whole.
      assert.strictEqual(new Set(all).size, 1)
      const lines = Array.from({ length: CLIENTS }, (_, index) => line(index))
      assert.deepStrictEqual(
        all[0]!
          .split("\n")
          .slice(1, -1)
          .map((shown) => `${shown}\n`)
          .sort(),
        lines.sort()
      )
    })
  )

  it.live("D26: what was printed up to a kill -9 of engine and keeper is there, and it is known to be the end", () =>
    Effect.gen(function* () {
      const engine = yield* engineProcess
      const { id, shell } = yield* Effect.gen(function* () {
        const { id } = yield* Sessions.use((sessions) =>
          sessions.create({ argv: ["sh", "-c", "seq 1 2000; exec sleep 1000"] })
        )
        const exec = yield* Exec
        const shell = (yield* exec.start({ language: "bash" })).id
        yield* exec.exec(shell, { code: "echo one; echo two >&2; exec sleep 1000", execId: "cut", yieldMillis: 0 })
        yield* untilShown(id, (shown) => shown.includes("2000\r\n"))
        // Each stream comes by itself.
        yield* exec
          .poll(shell, "cut")
          .pipe(Effect.repeat({ until: ({ stderr, stdout }) => stderr.byteLength === 4 && stdout.byteLength === 4 }))
        return { id, shell }
      }).pipe(Effect.provide(engine.client()))
      yield* engine.kill("engine and keepers")
      yield* engine.start
      yield* Effect.gen(function* () {
        const history = yield* History
        const exec = yield* Exec
        assert.deepInclude(yield* history.get(id), { status: "lost", exitCode: null, signal: null })
        const shown = yield* untilShown(id, () => false)
        assert.strictEqual(shown, Array.from({ length: 2000 }, (_, i) => `${i + 1}\r\n`).join(""))
        const cut = yield* exec.poll(shell, "cut")
        assert.deepStrictEqual(
          [cut.status, cut.exitCode, Buffer.from(cut.stdout).toString(), Buffer.from(cut.stderr).toString()],
          ["lost", null, "one\n", "two\n"]
        )
        // And a shell goes on in another one.
        assert.strictEqual((yield* exec.exec(shell, { code: "echo on" })).exitCode, 0)
      }).pipe(Effect.provide(engine.client()))
    })
  )
})
