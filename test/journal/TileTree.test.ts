/** Trees in tiles against trees in memory, across the sizes where a tile or a level fills. */
import { assert, describe, it } from "@effect/vitest"
import type { SessionId } from "../../journal/Event.ts"
import { LEAF_ENTRY_BYTES, tileKey, tileOf, unsalt, withoutSalts } from "../../journal/EvidenceRows.ts"
import { streamBytes } from "../../journal/Keys.ts"
import {
  consistencyNodes,
  HASH_BYTES,
  inclusionNodes,
  leafHash,
  MerkleTree,
  verifyConsistency,
  verifyInclusion
} from "../../journal/Merkle.ts"
import { parseStatement, statementText } from "../../journal/Statement.ts"
import { hashesOf, lastTiles, proofInTiles, TileTree } from "../../journal/TileTree.ts"

const stream = "01ARZ3NDEKTSV4RRFFQ69G5FAV" as SessionId
const leafAt = (index: number) => leafHash(Buffer.from(`entry ${index}`))
const saltAt = (index: number) => Buffer.alloc(16, 1 + (index % 255))

describe("10.8 tree in tiles", () => {
  it("10.8 has the root of the same tree in memory, is loaded from its rows, and proves entries and growth", async () => {
    const SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 66_000]
    const whole = new MerkleTree()
    const rows = new Map<string, Uint8Array>()
    const tileAt = (level: number, tile: number) => rows.get(tileKey(streamBytes(stream), level, tile).toString("hex"))
    let tree = new TileTree(true)
    for (const size of SIZES) {
      while (tree.size < size) {
        whole.append(leafAt(tree.size))
        tree.append(leafAt(tree.size), saltAt(tree.size))
      }
      assert.deepStrictEqual(Buffer.from(tree.root()), Buffer.from(whole.root()), `${size}`)
      for (const { level, tile, value } of tree.takeTiles()) {
        rows.set(tileKey(streamBytes(stream), level, tile).toString("hex"), value)
      }
      assert.deepStrictEqual(tree.takeTiles(), [])
      // As after a restart.
      tree = TileTree.load(size, true, tileAt)!
      assert.deepStrictEqual(Buffer.from(tree.root()), Buffer.from(whole.root()))
      if (size > 1 && size % 256 > 0) assert.isUndefined(TileTree.load(size, true, () => undefined))
    }
    const size = 66_000
    const hashes = async (level: number, tile: number) => {
      const value = tileAt(level, tile)
      return value && hashesOf(value, level === 0 ? LEAF_ENTRY_BYTES : HASH_BYTES)
    }
    for (const index of [0, 256, 65_999]) {
      const proof = await proofInTiles(inclusionNodes(index, size), hashes)
      assert.isTrue(verifyInclusion(leafAt(index), index, size, whole.root(), proof))
    }
    for (const first of [1, 257, 65_536]) {
      const proof = await proofInTiles(consistencyNodes(first, size), hashes)
      assert.isTrue(verifyConsistency(first, size, whole.root(first), whole.root(), proof))
    }
    assert.deepStrictEqual(
      lastTiles(66_000).map(({ entries, tile }) => [tile, entries]),
      [
        [257, 208],
        [1, 1],
        [0, 1]
      ]
    )
  })

  it("10.8 salts are given once and are then nowhere, leaf hashes stay", async () => {
    const tree = new TileTree(true)
    for (let index = 0; index < 300; index++) tree.append(leafAt(index), saltAt(index))
    const rows = new Map(
      tree
        .takeTiles()
        .map(({ level, tile, value }) => [tileKey(streamBytes(stream), level, tile).toString("hex"), value])
    )
    const read = async (_: string, key: Uint8Array) => rows.get(Buffer.from(key).toString("hex"))
    const { leaves, rows: changed } = await unsalt(stream, [1, 256, 257, 300, 301, 1000], read)
    assert.deepStrictEqual(
      [...leaves].map(([sequence, { salt }]) => [sequence, salt]),
      [1, 256, 257, 300].map((sequence) => [sequence, saltAt(sequence - 1)])
    )
    assert.strictEqual(changed.length, 2)
    for (const { key, value } of changed) {
      const before = rows.get(Buffer.from(key).toString("hex"))!
      assert.deepStrictEqual(hashesOf(value, LEAF_ENTRY_BYTES), hashesOf(before, LEAF_ENTRY_BYTES))
      rows.set(Buffer.from(key).toString("hex"), Buffer.from(value))
    }
    assert.strictEqual((await unsalt(stream, [1, 256, 257, 300], read)).leaves.size, 0)
    const first = rows.get(tileKey(streamBytes(stream), 0, 0).toString("hex"))!
    assert.strictEqual((await unsalt(stream, [2], read)).leaves.size, 1)
    const none = withoutSalts(first, 256)!
    assert.isUndefined(withoutSalts(none, 256))
    assert.strictEqual(hashesOf(none, LEAF_ENTRY_BYTES).length, 256)
    assert.strictEqual(tileOf(changed[1]!.key)?.tile, 1)
  })

  it("10.8 a statement reads as it was written", () => {
    const statement = {
      sealed: { session: stream, size: 42, root: leafAt(1) },
      timeMillis: 1_700_000_000_123,
      reason: "quiet"
    }
    assert.deepStrictEqual(parseStatement(statementText(statement)), statement)
    const idle = { sealed: undefined, timeMillis: 5, reason: "idle", predecessor: "reprise.local/X 3 AAAA" }
    assert.deepStrictEqual(parseStatement(statementText(idle)), idle)
    const text = statementText(statement)
    for (const bad of [
      "",
      `${text}x`,
      text.replace("v1", "v2"),
      text.replace("size 42", "size x"),
      text.replace("time", "size"),
      text.slice(0, -1)
    ]) {
      assert.isUndefined(parseStatement(bad), bad)
    }
  })
})
