/**
 * The title that the program gave its terminal (OSC 0 and OSC 2 in the output). Lists and views show it, so it is made
 * safe to show here: one line, at most 256 characters, no control characters and no direction overrides. It never
 * becomes part of a path or a command.
 */
import type { JournalEntry } from "../journal/Event.ts"
import {
  makeOscScanner,
  maskScanner,
  type OscScanner,
  restoreScanner,
  scannerHeader,
  scannerPart,
  scanOsc
} from "./OscScanner.ts"
import type { Projection } from "./Projection.ts"
import { decodeSnapshot, encodeSnapshot } from "./SnapshotCodec.ts"
import { incompleteTail } from "./utf8.ts"

/** Characters (code points) of a title: what a list or a tab can show at most, and more than any of them does. */
export const TITLE_CHARACTERS_MAX = 256

export interface TitleState {
  title: string
  readonly scanner: OscScanner
}

// Controls (C0, DEL, C1), line and paragraph separators, and what turns the writing direction around.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Text that is safe to show on one line. */
export const cleanTitle = (text: string): string => {
  // Cut before the regular expression: four code units a character bound its work, whatever came in.
  const clean = text.slice(0, TITLE_CHARACTERS_MAX * 4).replace(UNSAFE, "")
  if (clean.length <= TITLE_CHARACTERS_MAX) return clean.toWellFormed()
  return Array.from(clean).slice(0, TITLE_CHARACTERS_MAX).join("").toWellFormed()
}

export const Title: Projection<TitleState> = {
  name: "title",
  version: 1,
  initial: () => ({ title: "", scanner: makeOscScanner() }),
  fold: (state, entry: JournalEntry) => {
    const event = entry.event
    if (event._tag === "OutputReceived" && event.channel === "tty") {
      scanOsc(state.scanner, event.data, (payload) => {
        // "0;" or "2;": icon name and title, or title.
        if (payload.length >= 2 && (payload[0] === 0x30 || payload[0] === 0x32) && payload[1] === 0x3b) {
          state.title = cleanTitle(decoder.decode(payload.subarray(2, payload.length - incompleteTail(payload))))
        }
      })
    }
    return state
  },
  encode: (state) =>
    encodeSnapshot({ title: state.title, scanner: scannerHeader(state.scanner) }, [scannerPart(state.scanner)]),
  decode: (bytes) => {
    const { state, parts } = decodeSnapshot<{ title: string; scanner: { phase: number; truncated: boolean } }>(bytes, 1)
    if (typeof state.title !== "string") throw new Error("snapshot: bad title")
    return { title: state.title, scanner: restoreScanner(state.scanner, parts[0]!) }
  },
  mask: (state, mask) => {
    maskScanner(state.scanner, mask)
    return { ...state, title: mask.text(state.title) }
  }
}
