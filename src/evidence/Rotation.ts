/**
 * The key of a store is followed by another: a statement of the log names both, and the checkpoint that first covers it is
 * signed by both. So who trusts one of them can trust the other, up to that statement or from there on, and nobody who lacks
 * the old key can make it. It reads and makes texts; where they lie is in EvidenceRows.ts.
 */
import {
  type Checkpoint,
  isSignedBy,
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
