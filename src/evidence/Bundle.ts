/**
 * What a bundle of evidence is: the files of its folder and what its manifest says. BundleExport.ts makes one, BundleCheck.ts and the
 * verify.mjs in it check one, docs/auditors.md explains one.
 *
 *   events.jsonl            every event (export/EventLine.ts), each sealed one with its salt and leaf hash
 *   recording.cast          the terminal, for a player; derived, and only checked by its digest
 *   session.checkpoint      signed: how many events of the session are sealed, and the root of their tree
 *   statement.txt           the entry of the store's log that says so
 *   statement.tlog-proof    it is in the log (c2sp.org/tlog-proof@v1)
 *   store.checkpoint        signed: the size and root of the store's log
 *   consistency.txt         the log goes on the checkpoint that was given (--since): size and root of it, then the hashes
 *   rotations.json          how the store's key was followed by another, and proof of each; only where that happened
 *   store.vkey              the key that signs now. Take it from the store's owner, not from here
 *   redactions.json         payloads that were replaced, by which rules, and what rules at capture replaced
 *   manifest.json           who exported what, when and why; what is there and what is not; the digest of each file
 *   manifest.note           signed: the digest of the manifest
 *   README.txt verify.mjs   how to check it without reprise
 */
import type { EventLine } from "../export/EventLine.ts"

export const BUNDLE_FORMAT = "reprise-bundle"
export const BUNDLE_VERSION = 1

export const BUNDLE_FILES = {
  events: "events.jsonl",
  recording: "recording.cast",
  sessionCheckpoint: "session.checkpoint",
  statement: "statement.txt",
  proof: "statement.tlog-proof",
  storeCheckpoint: "store.checkpoint",
  consistency: "consistency.txt",
  rotations: "rotations.json",
  key: "store.vkey",
  redactions: "redactions.json",
  manifest: "manifest.json",
  manifestNote: "manifest.note",
  readme: "README.txt",
  verify: "verify.mjs"
} as const

/**
 * The fields of all lines of events.jsonl, in the order in which they are written: the digest in the manifest is of lines in this order,
 * and who put a line's fields in another one changed nothing. New fields stand behind these. verify.mjs has the same list.
 */
export const LINE_FIELDS: ReadonlyArray<string> =
  "format version session events last kept sequence value time actor command kind name record payload missing leaf salt why".split(
    " "
  )

/** First line of the text that is signed for a manifest: no checkpoint begins so, an origin has no space. */
const MANIFEST_NOTE_HEADER = "reprise bundle v1"

/** The line of an event in a bundle. */
export interface SealedLine extends EventLine {
  /** Base64, 16 bytes; absent where the payload was redacted, and with `leaf` where the event is not sealed. */
  readonly salt?: string
  /** Base64, 32 bytes: hash of the leaf in the session's tree. */
  readonly leaf?: string
}

/** In the place of an event that is sealed and not there any more; before the first event. */
export interface MissingLine {
  readonly missing: number
  readonly leaf: string
  readonly why: "removed" | "damaged"
}

/** A change of the store's key: an entry of rotations.json, in the order of the log. */
export interface BundleRotation {
  /** The log's entry that names both keys. */
  readonly statement: string
  /** Of the log up to this entry, signed by both. */
  readonly checkpoint: string
  /** Base64: the statement is the last entry under the checkpoint; the log of store.checkpoint goes on from it. */
  readonly inclusion: ReadonlyArray<string>
  readonly consistency: ReadonlyArray<string>
}

export interface Gap {
  readonly from: number
  readonly to: number | null
  readonly reason: string
}

export interface Coverage {
  /** In words. */
  readonly text: string
  /** Events that are there; the one that stands for those that retention removed is counted. */
  readonly events: number
  readonly last: number
  /** Contiguous ranges of those that happened: what stands for removed ones is in none. */
  readonly ranges: ReadonlyArray<readonly [from: number, to: number]>
  /** Events that should be there and are not. */
  readonly gaps: ReadonlyArray<Gap>
  /**
   * Removed by retention; null: nothing. `isRecorded`: the store's own stream tells of exactly this removal, or of none of a
   * session that was imported without these events, and what is kept of them is what was recorded of it.
   */
  readonly removed: {
    readonly to: number
    readonly reason: string
    readonly policy: string
    readonly actor: string
    readonly isRecorded: boolean
  } | null
  /** The events up to here are under the seal of the session's checkpoint. */
  readonly sealed: number
  /** Events that are there and have no leaf, and the root of an RFC 6962 tree of their leaves with a salt of zeros, base64. */
  readonly unsealed: number
  readonly unsealedRoot: string
  /**
   * What never reached the journal, each where the journal says so: bytes of output or input, or events. Of a session that
   * was lost: output from the last byte that is there on, up to where nobody knows.
   */
  readonly lost: ReadonlyArray<Gap & { readonly sequence: number; readonly what: string }>
  /** Times no engine was there, while the program went on: from the last event before to the first one after. */
  readonly interruptions: ReadonlyArray<{
    readonly from: number
    readonly to: number | null
    readonly gapBytes: number | null
  }>
  /** Inputs that were typed without echo: neither bytes nor length are kept. */
  readonly hiddenInputs: number
  /** Events whose payload was replaced. */
  readonly redacted: number
  /** Rules that took secrets out before anything was journaled, and what they took out; null, or absent: there were none. */
  readonly atCapture?: {
    readonly rules: ReadonlyArray<string>
    readonly found: ReadonlyArray<{ readonly rule: string; readonly matches: number }>
    readonly bytes: number
  } | null
  readonly ended: boolean
}

export interface Manifest {
  readonly format: typeof BUNDLE_FORMAT
  readonly version: number
  readonly session: string
  /** Origin of the store's log; null where nothing was ever sealed. */
  readonly store: string | null
  readonly exported: {
    readonly time: string
    /** System user. */
    readonly by: string
    readonly host: string
    readonly tool: string
    readonly reason: string | null
  }
  /** As the session was created; null where that was removed. */
  readonly created: {
    readonly time: string
    readonly owner: string
    readonly argv: ReadonlyArray<string>
    readonly cwd: string
    readonly name: string | null
  } | null
  readonly status: string
  readonly exitCode: number | null
  readonly signal: string | null
  /** It did not happen in this store. */
  readonly imported: { readonly format: string; readonly sha256: string; readonly importer: string } | null
  readonly coverage: Coverage
  /** By file, what it has no room for. */
  readonly formats: Readonly<Record<string, ReadonlyArray<string>>>
  readonly files: Readonly<Record<string, { readonly sha256: string; readonly bytes: number }>>
}

export const manifestNoteText = (session: string, digest: Uint8Array): string =>
  `${MANIFEST_NOTE_HEADER}\nsession ${session}\nmanifest ${Buffer.from(digest).toString("base64")}\n`
