/**
 * `events`: the lossless text of a session (EventLine.ts), as `reprise export --format events` and bundles have it. Every
 * record is made again bit for bit. What it does not need is passed over: salts and leaves in a bundle.
 */
import { type NewEvent, SESSION_ID_PATTERN, type SessionId, STORE_STREAM } from "../../journal/Event.ts"
import type { Row } from "../../journal/Journal.ts"
import { FORMAT_VERSION, RARE_RECORD_BYTES_MAX } from "../../journal/Record.ts"
import { BASE_SPACE, snapshotKey } from "../../projections/SnapshotRow.ts"
import { EVENT_LINES_FORMAT, EVENT_LINES_VERSION } from "../export/EventLine.ts"
import type { RecordingFile } from "../files/RecordingFile.ts"
import type { OpenRecording } from "./Recording.ts"

/** Projections whose state is kept: a handful. */
const KEPT_MAX = 64
const KEPT_NAME = /^[a-z0-9-]{1,40}$/

export const openEventLines: OpenRecording = async (file) => {
  const kept: Array<Row> = []
  let head: Header | undefined
  let first = 0
  for await (const { line, number } of file.lines()) {
    const fields = fieldsOf(file, line, number)
    if (head === undefined) head = headerOf(file, fields)
    else if ("kept" in fields) kept.push(keptRow(file, fields, number, head.session))
    else if (!("missing" in fields)) {
      first = number
      break
    }
    if (kept.length > KEPT_MAX) throw file.refuse(number, `more than ${KEPT_MAX} rows`)
  }
  if (head === undefined) throw file.refuse(0, "is empty")
  const header = head
  return { format: EVENT_LINES_FORMAT, session: header.session, kept, events: () => events(file, header, first) }
}

interface Header {
  readonly session: SessionId
  readonly events: number
  readonly last: number
}

async function* events(file: RecordingFile, header: Header, first: number): AsyncGenerator<NewEvent, undefined> {
  let count = 0
  let last = 0
  for await (const { line, number } of file.lines()) {
    if (number < first) continue
    const fields = fieldsOf(file, line, number)
    const sequence = fields.sequence
    // The first may stand for all before it.
    if (
      !isCount(sequence) ||
      (count > 0 ? sequence !== last + 1 : sequence < 1 || (sequence > 1 && fields.kind !== 41))
    )
      throw file.refuse(number, `sequence ${String(sequence).slice(0, 40)} does not follow ${last}`)
    last = sequence
    count++
    if (count > header.events) throw file.refuse(number, `has more events than the ${header.events} of its first line`)
    yield eventOf(file, fields, number)
  }
  if (count !== header.events || last !== header.last) {
    throw file.refuse(0, `ends with event ${last}; its first line says ${header.events} events up to ${header.last}`)
  }
}

type Fields = Readonly<Record<string, unknown>>

const fieldsOf = (file: RecordingFile, line: Buffer, number: number): Fields => {
  try {
    const value: unknown = JSON.parse(line.toString("utf8"))
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields
  } catch {
    // Refused below: a line that was cut off, or none of JSON.
  }
  throw file.refuse(number, "is no JSON object")
}

const headerOf = (file: RecordingFile, { events, format, last, session, version }: Fields): Header => {
  if (format !== EVENT_LINES_FORMAT) throw file.refuse(1, `is not the first line of ${EVENT_LINES_FORMAT}`)
  if (version !== EVENT_LINES_VERSION) {
    throw file.refuse(1, `has version ${version}, this reprise reads ${EVENT_LINES_VERSION}; use a newer one`)
  }
  if (typeof session !== "string" || !SESSION_ID_PATTERN.test(session)) throw file.refuse(1, "names no session")
  if (session === STORE_STREAM) throw file.refuse(1, "names a store's own stream, which is no session")
  if (!isCount(events) || events < 1 || !isCount(last)) throw file.refuse(1, "does not say how many events there are")
  return { session: session as SessionId, events, last }
}

const keptRow = (file: RecordingFile, { kept, sequence, value }: Fields, line: number, session: SessionId): Row => {
  const bytes = typeof value === "string" ? base64(value) : undefined
  if (typeof kept !== "string" || !KEPT_NAME.test(kept) || !isCount(sequence) || bytes === undefined) {
    throw file.refuse(line, "is no row that was kept of removed events")
  }
  return { space: BASE_SPACE, key: snapshotKey(kept, session, sequence), value: bytes }
}

const eventOf = (file: RecordingFile, fields: Fields, line: number): NewEvent => {
  const { actor, command = "", kind, payload, record, time } = fields
  if (record !== FORMAT_VERSION) {
    throw file.refuse(
      line,
      `has record format ${String(record)}, this reprise reads ${FORMAT_VERSION}; use a newer one`
    )
  }
  const bytes = typeof payload === "string" ? base64(payload) : undefined
  if (bytes === undefined) throw file.refuse(line, "its payload is not base64")
  if (bytes.byteLength > RARE_RECORD_BYTES_MAX) throw file.refuse(line, `its payload has ${bytes.byteLength} bytes`)
  if (!isCount(kind) || kind > 255) throw file.refuse(line, "its kind is not a number of 0 to 255")
  if (!isCount(time)) throw file.refuse(line, "its time is not a number of microseconds")
  if (typeof actor !== "string" || typeof command !== "string") throw file.refuse(line, "has no actor")
  return {
    // The record is written as its bytes are, whatever the kind.
    event: { _tag: "Unknown", kind, payload: bytes },
    actor,
    commandId: command === "" ? undefined : command,
    timeMicros: time
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

/** Node passes over what is no base64: what comes out must be what went in. */
const base64 = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, "base64")
  return bytes.toString("base64") === text ? bytes : undefined
}
