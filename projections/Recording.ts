/**
 * The output of a session as pieces of one size each: what a player or an emulator that knows no events is given. A fold
 * over events, in order; it holds all bytes it was given, so that whoever folds a long history folds parts of it.
 */
import type { SessionEvent, TerminalSize } from "../journal/Event.ts"

/** Output of a terminal of this size. */
export interface RecordedPart {
  readonly cols: number
  readonly rows: number
  readonly data: Uint8Array
}

/** Changed in place. The last part is the one that is written to. */
export type Recording = Array<{ size: TerminalSize; readonly chunks: Array<Uint8Array> }>

export const makeRecording = (size: TerminalSize): Recording => [{ size, chunks: [] }]

/** A size that nothing was written in is not a part: the next one takes its place. */
export const recordEvent = (recording: Recording, event: SessionEvent): void => {
  const last = recording.at(-1)!
  if (event._tag === "OutputReceived") {
    if (event.channel === "tty" && event.data.length > 0) last.chunks.push(event.data)
  } else if (event._tag === "Resized" || event._tag === "SessionCreated") {
    if (last.chunks.length === 0) last.size = event.size
    else recording.push({ size: event.size, chunks: [] })
  }
}

/** The last one may be empty: the size that output has not come in yet. */
export const recordedParts = (recording: Recording): ReadonlyArray<RecordedPart> =>
  recording.map(({ chunks, size }) => ({
    cols: size.cols,
    rows: size.rows,
    data: new Uint8Array(Buffer.concat(chunks))
  }))
