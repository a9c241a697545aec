/**
 * The hash tree of RFC 6962 (and RFC 9162, section 2.1): which hash stands for a list of entries, and how a few hashes
 * prove that an entry is in the list, or that a list goes on another. Used by the evidence of a store, by bundles that
 * leave it, and by whoever checks either. Pure functions over bytes: it knows nothing of events, keys or signatures.
 *
 *   leaf  SHA-256(0x00 | data)          node  SHA-256(0x01 | left | right)          of no entries  SHA-256("")
 *
 * Sizes and indices are numbers of entries, up to 2^53 - 1; so they are halved by division, never shifted.
 */
import { hash } from "node:crypto"

export const HASH_BYTES = 32

export const sha256 = (data: Uint8Array): Buffer => hash("sha256", data, "buffer")

const LEAF_PREFIX = Buffer.of(0)
/** The hash of a list without entries. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array(0))

export const leafHash = (data: Uint8Array): Buffer => sha256(Buffer.concat([LEAF_PREFIX, data]))

/** Reused: a call hashes it and keeps nothing of it. */
const nodeBytes = Buffer.alloc(1 + 2 * HASH_BYTES, 1)
export const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer => {
  nodeBytes.set(left, 1)
  nodeBytes.set(right, 1 + HASH_BYTES)
  return sha256(nodeBytes)
}

/** A perfect subtree: the entries `index * 2^level` to `(index + 1) * 2^level - 1`. Level 0: an entry. */
export interface TreeNode {
  readonly level: number
  readonly index: number
}
/** Where the hashes of perfect subtrees come from: an array, tiles, another machine. */
export type NodeSource = (level: number, index: number) => Uint8Array

const half = (value: number): number => Math.floor(value / 2)
const isOdd = (value: number): boolean => value % 2 === 1

/** The largest power of two below `size` (at least 2): where the tree of so many entries is split. */
const splitOf = (size: number): number => {
  let power = 1
  while (power * 2 < size) power *= 2
  return power
}

/** The perfect subtrees that the entries `from` to `to - 1` consist of, left to right. `from` is where a tree splits. */
const rangeNodes = (from: number, to: number): ReadonlyArray<TreeNode> => {
  const nodes: Array<TreeNode> = []
  let at = from
  for (let left = to - from; left > 0; ) {
    let level = 0
    let power = 1
    while (power * 2 <= left) {
      power *= 2
      level++
    }
    nodes.push({ level, index: at / power })
    at += power
    left -= power
  }
  return nodes
}

/** One hash of the hashes of neighbouring perfect subtrees, left to right, as `rangeNodes` has them. */
export const joinHashes = (hashes: ReadonlyArray<Uint8Array>): Uint8Array => {
  let joined = hashes[hashes.length - 1]
  if (joined === undefined) return EMPTY_ROOT
  for (let index = hashes.length - 2; index >= 0; index--) joined = nodeHash(hashes[index]!, joined)
  return joined
}

/** What the root of so many entries is made of. */
const rootNodes = (size: number): ReadonlyArray<TreeNode> => rangeNodes(0, size)
export const rootOf = (size: number, nodeAt: NodeSource): Uint8Array =>
  joinHashes(rootNodes(size).map(({ level, index }) => nodeAt(level, index)))

/** What each hash of the proof is made of: to be read before, where reading takes its time. */
export const inclusionNodes = (index: number, size: number): ReadonlyArray<ReadonlyArray<TreeNode>> => {
  if (!(index >= 0 && index < size)) throw new RangeError(`entry ${index} of ${size}`)
  const proof: Array<ReadonlyArray<TreeNode>> = []
  for (let from = 0, to = size; to - from > 1; ) {
    const split = from + splitOf(to - from)
    if (index < split) {
      proof.unshift(rangeNodes(split, to))
      to = split
    } else {
      proof.unshift(rangeNodes(from, split))
      from = split
    }
  }
  return proof
}

/** Likewise, of the proof that the tree of `second` entries begins with the tree of `first` entries. */
export const consistencyNodes = (first: number, second: number): ReadonlyArray<ReadonlyArray<TreeNode>> => {
  if (!(first >= 0 && first <= second)) throw new RangeError(`a tree of ${second} does not go on one of ${first}`)
  const proof: Array<ReadonlyArray<TreeNode>> = []
  // Nothing is a beginning of everything: there is nothing to show.
  if (first === 0) return proof
  let [from, to] = [0, second]
  /** Still the whole of the first tree: its root is known to whoever checks. */
  let isWhole = true
  while (first !== to) {
    const split = from + splitOf(to - from)
    if (first <= split) {
      proof.unshift(rangeNodes(split, to))
      to = split
    } else {
      proof.unshift(rangeNodes(from, split))
      from = split
      isWhole = false
    }
  }
  if (!isWhole) proof.unshift(rangeNodes(from, to))
  return proof
}

const proofOf = (parts: ReadonlyArray<ReadonlyArray<TreeNode>>, nodeAt: NodeSource): ReadonlyArray<Uint8Array> =>
  parts.map((nodes) => joinHashes(nodes.map(({ level, index }) => nodeAt(level, index))))

/** PATH(index, D[size]): at most 53 hashes. Throws a RangeError for an entry that the tree does not have. */
export const inclusionProof = (index: number, size: number, nodeAt: NodeSource): ReadonlyArray<Uint8Array> =>
  proofOf(inclusionNodes(index, size), nodeAt)

/** PROOF(first, D[second]). Throws a RangeError when `first` is more than `second`. */
export const consistencyProof = (first: number, second: number, nodeAt: NodeSource): ReadonlyArray<Uint8Array> =>
  proofOf(consistencyNodes(first, second), nodeAt)

const isSame = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0
const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0
const areHashes = (hashes: ReadonlyArray<Uint8Array>): boolean => hashes.every((hash) => hash.byteLength === HASH_BYTES)

/** The root that an entry and its proof lead to; undefined when the proof is not of the length that it must have. */
export const rootOfInclusion = (
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: ReadonlyArray<Uint8Array>
): Uint8Array | undefined => {
  if (!isSize(index) || !isSize(size) || index >= size || !areHashes([leaf, ...proof])) return undefined
  let [first, last] = [index, size - 1]
  let root = leaf
  for (const hash of proof) {
    if (last === 0) return undefined
    if (isOdd(first) || first === last) {
      root = nodeHash(hash, root)
      while (!isOdd(first) && first !== 0) [first, last] = [half(first), half(last)]
    } else root = nodeHash(root, hash)
    ;[first, last] = [half(first), half(last)]
  }
  return last === 0 ? root : undefined
}

/** RFC 9162, 2.1.3.2: entry `index` of the tree with this size and root is the one with this leaf hash. */
export const verifyInclusion = (
  leaf: Uint8Array,
  index: number,
  size: number,
  root: Uint8Array,
  proof: ReadonlyArray<Uint8Array>
): boolean => {
  const found = rootOfInclusion(leaf, index, size, proof)
  return found !== undefined && isSame(found, root)
}

/** RFC 9162, 2.1.4.2: the second tree begins with all entries of the first. Every hash of the proof counts. */
export const verifyConsistency = (
  first: number,
  second: number,
  firstRoot: Uint8Array,
  secondRoot: Uint8Array,
  proof: ReadonlyArray<Uint8Array>
): boolean => {
  if (!isSize(first) || !isSize(second) || first > second || !areHashes([firstRoot, secondRoot, ...proof])) return false
  if (first === second) return proof.length === 0 && isSame(firstRoot, secondRoot)
  if (first === 0) return proof.length === 0 && isSame(firstRoot, EMPTY_ROOT)
  let [at, last] = [first - 1, second - 1]
  while (isOdd(at)) [at, last] = [half(at), half(last)]
  // A first tree that is a perfect subtree of the second is its own first hash: the proof leaves it out.
  const path = at === 0 ? [firstRoot, ...proof] : proof
  const [start, ...rest] = path
  if (start === undefined || proof.length === 0) return false
  let [firstFound, secondFound]: [Uint8Array, Uint8Array] = [start, start]
  for (const hash of rest) {
    if (last === 0) return false
    if (isOdd(at) || at === last) {
      firstFound = nodeHash(hash, firstFound)
      secondFound = nodeHash(hash, secondFound)
      while (!isOdd(at) && at !== 0) [at, last] = [half(at), half(last)]
    } else secondFound = nodeHash(secondFound, hash)
    ;[at, last] = [half(at), half(last)]
  }
  return last === 0 && isSame(firstFound, firstRoot) && isSame(secondFound, secondRoot)
}

/** The root of a list that is read once, in order: at most 53 hashes are held, whatever its length. */
export class Frontier {
  #size = 0
  /** Of the perfect subtrees that the entries so far consist of, left to right. */
  readonly #hashes: Array<Uint8Array> = []

  get size(): number {
    return this.#size
  }

  /** The leaf hash of the next entry. The bytes are kept, so they must not change afterwards. */
  append(leaf: Uint8Array): void {
    let hash = leaf
    for (let position = this.#size; isOdd(position); position = half(position)) {
      hash = nodeHash(this.#hashes.pop()!, hash)
    }
    this.#hashes.push(hash)
    this.#size++
  }

  root(): Uint8Array {
    return joinHashes(this.#hashes)
  }
}

/** A whole tree in memory: 64 bytes an entry. For lists that are short, and for proofs from a list of leaf hashes. */
export class MerkleTree {
  /** By level, the hashes of its perfect subtrees. */
  readonly #levels: Array<Array<Uint8Array>> = [[]]

  static of(leaves: Iterable<Uint8Array>): MerkleTree {
    const tree = new MerkleTree()
    for (const leaf of leaves) tree.append(leaf)
    return tree
  }

  get size(): number {
    return this.#levels[0]!.length
  }

  append(leaf: Uint8Array): void {
    let hash = leaf
    for (let level = 0; ; level++) {
      this.#levels[level] ??= []
      const hashes = this.#levels[level]!
      hashes.push(hash)
      if (isOdd(hashes.length)) return
      hash = nodeHash(hashes[hashes.length - 2]!, hash)
    }
  }

  readonly nodeAt: NodeSource = (level, index) => {
    const hash = this.#levels[level]?.[index]
    if (hash === undefined) throw new RangeError(`no subtree ${index} at level ${level}`)
    return hash
  }

  /** Of its first `size` entries; of all without a size. */
  root(size = this.size): Uint8Array {
    return rootOf(size, this.nodeAt)
  }

  inclusionProof(index: number, size = this.size): ReadonlyArray<Uint8Array> {
    return inclusionProof(index, size, this.nodeAt)
  }

  consistencyProof(first: number, second = this.size): ReadonlyArray<Uint8Array> {
    return consistencyProof(first, second, this.nodeAt)
  }
}
