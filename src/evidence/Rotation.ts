/**
 * The key of a store is followed by another: a statement of the log names both, and the checkpoint that first covers it is
 * signed by both. So who trusts one of them can trust the other, up to that statement or from there on, and nobody who lacks
 * the old key can make it. It reads and makes texts; where they lie is in EvidenceRows.ts.
 */
import { rotationIndexOf } from "../../journal/EvidenceRows.ts"
import type { Row } from "../../journal/Journal.ts"
import {
  type Checkpoint,
  isSignedBy,
  type Note,
  parseCheckpoint,
  parseNote,
  parseVerifierKey,
  type Verifier,
  verifierKey
} from "../../journal/SignedNote.ts"
import { parseStatement } from "../../journal/Statement.ts"

export interface Rotation {
  /** Of the statement, in the log; the checkpoint covers one more. */
  readonly index: number
  readonly from: Verifier
  readonly to: Verifier
  readonly checkpoint: Checkpoint
}

/** What a row of it says; a `string`: why it is none. Whether the log has its root at that size, the caller looks. */
export const readRotation = (index: number, noteText: string, statement: string | undefined): Rotation | string => {
  const note = parseNote(noteText)
  const checkpoint = note && parseCheckpoint(note.text)
  if (note === undefined || checkpoint === undefined) return "its checkpoint cannot be read"
  const { successor } = (statement === undefined ? undefined : parseStatement(statement)) ?? {}
  const from = parseVerifierKey(successor?.from ?? "")
  const to = parseVerifierKey(successor?.to ?? "")
  if (from === undefined || to === undefined) return "the log's statement names no keys"
  if (checkpoint.size !== index + 1) return "its checkpoint is of another size"
  if (checkpoint.origin !== from.name || from.name !== to.name) return "it is of another log"
  if (!isSignedBy(note, from)) return "the key before did not sign it"
  return isSignedBy(note, to) ? { index, from, to, checkpoint } : "the key that follows did not sign it"
}

/** A row of `ev-store` that says that the key was changed. */
export interface RotationRow {
  /** Of the statement, in the log. */
  readonly index: number
  readonly note: string
  /** undefined: the log has none there. */
  readonly statement: string | undefined
  /** A `string`: why it is none. */
  readonly rotation: Rotation | string
}

/** Those among the rows of `ev-store`, in order. `statementAt` gives an entry of the log. */
export const readRotations = async (
  rows: Iterable<Row> | AsyncIterable<Row>,
  statementAt: (index: number) => Promise<Uint8Array | undefined>
): Promise<ReadonlyArray<RotationRow>> => {
  const found: Array<RotationRow> = []
  for await (const { key, value } of rows) {
    const index = rotationIndexOf(key)
    if (index === undefined) continue
    const note = Buffer.from(value).toString("utf8")
    const bytes = await statementAt(index)
    const statement = bytes && Buffer.from(bytes).toString("utf8")
    found.push({ index, note, statement, rotation: readRotation(index, note, statement) })
  }
  return found
}

/** Those that are what they say. */
export const rotationsIn = (rows: ReadonlyArray<RotationRow>): ReadonlyArray<Rotation> =>
  rows.flatMap(({ rotation }) => (typeof rotation === "string" ? [] : [rotation]))

/** A key, and the sizes of the log of which it may have signed checkpoints; `to` is Infinity for the present one. */
export interface KeyTerm {
  readonly key: Verifier
  readonly from: number
  readonly to: number
}

const isSame = (one: Verifier, other: Verifier): boolean => verifierKey(one) === verifierKey(other)

/** The keys that the rotations lead to from one that is trusted, backward and forward, in order. */
export const keyChain = (trusted: Verifier, rotations: ReadonlyArray<Rotation>): ReadonlyArray<KeyTerm> => {
  const sorted = rotations.toSorted((one, other) => one.index - other.index)
  const terms: Array<{ key: Verifier; from: number; to: number }> = [{ key: trusted, from: 0, to: Infinity }]
  for (const { checkpoint, from, to } of sorted) {
    const last = terms.at(-1)!
    if (!isSame(last.key, from) || checkpoint.size < last.from) continue
    last.to = checkpoint.size
    terms.push({ key: to, from: checkpoint.size, to: Infinity })
  }
  for (const { checkpoint, from, to } of sorted.reverse()) {
    const first = terms[0]!
    if (!isSame(first.key, to) || checkpoint.size > first.to || terms.some(({ key }) => isSame(key, from))) continue
    first.from = checkpoint.size
    terms.unshift({ key: from, from: 0, to: checkpoint.size })
  }
  return terms
}

/** Those of the keys whose signatures on the note are right; a word: none is, and what is wrong with that. */
export const signersOf = (
  note: Note,
  keys: ReadonlyArray<KeyTerm>
): ReadonlyArray<KeyTerm> | "wrong key" | "forged seal" => {
  const named = keys.filter(({ key }) =>
    note.signatures.some(({ keyId, name }) => name === key.name && Buffer.compare(keyId, key.keyId) === 0)
  )
  const signers = named.filter(({ key }) => isSignedBy(note, key))
  if (signers.length > 0) return signers
  return named.length > 0 ? "forged seal" : "wrong key"
}

/** Whether one of them was the key of the log when it had so many entries. */
export const wasKeyAt = (signers: ReadonlyArray<KeyTerm>, size: number): boolean =>
  signers.some(({ from, to }) => size >= from && size <= to)

/**
 * What is wrong with who signed a checkpoint of `origin`, in words behind its name; undefined: nothing. `size`: of the log that
 * it speaks of, undefined where it says nothing of when it was signed.
 */
export const signatureFault = (
  note: Note,
  keys: ReadonlyArray<KeyTerm>,
  origin: string | undefined,
  size: number | undefined
): { readonly reason: "wrong key" | "forged seal"; readonly why: string } | undefined => {
  const signers = signersOf(note, keys)
  if (signers === "forged seal") return { reason: signers, why: "has a signature that is not of its key" }
  if (signers === "wrong key") return { reason: signers, why: `is not signed by ${origin}` }
  if (size === undefined || wasKeyAt(signers, size)) return undefined
  return { reason: "wrong key", why: `is signed by a key of ${origin} that was not its key then` }
}
