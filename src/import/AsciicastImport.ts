/**
 * asciicast, versions 1 to 3: recordings of asciinema. It takes what asciinema's own reader takes and refuses the same,
 * with the number of the line. Events of a code that no version has are kept whole, as markers.
 */
import type { NewEvent } from "../../journal/Event.ts"
import type { RecordingFile } from "../files/RecordingFile.ts"
import { type RecordedHead, RecordedSession } from "./RecordedSession.ts"
import type { OpenRecording } from "./Recording.ts"

/** Version 1 is one JSON value and is read as a whole: files of this version hold minutes. */
const VERSION_1_BYTES_MAX = 64 * 1024 * 1024
const MICROS_PER_SECOND = 1_000_000
const UINT16_MAX = 0xffff
/** Seconds of a time, and of a whole recording: a number of microseconds is exact up to here. */
const SECONDS_MAX = 1e9

export const openAsciicast: OpenRecording = async (file) => {
  for await (const { line, number } of file.lines()) {
    const head = objectOf(line)
    if (head !== undefined && (head.version === 2 || head.version === 3)) {
      const version = head.version
      const header = version === 2 ? head2(file, head) : head3(file, head)
      return { format: header.format, events: () => events(file, version, header) }
    }
    if (head !== undefined && head.version !== undefined && head.version !== 1) {
      throw file.refuse(
        number,
        `is asciicast of version ${String(head.version).slice(0, 20)}; 1, 2 and 3 can be imported`
      )
    }
    return openVersion1(file)
  }
  throw file.refuse(0, "is empty")
}

type Fields = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parse = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch {
    return undefined
  }
}
const utf8 = new TextDecoder("utf-8", { fatal: true })

const objectOf = (line: Uint8Array): Fields | undefined => {
  const value = parse(line)
  return isObject(value) ? value : undefined
}

// --- headers ---------------------------------------------------------------------------------------------------------

const head2 = (file: RecordingFile, head: Fields): RecordedHead => ({
  format: "asciicast-v2",
  ...sizeFields(file, head.width, head.height, "width and height"),
  ...commonFields(file, head, true)
})

const head3 = (file: RecordingFile, head: Fields): RecordedHead => {
  if (!isObject(head.term)) throw file.refuse(1, "has no term")
  const { cols, rows, type } = head.term
  if (type !== undefined && type !== null && typeof type !== "string") throw file.refuse(1, "term.type is no text")
  if (Array.isArray(head.tags) ? !head.tags.every((tag) => typeof tag === "string") : head.tags != null) {
    throw file.refuse(1, "tags is no list of texts")
  }
  const common = commonFields(file, head, false)
  return {
    format: "asciicast-v3",
    ...sizeFields(file, cols, rows, "term.cols and term.rows"),
    ...common,
    term: type ?? common.term
  }
}

const sizeFields = (file: RecordingFile, cols: unknown, rows: unknown, names: string) => {
  if (!isUint16(cols) || !isUint16(rows)) throw file.refuse(1, `${names} are not whole numbers of 0 to ${UINT16_MAX}`)
  return { cols, rows }
}

const isUint16 = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= UINT16_MAX

const commonFields = (file: RecordingFile, head: Fields, allowsNull: boolean) => {
  const { command, env, idle_time_limit, timestamp, title } = head
  if (timestamp != null && !(Number.isSafeInteger(timestamp) && (timestamp as number) >= 0)) {
    throw file.refuse(1, "timestamp is not a whole number of seconds")
  }
  if (timestamp != null && (timestamp as number) > SECONDS_MAX * 8) throw file.refuse(1, "timestamp is too large")
  if (idle_time_limit != null && !(typeof idle_time_limit === "number" && idle_time_limit >= 0)) {
    throw file.refuse(1, "idle_time_limit is not a number of seconds")
  }
  for (const [name, text] of Object.entries({ command, title })) {
    if (text != null && typeof text !== "string") throw file.refuse(1, `${name} is no text`)
  }
  if (env != null && !isObject(env)) throw file.refuse(1, "env is no object")
  for (const [name, text] of Object.entries(env ?? {})) {
    if (typeof text !== "string" && !(allowsNull && text === null)) throw file.refuse(1, `env: ${name} is no text`)
  }
  const term = (env as Fields | undefined | null)?.TERM
  return {
    beganMicros: ((timestamp as number | null | undefined) ?? 0) * MICROS_PER_SECOND,
    command: typeof command === "string" && command !== "" ? command.toWellFormed() : undefined,
    envNames: Object.keys(env ?? {}).map((name) => name.toWellFormed()),
    term: typeof term === "string" ? term.toWellFormed() : undefined
  }
}

// --- events of versions 2 and 3 --------------------------------------------------------------------------------------

/** Its beginning, since a number does not say how it was written: no sign, no exponent; the code without escapes. */
const EVENT = /^\s*\[\s*(\d+)(?:\.(\d+))?\s*,\s*"([^"\\]*)"\s*,/

async function* events(file: RecordingFile, version: 2 | 3, head: RecordedHead): AsyncGenerator<NewEvent, undefined> {
  const session = new RecordedSession(head)
  yield session.created()
  let micros = 0
  for await (const { line, number } of file.lines()) {
    if (number === 1) continue
    const text = textOf(file, line, number)
    if (version === 3 && (text.startsWith("#") || text.trim() === "")) continue
    const event = parse(line)
    if (!Array.isArray(event)) {
      throw file.refuse(number, text.startsWith("#") ? "version 2 knows no comments" : "is no JSON array")
    }
    const [, seconds, fraction = "", code = ""] = EVENT.exec(text) ?? []
    if (event.length !== 3 || typeof event[1] !== "string" || typeof event[2] !== "string") {
      throw file.refuse(number, "is not a time, a code and a text")
    }
    if (seconds === undefined)
      throw file.refuse(number, "its time is not a number of seconds without sign and exponent")
    if (Number(seconds) > SECONDS_MAX) throw file.refuse(number, "its time is too large")
    const time = Number(seconds) * MICROS_PER_SECOND + Math.round(Number(`0.${fraction || "0"}`) * MICROS_PER_SECOND)
    micros = version === 3 ? micros + time : time
    if (micros > SECONDS_MAX * MICROS_PER_SECOND) throw file.refuse(number, "the recording is too long")
    session.at(micros)
    yield* toEvents(file, session, version, number, code, event[2])
  }
  yield* session.ended()
}

const textOf = (file: RecordingFile, line: Uint8Array, number: number): string => {
  try {
    return utf8.decode(line)
  } catch {
    throw file.refuse(number, "is not UTF-8")
  }
}

function* toEvents(
  file: RecordingFile,
  session: RecordedSession,
  version: number,
  line: number,
  code: string,
  data: string
): Generator<NewEvent, void> {
  switch (code) {
    case "o":
      yield* session.output(Buffer.from(data))
      return
    case "i":
      yield* session.input(Buffer.from(data))
      return
    case "m":
      yield session.marker(data)
      return
    case "r": {
      const [, cols, rows] = /^(\d{1,5})x(\d{1,5})$/.exec(data) ?? []
      if (cols === undefined || rows === undefined) throw file.refuse(line, `its size is not COLSxROWS`)
      yield session.resize(Number(cols), Number(rows))
      return
    }
  }
  if (version === 3 && code === "x") {
    if (!/^-?\d{1,10}$/.test(data) || Math.abs(Number(data)) > 0x7fffffff) {
      throw file.refuse(line, "its exit status is not a whole number")
    }
    session.exit(Number(data))
    return
  }
  yield session.marker(`asciicast event ${JSON.stringify([code, data])}`)
}

// --- version 1 -------------------------------------------------------------------------------------------------------

const openVersion1: OpenRecording = async (file) => {
  if (file.bytes > VERSION_1_BYTES_MAX) {
    throw file.refuse(0, `is no asciicast of version 2 or 3, and too large for one of version 1`)
  }
  const head = objectOf(await wholeOf(file))
  if (head === undefined || head.version !== 1) throw file.refuse(1, "is no asciicast: its first line is no header")
  const { stdout } = head
  if (!Array.isArray(stdout)) throw file.refuse(0, "has no stdout")
  const header: RecordedHead = {
    format: "asciicast-v1",
    ...sizeFields(file, head.width, head.height, "width and height"),
    ...commonFields(file, { ...head, timestamp: undefined }, true)
  }
  let micros = 0
  const found = stdout.map((event: unknown, at) => {
    const refuse = (reason: string) => file.refuse(0, `event ${at + 1} of stdout ${reason}`)
    if (!Array.isArray(event) || event.length !== 2) throw refuse("is not a delay and a text")
    const [delay, data] = event
    if (typeof delay !== "number" || !(delay >= 0 && delay <= SECONDS_MAX)) throw refuse("has no delay in seconds")
    if (typeof data !== "string") throw refuse("has no text")
    micros += Math.round(delay * MICROS_PER_SECOND)
    return { micros, data }
  })
  return { format: header.format, events: () => eventsOf1(header, found) }
}

function* eventsOf1(
  head: RecordedHead,
  stdout: ReadonlyArray<{ readonly micros: number; readonly data: string }>
): Generator<NewEvent, undefined> {
  const session = new RecordedSession(head)
  yield session.created()
  for (const { data, micros } of stdout) {
    session.at(micros)
    yield* session.output(Buffer.from(data))
  }
  yield* session.ended()
}

const wholeOf = async (file: RecordingFile): Promise<Buffer> => {
  const pieces: Array<Buffer> = []
  for await (const piece of file.pieces()) pieces.push(piece)
  return Buffer.concat(pieces)
}
