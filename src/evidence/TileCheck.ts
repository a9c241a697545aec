/**
 * Checks the tiles of trees against each other: what a tile above says of the full tiles below it must be their roots, and
 * none may be missing. Whether the leaves are right, and the roots those that were signed, is looked at elsewhere. It is fed
 * the rows in the order of their keys (level by level) and keeps 32 bytes for each full tile of the level below.
 */
import { LEAF_ENTRY_BYTES, TILE_ENTRIES } from "../../journal/EvidenceRows.ts"
import { HASH_BYTES } from "../../journal/Merkle.ts"
import { hashesOf, lastTiles, tileRoot } from "../../journal/TileTree.ts"

export interface WrongTile {
  readonly level: number
  readonly tile: number
  readonly is: "missing" | "wrong"
}

/** Tiles of one tree that are named. */
const NAMED_MAX = 10

/** One tree. */
export class TileCheck {
  readonly #hasSalts: boolean
  readonly #wrong: Array<WrongTile> = []
  /** Roots of the full tiles of each level, by number; undefined where a tile was not there. */
  readonly #roots: Array<Array<Uint8Array | undefined>> = []
  /** Entries of the last tile that was seen of each level. */
  readonly #counts: Array<number> = []

  constructor(hasSalts: boolean) {
    this.#hasSalts = hasSalts
  }

  tile(level: number, tile: number, value: Uint8Array): void {
    const hashes = hashesOf(value, level === 0 && this.#hasSalts ? LEAF_ENTRY_BYTES : HASH_BYTES)
    const below = this.#roots[level - 1]
    if (level > 0) {
      const isRight = hashes.every((hash, at) => {
        const root = below?.[tile * TILE_ENTRIES + at]
        return root === undefined || Buffer.compare(root, hash) === 0
      })
      if (!isRight) this.#add({ level, tile, is: "wrong" })
    }
    this.#counts[level] = tile * TILE_ENTRIES + hashes.length
    if (hashes.length < TILE_ENTRIES) return
    this.#roots[level] ??= []
    this.#roots[level][tile] = tileRoot(hashes)
  }

  /** What is wrong with the tiles of a tree of so many entries. `from`: the lowest level that is kept in tiles to its end. */
  finish(size: number, from = 0): ReadonlyArray<WrongTile> {
    for (const { entries, level, tile } of lastTiles(size)) {
      const full = this.#roots[level] ?? []
      for (let at = 0; at < tile; at++) if (full[at] === undefined) this.#add({ level, tile: at, is: "missing" })
      const isThere = (this.#counts[level] ?? 0) >= tile * TILE_ENTRIES + entries
      if (level >= from && entries > 0 && !isThere) this.#add({ level, tile, is: "missing" })
    }
    return this.#wrong
  }

  #add(wrong: WrongTile): void {
    if (this.#wrong.length < NAMED_MAX) this.#wrong.push(wrong)
  }
}
