/**
 * Finds text that the terminal showed, and when it came: the recording is drawn once more, in small pieces, and each
 * line that is new or has changed is looked at, also those that scrolled away. So text is found as it was seen, whatever
 * sequences it was written with. It gives the page time to breathe, ends when it is told to, and keeps a bounded list.
 */
import type { PlayerRecord } from "../PlayerFormat.ts"
import { Emulator } from "./Emulator.ts"
import type { PlayerFile } from "./PlayerFile.ts"

/** Places that are kept: more than anybody goes through; the transcript has all. */
export const HITS_MAX = 1000
/** Bytes drawn before lines are looked at. No piece has more lines than the search's own scrollback. */
const PIECE_BYTES_MAX = 4096
const SCROLLBACK_LINES = PIECE_BYTES_MAX + 1024
/** Microseconds of the recording within which changes are looked at together: nobody reads faster. */
const LOOK_MICROS = 50_000
/** Milliseconds of work before the page gets a turn. */
const TURN_MILLIS = 16
/** Characters of a line in the list. */
const LINE_CHARACTERS_MAX = 200
/** Lines of one logical line that are joined: long enough for any command, bounded for a file without line feeds. */
const JOINED_LINES_MAX = 64

export interface Hit {
  /** Records drawn when it is there. */
  readonly record: number
  readonly time: number
  readonly line: string
}

/** `found` is told the hits so far and how far it is, from 0 to 1; `isOver` ends it. */
export const searchText = async (
  file: PlayerFile,
  text: string,
  found: (hits: ReadonlyArray<Hit>, done: number) => void,
  isOver: () => boolean
): Promise<void> => {
  const wanted = text.toLowerCase()
  const { index } = file
  const hits: Array<Hit> = []
  const lines = new Lines(new Emulator(index.size, SCROLLBACK_LINES))
  let turn = performance.now()
  let looked = 0
  let record = 0
  let time = 0
  const look = () => {
    looked = time
    lines.look(wanted, (line) => {
      const at = line.toLowerCase().indexOf(wanted)
      const from = Math.max(0, at - LINE_CHARACTERS_MAX / 4)
      if (hits.length < HITS_MAX) hits.push({ record, time, line: line.slice(from, from + LINE_CHARACTERS_MAX) })
    })
  }
  for (let number = 0; number < index.parts.length && hits.length < HITS_MAX; number++) {
    const part = await file.part(number)
    if (number === 0) lines.begin(part.header.size)
    let pending = 0
    for (const next of part.records) {
      if (next.time - looked > LOOK_MICROS || pending >= PIECE_BYTES_MAX) {
        look()
        pending = 0
      }
      time = next.time
      record++
      for (const piece of piecesOf(next)) {
        if (pending + (piece.data?.length ?? 0) > PIECE_BYTES_MAX) {
          look()
          pending = 0
        }
        lines.apply(piece)
        pending += piece.data?.length ?? 0
      }
      if (performance.now() - turn > TURN_MILLIS) {
        found(hits, record / index.records)
        await new Promise((resolve) => setTimeout(resolve))
        if (isOver()) break
        turn = performance.now()
      }
    }
    look()
    if (isOver()) break
  }
  lines.dispose()
  if (!isOver()) found(hits, 1)
}

const piecesOf = (record: PlayerRecord): ReadonlyArray<PlayerRecord> => {
  const { data } = record
  if (data === undefined || data.length <= PIECE_BYTES_MAX) return [record]
  const pieces: Array<PlayerRecord> = []
  for (let at = 0; at < data.length; at += PIECE_BYTES_MAX) {
    pieces.push({ ...record, data: data.subarray(at, at + PIECE_BYTES_MAX) })
  }
  return pieces
}

/** The emulator's lines by numbers that stay when it scrolls; those that had the text when they were looked at last. */
class Lines {
  readonly #emulator: Emulator
  #trimmed = 0
  /** Number of the first line that was on the screen at the last look. */
  #top = 0
  #matched = new Set<string>()

  constructor(emulator: Emulator) {
    this.#emulator = emulator
  }

  begin(size: PlayerRecord["size"] & object): void {
    this.#emulator.begin(size, undefined)
    this.#emulator.onTrim((lines) => {
      this.#trimmed += lines
    })
  }

  apply(record: PlayerRecord): void {
    this.#emulator.apply(record)
    // Lines are broken anew: the numbers of before say nothing.
    if (record.size !== undefined) this.#top = Math.min(this.#top, this.#trimmed + this.#emulator.buffer.baseY)
  }

  look(wanted: string, hit: (line: string) => void): void {
    const { buffer, isAlternate } = this.#emulator
    const offset = isAlternate ? 0 : this.#trimmed
    const end = buffer.length
    let at = isAlternate ? 0 : Math.max(0, this.#top - this.#trimmed)
    for (let joined = 0; at > 0 && joined < JOINED_LINES_MAX && buffer.getLine(at)?.isWrapped === true; joined++) at--
    const matched = new Set<string>()
    while (at < end) {
      const number = offset + at
      let text = buffer.getLine(at++)?.translateToString(false) ?? ""
      for (let joined = 0; at < end && joined < JOINED_LINES_MAX && buffer.getLine(at)!.isWrapped; joined++) {
        text += buffer.getLine(at++)!.translateToString(false)
      }
      if (!text.toLowerCase().includes(wanted)) continue
      const name = `${isAlternate ? "a" : "n"}${number}`
      matched.add(name)
      if (!this.#matched.has(name)) hit(text.trim())
    }
    this.#matched = matched
    if (!isAlternate) this.#top = this.#trimmed + buffer.baseY
  }

  dispose(): void {
    this.#emulator.dispose()
  }
}
