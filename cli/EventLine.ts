/** An event on one line: as JSON for programs, as text for people. `events` and `watch` print it. */
import type { JournalEntry, SessionEvent } from "../journal/Event.ts"
import { escapeBytes, escapeText, toJsonText } from "./Escape.ts"
import { formatTime } from "./Moment.ts"

/** Of one value on one line for people; the JSON has everything. */
const TEXT_LENGTH_MAX = 200

/** Bytes stand in `data` as base64 and in `text` to be read. */
const toFields = (event: SessionEvent): Record<string, unknown> => {
  const { _tag, ...rest } = event
  if ("data" in rest) {
    const { data, ...others } = rest
    return { ...others, bytes: data.byteLength, data: toBase64(data), text: escapeBytes(data) }
  }
  if ("payload" in rest) return { ...rest, payload: toBase64(rest.payload) }
  return rest
}

const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

/** What a line begins with besides the event's own: where it stands among those of all sessions. */
export interface Place {
  readonly position: number
  readonly session: string
}

export const toJsonLine = ({ sequence, timeMicros, actor, commandId, event }: JournalEntry, place?: Place): string => {
  return toJsonText({
    ...place,
    sequence,
    time: formatTime(timeMicros),
    actor,
    ...(commandId !== undefined && { commandId }),
    type: event._tag,
    ...toFields(event)
  })
}

export const toTextLine = ({ sequence, timeMicros, actor, event }: JournalEntry, place?: Place): string => {
  const { data: _data, ...shown } = toFields(event)
  const values = Object.entries(shown).map(
    ([name, value]) => `${name}=${typeof value === "string" ? quote(value) : quote(JSON.stringify(value))}`
  )
  const where =
    place === undefined
      ? String(sequence).padStart(6)
      : `${String(place.position).padStart(6)}  ${escapeText(place.session)}`
  return `${`${where}  ${formatTime(timeMicros)}  ${escapeText(actor)}  ${event._tag}  ${values.join(" ")}`.trimEnd()}\n`
}

const quote = (text: string): string => {
  const safe = escapeText(text)
  return safe.length > TEXT_LENGTH_MAX ? `${safe.slice(0, TEXT_LENGTH_MAX)}…` : safe
}
