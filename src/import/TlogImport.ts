/**
 * tlog, JSON 2.x: the messages of one recording, a line each, as tlog-rec writes them and a log gives them back. What
 * stands for bytes that are no text becomes those bytes again. It refuses what tlog-play refuses, and text that the
 * timing does not count, which tlog-play drops. Errors name the line.
 */
import type { NewEvent } from "../../journal/Event.ts"
import type { RecordingFile } from "../files/RecordingFile.ts"
import { type RecordedHead, RecordedSession } from "./RecordedSession.ts"
import type { OpenRecording } from "./Recording.ts"

const MICROS_PER_SECOND = 1_000_000
const MICROS_PER_MILLI = 1000
/** tlog's own limit of a position, in milliseconds. */
const POSITION_MILLIS_MAX = 2_147_483_647_999
/** Microseconds are exact numbers up to here, in seconds. */
const SECONDS_MAX = 8e9

interface Message {
  readonly number: number
  readonly rec: string | undefined
  readonly term: string
  readonly id: number
  readonly position: number
  readonly time: number | undefined
  readonly timing: string
  readonly input: Text
  readonly output: Text
}

interface Text {
  readonly name: "in" | "out"
  readonly characters: ReadonlyArray<string>
  readonly bytes: ReadonlyArray<number>
}

type Token =
  | { readonly _tag: "Delay"; readonly millis: number }
  | { readonly _tag: "Text"; readonly of: "in" | "out"; readonly count: number }
  | { readonly _tag: "Bytes"; readonly of: "in" | "out"; readonly count: number; readonly bytes: number }
  | { readonly _tag: "Size"; readonly cols: number; readonly rows: number }

export const openTlog: OpenRecording = async (file) => {
  for await (const message of messages(file)) {
    const size = tokens(file, message).find((token) => token._tag === "Size")
    const format = "tlog-2"
    const head: RecordedHead = {
      format,
      beganMicros: Math.round((message.time ?? 0) * MICROS_PER_SECOND),
      cols: size?._tag === "Size" ? size.cols : 0,
      rows: size?._tag === "Size" ? size.rows : 0,
      term: message.term
    }
    return { format, events: () => events(file, head) }
  }
  throw file.refuse(0, "is empty")
}

async function* events(file: RecordingFile, head: RecordedHead): AsyncGenerator<NewEvent, undefined> {
  const session = new RecordedSession(head)
  yield session.created()
  let size = { cols: head.cols, rows: head.rows }
  let first: Message | undefined
  let before: Message | undefined
  let now = 0
  for await (const message of messages(file)) {
    first ??= message
    if (before !== undefined && message.id !== before.id + 1) {
      throw file.refuse(message.number, `is message ${message.id}, and ${before.id + 1} should follow`)
    }
    if (message.rec !== first.rec) throw file.refuse(message.number, "is of another recording than the first message")
    if (message.position < now)
      throw file.refuse(message.number, `its time ${message.position} is before what precedes it`)
    before = message
    now = message.position
    const at = { in: { character: 0, byte: 0 }, out: { character: 0, byte: 0 } }
    for (const token of tokens(file, message)) {
      if (token._tag === "Delay") {
        now += token.millis
        continue
      }
      session.at((now - first.position) * MICROS_PER_MILLI)
      if (token._tag === "Size") {
        if (token.cols === size.cols && token.rows === size.rows) continue
        size = token
        yield session.resize(token.cols, token.rows)
        continue
      }
      const text = token.of === "in" ? message.input : message.output
      const place = at[token.of]
      const character = place.character + token.count
      const byte = place.byte + (token._tag === "Bytes" ? token.bytes : 0)
      if (character > text.characters.length || byte > text.bytes.length) {
        throw file.refuse(message.number, `its timing counts more than ${token.of}_txt and ${token.of}_bin have`)
      }
      const data =
        token._tag === "Bytes"
          ? Uint8Array.from(text.bytes.slice(place.byte, byte))
          : Buffer.from(text.characters.slice(place.character, character).join(""))
      place.character = character
      place.byte = byte
      yield* token.of === "in" ? session.input(data) : session.output(data)
    }
    for (const text of [message.input, message.output]) {
      const { byte, character } = at[text.name]
      if (character < text.characters.length || byte < text.bytes.length) {
        throw file.refuse(message.number, `${text.name}_txt or ${text.name}_bin has more than its timing counts`)
      }
    }
  }
  session.at(first === undefined ? 0 : (now - first.position) * MICROS_PER_MILLI)
  yield* session.ended()
}

async function* messages(file: RecordingFile): AsyncGenerator<Message, undefined> {
  for await (const { line, number } of file.lines()) {
    if (line.length > 0) yield messageOf(file, line, number)
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

const messageOf = (file: RecordingFile, line: Uint8Array, number: number): Message => {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(line))
  } catch {
    throw file.refuse(number, "is no message of tlog (JSON)")
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw file.refuse(number, "is no JSON object")
  const fields = value as Readonly<Record<string, unknown>>
  const text = (name: string): string => {
    const found = fields[name]
    if (typeof found !== "string")
      throw file.refuse(number, `${name} is ${found === undefined ? "missing" : "no text"}`)
    return found.toWellFormed()
  }
  const whole = (name: string, from: number, to: number): number => {
    const found = fields[name]
    if (!Number.isInteger(found) || (found as number) < from || (found as number) > to) {
      throw file.refuse(number, `${name} is ${found === undefined ? "missing" : `no whole number from ${from} on`}`)
    }
    return found as number
  }
  const numbers = (name: string): ReadonlyArray<number> => {
    const found = fields[name]
    if (!Array.isArray(found) || !found.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)) {
      throw file.refuse(number, `${name} is ${found === undefined ? "missing" : "no list of bytes"}`)
    }
    return found
  }
  if (!/^2(?:\.\d+)?$/.test(text("ver")))
    throw file.refuse(number, `is of version ${text("ver").slice(0, 20)}, not of 2`)
  text("host")
  text("user")
  whole("session", 1, 0xffff_ffff)
  const { rec, time } = fields
  if (rec !== undefined && typeof rec !== "string") throw file.refuse(number, "rec is no text")
  if (time !== undefined && !(typeof time === "number" && time >= 0 && time <= SECONDS_MAX)) {
    throw file.refuse(number, "time is no number of seconds")
  }
  return {
    number,
    rec,
    term: text("term"),
    id: whole("id", 1, Number.MAX_SAFE_INTEGER),
    position: whole("pos", 0, POSITION_MILLIS_MAX),
    time,
    timing: text("timing"),
    input: { name: "in", characters: Array.from(text("in_txt")), bytes: numbers("in_bin") },
    output: { name: "out", characters: Array.from(text("out_txt")), bytes: numbers("out_bin") }
  }
}

const TOKEN = /\+(\d{1,13})|([<>])(\d{1,9})|([[\]])(\d{1,9})\/(\d{1,9})|=(\d{1,5})x(\d{1,5})/y

/** In order of occurrence. Counts are of code points. */
const tokens = (file: RecordingFile, { number, timing }: Message): ReadonlyArray<Token> => {
  const found: Array<Token> = []
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < timing.length; ) {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(timing)
    if (match === null) throw file.refuse(number, `timing is not understood from character ${at + 1} on`)
    const [, delay, text, count, binary, characters, bytes, cols, rows] = match
    if (delay !== undefined) found.push({ _tag: "Delay", millis: Number(delay) })
    else if (text !== undefined) found.push({ _tag: "Text", of: text === "<" ? "in" : "out", count: Number(count) })
    else if (binary !== undefined) {
      const of = binary === "[" ? "in" : "out"
      found.push({ _tag: "Bytes", of, count: Number(characters), bytes: Number(bytes) })
    } else found.push({ _tag: "Size", cols: Number(cols), rows: Number(rows) })
  }
  return found
}
