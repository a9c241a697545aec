/**
 * What the events of a store, and of a backup of it, tell of erasures: what was redacted, and by what it was replaced, and up to
 * where a session was removed. An older backup has what was there before, and must not bring it back.
 */
import { createHash } from "node:crypto"
import { type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import { rareKinds } from "../../journal/EventKind.ts"
import * as Keys from "../../journal/Keys.ts"
import { damageOf, decodeRecord, payloadAt } from "../../journal/Record.ts"

/** Of one session. */
export interface SessionErasures {
  /** The last removal that the store's own stream tells of. */
  readonly removal: { readonly to: number; readonly tombstone: string } | undefined
  /** Redactions that the store's own stream tells of, and how many of them behind that removal. */
  readonly redactions: number
  readonly redactionsSince: number
  /** Hex, SHA-256 of the payload that an event was given last, by its sequence. */
  readonly replacements: ReadonlyMap<number, string>
}

type Replacements = ReadonlyArray<readonly [sequence: number, replacement: string]>

interface Told {
  removal: SessionErasures["removal"]
  redactions: number
  redactionsSince: number
  /** By the sequence of the PayloadsRedacted. */
  readonly redacted: Map<number, Replacements>
}

export class Erasures {
  readonly #sessions = new Map<string, Told>()

  /** An event of the store, or of the backup, which may have a redaction that is damaged here. */
  add(key: Uint8Array, value: Uint8Array, place: "store" | "backup"): void {
    if (!KINDS.has(value[5] ?? 0) || !Keys.isEventKey(key) || damageOf(key, value) !== undefined) return
    const sequence = Keys.sequenceOf(key)
    const stream = Keys.streamOf(key)
    const { event } = decodeRecord(sequence, value)
    if (event._tag === "PayloadsRedacted") {
      const { redacted } = this.#told(stream)
      if (place === "backup" && redacted.has(sequence)) return
      redacted.set(
        sequence,
        event.events.map((one) => [one.sequence, one.replacement])
      )
    }
    if (place === "backup" || stream !== STORE_STREAM) return
    if (event._tag === "RemovalRecorded") {
      const told = this.#told(event.session)
      told.removal = { to: event.to, tombstone: event.tombstone }
      told.redactionsSince = 0
    } else if (event._tag === "StoreAdministered" && event.what === "redact" && event.session !== null) {
      const told = this.#told(event.session)
      told.redactions++
      told.redactionsSince++
    }
  }

  of(session: SessionId): SessionErasures {
    const told = this.#sessions.get(session)
    if (told === undefined) return NOTHING
    const inOrder = [...told.redacted].sort(([one], [other]) => one - other)
    return { ...told, replacements: new Map(inOrder.flatMap(([, replacements]) => replacements)) }
  }

  #told(session: string): Told {
    const known = this.#sessions.get(session)
    if (known !== undefined) return known
    const made: Told = { removal: undefined, redactions: 0, redactionsSince: 0, redacted: new Map() }
    this.#sessions.set(session, made)
    return made
  }
}

/** Whether a record that is intact holds what a redaction put there. */
export const isReplacement = (value: Uint8Array, replacement: string): boolean =>
  createHash("sha256")
    .update(value.subarray(payloadAt(value)))
    .digest("hex") === replacement

const KINDS = new Set<number>([rareKinds.PayloadsRedacted, rareKinds.RemovalRecorded, rareKinds.StoreAdministered])

const NOTHING: SessionErasures = { removal: undefined, redactions: 0, redactionsSince: 0, replacements: new Map() }
