/** Attaching through a real engine process and a real socket, over connections that break, engines that die and readers that stop. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, type Scope, Stream } from "effect"
import type { EventTag, SessionId } from "../../journal/Event.ts"
import { Exec } from "../../src/exec/Exec.ts"
import * as EngineClient from "../../src/remote/EngineClient.ts"
import { Attach, type AttachItem } from "../../src/session/Attach.ts"
import { RETURN_MILLIS } from "../../src/session/Clients.ts"
import { History } from "../../src/session/History.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { type StorePaths, storePaths } from "../../src/session/StorePaths.ts"
import { type EngineProcess, engineProcess } from "../exec/engineProcess.ts"
import { residentBytesOf } from "../fixtures/processFigures.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"
import { proxy } from "./proxy.ts"

/** REPRISE_SEED moves the breaks (`npm run campaign`). */
const SEED = Number(process.env.REPRISE_SEED ?? Math.floor(Math.random() * 2 ** 31))
/** Milliseconds that a reader stops; `npm run campaign` stops it for 10,000. */
const STALL_MILLIS = Number(process.env.REPRISE_STALL_MILLIS ?? 1500)
const LINES = 50_000
const CLIENTS = 3
const BREAKS = 20
const SLOW_CLIENTS = 5
/** A busy machine's; an engine that waited for a reader that stopped would need for ever. */
const BUSY_MILLIS = 5000
const KILLS = 10

const clientOf = (paths: StorePaths) =>
  Layer.build(Layer.fresh(EngineClient.layer({ paths, start: false, actor: "test" })))

const BLOCKS = 250
/** Blocks that the slowest client may be behind: each gets enough pieces for all its breaks, and pages where it is behind. */
const BLOCKS_AHEAD = 4

/** Prints one block of its lines for each line that it is given, and ends with 7. */
const PRINTING = `stty -echo -icanon; echo ready; i=0; while [ $i -lt ${BLOCKS} ]; do read go; seq $((i*${LINES / BLOCKS}+1)) $(((i+1)*${LINES / BLOCKS})); i=$((i+1)); done; exit 7`
const linesOf = (blocks: number) =>
  `ready\r\n${Array.from({ length: (LINES / BLOCKS) * blocks }, (_, i) => `${i + 1}\r\n`).join("")}`
const EXPECTED = linesOf(BLOCKS)

interface Breaking {
  readonly breaks: number
  /** Pieces of output from one break to the next, at most. */
  readonly itemsMax: number
  readonly random: ReturnType<typeof seededRandom>
}

/**
 * Reads the session to its end while its connections break `breaks` times: half of them below it, half because it leaves and
 * comes again. Gives everything it was sent, the openings and replay marks of each coming aside.
 */
const readBroken = Effect.fnUntraced(function* (
  paths: StorePaths,
  session: SessionId,
  client: string,
  { breaks, itemsMax, random }: Breaking,
  /** Called with the number of bytes that have come. */
  took: (bytes: number) => void = () => {}
) {
  const door = yield* proxy(paths, client)
  const context = yield* clientOf(door.paths)
  const items: Array<AttachItem> = []
  let after = 0
  let left = breaks
  let leaves = 0
  /** Times it came back when it may not have been expected any more: a busy machine. */
  let late = 0
  let cutAt = Number.POSITIVE_INFINITY
  const read = Effect.suspend(() => {
    let count = 1 + random.below(itemsMax)
    return Effect.flatMap(Attach, (attach) =>
      attach.attach(session, { after, client }).pipe(
        Stream.takeUntil((item) => {
          if (item._tag === "Attached") {
            if (performance.now() - cutAt >= RETURN_MILLIS) late++
            cutAt = Number.POSITIVE_INFINITY
          }
          if ("sequence" in item) {
            assert.isAtLeast(item.sequence, after)
            after = item.sequence
          }
          if (item._tag !== "Attached" && item._tag !== "Resized" && item._tag !== "ReplayComplete") items.push(item)
          if (item._tag === "Output") took(item.offset + item.data.byteLength)
          if (item._tag === "Ended") return true
          if (left === 0 || item._tag !== "Output" || --count > 0) return false
          left--
          if (random.below(2) === 0) {
            leaves++
            return true
          }
          cutAt = performance.now()
          door.cut()
          count = 1 + random.below(itemsMax)
          return false
        }),
        Stream.runDrain
      )
    )
  })
  yield* read.pipe(Effect.repeat({ until: () => items.at(-1)?._tag === "Ended" }), Effect.provide(context))
  assert.strictEqual(left, 0, "the session ended before all the breaks")
  return { items, leaves, late }
})

const checkWhole = ({ items }: { readonly items: ReadonlyArray<AttachItem> }) => {
  const text = Buffer.concat(items.flatMap((item) => (item._tag === "Output" ? [item.data] : []))).toString()
  if (text !== EXPECTED) {
    const lines = text.split("\r\n")
    const at = EXPECTED.split("\r\n").findIndex((line, index) => line !== lines[index])
    assert.fail(
      `line ${at} is ${JSON.stringify(lines[at])} and not ${JSON.stringify(EXPECTED.split("\r\n")[at])}; ${lines.length} lines`
    )
  }
  let offset = 0
  for (const item of items) {
    if (item._tag !== "Output") continue
    assert.strictEqual(item.offset, offset)
    offset += item.data.byteLength
  }
  assert.deepStrictEqual(
    items.filter(({ _tag }) => _tag !== "Output").map(({ _tag }) => _tag),
    ["Exited", "Ended"]
  )
  assert.deepInclude(items.at(-1), { _tag: "Ended", reason: "exited", exitCode: 7, signal: null })
}

const withSeed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.tapCause(effect, () => Effect.sync(() => console.error(`REPRISE_SEED=${SEED}`)))

const live = (
  title: string,
  test: (engine: EngineProcess, paths: StorePaths) => Effect.Effect<void, unknown, Scope.Scope>,
  timeout = 600_000
) =>
  it.live(
    title,
    () => Effect.scoped(Effect.flatMap(engineProcess, (engine) => withSeed(test(engine, storePaths(engine.store))))),
    timeout
  )

describe("attaching over a socket", () => {
  for (const kills of [0, KILLS]) {
    live(
      `G25: ${CLIENTS} clients, each broken off ${BREAKS} times${kills === 0 ? "" : `, while the engine is killed ${kills} times`}: every line once, in order, then the exit code`,
      (engine, paths) =>
        Effect.gen(function* () {
          const random = seededRandom(SEED)
          const context = yield* clientOf(paths)
          const sessions = yield* Effect.provide(Sessions, context)
          const { id } = yield* sessions.create({ argv: ["sh", "-c", PRINTING], cwd: "/" })
          const seen = new Map<string, number>()
          let wake = () => {}
          const reading = yield* Effect.forkScoped(
            Effect.forEach(
              Array.from({ length: CLIENTS }, (_, i) => i),
              (i) => {
                const client = `client-${i}`
                const breaking = { breaks: BREAKS, itemsMax: 2, random: seededRandom(SEED + i) }
                return readBroken(paths, id, client, breaking, (bytes) => {
                  seen.set(client, bytes)
                  wake()
                })
              },
              { concurrency: "unbounded" }
            )
          )
          const allHave = (bytes: number) =>
            Effect.callback<void>((resume) => {
              wake = () => {
                if (seen.size === CLIENTS && Math.min(...seen.values()) >= bytes) resume(Effect.void)
              }
              wake()
            })
          const killAt = new Set(
            Array.from({ length: kills }, (_, i) => Math.floor((i * BLOCKS) / kills) + random.below(10))
          )
          const driving = Effect.gen(function* () {
            for (let block = 0; block < BLOCKS; block++) {
              yield* allHave(linesOf(Math.max(0, block - BLOCKS_AHEAD)).length)
              const typing = yield* Effect.forkScoped(sessions.write(id, Buffer.from("go\n")))
              if (killAt.has(block)) {
                yield* engine.kill("engine")
                yield* engine.start
              }
              yield* Fiber.join(typing)
            }
          })
          yield* Effect.raceFirst(driving, Effect.andThen(Fiber.join(reading), Effect.never))
          const results = yield* Fiber.join(reading)
          for (const result of results) checkWhole(result)
          // Who left has left, and who was cut off was never away; but an engine's death ends every presence.
          const leaves = results.reduce((sum, result) => sum + result.leaves, 0)
          const late = results.reduce((sum, result) => sum + result.late, 0)
          const history = yield* Effect.provide(History, context)
          const tags = (yield* Stream.runCollect(history.events(id))).map(({ event }) => event._tag)
          const count = (tag: EventTag) => tags.filter((one) => one === tag).length
          if (kills === 0) {
            assert.isAtLeast(count("ClientAttached"), CLIENTS + leaves)
            assert.isAtMost(count("ClientAttached"), CLIENTS + leaves + late)
          }
          assert.isAtMost(count("ClientDetached"), leaves + late)
          assert.strictEqual(tags.at(-1), "SessionClosed")
        })
    )
  }

  live(
    "G26: who comes again after the exit, and after the next engine's start, gets the rest and the exit code",
    (engine, paths) =>
      Effect.gen(function* () {
        const random = seededRandom(SEED)
        const ended = Effect.gen(function* () {
          const context = yield* clientOf(paths)
          const attach = yield* Effect.provide(Attach, context)
          const history = yield* Effect.provide(History, context)
          return { attach, history }
        })
        const context = yield* clientOf(paths)
        const sessions = yield* Effect.provide(Sessions, context)
        const view = yield* sessions.create({ argv: ["sh", "-c", PRINTING], cwd: "/" })
        const isReady = yield* Deferred.make<void>()
        const first = yield* Effect.forkScoped(
          readBroken(paths, view.id, "first", { breaks: 0, itemsMax: 1, random }, () =>
            Deferred.doneUnsafe(isReady, Effect.void)
          )
        )
        yield* Deferred.await(isReady)
        yield* sessions.write(view.id, Buffer.from("go\n".repeat(BLOCKS)))
        checkWhole(yield* Fiber.join(first))
        for (const isRestarted of [false, true]) {
          if (isRestarted) {
            yield* engine.kill("engine")
            yield* engine.start
          }
          const { attach, history } = yield* ended
          const { sequence: head } = yield* history.get(view.id)
          checkWhole(yield* readBroken(paths, view.id, `again-${isRestarted}`, { breaks: 1, itemsMax: 1, random }))
          for (let round = 0; round < 10; round++) {
            const after = random.below(head + 1)
            const items = yield* Stream.runCollect(attach.attach(view.id, { after }))
            assert.lengthOf(
              items.filter(({ _tag }) => _tag === "Ended"),
              1
            )
            assert.deepInclude(items.at(-1), { _tag: "Ended", exitCode: 7, reason: "exited" })
            const [one] = items.filter(({ _tag }) => _tag === "Output")
            const text = Buffer.concat(items.flatMap((item) => (item._tag === "Output" ? [item.data] : []))).toString()
            assert.isTrue(EXPECTED.endsWith(text))
            if (one?._tag === "Output") assert.strictEqual(one.offset, EXPECTED.length - text.length)
          }
          const fresh = yield* Stream.runCollect(attach.attach(view.id, { size: { cols: 80, rows: 24 } }))
          assert.deepStrictEqual(
            fresh.map(({ _tag }) => _tag).filter((tag) => tag !== "Output" && tag !== "Exited"),
            ["Attached", "Screen", "ReplayComplete", "Ended"]
          )
        }
      })
  )

  live(
    "a session that is lost ends for who is attached; brought back, it goes on behind that end, and says what cannot be known",
    (engine, paths) =>
      Effect.gen(function* () {
        const context = yield* clientOf(paths)
        const exec = yield* Effect.provide(Exec, context)
        const attach = yield* Effect.provide(Attach, context)
        const { id } = yield* exec.start({ language: "bash", cwd: "/" })
        yield* exec.exec(id, { code: "echo one; echo seen > /dev/tty" })
        const isReady = yield* Deferred.make<void>()
        let isReplayed = false
        let printed = ""
        const reading = yield* attach.attach(id, { after: 0 }).pipe(
          Stream.tap((item) => {
            if (item._tag === "ReplayComplete") isReplayed = true
            if (item._tag === "Output" && item.channel === undefined) printed += Buffer.from(item.data).toString()
            // What the terminal printed may be behind the end of its command.
            return isReplayed && printed.includes("seen") ? Deferred.succeed(isReady, undefined) : Effect.void
          }),
          Stream.runCollect,
          Effect.forkScoped
        )
        yield* Deferred.await(isReady)
        yield* engine.kill("engine and keepers")
        yield* engine.start
        const ended = (yield* Fiber.join(reading)).at(-1)
        assert.deepInclude(ended, { _tag: "Ended", reason: "lost", exitCode: null })
        const lostAt = ended?._tag === "Ended" ? ended.sequence : 0
        // Still lost: nothing but the end.
        const still = yield* Stream.runCollect(attach.attach(id, { after: lostAt }))
        assert.deepStrictEqual(
          still.map(({ _tag }) => _tag),
          ["Attached", "ReplayComplete", "Ended"]
        )
        yield* exec.exec(id, { code: "echo two; echo again > /dev/tty" })
        const again: Array<AttachItem> = []
        const whole = yield* Effect.forkScoped(Stream.runCollect(attach.attach(id, { after: 0 })))
        const isThere = yield* Deferred.make<void>()
        const further = yield* attach.attach(id, { after: lostAt }).pipe(
          Stream.runForEach((item) =>
            Effect.sync(() => {
              again.push(item)
              if (item._tag === "ReplayComplete") Deferred.doneUnsafe(isThere, Effect.void)
            })
          ),
          Effect.forkScoped
        )
        yield* Deferred.await(isThere)
        yield* exec.end(id)
        yield* Fiber.join(further)
        const all = yield* Fiber.join(whole)
        const output = (items: ReadonlyArray<AttachItem>, channel?: string) =>
          Buffer.concat(
            items.flatMap((item) => (item._tag === "Output" && item.channel === channel ? [item.data] : []))
          ).toString()
        assert.strictEqual(output(again, "stdout"), "two\n")
        assert.include(output(again), "again")
        assert.strictEqual(output(all, "stdout"), "one\ntwo\n")
        assert.match(output(all), /seen[\s\S]*again/)
        assert.lengthOf(
          all.filter(({ _tag }) => _tag === "Missing"),
          1
        )
        for (const items of [all, again]) {
          assert.deepStrictEqual(
            items.filter(({ _tag }) => _tag === "Ended").map((item) => item._tag === "Ended" && item.reason),
            ["ended"]
          )
        }
      })
  )

  live(
    `G30: ${SLOW_CLIENTS} clients that stop reading for ${STALL_MILLIS} ms during a flood cost no memory and delay nobody, and get the rest later`,
    (_, paths) =>
      Effect.gen(function* () {
        const context = yield* clientOf(paths)
        const sessions = yield* Effect.provide(Sessions, context)
        const attach = yield* Effect.provide(Attach, context)
        const create = (argv: ReadonlyArray<string>) =>
          Effect.map(sessions.create({ argv, cwd: "/", size: { cols: 80, rows: 24 } }), ({ id }) => id)
        const createFlood = create(["yes", "01234567890123456789012345678901234567890123456789"])
        const echo = yield* create(["sh", "-c", "stty raw -echo; echo ready; exec cat"])

        // A second client of the flood that reads all of it, and counts.
        let flooded = 0
        const readAll = (session: SessionId) =>
          attach.attach(session, { after: 0 }).pipe(
            Stream.runForEach((item) =>
              Effect.sync(() => {
                if (item._tag === "Output") flooded = item.offset + item.data.byteLength
              })
            ),
            Effect.forkScoped
          )
        /** Milliseconds from ^C to the end of the session at a client. */
        const interrupt = Effect.fnUntraced(function* (session: SessionId, reading: Fiber.Fiber<void, unknown>) {
          const began = performance.now()
          yield* sessions.write(session, Buffer.from([3]))
          yield* Fiber.join(reading)
          return performance.now() - began
        })
        let echoed = ""
        let wake = () => {}
        yield* attach.attach(echo, { after: 0 }).pipe(
          Stream.runForEach((item) =>
            Effect.sync(() => {
              if (item._tag === "Output") echoed += Buffer.from(item.data).toString()
              wake()
            })
          ),
          Effect.forkScoped
        )
        const echoes = (text: string) =>
          Effect.callback<void>((resume) => {
            wake = () => {
              if (echoed.includes(text)) resume(Effect.void)
            }
            wake()
          })
        yield* echoes("ready")

        const delays: Array<number> = []
        const measure = Effect.fnUntraced(function* (millis: number, also: () => void = () => {}) {
          delays.length = 0
          for (const until = performance.now() + millis; performance.now() < until; ) {
            const began = performance.now()
            const text = `<${began}>`
            yield* sessions.write(echo, Buffer.from(text))
            yield* echoes(text)
            delays.push(performance.now() - began)
            also()
            yield* Effect.sleep(20)
          }
          return Math.max(...delays)
        })

        // What the same takes on this machine at this hour with no slow reader.
        const usual = yield* createFlood
        const usualReading = yield* readAll(usual)
        const pid = (yield* sessions.status).enginePid
        const growthDuring = <A>(work: (look: () => void) => Effect.Effect<A, unknown>) =>
          Effect.gen(function* () {
            const before = residentBytesOf(pid)
            let most = before
            const result = yield* work(() => {
              most = Math.max(most, residentBytesOf(pid))
            })
            return [result, most - before] as const
          })
        const [usualEcho, usualGrowth] = yield* growthDuring((look) => measure(STALL_MILLIS / 2, look))
        const usualInterrupt = yield* interrupt(usual, usualReading)

        const flood = yield* createFlood
        flooded = 0
        const reading = yield* readAll(flood)
        const slow = yield* Effect.forEach(
          Array.from({ length: SLOW_CLIENTS }, (_, i) => `slow-${i}`),
          Effect.fnUntraced(function* (client) {
            const door = yield* proxy(paths, client)
            const attach = yield* Effect.provide(Attach, yield* clientOf(door.paths))
            const state: { bytes: number; last: AttachItem | undefined } = { bytes: 0, last: undefined }
            const begun = yield* Deferred.make<void>()
            const reading = yield* attach.attach(flood, { after: 0, client }).pipe(
              Stream.runForEach((item) =>
                Effect.sync(() => {
                  state.last = item
                  if (item._tag !== "Output") return
                  assert.strictEqual(item.offset, state.bytes)
                  state.bytes += item.data.byteLength
                  Deferred.doneUnsafe(begun, Effect.void)
                })
              ),
              Effect.forkScoped
            )
            yield* Deferred.await(begun)
            return { door, reading, state }
          })
        )
        for (const { door } of slow) door.hold()
        const stopped = flooded
        const [slowestEcho, growth] = yield* growthDuring((look) => measure(STALL_MILLIS, look))
        // The flood goes on, and its other client gets it.
        while (flooded - stopped <= 1024 * 1024) yield* Effect.sleep(20)
        // What the engine takes of a flood, it takes with and without them, and not evenly: up to 45 MiB. Kept for them, it
        // would be `kept` more.
        const kept = SLOW_CLIENTS * (flooded - stopped)
        const growthMax = 32 * 1024 * 1024 + Math.max(usualGrowth, kept / 2)
        assert.isBelow(growth, growthMax, "resident bytes of the engine")
        // They stop until they are cut off, behind this: had it waited for one of them, it would not end.
        const end = yield* interrupt(flood, reading)
        // Their connections break, and they go on where they stopped.
        for (const { door } of slow) door.cut()
        for (const { reading, state } of slow) {
          yield* Fiber.join(reading)
          assert.strictEqual(state.bytes, flooded)
          assert.deepInclude(state.last, { _tag: "Ended", signal: "SIGINT" })
        }
        // Seconds are a busy machine's; behind a flood that ran twice as long there is more to read before the end.
        assert.isBelow(slowestEcho, BUSY_MILLIS + 5 * usualEcho, "milliseconds of the slowest echo")
        assert.isBelow(end, 5 * (BUSY_MILLIS + usualInterrupt), "milliseconds from ^C to the end")
        if (process.env.REPRISE_FIGURES) {
          const median = delays.sort((one, other) => one - other)[delays.length >> 1]
          const mib = [growth, usualGrowth, flooded - stopped].map((bytes) => bytes / 2 ** 20)
          console.log({ mib, median, slowestEcho, usualEcho, end, usualInterrupt })
        }
      })
  )
})
