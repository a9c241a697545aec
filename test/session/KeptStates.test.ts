/** What a removal keeps, changed by somebody else: the next removal must not vouch for it. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Journal, JournalLevel } from "../../journal/index.ts"
import { rowKey } from "../../journal/Keys.ts"
import { LevelStorage } from "../../journal/LevelStorage.ts"
import { decodeRow, encodeRow } from "../../journal/Record.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { BASE_SPACE, snapshotKey } from "../../projections/SnapshotRow.ts"
import { backup } from "../../src/care/Backup.ts"
import { importBackup } from "../../src/care/Import.ts"
import * as RetentionLocal from "../../src/erasure/RetentionLocal.ts"
import { verifyStore } from "../../src/evidence/Verify.ts"
import { type History, Redaction, Retention } from "../../src/index.ts"
import * as HistoryLive from "../../src/session/HistoryLive.ts"
import type { StorePaths } from "../../src/session/StorePaths.ts"
import { closed, makeStore, withFolder } from "../care/stores.ts"

const retaining = <A, E>(
  paths: StorePaths,
  effect: Effect.Effect<A, E, Journal | History | Retention | Redaction>
): Promise<A> =>
  Effect.runPromise(
    effect.pipe(
      Effect.provide(
        Layer.fresh(
          RetentionLocal.layer(paths).pipe(
            Layer.provideMerge(HistoryLive.layerWithScreens),
            Layer.provideMerge(JournalLevel.layer({ location: paths.journal }))
          )
        )
      )
    )
  )

const keeping = (maxEvents: number) => ({ session: { maxEvents }, store: {} })

describe("what is kept of removed events", () => {
  it("is not what a further removal goes on from, where it is not what was recorded", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"), 2)
      const [stream, other] = [...texts.keys()]
      const prune = (maxEvents?: number) =>
        retaining(
          paths,
          Retention.use((retention) =>
            retention.prune({
              sessions: [stream!, other!],
              ...(maxEvents === undefined ? {} : { policy: keeping(maxEvents) })
            })
          )
        )
      await retaining(
        paths,
        Journal.use((journal) => Effect.andThen(journal.append(stream!, [closed]), journal.append(other!, [closed])))
      )
      const first = await prune(20)
      const to = first.items.find(({ session }) => session === stream)!.to
      assert.isAbove(to, 0)
      const { target } = await backup(paths, join(folder, "backup"), { nowMicros: 5 })
      const key = rowKey(BASE_SPACE, snapshotKey(SessionState.name, stream!, to))
      const storage = await LevelStorage.open(join(paths.journal, "db"), "process", false)
      const found = await storage.range({ from: key, to: Buffer.concat([key, Buffer.of(0)]), limit: 1, bytesMax: 1e6 })
      const forged = Buffer.from(
        Buffer.from(decodeRow(key, found[0]![1])!).toString("latin1").replace("a session", "a forgery"),
        "latin1"
      )
      await storage.batch([{ key, value: encodeRow(key, forged) }])
      await storage.close()
      const integrity = async () => (await verifyStore(paths, { anchors: [] })).integrity
      assert.strictEqual(await integrity(), "violated")
      for (const maxEvents of [4, undefined]) {
        const { items } = await prune(maxEvents)
        const [one] = items.filter(({ session }) => session === stream)
        assert.deepInclude(one, { outcome: "skipped", events: 0 })
        assert.match(one!.detail, /not what was recorded of it/)
        assert.deepInclude(
          items.find(({ session }) => session === other),
          { outcome: "removed" }
        )
        assert.strictEqual(await integrity(), "violated")
      }
      const brought = await importBackup(paths, target, { dryRun: false, skipDifferent: false })
      assert.deepInclude(
        brought.sessions.find(({ session }) => session === stream),
        { outcome: "mended" }
      )
      assert.deepInclude((await prune(4)).items[0], { session: stream!, outcome: "removed" })
      assert.strictEqual(await integrity(), "intact")
    }))

  it("is what a redaction made of it since", () =>
    withFolder(async (folder) => {
      const { paths, texts } = await makeStore(join(folder, "store"), 1)
      const [stream] = texts.keys() as Iterable<never> as [never]
      const request = { rules: [], from: 1, to: 41, reason: "", events: [], isLast: true }
      const items = await retaining(
        paths,
        Effect.gen(function* () {
          const journal = yield* Journal
          const retention = yield* Retention
          yield* journal.append(stream, [closed])
          yield* retention.prune({ sessions: [stream], policy: keeping(20) })
          const redaction = yield* Redaction
          yield* redaction.redact({ ...request, session: stream, secrets: ["a session"] })
          return (yield* retention.prune({ sessions: [stream], policy: keeping(4) })).items
        })
      )
      assert.deepInclude(items[0], { outcome: "removed" })
      assert.strictEqual((await verifyStore(paths, { anchors: [] })).integrity, "intact")
    }))
})
