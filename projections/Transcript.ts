/**
 * What went into a session and came out of it, entry by entry: direction, time, who and which command. For programs that
 * keep a conversation with a session as a list; Buffers.ts has the same as one text, the journal has all of it.
 *
 * It is capped by bytes and by entries, and the oldest bytes go first: an entry at the cap loses its beginning and not all of
 * itself, so that what is left is the tail of what there was. Numbers of entries never change by that.
 */
import type { JournalEntry } from "../journal/Event.ts"
import type { Projection } from "./Projection.ts"
import { orphanHead } from "./utf8.ts"

/** Bytes of all entries: a conversation, not a log. */
const TRANSCRIPT_BYTES_MAX = 1024 * 1024
const TRANSCRIPT_ENTRIES_MAX = 10_000

/** error: standard error of a command. What a terminal shows is output, whatever stream it was for. */
export type TranscriptDirection = "input" | "output" | "error"

export interface TranscriptEntry {
  /** From 0, in the session. */
  readonly index: number
  readonly direction: TranscriptDirection
  /** As it was; where `cutBytes` is not 0 its beginning is missing, up to a character's border. */
  readonly data: Uint8Array
  readonly cutBytes: number
  readonly sequence: number
  readonly timeMicros: number
  readonly actor: string
  readonly commandId: string | null
  /** Number of the command in a shell for commands; null for the terminal. */
  readonly exec: number | null
}

export interface TranscriptState {
  session: string
  /** Time of the session's first event; null before it. */
  createdAt: number | null
  readonly entries: Array<TranscriptEntry>
  bytes: number
  /** Entries that are gone as a whole, and all bytes that are gone. */
  droppedEntries: number
  droppedBytes: number
}

export interface TranscriptStats {
  readonly session: string
  readonly createdAt: number | null
  readonly totalEntries: number
  readonly inputEntries: number
  readonly outputEntries: number
  readonly errorEntries: number
  readonly totalSizeBytes: number
  readonly droppedEntries: number
  readonly droppedBytes: number
}

export interface TranscriptMatch {
  /** `index` of the entry. */
  readonly entryIndex: number
  readonly entry: TranscriptEntry
  /** As it stands there. */
  readonly matchText: string
}

export interface TranscriptOptions {
  readonly bytes?: number | undefined
  readonly entries?: number | undefined
}

/** Snapshots carry the caps in their name: a state of other caps is another projection. */
export const makeTranscript = (options: TranscriptOptions = {}): Projection<TranscriptState> => {
  const bytesMax = options.bytes ?? TRANSCRIPT_BYTES_MAX
  const entriesMax = options.entries ?? TRANSCRIPT_ENTRIES_MAX
  const isDefault = bytesMax === TRANSCRIPT_BYTES_MAX && entriesMax === TRANSCRIPT_ENTRIES_MAX
  return {
    name: isDefault ? "transcript" : `transcript-${bytesMax.toString(36)}-${entriesMax.toString(36)}`,
    version: 1,
    initial: (session) => ({ session, createdAt: null, entries: [], bytes: 0, droppedEntries: 0, droppedBytes: 0 }),
    fold: (state, entry) => {
      if (entry.event._tag === "SessionCreated") state.createdAt = entry.timeMicros
      const said = saidBy(entry)
      if (said === undefined || said.data.length === 0) return state
      const { actor, commandId, sequence, timeMicros } = entry
      state.entries.push({
        ...said,
        index: state.droppedEntries + state.entries.length,
        cutBytes: 0,
        sequence,
        timeMicros,
        actor,
        commandId: commandId ?? null
      })
      state.bytes += said.data.length
      trim(state, bytesMax, entriesMax)
      return state
    },
    encode: (state) => Buffer.from(saveTranscript(state)),
    decode: (bytes) => loadTranscript(Buffer.from(bytes).toString())
  }
}

/** With the default caps. */
export const Transcript = makeTranscript()

/** Entries in which a text stands, whatever its case, in order: each once, with the first place. */
export const searchTranscript = (state: TranscriptState, text: string): ReadonlyArray<TranscriptMatch> => {
  if (text === "") return []
  const pattern = new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "iu")
  return state.entries.flatMap((entry) => {
    const found = pattern.exec(Buffer.from(entry.data).toString())
    return found === null ? [] : [{ entryIndex: entry.index, entry, matchText: found[0] }]
  })
}

export const transcriptStats = (state: TranscriptState): TranscriptStats => {
  const count = (direction: TranscriptDirection) =>
    state.entries.filter((entry) => entry.direction === direction).length
  return {
    session: state.session,
    createdAt: state.createdAt,
    totalEntries: state.entries.length,
    inputEntries: count("input"),
    outputEntries: count("output"),
    errorEntries: count("error"),
    totalSizeBytes: state.bytes,
    droppedEntries: state.droppedEntries,
    droppedBytes: state.droppedBytes
  }
}

const FORMAT = "reprise transcript 1"

/** As a file: JSON Lines, the first says what it is. Bytes that are no UTF-8 are base64. */
export const saveTranscript = ({ entries, ...head }: TranscriptState): string =>
  [{ format: FORMAT, ...head, count: entries.length }, ...entries.map(toLine)]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join("")

/** The same state again. Throws, with the reason, on anything that `saveTranscript` did not write. */
export const loadTranscript = (file: string): TranscriptState => {
  const [first, ...lines] = file.split("\n")
  const head = JSON.parse(first ?? "") as Omit<TranscriptState, "entries"> & { format?: unknown; count?: unknown }
  if (head === null || head.format !== FORMAT) throw new Error("not a transcript of this version")
  if (lines.pop() !== "" || lines.length !== head.count) throw new Error("the transcript is cut off")
  const { bytes, createdAt, droppedBytes, droppedEntries, session } = head
  if (typeof session !== "string" || !(createdAt === null || isCount(createdAt))) throw new Error("bad head")
  if (!isCount(bytes) || !isCount(droppedEntries) || !isCount(droppedBytes)) throw new Error("bad head")
  const entries = lines.map((line, at) => fromLine(line, droppedEntries + at))
  if (entries.reduce((sum, { data }) => sum + data.length, 0) !== bytes) throw new Error("bad number of bytes")
  return { session, createdAt, entries, bytes, droppedEntries, droppedBytes }
}

const saidBy = ({ event }: JournalEntry): Pick<TranscriptEntry, "direction" | "data" | "exec"> | undefined => {
  switch (event._tag) {
    case "OutputReceived": {
      const exec = event.channel === "tty" ? null : event.exec
      return { direction: event.channel === "stderr" ? "error" : "output", data: event.data, exec }
    }
    case "InputWritten":
      return { direction: "input", data: event.data, exec: null }
    case "CommandInputWritten":
      return { direction: "input", data: new Uint8Array(Buffer.from(event.base64, "base64")), exec: event.exec }
    case "CommandStarted":
      return { direction: "input", data: new Uint8Array(Buffer.from(event.code)), exec: event.exec }
    default:
      return undefined
  }
}

const trim = (state: TranscriptState, bytesMax: number, entriesMax: number): void => {
  const { entries } = state
  let gone = 0
  let excess = state.bytes - bytesMax
  while (gone < entries.length && (entries.length - gone > entriesMax || excess >= entries[gone]!.data.length)) {
    // The one that came last is cut and not dropped, also when it alone is too large.
    if (entries.length - gone === 1) break
    const { length } = entries[gone]!.data
    excess -= length
    state.bytes -= length
    state.droppedBytes += length
    gone++
  }
  entries.splice(0, gone)
  state.droppedEntries += gone
  const first = entries[0]
  if (excess <= 0 || first === undefined) return
  const at = Math.min(first.data.length, excess)
  const cut = at + orphanHead(first.data.subarray(at))
  entries[0] = { ...first, data: first.data.slice(cut), cutBytes: first.cutBytes + cut }
  state.bytes -= cut
  state.droppedBytes += cut
}

const toLine = ({ data, ...entry }: TranscriptEntry) => {
  const text = Buffer.from(data).toString()
  return Buffer.from(text).equals(data)
    ? { ...entry, text }
    : { ...entry, base64: Buffer.from(data).toString("base64") }
}

const fromLine = (line: string, index: number): TranscriptEntry => {
  const { base64, text, ...entry } = JSON.parse(line) as Omit<TranscriptEntry, "data"> & {
    readonly text?: unknown
    readonly base64?: unknown
  }
  const bytes =
    typeof text === "string"
      ? Buffer.from(text)
      : typeof base64 === "string"
        ? Buffer.from(base64, "base64")
        : undefined
  const { actor, commandId, cutBytes, direction, exec, sequence, timeMicros } = entry
  if (
    bytes === undefined ||
    entry.index !== index ||
    !["input", "output", "error"].includes(direction) ||
    !isCount(cutBytes) ||
    !isCount(sequence) ||
    !isCount(timeMicros) ||
    typeof actor !== "string" ||
    !(commandId === null || typeof commandId === "string") ||
    !(exec === null || isCount(exec))
  ) {
    throw new Error(`bad entry ${index}`)
  }
  return { index, direction, data: new Uint8Array(bytes), cutBytes, sequence, timeMicros, actor, commandId, exec }
}

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0
