/**
 * What there is in a store, what is wrong with it, and what to do about it. It reads everything and changes nothing; an engine
 * may be using the store. `reprise doctor` shows it.
 */
import { existsSync, lstatSync, readdirSync, statSync } from "node:fs"
import { basename, join } from "node:path"
import type { Damage } from "../../journal/Journal.ts"
import { StoreRefused } from "../../journal/JournalError.ts"
import { type JournalLook, lookAtJournal } from "../../journal/JournalLook.ts"
import type { KeyValue } from "../../journal/Storage.ts"
import { BEFORE_REPAIR_SUFFIX, checkPrivateFolder, guardStore, REPAIR_SUFFIX } from "../../journal/StoreGuard.ts"
import { type EvidenceReport, EvidenceState } from "../evidence/EvidenceState.ts"
import { listKeepers } from "../keeper/KeeperProcess.ts"
import { readEngineLimits } from "../session/EngineConfig.ts"
import type { EngineStatus } from "../session/Sessions.ts"
import type { StorePaths } from "../session/StorePaths.ts"
import { type BackupNote, readNote } from "./BackupNote.ts"
import { freeBytes } from "./FreeSpace.ts"
import { lockHolder } from "./LockHolder.ts"

/** `refused`: an engine would not open it. `damaged`: something is gone. `warning`: something is not as it should be. */
export type FindingLevel = "refused" | "damaged" | "warning" | "note"

export interface Finding {
  readonly level: FindingLevel
  /** What it was found in: a path, a session. */
  readonly where: string
  readonly what: string
  /** What to do; "" when there is nothing to do. */
  readonly advice: string
}

export interface DoctorReport {
  readonly store: string
  /** The worst of the findings; `healthy` when there is none but notes and warnings. */
  readonly state: "healthy" | "damaged" | "refused"
  readonly findings: ReadonlyArray<Finding>
  readonly format: number | null
  /** null: it is not. `isOpened`: the key was given, and what is in the events was checked. */
  readonly encryption: { readonly key: string; readonly isOpened: boolean } | null
  readonly engine: { readonly pid: number; readonly version: string | null } | null
  readonly keepers: ReadonlyArray<{ readonly id: string; readonly pid: number | null; readonly sessions: number }>
  /** What was read and verified; null when nothing could be. */
  readonly content: {
    readonly sessions: number
    readonly events: number
    readonly eventBytes: number
    readonly rows: number
    readonly fileBytes: number
    readonly sha256: string
  } | null
  readonly damages: ReadonlyArray<Damage>
  /** How far the store is sealed, and whether it can go on; null when the store could not be read. */
  readonly evidence: EvidenceReport | null
  readonly freeBytes: number | null
  /** When this is a backup: of what, and whether it is as it was made. */
  readonly backup: (BackupNote & { readonly isUnchanged: boolean }) | null
}

export interface DoctorOptions {
  readonly signal?: AbortSignal | undefined
  /** What the engine says of itself; undefined when none answers. */
  readonly engine: EngineStatus | undefined
}

/** Below it a session that prints much fills the disk within a minute. */
const FREE_BYTES_LOW = 256 * 1024 * 1024

export const doctor = async (paths: StorePaths, options: DoctorOptions): Promise<DoctorReport> => {
  const findings: Array<Finding> = []
  const add = (level: FindingLevel, where: string, what: string, advice = "") =>
    findings.push({ level, where, what, advice })
  const refused = (error: unknown): undefined => {
    if (!(error instanceof StoreRefused)) throw error
    add("refused", error.path, error.detail, adviceOf(error))
  }

  const state = new EvidenceState()
  const look = await lookAt(paths, options, state).catch(refused)
  if (look?.refused !== undefined) refused(look.refused)
  if (look !== undefined && !look.encryption.isOpened) {
    const what = "is encrypted, and no key was given: checksums were verified, and that events follow one another"
    add("note", paths.journal, what, "with --key-file what is in them is checked too")
  }
  if (look?.encryption.change !== undefined) {
    const { from, to } = look.encryption.change
    const isSwitched = look.encryption.keyName === to
    const what = `a change of its key from ${from} to ${to} was interrupted ${isSwitched ? "behind" : "before"} the moment that counts`
    const advice = isSwitched
      ? `whatever opens it next with the key ${to} finishes it; until then files hold keys under ${from} too`
      : `whatever opens it next with the key ${from} takes it back`
    add("warning", paths.journal, what, advice)
  }
  for (const { detail, file, loss, needsRepair } of look?.files ?? []) {
    const advice = needsRepair ? REPAIR : loss === "none" ? "the next engine puts it right" : ""
    add(loss === "none" ? "warning" : "damaged", join(paths.journal, "db", file), detail, advice)
  }
  for (const { from, reason, stream, to } of look?.damages ?? []) {
    add(
      "damaged",
      stream,
      rangeOf(from, to) + reason,
      "what is before it is intact; a backup may have it: reprise import"
    )
  }
  if (look !== undefined && look.exposed.length > 0) {
    const [first = "", ...more] = look.exposed.map((name) => join(paths.journal, name))
    const what = `others may read it, or own it${more.length === 0 ? "" : ` (and ${more.length} more)`}`
    add("warning", first, what, `chmod -R go= ${paths.journal}`)
  }
  const engine = engineOf(paths, options.engine, add)
  const keepers = await keepersOf(paths, options.engine)
  lookAround(paths, options, add, refused)
  const free = existsSync(paths.store) ? freeBytes(paths.store) : null
  if (free !== null && free < FREE_BYTES_LOW) {
    add("warning", paths.store, `its disk has ${Math.floor(free / 1024 / 1024)} MiB left`, "free some space")
  }
  const note = readNote(paths)
  const backup = note === undefined ? null : { ...note, isUnchanged: note.sha256 === look?.entries.sha256 }
  if (backup !== null) {
    const what = `a backup of ${backup.store} ${backup.isUnchanged ? "as it was made" : "that is not as it was made"}`
    add(backup.isUnchanged || findings.some(({ level }) => level === "damaged") ? "note" : "warning", paths.store, what)
  }
  const heads = look?.entries.streams.map(({ head, stream }) => [stream, head] as const)
  // Of an encrypted store nothing can be said without its key.
  const evidence = heads === undefined || look?.encryption.isOpened === false ? null : state.report(paths, heads)
  if (evidence !== null) evidenceFindings(paths, evidence, backup !== null, add)
  return {
    store: paths.store,
    state: findings.some(({ level }) => level === "refused")
      ? "refused"
      : findings.some(({ level }) => level === "damaged")
        ? "damaged"
        : "healthy",
    findings,
    format: look?.format ?? null,
    encryption: encryptionOf(look),
    engine,
    keepers,
    content: look === undefined ? null : contentOf(look),
    damages: look?.damages ?? [],
    evidence,
    freeBytes: free,
    backup
  }
}

const REPAIR = "run: reprise repair"

type Add = (level: FindingLevel, where: string, what: string, advice?: string) => void

/** A copy has no key: that is as it should be. */
const evidenceFindings = (paths: StorePaths, evidence: EvidenceReport, isBackup: boolean, add: Add): void => {
  const { broken, key, refusal, verifier } = evidence
  for (const { what, where } of broken) add("damaged", where, `evidence: ${what}`, "run: reprise verify")
  if (key === "refused") add("warning", paths.evidenceKey, refusal ?? "", "nothing is sealed until that is put right")
  if (verifier === null || isBackup || key === "there" || key === "refused") return
  const what =
    key === "none" ? "the key that signs the evidence is not there" : "is another key than the evidence is under"
  add(
    "warning",
    paths.evidenceKey,
    what,
    "put it back before an engine starts: it would make the evidence anew under another"
  )
}

const lookAt = async (paths: StorePaths, { signal }: DoctorOptions, evidence: EvidenceState): Promise<JournalLook> => {
  checkPrivateFolder(paths.store)
  // Says of a missing journal why it is missing.
  if (!existsSync(paths.journal)) guardStore(paths.journal, false)
  const visit = (_: ReadonlyArray<KeyValue>, opened: ReadonlyArray<KeyValue>) => {
    signal?.throwIfAborted()
    evidence.page(opened)
  }
  return lookAtJournal(paths.journal, { key: paths.key, visit })
}

const encryptionOf = (look: JournalLook | undefined): DoctorReport["encryption"] => {
  if (look?.encryption.keyName === undefined) return null
  const { isOpened, keyName } = look.encryption
  return { key: keyName, isOpened }
}

const contentOf = ({ bytes, entries }: JournalLook): DoctorReport["content"] => ({
  sessions: entries.sessions,
  events: entries.events,
  eventBytes: entries.eventBytes,
  rows: entries.rows,
  fileBytes: bytes,
  sha256: entries.sha256
})

const rangeOf = (from: number, to: number | null): string =>
  from === 0 && to === null ? "" : from === to ? `event ${from}: ` : `events ${from} to ${to ?? "?"}: `

/** A refusal of the guard says what to do itself, in the same sentence. */
const adviceOf = ({ detail, reason }: StoreRefused): string => {
  if (/run: |use a |choose |name the /.test(detail)) return ""
  return reason === "missing" ? "reprise run makes it" : reason === "incomplete" || reason === "corrupt" ? REPAIR : ""
}

const engineOf = (paths: StorePaths, status: EngineStatus | undefined, add: Add): DoctorReport["engine"] => {
  if (status === undefined) {
    const pid = lockHolder(join(paths.journal, "db"))
    if (pid === undefined) return null
    // A command that reads holds it for moments.
    add(
      "note",
      paths.journal,
      `process ${pid} holds its lock and answers on no socket`,
      "wait for it, or see what it is"
    )
    return { pid, version: null }
  }
  const { suspended } = status
  if (suspended !== null) {
    const advice = suspended.diskFull ? "free some space; sessions go on by themselves then" : ""
    add("warning", paths.journal, `the engine cannot write: ${suspended.reason}`, advice)
  }
  return { pid: status.enginePid, version: status.version }
}

const keepersOf = async (paths: StorePaths, status: EngineStatus | undefined): Promise<DoctorReport["keepers"]> => {
  if (status !== undefined)
    return status.keepers.map(({ id, pid, sessions }) => ({ id, pid, sessions: sessions.length }))
  const found = await listKeepers(paths.keepers).catch(() => [])
  return found.map(({ id, pid, sessions }) => ({ id, pid, sessions }))
}

/** What lies beside the journal. */
const lookAround = (
  paths: StorePaths,
  { engine }: DoctorOptions,
  add: Add,
  refused: (error: unknown) => undefined
): void => {
  try {
    readEngineLimits(paths)
  } catch (error) {
    refused(error)
  }
  const log = statSync(paths.log, { throwIfNoEntry: false })
  if (log?.isFile() === false) add("refused", paths.log, "is not a file", "move it away")
  const run = lstatSync(paths.run, { throwIfNoEntry: false })
  if (run !== undefined && (!run.isDirectory() || run.uid !== process.getuid?.() || (run.mode & 0o077) !== 0)) {
    add("refused", paths.run, "is not a folder of your own that only you can enter", "chmod 700 it, or move it away")
  }
  const isFolder = run?.isDirectory() === true
  const keepers = isFolder ? statSync(paths.keepers, { throwIfNoEntry: false }) : undefined
  if (keepers?.isDirectory() === false) add("refused", paths.keepers, "is not a folder", "move it away")
  const socket = isFolder ? lstatSync(paths.engineSocket, { throwIfNoEntry: false }) : undefined
  if (socket !== undefined && !socket.isSocket()) add("refused", paths.engineSocket, "is not a socket", "move it away")
  else if (engine === undefined && socket !== undefined) {
    add("note", paths.engineSocket, "nobody listens there: an engine was killed", "the next one takes its place")
  }
  if (!existsSync(paths.store) || !lstatSync(paths.store).isDirectory()) return
  for (const name of readdirSync(paths.store)) {
    const journal = basename(paths.journal)
    if (name.startsWith(journal + BEFORE_REPAIR_SUFFIX)) {
      add("note", join(paths.store, name), "the journal as it was before a repair", "remove it once it is of no use")
    } else if (name.startsWith(journal + REPAIR_SUFFIX)) {
      add("note", join(paths.store, name), "a repair that was not finished", `${REPAIR}, or remove it`)
    }
  }
  if (existsSync(join(paths.journal, "damaged"))) {
    add("note", join(paths.journal, "damaged"), "what was damaged, as it was before it was put right")
  }
}
