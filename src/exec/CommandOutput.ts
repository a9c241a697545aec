/**
 * The output of one command, read back from the journal: its own streams, and what the terminal showed while it ran. Used
 * for every result, so that a result is what the journal has and nothing else; a short one that this engine has just
 * journaled is not read again. It keeps head and tail of each stream within
 * a bound, and reads no further than the last event that can matter.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import type { JournalShape } from "../../journal/Journal.ts"
import type { JournalDamaged, StorageUnavailable } from "../../journal/JournalError.ts"
import type { Truncation } from "./Exec.ts"
import { HeadTail, shifted } from "./Truncate.ts"

export interface CommandPlace {
  readonly exec: number
  /** Sequence of its CommandStarted. */
  readonly firstSequence: number
  /** Sequence after which nothing of it follows; undefined: the head. */
  readonly lastSequence: number | undefined
  readonly ttyFrom: number
  /** null while it runs. */
  readonly ttyTo: number | null
}

export interface CommandOutput {
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  readonly tty: Uint8Array
  readonly truncated: {
    readonly stdout: Truncation | null
    readonly stderr: Truncation | null
    readonly tty: Truncation | null
  }
  /** Last event looked at. */
  readonly cursor: number
}

/** What a command on the terminal writes there when it ends (Driver.ts): ours, not the program's. */
const MARK = /\x1b\]633;D;[0-9a-f]{16}\x07/g

/** `after` is exclusive, 0 from the beginning. */
export const readCommandOutput = (
  journal: JournalShape,
  session: SessionId,
  place: CommandPlace,
  options: { readonly after: number; readonly maxBytes: number }
): Effect.Effect<CommandOutput, JournalDamaged | StorageUnavailable> =>
  Effect.suspend(() => {
    const streams = {
      stdout: new HeadTail(options.maxBytes),
      stderr: new HeadTail(options.maxBytes),
      tty: new HeadTail(options.maxBytes)
    }
    const ttyTo = place.ttyTo ?? Number.MAX_SAFE_INTEGER
    const after = Math.max(options.after, place.firstSequence - 1)
    // Where each stream begins in this answer: 0, or behind what an earlier answer had.
    const bases: Bases = { stdout: undefined, stderr: undefined, tty: undefined }
    let cursor = after
    const take = ({ event, sequence }: JournalEntry): void => {
      cursor = sequence
      if (event._tag !== "OutputReceived") return
      if (event.channel !== "tty") {
        if (event.exec !== place.exec) return
        bases[event.channel] ??= event.offset
        streams[event.channel].push(event.data)
        return
      }
      const from = Math.max(place.ttyFrom, event.offset)
      const to = Math.min(ttyTo, event.offset + event.data.byteLength)
      if (from >= to) return
      bases.tty ??= from - place.ttyFrom
      streams.tty.push(event.data.subarray(from - event.offset, to - event.offset))
    }
    if (place.lastSequence !== undefined && after >= place.lastSequence)
      return Effect.succeed(resultOf(streams, bases, cursor))
    return journal.read(session, { after, until: place.lastSequence }).pipe(
      Stream.runForEachArray((entries) =>
        Effect.sync(() => {
          for (const entry of entries) take(entry)
        })
      ),
      Effect.map(() => resultOf(streams, bases, cursor))
    )
  })

interface Bases {
  stdout: number | undefined
  stderr: number | undefined
  tty: number | undefined
}

const resultOf = (
  streams: { readonly stdout: HeadTail; readonly stderr: HeadTail; readonly tty: HeadTail },
  bases: Bases,
  cursor: number
): CommandOutput => {
  const stdout = streams.stdout.result()
  const stderr = streams.stderr.result()
  const tty = streams.tty.result()
  return {
    stdout: stdout.bytes,
    stderr: stderr.bytes,
    tty: withoutMark(tty.bytes),
    truncated: {
      stdout: shifted(stdout.truncation, bases.stdout),
      stderr: shifted(stderr.truncation, bases.stderr),
      tty: shifted(tty.truncation, bases.tty)
    },
    cursor
  }
}

const withoutMark = (bytes: Uint8Array): Uint8Array => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
  return text.includes("\x1b]633;D;") ? Buffer.from(text.replace(MARK, ""), "latin1") : bytes
}

interface Pieces {
  readonly pieces: ReadonlyArray<Uint8Array>
}

/** The same answer from all bytes that its streams have in the journal, for a command to which the terminal showed nothing. */
export const outputInMemory = (
  kept: { readonly stdout: Pieces; readonly stderr: Pieces },
  cursor: number,
  maxBytes: number
): CommandOutput => {
  const streams = { stdout: new HeadTail(maxBytes), stderr: new HeadTail(maxBytes), tty: new HeadTail(0) }
  for (const piece of kept.stdout.pieces) streams.stdout.push(piece)
  for (const piece of kept.stderr.pieces) streams.stderr.push(piece)
  return resultOf(streams, { stdout: 0, stderr: 0, tty: 0 }, cursor)
}

/** Bytes [from, to) of one stream. */
export const readCommandRange = (
  journal: JournalShape,
  session: SessionId,
  place: CommandPlace,
  range: { readonly channel: "stdout" | "stderr" | "tty"; readonly from: number; readonly to: number }
): Effect.Effect<Uint8Array, JournalDamaged | StorageUnavailable> =>
  Effect.suspend(() => {
    // Offsets of the terminal count from the command's beginning.
    const base = range.channel === "tty" ? place.ttyFrom : 0
    const end = Math.min(range.to + base, range.channel === "tty" ? (place.ttyTo ?? Number.MAX_SAFE_INTEGER) : Infinity)
    const parts: Array<Uint8Array> = []
    const take = ({ event }: JournalEntry): boolean => {
      if (event._tag !== "OutputReceived" || event.channel !== range.channel) return true
      if (range.channel !== "tty" && event.exec !== place.exec) return true
      const from = Math.max(range.from + base, event.offset)
      const to = Math.min(end, event.offset + event.data.byteLength)
      if (from < to) parts.push(event.data.subarray(from - event.offset, to - event.offset))
      return event.offset + event.data.byteLength < end
    }
    return journal.read(session, { after: place.firstSequence - 1, until: place.lastSequence }).pipe(
      Stream.takeWhile(take),
      Stream.runDrain,
      Effect.map(() => Buffer.concat(parts))
    )
  })
