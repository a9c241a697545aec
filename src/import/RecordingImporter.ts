/**
 * Takes a recording into a store as a session that has ended. Everything is checked before anything is written; what is in
 * the store is never changed. No engine may be using the store: records are written past it, bit for bit, as with a backup.
 *
 * The session's id is that of the file where it names one (the lossless format) and no other session has it here; else it
 * is made from the file's digest and the time at which it begins. So the same file is the same session: importing it again
 * finds it there, and finishes an import that was killed.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { ulid } from "ulid"
import { removedTo } from "../../journal/EntryCheck.ts"
import { openEntries } from "../../journal/EntryReader.ts"
import {
  ACTOR_ENGINE,
  type NewEvent,
  type RecordingImported,
  type RemovalRecorded,
  type SessionId,
  STORE_STREAM
} from "../../journal/Event.ts"
import { rareKinds } from "../../journal/EventKind.ts"
import { EventRefused } from "../../journal/JournalError.ts"
import * as Keys from "../../journal/Keys.ts"
import { decodeRecord, encodeRecord, encodeRow } from "../../journal/Record.ts"
import { removalRecorded } from "../../journal/RemovalCore.ts"
import type { KeyValue } from "../../journal/Storage.ts"
import { guardStore } from "../../journal/StoreGuard.ts"
import { SessionState } from "../../projections/SessionState.ts"
import { readSnapshot, snapshotKey } from "../../projections/SnapshotRow.ts"
import { BackupRefused, SessionDiffers } from "../care/CareError.ts"
import { checkRoom } from "../care/FreeSpace.ts"
import { RecordCheck } from "../care/RecordCheck.ts"
import { Batch, begin, noteEnds, withTarget } from "../care/TargetStore.ts"
import { RecordingFile } from "../files/RecordingFile.ts"
import { ownerName } from "../session/CreateRequest.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { DETECT_BYTES, importFormat } from "./Import.ts"
import type { Recording } from "./Recording.ts"

export interface RecordingImportOptions {
  /** Checks and compares, writes nothing. */
  readonly dryRun: boolean
  /** System user; the one of this process if absent. */
  readonly importer?: string | undefined
  readonly nowMicros: number
  readonly signal?: AbortSignal | undefined
}

export interface RecordingImportReport {
  readonly file: string
  readonly format: string
  readonly sha256: string
  readonly isDryRun: boolean
  readonly session: SessionId
  /** The id in the file, where the session has another one here. */
  readonly original: SessionId | null
  readonly events: number
  readonly outcome: "imported" | "same"
}

/** Throws RecordingRefused, SessionDiffers, StoreInUse, StoreRefused, TargetFull, StorageUnavailable. */
export const importRecording = async (
  paths: StorePaths,
  path: string,
  options: RecordingImportOptions
): Promise<RecordingImportReport> => {
  const file = await RecordingFile.open(path)
  try {
    const format = importFormat(file.path, await file.first(DETECT_BYTES), file.name)
    const recording = await (await format.load())(file)
    const sha256 = await file.sha256()
    const source = { file, recording, sha256, options }
    const id = recording.session ?? (await derivedId(source))
    const found = await plan(paths, source, id)
    const report = {
      file: file.path,
      format: recording.format,
      sha256,
      isDryRun: options.dryRun,
      session: found.session,
      original: found.session === id ? null : id,
      events: found.events,
      outcome: found.isHere ? ("same" as const) : ("imported" as const)
    }
    if (options.dryRun || found.isHere) return report
    await write(paths, source, found)
    return report
  } finally {
    await file.close()
  }
}

interface Source {
  readonly file: RecordingFile
  readonly recording: Recording
  readonly sha256: string
  readonly options: RecordingImportOptions
}

interface Plan {
  readonly session: SessionId
  /** All of it is in the store already. */
  readonly isHere: boolean
  readonly events: number
  readonly bytes: number
  readonly hasRemoval: boolean
}

/** Reads all of the file, and what the store has of it. */
const plan = async (paths: StorePaths, source: Source, id: SessionId): Promise<Plan> => {
  const found = await compare(paths, source, id)
  if (found.outcome !== "differs") return { ...found, session: id, isHere: found.outcome === "same" }
  if (found.hasRemoval) {
    const reason = `session ${id} is in this store with another content, and what was kept of its removed events can only be imported under its own id`
    throw source.file.refuse(0, reason)
  }
  const other = await derivedId(source)
  const again = await compare(paths, source, other)
  if (again.outcome === "differs") throw new SessionDiffers({ session: other, sequence: again.differsAt })
  return { ...again, session: other, isHere: again.outcome === "same" }
}

// --- the records -----------------------------------------------------------------------------------------------------

/** The time at which it begins, then the beginning of the file's digest. */
const derivedId = async ({ file, recording, sha256 }: Source): Promise<SessionId> => {
  for await (const { timeMicros } of recording.events()) {
    const digits = createHash("sha256").update(`${sha256} ${recording.format}`).digest()
    const random = Keys.streamOf(digits.subarray(0, Keys.STREAM_ID_BYTES)).slice(-16)
    return `${ulid(Math.floor(timeMicros / 1000)).slice(0, 10)}${random}` as SessionId
  }
  throw file.refuse(0, "holds no event")
}

interface ImportedRecord {
  readonly entry: KeyValue
  /** Not of the file. */
  readonly isAdded: boolean
}

/** As they are to lie in the store; each is checked. Those that were there and that say where it came from, in order. */
async function* records(source: Source, session: SessionId): AsyncGenerator<ImportedRecord, undefined> {
  const { file, recording } = source
  const check = new RecordCheck(file.path)
  const stream = Keys.streamBytes(session)
  let state = SessionState.initial(session)
  let sequence = 0
  let last = 0
  const record = (event: NewEvent, isAdded: boolean): ImportedRecord => {
    sequence++
    const key = Keys.eventKey(stream, sequence)
    try {
      const value = encodeRecord(key, event)
      check.add(key, value)
      // What stands for a removed beginning lies at its first key, and what follows goes on behind its last.
      if (sequence === 1 && removedTo(value) > 0) {
        sequence = removedTo(value)
        state = keptState(recording, session, sequence) ?? state
      }
      state = SessionState.fold(state, decodeRecord(sequence, value))
      last = event.timeMicros
      return { entry: [key, value], isAdded }
    } catch (error) {
      if (error instanceof BackupRefused || error instanceof EventRefused)
        throw file.refuse(0, `event ${sequence}: ${error.reason}`)
      throw error
    }
  }
  const mark = (): NewEvent => ({ event: origin(source, session), actor: ACTOR_ENGINE, timeMicros: last })
  for await (const event of recording.events()) {
    source.options.signal?.throwIfAborted()
    yield record(event, false)
    if (recording.session === undefined && sequence === 1) yield record(mark(), true)
  }
  if (sequence === 0) throw file.refuse(0, "holds no event")
  const isOver = state.closed || state.status === "lost" || state.status === "failed"
  if (recording.session === undefined) {
    if (!isOver) throw file.refuse(0, "does not end with the end of its session")
    return
  }
  // A session that is kept as it was says nothing of this in its own events: they are those of the file, and no more.
  if (isOver && recording.session === session) return
  yield record(mark(), true)
  if (isOver) return
  const reason = "exported while it was running: what happened afterwards is not in the file"
  yield record({ event: { _tag: "SessionLost", reason }, actor: ACTOR_ENGINE, timeMicros: last }, true)
}

const origin = ({ file, options, recording, sha256 }: Source, session: SessionId): typeof RecordingImported.Type => ({
  _tag: "RecordingImported",
  session,
  format: recording.format,
  sha256,
  bytes: file.bytes,
  importer: options.importer ?? ownerName(),
  ...(recording.session !== undefined && recording.session !== session && { original: recording.session })
})

const keptState = (recording: Recording, session: SessionId, sequence: number): SessionState | undefined => {
  const key = snapshotKey(SessionState.name, session, sequence)
  const row = recording.kept?.find((row) => Buffer.compare(row.key, key) === 0)
  const found = row && readSnapshot(row)
  try {
    return found && SessionState.decode(found.state)
  } catch {
    // Of another version: what follows says whether it has ended.
    return undefined
  }
}

// --- the store -------------------------------------------------------------------------------------------------------

/** With what the store has under this id. `new`: nothing, or what an import that was killed left of it. */
const compare = async (paths: StorePaths, source: Source, session: SessionId) => {
  let [events, bytes, ofFile, here, differsAt] = [0, 0, 0, 0, 0]
  let hasRemoval = false
  let isBegun = false
  const stored = storedEvents(paths, session)
  const told = (outcome: "new" | "same" | "differs") => ({
    outcome,
    events,
    bytes,
    differsAt: differsAt || here + 1,
    hasRemoval
  })
  try {
    let next = await stored.next()
    for await (const { entry, isAdded } of records(source, session)) {
      const [key, value] = entry
      events++
      bytes += key.byteLength + value.byteLength
      // What is added to a session that was alive has no place in the living one.
      if (isAdded && source.recording.session === session) continue
      ofFile++
      if (ofFile === 1) hasRemoval = value[5] === rareKinds.EventsRemoved
      while (!next.done && Buffer.compare(next.value[0], key) < 0) next = await stored.next()
      if (next.done || Buffer.compare(next.value[0], key) > 0) continue
      const valueHere = next.value[1]
      if (ofFile === 1) {
        isBegun = true
        // Removed on purpose since: it does not come back.
        if (!hasRemoval && removedTo(valueHere) > 0) return told("same")
      }
      here++
      if (!isSame(value, valueHere)) differsAt ||= Keys.sequenceOf(key)
      next = await stored.next()
    }
    if (differsAt > 0) return told("differs")
    if (here === ofFile) return told("same")
    return told(isBegun || !next.done ? "differs" : "new")
  } finally {
    await stored.return(undefined)
  }
}

/** Who imported it may be another one. */
const isSame = (one: Uint8Array, other: Uint8Array): boolean =>
  Buffer.compare(one, other) === 0 ||
  (one[5] === rareKinds.RecordingImported && other[5] === rareKinds.RecordingImported)

/** Beside whoever has the store open. */
async function* storedEvents(paths: StorePaths, session: SessionId): AsyncGenerator<KeyValue, undefined> {
  if (!existsSync(paths.journal)) return
  if (guardStore(paths.journal, false).isNew) return
  const reader = await openEntries(paths.journal, paths.key)
  try {
    const stream = Keys.streamBytes(session)
    for await (const page of reader.pages({ from: Keys.eventKey(stream, 0), to: Keys.streamEnd(stream) })) yield* page
  } finally {
    reader.close()
  }
}

const write = (paths: StorePaths, source: Source, { bytes, hasRemoval, session }: Plan): Promise<void> =>
  withTarget(paths, hasRemoval ? 2 : 1, async (storage) => {
    checkRoom(paths.store, bytes)
    const batch = new Batch(storage)
    // Before the events that need them.
    for (const { key, space, value } of source.recording.kept ?? []) {
      const full = Keys.rowKey(space, key)
      batch.put(full, encodeRow(full, value))
    }
    // A session without its first event is one whose import was interrupted, so that comes last, with the word of it.
    let first: KeyValue | undefined
    let head = 0
    for await (const { entry } of records(source, session)) {
      const [key, value] = entry
      head = Math.max(Keys.sequenceOf(key), removedTo(value))
      if (first === undefined) first = entry
      else batch.put(key, value)
      await batch.flushFull()
    }
    await batch.flush()
    const store = Keys.streamBytes(STORE_STREAM)
    const bounds = { from: Keys.eventKey(store, 0), to: Keys.streamEnd(store) }
    const [newest] = await storage.range({ ...bounds, reverse: true, limit: 1, bytesMax: 1 })
    const storeHead = newest === undefined ? 0 : Keys.sequenceOf(newest[0])
    const told = [origin(source, session), ...(first === undefined ? [] : removalIn(first, session))]
    for (const [index, event] of told.entries()) {
      const key = Keys.eventKey(store, storeHead + 1 + index)
      batch.put(key, encodeRecord(key, { event, actor: "cli", timeMicros: source.options.nowMicros }))
    }
    if (first !== undefined) begin(batch, first)
    await batch.flush()
    noteEnds(paths, [
      [STORE_STREAM, storeHead + told.length],
      [session, head]
    ])
  })

/** No seal of this store covers a removal that it imports, and what is kept of the events: so its own stream tells of it. */
const removalIn = ([key, value]: KeyValue, session: SessionId): ReadonlyArray<typeof RemovalRecorded.Type> => {
  const { event } = decodeRecord(1, value)
  return event._tag === "EventsRemoved" ? [removalRecorded(session, event, key, value)] : []
}
