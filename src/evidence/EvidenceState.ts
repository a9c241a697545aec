/**
 * How a store's evidence stands, seen in one pass over its entries and without hashing an event: how far it goes, whether its
 * tiles are whole, whether its key is there. Whether the events are those that were sealed, only verification says (Verify.ts).
 */
import type { SessionId } from "../../journal/Event.ts"
import * as Rows from "../../journal/EvidenceRows.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import * as Keys from "../../journal/Keys.ts"
import { decodeRow } from "../../journal/Record.ts"
import { parseCheckpoint, parseNote, verifierKey } from "../../journal/SignedNote.ts"
import { parseStatement } from "../../journal/Statement.ts"
import type { KeyValue } from "../../journal/Storage.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { readKey } from "./Keys.ts"
import { TileCheck } from "./TileCheck.ts"

export interface EvidenceReport {
  /** Statements of the log that are signed, and the time of the last. */
  readonly statements: number
  readonly lastMillis: number | null
  /** Sessions that have a seal, the store's own stream among them. */
  readonly sealedSessions: number
  /** Behind the seals, of all sessions. */
  readonly unsealedEvents: number
  /** Of the rows, if there are any, and how the key that signs stands to it. */
  readonly verifier: string | null
  readonly key: "there" | "none" | "another" | "refused"
  /** In words: tiles that are wrong or missing, sessions of which no more is sealed. */
  readonly broken: ReadonlyArray<{ readonly where: string; readonly what: string }>
  /** Of a key that is refused. */
  readonly refusal: string | null
}

const EMPTY = new Uint8Array(0)
const PREFIXES = Rows.EVIDENCE_SPACES.map((space) => [space, Keys.rowKey(space, EMPTY)] as const)

export class EvidenceState {
  readonly #tiles = new Map<SessionId, TileCheck>()
  readonly #logTiles = new TileCheck(false)
  readonly #seals = new Map<SessionId, { readonly size: number; readonly stopped: string | undefined }>()
  #statements = 0
  #lastMillis: number | null = null
  #verifier: string | null = null

  /** Every entry of the store, in the order of the keys. */
  page(entries: ReadonlyArray<KeyValue>): void {
    for (const [key, stored] of entries) {
      if (key[0] !== Keys.ROW_PREFIX) continue
      const [space] = PREFIXES.find(([, prefix]) => prefix.equals(key.subarray(0, prefix.byteLength))) ?? []
      const value = space === undefined ? undefined : decodeRow(key, stored)
      if (space !== undefined && value !== undefined) this.#row(space, Keys.rowKeyOf(space, key), value)
    }
  }

  #row(space: string, key: Uint8Array, value: Uint8Array): void {
    if (space === Rows.TILE_SPACE) {
      const tile = Rows.tileOf(key)
      if (tile === undefined) return
      const session = Keys.streamOf(tile.stream)
      const check = this.#tiles.get(session) ?? new TileCheck(true)
      this.#tiles.set(session, check)
      check.tile(tile.level, tile.tile, value)
    } else if (space === Rows.LOG_TILE_SPACE) {
      const tile = Rows.logTileOf(key)
      if (tile !== undefined) this.#logTiles.tile(tile.level, tile.tile, value)
    } else if (space === Rows.SEAL_SPACE) {
      const seal = Rows.decodeSeal(value)
      const size = sizeIn(seal?.checkpoint ?? "")
      this.#seals.set(Keys.streamOf(key), { size: size ?? 0, stopped: seal?.stopped })
    } else if (space === Rows.LOG_SPACE) {
      this.#lastMillis = parseStatement(textOf(value))?.timeMillis ?? this.#lastMillis
    } else if (Buffer.compare(key, Rows.STORE_CHECKPOINT_KEY) === 0) {
      this.#statements = sizeIn(textOf(value)) ?? 0
    } else if (Buffer.compare(key, Rows.STORE_KEY_KEY) === 0) {
      this.#verifier = textOf(value)
    }
  }

  /** `heads`: the last event of each stream. */
  report(paths: StorePaths, heads: Iterable<readonly [SessionId, number]>): EvidenceReport {
    const broken: Array<{ readonly where: string; readonly what: string }> = []
    const tell = (where: string, wrong: ReturnType<TileCheck["finish"]>) => {
      for (const { is, level, tile } of wrong) broken.push({ where, what: `tile ${tile} of level ${level} is ${is}` })
    }
    for (const [session, { size, stopped }] of this.#seals) {
      tell(session, this.#tiles.get(session)?.finish(size) ?? [])
      if (stopped !== undefined) broken.push({ where: session, what: `no more of it is sealed: ${stopped}` })
    }
    tell("the log", this.#logTiles.finish(this.#statements, 1))
    let unsealedEvents = 0
    for (const [session, head] of heads) unsealedEvents += Math.max(0, head - (this.#seals.get(session)?.size ?? 0))
    return {
      statements: this.#statements,
      lastMillis: this.#lastMillis,
      sealedSessions: this.#seals.size,
      unsealedEvents,
      verifier: this.#verifier,
      ...this.#key(paths),
      broken
    }
  }

  #key(paths: StorePaths): Pick<EvidenceReport, "key" | "refusal"> {
    try {
      const key = readKey(paths)
      if (key === undefined) return { key: "none", refusal: null }
      const isIt = this.#verifier === null || verifierKey(key.signer) === this.#verifier
      return { key: isIt ? "there" : "another", refusal: null }
    } catch (error) {
      if (error instanceof StoreRefused) return { key: "refused", refusal: error.detail }
      throw error
    }
  }
}

const textOf = (value: Uint8Array): string => Buffer.from(value).toString("utf8")

const sizeIn = (note: string): number | undefined => {
  const parsed = parseNote(note)
  return parsed && parseCheckpoint(parsed.text)?.size
}
