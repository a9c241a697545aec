/** A session whose engine died between its creation and its process: how long the next engine waits for whoever asked for it. */
import { Clock, Context, type Effect, Layer, ManagedRuntime } from "effect"
import { assert, describe, it } from "vitest"
import { ACTOR_ENGINE, type SessionEvent } from "../../journal/Event.ts"
import { Journal } from "../../journal/Journal.ts"
import { JournalCore } from "../../journal/JournalCore.ts"
import { MemoryStorage } from "../../journal/MemoryStorage.ts"
import { makeJournal } from "../../journal/makeJournal.ts"
import * as SessionEngine from "../../src/SessionEngine.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import type { KeeperPort } from "../../src/session/Hosts.ts"
import { Sessions } from "../../src/session/Sessions.ts"
import { storePaths } from "../../src/session/StorePaths.ts"
import { newSessionId } from "../contracts/JournalContract.ts"
import { SimulatedKeeper } from "../torture/SimulatedKeeper.ts"
import { VirtualTime } from "../torture/VirtualTime.ts"

const ARGV = ["sh", "-c", "exit"]

/** An engine that finds such a session, with keepers that need so long to start, in time that passes only when told. */
const withEngine = async (
  keeperMillis: number,
  use: (
    time: VirtualTime,
    run: <A, E>(effect: Effect.Effect<A, E, Sessions | Journal>) => Promise<A>,
    id: ReturnType<typeof newSessionId>
  ) => Promise<void>
) => {
  const time = new VirtualTime()
  const id = newSessionId()
  const storage = new MemoryStorage()
  const nowMicros = () => time.clock.currentTimeMillisUnsafe() * 1000
  const created: SessionEvent = {
    _tag: "SessionCreated",
    argv: ARGV,
    cwd: "/",
    envNames: [],
    size: { cols: 80, rows: 24 },
    term: "xterm-256color",
    owner: "test",
    kind: "terminal"
  }
  await new JournalCore({ storage, durability: "process", nowMicros }).append(
    id,
    [{ event: created, actor: ACTOR_ENGINE, timeMicros: nowMicros() }],
    { rows: [{ space: "live", key: Buffer.from(id, "latin1"), value: new Uint8Array(0) }] }
  )
  const started: Array<SimulatedKeeper> = []
  const keepers: KeeperPort = {
    start: async ({ id: keeper }) => {
      await new Promise((resolve) => setTimeout(resolve, keeperMillis))
      const one = new SimulatedKeeper(keeper, `/nowhere/${keeper}.sock`, () => {
        time.activity++
      })
      started.push(one)
      return one
    },
    list: async () => [],
    connect: ({ socket, ...options }) => started.find((keeper) => keeper.socket === socket)!.connect(options),
    directoryOf: async () => undefined
  }
  const journal = Layer.sync(Journal, () => makeJournal(new JournalCore({ storage, durability: "process", nowMicros })))
  const runtime = ManagedRuntime.make(
    SessionEngine.layer({ paths: storePaths("/nowhere"), keeperEntry: "/nowhere", keepers }).pipe(
      Layer.provideMerge(HistoryLive.layer),
      Layer.provideMerge(journal),
      Layer.provide(Layer.succeedContext(Context.make(Clock.Clock, time.clock)))
    )
  )
  time.install()
  try {
    await use(time, (effect) => runtime.runPromise(effect), id)
  } finally {
    time.restore()
    await runtime.dispose()
  }
}

describe("a created session without a process", () => {
  it("is given up when its creator does not come back within 10 s", () =>
    withEngine(0, async (time, run, id) => {
      const head = () => run(Journal.use((journal) => journal.head(id)))
      assert.strictEqual(await head(), 1)
      await run(Sessions)
      await time.pass(11_000)
      assert.strictEqual(await head(), 2)
      const view = await run(Sessions.use((sessions) => sessions.create({ id, argv: ARGV, cwd: "/" })))
      assert.strictEqual(view.status, "failed")
    }))

  it("is started for a creator that came back, also when its keeper takes longer than that to start", () =>
    withEngine(25_000, async (time, run, id) => {
      await run(Sessions)
      await time.pass(9000)
      const creating = run(Sessions.use((sessions) => sessions.create({ id, argv: ARGV, cwd: "/" })))
      await time.pass(30_000)
      const { pid, status } = await creating
      assert.strictEqual(status, "running")
      assert.isNotNull(pid)
    }))
})
