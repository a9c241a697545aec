/**
 * Verifies a store against its own evidence, and against checkpoints of it that were kept elsewhere: are the bytes those
 * that were recorded (integrity), is all of it there (completeness). It reads the store's files at one moment, beside an
 * engine that runs or without one, in one pass, and writes nothing.
 *
 * What it trusts is the key, and the anchors: who can write the store and has its key can make other evidence, and only
 * an anchor from before shows that.
 */
import { type EntryReader, openEntries } from "../../journal/EntryReader.ts"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { rareKinds } from "../../journal/EventKind.ts"
import * as Rows from "../../journal/EvidenceRows.ts"
import type { Row } from "../../journal/Journal.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { KEPT_SPACE, KeptRowsCheck } from "../../journal/KeptRows.ts"
import * as Keys from "../../journal/Keys.ts"
import { Frontier, HASH_BYTES, leafHash } from "../../journal/Merkle.ts"
import { decodeRecord, decodeRow } from "../../journal/Record.ts"
import {
  type Checkpoint,
  parseCheckpoint,
  parseNote,
  parseVerifierKey,
  type Verifier,
  verifierKey
} from "../../journal/SignedNote.ts"
import { parseStatement } from "../../journal/Statement.ts"
import { checkPrivateFolder, readFormat, STORE_FORMAT } from "../../journal/StoreGuard.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { readKey } from "./Keys.ts"
import { type KeyTerm, keyChain, type Rotation, readRotations, rotationsIn, signatureFault } from "./Rotation.ts"
import { type Entry, type EvidenceFinding, type SealedRoot, type SessionEvidence, SessionWalk } from "./SessionWalk.ts"
import { TileCheck, type WrongTile } from "./TileCheck.ts"

export interface Anchor {
  /** Where it was read: told with what is found. */
  readonly name: string
  /** The signed checkpoint, as `reprise anchor` printed it. */
  readonly text: string
}

export interface VerifyOptions {
  /** undefined: all. */
  readonly sessions?: ReadonlyArray<SessionId> | undefined
  readonly anchors: ReadonlyArray<Anchor>
  /** The store's own key if absent. */
  readonly key?: Verifier | undefined
  readonly signal?: AbortSignal | undefined
}

export interface VerifyReport {
  readonly store: string
  /** Verifier key, and who says so: `given`, the store's `key file`, or only the `store` itself (a copy without its key). */
  readonly key: {
    readonly verifier: string
    readonly from: "given" | "key file" | "store"
    /** The key that signs now, where the log leads from that one to another. */
    readonly present?: string
  } | null
  /** The signed log: its statements and the time of the last. */
  readonly log: { readonly statements: number; readonly lastMillis: number | null } | null
  readonly anchors: ReadonlyArray<{ readonly name: string; readonly statements: number | null }>
  /** unproven: there is no evidence to go by. */
  readonly integrity: "intact" | "violated" | "unproven"
  readonly completeness: "complete" | "incomplete" | "unproven"
  readonly findings: ReadonlyArray<EvidenceFinding>
  readonly sessions: ReadonlyArray<SessionEvidence>
}

/** Throws StoreRefused for a store that cannot be read. */
export const verifyStore = async (paths: StorePaths, options: VerifyOptions): Promise<VerifyReport> => {
  checkPrivateFolder(paths.journal)
  const format = readFormat(paths.journal) ?? 0
  if (format > STORE_FORMAT) {
    const detail = `has format ${format}, this version reads up to ${STORE_FORMAT}; use a newer reprise`
    throw new StoreRefused({ path: paths.journal, reason: "format", detail })
  }
  const reader = await openEntries(paths.journal, paths.key)
  try {
    return await new Verification(paths, reader, options).run()
  } finally {
    reader.close()
  }
}

class Verification {
  readonly #paths: StorePaths
  readonly #reader: EntryReader
  readonly #options: VerifyOptions
  readonly #findings: Array<EvidenceFinding> = []
  readonly #sessions: Array<SessionEvidence> = []
  readonly #seals = new Map<SessionId, Array<SealedRoot>>()
  readonly #tombstones = new Map<string, Set<string>>()
  readonly #seen = new Set<SessionId>()
  readonly #signedSizes = new Map<SessionId, number>()
  /** The trusted key, and those that the log's rotations lead to. */
  #keys: ReadonlyArray<KeyTerm> = []
  readonly #kept = new KeptRowsCheck()
  #rotations: ReadonlyArray<Rotation> = []

  constructor(paths: StorePaths, reader: EntryReader, options: VerifyOptions) {
    this.#paths = paths
    this.#reader = reader
    this.#options = options
  }

  async run(): Promise<VerifyReport> {
    const key = await this.#key()
    if (key !== undefined) await this.#readRotations(key.verifier)
    const log = key === undefined ? undefined : await this.#log(key.verifier)
    if (key !== undefined) await this.#sealRows(key.verifier)
    if (log !== undefined) await this.#tiles(log.report?.statements ?? 0)
    for (const bounds of this.#bounds()) await this.#walk(bounds)
    await this.#keptRows()
    this.#gone()
    const isUnproven = key === undefined || log === undefined
    const has = (verdict: string) => this.#findings.some((finding) => finding.verdict === verdict)
    return {
      store: this.#paths.store,
      key:
        key === undefined
          ? null
          : { verifier: verifierKey(key.verifier), from: key.from, ...this.#present(key.verifier) },
      log: log?.report ?? null,
      anchors: this.#options.anchors.map(({ name, text }) => ({ name, statements: checkpointIn(text)?.size ?? null })),
      integrity: has("integrity") ? "violated" : isUnproven ? "unproven" : "intact",
      completeness: has("completeness") ? "incomplete" : isUnproven ? "unproven" : "complete",
      findings: this.#findings,
      sessions: this.#sessions
    }
  }

  async #key(): Promise<{ readonly verifier: Verifier; readonly from: "given" | "key file" | "store" } | undefined> {
    if (this.#options.key !== undefined) return { verifier: this.#options.key, from: "given" }
    const own = readKey(this.#paths)?.signer
    if (own !== undefined) return { verifier: own, from: "key file" }
    const row = await this.#row(Rows.STORE_SPACE, Rows.STORE_KEY_KEY)
    const verifier = row && parseVerifierKey(Buffer.from(row.value).toString("utf8"))
    return verifier && { verifier, from: "store" }
  }

  #present(trusted: Verifier): { readonly present?: string } {
    const present = this.#keys.at(-1)
    return present === undefined || present.key === trusted ? {} : { present: verifierKey(present.key) }
  }

  // --- the log -------------------------------------------------------------------------------------------------------

  async #readRotations(trusted: Verifier): Promise<void> {
    const rows = await readRotations(
      this.#rows(Rows.STORE_SPACE),
      async (index) => (await this.#row(Rows.LOG_SPACE, Rows.logKey(index)))?.value
    )
    for (const { index, rotation } of rows) {
      if (typeof rotation !== "string") continue
      this.#add("integrity", "forged rotation", null, `the key was not changed by statement ${index}: ${rotation}`)
    }
    this.#rotations = rotationsIn(rows)
    this.#keys = keyChain(trusted, this.#rotations)
  }

  /** undefined: there is none. */
  async #log(key: Verifier): Promise<{ readonly report: VerifyReport["log"] } | undefined> {
    const anchors = this.#options.anchors.flatMap(({ name, text }) => {
      const checkpoint = this.#signed(text, this.#keys, key.name, `the anchor ${name}`)
      return checkpoint === undefined ? [] : [{ name, checkpoint }]
    })
    const row = await this.#row(Rows.STORE_SPACE, Rows.STORE_CHECKPOINT_KEY)
    const present = this.#keys.slice(-1)
    const signed =
      row && this.#signed(Buffer.from(row.value).toString("utf8"), present, key.name, "the store's checkpoint")
    const frontier = new Frontier()
    let lastMillis: number | null = null
    let isRight = true
    const compare = () => {
      for (const { checkpoint, name } of anchors) {
        if (checkpoint.size !== frontier.size) continue
        if (Buffer.compare(checkpoint.root, frontier.root()) === 0) continue
        const detail = `the log is another one than when ${name} was made, at ${checkpoint.size} statements`
        this.#add("integrity", "forked", null, detail)
      }
      for (const { checkpoint, index } of this.#rotations) {
        if (checkpoint.size !== frontier.size || Buffer.compare(checkpoint.root, frontier.root()) === 0) continue
        const detail = `the log is another one than when the key was changed by statement ${index}`
        this.#add("integrity", "forged rotation", null, detail)
      }
      if (signed?.size === frontier.size) isRight = Buffer.compare(signed.root, frontier.root()) === 0
    }
    compare()
    for await (const { key: index, value } of this.#rows(Rows.LOG_SPACE)) {
      if (Rows.logIndexOf(index) !== frontier.size) break
      frontier.append(leafHash(value))
      compare()
      const statement = parseStatement(Buffer.from(value).toString("utf8"))
      lastMillis = statement?.timeMillis ?? lastMillis
      if (statement?.successor !== undefined && this.#rotationOf(frontier.size - 1) === undefined) {
        const detail = `statement ${frontier.size - 1} names another key, and the checkpoint that both signed is not there`
        this.#add("integrity", "evidence missing", null, detail)
      }
      if (statement?.sealed === undefined || frontier.size > (signed?.size ?? 0)) continue
      const { root, session, size } = statement.sealed
      const known = this.#seals.get(session)
      if (known === undefined) this.#seals.set(session, [{ size, root }])
      else known.push({ size, root })
    }
    for (const { checkpoint, name } of anchors) {
      const size = Math.min(frontier.size, signed?.size ?? 0)
      if (checkpoint.size <= size) continue
      const detail = `${name} was made with ${checkpoint.size} statements, and the log has ${size}`
      this.#add("completeness", "rolled back", null, detail)
    }
    if (row === undefined) {
      if (frontier.size === 0) return undefined
      this.#add("integrity", "evidence missing", null, "the log has no checkpoint")
    } else if (signed !== undefined) {
      if (frontier.size < signed.size) {
        const detail = `${signed.size} statements were signed, and ${frontier.size} are there`
        this.#add("completeness", "log truncated", null, detail)
      } else if (!isRight) this.#add("integrity", "edited", null, "the log's statements are not those that were signed")
      if (frontier.size > signed.size) {
        const detail = `${frontier.size - signed.size} statements of the log are not signed`
        this.#add("integrity", "forged seal", null, detail)
      }
    }
    return { report: { statements: signed?.size ?? 0, lastMillis } }
  }

  #rotationOf(index: number): Rotation | undefined {
    return this.#rotations.find((rotation) => rotation.index === index)
  }

  /** The checkpoint, signed by one of the keys in its time, or undefined after what is wrong with it was told. */
  #signed(
    text: string,
    keys: ReadonlyArray<KeyTerm>,
    origin: string,
    what: string,
    session: SessionId | null = null
  ): Checkpoint | undefined {
    const note = parseNote(text)
    const checkpoint = note && parseCheckpoint(note.text)
    if (note === undefined || checkpoint === undefined) {
      this.#add("integrity", "forged seal", session, `${what} cannot be read`)
      return undefined
    }
    // The size of a session's tree says nothing of when it was signed; the log does.
    const size = session === null ? checkpoint.size : undefined
    const fault = signatureFault(note, keys, keys.at(-1)?.key.name, size)
    if (fault !== undefined) {
      this.#add("integrity", fault.reason, session, `${what} ${fault.why}`)
      return undefined
    }
    if (checkpoint.origin !== origin) {
      this.#add("integrity", "forged seal", session, `${what} is of another log: ${checkpoint.origin}`)
      return undefined
    }
    return checkpoint
  }

  /** Each session's own checkpoint must be what the log says last of it. */
  async #sealRows(key: Verifier): Promise<void> {
    const found = new Set<SessionId>()
    for await (const { key: stream, value } of this.#rows(Rows.SEAL_SPACE)) {
      const session = Keys.streamOf(stream)
      found.add(session)
      if (!this.#isAsked(session)) continue
      const seal = Rows.decodeSeal(value)
      const signed = this.#signed(seal?.checkpoint ?? "", this.#keys, `${key.name}/${session}`, "its seal", session)
      const last = this.#seals.get(session)?.at(-1)
      if (signed === undefined) continue
      this.#signedSizes.set(session, signed.size)
      if (last === undefined || signed.size > last.size) {
        const detail = `its seal covers ${signed.size} events, and the log speaks of ${last?.size ?? 0}`
        this.#add("completeness", "rolled back", session, detail)
        const known = this.#seals.get(session)
        if (known === undefined) this.#seals.set(session, [signed])
        else known.push(signed)
      } else if (signed.size !== last.size || Buffer.compare(signed.root, last.root) !== 0) {
        this.#add("integrity", "forged seal", session, "its seal is not the one that the log speaks of last")
      }
    }
    for (const session of this.#seals.keys()) {
      if (!found.has(session) && this.#isAsked(session)) {
        this.#add("integrity", "evidence missing", session, "the log speaks of its seal, and that is not there")
      }
    }
  }

  /** The tiles of hashes: those above must say what is below them, in every session's tree that is asked for and in the log's. */
  async #tiles(statements: number): Promise<void> {
    const checks = new Map<SessionId, TileCheck>()
    for await (const { key, value } of this.#rows(Rows.TILE_SPACE)) {
      const tile = Rows.tileOf(key)
      const session = tile && Keys.streamOf(tile.stream)
      if (tile === undefined || session === undefined || !this.#isAsked(session)) continue
      let check = checks.get(session)
      if (check === undefined) {
        check = new TileCheck(true)
        checks.set(session, check)
      }
      check.tile(tile.level, tile.tile, value)
    }
    for (const [session, size] of this.#signedSizes) {
      this.#tell(checks.get(session)?.finish(size) ?? [], "its", session)
    }
    const log = new TileCheck(false)
    for await (const { key, value } of this.#rows(Rows.LOG_TILE_SPACE)) {
      const tile = Rows.logTileOf(key)
      if (tile !== undefined) log.tile(tile.level, tile.tile, value)
    }
    this.#tell(log.finish(statements, 1), "the log's", null)
  }

  #tell(wrong: ReadonlyArray<WrongTile>, whose: string, session: SessionId | null): void {
    for (const { is, level, tile } of wrong) {
      // Of the leaves it is said beside the events that they belong to.
      if (level === 0 && session !== null) continue
      const what = is === "missing" ? "is not there" : "does not hold the roots of the tiles below it"
      const detail = `${whose} tile ${tile} of level ${level} ${what}`
      this.#add("integrity", is === "missing" ? "evidence missing" : "edited", session, detail)
    }
  }

  // --- the sessions --------------------------------------------------------------------------------------------------

  #isAsked(session: SessionId): boolean {
    return session === STORE_STREAM || this.#options.sessions === undefined || this.#options.sessions.includes(session)
  }

  /** Stretches of keys to be read; the store's own stream is the first, since it tells of removals. */
  #bounds(): ReadonlyArray<{ readonly from: Uint8Array; readonly to: Uint8Array }> {
    if (this.#options.sessions === undefined) return [{ from: new Uint8Array(0), to: FIRST_ROW }]
    return [...new Set([STORE_STREAM, ...this.#options.sessions])].sort().map((session) => {
      const bytes = Keys.streamBytes(session)
      return { from: Keys.eventKey(bytes, 0), to: Keys.streamEnd(bytes) }
    })
  }

  async #walk(bounds: { readonly from: Uint8Array; readonly to: Uint8Array }): Promise<void> {
    const tiles = new TileCursor(this.#rows(Rows.TILE_SPACE, tileBounds(bounds)))
    let walk: SessionWalk | undefined
    let current: Uint8Array = new Uint8Array(0)
    const finish = async () => {
      if (walk === undefined) return
      await tiles.load(walk.next, walk.sealed)
      this.#finish(walk, tiles)
      walk = undefined
    }
    for await (const page of this.#reader.pages(bounds)) {
      this.#options.signal?.throwIfAborted()
      for (const [key, value] of page) {
        if (!Keys.isEventKey(key)) continue
        if (walk === undefined || Buffer.compare(key.subarray(0, Keys.STREAM_ID_BYTES), current) !== 0) {
          await finish()
          current = Uint8Array.from(key.subarray(0, Keys.STREAM_ID_BYTES))
          tiles.begin(current)
          walk = this.#begin(Keys.streamOf(current))
        }
        const sequence = Keys.sequenceOf(key)
        // A beginning that was removed stands for many leaves, and so does a hole.
        const to =
          sequence === 1 && value[5] === rareKinds.EventsRemoved ? walk.sealed : Math.min(sequence, walk.sealed)
        if (!tiles.has(to)) await tiles.load(walk.next, to)
        walk.event(key, value, tiles.entryAt)
        if (value[5] === rareKinds.RemovalRecorded && walk.session === STORE_STREAM) this.#removalTold(value)
      }
    }
    await finish()
  }

  #begin(session: SessionId): SessionWalk {
    this.#seen.add(session)
    return new SessionWalk({
      session,
      seals: sorted(this.#seals.get(session) ?? []),
      tombstones: this.#tombstones.get(session) ?? NO_TOMBSTONES
    })
  }

  #finish(walk: SessionWalk, tiles: TileCursor): void {
    this.#sessions.push(walk.finish(tiles.entryAt))
    this.#findings.push(...walk.findings)
    if (walk.keptStates !== undefined) this.#kept.expect(walk.session, walk.keptStates)
  }

  /** What stands for removed events must be what the events that are there say of it. */
  async #keptRows(): Promise<void> {
    if (!this.#kept.isNeeded) return
    for await (const { key, value } of this.#rows(KEPT_SPACE)) this.#kept.row(key, value)
    for (const { stream, to } of this.#kept.wrong()) {
      const detail = "what was kept of the removed events is not what was recorded of it"
      this.#findings.push({ verdict: "integrity", reason: "edited", session: stream, from: 1, to, detail })
    }
  }

  #removalTold(value: Uint8Array): void {
    const { event } = decodeRecord(0, value)
    if (event._tag !== "RemovalRecorded") return
    const known = this.#tombstones.get(event.session)
    if (known === undefined) this.#tombstones.set(event.session, new Set([event.tombstone]))
    else known.add(event.tombstone)
  }

  /** Sessions that were sealed and of which nothing is there. */
  #gone(): void {
    for (const session of this.#seals.keys()) {
      if (this.#seen.has(session) || !this.#isAsked(session)) continue
      const walk = this.#begin(session)
      if (walk.sealed === 0) continue
      this.#sessions.push(walk.finish(() => undefined))
      this.#findings.push(...walk.findings)
    }
  }

  // --- rows ----------------------------------------------------------------------------------------------------------

  async *#rows(
    space: string,
    bounds?: { readonly from: Uint8Array; readonly to: Uint8Array }
  ): AsyncGenerator<Row, undefined> {
    const from = Keys.rowKey(space, bounds?.from ?? new Uint8Array(0))
    const to = bounds === undefined ? Keys.spaceEnd(space) : Keys.rowKey(space, bounds.to)
    for await (const page of this.#reader.pages({ from, to })) {
      this.#options.signal?.throwIfAborted()
      for (const [full, stored] of page) {
        const value = decodeRow(full, stored)
        if (value !== undefined) yield { space, key: Keys.rowKeyOf(space, full), value }
      }
    }
  }

  async #row(space: string, key: Uint8Array): Promise<Row | undefined> {
    for await (const row of this.#rows(space, { from: key, to: Buffer.concat([key, Buffer.of(0)]) })) {
      return { ...row, value: Uint8Array.from(row.value) }
    }
    return undefined
  }

  #add(
    verdict: EvidenceFinding["verdict"],
    reason: EvidenceFinding["reason"],
    session: SessionId | null,
    detail: string
  ): void {
    this.#findings.push({ verdict, reason, session, from: null, to: null, detail })
  }
}

/** The tiles of leaves in the order of their keys, beside the events that are in the same order. */
class TileCursor {
  readonly #rows: AsyncGenerator<Row, undefined>
  #next: IteratorResult<Row, undefined> | undefined
  #stream: Uint8Array = new Uint8Array(0)
  /** Of the current session, by number: those that are wanted next. */
  readonly #tiles = new Map<number, Uint8Array>()
  #to = 0

  constructor(rows: AsyncGenerator<Row, undefined>) {
    this.#rows = rows
  }

  /** Another session: behind the one before, in the order of the ids. */
  begin(stream: Uint8Array): void {
    this.#stream = stream
    this.#tiles.clear()
    this.#to = 0
  }

  /** Whether everything up to this leaf was looked for. */
  has(to: number): boolean {
    return to <= this.#to
  }

  /** Reads on until the leaf `to` of the session; what lies before `from` is not needed any more. */
  async load(from: number, to: number): Promise<void> {
    const stream = this.#stream
    if (to <= this.#to) return
    const first = Math.floor((from - 1) / Rows.TILE_ENTRIES)
    for (const tile of this.#tiles.keys()) if (tile < first) this.#tiles.delete(tile)
    const last = Rows.tileKey(stream, 0, Math.floor((to - 1) / Rows.TILE_ENTRIES))
    this.#next ??= await this.#rows.next()
    while (!this.#next.done && Buffer.compare(this.#next.value.key, last) <= 0) {
      const tile = Rows.tileOf(this.#next.value.key)
      if (tile !== undefined && Buffer.compare(tile.stream, stream) === 0) {
        this.#tiles.set(tile.tile, Uint8Array.from(this.#next.value.value))
      }
      this.#next = await this.#rows.next()
    }
    this.#to = (Math.floor((to - 1) / Rows.TILE_ENTRIES) + 1) * Rows.TILE_ENTRIES
  }

  readonly entryAt = (sequence: number): Entry | undefined => {
    const tile = this.#tiles.get(Math.floor((sequence - 1) / Rows.TILE_ENTRIES))
    const at = ((sequence - 1) % Rows.TILE_ENTRIES) * Rows.LEAF_ENTRY_BYTES
    if (tile === undefined || at + Rows.LEAF_ENTRY_BYTES > tile.byteLength) return undefined
    return {
      leaf: tile.subarray(at, at + HASH_BYTES),
      salt: tile.subarray(at + HASH_BYTES, at + Rows.LEAF_ENTRY_BYTES)
    }
  }
}

/** The leaf tiles of the sessions whose events lie between these keys. */
const tileBounds = ({ from, to }: { readonly from: Uint8Array; readonly to: Uint8Array }) => ({
  from: Buffer.concat([Buffer.of(0), from.subarray(0, Keys.STREAM_ID_BYTES)]),
  to:
    to === FIRST_ROW
      ? Buffer.of(1)
      : Buffer.concat([Buffer.of(0), to.subarray(0, Keys.STREAM_ID_BYTES), Buffer.alloc(9, 0xff)])
})

const FIRST_ROW = Buffer.of(Keys.ROW_PREFIX)
const NO_TOMBSTONES: ReadonlySet<string> = new Set()

const sorted = (seals: ReadonlyArray<SealedRoot>): ReadonlyArray<SealedRoot> =>
  seals.toSorted((one, other) => one.size - other.size)

const checkpointIn = (text: string): Checkpoint | undefined => {
  const note = parseNote(text)
  return note && parseCheckpoint(note.text)
}
