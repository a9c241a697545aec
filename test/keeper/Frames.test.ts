/** The wire format: what goes in comes out, however it is cut, and nothing else does. */
import { assert, describe, it } from "vitest"
import {
  FRAME_BYTES_MAX,
  FrameDecoder,
  FrameError,
  FrameType,
  frame,
  jsonFrame,
  jsonIn,
  readSession,
  readU64,
  requestFrame,
  SESSION_BYTES,
  sessionFrame
} from "../../src/keeper/Frames.ts"
import { newSession, type SessionId } from "../contracts/PtyHostContract.ts"

const decode = (chunks: ReadonlyArray<Uint8Array>, bytesMax = FRAME_BYTES_MAX): Array<[type: number, body: Buffer]> => {
  const frames: Array<[number, Buffer]> = []
  const decoder = new FrameDecoder(bytesMax, (type, body) => frames.push([type, Buffer.from(body)]))
  for (const chunk of chunks) decoder.push(chunk)
  return frames
}

describe("Frames", () => {
  const session = newSession()
  const data = Buffer.alloc(100_000, "0123456789")
  const stream = Buffer.concat([
    frame(FrameType.Probe, 0),
    sessionFrame(FrameType.Output, session, 2 ** 52 + 1, data.length),
    data,
    requestFrame(FrameType.Attach, 7, session, 123),
    jsonFrame(FrameType.Spawn, 8, { text: "é\0" })
  ])

  it.each([1, 2, 3, 5, 29, 4095, 65_536, 1_000_000])(
    "come out whole when they arrive in pieces of %i bytes",
    (size) => {
      // One buffer for all pieces, as a socket reads: a body is copied by whoever keeps it.
      const reused = Buffer.alloc(size)
      const frames: Array<[number, Buffer]> = []
      const decoder = new FrameDecoder(FRAME_BYTES_MAX, (type, body) => frames.push([type, Buffer.from(body)]))
      for (let at = 0; at < stream.length; at += size) {
        const bytes = stream.copy(reused, 0, at, at + size)
        decoder.push(reused.subarray(0, bytes))
        reused.fill(0xee)
      }
      assert.deepStrictEqual(
        frames.map(([type]) => type),
        [FrameType.Probe, FrameType.Output, FrameType.Attach, FrameType.Spawn]
      )
      const [probe, output, attach, spawn] = frames.map(([, body]) => body)
      assert.strictEqual(probe!.length, 0)
      assert.strictEqual(readSession(output!, 0), session)
      assert.strictEqual(readU64(output!, SESSION_BYTES), 2 ** 52 + 1)
      assert.isTrue(output!.subarray(SESSION_BYTES + 8).equals(data))
      assert.strictEqual(attach!.readUInt32BE(0), 7)
      assert.strictEqual(readSession(attach!, 4), session)
      assert.strictEqual(readU64(attach!, 4 + SESSION_BYTES), 123)
      assert.deepStrictEqual(jsonIn(spawn!), { text: "é\0" })
    }
  )

  it("carry every session id, and nothing that is none", () => {
    const ids = ["00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01ARZ3NDEKTSV4RRFFQ69G5FAV", newSession()]
    for (const id of ids as Array<SessionId>) {
      const [[, body]] = decode([sessionFrame(FrameType.Ack, id, 0)]) as [[number, Buffer]]
      assert.strictEqual(readSession(body, 0), id)
    }
    for (const id of [
      "",
      "../x",
      "01ARZ3NDEKTSV4RRFFQ69G5FAv",
      "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
      `${ids[0]}0`,
      "U".repeat(26)
    ]) {
      assert.throws(() => sessionFrame(FrameType.Ack, id as SessionId, 0), FrameError)
    }
  })

  it("are refused by their length alone", () => {
    const head = (length: number) => {
      const bytes = Buffer.alloc(5)
      bytes.writeUInt32BE(length, 0)
      return bytes
    }
    assert.throws(() => decode([head(0)]), FrameError)
    assert.throws(() => decode([head(FRAME_BYTES_MAX + 1)]), FrameError)
    assert.throws(() => decode([head(0xffffffff)]), FrameError)
    assert.throws(() => decode([head(101)], 100), FrameError)
    assert.deepStrictEqual(decode([head(FRAME_BYTES_MAX)]), [])
  })

  it("are refused when a number is too large, the body is cut or the JSON is none", () => {
    assert.throws(() => readU64(Buffer.alloc(8, 0xff), 0), FrameError)
    assert.throws(() => readSession(Buffer.alloc(15), 0), FrameError)
    assert.throws(() => jsonIn(Buffer.from("0000{")), FrameError)
  })
})
