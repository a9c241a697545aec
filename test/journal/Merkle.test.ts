/** The hash tree against the vectors of RFC 6962, and its proofs against everything that is nearly right. */
import { assert, describe, it } from "@effect/vitest"
import {
  consistencyProof,
  EMPTY_ROOT,
  Frontier,
  inclusionProof,
  leafHash,
  MerkleTree,
  nodeHash,
  rootOf,
  rootOfInclusion,
  verifyConsistency,
  verifyInclusion
} from "../../journal/Merkle.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytes = (text: string): Buffer => Buffer.from(text, "hex")

// The reference vectors of Certificate Transparency: entries, roots and proofs of its C++ and Go implementations' Merkle tree
// tests (google/certificate-transparency, merkle_tree_test.cc; transparency-dev/merkle, testonly).
const entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
const leaves = entries.map((entry) => leafHash(bytes(entry)))
const roots = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
]
const tree = MerkleTree.of(leaves)

/** Every way to change a proof a little: a bit of a hash, a hash less, twice, more, two in the other order. */
const forgeries = (proof: ReadonlyArray<Uint8Array>): ReadonlyArray<ReadonlyArray<Uint8Array>> => [
  ...proof.map((_, at) =>
    proof.map((hash, index) => (index === at ? Buffer.from(hash).fill(hash[7]! ^ 1, 7, 8) : hash))
  ),
  ...proof.map((_, at) => proof.toSpliced(at, 1)),
  ...proof.map((hash, at) => proof.toSpliced(at, 0, hash)),
  ...proof.slice(1).map((hash, at) => proof.toSpliced(at, 2, hash, proof[at]!)),
  [...proof, EMPTY_ROOT],
  [EMPTY_ROOT, ...proof],
  [...proof, new Uint8Array(31)]
]

describe("10.8 RFC 6962", () => {
  it("10.8 roots of 0 to 8 entries, from a whole tree and entry by entry", () => {
    const frontier = new Frontier()
    roots.forEach((root, size) => {
      assert.strictEqual(hex(tree.root(size)), root)
      assert.strictEqual(hex(frontier.root()), root)
      assert.strictEqual(frontier.size, size)
      if (size < leaves.length) frontier.append(leaves[size]!)
    })
  })

  it("10.8 PATH(5, D[0:8]) and PATH(6, D[0:7])", () => {
    assert.deepStrictEqual(tree.inclusionProof(5, 8).map(hex), [
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      roots[4]
    ])
    assert.deepStrictEqual(tree.inclusionProof(6, 7).map(hex), [
      "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
      roots[4]
    ])
  })

  it("10.8 published proofs: of entries 0 and 5 of 8, and that 8 goes on 1 and 6, and 5 on 2", () => {
    const [n96, n5f, n6b, nbc, nca, nd3, n0e] = [
      "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
    ] as const
    assert.deepStrictEqual(tree.inclusionProof(0).map(hex), [n96, n5f, n6b])
    assert.deepStrictEqual(tree.inclusionProof(5).map(hex), [nbc, nca, nd3])
    assert.deepStrictEqual(tree.consistencyProof(1).map(hex), [n96, n5f, n6b])
    assert.deepStrictEqual(tree.consistencyProof(6).map(hex), [n0e, nca, nd3])
    assert.deepStrictEqual(MerkleTree.of(leaves.slice(0, 5)).consistencyProof(2).map(hex), [n5f, nbc])
  })

  it("10.8 every entry of every size is proven, and no forged proof is", () => {
    for (let size = 1; size <= 8; size++) {
      const root = tree.root(size)
      for (let index = 0; index < size; index++) {
        const proof = tree.inclusionProof(index, size)
        assert.isTrue(verifyInclusion(leaves[index]!, index, size, root, proof))
        for (const forged of forgeries(proof)) {
          assert.isFalse(verifyInclusion(leaves[index]!, index, size, root, forged), `${index} of ${size}`)
        }
        for (let other = 0; other < size; other++) {
          if (other !== index) assert.isFalse(verifyInclusion(leaves[index]!, other, size, root, proof))
        }
        assert.isFalse(verifyInclusion(leaves[(index + 1) % 8]!, index, size, root, proof))
      }
      for (const index of [-1, size, 0.5, Number.NaN]) {
        assert.isUndefined(rootOfInclusion(leaves[0]!, index, size, []))
      }
    }
  })

  it("10.8 every size goes on every smaller one, and no forged consistency proof is taken", () => {
    for (let second = 0; second <= 8; second++) {
      for (let first = 0; first <= second; first++) {
        const proof = tree.consistencyProof(first, second)
        const [one, other] = [tree.root(first), tree.root(second)]
        assert.isTrue(verifyConsistency(first, second, one, other, proof), `${first} to ${second}`)
        for (const forged of forgeries(proof)) {
          assert.isFalse(verifyConsistency(first, second, one, other, forged), `${first} to ${second}`)
        }
        // A history that was written anew: the first tree never was a beginning of the second.
        const changed = leafHash(Buffer.from("another entry"))
        assert.isFalse(verifyConsistency(first, second, changed, other, proof))
        if (first > 0) assert.isFalse(verifyConsistency(first, second, one, changed, proof))
        if (first !== second) assert.isFalse(verifyConsistency(second, first, other, one, proof))
      }
    }
  })

  it("10.8 a tree that was changed before its earlier size is never consistent, whatever its own proof is", () => {
    for (let changed = 0; changed < 5; changed++) {
      const forged = MerkleTree.of(leaves.map((leaf, index) => (index === changed ? leafHash(Buffer.of(1)) : leaf)))
      for (let first = changed + 1; first <= 8; first++) {
        const proof = forged.consistencyProof(first, 8)
        assert.isFalse(verifyConsistency(first, 8, tree.root(first), forged.root(), proof))
        // The first root taken from the forged tree: then it is not the one that was kept outside.
        assert.isTrue(verifyConsistency(first, 8, forged.root(first), forged.root(), proof))
      }
    }
  })

  it("10.8 sizes above 32 bits are counted right", () => {
    // A tree of equal entries: every perfect subtree of a level has the same hash.
    const levels: Array<Uint8Array> = [leaves[0]!]
    for (let level = 1; level < 53; level++) levels.push(nodeHash(levels[level - 1]!, levels[level - 1]!))
    const nodeAt = (level: number): Uint8Array => levels[level]!
    const first = 2 ** 40 + 12_345
    const second = 2 ** 45 + 2 ** 33 + 7
    const proof = consistencyProof(first, second, nodeAt)
    const rootAt = (size: number) => rootOf(size, nodeAt)
    assert.isTrue(verifyConsistency(first, second, rootAt(first), rootAt(second), proof))
    assert.isFalse(verifyConsistency(first + 1, second, rootAt(first), rootAt(second), proof))
    const path = inclusionProof(2 ** 41 + 3, second, nodeAt)
    assert.isTrue(verifyInclusion(leaves[0]!, 2 ** 41 + 3, second, rootAt(second), path))
  })
})
