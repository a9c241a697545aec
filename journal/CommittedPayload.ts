/**
 * Whether the payload of a stored event is the one that was sealed, one that a recorded redaction put in its place, or neither.
 * Verification of a store and of bundles, and the sealer, ask it. It reads no store and keeps nothing.
 */
import type { PayloadsRedacted, SessionEvent } from "./Event.ts"
import { eventLeafHash, isNoSalt, payloadDigest, splitRecord } from "./EvidenceLeaf.ts"
import { sha256 } from "./Merkle.ts"
import { decodeRecord } from "./Record.ts"

/** What the PayloadsRedacted events of a session say of one event. */
export interface RecordedReplacement {
  /**
   * SHA-256(salt | payload) of what was sealed, by whichever store had sealed it then: a session that is imported, or a store that
   * is sealed anew, has leaves of its own. None: it was replaced before its seal was known.
   */
  readonly originals: ReadonlyArray<Uint8Array>
  /** SHA-256 of the payload that took its place last. */
  readonly replacement: Uint8Array
}

/** What the PayloadsRedacted events of one session say, taken in their order. */
export class RecordedReplacements {
  readonly #ofEvents = new Map<number, { readonly originals: Array<Uint8Array>; replacement: Uint8Array }>()

  take(events: (typeof PayloadsRedacted.Type)["events"]): void {
    for (const { original, replacement, sealed, sequence } of events) {
      let known = this.#ofEvents.get(sequence)
      if (known === undefined) {
        known = { originals: [], replacement: NOTHING }
        this.#ofEvents.set(sequence, known)
      }
      if (sealed) known.originals.push(Buffer.from(original, "hex"))
      known.replacement = Buffer.from(replacement, "hex")
    }
  }

  get(sequence: number): RecordedReplacement | undefined {
    return this.#ofEvents.get(sequence)
  }
}

const NOTHING = new Uint8Array(0)

export interface SealedEvent {
  readonly leaf: Uint8Array
  readonly salt: Uint8Array
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly replaced?: RecordedReplacement | undefined
}

/**
 * original: what was sealed, or the same JSON with its names in another order. replacement: put there by a recorded
 * redaction, and the leaf proves that this is the event. unproven: likewise, but what was sealed is not known. wrong: neither.
 */
export type Commitment = "original" | "replacement" | "unproven" | "wrong"

export const committedPayload = ({ key, leaf, replaced, salt, value }: SealedEvent): Commitment => {
  const parts = splitRecord(value)
  if (parts === undefined) return "wrong"
  const { header, payload } = parts
  const isLeaf = (digest: Uint8Array) => Buffer.compare(eventLeafHash(key, header, digest), leaf) === 0
  if (!isNoSalt(salt)) {
    if (isLeaf(payloadDigest(salt, payload))) return "original"
    for (const same of otherOrders(value, payload)) if (isLeaf(payloadDigest(salt, same))) return "original"
  }
  if (replaced === undefined || Buffer.compare(sha256(payload), replaced.replacement) !== 0) return "wrong"
  if (replaced.originals.length === 0) return "unproven"
  return replaced.originals.some(isLeaf) ? "replacement" : "wrong"
}

/** Of an event that is JSON: as this version writes it, and with all names sorted. The same event, whatever reads it. */
const otherOrders = (value: Uint8Array, payload: Uint8Array): ReadonlyArray<Uint8Array> => {
  const { event } = decodeRecord(0, value)
  if (event._tag === "Unknown" || "data" in event || event._tag === "InputHidden") return []
  const { _tag, ...fields } = event as SessionEvent & { readonly _tag: string }
  try {
    const parsed = JSON.parse(Buffer.from(payload).toString("utf8"))
    // A name that our schema leaves out would make it another event.
    if (sortedText(parsed) !== sortedText(fields)) return []
    return [JSON.stringify(fields), sortedText(parsed)].map((text) => Buffer.from(text, "utf8"))
  } catch {
    return []
  }
}

const sortedText = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) =>
    typeof one === "object" && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : one
  )
