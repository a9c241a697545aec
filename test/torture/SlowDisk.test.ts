/**
 * A disk on which every batch takes 150 ms, and six sessions that never stop writing. Input is journaled before it is typed and
 * output before it is shown, so a keystroke waits for the disk twice; what must not wait is the way between engine, keeper
 * and program, and nothing may wait for a thread of the pool that the disk keeps busy.
 */
import { execFileSync } from "node:child_process"
import { closeSync, mkdtempSync, open, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { JournalLevel } from "../../journal/index.ts"
import type { Storage } from "../../journal/Storage.ts"
import * as SessionEngine from "../../src/SessionEngine.ts"
import { History } from "../../src/session/History.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import { KEEPER_PORT, type KeeperPort } from "../../src/session/Hosts.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { idOf, testStore, textOf } from "../session/sessionsUnderTest.ts"

const BATCH_MILLIS = 150
const WRITERS = 6
const KEYS = Number(process.env.REPRISE_KEYS ?? 20)
/** The published program: it starts several times faster than its source. */
const KEEPER_ENTRY = fileURLToPath(new URL("../../dist/bin/keeper.js", import.meta.url))
/** Of the pool's four, what a hanging disk holds; one is left for the batches. */
const THREADS_HELD = 3

const slow = (storage: Storage, isSlow: () => boolean): Storage => ({
  batch: async (operations) => {
    if (isSlow()) await new Promise((resolve) => setTimeout(resolve, BATCH_MILLIS))
    await storage.batch(operations)
  },
  range: (options) => storage.range(options),
  reopen: () => storage.reopen(),
  close: () => storage.close()
})

/** Threads of the pool that wait for something that does not come: opening a FIFO nobody writes into. */
const holdThreads = (folder: string): (() => void) => {
  const fifos = Array.from({ length: THREADS_HELD }, (_, i) => join(folder, `fifo-${i}`))
  for (const fifo of fifos) {
    execFileSync("mkfifo", [fifo])
    open(fifo, "r", (_, fd) => closeSync(fd))
  }
  return () => {
    for (const fifo of fifos) closeSync(openSync(fifo, "r+"))
  }
}

const percentile = (values: ReadonlyArray<number>, part: number): number =>
  values.toSorted((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * part))]!

describe("a slow disk", () => {
  it.live(
    `reliability row 22: ${BATCH_MILLIS} ms a batch under ${WRITERS} writers: from the journal to the program and back no key waits for the disk`,
    () =>
      Effect.gen(function* () {
        const store = yield* testStore
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "reprise-slow-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        let isSlow = false
        let echo = ""
        let typedAt = 0
        const ways: Array<number> = []
        // Between the engine's call and the delivery of the echo: the way that must not wait.
        const connect: KeeperPort["connect"] = async (options) => {
          const host = await KEEPER_PORT.connect({
            ...options,
            listener: {
              ...options.listener,
              output: (session, offset, bytes) => {
                if (session === echo && typedAt > 0) {
                  ways.push(performance.now() - typedAt)
                  typedAt = 0
                }
                options.listener.output(session, offset, bytes)
              }
            }
          })
          const write = host.write.bind(host)
          host.write = (session, sequence, bytes) => {
            if (session === echo) typedAt = performance.now()
            return write(session, sequence, bytes)
          }
          return host
        }
        const layer = SessionEngine.layer({
          paths: store.paths,
          keeperEntry: KEEPER_ENTRY,
          keepers: { ...KEEPER_PORT, connect }
        }).pipe(
          Layer.provideMerge(HistoryLive.layer),
          Layer.provideMerge(
            JournalLevel.layer({ location: store.paths.journal, wrapStorage: (storage) => slow(storage, () => isSlow) })
          )
        )
        yield* Effect.gen(function* () {
          const sessions = yield* Sessions
          const history = yield* History
          const create = (program: string) =>
            Effect.map(sessions.create({ argv: ["sh", "-c", program], cwd: "/" }), idOf)
          const id = yield* create("stty raw -echo; echo ready; exec cat")
          yield* history.follow(id, 0).pipe(
            Stream.takeUntil((item) => item._tag === "Page" && textOf(item.entries).includes("ready")),
            Stream.runDrain
          )
          for (let i = 0; i < WRITERS; i++) yield* create("while :; do echo some output; sleep 0.02; done")
          const seen: Array<number> = []
          const acknowledged: Array<number> = []
          const press = (key: number) =>
            Effect.gen(function* () {
              const text = `<${key}>`
              const before = performance.now()
              const shown = yield* history.follow(id, 0).pipe(
                Stream.takeUntil((item) => item._tag === "Page" && textOf(item.entries).includes(text)),
                Stream.runDrain,
                Effect.forkChild
              )
              yield* sessions.write(id, Buffer.from(text))
              acknowledged.push(performance.now() - before)
              yield* Fiber.join(shown)
              seen.push(performance.now() - before)
            })
          echo = id
          for (let key = 0; key < KEYS; key++) yield* press(key)
          const quick = { way: [...ways], seen: [...seen] }
          for (const list of [ways, seen, acknowledged]) list.length = 0
          isSlow = true
          const release = yield* Effect.sync(() => holdThreads(folder))
          yield* Effect.ensuring(
            Effect.forEach(
              Array.from({ length: KEYS }, (_, i) => KEYS + i),
              press
            ),
            Effect.sync(() => {
              release()
              isSlow = false
            })
          )
          const told = {
            way: { p50: percentile(ways, 0.5), p99: percentile(ways, 0.99) },
            wayOnAQuickDisk: { p50: percentile(quick.way, 0.5), p99: percentile(quick.way, 0.99) },
            acknowledged: { p50: percentile(acknowledged, 0.5) },
            seen: { p50: percentile(seen, 0.5), p99: percentile(seen, 0.99) },
            seenOnAQuickDisk: { p50: percentile(quick.seen, 0.5) }
          }
          const figures = JSON.stringify(told, (_, value) =>
            typeof value === "number" ? Math.round(value * 10) / 10 : value
          )
          assert.strictEqual(ways.length, KEYS, figures)
          // 20 ms is the aim, with room for a machine that is busy: one batch is where waiting for the disk would begin.
          assert.isBelow(told.way.p50, 20 + 4 * told.wayOnAQuickDisk.p50, figures)
          assert.isBelow(percentile(ways, 0.8), BATCH_MILLIS, figures)
          // Journaled first: this is what a person at the keyboard waits for, two batches and those before them.
          assert.isAtLeast(told.acknowledged.p50, BATCH_MILLIS, figures)
          assert.isAtLeast(told.seen.p50, 2 * BATCH_MILLIS, figures)
          if (process.env.REPRISE_FIGURES !== undefined) process.stdout.write(`${figures}\n`)
        }).pipe(Effect.provide(Layer.fresh(layer)))
      })
  )
})
