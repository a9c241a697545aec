/**
 * The lossless text of a session: JSON Lines with every byte of every event. `--format events` and bundles write it,
 * `reprise import` reads it. It is complete: from a line comes the stored record again, bit for bit. docs/event-lines.md
 * says what each field is.
 */
import { rareKinds } from "../../journal/EventKind.ts"
import { splitRecord } from "../../journal/EvidenceLeaf.ts"
import type { Row } from "../../journal/Journal.ts"
import { snapshotSequence } from "../../projections/SnapshotRow.ts"
import type { StoredEvent } from "./StoreSnapshot.ts"

export const EVENT_LINES_FORMAT = "reprise-events"
export const EVENT_LINES_VERSION = 1

/** The first line. */
export interface EventLinesHeader {
  readonly format: typeof EVENT_LINES_FORMAT
  readonly version: number
  readonly session: string
  /** Lines of events. */
  readonly events: number
  /** Sequence of the last one. */
  readonly last: number
}

/** A line behind the header, for each row that stands for removed events. */
export interface KeptLine {
  /** Name of the projection. */
  readonly kept: string
  /** The last event removed. */
  readonly sequence: number
  /** Base64 of the row's payload. */
  readonly value: string
}

/** The line of an event. */
export interface EventLine {
  readonly sequence: number
  /** Microseconds since 1970; as a string beyond 2^53. */
  readonly time: number | string
  readonly actor: string
  readonly command?: string
  readonly kind: number
  /** Of the kind, for people; "Unknown" for one that this version does not know. */
  readonly name: string
  /** Of the record's format. */
  readonly record: number
  /** Base64. */
  readonly payload: string
}

const NAMES = new Map<number, string>([
  [1, "OutputReceived"],
  [2, "InputWritten"],
  [3, "InputHidden"],
  ...Object.entries(rareKinds).map(([name, kind]) => [kind, name] as const)
])

export const eventLine = ({ sequence, value }: StoredEvent): EventLine => {
  const { header, payload } = splitRecord(value)!
  const head = Buffer.from(header.buffer, header.byteOffset, header.byteLength)
  const time = head.readBigUInt64BE(2)
  const actorEnd = 11 + head[10]!
  const command = head.toString("latin1", actorEnd + 1)
  return {
    sequence,
    time: time <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(time) : String(time),
    actor: head.toString("latin1", 11, actorEnd),
    ...(command !== "" && { command }),
    kind: head[1]!,
    name: NAMES.get(head[1]!) ?? "Unknown",
    record: head[0]!,
    payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("base64")
  }
}

export const keptLine = ({ key, value }: Row): KeptLine => ({
  kept: Buffer.from(key).toString("latin1").split("|")[0]!,
  sequence: snapshotSequence(key),
  value: Buffer.from(value).toString("base64")
})
