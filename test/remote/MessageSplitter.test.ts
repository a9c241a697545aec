import { assert, describe, it } from "vitest"
import { MessageSplitter } from "../../src/remote/MessageSplitter.ts"
import { seededRandom } from "../fixtures/seededRandom.ts"

const BEGINNING = Uint8Array.of(9, 8, 7)
const BYTES_MAX = 3_000_000

/** With its length in front. */
const message = (bytes: number): Buffer => {
  const prefix: Array<number> = []
  for (let length = bytes; ; length = Math.floor(length / 128)) {
    prefix.push(length >= 128 ? (length % 128) | 0x80 : length)
    if (length < 128) break
  }
  const body = Buffer.alloc(bytes, bytes & 0xff)
  body.set(BEGINNING.subarray(0, bytes))
  return Buffer.concat([Buffer.from(prefix), body])
}

describe("MessageSplitter", () => {
  it("gives the same messages however the bytes at the door are cut", () => {
    const messages = [3, 10, 127, 128, 129, 16_383, 16_384, 200_000, 5, 2_500_000, 4].map(message)
    const bytes = Buffer.concat(messages)
    for (let seed = 1; seed <= 40; seed++) {
      const random = seededRandom(seed)
      const splitter = new MessageSplitter(BEGINNING)
      const found: Array<Uint8Array> = []
      for (let at = 0; at < bytes.length; ) {
        const end = at + 1 + random.below(seed % 4 === 0 ? 20_000 : 300_000)
        const result = splitter.push(bytes.subarray(at, end), BYTES_MAX)
        assert.isUndefined(result.refusal)
        found.push(...result.messages)
        at = end
      }
      assert.strictEqual(found.length, messages.length)
      assert.isTrue(found.every((one, index) => messages[index]!.equals(one)))
      assert.strictEqual(splitter.heldBytes, 0)
    }
    const splitter = new MessageSplitter(BEGINNING)
    const short = Buffer.concat(messages.slice(0, 5))
    const found = [...short].flatMap((byte) => splitter.push(Uint8Array.of(byte), BYTES_MAX).messages)
    assert.isTrue(Buffer.concat(found).equals(short))
  })

  it("refuses at the door what can never become a message, at its first bytes", () => {
    const refused = (bytes: ReadonlyArray<number>) =>
      new MessageSplitter(BEGINNING).push(Uint8Array.from(bytes), BYTES_MAX).refusal
    assert.include(refused([0]), "empty")
    assert.include(refused([0x80, 0]), "empty")
    assert.include(refused([0x80, 0x80, 0x80, 0x80, 0x04]), "at most")
    assert.include(refused([0xff, 0xff, 0xff, 0xff]), "at most")
    assert.include(refused([0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), "not one")
    assert.include(refused([0x90, 0x01, 9, 8, 6]), "no message")
    assert.isUndefined(refused([0x90, 0x01, 9, 8, 7]))
    assert.isUndefined(refused([0x90, 0x01, 9]))
    assert.isUndefined(refused([0x90]))
    // What came before it is given all the same.
    const result = new MessageSplitter(BEGINNING).push(Buffer.concat([message(50), Buffer.of(0)]), BYTES_MAX)
    assert.deepStrictEqual([result.messages.length, result.refusal !== undefined], [1, true])
  })

  it("takes memory for what has come to the door, not for what is claimed", () => {
    const splitter = new MessageSplitter(BEGINNING)
    splitter.push(message(2_500_000).subarray(0, 100), BYTES_MAX)
    assert.isAtMost(splitter.heldBytes, 1024)
    splitter.push(Buffer.alloc(100_000), BYTES_MAX)
    assert.isAtMost(splitter.heldBytes, 400_400)
  })
})
