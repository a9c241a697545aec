/**
 * Makes bundles of evidence (Bundle.ts): everything that is known of a session, with what proves it, in a folder that can be
 * checked anywhere. It reads the store's files at one moment and writes nothing into the store; damage is named, not left out.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import { removedTo } from "../../journal/EntryCheck.ts"
import { type KeptStates, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { absentLeafHash, NO_SALT, SALT_BYTES, storedLeafHash } from "../../journal/EvidenceLeaf.ts"
import {
  decodeSeal,
  LEAF_ENTRY_BYTES,
  LOG_SPACE,
  logIndexOf,
  SEAL_SPACE,
  STORE_CHECKPOINT_KEY,
  STORE_KEY_KEY,
  STORE_SPACE,
  sealKey,
  TILE_ENTRIES,
  TILE_SPACE,
  tileOf
} from "../../journal/EvidenceRows.ts"
import type { Row } from "../../journal/Journal.ts"
import { syncFolder } from "../../journal/JournalWriter.ts"
import { keptStatesAfter, keptStatesOf } from "../../journal/KeptRows.ts"
import * as Keys from "../../journal/Keys.ts"
import { Frontier, HASH_BYTES, leafHash, MerkleTree, sha256 } from "../../journal/Merkle.ts"
import { decodeRecord } from "../../journal/Record.ts"
import { tombstoneOf } from "../../journal/RemovalCore.ts"
import {
  type Checkpoint,
  parseCheckpoint,
  parseNote,
  parseVerifierKey,
  type Signer,
  signNote,
  tlogProofText
} from "../../journal/SignedNote.ts"
import { parseStatement } from "../../journal/Statement.ts"
import { redactedAtCapture, SessionState } from "../../projections/SessionState.ts"
import { snapshotKey, snapshotState } from "../../projections/SnapshotRow.ts"
import { packageVersion, verifyScript } from "../EntryPoints.ts"
import {
  EVENT_LINES_FORMAT,
  EVENT_LINES_VERSION,
  type EventLinesHeader,
  eventLine,
  keptLine
} from "../export/EventLine.ts"
import { isoTime } from "../export/ExportTime.ts"
import { StoreSnapshot } from "../export/StoreSnapshot.ts"
import { makeTargetFolder } from "../files/TargetFolder.ts"
import { ownerName } from "../session/CreateRequest.ts"
import { SessionNotFound } from "../session/SessionError.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import {
  BUNDLE_FILES,
  BUNDLE_FORMAT,
  BUNDLE_VERSION,
  type BundleRotation,
  type Coverage,
  type Gap,
  type Manifest,
  type MissingLine,
  manifestNoteText,
  type SealedLine
} from "./Bundle.ts"
import { bundleReadme } from "./BundleReadme.ts"
import { type KeyTerm, keyChain, readRotations, rotationsIn, signatureFault } from "./Rotation.ts"
import { isRemovalForged } from "./SessionWalk.ts"

/** A recording beside the events: its bytes, and in words what it has no room for. */
export interface BundleRecording {
  readonly pieces: AsyncIterable<Uint8Array>
  readonly notes: () => ReadonlyArray<string>
}

export interface BundleOptions {
  readonly reason: string | null
  readonly nowMillis: number
  /** A checkpoint of this store that the auditor has: the bundle shows that the log goes on from it. */
  readonly since?: string | undefined
  /** What signs the manifest; undefined: nothing does. */
  readonly signer?: Signer | undefined
  /** The session up to an event for a player; undefined: the bundle has none. */
  readonly recording?: ((session: SessionId, last: number) => Promise<BundleRecording>) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((session: SessionId, events: number) => void) | undefined
}

export interface BundleReport {
  readonly target: string
  readonly bundles: ReadonlyArray<{ readonly session: SessionId; readonly folder: string; readonly coverage: Coverage }>
}

/**
 * The log does not go on from the checkpoint that was given. `verdict` is the one that `reprise verify --anchor` comes to, with its
 * reason in the message; `invalid`: it is no checkpoint of this store.
 */
export class SinceRefused extends Error {
  override readonly name = "SinceRefused"
  readonly verdict: "invalid" | "integrity" | "completeness" | "unproven"
  constructor(verdict: SinceRefused["verdict"], message: string) {
    super(message)
    this.verdict = verdict
  }
}

/** Of one write. */
const PIECE_LENGTH_MAX = 256 * 1024

/**
 * One session is the folder itself, several are folders in it, each by its id. Throws StoreRefused, SessionNotFound,
 * TargetRefused, TargetFull, SinceRefused.
 */
export const exportBundles = async (
  paths: StorePaths,
  sessions: ReadonlyArray<SessionId>,
  target: string,
  options: BundleOptions
): Promise<BundleReport> => {
  const store = await StoreSnapshot.open(paths)
  try {
    const { done, target: final } = await makeTargetFolder(paths, target, async (folder) => {
      const log = await readLog(store)
      if (options.since !== undefined) checkSince(options.since, log)
      const made: Array<{ readonly session: SessionId; readonly name: string; readonly coverage: Coverage }> = []
      for (const session of sessions) {
        const name = sessions.length === 1 ? "" : session
        const own = join(folder, name)
        if (name !== "") mkdirSync(own, { mode: 0o700 })
        made.push({ session, name, coverage: await new BundleWriter(store, log, session, own, options).write() })
      }
      return made
    })
    return {
      target: final,
      bundles: done.map(({ coverage, name, session }) => ({ session, folder: join(final, name), coverage }))
    }
  } finally {
    store.close()
  }
}

// --- the store's log -------------------------------------------------------------------------------------------------

interface StoreLog {
  readonly key: string
  /** Signed, and what it says. */
  readonly note: string
  readonly checkpoint: Checkpoint
  /** The statements under the checkpoint, in order. */
  readonly statements: ReadonlyArray<string>
  readonly tree: MerkleTree
  readonly rotations: ReadonlyArray<BundleRotation>
  /** Those that lead to the present key, and it; none where it cannot be read. */
  readonly keys: ReadonlyArray<KeyTerm>
}

/** undefined: nothing was ever sealed, or what is there of the log is not what the checkpoint says. */
const readLog = async (store: StoreSnapshot): Promise<StoreLog | undefined> => {
  let key: string | undefined
  let note: string | undefined
  const rows: Array<Row> = []
  for await (const row of store.rows(STORE_SPACE)) {
    rows.push({ ...row, key: Uint8Array.from(row.key), value: Uint8Array.from(row.value) })
    if (Buffer.compare(row.key, STORE_KEY_KEY) === 0) key = Buffer.from(row.value).toString("utf8").trim()
    if (Buffer.compare(row.key, STORE_CHECKPOINT_KEY) === 0) note = Buffer.from(row.value).toString("utf8")
  }
  const checkpoint = note === undefined ? undefined : checkpointOf(note)
  if (key === undefined || note === undefined || checkpoint === undefined) return undefined
  const statements: Array<string> = []
  const tree = new MerkleTree()
  for await (const { key: index, value } of store.rows(LOG_SPACE)) {
    if (statements.length === checkpoint.size) break
    if (logIndexOf(index) !== statements.length) return undefined
    const text = Buffer.from(value)
    tree.append(leafHash(text))
    statements.push(text.toString("utf8"))
  }
  const isWhole = statements.length === checkpoint.size && Buffer.compare(tree.root(), checkpoint.root) === 0
  if (!isWhole) return undefined
  const changes = await readRotations(rows, async (index) => statementBytes(statements[index]))
  // One that is none is taken along: whoever checks the bundle is told of it as of one in the store.
  const rotations = changes.flatMap(({ index, note: signed, statement }) =>
    statement === undefined
      ? []
      : [
          {
            statement,
            checkpoint: signed,
            inclusion: tree.inclusionProof(index, index + 1).map(base64),
            consistency: tree.consistencyProof(index + 1).map(base64)
          }
        ]
  )
  const verifier = parseVerifierKey(key)
  const keys = verifier === undefined ? [] : keyChain(verifier, rotationsIn(changes))
  return { key, note, checkpoint, statements, tree, rotations, keys }
}

const statementBytes = (text: string | undefined): Uint8Array | undefined =>
  text === undefined ? undefined : Buffer.from(text)

const checkpointOf = (note: string): Checkpoint | undefined => {
  const parsed = parseNote(note)
  return parsed && parseCheckpoint(parsed.text)
}

const OWN_ANCHOR = "give one that `reprise anchor` printed of this store"

/** Throws SinceRefused, in the words of `reprise verify --anchor` (Verify.ts). */
const checkSince = (text: string, log: StoreLog | undefined): void => {
  const refuse = (verdict: SinceRefused["verdict"], reason: string) => new SinceRefused(verdict, reason)
  const note = parseNote(text)
  const before = note && parseCheckpoint(note.text)
  if (note === undefined || before === undefined) throw refuse("invalid", `this is no checkpoint; ${OWN_ANCHOR}`)
  if (log === undefined)
    throw refuse("unproven", "nothing of this store is sealed that could go on from it; `reprise verify` says more")
  const { origin, size } = log.checkpoint
  if (before.origin !== origin)
    throw refuse("invalid", `this checkpoint is of another log, ${before.origin}; ${OWN_ANCHOR}`)
  const fault = signatureFault(note, log.keys, origin, before.size)
  if (fault !== undefined) throw refuse("integrity", `${fault.reason}: the checkpoint ${fault.why}`)
  if (before.size > size) {
    const sizes = `the checkpoint was made with ${before.size} statements, and the log has ${size}`
    throw refuse("completeness", `rolled back: ${sizes}`)
  }
  const then = new Frontier()
  for (const statement of log.statements.slice(0, before.size)) then.append(leafHash(Buffer.from(statement)))
  if (Buffer.compare(then.root(), before.root) === 0) return
  const what = `the log is another one than when the checkpoint was made, at ${before.size} statements`
  throw refuse("integrity", `forked: ${what}`)
}

// --- one bundle ------------------------------------------------------------------------------------------------------

interface Seal {
  readonly note: string
  readonly checkpoint: Checkpoint
  /** Tiles of leaf hashes and salts, by number. */
  readonly tiles: ReadonlyMap<number, Uint8Array>
}

interface Told {
  /** Hex, of the EventsRemoved that are recorded. */
  readonly tombstones: Set<string>
  imported: Manifest["imported"]
}

class BundleWriter {
  readonly #store: StoreSnapshot
  readonly #log: StoreLog | undefined
  readonly #session: SessionId
  readonly #folder: string
  readonly #options: BundleOptions
  readonly #files: Record<string, { readonly sha256: string; readonly bytes: number }> = {}
  readonly #unsealed = new Frontier()
  readonly #ranges: Array<[number, number]> = []
  readonly #gaps: Array<Gap> = []
  readonly #lost: Array<Coverage["lost"][number]> = []
  /** Of them that of a SessionLost that nothing followed yet. */
  #lostSession: Coverage["lost"][number] | undefined
  readonly #interruptions: Array<{ from: number; to: number | null; gapBytes: number | null }> = []
  readonly #redactions: Array<object> = []
  readonly #redacted = new Set<number>()
  #told: Told = { tombstones: new Set(), imported: null }
  #state: SessionState
  #created: Manifest["created"] = null
  #imported: Manifest["imported"] = null
  #removed: Coverage["removed"] = null
  #keptStates: KeptStates | undefined
  #events = 0
  #last = 0
  #hiddenInputs = 0
  /** Of the terminal and of all commands, as far as it is there. */
  #outputBytes = 0

  constructor(
    store: StoreSnapshot,
    log: StoreLog | undefined,
    session: SessionId,
    folder: string,
    options: BundleOptions
  ) {
    this.#store = store
    this.#log = log
    this.#session = session
    this.#folder = folder
    this.#options = options
    this.#state = SessionState.initial(session)
  }

  async write(): Promise<Coverage> {
    this.#told = await this.#readStoreStream()
    const seal = await this.#readSeal()
    await this.#writeEvents(seal)
    if (seal !== undefined && this.#log !== undefined) this.#writeProofs(seal, this.#log)
    this.#put(BUNDLE_FILES.redactions, `${JSON.stringify(this.#redactions, null, 2)}\n`)
    const formats: Record<string, ReadonlyArray<string>> = {}
    const recording = await this.#options.recording?.(this.#session, this.#last)
    if (recording !== undefined) {
      const file = await this.#create(BUNDLE_FILES.recording)
      try {
        for await (const piece of recording.pieces) await file.write(piece)
      } finally {
        await file.close()
      }
      formats[BUNDLE_FILES.recording] = recording.notes()
    }
    this.#put(BUNDLE_FILES.verify, readFileSync(verifyScript, "utf8"))
    const coverage = this.#coverage(seal?.checkpoint.size ?? 0)
    this.#put(BUNDLE_FILES.readme, bundleReadme(this.#session, coverage, this.#log?.key))
    await this.#writeManifest(coverage, formats)
    syncFolder(this.#folder)
    return coverage
  }

  /** undefined: nothing of the session is sealed yet. */
  async #readSeal(): Promise<Seal | undefined> {
    let note: string | undefined
    for await (const row of this.#store.rows(SEAL_SPACE, sealKey(this.#session)))
      note = decodeSeal(row.value)?.checkpoint
    const checkpoint = note === undefined ? undefined : checkpointOf(note)
    if (note === undefined || checkpoint === undefined) return undefined
    const tiles = new Map<number, Uint8Array>()
    const stream = Keys.streamBytes(this.#session)
    for await (const { key, value } of this.#store.rows(TILE_SPACE, Buffer.concat([Buffer.of(0), stream]))) {
      const tile = tileOf(key)
      if (tile !== undefined) tiles.set(tile.tile, Uint8Array.from(value))
    }
    return { note, checkpoint, tiles }
  }

  async #writeEvents(seal: Seal | undefined): Promise<void> {
    const sealed = seal?.checkpoint.size ?? 0
    const last = await this.#look(seal)
    const out = await this.#create(BUNDLE_FILES.events)
    let text = ""
    const put = async (line: object) => {
      text += `${JSON.stringify(line)}\n`
      if (text.length < PIECE_LENGTH_MAX) return
      await out.write(text)
      text = ""
    }
    try {
      const header: EventLinesHeader = {
        format: EVENT_LINES_FORMAT,
        version: EVENT_LINES_VERSION,
        session: this.#session,
        events: this.#events,
        last
      }
      await put(header)
      for (const row of await this.#store.kept(this.#session)) await put(keptLine(row))
      let next = 1
      const missing = async (to: number, why: MissingLine["why"]) => {
        for (; next <= Math.min(to, sealed); next++) {
          const leaf = entryOf(seal, next)?.leaf
          if (leaf !== undefined) await put({ missing: next, leaf: base64(leaf), why } satisfies MissingLine)
        }
        next = Math.max(next, to + 1)
      }
      for await (const page of this.#store.events(this.#session)) {
        this.#options.signal?.throwIfAborted()
        for (const item of page) {
          if (item._tag === "Gap") {
            await missing(item.to ?? sealed, "damaged")
            continue
          }
          const { key, sequence, value } = item
          // What stands for removed events is none of those that were sealed.
          const isRemoval = Keys.sequenceOf(key) === 1 && removedTo(value) > 0
          if (isRemoval) await missing(sequence, "removed")
          next = sequence + 1
          const entry = isRemoval ? undefined : entryOf(seal, sequence)
          const line: SealedLine = eventLine(item)
          if (entry === undefined) this.#unsealed.append(storedLeafHash(key, value, NO_SALT)!)
          const isSalted = entry !== undefined && Buffer.compare(entry.salt, NO_SALT) !== 0
          await put({
            ...line,
            ...(entry !== undefined && { leaf: base64(entry.leaf) }),
            ...(isSalted && { salt: base64(entry.salt) })
          })
        }
        this.#options.onProgress?.(this.#session, next - 1)
      }
      await missing(sealed, "damaged")
      await out.write(text)
      await out.sync()
    } finally {
      await out.close()
    }
  }

  /** The first run over the events: what there is, and what it says of itself. Answers the last sequence. */
  async #look(seal: Seal | undefined): Promise<number> {
    for await (const page of this.#store.events(this.#session)) {
      for (const item of page) {
        if (item._tag === "Gap") {
          this.#gaps.push({ from: item.from, to: item.to, reason: item.reason })
          continue
        }
        const { sequence, value } = item
        this.#events++
        this.#last = sequence
        const entry = decodeRecord(sequence, value)
        const { event } = entry
        if (event._tag === "EventsRemoved") {
          // It stands for events that are not there, and is none of them. What the session was by then was kept.
          this.#state = (await this.#keptState(sequence)) ?? SessionState.fold(this.#state, entry)
        } else {
          const range = this.#ranges.at(-1)
          if (range !== undefined && range[1] === sequence - 1) range[1] = sequence
          else this.#ranges.push([sequence, sequence])
          this.#state = SessionState.fold(this.#state, entry)
        }
        switch (event._tag) {
          case "OutputReceived":
            this.#outputBytes += event.data.length
            break
          case "SessionCreated": {
            const { argv, cwd, name = null, owner } = event
            this.#created = { time: isoTime(entry.timeMicros), owner, argv, cwd, name }
            break
          }
          case "RecordingImported":
            this.#imported = { format: event.format, sha256: event.sha256, importer: event.importer }
            break
          case "EventsRemoved":
            this.#keptStates = keptStatesAfter(event, event.to, undefined)
            this.#removed = {
              to: event.to,
              reason: event.reason,
              policy: event.policy,
              actor: entry.actor,
              isRecorded: !isRemovalForged(
                tombstoneOf(item.key, value),
                this.#told.tombstones,
                attestedTo(seal, this.#session, event.to)
              )
            }
            break
          case "GapDetected":
            this.#lost.push({ sequence, what: event.what, from: event.from, to: event.to, reason: event.why })
            break
          case "SessionLost": {
            // What it printed afterwards, if it did, is nowhere.
            const from = Math.max(this.#outputBytes, this.#state.outputBytes)
            this.#lostSession = {
              sequence,
              what: "output",
              from,
              to: null,
              reason: `the session was lost: ${event.reason}`
            }
            this.#lost.push(this.#lostSession)
            break
          }
          case "SessionInterrupted":
            this.#interruptions.push({ from: sequence, to: null, gapBytes: null })
            break
          case "SessionResumed": {
            const lost = this.#lostSession
            const open = this.#interruptions.at(-1)
            if (open?.to === null) Object.assign(open, { to: sequence, gapBytes: event.gapBytes })
            else if (lost !== undefined)
              this.#interruptions.push({ from: lost.sequence, to: sequence, gapBytes: event.gapBytes })
            // Its keeper was found after all: it was away, and not lost.
            if (lost !== undefined) this.#lost.splice(this.#lost.indexOf(lost), 1)
            this.#lostSession = undefined
            break
          }
          case "InputHidden":
            this.#hiddenInputs++
            break
          case "SecretsRedacted":
            this.#redactions.push({ sequence, time: isoTime(entry.timeMicros), by: entry.actor, ...event })
            break
          case "PayloadsRedacted":
            this.#keptStates = keptStatesAfter(event, this.#removed?.to ?? 0, this.#keptStates)
            for (const { sequence } of event.events) this.#redacted.add(sequence)
            this.#redactions.push({ sequence, time: isoTime(entry.timeMicros), by: entry.actor, ...event })
            break
        }
      }
    }
    if (this.#events === 0) throw new SessionNotFound({ session: this.#session, candidates: [] })
    if (this.#removed !== null && this.#keptStates !== undefined) {
      const kept = keptStatesOf(await this.#store.kept(this.#session), this.#keptStates.to)
      if (kept.sha256 !== this.#keptStates.sha256) this.#removed = { ...this.#removed, isRecorded: false }
    }
    return this.#last
  }

  /** Of the session up to a removal; undefined: it is not there, or of another version. */
  async #keptState(sequence: number): Promise<SessionState | undefined> {
    const key = snapshotKey(SessionState.name, this.#session, sequence)
    const row = (await this.#store.kept(this.#session)).find((kept) => Buffer.compare(kept.key, key) === 0)
    const state = row && snapshotState(row, SessionState.version)
    try {
      return state && SessionState.decode(state)
    } catch {
      return undefined
    }
  }

  #writeProofs(seal: Seal, log: StoreLog): void {
    // A session that is quiet for long may be sealed under a key before the present one.
    this.#put(BUNDLE_FILES.sessionCheckpoint, seal.note)
    if (log.rotations.length > 0) this.#put(BUNDLE_FILES.rotations, `${JSON.stringify(log.rotations, null, 2)}\n`)
    this.#put(BUNDLE_FILES.storeCheckpoint, log.note)
    this.#put(BUNDLE_FILES.key, `${log.key}\n`)
    // The newest one: it was written in one batch with the checkpoint.
    const index = log.statements.findLastIndex((text) => {
      const sealed = parseStatement(text)?.sealed
      return sealed?.session === this.#session && sealed.size === seal.checkpoint.size
    })
    if (index >= 0) {
      const hashes = log.tree.inclusionProof(index)
      this.#put(BUNDLE_FILES.statement, log.statements[index]!)
      this.#put(BUNDLE_FILES.proof, tlogProofText({ extra: undefined, index, hashes, checkpoint: log.note }))
    }
    const { since } = this.#options
    if (since === undefined) return
    const before = checkpointOf(since)
    if (before === undefined) return
    const proof = log.tree.consistencyProof(before.size).map(base64)
    this.#put(BUNDLE_FILES.consistency, `${[before.size, base64(before.root), ...proof].join("\n")}\n`)
  }

  #coverage(sealed: number): Coverage {
    const { closed, status } = this.#state
    const facts = {
      events: this.#events,
      last: this.#last,
      ranges: this.#ranges,
      gaps: this.#gaps,
      removed: this.#removed,
      sealed,
      unsealed: this.#unsealed.size,
      unsealedRoot: base64(this.#unsealed.root()),
      lost: this.#lost,
      interruptions: this.#interruptions,
      hiddenInputs: this.#hiddenInputs,
      redacted: this.#redacted.size,
      atCapture: redactedAtCapture(this.#state),
      ended: closed || status === "lost" || status === "failed"
    }
    return { text: inWords(facts, status), ...facts }
  }

  async #writeManifest(coverage: Coverage, formats: Manifest["formats"]): Promise<void> {
    const { nowMillis, reason, signer } = this.#options
    const { exitCode, signal, status } = this.#state
    const manifest: Manifest = {
      format: BUNDLE_FORMAT,
      version: BUNDLE_VERSION,
      session: this.#session,
      store: this.#log?.checkpoint.origin ?? null,
      exported: {
        time: new Date(nowMillis).toISOString(),
        by: ownerName(),
        host: hostname(),
        tool: `reprise ${packageVersion}`,
        reason
      },
      created: this.#created,
      status,
      exitCode,
      signal,
      imported: this.#imported ?? this.#told.imported,
      coverage,
      formats,
      files: this.#files
    }
    const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)
    this.#write(BUNDLE_FILES.manifest, text)
    if (signer === undefined) return
    this.#write(BUNDLE_FILES.manifestNote, Buffer.from(signNote(manifestNoteText(this.#session, sha256(text)), signer)))
  }

  /** What the store's own stream tells of the session. */
  async #readStoreStream(): Promise<Told> {
    const told: Told = { tombstones: new Set(), imported: null }
    for await (const page of this.#store.events(STORE_STREAM)) {
      for (const item of page) {
        if (item._tag === "Gap") continue
        const { event } = decodeRecord(item.sequence, item.value)
        if (!("session" in event) || event.session !== this.#session) continue
        if (event._tag === "RemovalRecorded") told.tombstones.add(event.tombstone)
        // A session that was imported as it was says so only here.
        if (event._tag !== "RecordingImported") continue
        told.imported = { format: event.format, sha256: event.sha256, importer: event.importer }
      }
    }
    return told
  }

  // --- files ---------------------------------------------------------------------------------------------------------

  #put(name: string, text: string): void {
    const bytes = Buffer.from(text)
    this.#write(name, bytes)
    this.#digest(name, bytes)
  }

  #write(name: string, bytes: Uint8Array): void {
    writeFileSync(join(this.#folder, name), bytes, { mode: 0o600, flag: "wx", flush: true })
  }

  #digest(name: string, bytes: Uint8Array): void {
    this.#files[name] = { sha256: createHash("sha256").update(bytes).digest("hex"), bytes: bytes.byteLength }
  }

  /** A large file: its digest goes into the manifest when it is closed. */
  async #create(
    name: string
  ): Promise<{ write(data: string | Uint8Array): Promise<void>; sync(): Promise<void>; close(): Promise<void> }> {
    const file: FileHandle = await open(join(this.#folder, name), "wx", 0o600)
    const hash = createHash("sha256")
    let bytes = 0
    return {
      write: async (data) => {
        const piece = typeof data === "string" ? Buffer.from(data) : data
        hash.update(piece)
        bytes += piece.byteLength
        await file.writeFile(piece)
      },
      sync: () => file.sync(),
      close: async () => {
        await file.close()
        this.#files[name] = { sha256: hash.digest("hex"), bytes }
      }
    }
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

/** Leaf hash and salt of a sealed event; undefined behind the seal, and where the tile is not there. */
const entryOf = (
  seal: Seal | undefined,
  sequence: number
): { readonly leaf: Uint8Array; readonly salt: Uint8Array } | undefined => {
  if (seal === undefined || sequence > seal.checkpoint.size) return undefined
  const tile = seal.tiles.get(Math.floor((sequence - 1) / TILE_ENTRIES))
  const at = ((sequence - 1) % TILE_ENTRIES) * LEAF_ENTRY_BYTES
  if (tile === undefined || tile.byteLength < at + LEAF_ENTRY_BYTES) return undefined
  const end = at + HASH_BYTES
  return { leaf: tile.subarray(at, end), salt: tile.subarray(end, end + SALT_BYTES) }
}

/** How many of the events up to this one were sealed while they were there. */
const attestedTo = (seal: Seal | undefined, session: SessionId, to: number): number => {
  const stream = Keys.streamBytes(session)
  let attested = 0
  for (let sequence = 1; sequence <= Math.min(to, seal?.checkpoint.size ?? 0); sequence++) {
    const leaf = entryOf(seal, sequence)?.leaf
    const absent = absentLeafHash(Keys.eventKey(stream, sequence))
    if (leaf !== undefined && Buffer.compare(leaf, absent) !== 0) attested++
  }
  return attested
}

const inWords = (coverage: Omit<Coverage, "text">, status: SessionState["status"]): string => {
  const { atCapture, ended, gaps, interruptions, last, lost, ranges, redacted, removed, sealed, unsealed } = coverage
  const parts = [
    ranges.length === 0
      ? "none of its events is there any more"
      : gaps.length === 0 && ranges.length === 1
        ? `events ${ranges[0]![0]} to ${last} contiguous`
        : `events ${ranges.map(([from, to]) => (from === to ? from : `${from} to ${to}`)).join(", ")}`,
    ...(removed === null
      ? []
      : [
          `events 1 to ${removed.to} removed by ${removed.actor} (${removed.policy}), one event tells of it in their place`
        ]),
    ...gaps.map(({ from, reason, to }) => `events ${from} to ${to ?? "?"} missing (${reason})`),
    ...lost.map(({ from, reason, to, what }) => `${what} ${from} to ${to ?? "?"} never recorded (${reason})`),
    ...(interruptions.length === 0 ? [] : [`${interruptions.length} times without an engine`]),
    sealed === 0 ? "nothing sealed" : `sealed up to event ${sealed}`,
    ...(unsealed === 0 ? [] : [`${unsealed} not sealed`]),
    ...(redacted === 0 ? [] : [`${redacted} redacted`]),
    ...(atCapture == null
      ? []
      : [
          `recorded with rules (${atCapture.rules.join(", ")}) that replaced ${atCapture.bytes} bytes before they were journaled`
        ]),
    status === "lost"
      ? "how the session ended is not known"
      : ended
        ? "the session has ended"
        : "the session had not ended"
  ]
  return parts.join("; ")
}
