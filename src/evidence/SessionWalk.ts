/**
 * Verifies one session against what was sealed of it: its events in order, beside the leaf hashes that were signed. Verify.ts
 * feeds it; it reads nothing, keeps a few hashes whatever the length of the session, and names what it finds.
 */
import { committedPayload, RecordedReplacements } from "../../journal/CommittedPayload.ts"
import { removedTo } from "../../journal/EntryCheck.ts"
import type { KeptStates, SessionId } from "../../journal/Event.ts"
import { rareKinds } from "../../journal/EventKind.ts"
import { absentLeafHash, isNoSalt } from "../../journal/EvidenceLeaf.ts"
import { keptStatesAfter } from "../../journal/KeptRows.ts"
import * as Keys from "../../journal/Keys.ts"
import { Frontier } from "../../journal/Merkle.ts"
import { damageOf, decodeRecord } from "../../journal/Record.ts"
import { tombstoneOf } from "../../journal/RemovalCore.ts"

/** What is wrong with the bytes that are there. */
export type IntegrityReason =
  | "edited"
  | "reordered"
  | "forged removal"
  | "forged seal"
  | "evidence missing"
  | "wrong key"
  | "forged rotation"
  | "forked"
/** What should be there and is not. */
export type CompletenessReason = "removed" | "truncated" | "session gone" | "rolled back" | "log truncated"

export interface EvidenceFinding {
  readonly verdict: "integrity" | "completeness"
  readonly reason: IntegrityReason | CompletenessReason
  /** null: of the store's log. */
  readonly session: SessionId | null
  /** Events, both included; null where it is not about events. */
  readonly from: number | null
  readonly to: number | null
  readonly detail: string
}

/** What the session itself says is missing from its recording. */
export interface RecordedGap {
  readonly sequence: number
  readonly what: string
}

export interface SessionEvidence {
  readonly session: SessionId
  /** That are there, and the last one's number. */
  readonly events: number
  readonly head: number
  /** How many events the last seal covers. */
  readonly sealed: number
  /** Behind the last seal: nothing is said of them. */
  readonly unsealed: number
  /** Removed on purpose; their hashes are still under the seal. */
  readonly removed: number
  /** With a payload that a recorded redaction put there. */
  readonly redacted: number
  /** Of the sealed ones, how many were gone or unreadable when they were sealed: nothing is said of them either. */
  readonly absent: number
  readonly gaps: ReadonlyArray<RecordedGap>
}

export interface SealedRoot {
  readonly size: number
  readonly root: Uint8Array
}

interface Mismatch {
  readonly sequence: number
  readonly leaf: Uint8Array
  readonly salt: Uint8Array
  /** undefined: too many were kept already. */
  readonly value: Uint8Array | undefined
  readonly detail: string
}

/** Findings of one session named one by one. */
const FINDINGS_MAX = 1000
const GAPS_MAX = 100
/** Events that are not what was sealed, kept to find out whether they were only moved. */
const MISMATCHES_KEPT_MAX = 64
const MISMATCH_BYTES_MAX = 4 * 1024 * 1024

const GAP_KINDS = new Set<number>([
  rareKinds.GapDetected,
  rareKinds.SessionLost,
  rareKinds.SessionInterrupted,
  rareKinds.SessionResumed
])

export interface SessionWalkOptions {
  readonly session: SessionId
  /** What was signed of it, in the order of the sizes. */
  readonly seals: ReadonlyArray<SealedRoot>
  /** Hashes of stored EventsRemoved that the store's stream tells of (RemovalRecorded). */
  readonly tombstones: ReadonlySet<string>
}

export class SessionWalk {
  readonly findings: Array<EvidenceFinding> = []
  readonly sealed: number
  readonly #options: SessionWalkOptions
  readonly #bytes: Buffer
  readonly #frontier = new Frontier()
  readonly #gaps: Array<RecordedGap> = []
  readonly #mismatches: Array<Mismatch> = []
  readonly #replaced = new RecordedReplacements()
  /** Sealed events without a salt: whether their payload was redacted is known at the end. */
  readonly #saltless: Array<Mismatch> = []
  #mismatchBytes = 0
  #nextSeal = 0
  #lastGood = 0
  #isRootWrong = false
  #events = 0
  #head = 0
  #removedTo = 0
  #keptStates: KeptStates | undefined
  #unsealed = 0
  #absent = 0

  constructor(options: SessionWalkOptions) {
    this.#options = options
    this.#bytes = Keys.streamBytes(options.session)
    this.sealed = options.seals.at(-1)?.size ?? 0
    this.#checkRoots()
  }

  get session(): SessionId {
    return this.#options.session
  }

  /** What its events say of the rows that stand for those that were removed. */
  get keptStates(): KeptStates | undefined {
    return this.#keptStates
  }

  /** The number of the leaf that is wanted next, 1 for the first; only up to `sealed`. */
  get next(): number {
    return this.#frontier.size + 1
  }

  /** An event as it is stored, in order. `leaf` and `salt` of the next leaf that is wanted, for each up to this event. */
  event(key: Uint8Array, value: Uint8Array, leafAt: (sequence: number) => Entry | undefined): void {
    const sequence = Keys.sequenceOf(key)
    // Removed on purpose, and not deleted yet.
    if (sequence > 1 && sequence <= this.#removedTo) return
    const damage = damageOf(key, value)
    const removed = sequence === 1 && damage === undefined ? removedTo(value) : 0
    this.#events++
    if (removed > 0) {
      this.#removal(key, value, removed, leafAt)
      return
    }
    if (sequence > this.#head + 1) this.#missing(sequence - 1, leafAt, "removed")
    this.#head = sequence
    const kind = value[5]!
    if (damage === undefined && GAP_KINDS.has(kind)) this.#gap(sequence, value)
    if (damage === undefined && kind === rareKinds.PayloadsRedacted) this.#redaction(sequence, value)
    if (sequence > this.sealed) {
      this.#unsealed++
      return
    }
    const entry = this.#take(sequence, leafAt)
    if (entry === undefined) return
    const { leaf, salt } = entry
    if (isNoSalt(salt)) {
      if (this.#isAbsent(sequence, leaf)) this.#absent++
      else this.#saltless.push({ sequence, leaf, salt, value: Uint8Array.from(value), detail: "" })
      return
    }
    if (committedPayload({ leaf, salt, key, value }) === "original") return
    this.#mismatch(sequence, entry, value, damage ?? "is not the event that was sealed")
  }

  /** All events were given. */
  finish(leafAt: (sequence: number) => Entry | undefined): SessionEvidence {
    const { session } = this.#options
    if (this.#head < this.sealed) {
      if (this.#events === 0) {
        this.#finding("completeness", "session gone", 1, this.sealed, "it was sealed, and nothing of it is there")
      } else this.#missing(this.sealed, leafAt, "truncated")
    }
    let redacted = 0
    for (const one of [...this.#saltless, ...this.#mismatches.splice(0)]) {
      const key = Keys.eventKey(this.#bytes, one.sequence)
      const replaced = this.#replaced.get(one.sequence)
      const found =
        one.value === undefined || replaced === undefined
          ? "wrong"
          : committedPayload({ leaf: one.leaf, salt: one.salt, key, value: one.value, replaced })
      if (found === "wrong") this.#mismatches.push(one)
      else redacted++
    }
    this.#nameMismatches()
    return {
      session,
      events: this.#events,
      head: this.#head,
      sealed: this.sealed,
      unsealed: this.#unsealed,
      removed: this.#removedTo,
      redacted,
      absent: this.#absent,
      gaps: this.#gaps
    }
  }

  #take(sequence: number, leafAt: (sequence: number) => Entry | undefined): Entry | undefined {
    const entry = leafAt(sequence)
    if (entry === undefined) {
      if (!this.#isRootWrong) {
        this.#isRootWrong = true
        this.#finding(
          "integrity",
          "evidence missing",
          sequence,
          this.sealed,
          "the hashes that were sealed are not there"
        )
      }
      return undefined
    }
    // A hole in the hashes: no root can be right behind it, and that was said.
    if (!this.#isRootWrong) {
      this.#frontier.append(Uint8Array.from(entry.leaf))
      this.#checkRoots()
    }
    return entry
  }

  #checkRoots(): void {
    const { seals } = this.#options
    for (let seal = seals[this.#nextSeal]; seal?.size === this.#frontier.size; seal = seals[++this.#nextSeal]) {
      if (Buffer.compare(this.#frontier.root(), seal.root) === 0) this.#lastGood = seal.size
      else if (!this.#isRootWrong) {
        this.#isRootWrong = true
        const from = Math.min(this.#lastGood + 1, seal.size)
        this.#finding("integrity", "edited", from, seal.size, "its hashes do not lead to the root that was signed")
      }
    }
  }

  #isAbsent(sequence: number, leaf: Uint8Array): boolean {
    return Buffer.compare(absentLeafHash(Keys.eventKey(this.#bytes, sequence)), leaf) === 0
  }

  #missing(to: number, leafAt: (sequence: number) => Entry | undefined, reason: "removed" | "truncated"): void {
    const from = this.#head + 1
    let attested = 0
    for (let sequence = from; sequence <= Math.min(to, this.sealed); sequence++) {
      const entry = this.#take(sequence, leafAt)
      if (entry !== undefined && this.#isAbsent(sequence, entry.leaf)) this.#absent++
      else attested++
    }
    this.#head = to
    if (attested > 0 || to > this.sealed) {
      this.#finding("completeness", reason, from, to, reason === "removed" ? "not there" : "its end is not there")
    }
  }

  #removal(key: Uint8Array, value: Uint8Array, to: number, leafAt: (sequence: number) => Entry | undefined): void {
    this.#removedTo = to
    this.#head = to
    this.#keptStates = keptStatesAfter(decodeRecord(1, value).event, to, undefined)
    let attested = 0
    for (let sequence = 1; sequence <= Math.min(to, this.sealed); sequence++) {
      const entry = this.#take(sequence, leafAt)
      if (entry !== undefined && !this.#isAbsent(sequence, entry.leaf)) attested++
    }
    if (isRemovalForged(tombstoneOf(key, value), this.#options.tombstones, attested)) {
      const detail = "nothing in the store's own stream tells of their removal"
      this.#finding("integrity", "forged removal", 1, to, detail)
    }
  }

  #gap(sequence: number, value: Uint8Array): void {
    const { event } = decodeRecord(sequence, value)
    const what =
      event._tag === "GapDetected"
        ? `${event.what} ${event.from} to ${event.to ?? "?"} missing: ${event.why}`
        : event._tag === "SessionLost"
          ? `lost: ${event.reason}`
          : event._tag === "SessionInterrupted"
            ? `interrupted: ${event.reason}`
            : event._tag === "SessionResumed" && event.gapBytes > 0
              ? `${event.gapBytes} bytes of output missing`
              : undefined
    if (what !== undefined && this.#gaps.length < GAPS_MAX) this.#gaps.push({ sequence, what })
  }

  #redaction(sequence: number, value: Uint8Array): void {
    const { event } = decodeRecord(sequence, value)
    if (event._tag !== "PayloadsRedacted") return
    this.#keptStates = keptStatesAfter(event, this.#removedTo, this.#keptStates)
    this.#replaced.take(event.events)
  }

  #mismatch(sequence: number, { leaf, salt }: Entry, value: Uint8Array, detail: string): void {
    const isKept =
      this.#mismatches.length < MISMATCHES_KEPT_MAX && this.#mismatchBytes + value.byteLength <= MISMATCH_BYTES_MAX
    if (isKept) this.#mismatchBytes += value.byteLength
    this.#mismatches.push({
      sequence,
      leaf: Uint8Array.from(leaf),
      salt: Uint8Array.from(salt),
      value: isKept ? Uint8Array.from(value) : undefined,
      detail
    })
  }

  #nameMismatches(): void {
    const kept = this.#mismatches.filter(({ value }) => value !== undefined)
    const placeOf = new Map<number, number>()
    const found = new Set<number>()
    for (const one of kept) {
      for (const { leaf, salt, sequence } of kept) {
        if (sequence === one.sequence || isNoSalt(salt)) continue
        const key = Keys.eventKey(this.#bytes, sequence)
        if (committedPayload({ leaf, salt, key, value: one.value! }) !== "original") continue
        placeOf.set(one.sequence, sequence)
        found.add(sequence)
      }
    }
    for (const { detail, sequence } of this.#mismatches) {
      const place = placeOf.get(sequence)
      if (place === undefined) this.#finding("integrity", "edited", sequence, sequence, detail)
      else {
        this.#finding("integrity", "reordered", sequence, sequence, `in its place stands what was event ${place}`)
        if (!found.has(sequence)) {
          this.#finding("completeness", "removed", sequence, sequence, "others were moved into its place")
        }
      }
    }
  }

  /** Neighbours with the same words become one. */
  #finding(
    verdict: EvidenceFinding["verdict"],
    reason: EvidenceFinding["reason"],
    from: number,
    to: number,
    detail: string
  ): void {
    const last = this.findings.at(-1)
    if (last?.reason === reason && last.detail === detail && last.to === from - 1) {
      this.findings[this.findings.length - 1] = { ...last, to }
    } else if (this.findings.length < FINDINGS_MAX) {
      this.findings.push({ verdict, reason, session: this.#options.session, from, to, detail })
    }
  }
}

/**
 * `told`: the tombstones that the store's own stream tells of this session; `attested`: how many of the removed events were
 * sealed while they were there. A session that an earlier version imported may begin with a removal of which nothing tells:
 * none of its events was ever here.
 */
export const isRemovalForged = (tombstone: string, told: ReadonlySet<string>, attested: number): boolean =>
  (attested > 0 || told.size > 0) && !told.has(tombstone)

/** A leaf of the session's tree, and its salt. */
export interface Entry {
  readonly leaf: Uint8Array
  readonly salt: Uint8Array
}
