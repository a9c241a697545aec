/**
 * Searches a session's events for what rules find, and says what to write in their places. Output and input are searched as
 * the streams that they are, across events; every text of the other events is searched by itself. It is given the events in
 * order, a page at a time, and twice: the second time finds further copies of what the first one found. It reads and writes
 * nothing.
 */
import type { JournalEntry, SessionEvent } from "../../journal/Event.ts"
import type { EditedEvent, PayloadEdit } from "../../journal/Journal.ts"
import { OUTPUT_DATA_AT } from "../../journal/Record.ts"
import { ChannelScan, type Finds } from "./ChannelScan.ts"
import type { FoundSecrets } from "./FoundSecrets.ts"
import type { Edit } from "./Marks.ts"
import { NumberList } from "./NumberList.ts"
import type { RedactRule } from "./RedactRule.ts"

/** Streams that are read at a time: the one that was written to longest ago ends, as far as a search goes. */
const CHANNELS_MAX = 64
/** Of what has no terminal: as wide as its lines are, so that nothing wraps. */
const PIPE_SCREEN = { _tag: "screen", cols: 1000, rows: 4 } as const
const DEFAULT_SIZE = { cols: 80, rows: 24 }
/** Rare events have these and no text in them that anybody wrote. */
const STRUCTURE = new Set([
  "_tag",
  "owner",
  "term",
  "kind",
  "language",
  "startTime",
  "keeper",
  "signal",
  "target",
  "source",
  "what",
  "stdin",
  "execId",
  "status",
  "client",
  "limit",
  "limits",
  "session",
  "format",
  "sha256",
  "importer",
  "original",
  "redact",
  "secretEnvNames"
])
/** Fields with names in them that somebody gave; the names in others are those of the format. */
const GIVEN_NAMES = new Set(["env", "functions", "aliases"])
/** Of these a `reason` is one of a few words, and not what somebody wrote. */
const REASON_IS_ONE_OF = new Set<SessionEvent["_tag"]>(["SessionClosed", "ShellRestarted"])
/** Of these nothing is replaced: they tell what became of others. */
const KEPT_TAGS = new Set<SessionEvent["_tag"]>([
  "EventsRemoved",
  "PayloadsRedacted",
  "SecretsRedacted",
  "InputHidden",
  "Unknown",
  "EngineStarted",
  "EngineStopped"
])

interface Channel {
  readonly scan: ChannelScan
  /** Its events, and where the bytes of each end: those of the next begin there. */
  readonly sequences: NumberList
  readonly ends: NumberList
  readonly isTyped: boolean
  /** Bytes of a command's input, which are base64 in their event. */
  readonly inputs: Map<number, typeof SessionEvent.cases.CommandInputWritten.Type> | undefined
}

export interface SessionScanOptions {
  readonly rules: ReadonlyArray<RedactRule>
  readonly secrets?: FoundSecrets | undefined
  /** Only these events, both included; the others are looked at for the size of the screen. */
  readonly range?: { readonly from: number; readonly to: number } | undefined
}

export class SessionScan {
  readonly matches = new Map<string, number>()
  readonly #finds: Finds
  readonly #range: { readonly from: number; readonly to: number }
  readonly #channels = new Map<string, Channel>()
  readonly #edited = new Map<number, Array<PayloadEdit>>()
  readonly #payloads = new Map<number, Uint8Array>()
  #size = DEFAULT_SIZE

  constructor({ range, rules, secrets }: SessionScanOptions) {
    this.#finds = { rules, matches: this.matches, secrets }
    this.#range = range ?? { from: 1, to: Number.MAX_SAFE_INTEGER }
  }

  take({ event, sequence }: JournalEntry): void {
    if (event._tag === "SessionCreated" || event._tag === "Resized") {
      this.#size = event.size
      this.#channels.get("tty:0")?.scan.resize(event.size.cols, event.size.rows)
    }
    if (sequence < this.#range.from || sequence > this.#range.to || KEPT_TAGS.has(event._tag)) return
    switch (event._tag) {
      case "OutputReceived":
        this.#bytes(`${event.channel}:${event.channel === "tty" ? 0 : event.exec}`, sequence, event.data)
        return
      case "InputWritten":
        this.#bytes("input", sequence, event.data)
        return
      case "CommandInputWritten": {
        const channel = this.#bytes(`stdin:${event.exec}`, sequence, Buffer.from(event.base64, "base64"))
        channel.inputs?.set(sequence, event)
        return
      }
      default: {
        const replaced = this.#rare(event)
        if (replaced !== undefined) this.#payloads.set(sequence, payloadOf(replaced))
      }
    }
  }

  /** What to replace, ascending. */
  end(): ReadonlyArray<EditedEvent> {
    for (const channel of this.#channels.values()) this.#endChannel(channel)
    this.#channels.clear()
    const edited: Array<EditedEvent> = []
    for (const [sequence, edits] of this.#edited) edited.push({ sequence, edits })
    for (const [sequence, payload] of this.#payloads) edited.push({ sequence, edits: [], payload })
    return edited.sort((one, other) => one.sequence - other.sequence)
  }

  #bytes(key: string, sequence: number, bytes: Uint8Array): Channel {
    const channel = this.#channels.get(key) ?? this.#open(key)
    // The youngest is the last.
    this.#channels.delete(key)
    this.#channels.set(key, channel)
    channel.scan.feed(bytes)
    channel.sequences.push(sequence)
    channel.ends.push(channel.scan.position)
    return channel
  }

  #open(key: string): Channel {
    for (const [oldest, channel] of this.#channels) {
      if (this.#channels.size < CHANNELS_MAX) break
      this.#endChannel(channel)
      this.#channels.delete(oldest)
    }
    const kind =
      key === "input"
        ? ({ _tag: "input" } as const)
        : key.startsWith("stdin:")
          ? ({ _tag: "text" } as const)
          : key === "tty:0"
            ? ({ _tag: "screen", ...this.#size } as const)
            : PIPE_SCREEN
    return {
      scan: new ChannelScan(kind, this.#finds),
      sequences: new NumberList(),
      ends: new NumberList(),
      isTyped: key === "input",
      inputs: key.startsWith("stdin:") ? new Map() : undefined
    }
  }

  #endChannel({ ends, inputs, isTyped, scan, sequences }: Channel): void {
    const edits = scan.end()
    let next = 0
    for (let index = 0; index < sequences.length && next < edits.length; index++) {
      const sequence = sequences.at(index)
      const from = index === 0 ? 0 : ends.at(index - 1)
      const to = ends.at(index)
      while (next < edits.length && edits[next]!.to <= from) next++
      const own: Array<Edit> = []
      for (let at = next; at < edits.length && edits[at]!.from < to; at++) {
        const edit = edits[at]!
        const first = Math.max(edit.from, from)
        const last = Math.min(edit.to, to)
        own.push({
          from: first - from,
          to: last - from,
          bytes: edit.bytes.subarray(first - edit.from, last - edit.from)
        })
      }
      if (own.length === 0) continue
      const input = inputs?.get(sequence)
      if (input !== undefined) {
        const bytes = Buffer.from(input.base64, "base64")
        for (const edit of own) bytes.set(edit.bytes, edit.from)
        this.#payloads.set(sequence, payloadOf({ ...input, base64: bytes.toString("base64") }))
      } else {
        const shift = isTyped ? 0 : OUTPUT_DATA_AT
        this.#edited.set(
          sequence,
          own.map(({ bytes, from, to }) => ({ from: from + shift, to: to + shift, bytes }))
        )
      }
    }
  }

  /** The event with every text in it masked; undefined when nothing of it is. */
  #rare(event: SessionEvent): SessionEvent | undefined {
    let isChanged = false
    const masked = (text: string): string => {
      const replaced = this.#text(text)
      if (replaced === text) return text
      isChanged = true
      return replaced
    }
    const walk = (value: unknown, hasGivenNames = false): unknown => {
      if (typeof value === "string") return masked(value)
      if (Array.isArray(value))
        return value.every((one) => typeof one === "string")
          ? this.#words(value, masked)
          : value.map((one) => walk(one))
      if (value === null || typeof value !== "object") return value
      // fromEntries defines what assignment would not: a variable may be called __proto__.
      return Object.fromEntries(
        Object.entries(value).map(([name, inner]) => [
          hasGivenNames ? masked(name) : name,
          typeof inner === "string" ? this.#named(name, inner, masked) : walk(inner)
        ])
      )
    }
    const isText = (name: string) => !STRUCTURE.has(name) && !(name === "reason" && REASON_IS_ONE_OF.has(event._tag))
    const fields = Object.entries(event).map(([name, value]) => [
      name,
      isText(name) ? walk(value, GIVEN_NAMES.has(name)) : value
    ])
    return isChanged ? (Object.fromEntries(fields) as SessionEvent) : undefined
  }

  /** A variable's value is searched with its name, which may say that it is a secret. */
  #named(name: string, value: string, masked: (text: string) => string): string {
    const pair = masked(`${name}=${value}`)
    return pair.length === name.length + 1 + value.length && pair !== `${name}=${value}`
      ? pair.slice(name.length + 1)
      : masked(value)
  }

  /** Arguments are searched together, as they were typed. */
  #words(words: ReadonlyArray<string>, masked: (text: string) => string): ReadonlyArray<string> {
    const alone = words.map(masked)
    const line = alone.join(" ")
    const replaced = masked(line)
    if (replaced === line || replaced.length !== line.length) return alone
    let at = 0
    return alone.map((word) => {
      const from = at
      at += word.length + 1
      return replaced.slice(from, from + word.length)
    })
  }

  #text(text: string): string {
    const bytes = Buffer.from(text, "utf8")
    const scan = new ChannelScan({ _tag: "text" }, this.#finds)
    scan.feed(bytes)
    const edits = scan.end()
    // A lone surrogate would not survive the way through bytes: only what is masked goes it.
    if (edits.length === 0) return text
    for (const edit of edits) bytes.set(edit.bytes, edit.from)
    return bytes.toString("utf8")
  }
}

const payloadOf = ({ _tag, ...fields }: SessionEvent): Uint8Array => Buffer.from(JSON.stringify(fields), "utf8")
