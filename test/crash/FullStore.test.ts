/**
 * An engine that is started on a store which has reached its quota, as after the death of the one that filled it: it
 * serves what there is, says what is wrong and what to do, writes nothing however often it is started, and everything goes
 * on by itself when there is room.
 */
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Stream } from "effect"
import { afterAll, assert, describe, it } from "vitest"
import { type SessionEvent, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalLevel from "../../journal/JournalLevel.ts"
import { Attach, History, Sessions } from "../../src/index.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import type { EngineServices } from "../../src/remote/EngineServices.ts"
import { STORE_BYTES_MIN } from "../../src/session/EngineConfig.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { runInside } from "../cli/runInside.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { bytesIn } from "../fixtures/bytesIn.ts"
import { isAlive } from "../fixtures/processes.ts"
import { created, started } from "../projections/events.ts"
import { eventsOf, textOf } from "../session/sessionsUnderTest.ts"
import { type CommandLine, withCommandLine } from "./commandLine.ts"

const KIB = 1024
const MIB = 1024 * KIB
/** Room below the quota before the store is full: it is looked at once for 256 KiB. */
const ROOM_BYTES = 64 * KIB
/** More than LevelDB may give back when it is opened again: the store is full then too. */
const FULLER_BYTES = 768 * KIB
const RECORDED_BYTES = 6 * MIB
const CHUNK_BYTES = 32 * KIB

/** A session of an earlier day, to be removed later. */
const record = (location: string) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const stream = newSessionId()
    const append = (event: SessionEvent) => journal.append(stream, [{ event, actor: "engine", timeMicros: 1_000_000 }])
    yield* append(created({ name: "recorded" }))
    yield* append(started())
    for (let offset = 0; offset < RECORDED_BYTES; offset += CHUNK_BYTES) {
      const data = randomBytes(CHUNK_BYTES)
      yield* append({ _tag: "OutputReceived", channel: "stdout", exec: 1, offset, data })
    }
    yield* append({ _tag: "SessionClosed", exitCode: 0, signal: null, reason: "exited", survivors: [] })
  }).pipe(Effect.provide(JournalLevel.layer({ location })), Effect.scoped, Effect.runPromise)

/** Through an engine, which is started if none runs. */
const asked = <A, E>(store: string, effect: Effect.Effect<A, E, EngineServices>): Promise<A> =>
  effect.pipe(
    Effect.provide(EngineClient.layer({ paths: storePaths(store), start: true, actor: "test" })),
    Effect.runPromise
  )

const status = Sessions.use(({ status }) => status)

/** Everything that there is of a session. */
const shownOf = (session: SessionId) =>
  History.use((history) =>
    history.follow(session, 0).pipe(
      Stream.takeUntil((page) => page._tag === "Synced"),
      Stream.runCollect,
      Effect.map((pages) => textOf([...pages].flatMap((page) => (page._tag === "Page" ? page.entries : []))))
    )
  )

/** What an engine that was started on the full store shows and refuses: as the one that filled it. */
const checkFull = async (cli: CommandLine, live: SessionId, pid: number, printed: string): Promise<string> => {
  const inside = async (...args: ReadonlyArray<string>) => {
    const options = { env: process.env, cwd: process.cwd(), input: "" }
    const { code, stderr, stdout } = await Effect.runPromise(runInside(["--store", cli.store, ...args], options))
    return { code, stderr, stdout: stdout.toString() }
  }
  const reason = `quota of ${STORE_BYTES_MIN} bytes is reached and nothing can be journaled; raise limits.storeBytes`
  assert.include((await inside("status")).stdout, reason)
  assert.include((await inside("doctor")).stdout, reason)
  const listed: ReadonlyArray<{ name: string }> = await cli.json(["list"])
  assert.deepStrictEqual(listed.map(({ name }) => name).sort(), ["live", "recorded"])
  assert.deepInclude(await cli.json(["inspect", "live"]), { id: live, status: "running", pid })
  assert.isTrue(isAlive(pid))

  const text = await asked(cli.store, shownOf(live))
  assert.isTrue(text.startsWith("begun\n") && `begun\n${printed}`.startsWith(text))
  assert.isTrue((await cli.text(["replay", "live"])) === text, "replay shows what there is")
  assert.include((await inside("search", "begun")).stdout, "begun")
  assert.include((await inside("export", "live", "--format", "text", "--out", "-")).stdout, "begun")
  const attached = await asked(
    cli.store,
    Attach.use((attach) =>
      attach.attach(live).pipe(
        Stream.takeUntil(({ _tag }) => _tag === "ReplayComplete"),
        Stream.runCollect
      )
    )
  )
  const drawn = [...attached].find((item) => item._tag === "Screen")!
  assert.isAbove(drawn.data.byteLength, 1000)

  const refused = await inside("run", "--detach", "--", "true")
  assert.deepInclude(refused, { code: 75, stdout: "" })
  assert.match(refused.stderr, /^reprise: [^\n]*reprise prune[^\n]*\n$/)
  assert.include(refused.stderr, reason)
  const write = Sessions.use((sessions) => Effect.flip(sessions.write(live, Buffer.from("x"))))
  assert.deepInclude({ ...(await asked(cli.store, write)) }, { _tag: "LimitExceeded", limit: "store bytes" })
  for (const args of [
    ["end", "live"],
    ["resize", "live", "100x30"],
    ["hold", "live", "--reason", "case 4711"],
    ["stop", "--sessions"]
  ]) {
    const { code, stderr } = await inside(...args)
    assert.strictEqual(code, 69, stderr)
    assert.include(stderr, reason)
  }
  assert.isTrue(isAlive(pid))
  return text
}

/** After a failure its engine could not end the sessions, for which it needs room. */
const withStoreToFill = (use: (cli: CommandLine) => Promise<void>): Promise<void> =>
  withCommandLine((cli) =>
    use(cli).catch(async (error: unknown) => {
      const pid = await cli.enginePid()
      if (pid !== null) process.kill(pid, "SIGKILL")
      rmSync(storePaths(cli.store).config, { force: true })
      throw error
    })
  )

describe("a store that has reached its quota", () => {
  const scratch = mkdtempSync(join(tmpdir(), "reprise-"))
  afterAll(() => rmSync(scratch, { recursive: true, force: true }))

  it("is served by the next engine: reads work, the rest is refused with what to do, and room lets it go on without a lost byte", () =>
    withStoreToFill(async (cli) => {
      const { store } = cli
      const { config, journal, log } = storePaths(store)
      mkdirSync(store, { recursive: true })
      await record(journal)
      writeFileSync(config, JSON.stringify({ limits: { storeBytes: STORE_BYTES_MIN } }))
      const filler = join(store, "filler")
      writeFileSync(filler, "")
      truncateSync(filler, STORE_BYTES_MIN - ROOM_BYTES - bytesIn(store))

      const { enginePid: first } = await asked(store, status)
      // In the store it would count.
      const printed = join(scratch, "printed")
      const flood = `head -c ${3 * MIB} /dev/urandom | base64 > '${printed}'; cat '${printed}'; echo end; exit 3`
      const program = `stty -opost -echo; echo begun; read go; ${flood}`
      const [live, pid] = await asked(
        store,
        Effect.gen(function* () {
          const sessions = yield* Sessions
          const { id, pid } = yield* sessions.create({ argv: ["sh", "-c", program], name: "live" })
          // Typed before that, its terminal would still echo it.
          yield* History.use((history) =>
            Stream.runDrain(
              Stream.takeUntil(
                history.follow(id as SessionId, 0),
                (page) => page._tag === "Page" && textOf(page.entries).includes("begun")
              )
            )
          )
          yield* sessions.write(id as SessionId, Buffer.from("go\n"))
          while ((yield* status).suspended === null) yield* Effect.sleep("20 millis")
          return [id as SessionId, pid!] as const
        })
      )
      const all = readFileSync(printed, "latin1")
      const before = await asked(store, shownOf(live))

      process.kill(first!, "SIGKILL")
      while (isAlive(first!)) await new Promise((resolve) => setImmediate(resolve))
      truncateSync(filler, statSync(filler).size + FULLER_BYTES)
      const { enginePid: second } = await asked(store, status)
      assert.notStrictEqual(second, first)
      assert.include(readFileSync(log, "utf8"), "the journal cannot be written")
      // What the journal gave back until its end, the first one may still have used.
      assert.isTrue((await checkFull(cli, live, pid, all)).startsWith(before))
      await cli.text(["stop"])
      assert.isTrue(isAlive(pid))

      const { enginePid: last } = await asked(store, status)
      assert.include(await cli.text(["prune", "recorded"]), "recorded")
      const entries = await asked(
        store,
        Effect.gen(function* () {
          const history = yield* History
          const pages = yield* Stream.runCollect(history.follow(live, 0))
          return [...pages].flatMap((page) => (page._tag === "Page" ? page.entries : []))
        })
      )
      assert.isTrue(textOf(entries) === `begun\n${all}end\n`, "every byte, once")
      assert.deepStrictEqual(eventsOf(entries, "GapDetected"), [])
      assert.isAtLeast(eventsOf(entries, "SessionResumed").length, 1)
      assert.deepInclude(entries.at(-1)!.event, { _tag: "SessionClosed", exitCode: 3 })
      const told = await asked(
        store,
        History.use((history) => Stream.runCollect(history.events(STORE_STREAM)))
      )
      assert.deepStrictEqual(
        eventsOf([...told], "EngineStarted").map(({ pid }) => pid),
        [first, last]
      )
      assert.strictEqual((await asked(store, status)).suspended, null)
      assert.strictEqual((await cli.run(["run", "--detach", "--", "true"])).code, 0)
    }))
})
