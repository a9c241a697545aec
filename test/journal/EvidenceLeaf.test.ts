/** The bytes of a leaf, put together here by hand from the documented layout. */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import type { SessionId } from "../../journal/Event.ts"
import { eventLeafHash, payloadDigest, SALT_BYTES, splitRecord, storedLeafHash } from "../../journal/EvidenceLeaf.ts"
import { eventKey, streamBytes } from "../../journal/Keys.ts"
import { encodeRecord } from "../../journal/Record.ts"
import { sampleEvents } from "../contracts/JournalContract.ts"

const stream = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId
const salt = Buffer.alloc(SALT_BYTES, 7)
const sha256 = (...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest()
}

describe("10.8 leaf of an event", () => {
  it("10.8 is key, header and salted payload, for every kind, with and without labels", () => {
    for (const commandId of [undefined, "c1", "x".repeat(64)]) {
      for (const [index, event] of sampleEvents.entries()) {
        const key = eventKey(streamBytes(stream), index + 1)
        const value = encodeRecord(key, { event, actor: "tester", commandId, timeMicros: 1_700_000_000_123_456 })
        const at = 4 + 1 + 1 + 8 + 1 + "tester".length + 1 + (commandId?.length ?? 0)
        const digest = sha256(salt, value.subarray(at))
        const leaf = sha256(Buffer.of(0), key, value.subarray(4, at), digest)
        assert.deepStrictEqual(storedLeafHash(key, value, salt), leaf)
        const parts = splitRecord(value)!
        assert.deepStrictEqual(payloadDigest(salt, parts.payload), digest)
        assert.deepStrictEqual(eventLeafHash(key, parts.header, digest), leaf)
      }
    }
  })

  it("10.8 changes with every byte of key, salt and value but the checksum", () => {
    const key = eventKey(streamBytes(stream), 1)
    const data = Buffer.from("ls -l")
    const value = encodeRecord(key, {
      event: { _tag: "InputWritten", data },
      actor: "tester",
      commandId: "c1",
      timeMicros: 1_700_000_000_123_456
    })
    const leaf = storedLeafHash(key, value, salt)!.toString("hex")
    const flipped = (bytes: Buffer, at: number) => Buffer.from(bytes).fill(bytes[at]! ^ 1, at, at + 1)
    for (let at = 0; at < key.length; at++) {
      assert.notStrictEqual(storedLeafHash(flipped(key, at), value, salt)?.toString("hex"), leaf)
    }
    for (let at = 0; at < salt.length; at++) {
      assert.notStrictEqual(storedLeafHash(key, value, flipped(salt, at))?.toString("hex"), leaf)
    }
    for (let at = 4; at < value.length; at++) {
      assert.notStrictEqual(storedLeafHash(key, flipped(value, at), salt)?.toString("hex"), leaf)
    }
    assert.strictEqual(storedLeafHash(key, flipped(value, 0), salt)?.toString("hex"), leaf)
  })

  it("10.8 has no header and payload where a value is too short for its own lengths", () => {
    const key = eventKey(streamBytes(stream), 1)
    const value = encodeRecord(key, {
      event: { _tag: "InputHidden" },
      actor: "tester",
      commandId: "c1",
      timeMicros: 1
    })
    assert.strictEqual(splitRecord(value)?.payload.byteLength, 0)
    for (let length = 0; length < value.length; length++) assert.isUndefined(splitRecord(value.subarray(0, length)))
  })
})
