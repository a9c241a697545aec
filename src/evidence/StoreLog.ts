/**
 * The log of a store: the list of statements of what was sealed, its tree, and its signed checkpoint, as whoever seals has
 * them in memory. It makes the rows of a new statement; who writes them is the sealer. Opened from rows, it is the log
 * that the key signed last, or it is refused.
 */
import { Effect, Stream } from "effect"
import * as Rows from "../../journal/EvidenceRows.ts"
import type { JournalShape, Row } from "../../journal/Journal.ts"
import type { StorageUnavailable } from "../../journal/JournalError.ts"
import { leafHash } from "../../journal/Merkle.ts"
import {
  checkpointText,
  cosignNote,
  openNote,
  parseCheckpoint,
  parseNote,
  type Signer,
  signNote,
  verifierKey
} from "../../journal/SignedNote.ts"
import { parseStatement, type Statement, statementText } from "../../journal/Statement.ts"
import { lastTiles, TileTree } from "../../journal/TileTree.ts"

/** Tiles of the log are so many entries apart. */
const { LOG_SPACE, LOG_TILE_SPACE, STORE_SPACE, TILE_ENTRIES } = Rows

const EMPTY = new Uint8Array(0)

export class StoreLog {
  readonly signer: Signer
  readonly #tree: TileTree
  /** Of the last statement; 0 before the first. */
  lastMillis: number

  private constructor(signer: Signer, tree: TileTree, lastMillis: number) {
    this.signer = signer
    this.#tree = tree
    this.lastMillis = lastMillis
  }

  get size(): number {
    return this.#tree.size
  }

  /** A log without statements, under this key. */
  static empty(signer: Signer): StoreLog {
    return new StoreLog(signer, new TileTree(false), 0)
  }

  /** The log as it was signed last; `string`: why it is not that. undefined: there is none. */
  static open(journal: JournalShape, signer: Signer): Effect.Effect<StoreLog | string | undefined, StorageUnavailable> {
    return Effect.gen(function* () {
      const row = yield* journal.row(STORE_SPACE, Rows.STORE_CHECKPOINT_KEY)
      if (row === undefined) {
        const [any] = yield* Stream.runCollect(journal.rows(LOG_SPACE, { limit: 1 }))
        return any === undefined ? undefined : "its checkpoint is missing"
      }
      const text = openNote(Buffer.from(row.value).toString("utf8"), signer)
      const checkpoint = text === undefined ? undefined : parseCheckpoint(text)
      if (checkpoint?.origin !== signer.name) return "its checkpoint is not signed by the store's key"
      const { root, size } = checkpoint
      const last = size % TILE_ENTRIES
      const tiles = new Map<string, Uint8Array>()
      for (const { entries, level, tile } of lastTiles(size - last)) {
        if (entries === 0) continue
        const found = yield* journal.row(LOG_TILE_SPACE, Rows.logTileKey(level, tile))
        tiles.set(`${level} ${tile}`, found?.value ?? EMPTY)
      }
      const tree = TileTree.load(size - last, false, (level, tile) => tiles.get(`${level} ${tile}`))
      if (tree === undefined) return "hashes of it are missing"
      let lastMillis = 0
      const range = { from: Rows.logKey(size - last), to: Rows.logKey(size - 1) }
      const statements = size === 0 ? [] : yield* Stream.runCollect(journal.rows(LOG_SPACE, range))
      for (const { value } of statements) {
        tree.append(leafHash(value))
        lastMillis = parseStatement(Buffer.from(value).toString("utf8"))?.timeMillis ?? lastMillis
      }
      tree.takeTiles(false)
      if (Buffer.compare(tree.root(), root) !== 0) return "its statements are not those that were signed"
      return new StoreLog(signer, tree, lastMillis)
    })
  }

  /**
   * The rows of one more statement. It is in the log from here on, so a log whose rows were not written is of no use any more:
   * open it again.
   */
  add(statement: Statement): ReadonlyArray<Row> {
    return this.#add(statement, (note) => [
      { space: STORE_SPACE, key: Rows.STORE_CHECKPOINT_KEY, value: note },
      ...(this.#tree.size === 1 ? [keyRow(this.signer)] : [])
    ])
  }

  /** The rows after which the log goes on under another key of the same name. This log is of no use any more: open it again. */
  rotate(next: Signer, timeMillis: number): ReadonlyArray<Row> {
    const successor = { from: verifierKey(this.signer), to: verifierKey(next) }
    const index = this.#tree.size
    return this.#add({ sealed: undefined, timeMillis, reason: "rotated", successor }, (note) => {
      const value = Buffer.from(cosignNote(note.toString("utf8"), next), "utf8")
      return [
        { space: STORE_SPACE, key: Rows.STORE_CHECKPOINT_KEY, value },
        { space: STORE_SPACE, key: Rows.rotationKey(index), value },
        keyRow(next)
      ]
    })
  }

  #add(statement: Statement, signed: (note: Buffer) => ReadonlyArray<Row>): ReadonlyArray<Row> {
    const index = this.#tree.size
    const text = Buffer.from(statementText(statement), "utf8")
    this.#tree.append(leafHash(text))
    this.lastMillis = statement.timeMillis
    const checkpoint = signNote(
      checkpointText({ origin: this.signer.name, size: this.#tree.size, root: this.#tree.root() }),
      this.signer
    )
    return [
      { space: LOG_SPACE, key: Rows.logKey(index), value: text },
      ...this.#tree.takeTiles(false).map(({ level, tile, value }) => ({
        space: LOG_TILE_SPACE,
        key: Rows.logTileKey(level, tile),
        value
      })),
      ...signed(Buffer.from(checkpoint, "utf8"))
    ]
  }
}

const keyRow = (signer: Signer): Row => ({
  space: STORE_SPACE,
  key: Rows.STORE_KEY_KEY,
  value: Buffer.from(verifierKey(signer), "utf8")
})

/** `ORIGIN SIZE ROOT` of a checkpoint, whoever signed it: what the first statement under another key says came before. */
export const predecessorOf = (note: string): string | undefined => {
  const parsed = parseNote(note)
  const checkpoint = parsed === undefined ? undefined : parseCheckpoint(parsed.text)
  if (checkpoint === undefined) return undefined
  return `${checkpoint.origin} ${checkpoint.size} ${Buffer.from(checkpoint.root).toString("base64")}`
}
