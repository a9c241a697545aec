/** What a live session does with commands and losses that meet the last event of its stream on its way to the journal. */
import { assert, describe, it, vi } from "vitest"
import type { NewEvent, SessionId } from "../../journal/Event.ts"
import { StorageUnavailable } from "../../journal/JournalError.ts"
import type { PtyHost } from "../../src/keeper/PtyHost.ts"
import { Feed } from "../../src/session/Feed.ts"
import { LiveSession, type LiveSessionPort } from "../../src/session/LiveSession.ts"
import { SessionEnded } from "../../src/session/SessionError.ts"

const id = "01HZZZZZZZZZZZZZZZZZZZZZZZ" as SessionId

/** A running session whose appends become durable one by one, when the test says so. */
const running = async () => {
  const tags: Array<string> = []
  const waiting: Array<() => void> = []
  const ends: Array<LiveSession> = []
  let isHeld = false
  const journal = {
    append: async (_: SessionId, events: ReadonlyArray<NewEvent>) => {
      const first = tags.length + 1
      for (const { event } of events) tags.push(event._tag)
      if (isHeld) await new Promise<void>((resolve) => waiting.push(resolve))
      return { first, last: first + events.length - 1 }
    }
  }
  const port = {
    journal,
    feed: new Feed({} as never, 0),
    nowMicros: () => 1,
    monotonicMillis: () => 1,
    resizeDebounceMillis: 0,
    creationRows: () => [],
    saveState: () => {},
    ended: (one: LiveSession) => ends.push(one),
    directoryOf: async () => undefined,
    plainOutput: { note: () => undefined, after: () => undefined }
  } as unknown as LiveSessionPort
  const session = new LiveSession(id, port)
  const host = {
    id: "",
    mode: async () => ({ queuedBytes: 0, secret: false }),
    write: async () => ({ outcome: "applied" }),
    signal: async () => true,
    close: async () => [],
    ack: () => {},
    forget: () => {}
  }
  const created = { _tag: "SessionCreated", argv: ["sh"], cwd: "/", kind: "terminal", size: { cols: 80, rows: 24 } }
  await session.create(created as never, "test")
  await session.launch(host as never, async () => ({ pid: 1, startTime: "1" }))
  return {
    session,
    port,
    host: host as unknown as PtyHost,
    tags,
    ends,
    hold: () => {
      isHeld = true
    },
    release: () => {
      isHeld = false
      for (const resolve of waiting.splice(0)) resolve()
    }
  }
}

describe("behind the last word of a session nothing is journaled", () => {
  it("commands that come while it is on its way find the session ended", async () => {
    const { ends, hold, release, session, tags } = await running()
    const typed = session.write(Buffer.from("a"), {}).catch((error) => error)
    hold()
    session.terminalClosed(0)
    const results = [
      typed,
      session.signal("SIGTERM", "foreground", {}).catch((error) => error),
      session.closeInput({}).catch((error) => error),
      session.close({}).catch((error) => error)
    ]
    await new Promise((resolve) => setImmediate(resolve))
    release()
    for (const result of await Promise.all(results)) assert.instanceOf(result, SessionEnded)
    await session.whenIdle()
    assert.deepStrictEqual(tags.slice(2), ["TerminalClosed", "SessionClosed"])
    assert.strictEqual(ends.length, 1)
  })

  it("a keeper that goes away meanwhile does not make it a lost one", async () => {
    const { ends, hold, release, session, tags } = await running()
    hold()
    session.terminalClosed(0)
    const losing = Promise.all([session.lose("its keeper is gone"), session.lose("its keeper is gone")])
    await new Promise((resolve) => setImmediate(resolve))
    release()
    await losing
    assert.strictEqual(tags.at(-1), "SessionClosed")
    assert.deepStrictEqual([session.state.closed, session.isEnded, ends.length], [true, true, 1])
  })
})

describe("an engine that could not read a session yet", () => {
  it("does not call it lost when its keeper goes away, where the engine before had journaled its end", async () => {
    const { ends, host, port, session, tags } = await running()
    session.terminalClosed(0)
    await vi.waitUntil(() => session.isEnded)
    let isUnreadable = true
    const load = async () => {
      if (isUnreadable) throw new StorageUnavailable({ operation: "read", reason: "EMFILE", diskFull: false })
      return session.state
    }
    const next = new LiveSession(id, { ...port, load })
    for (const attempt of [next.adopt(host, "the engine was started again"), next.lose("its keeper is gone")]) {
      assert.instanceOf(await attempt.catch((error) => error), StorageUnavailable)
    }
    isUnreadable = false
    await next.lose("its keeper is gone")
    assert.strictEqual(tags.at(-1), "SessionClosed")
    assert.deepStrictEqual([next.isEnded, ends.length], [true, 2])
  })
})

describe("a session that is closed", () => {
  it("ends as its keeper tells, also where that comes long after the answer, behind a flood", async () => {
    const { ends, session, tags } = await running()
    vi.useFakeTimers()
    try {
      const closing = session.close({})
      await vi.advanceTimersByTimeAsync(10_000)
      assert.deepStrictEqual(ends, [])
      session.leaderExited({ exitCode: null, signal: "SIGHUP", timeMicros: 2 })
      session.terminalClosed(0)
      await vi.advanceTimersByTimeAsync(500)
      assert.deepStrictEqual(await closing, { survivors: [] })
    } finally {
      vi.useRealTimers()
    }
    assert.deepStrictEqual([session.state.signal, session.state.exitCode], ["SIGHUP", null])
    assert.deepStrictEqual(tags.slice(-3), ["LeaderExited", "TerminalClosed", "SessionClosed"])
  })

  it("ends without that word where its keeper never tells", async () => {
    const { ends, session, tags } = await running()
    vi.useFakeTimers()
    try {
      const closing = session.close({})
      await vi.advanceTimersByTimeAsync(20_000)
      await closing
    } finally {
      vi.useRealTimers()
    }
    assert.deepStrictEqual([session.state.signal, session.state.exitCode, ends.length], [null, null, 1])
    assert.notInclude(tags, "LeaderExited")
  })
})
