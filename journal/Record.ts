/**
 * Format version 1 of a stored value: how an event becomes bytes, and bytes an event. Used by the journals and by
 * whoever reads a store without us (docs/journal-format.md). It knows nothing of stores, sequences or sessions.
 *
 *   u32 crc32 over (key | everything after this field)
 *   u8  format version (1)
 *   u8  kind
 *   u64 time, microseconds since 1970
 *   u8  length of actor,   actor   (ASCII)
 *   u8  length of command, command (ASCII; 0 = none)
 *   payload: OutputReceived  u8 channel | u32 exec | u64 offset | bytes
 *            InputWritten    bytes
 *            InputHidden     nothing
 *            all others      JSON (UTF-8) of the event without its tag
 *
 * The key is under the checksum, so a value that moved to another place does not verify. JSON for the rare events: an
 * auditor reads it without our code, and a field can be added without a new kind. A shape that older readers would
 * misread gets a new kind; the old kind's decoder stays and upcasts.
 */

import { crc32 } from "node:zlib"
import { Schema } from "effect"
import * as Event from "./Event.ts"
import { rareKinds } from "./EventKind.ts"
import { EventRefused } from "./JournalError.ts"
import { reasonOf } from "./StandIn.ts"

export const FORMAT_VERSION = 1
/** Terminal I/O: LevelDB copies a value several times on its way to a table; 64 KiB keeps each copy small (one of 300 MB took 4.4 s). */
export const RECORD_BYTES_MAX = 64 * 1024
/** A rare event may be larger once: argv alone can reach hundreds of KiB. */
export const RARE_RECORD_BYTES_MAX = 4 * 1024 * 1024
const ENVELOPE_BYTES = 4 + 1 + 1 + 8
const OUTPUT_HEADER_BYTES = 1 + 4 + 8
/** Longest actor and command id; one length byte each, and headers stay small. */
export const LABEL_LENGTH_MAX = 64
/** Largest chunk of output or input that fits a record whatever actor and command are. */
export const CHUNK_BYTES_MAX = RECORD_BYTES_MAX - ENVELOPE_BYTES - 2 - 2 * LABEL_LENGTH_MAX - OUTPUT_HEADER_BYTES

const KIND_OUTPUT = 1
const KIND_INPUT = 2
const KIND_INPUT_HIDDEN = 3

type RareTag = keyof typeof rareKinds
/** For who looks at records without decoding them. */
export const KIND_EVENTS_REMOVED = rareKinds.EventsRemoved

/** The event as a version has it that knows the kinds up to `kindMax`: a later one is Unknown there. */
export const eventFor = (event: Event.SessionEvent, kindMax: number): Event.SessionEvent => {
  const kind = rareKinds[event._tag as RareTag] ?? 0
  if (kind <= kindMax) return event
  const { _tag, ...fields } = event
  return unknown(kind, Buffer.from(JSON.stringify(fields), "utf8"))
}

interface RareCodec {
  readonly tag: RareTag
  readonly isValid: (event: unknown) => boolean
  readonly decode: (input: unknown) => Event.SessionEvent
}
const rareByKind = new Map<number, RareCodec>()
const isValidByTag = new Map<string, (event: unknown) => boolean>()
for (const [tag, kind] of Object.entries(rareKinds) as ReadonlyArray<[RareTag, number]>) {
  const schema: Schema.Codec<Event.SessionEvent, unknown> = Event.SessionEvent.cases[tag]
  const codec = { tag, isValid: Schema.is(schema), decode: Schema.decodeUnknownSync(schema) }
  rareByKind.set(kind, codec)
  isValidByTag.set(tag, codec.isValid)
}

const channels: ReadonlyArray<Event.OutputChannel> = ["tty", "stdout", "stderr"]

const printableAscii = /^[\x20-\x7e]*$/
const checkLabel = (what: string, label: string): void => {
  if (label.length > LABEL_LENGTH_MAX || !printableAscii.test(label)) {
    throw new EventRefused({ reason: `${what} must be at most ${LABEL_LENGTH_MAX} printable ASCII characters` })
  }
}

const writeEnvelope = (
  bytes: number,
  kind: number,
  timeMicros: number,
  actor: string,
  command: string,
  into?: Buffer | undefined
): { readonly value: Buffer; readonly at: number } => {
  const length = ENVELOPE_BYTES + 2 + actor.length + command.length + bytes
  const value = into?.subarray(0, length) ?? Buffer.allocUnsafe(length)
  value[4] = FORMAT_VERSION
  value[5] = kind
  value.writeUInt32BE(Math.floor(timeMicros / 0x1_0000_0000), 6)
  value.writeUInt32BE((timeMicros % 0x1_0000_0000) >>> 0, 10)
  let at = ENVELOPE_BYTES
  value[at++] = actor.length
  value.write(actor, at, "latin1")
  at += actor.length
  value[at++] = command.length
  value.write(command, at, "latin1")
  return { value, at: at + command.length }
}

const seal = (key: Uint8Array, value: Buffer): Buffer => {
  value.writeUInt32BE(crc32(value.subarray(4), crc32(key)), 0)
  return value
}

/** The hot path: output of a program. One allocation, one copy, no checks but the length (its caller cuts). */
export const encodeOutput = (
  key: Uint8Array,
  channel: Event.OutputChannel,
  exec: number,
  offset: number,
  chunks: ReadonlyArray<Uint8Array>,
  timeMicros: number,
  into?: Buffer | undefined
): Buffer => {
  let bytes = 0
  for (const chunk of chunks) bytes += chunk.byteLength
  const { value, at } = writeEnvelope(
    OUTPUT_HEADER_BYTES + bytes,
    KIND_OUTPUT,
    timeMicros,
    Event.ACTOR_PROGRAM,
    "",
    into
  )
  writeOutputHeader(value, at, channel, exec, offset)
  let to = at + OUTPUT_HEADER_BYTES
  for (const chunk of chunks) {
    value.set(chunk, to)
    to += chunk.byteLength
  }
  return seal(key, value)
}

const writeOutputHeader = (value: Buffer, at: number, channel: Event.OutputChannel, exec: number, offset: number) => {
  value[at] = channels.indexOf(channel)
  value.writeUInt32BE(exec, at + 1)
  value.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), at + 5)
  value.writeUInt32BE(offset >>> 0, at + 9)
}

/** Throws EventRefused for anything that could not be read back as it is. */
export const encodeRecord = (key: Uint8Array, entry: Event.NewEvent): Buffer => {
  const { event, actor } = entry
  const command = entry.commandId ?? ""
  checkLabel("actor", actor)
  checkLabel("command id", command)
  if (!Number.isSafeInteger(entry.timeMicros) || entry.timeMicros < 0) {
    throw new EventRefused({ reason: `time ${entry.timeMicros} is not a number of microseconds` })
  }
  switch (event._tag) {
    case "OutputReceived": {
      if (event.data.byteLength > CHUNK_BYTES_MAX) throw tooLarge(event._tag, event.data.byteLength, CHUNK_BYTES_MAX)
      const { value, at } = writeEnvelope(
        OUTPUT_HEADER_BYTES + event.data.byteLength,
        KIND_OUTPUT,
        entry.timeMicros,
        actor,
        command
      )
      writeOutputHeader(value, at, event.channel, event.exec, event.offset)
      value.set(event.data, at + OUTPUT_HEADER_BYTES)
      return seal(key, value)
    }
    case "InputWritten": {
      if (event.data.byteLength > CHUNK_BYTES_MAX) throw tooLarge(event._tag, event.data.byteLength, CHUNK_BYTES_MAX)
      const { value, at } = writeEnvelope(event.data.byteLength, KIND_INPUT, entry.timeMicros, actor, command)
      value.set(event.data, at)
      return seal(key, value)
    }
    case "InputHidden":
      return seal(key, writeEnvelope(0, KIND_INPUT_HIDDEN, entry.timeMicros, actor, command).value)
    case "Unknown": {
      const { value, at } = writeEnvelope(event.payload.byteLength, event.kind, entry.timeMicros, actor, command)
      value.set(event.payload, at)
      return seal(key, value)
    }
    default: {
      if (!isValidByTag.get(event._tag)?.(event)) {
        throw new EventRefused({ reason: `${event._tag} does not have the fields of its schema` })
      }
      const { _tag, ...fields } = event
      const payload = Buffer.from(JSON.stringify(fields), "utf8")
      if (payload.byteLength > RARE_RECORD_BYTES_MAX) throw tooLarge(_tag, payload.byteLength, RARE_RECORD_BYTES_MAX)
      const { value, at } = writeEnvelope(payload.byteLength, rareKinds[_tag], entry.timeMicros, actor, command)
      value.set(payload, at)
      return seal(key, value)
    }
  }
}

const tooLarge = (tag: string, bytes: number, max: number) =>
  new EventRefused({ reason: `${tag} of ${bytes} bytes; at most ${max} fit one record` })

/** Why a stored value must not be served, or undefined when it may. */
export const damageOf = (key: Uint8Array, value: Uint8Array): string | undefined => {
  if (value.byteLength < ENVELOPE_BYTES + 2) return "record too short"
  const stored = ((value[0]! << 24) | (value[1]! << 16) | (value[2]! << 8) | value[3]!) >>> 0
  if (crc32(value.subarray(4), crc32(key)) === stored) return undefined
  return reasonOf(value) ?? "checksum does not match"
}

/** Decodes a value that `damageOf` found intact. Never throws: what this version does not know becomes `Unknown`. */
export const decodeRecord = (sequence: number, stored: Uint8Array): Event.JournalEntry => {
  const value = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  const kind = value[5]!
  const timeMicros = value.readUInt32BE(6) * 0x1_0000_0000 + value.readUInt32BE(10)
  let at = ENVELOPE_BYTES
  const actorLength = value[at++]!
  const actor = value.toString("latin1", at, at + actorLength)
  at += actorLength
  const commandLength = value[at++]!
  const commandId = commandLength === 0 ? undefined : value.toString("latin1", at, at + commandLength)
  at += commandLength
  const event =
    value[4] === FORMAT_VERSION ? decodePayload(kind, value.subarray(at)) : unknown(kind, value.subarray(at))
  return { sequence, timeMicros, actor, commandId, event }
}

/** Where the payload of a stored value that is intact begins. */
export const payloadAt = (value: Uint8Array): number => {
  const command = ENVELOPE_BYTES + 1 + value[ENVELOPE_BYTES]!
  return command + 1 + value[command]!
}

/** The stored value with another payload: everything else of it is as it was. */
export const withPayload = (key: Uint8Array, value: Uint8Array, payload: Uint8Array): Buffer => {
  const at = payloadAt(value)
  const replaced = Buffer.allocUnsafe(at + payload.byteLength)
  replaced.set(value.subarray(0, at))
  replaced.set(payload, at)
  return seal(key, replaced)
}

/** The bytes of terminal output stand behind these in the payload of an OutputReceived. */
export const OUTPUT_DATA_AT = OUTPUT_HEADER_BYTES

const unknown = (kind: number, payload: Uint8Array): Event.SessionEvent => ({ _tag: "Unknown", kind, payload })

const decodePayload = (kind: number, payload: Buffer): Event.SessionEvent => {
  switch (kind) {
    case KIND_OUTPUT: {
      const channel = channels[payload[0] ?? 255]
      if (channel === undefined || payload.byteLength < OUTPUT_HEADER_BYTES) return unknown(kind, payload)
      return {
        _tag: "OutputReceived",
        channel,
        exec: payload.readUInt32BE(1),
        offset: payload.readUInt32BE(5) * 0x1_0000_0000 + payload.readUInt32BE(9),
        data: payload.subarray(OUTPUT_HEADER_BYTES)
      }
    }
    case KIND_INPUT:
      return { _tag: "InputWritten", data: payload }
    case KIND_INPUT_HIDDEN:
      return { _tag: "InputHidden" }
    default: {
      const codec = rareByKind.get(kind)
      if (codec === undefined) return unknown(kind, payload)
      try {
        return codec.decode({ ...JSON.parse(payload.toString("utf8")), _tag: codec.tag })
      } catch {
        // The checksum is right, so these are the bytes somebody wrote: a shape this version cannot read.
        return unknown(kind, payload)
      }
    }
  }
}

/** A row's value: u32 crc32 over (key | payload) and the payload. */
export const encodeRow = (key: Uint8Array, payload: Uint8Array): Buffer => {
  const value = Buffer.allocUnsafe(4 + payload.byteLength)
  value.set(payload, 4)
  return seal(key, value)
}

/** The payload, or undefined when it does not verify: a row is derived, so it is rebuilt rather than reported. */
export const decodeRow = (key: Uint8Array, value: Uint8Array): Uint8Array | undefined => {
  if (value.byteLength < 4) return undefined
  const stored = ((value[0]! << 24) | (value[1]! << 16) | (value[2]! << 8) | value[3]!) >>> 0
  return crc32(value.subarray(4), crc32(key)) === stored ? value.subarray(4) : undefined
}
