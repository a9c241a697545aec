/**
 * What others may ask of the evidence of a store that is open: to seal what is recorded now, and to go on under another key.
 * The sealer does it (src/evidence/Sealer.ts). Checking evidence needs none of it.
 */
import { Context, type Effect, Schema } from "effect"
import type { SessionUnavailable } from "../session/SessionError.ts"

/** Sessions of which not everything could be sealed, named one by one. */
export const UNSEALED_NAMED_MAX = 100

export const SealReport = Schema.Struct({
  /** The store's signed checkpoint; null when nothing was ever sealed. */
  checkpoint: Schema.NullOr(Schema.String),
  /** Of which not everything is under it, and why. */
  unsealed: Schema.Array(Schema.Struct({ session: Schema.String, reason: Schema.String }))
})
export type SealReport = typeof SealReport.Type

export const RotationReport = Schema.Struct({
  /** Verifier keys. */
  from: Schema.String,
  to: Schema.String,
  /** The statement of the store's log that names the new one, counted from 0. */
  statement: Schema.Int
})
export type RotationReport = typeof RotationReport.Type

export interface EvidenceShape {
  /** All that was acknowledged before is under the checkpoint, but for what the report names. */
  readonly seal: Effect.Effect<SealReport, SessionUnavailable>
  /** Makes a new key; the old one's last signature names it. */
  rotateKey(request?: { readonly actor?: string | undefined }): Effect.Effect<RotationReport, SessionUnavailable>
}

export class Evidence extends Context.Service<Evidence, EvidenceShape>()("reprise/evidence/Evidence") {}
