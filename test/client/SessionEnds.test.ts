/** What a client remembers of terminals whose session goes on without them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { SessionId } from "../../journal/Event.ts"
import { LiveTerminal } from "../../src/client/LiveTerminal.ts"
import { SessionEnds } from "../../src/client/SessionEnds.ts"
import type { AttachItem, AttachShape } from "../../src/session/Attach.ts"
import type { HistoryShape } from "../../src/session/History.ts"
import type { LifecycleItem, LifecycleShape } from "../../src/session/Lifecycle.ts"
import type { SessionsShape } from "../../src/session/Sessions.ts"
import { refusal } from "./clientUnderTest.ts"

const session = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId
const call = <A>(effect: Effect.Effect<A, unknown>): Promise<A> => Effect.runPromise(effect)

describe("the ends that a client waits for", () => {
  it("a terminal that was left waits for none, one that stays is told", async () => {
    let close = () => {}
    const closing = Effect.callback<LifecycleItem>((resume) => {
      close = () => {
        const event = { _tag: "SessionClosed", exitCode: 3, signal: null, reason: "exited", survivors: [] } as const
        resume(
          Effect.succeed({ _tag: "Event", position: 1, session, sequence: 9, timeMicros: 1, actor: "engine", event })
        )
      }
    })
    const synced: LifecycleItem = { _tag: "Synced", position: 0 }
    const feed = () => Stream.make(synced).pipe(Stream.concat(Stream.fromEffect(closing)), Stream.concat(Stream.never))
    const history = { get: () => Effect.succeed({ status: "running" }) } as unknown as HistoryShape
    const ends = new SessionEnds({ lifecycle: { feed } as unknown as LifecycleShape, history, call })
    const items: ReadonlyArray<AttachItem> = [{ _tag: "ReplayComplete", sequence: 0 }]
    const attach: AttachShape = { attach: () => Stream.concat(Stream.fromIterable(items), Stream.never) }
    const terminal = async (client: string) => {
      const attachOptions = { client, after: 0 }
      const sessions = {} as SessionsShape
      const made = new LiveTerminal({
        session,
        sessions,
        attach,
        ends,
        call,
        attachOptions,
        ownsSession: false,
        onLeft: () => {}
      })
      await made.ready
      return made
    }

    const stays = await terminal("stays")
    for (let index = 0; index < 20; index++) {
      const left = await terminal(`leaves ${index}`)
      await left.detach()
      assert.strictEqual((await refusal(left.exited)).name, "TerminalDetached")
    }
    assert.strictEqual(ends.waiting, 1)
    close()
    assert.deepStrictEqual(await stays.exited, { exitCode: 3, signal: null, reason: "exited" })
    assert.strictEqual(ends.waiting, 0)
    await stays.detach()
    await ends.close()
  })
})
