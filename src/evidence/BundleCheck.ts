/**
 * Checks a bundle of evidence (Bundle.ts) and says what it found: two verdicts, each with named reasons. It trusts nothing in
 * the folder but what the key has signed, reads it line by line, and needs no store. verify.mjs in each bundle does the same
 * without a line of this code, with the same names.
 */
import { createHash, type Hash } from "node:crypto"
import { constants, existsSync, readdirSync } from "node:fs"
import { open } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
import { SESSION_ID_PATTERN, type SessionId } from "../../journal/Event.ts"
import { rareKinds } from "../../journal/EventKind.ts"
import { absentLeafHash, eventLeafHash, NO_SALT, payloadDigest, SALT_BYTES } from "../../journal/EvidenceLeaf.ts"
import * as Keys from "../../journal/Keys.ts"
import { Frontier, HASH_BYTES, leafHash, sha256, verifyConsistency, verifyInclusion } from "../../journal/Merkle.ts"
import {
  type Checkpoint,
  NOTE_BYTES_MAX,
  parseCheckpoint,
  parseNote,
  parseTlogProof,
  parseVerifierKey,
  type Verifier,
  verifierKey
} from "../../journal/SignedNote.ts"
import { parseStatement } from "../../journal/Statement.ts"
import { EVENT_LINES_FORMAT, EVENT_LINES_VERSION } from "../export/EventLine.ts"
import { RecordingRefused } from "../files/FileError.ts"
import { RecordingFile } from "../files/RecordingFile.ts"
import type { ErrorCode } from "../session/SessionError.ts"
import {
  BUNDLE_FILES,
  BUNDLE_FORMAT,
  BUNDLE_VERSION,
  type BundleRotation,
  LINE_FIELDS,
  type Manifest,
  manifestNoteText
} from "./Bundle.ts"
import { type KeyTerm, keyChain, type Rotation, readRotation, signersOf, wasKeyAt } from "./Rotation.ts"

/** As `reprise verify` names them for a store (SessionWalk.ts). */
export type BundleReason =
  | "edited"
  | "reordered"
  | "forged removal"
  | "forged seal"
  | "evidence missing"
  | "wrong key"
  | "forged rotation"
  | "forked"
  | "removed"
  | "truncated"
  | "rolled back"

export interface BundleFinding {
  readonly verdict: "integrity" | "completeness"
  readonly reason: BundleReason
  readonly detail: string
}

export interface BundleVerdict {
  readonly folder: string
  readonly session: string
  /** unproven: nothing is signed. */
  readonly integrity: "intact" | "violated" | "unproven"
  readonly completeness: "complete" | "incomplete" | "unproven"
  readonly findings: ReadonlyArray<BundleFinding>
  readonly events: number
  /** Up to this event a signed checkpoint stands for them. */
  readonly sealed: number
  /** Name and id of the key that is trusted; "" without one. */
  readonly key: string
  /** What a person should know and nothing is wrong with. */
  readonly notes: ReadonlyArray<string>
}

export interface BundleCheckOptions {
  /** The verifier key that the auditor was given; the one in the bundle, which proves little, if absent. */
  readonly key?: string | undefined
  /** Store checkpoints that the auditor has from before (`reprise anchor`). */
  readonly anchors?: ReadonlyArray<{ readonly name: string; readonly text: string }> | undefined
}

/** No bundle, or one of a later version. */
export class BundleUnreadable extends Error {
  override readonly name = "BundleUnreadable"
  readonly _tag = "BundleUnreadable"
  readonly code: ErrorCode = "InvalidArgument"
}

const MANIFEST_BYTES_MAX = 64 * 1024 * 1024
/** Findings named one by one. */
const FINDINGS_MAX = 20

/** The bundle, or each of those in the folder. Throws BundleUnreadable. */
export const checkBundles = async (
  folder: string,
  options: BundleCheckOptions
): Promise<ReadonlyArray<BundleVerdict>> => {
  const path = resolve(folder)
  if (existsSync(join(path, BUNDLE_FILES.manifest))) return [await new BundleCheck(path, options).check()]
  const has = (name: string, file: string) => existsSync(join(path, name, file))
  const inside = namesIn(path).filter(
    (name) => SESSION_ID_PATTERN.test(name) || has(name, BUNDLE_FILES.manifest) || has(name, BUNDLE_FILES.events)
  )
  if (inside.length === 0)
    throw new BundleUnreadable(`${path} is no bundle of evidence: it has no ${BUNDLE_FILES.manifest}`)
  const verdicts: Array<BundleVerdict> = []
  for (const name of inside.toSorted()) {
    const own = join(path, name)
    verdicts.push(has(name, BUNDLE_FILES.manifest) ? await new BundleCheck(own, options).check() : withoutManifest(own))
  }
  return verdicts
}

/** One of several bundles of which the manifest was taken away: nothing else of it says what should be there. */
const withoutManifest = (folder: string): BundleVerdict => ({
  folder,
  session: basename(folder),
  integrity: "unproven",
  completeness: "incomplete",
  findings: [{ verdict: "completeness", reason: "removed", detail: `${BUNDLE_FILES.manifest} is missing` }],
  events: 0,
  sealed: 0,
  key: "",
  notes: []
})

const namesIn = (path: string): ReadonlyArray<string> => {
  try {
    return readdirSync(path)
  } catch (error) {
    throw new BundleUnreadable(`${path} cannot be read: ${(error as Error).message}`)
  }
}

/** What the lines of the events come to. */
interface Lines {
  readonly events: number
  readonly last: number
  /** Leaves in order, as far as there is no hole. */
  readonly tree: Frontier
  /** The root is that of all leaves up to the last one that is sealed. */
  readonly isWhole: boolean
  readonly unsealed: Frontier
}

class BundleCheck {
  readonly #folder: string
  readonly #options: BundleCheckOptions
  readonly #findings: Array<BundleFinding> = []
  readonly #notes: Array<string> = []
  #manifest!: Manifest
  #session = "" as SessionId
  /** The trusted key and those that the rotations lead to, in order; the last one signed the bundle. */
  #keys: ReadonlyArray<KeyTerm> = []
  #rotations: ReadonlyArray<ProvenRotation> = []

  constructor(folder: string, options: BundleCheckOptions) {
    this.#folder = folder
    this.#options = options
  }

  async check(): Promise<BundleVerdict> {
    const bytes = await this.#read(BUNDLE_FILES.manifest, MANIFEST_BYTES_MAX)
    this.#manifest = parseManifest(this.#folder, bytes)
    this.#session = this.#manifest.session as SessionId
    const verifier = await this.#verifier()
    if (verifier !== undefined) await this.#readKeys(verifier)
    const isSigned = await this.#checkManifest(bytes!)
    const checkpoint = await this.#checkpoint()
    if (checkpoint !== undefined) await this.#checkLog(checkpoint)
    if (checkpoint !== undefined && (await this.#text(BUNDLE_FILES.manifestNote)) === undefined) {
      this.#wrong("evidence missing", `${BUNDLE_FILES.manifest} is not signed`)
    }
    const sealed = checkpoint?.size ?? 0
    const lines = await this.#checkLines(sealed, isSigned)
    this.#checkRoots(lines, checkpoint)
    await this.#checkFiles(lines)
    this.#checkCoverage(lines, sealed)
    const has = (verdict: BundleFinding["verdict"]) => this.#findings.some((finding) => finding.verdict === verdict)
    const isUnproven = !isSigned && checkpoint === undefined
    return {
      folder: this.#folder,
      session: this.#session,
      integrity: has("integrity") ? "violated" : isUnproven ? "unproven" : "intact",
      completeness: has("completeness") ? "incomplete" : isUnproven ? "unproven" : "complete",
      findings: this.#findings,
      events: lines.events,
      sealed,
      key: verifier === undefined ? "" : `${verifier.name}+${Buffer.from(verifier.keyId).toString("hex")}`,
      notes: this.#notes
    }
  }

  #wrong(reason: BundleReason, detail: string): void {
    this.#findings.push({ verdict: "integrity", reason, detail })
  }

  #incomplete(reason: BundleReason, detail: string): void {
    this.#findings.push({ verdict: "completeness", reason, detail })
  }

  #has(...reasons: ReadonlyArray<BundleReason>): boolean {
    return this.#findings.some(({ reason }) => reasons.includes(reason))
  }

  /** undefined: it is not there. Nothing is followed out of the folder. */
  async #read(name: string, bytesMax = NOTE_BYTES_MAX): Promise<Buffer | undefined> {
    const file = await open(
      join(this.#folder, name),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
    ).catch(() => undefined)
    if (file === undefined) return undefined
    try {
      const stat = await file.stat()
      return stat.isFile() && stat.size <= bytesMax ? await file.readFile() : undefined
    } finally {
      await file.close()
    }
  }

  /** undefined also where the file is empty: then it says as little. */
  async #text(name: string): Promise<string | undefined> {
    return (await this.#read(name))?.toString("utf8") || undefined
  }

  /** The key that is trusted. */
  async #verifier(): Promise<Verifier | undefined> {
    const given = this.#options.key?.trim()
    if (given !== undefined) {
      const verifier = parseVerifierKey(given)
      if (verifier === undefined) throw new BundleUnreadable("the key that was given is no verifier key")
      return verifier
    }
    const own = (await this.#text(BUNDLE_FILES.key))?.trim()
    const verifier = own === undefined ? undefined : parseVerifierKey(own)
    if (verifier === undefined) return undefined
    this.#notes.push(
      "checked with the key in the bundle itself: compare it with the one the store's owner gives (--key)"
    )
    return verifier
  }

  /** The keys that the trusted one leads to: to the bundle's own, or the bundle is of another store. */
  async #readKeys(trusted: Verifier): Promise<void> {
    const bytes = await this.#read(BUNDLE_FILES.rotations, MANIFEST_BYTES_MAX)
    const found = bytes === undefined ? [] : rotationsOf(bytes)
    for (const [at, one] of found.entries()) {
      if (typeof one === "string") this.#wrong("forged rotation", `change ${at + 1} of the key: ${one}`)
    }
    // Behind one that is forged, nothing is followed.
    const sound = found.filter((one) => typeof one !== "string")
    this.#rotations = sound.length === found.length ? sound : []
    this.#keys = keyChain(trusted, this.#rotations)
    const own = (await this.#text(BUNDLE_FILES.key))?.trim()
    const present = verifierKey(this.#keys.at(-1)!.key)
    if (own !== undefined && own !== present) {
      this.#wrong("wrong key", "the bundle names another key than the one that was given, or that this one leads to")
    } else if (present !== verifierKey(trusted)) {
      this.#notes.push(`signed by ${present}, to which the store's log leads from that key`)
    }
  }

  /** Whether its signature is right. */
  async #checkManifest(bytes: Buffer): Promise<boolean> {
    const text = await this.#text(BUNDLE_FILES.manifestNote)
    if (text === undefined || this.#keys.length === 0) return false
    const note = this.#opened(BUNDLE_FILES.manifestNote, text, this.#present)
    if (note === undefined) return false
    if (note.text === manifestNoteText(this.#session, sha256(bytes))) return true
    this.#wrong("edited", `${BUNDLE_FILES.manifest} is not the one that was signed`)
    return false
  }

  get #present(): ReadonlyArray<KeyTerm> {
    return this.#keys.slice(-1)
  }

  /** Of the session, by a key of any time: the log says whether it counts. undefined: there is none that does. */
  async #checkpoint(): Promise<Checkpoint | undefined> {
    const note = await this.#text(BUNDLE_FILES.sessionCheckpoint)
    const [first] = this.#keys
    if (note === undefined || first === undefined) {
      const isKnown = this.#manifest.coverage.sealed > 0
      if (isKnown) this.#wrong("evidence missing", `${BUNDLE_FILES.sessionCheckpoint} or the key is missing`)
      return undefined
    }
    const checkpoint = this.#signed(BUNDLE_FILES.sessionCheckpoint, note, this.#keys)?.checkpoint
    if (checkpoint === undefined) return undefined
    if (checkpoint.origin === `${first.key.name}/${this.#session}`) return checkpoint
    this.#wrong("forged seal", `${BUNDLE_FILES.sessionCheckpoint} is that of ${checkpoint.origin}`)
    return undefined
  }

  /** The note, signed by one of the keys, or undefined after what is wrong with it was told. */
  #opened(
    name: string,
    text: string,
    keys: ReadonlyArray<KeyTerm>
  ): { readonly text: string; readonly signers: ReadonlyArray<KeyTerm> } | undefined {
    const note = parseNote(text)
    const signers = note === undefined ? "forged seal" : signersOf(note, keys)
    if (note !== undefined && typeof signers !== "string") return { text: note.text, signers }
    const of = keys.at(-1)?.key.name
    if (signers === "wrong key") this.#wrong(signers, `${name} is not signed by ${of}`)
    else this.#wrong("forged seal", `the signature of ${name} is wrong`)
    return undefined
  }

  #signed(
    name: string,
    text: string,
    keys: ReadonlyArray<KeyTerm>
  ): { readonly checkpoint: Checkpoint; readonly signers: ReadonlyArray<KeyTerm> } | undefined {
    const note = this.#opened(name, text, keys)
    if (note === undefined) return undefined
    const checkpoint = parseCheckpoint(note.text)
    if (checkpoint !== undefined) return { checkpoint, signers: note.signers }
    this.#wrong("forged seal", `${name} is no checkpoint`)
    return undefined
  }

  async #checkLog(session: Checkpoint): Promise<void> {
    const note = await this.#text(BUNDLE_FILES.storeCheckpoint)
    if (note === undefined) return this.#wrong("evidence missing", `${BUNDLE_FILES.storeCheckpoint} is missing`)
    const store = this.#signed(BUNDLE_FILES.storeCheckpoint, note, this.#present)?.checkpoint
    if (store === undefined) return
    if (store.origin !== this.#keys.at(-1)!.key.name)
      this.#wrong("forged seal", `${BUNDLE_FILES.storeCheckpoint} is that of ${store.origin}`)
    for (const { checkpoint, consistency } of this.#rotations) {
      if (verifyConsistency(checkpoint.size, store.size, checkpoint.root, store.root, consistency)) continue
      this.#wrong("forged rotation", `the log does not go on from where it names another key, at ${checkpoint.size}`)
    }
    await this.#checkStatement(session, store, note)
    for (const { name, text } of this.#options.anchors ?? []) await this.#checkAnchor(store, name, text)
  }

  async #checkStatement(session: Checkpoint, store: Checkpoint, note: string | undefined): Promise<void> {
    const text = await this.#read(BUNDLE_FILES.statement)
    const proofText = await this.#text(BUNDLE_FILES.proof)
    const proof = proofText === undefined ? undefined : parseTlogProof(proofText)
    const sealed = text === undefined ? undefined : parseStatement(text.toString("utf8"))?.sealed
    if (text === undefined || text.byteLength === 0 || proofText === undefined) {
      return this.#wrong("evidence missing", "no statement of the store's log, with its proof, says what is sealed")
    }
    if (sealed === undefined || proof === undefined) {
      const name = sealed === undefined ? BUNDLE_FILES.statement : BUNDLE_FILES.proof
      return this.#wrong("forged seal", `${name} is not what the store's log has`)
    }
    if (proof.checkpoint !== note)
      this.#wrong("forged seal", `${BUNDLE_FILES.proof} is for another checkpoint of the store`)
    if (!verifyInclusion(leafHash(text), proof.index, store.size, store.root, proof.hashes)) {
      this.#wrong("forged seal", "the statement is not in the store's log")
    }
    const isSame = sealed.session === this.#session && sealed.size === session.size
    if (!isSame) {
      const of = `${sealed.size} events of ${sealed.session}`
      return this.#wrong("forged seal", `the log speaks of ${of}, the session's checkpoint of ${session.size}`)
    }
    if (Buffer.compare(sealed.root, session.root) !== 0) {
      this.#wrong("forked", `the log has another root for ${session.size} events than the session's checkpoint`)
    }
  }

  /** Against a checkpoint from before, that did not come with the bundle. */
  async #checkAnchor(store: Checkpoint, name: string, note: string): Promise<void> {
    const signed = this.#signed(`the anchor ${name}`, note, this.#keys)
    if (signed === undefined) return
    const { checkpoint: anchor, signers } = signed
    if (anchor.origin !== store.origin) return this.#wrong("wrong key", `the anchor ${name} is of ${anchor.origin}`)
    if (!wasKeyAt(signers, anchor.size))
      return this.#wrong("wrong key", `the anchor ${name} is signed by a key that was not the store's key then`)
    if (anchor.size > store.size) {
      const sizes = `${store.size} entries, and had ${anchor.size}`
      return this.#incomplete("rolled back", `the store's log has ${sizes}`)
    }
    if (anchor.size === store.size) {
      if (Buffer.compare(anchor.root, store.root) === 0) return
      return this.#wrong("forked", `the store's log of ${store.size} entries has another root than the anchor`)
    }
    const [size, root, ...hashes] = (await this.#text(BUNDLE_FILES.consistency))?.trimEnd().split("\n") ?? []
    if (size !== String(anchor.size)) {
      return this.#wrong("evidence missing", `no proof that the log goes on from the anchor (export with --since)`)
    }
    if (root !== Buffer.from(anchor.root).toString("base64")) {
      return this.#wrong("forked", `the bundle knows another log of ${anchor.size} entries than the anchor`)
    }
    const proof = hashes.map((hash) => Buffer.from(hash, "base64"))
    if (verifyConsistency(anchor.size, store.size, anchor.root, store.root, proof)) return
    this.#wrong("forged seal", "the store's log does not go on from the anchor")
  }

  // --- the events ----------------------------------------------------------------------------------------------------

  async #checkLines(sealed: number, isSigned: boolean): Promise<Lines> {
    const tree = new Frontier()
    const unsealed = new Frontier()
    let [events, last, next] = [0, 0, 1]
    let isWhole = true
    try {
      const file = await RecordingFile.open(join(this.#folder, BUNDLE_FILES.events))
      try {
        const redactions = await this.#redactions(file)
        const stream = Keys.streamBytes(this.#session)
        const { removed } = this.#manifest.coverage
        const removedTo = isSigned && removed?.isRecorded === true ? removed.to : 0
        let isFirst = true
        for await (const { line, number } of file.lines()) {
          const fields = fieldsOf(file, line, number)
          if (number === 1) this.#checkHeader(fields)
          if (number === 1 || "kept" in fields) continue
          if ("missing" in fields) {
            const leaf = bytesOf(fields.leaf, HASH_BYTES)
            if (fields.missing !== next || leaf === undefined || next > sealed) {
              this.#wrong("reordered", `line ${number} is no event that could be missing there`)
              isWhole = false
              continue
            }
            tree.append(leaf)
            next++
            if (fields.missing > removedTo) this.#lacks(`event ${fields.missing} is missing, only its leaf is there`)
            continue
          }
          const event = eventOf(fields)
          if (event === undefined) throw file.refuse(number, "is no event")
          events++
          const { sequence } = event
          // What stands for removed events lies at the key of the first of them, and is none that was sealed.
          const isRemoval = isFirst && event.kind === rareKinds.EventsRemoved
          isFirst = false
          const key = Keys.eventKey(stream, isRemoval ? 1 : sequence)
          if (isRemoval) {
            unsealed.append(eventLeafHash(key, event.header, payloadDigest(NO_SALT, event.payload)))
            last = Math.max(last, sequence)
            if (sequence === removedTo) this.#notes.push(`events 1 to ${sequence} were removed from the store`)
            else
              this.#wrong(
                "forged removal",
                `nothing tells of this removal of the events 1 to ${sequence}, or of what is kept of them`
              )
            if (next <= sequence && next <= sealed) isWhole = false
            next = sequence + 1
            continue
          }
          if (sequence < next) {
            this.#wrong("reordered", `event ${sequence} stands behind event ${last}`)
            isWhole = false
            continue
          }
          if (sequence > next) {
            this.#lacks(`events ${next} to ${sequence - 1} are missing`)
            isWhole = false
          }
          next = sequence + 1
          last = sequence
          if (sequence > sealed) {
            unsealed.append(eventLeafHash(key, event.header, payloadDigest(NO_SALT, event.payload)))
            continue
          }
          const leaf = this.#leafOf(key, event, redactions)
          if (isWhole) tree.append(leaf)
        }
      } finally {
        await file.close()
      }
    } catch (error) {
      if (!(error instanceof RecordingRefused)) throw error
      const place = error.line === 0 ? "" : ` line ${error.line}`
      this.#wrong("edited", `${BUNDLE_FILES.events}${place}: ${error.reason}`)
      isWhole = false
    }
    return { events, last, tree, isWhole, unsealed }
  }

  /** So many of them are named one by one. */
  #lacks(detail: string): void {
    if (this.#findings.filter(({ reason }) => reason === "removed").length < FINDINGS_MAX)
      this.#incomplete("removed", detail)
  }

  /** Payloads that were replaced: what they were, by their digests, and what they are now. */
  async #redactions(file: RecordingFile): Promise<ReadonlyMap<number, Redacted>> {
    const redactions = new Map<number, Redacted>()
    for await (const { line, number } of file.lines()) {
      const fields = fieldsOf(file, line, number)
      const event = fields.kind === rareKinds.PayloadsRedacted ? eventOf(fields) : undefined
      if (event === undefined) continue
      for (const { original, replacement, sealed, sequence } of redactedIn(event.payload)) {
        // Replaced more than once: each may have been sealed, by this store or by another one.
        const originals = redactions.get(sequence)?.originals ?? []
        if (sealed) originals.push(original)
        redactions.set(sequence, { originals, replacement })
      }
    }
    return redactions
  }

  #leafOf(key: Uint8Array, event: LineEvent, redactions: ReadonlyMap<number, Redacted>): Uint8Array {
    const { header, leaf: told, payload, salt, sequence } = event
    if (salt === undefined && told !== undefined && Buffer.compare(told, absentLeafHash(key)) === 0) {
      this.#notes.push(
        `event ${sequence} was not there, or could not be read, when it was sealed: nothing is said of it`
      )
      return told
    }
    const redacted = redactions.get(sequence)
    let digest = salt === undefined ? undefined : payloadDigest(salt, payload)
    if (digest === undefined && redacted !== undefined && redacted.originals.length > 0) {
      const digests = redacted.originals.map((original) => Buffer.from(original, "hex"))
      const isTold = (one: Uint8Array) =>
        told !== undefined && Buffer.compare(eventLeafHash(key, header, one), told) === 0
      digest = digests.find(isTold) ?? digests[0]!
      if (sha256(payload).toString("hex") !== redacted.replacement) {
        this.#wrong("edited", `event ${sequence} was redacted, and is not what took its place`)
      }
    }
    if (digest === undefined) {
      this.#wrong("edited", `event ${sequence} has neither its salt nor a redaction that tells of it`)
      return told ?? NO_LEAF
    }
    const leaf = eventLeafHash(key, header, digest)
    if (told === undefined || Buffer.compare(leaf, told) !== 0) {
      this.#wrong("edited", `event ${sequence} is not what was sealed`)
    }
    return leaf
  }

  #checkHeader({ format, session, version }: Fields): void {
    if (format !== EVENT_LINES_FORMAT || version !== EVENT_LINES_VERSION || session !== this.#session) {
      this.#wrong("edited", `${BUNDLE_FILES.events} does not begin as the events of this session`)
    }
  }

  #checkRoots(lines: Lines, checkpoint: Checkpoint | undefined): void {
    const { coverage } = this.#manifest
    const isNamed = this.#has("edited", "reordered")
    if (checkpoint !== undefined) {
      if (lines.tree.size < checkpoint.size) {
        if (lines.isWhole) {
          this.#incomplete("truncated", `event ${lines.last} is the last, and ${checkpoint.size} are sealed`)
        }
        if (!isNamed)
          this.#wrong(
            "evidence missing",
            "without the events that are missing the root of the others cannot be computed"
          )
      } else if (Buffer.compare(lines.tree.root(), checkpoint.root) !== 0 && !isNamed) {
        this.#wrong("edited", `the events up to ${checkpoint.size} do not have the root that was sealed`)
      }
    }
    const isSame = Buffer.from(lines.unsealed.root()).toString("base64") === coverage.unsealedRoot
    if (coverage.sealed === (checkpoint?.size ?? 0) && !isSame && lines.unsealed.size >= coverage.unsealed) {
      this.#wrong("edited", "the events that are not sealed are not those that were exported")
    }
  }

  async #checkFiles(lines: Lines): Promise<void> {
    for (const [name, { sha256: expected }] of Object.entries(this.#manifest.files)) {
      if (name === BUNDLE_FILES.events) {
        const isSame = await this.#isAsExported(lines, expected)
        if (!isSame) this.#wrong("edited", `${name} is not the file that was exported`)
        continue
      }
      if (basename(name) !== name) {
        this.#wrong("edited", "the manifest names a file outside of the bundle")
        continue
      }
      const found = await digestOf(join(this.#folder, name))
      if (found === undefined) this.#incomplete("removed", `${name} is missing`)
      else if (found !== expected) this.#wrong("edited", `${name} is not the file that was exported`)
    }
  }

  /** What no leaf covers is under this digest: kept state, names of kinds, the first line. What is told of events is not told again. */
  async #isAsExported(lines: Lines, expected: string): Promise<boolean> {
    if (this.#has("edited", "reordered") || lines.events !== this.#manifest.coverage.events) return true
    const path = join(this.#folder, BUNDLE_FILES.events)
    return (await digestOf(path)) === expected || (await orderedDigestOf(path)) === expected
  }

  #checkCoverage(lines: Lines, sealed: number): void {
    const { coverage } = this.#manifest
    if (lines.last < coverage.last && !this.#has("truncated")) {
      this.#incomplete("truncated", `event ${lines.last} is the last, and ${coverage.last} were exported`)
    } else if (lines.events !== coverage.events && !this.#has("truncated", "removed")) {
      this.#incomplete("removed", `${lines.events} events are there, and ${coverage.events} were exported`)
    }
    if (sealed < coverage.sealed) {
      this.#incomplete("rolled back", `${sealed} events are sealed, and ${coverage.sealed} were`)
    }
    for (const { from, reason, to } of coverage.gaps) {
      this.#lacks(`events ${from} to ${to ?? "?"} were missing in the store: ${reason}`)
    }
    for (const { from, reason, to, what } of coverage.lost)
      this.#notes.push(`${what} ${from} to ${to ?? "?"} was never recorded: ${reason}`)
    if (coverage.unsealed > 0)
      this.#notes.push(`${coverage.unsealed} events are not sealed: the manifest's signature alone stands for them`)
    if (coverage.redacted > 0)
      this.#notes.push(`${coverage.redacted} events were redacted, see ${BUNDLE_FILES.redactions}`)
    if (!coverage.ended) this.#notes.push("the session had not ended when it was exported")
    if (this.#manifest.imported !== null) this.#notes.push("the session did not happen in this store: it was imported")
  }
}

const parseManifest = (folder: string, bytes: Buffer | undefined): Manifest => {
  const refuse = (why: string) => new BundleUnreadable(`${folder}: ${BUNDLE_FILES.manifest} ${why}`)
  if (bytes === undefined) throw refuse("cannot be read")
  let manifest: Manifest
  try {
    manifest = JSON.parse(bytes.toString("utf8"))
  } catch {
    throw refuse("is no JSON")
  }
  if (manifest?.format !== BUNDLE_FORMAT) throw refuse("is not that of a bundle")
  if (manifest.version !== BUNDLE_VERSION) throw refuse(`has version ${manifest.version}; use a newer reprise`)
  const { coverage, files, session } = manifest
  const isComplete =
    [coverage?.gaps, coverage?.lost].every(Array.isArray) && typeof files === "object" && files !== null
  if (!isComplete || !SESSION_ID_PATTERN.test(String(session))) throw refuse("is not complete")
  return manifest
}

// --- keys ------------------------------------------------------------------------------------------------------------

interface ProvenRotation extends Rotation {
  readonly consistency: ReadonlyArray<Uint8Array>
}

/** What rotations.json says; a `string`: why it is none. */
const rotationsOf = (bytes: Buffer): ReadonlyArray<ProvenRotation | string> => {
  try {
    const entries: ReadonlyArray<BundleRotation> = JSON.parse(bytes.toString("utf8"))
    return entries.map(({ checkpoint, consistency, inclusion, statement }) => {
      const { size } = parseCheckpoint(parseNote(checkpoint)?.text ?? "") ?? { size: 0 }
      const rotation = readRotation(size - 1, checkpoint, statement)
      if (typeof rotation === "string") return rotation
      const { index, checkpoint: signed } = rotation
      const isInLog = verifyInclusion(leafHash(Buffer.from(statement)), index, size, signed.root, hashesOf(inclusion))
      return isInLog ? { ...rotation, consistency: hashesOf(consistency) } : "the statement is not in the log"
    })
  } catch {
    return [`${BUNDLE_FILES.rotations} cannot be read`]
  }
}

const hashesOf = (texts: ReadonlyArray<string>): ReadonlyArray<Uint8Array> =>
  texts.map((text) => Buffer.from(text, "base64"))

// --- lines -----------------------------------------------------------------------------------------------------------

type Fields = Readonly<Record<string, unknown>>

interface LineEvent {
  readonly sequence: number
  readonly kind: number
  readonly header: Uint8Array
  readonly payload: Uint8Array
  readonly salt: Uint8Array | undefined
  readonly leaf: Uint8Array | undefined
}

interface Redacted {
  /** Hex, of what was sealed. */
  readonly originals: Array<string>
  readonly replacement: string
}

const NO_LEAF = new Uint8Array(HASH_BYTES)

const fieldsOf = (file: RecordingFile, line: Buffer, number: number): Fields => {
  try {
    const value: unknown = JSON.parse(line.toString("utf8"))
    if (typeof value === "object" && value !== null) return value as Fields
  } catch {
    // Refused below.
  }
  throw file.refuse(number, "is no JSON object")
}

const bytesOf = (text: unknown, length?: number): Buffer | undefined => {
  if (typeof text !== "string") return undefined
  const bytes = Buffer.from(text, "base64")
  return bytes.toString("base64") === text && (length ?? bytes.byteLength) === bytes.byteLength ? bytes : undefined
}

const isByte = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 256

/** The header as it was stored; undefined for what is no event. */
const eventOf = ({
  actor,
  command = "",
  kind,
  leaf,
  payload,
  record,
  salt,
  sequence,
  time
}: Fields): LineEvent | undefined => {
  const bytes = bytesOf(payload)
  if (
    !Number.isSafeInteger(sequence) ||
    (sequence as number) < 1 ||
    bytes === undefined ||
    !isByte(kind) ||
    !isByte(record)
  )
    return undefined
  if (typeof actor !== "string" || typeof command !== "string" || actor.length > 255 || command.length > 255)
    return undefined
  if (!/^\d{1,20}$/.test(String(time))) return undefined
  const micros = BigInt(String(time))
  if (micros > 0xffff_ffff_ffff_ffffn) return undefined
  const fixed = Buffer.alloc(10)
  fixed[0] = record
  fixed[1] = kind
  fixed.writeBigUInt64BE(micros, 2)
  const label = (text: string) => Buffer.concat([Buffer.of(text.length), Buffer.from(text, "latin1")])
  return {
    sequence: sequence as number,
    kind,
    header: Buffer.concat([fixed, label(actor), label(command)]),
    payload: bytes,
    salt: salt === undefined ? undefined : (bytesOf(salt, SALT_BYTES) ?? NO_LEAF),
    leaf: bytesOf(leaf, HASH_BYTES)
  }
}

interface RedactedEntry {
  readonly sequence: number
  readonly original: string
  readonly replacement: string
  readonly sealed: boolean
}

const redactedIn = (payload: Uint8Array): ReadonlyArray<RedactedEntry> => {
  try {
    const { events } = JSON.parse(Buffer.from(payload).toString("utf8"))
    return Array.isArray(events) ? events : []
  } catch {
    return []
  }
}

const digestOf = (path: string): Promise<string | undefined> =>
  hashOf(path, async (file, hash) => {
    for await (const piece of file.pieces()) hash.update(piece)
  })

/** Of lines as they were exported, in whatever order the fields of each are now. */
const orderedDigestOf = (path: string): Promise<string | undefined> =>
  hashOf(path, async (file, hash) => {
    for await (const { line, number } of file.lines()) {
      const fields = fieldsOf(file, line, number)
      hash.update(`${JSON.stringify(fields, [...LINE_FIELDS, ...Object.keys(fields)])}\n`)
    }
  })

const hashOf = async (
  path: string,
  fill: (file: RecordingFile, hash: Hash) => Promise<void>
): Promise<string | undefined> => {
  try {
    const file = await RecordingFile.open(path)
    try {
      const hash = createHash("sha256")
      await fill(file, hash)
      return hash.digest("hex")
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof RecordingRefused) return undefined
    throw error
  }
}
