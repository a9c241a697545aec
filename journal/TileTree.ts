/**
 * A hash tree that grows and is kept in tiles of 256 hashes: of a session in the rows of EvidenceRows.ts, of a store's log
 * likewise. What is held in memory is the tiles that are not full, one for each level. It reads and writes nothing itself.
 */
import { NO_SALT } from "./EvidenceLeaf.ts"
import { LEAF_ENTRY_BYTES, TILE_ENTRIES } from "./EvidenceRows.ts"
import { EMPTY_ROOT, HASH_BYTES, joinHashes, type NodeSource, rootOf, type TreeNode } from "./Merkle.ts"

export interface Tile {
  readonly level: number
  readonly tile: number
  readonly value: Buffer
}

/** Levels of a tree of 2^53 entries. */
const LEVELS_MAX = 7

interface Level {
  readonly hashes: Array<Uint8Array>
  readonly salts: Array<Uint8Array>
  isChanged: boolean
}

/** Entries of the last tile of each level of a tree of so many entries, and its number. */
export const lastTiles = (
  size: number
): ReadonlyArray<{ readonly level: number; readonly tile: number; readonly entries: number }> => {
  const tiles: Array<{ readonly level: number; readonly tile: number; readonly entries: number }> = []
  for (let level = 0, count = size; count > 0 && level < LEVELS_MAX; level++) {
    tiles.push({ level, tile: Math.floor(count / TILE_ENTRIES), entries: count % TILE_ENTRIES })
    count = Math.floor(count / TILE_ENTRIES)
  }
  return tiles
}

/** The hashes of a tile, as views. `entryBytes`: LEAF_ENTRY_BYTES where there are salts. */
export const hashesOf = (value: Uint8Array, entryBytes: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.floor(value.byteLength / entryBytes) }, (_, index) =>
    value.subarray(index * entryBytes, index * entryBytes + HASH_BYTES)
  )

export class TileTree {
  #size = 0
  readonly #levels: Array<Level> = []
  #full: Array<Tile> = []
  readonly #hasSalts: boolean

  constructor(hasSalts: boolean) {
    this.#hasSalts = hasSalts
  }

  /** The tree of so many entries, of what `lastTiles` names; undefined when a tile is not there or too short. */
  static load(
    size: number,
    hasSalts: boolean,
    tileAt: (level: number, tile: number) => Uint8Array | undefined
  ): TileTree | undefined {
    const tree = new TileTree(hasSalts)
    for (const { entries, level, tile } of lastTiles(size)) {
      const value = entries === 0 ? NOTHING : tileAt(level, tile)
      const entryBytes = level === 0 && hasSalts ? LEAF_ENTRY_BYTES : HASH_BYTES
      if (value === undefined || value.byteLength < entries * entryBytes) return undefined
      const own = tree.#level(level)
      for (let index = 0; index < entries; index++) {
        const at = index * entryBytes
        own.hashes.push(Buffer.from(value.subarray(at, at + HASH_BYTES)))
        if (entryBytes > HASH_BYTES) own.salts.push(Buffer.from(value.subarray(at + HASH_BYTES, at + LEAF_ENTRY_BYTES)))
      }
      own.isChanged = false
    }
    tree.#size = size
    return tree
  }

  get size(): number {
    return this.#size
  }

  #level(level: number): Level {
    this.#levels[level] ??= { hashes: [], salts: [], isChanged: false }
    return this.#levels[level]
  }

  append(leaf: Uint8Array, salt: Uint8Array = NO_SALT): void {
    this.#size++
    let hash = leaf
    for (let level = 0; ; level++) {
      const own = this.#level(level)
      own.hashes.push(hash)
      if (level === 0 && this.#hasSalts) own.salts.push(salt)
      own.isChanged = true
      if (own.hashes.length < TILE_ENTRIES) return
      const tile = Math.floor(this.#size / TILE_ENTRIES ** (level + 1)) - 1
      this.#full.push({ level, tile, value: this.#encode(level) })
      hash = perfectRoot(own.hashes, 0, TILE_ENTRIES)
      own.hashes.length = 0
      own.salts.length = 0
      own.isChanged = false
    }
  }

  root(): Uint8Array {
    const perfect: Array<Uint8Array> = []
    for (let level = this.#levels.length - 1; level >= 0; level--) {
      const { hashes } = this.#levels[level]!
      let at = 0
      for (let count = TILE_ENTRIES / 2; count >= 1; count /= 2) {
        if (hashes.length - at < count) continue
        perfect.push(perfectRoot(hashes, at, at + count))
        at += count
      }
    }
    return perfect.length === 0 ? EMPTY_ROOT : joinHashes(perfect)
  }

  /** What changed since the last call, without the last tile of leaves where that is kept in another way (`withLast` false). */
  takeTiles(withLast = true): ReadonlyArray<Tile> {
    const tiles = this.#full
    this.#full = []
    for (const { entries, level, tile } of lastTiles(this.#size)) {
      const own = this.#level(level)
      if (entries === 0 || !own.isChanged || (level === 0 && !withLast)) continue
      own.isChanged = false
      tiles.push({ level, tile, value: this.#encode(level) })
    }
    return tiles
  }

  #encode(level: number): Buffer {
    const { hashes, salts } = this.#level(level)
    if (level > 0 || !this.#hasSalts) return Buffer.concat(hashes)
    return Buffer.concat(hashes.flatMap((hash, index) => [hash, salts[index] ?? NO_SALT]))
  }
}

const NOTHING = new Uint8Array(0)
const EIGHT = 8

/** What the tile above says of a full tile. */
export const tileRoot = (hashes: ReadonlyArray<Uint8Array>): Uint8Array => perfectRoot(hashes, 0, TILE_ENTRIES)

/** Of `to - from` hashes, a power of two, whose first is at a multiple of it. */
const perfectRoot = (hashes: ReadonlyArray<Uint8Array>, from: number, to: number): Uint8Array =>
  rootOf(to - from, subtrees(hashes, from))

/** Perfect subtrees over neighbouring hashes. */
const subtrees = (hashes: ReadonlyArray<Uint8Array>, from: number): NodeSource => {
  const nodeAt: NodeSource = (level, index) => {
    if (level === 0) return hashes[from + index]!
    return joinHashes([nodeAt(level - 1, index * 2), nodeAt(level - 1, index * 2 + 1)])
  }
  return nodeAt
}

/** The hash of a perfect subtree, read from tiles. Rejects with a RangeError where one is missing. */
const nodeInTiles = async (
  { index, level }: TreeNode,
  /** The hashes of a tile. */
  tileAt: (level: number, tile: number) => Promise<ReadonlyArray<Uint8Array> | undefined>
): Promise<Uint8Array> => {
  const tileLevel = Math.floor(level / EIGHT)
  const count = 2 ** (level % EIGHT)
  const first = index * count
  const tile = Math.floor(first / TILE_ENTRIES)
  const hashes = await tileAt(tileLevel, tile)
  const at = first % TILE_ENTRIES
  if (hashes === undefined || hashes.length < at + count) {
    throw new RangeError(`tile ${tile} of level ${tileLevel} does not have the hashes ${at} to ${at + count - 1}`)
  }
  return perfectRoot(hashes, at, at + count)
}

/** The hashes of a proof whose parts `inclusionNodes` or `consistencyNodes` name. */
export const proofInTiles = async (
  parts: ReadonlyArray<ReadonlyArray<TreeNode>>,
  tileAt: Parameters<typeof nodeInTiles>[1]
): Promise<ReadonlyArray<Uint8Array>> => {
  const proof: Array<Uint8Array> = []
  for (const nodes of parts) {
    const hashes: Array<Uint8Array> = []
    for (const node of nodes) hashes.push(await nodeInTiles(node, tileAt))
    proof.push(joinHashes(hashes))
  }
  return proof
}
