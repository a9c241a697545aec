import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { SessionExit } from "../../src/client/index.ts"
import { OutputReader } from "../../src/client/OutputReader.ts"
import type { AttachError, AttachItem } from "../../src/session/Attach.ts"
import { HistoryDamaged, SessionUnavailable } from "../../src/session/SessionError.ts"
import { refusal } from "./clientUnderTest.ts"

const size = { cols: 80, rows: 24 }
const attached: AttachItem = {
  _tag: "Attached",
  session: "S",
  client: "c",
  status: "running",
  size,
  head: 0,
  readOnly: false
}
const output = (sequence: number, text: string, channel?: "stdout" | "stderr"): AttachItem => ({
  _tag: "Output",
  data: Buffer.from(text),
  offset: 0,
  sequence,
  ...(channel !== undefined && { channel })
})
const missing = (sequence: number, from: number, to: number | null): AttachItem => ({
  _tag: "Missing",
  from,
  to,
  why: "gone",
  sequence
})
const complete = (sequence: number): AttachItem => ({ _tag: "ReplayComplete", sequence })
const ended = (sequence: number): AttachItem => ({
  _tag: "Ended",
  reason: "exited",
  exitCode: 0,
  signal: null,
  detail: "",
  sequence
})
const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const end: SessionExit = { exitCode: 0, signal: null, reason: "exited" }

type Items = Stream.Stream<AttachItem, AttachError>

/** A reader over one stream for each time it attaches, with the cursors that it attached behind. */
const reading = (streams: ReadonlyArray<Items>, after: number | undefined = 0) => {
  const cursors: Array<number | undefined> = []
  const exits: Array<SessionExit> = []
  const reader = new OutputReader({
    after,
    open: (from) => {
      cursors.push(from)
      return streams[cursors.length - 1] ?? Stream.die(new Error("attached once too often"))
    },
    onEnd: (exit) => exits.push(exit)
  })
  const all = async () => {
    const chunks = []
    for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) chunks.push(chunk)
    return chunks
  }
  return { reader, cursors, exits, all }
}

const items = (...all: ReadonlyArray<AttachItem>): Items => Stream.fromIterable(all)

describe("OutputReader", () => {
  it("G29 what is missing stands before the chunk behind it, and each gap is told once", async () => {
    const { all, exits } = reading([
      items(
        attached,
        output(1, "a"),
        missing(2, 1, 2000),
        output(3, "b"),
        complete(3),
        missing(4, 2001, null),
        ended(5)
      )
    ])
    assert.deepStrictEqual(await all(), [
      { stdout: bytes("a"), sequence: 1, isReplay: true },
      { stdout: bytes("b"), sequence: 3, isReplay: true, gapBefore: { from: 1, to: 2000, reason: "gone" } },
      { ...end, sequence: 5, isReplay: false, gapBefore: { from: 2001, to: null, reason: "gone" } }
    ])
    assert.deepStrictEqual(exits, [end])
  })

  it("G29 of two gaps in a row the first has a chunk of its own", async () => {
    const { all } = reading([
      items(attached, missing(1, 0, 5), missing(2, 9, 12), complete(2), output(3, "x"), ended(4))
    ])
    const chunks = await all()
    assert.deepStrictEqual(chunks.slice(0, 2), [
      { sequence: 1, isReplay: true, gapBefore: { from: 0, to: 5, reason: "gone" } },
      { stdout: bytes("x"), sequence: 3, isReplay: false, gapBefore: { from: 9, to: 12, reason: "gone" } }
    ])
  })

  it("streams of commands stay apart, and what is no output is no chunk", async () => {
    const resized: AttachItem = { _tag: "Resized", size, sequence: 2 }
    const exited: AttachItem = { _tag: "Exited", exitCode: 0, signal: null, sequence: 5 }
    const { all } = reading([
      items(
        attached,
        complete(0),
        output(1, "t"),
        resized,
        output(3, "o", "stdout"),
        output(4, "e", "stderr"),
        exited,
        ended(6)
      )
    ])
    assert.deepStrictEqual(await all(), [
      { stdout: bytes("t"), sequence: 1, isReplay: false },
      { stdout: bytes("o"), sequence: 3, isReplay: false },
      { stderr: bytes("e"), sequence: 4, isReplay: false },
      { ...end, sequence: 6, isReplay: false }
    ])
  })

  it("an end from before is a replay, though it is told behind the others", async () => {
    const { all } = reading([items(attached, output(1, "a"), complete(2), ended(2))])
    assert.deepStrictEqual((await all()).at(-1), { ...end, sequence: 2, isReplay: true })
  })

  it("a connection that was made anew replays again", async () => {
    const { all } = reading([
      items(attached, complete(0), output(1, "a"), attached, output(2, "b"), complete(2), ended(3))
    ])
    assert.deepStrictEqual(
      (await all()).map(({ isReplay }) => isReplay),
      [false, true, false]
    )
  })

  it("a screen is marked, and one that is empty is none", async () => {
    const screen = (text: string, sequence: number): AttachItem => ({
      _tag: "Screen",
      data: Buffer.from(text),
      size,
      sequence,
      reason: null
    })
    const drawn = reading([items(attached, screen("drawn", 7), complete(7), ended(8))], undefined)
    assert.deepStrictEqual((await drawn.all())[0], {
      stdout: bytes("drawn"),
      isScreen: true,
      sequence: 7,
      isReplay: true
    })
    const empty = reading([items(attached, screen("", 0), output(1, "all"), complete(1), ended(2))], undefined)
    assert.deepStrictEqual((await empty.all())[0], { stdout: bytes("all"), sequence: 1, isReplay: true })
  })

  it("what was read stands before an error, and the next call attaches again behind it", async () => {
    const away = Stream.fail(new SessionUnavailable({ session: "S", reason: "away" }))
    const { all, cursors, reader } = reading([
      Stream.concat(items(attached, output(1, "a"), complete(1)), away),
      away,
      items(attached, output(2, "b"), complete(2), ended(3))
    ])
    await reader.attach()
    assert.strictEqual((await reader.next())?.sequence, 1)
    for (let times = 0; times < 2; times++) {
      assert.strictEqual((await refusal(reader.next())).code, "Unavailable")
    }
    assert.deepStrictEqual(
      (await all()).map(({ sequence }) => sequence),
      [2, 3]
    )
    assert.deepStrictEqual(cursors, [0, 1, 1])
  })

  it("damage is told, and that a stream has no end", async () => {
    const damaged = Stream.fail(new HistoryDamaged({ session: "S", reason: "event 2 is damaged" }))
    const { reader } = reading([Stream.concat(items(attached, output(1, "a")), damaged), items(attached)])
    assert.strictEqual((await reader.next())?.sequence, 1)
    const refused = await refusal(reader.next())
    assert.strictEqual(refused.code, "DataLoss")
    assert.strictEqual(refused.message, "event 2 is damaged")
    assert.strictEqual((await refusal(reader.next())).code, "Unavailable")
  })

  it("let go, it attaches again behind the last chunk that was taken; closed, it has nothing more", async () => {
    const open = Stream.concat(items(attached, output(1, "a"), output(2, "b"), complete(2)), Stream.never)
    const { cursors, reader } = reading([
      open,
      Stream.drop(open, 2).pipe((rest) => Stream.concat(items(attached), rest))
    ])
    assert.strictEqual((await reader.next())?.sequence, 1)
    await reader.letGo()
    assert.strictEqual((await reader.next())?.sequence, 2)
    assert.deepStrictEqual(cursors, [0, 1])
    const waiting = reader.next()
    await reader.letGo()
    await reader.close()
    assert.isUndefined(await waiting)
    assert.isUndefined(await reader.next())
  })

  it("attaches again when its session was taken back, after the attachment before it is gone", async () => {
    const order: Array<string> = []
    const open = (name: string, head: number) =>
      Stream.concat(items({ ...attached, head }, output(1, name)), Stream.never).pipe(
        Stream.onStart(Effect.sync(() => order.push(`${name} comes`))),
        Stream.ensuring(Effect.sync(() => order.push(`${name} goes`)))
      )
    const { cursors, reader } = reading([open("first", 3), open("second", 9)])
    await reader.attach()
    reader.renew(8)
    const chunk = await reader.next()
    assert.strictEqual(Buffer.from(chunk?.stdout ?? []).toString(), "second")
    assert.deepStrictEqual(order, ["first comes", "first goes", "second comes"])
    assert.deepStrictEqual(cursors, [0, 0])
    await reader.close()
  })

  it("stays attached when it came back by itself since its session was taken back", async () => {
    const { cursors, reader } = reading([
      Stream.concat(items(attached, output(1, "a"), { ...attached, head: 9 }), Stream.never)
    ])
    await reader.attach()
    reader.renew(8)
    assert.strictEqual((await reader.next())?.sequence, 1)
    assert.deepStrictEqual(cursors, [0])
    await reader.close()
  })
})
