/** Golden bytes of format version 1: what is on disk today must be readable for ever, and written the same. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import type { SessionId } from "../../journal/Event.ts"
import { eventKey, sequenceOf, streamBytes, streamOf } from "../../journal/Keys.ts"
import { damageOf, decodeRecord, encodeRecord } from "../../journal/Record.ts"
import { newSessionId, sampleEvents } from "../contracts/JournalContract.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const goldenPath = fileURLToPath(new URL("./golden/format-1.json", import.meta.url))
const stream = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId

const encodeAll = () =>
  sampleEvents.map((event, index) => {
    const key = eventKey(streamBytes(stream), index + 1)
    const entry = {
      event,
      actor: "tester",
      commandId: index % 2 ? `c${index}` : undefined,
      timeMicros: 1_700_000_000_123_456 + index
    }
    return { tag: event._tag, key: key.toString("hex"), value: encodeRecord(key, entry).toString("hex") }
  })

describe("record format 1", () => {
  const golden = JSON.parse(readFileSync(goldenPath, "utf8")) as ReturnType<typeof encodeAll>

  it("writes the golden bytes", () => assert.deepStrictEqual(encodeAll(), golden))

  it("reads the golden bytes", () => {
    assert.strictEqual(golden.length, sampleEvents.length)
    golden.forEach(({ key, value }, index) => {
      assert.isUndefined(damageOf(Buffer.from(key, "hex"), Buffer.from(value, "hex")))
      const entry = decodeRecord(index + 1, Buffer.from(value, "hex"))
      const normal = (event: object) => JSON.parse(JSON.stringify(event))
      assert.deepStrictEqual(normal(entry.event), normal(sampleEvents[index]!))
      assert.strictEqual(entry.timeMicros, 1_700_000_000_123_456 + index)
    })
  })

  it("reads a later version and an unknown kind as Unknown", () => {
    const { key, value } = golden[6]!
    for (const at of [4, 5]) {
      const changed = Buffer.from(value, "hex")
      changed[at] = 200
      assert.strictEqual(decodeRecord(1, changed).event._tag, "Unknown")
      assert.isDefined(damageOf(Buffer.from(key, "hex"), changed))
    }
  })

  it("finds every flipped bit of key and value", () => {
    for (const { key, value } of golden) {
      const [k, v] = [Buffer.from(key, "hex"), Buffer.from(value, "hex")]
      for (const bytes of [k, v]) {
        for (let bit = 0; bit < bytes.length * 8; bit++) {
          bytes[bit >> 3]! ^= 1 << (bit & 7)
          assert.isDefined(damageOf(k, v))
          bytes[bit >> 3]! ^= 1 << (bit & 7)
        }
      }
    }
  })

  it("names streams and sequences in keys that sort as they read", () => {
    const random = seededRandom(7)
    for (let i = 0; i < 500; i++) {
      const id = newSessionId()
      assert.strictEqual(streamOf(streamBytes(id)), id)
      const [a, b] = [random.below(2 ** 31) * 4_000_000, random.below(2 ** 31) * 4_000_000]
      assert.strictEqual(sequenceOf(eventKey(streamBytes(id), a)), a)
      assert.strictEqual(
        Math.sign(Buffer.compare(eventKey(streamBytes(id), a), eventKey(streamBytes(id), b))),
        Math.sign(a - b)
      )
    }
  })
})
