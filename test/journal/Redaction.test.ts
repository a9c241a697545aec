/** Payloads that are replaced under a seal: the leaf of the event still stands, and what is refused changes nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { eventLeafHash, isNoSalt, splitRecord, storedLeafHash } from "../../journal/EvidenceLeaf.ts"
import { TILE_SPACE, tileKey } from "../../journal/EvidenceRows.ts"
import { Journal } from "../../journal/Journal.ts"
import * as JournalMemory from "../../journal/JournalMemory.ts"
import { eventKey, streamBytes } from "../../journal/Keys.ts"
import { HASH_BYTES, sha256 } from "../../journal/Merkle.ts"
import { encodeRecord } from "../../journal/Record.ts"
import { newSessionId } from "../contracts/JournalContract.ts"

const stream = newSessionId()
const event = { _tag: "InputWritten", data: Uint8Array.from(Buffer.from("my secret")) } as const
const entry = { event, actor: "tester", commandId: "c1", timeMicros: 7 }
const asked = { from: 1, to: 1, rules: [], reason: "", actor: "cli", timeMicros: 8, rows: [] }
const edit = (from: number, text: string) => ({
  sequence: 1,
  edits: [{ from, to: from + text.length, bytes: Buffer.from(text) }]
})

describe("a redaction under a seal", () => {
  it.effect("10.7 (6): the event keeps the digest that its leaf has, the salt goes, and the leaf is proven by it", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.append(stream, [entry])
      const key = eventKey(streamBytes(stream), 1)
      const value = encodeRecord(key, entry)
      const salt = Buffer.alloc(16, 9)
      const leaf = storedLeafHash(key, value, salt)!
      const tile = tileKey(streamBytes(stream), 0, 0)
      yield* journal.putRows([{ space: TILE_SPACE, key: tile, value: Buffer.concat([leaf, salt]) }])
      const told = yield* journal.redaction.replace(stream, { ...asked, events: [edit(3, "******")] })
      yield* journal.redaction.finish(stream, [], [])
      const { original, replacement, sealed } = told.events[0]!
      assert.isTrue(sealed)
      const header = splitRecord(value)!.header
      assert.deepStrictEqual(eventLeafHash(key, header, Buffer.from(original, "hex")), leaf)
      assert.strictEqual(replacement, sha256(Buffer.from("my ******")).toString("hex"))
      const row = (yield* journal.row(TILE_SPACE, tile))!
      assert.deepStrictEqual(Buffer.from(row.value.subarray(0, HASH_BYTES)), leaf)
      assert.isTrue(isNoSalt(row.value.subarray(HASH_BYTES)))
      const [first, second] = yield* Stream.runCollect(journal.read(stream))
      assert.strictEqual(Buffer.from((first!.event as typeof event).data).toString(), "my ******")
      assert.deepInclude(first, { actor: "tester", commandId: "c1", timeMicros: 7 })
      assert.deepStrictEqual(second!.event, told)
    }).pipe(Effect.provide(JournalMemory.layer))
  )

  it.effect("refuses what would change more than what an event holds", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const { first } = yield* journal.append(stream, [entry])
      assert.strictEqual(first, 1)
      const longer = { sequence: 1, edits: [{ from: 0, to: 1, bytes: Buffer.from("**") }] }
      const missing = { ...edit(0, "*"), sequence: 9 }
      for (const events of [[longer], [edit(8, "**")], [missing], [edit(0, "*"), edit(0, "*")], []]) {
        yield* Effect.flip(journal.redaction.replace(stream, { ...asked, events }))
      }
      assert.strictEqual(yield* journal.head(stream), 1)
      assert.deepStrictEqual([...(yield* journal.redaction.unfinished)], [])
    }).pipe(Effect.provide(JournalMemory.layer))
  )
})
