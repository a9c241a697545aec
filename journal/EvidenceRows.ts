/**
 * Where the evidence of a store lies: the spaces, keys and bytes of its rows (docs/evidence.md). The sealer writes them,
 * verification and bundles read them, a redaction and a removal take salts out of them. Unlike other rows nothing can make
 * them again. It knows bytes only; what a tree is, is in Merkle.ts and TileTree.ts.
 *
 *   ev-tile     u8 level | stream id | u64 tile     up to 256 entries of a session's tree
 *                                                   level 0: leaf hash (32) | salt (16); above: root (32) of a full tile below
 *   ev-seal     stream id                           JSON: the session's signed checkpoint, and how far it has no salts
 *   ev-log      u64 index                           a statement: the text that is an entry of the store's log
 *   ev-logtile  u8 level | u64 tile                 256 hashes of the log's tree, of full tiles alone
 *   ev-store    "checkpoint" or "key"               the log's signed checkpoint; the verifier key of all of it
 *               "rotation" | u64 index              the checkpoint behind a statement that names another key, signed by both
 */
import type { SessionId } from "./Event.ts"
import { NO_SALT, SALT_BYTES } from "./EvidenceLeaf.ts"
import type { Row } from "./Journal.ts"
import * as Keys from "./Keys.ts"
import { HASH_BYTES } from "./Merkle.ts"

export const TILE_SPACE = "ev-tile"
export const SEAL_SPACE = "ev-seal"
export const LOG_SPACE = "ev-log"
export const LOG_TILE_SPACE = "ev-logtile"
export const STORE_SPACE = "ev-store"
export const EVIDENCE_SPACES = [TILE_SPACE, SEAL_SPACE, LOG_SPACE, LOG_TILE_SPACE, STORE_SPACE]

/** Entries of a full tile. */
export const TILE_ENTRIES = 256
/** An entry of a session's tile at level 0. */
export const LEAF_ENTRY_BYTES = HASH_BYTES + SALT_BYTES

const u64 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}

export const tileKey = (stream: Uint8Array, level: number, tile: number): Buffer =>
  Buffer.concat([Buffer.of(level), stream, u64(tile)])
export const logTileKey = (level: number, tile: number): Buffer => Buffer.concat([Buffer.of(level), u64(tile)])
export const sealKey = (stream: SessionId): Buffer => Keys.streamBytes(stream)
export const logKey = (index: number): Buffer => u64(index)
export const STORE_CHECKPOINT_KEY = Buffer.from("checkpoint")
export const STORE_KEY_KEY = Buffer.from("key")
const ROTATION_PREFIX = Buffer.from("rotation")
export const rotationKey = (index: number): Buffer => Buffer.concat([ROTATION_PREFIX, u64(index)])
/** The statement's index; undefined for another row of `ev-store`. */
export const rotationIndexOf = (key: Uint8Array): number | undefined =>
  key.byteLength === ROTATION_PREFIX.byteLength + 8 &&
  ROTATION_PREFIX.equals(key.subarray(0, ROTATION_PREFIX.byteLength))
    ? Number(Buffer.from(key).readBigUInt64BE(ROTATION_PREFIX.byteLength))
    : undefined

/** Of a row in `ev-tile`. */
export const tileOf = (
  key: Uint8Array
): { readonly level: number; readonly stream: Uint8Array; readonly tile: number } | undefined =>
  key.byteLength === 1 + Keys.STREAM_ID_BYTES + 8
    ? {
        level: key[0]!,
        stream: key.subarray(1, 1 + Keys.STREAM_ID_BYTES),
        tile: Number(Buffer.from(key).readBigUInt64BE(1 + Keys.STREAM_ID_BYTES))
      }
    : undefined

/** Of a row in `ev-logtile`. */
export const logTileOf = (key: Uint8Array): { readonly level: number; readonly tile: number } | undefined =>
  key.byteLength === 1 + 8 ? { level: key[0]!, tile: Number(Buffer.from(key).readBigUInt64BE(1)) } : undefined

/** Of a row in `ev-log`. */
export const logIndexOf = (key: Uint8Array): number | undefined =>
  key.byteLength === 8 ? Number(Buffer.from(key).readBigUInt64BE()) : undefined

export interface SealRow {
  /** The signed checkpoint of the session's tree: `<store origin>/<session id>`. */
  readonly checkpoint: string
  /** The salts of the events up to here were thrown away, because the events were removed. */
  readonly saltless: number
  /** Nothing more of the session is sealed, because what is there is not what was sealed; why. */
  readonly stopped?: string | undefined
}

export const encodeSeal = (seal: SealRow): Buffer => Buffer.from(JSON.stringify(seal), "utf8")

/** undefined: this version cannot read it. */
export const decodeSeal = (value: Uint8Array): SealRow | undefined => {
  try {
    const { checkpoint, saltless, stopped } = JSON.parse(Buffer.from(value).toString("utf8"))
    if (typeof checkpoint !== "string" || !Number.isSafeInteger(saltless)) return undefined
    return { checkpoint, saltless, ...(typeof stopped === "string" && { stopped }) }
  } catch {
    return undefined
  }
}

// --- salts -----------------------------------------------------------------------------------------------------------

/** What a redaction is told of the leaves of the events that it replaces. */
export interface Unsalted {
  /** Of the events that are sealed and have a salt. */
  readonly leaves: ReadonlyMap<number, { readonly salt: Uint8Array }>
  /** Their tiles without these salts. */
  readonly rows: ReadonlyArray<Row>
}

/**
 * The salts of the events, and the tiles without them, to be written in one batch with whatever takes the events' payloads
 * away. `read` gives the value of a tile's row.
 */
export const unsalt = async (
  stream: SessionId,
  sequences: ReadonlyArray<number>,
  read: (space: string, key: Uint8Array) => Promise<Uint8Array | undefined>
): Promise<Unsalted> => {
  const bytes = Keys.streamBytes(stream)
  const byTile = new Map<number, Array<number>>()
  for (const sequence of sequences) {
    const tile = Math.floor((sequence - 1) / TILE_ENTRIES)
    const known = byTile.get(tile)
    if (known === undefined) byTile.set(tile, [sequence])
    else known.push(sequence)
  }
  const leaves = new Map<number, { readonly salt: Uint8Array }>()
  const rows: Array<Row> = []
  for (const [tile, of] of byTile) {
    const key = tileKey(bytes, 0, tile)
    const value = await read(TILE_SPACE, key)
    if (value === undefined) continue
    const changed = Buffer.from(value)
    let isChanged = false
    for (const sequence of of) {
      const at = ((sequence - 1) % TILE_ENTRIES) * LEAF_ENTRY_BYTES + HASH_BYTES
      if (at + SALT_BYTES > changed.byteLength) continue
      const salt = Buffer.from(changed.subarray(at, at + SALT_BYTES))
      if (salt.equals(NO_SALT)) continue
      leaves.set(sequence, { salt })
      changed.fill(0, at, at + SALT_BYTES)
      isChanged = true
    }
    if (isChanged) rows.push({ space: TILE_SPACE, key, value: changed })
  }
  return { leaves, rows }
}

/** A tile at level 0 without the salts of its first entries; undefined when it has none of them. */
export const withoutSalts = (value: Uint8Array, entries: number): Buffer | undefined => {
  const changed = Buffer.from(value)
  for (let at = HASH_BYTES; at < Math.min(entries * LEAF_ENTRY_BYTES, changed.byteLength); at += LEAF_ENTRY_BYTES) {
    changed.fill(0, at, at + SALT_BYTES)
  }
  return Buffer.compare(changed, value) === 0 ? undefined : changed
}
