/**
 * An engine in this process, a session in it that floods, and how far the drawing in the background is behind when the
 * flood has ended. Run as `attachFlood.ts STORE FILE TIMES`; prints one line of JSON. The engine and its keepers end with it.
 */
import { Effect, Stream } from "effect"
import type { SessionId } from "../../../journal/Event.ts"
import { Journal } from "../../../journal/Journal.ts"
import { SCREEN_SNAPSHOT_NAME } from "../../../projections/ScreenDrawing.ts"
import { UNDRAWN_BYTES } from "../../../projections/ScreenFollower.ts"
import { SNAPSHOT_SPACE, snapshotKey, snapshotSequence } from "../../../projections/SnapshotRow.ts"
import * as Reprise from "../../../src/Reprise.ts"
import { History } from "../../../src/session/History.ts"
import { Sessions } from "../../../src/session/Sessions.ts"

const POLL_MILLIS = 5

const [store, file, times] = process.argv.slice(2)

/** Output behind the latest snapshot. */
const undrawn = Effect.fnUntraced(function* (id: SessionId, outputBytes: number) {
  const journal = yield* Journal
  const [row] = yield* Stream.runCollect(
    journal.rows(SNAPSHOT_SPACE, {
      from: snapshotKey(SCREEN_SNAPSHOT_NAME, id, 0),
      to: snapshotKey(SCREEN_SNAPSHOT_NAME, id, Number.MAX_SAFE_INTEGER),
      reverse: true,
      limit: 1
    })
  )
  const after = row === undefined ? 0 : snapshotSequence(row.key)
  const page = yield* Stream.runCollect(journal.read(id, { after, until: after + 8 }))
  const next = page.find(({ event }) => event._tag === "OutputReceived")
  return next?.event._tag === "OutputReceived" ? outputBytes - next.event.offset : 0
})

const measure = Effect.gen(function* () {
  const sessions = yield* Sessions
  const history = yield* History
  const start = performance.now()
  // It stays after the flood, as a shell does.
  const view = yield* sessions.create({
    argv: ["/bin/sh", "-c", `cat ${`'${file}' `.repeat(Number(times))}; printf END; exec sleep 1000`],
    cwd: "/"
  })
  const id = view.id as SessionId
  let tail = ""
  yield* history.follow(id, 0).pipe(
    Stream.runForEachWhile((item) =>
      Effect.sync(() => {
        if (item._tag !== "Page") return true
        for (const { event } of item.entries) {
          if (event._tag === "OutputReceived") tail = (tail + Buffer.from(event.data.subarray(-3)).toString()).slice(-3)
        }
        return tail !== "END"
      })
    )
  )
  const flood = performance.now() - start
  const { outputBytes } = yield* history.get(id)
  const behind = yield* undrawn(id, outputBytes)
  const ended = performance.now()
  while ((yield* undrawn(id, outputBytes)) >= UNDRAWN_BYTES) yield* Effect.sleep(POLL_MILLIS)
  const caughtUp = performance.now() - ended
  const asked = performance.now()
  const { sequence } = yield* history.redraw(id, { _tag: "Head" })
  const attach = performance.now() - asked
  const journal = yield* Journal
  const isHead = sequence === (yield* journal.head(id))
  yield* sessions.close(id)
  return { flood, outputBytes, behind, caughtUp, attach, isHead }
})

const result = await Effect.runPromise(Effect.scoped(Effect.provide(measure, Reprise.layer({ store: store! }))))
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(0)
