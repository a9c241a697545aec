/**
 * Takes out of output that is shown again what a terminal would answer or act on: questions about itself (its answer
 * would be typed into a program that asked long ago) and writes to the clipboard. What is drawn stays as it is. Used for
 * what a program printed before somebody attached; `replay` prints the bytes as they are.
 */

/** Of a sequence that is cut off at the end of a piece: kept until the rest comes. A longer one is passed on. */
const HELD_BYTES_MAX = 4096
const ESCAPE = 0x1b
const ENQUIRY = 0x05

/**
 * ENQ, DECID; device attributes, device status and cursor position, terminal version, keyboard protocol, modes, window
 * reports, parameters; colours (OSC 4, 5, 10 to 19 with `?`) and clipboard (OSC 52); capabilities and settings (DCS).
 */
const QUESTION =
  /\x05|\x1b(?:Z|\[[?>=]?[\d;]*c|\[\??\d+n|\[>[\d;]*q|\[\?u|\[\??[\d;]*\$p|\[(?:1[1-689]|2[01])(?:;\d*)*t|\[[01]?x|\](?:[45];[^\x07\x1b]*|1\d;)\?(?:\x07|\x1b\\)|\]52;[^\x07\x1b]*(?:\x07|\x1b\\)|P[+$]q[^\x07\x1b]*(?:\x07|\x1b\\))/g
/** A sequence of these kinds without its end. */
const UNFINISHED = /\x1b(?:\[[?>=]?[\d;]*\$?|[\]P][^\x07\x1b]*\x1b?)?$/

export interface ReplayFilter {
  /** The bytes to show for `data`: `data` itself where nothing is to be taken out. */
  readonly feed: (data: Uint8Array) => Uint8Array
  /** What is held back, when what follows is live. */
  readonly end: () => Uint8Array
}

export const makeReplayFilter = (): ReplayFilter => {
  let held = ""
  return {
    feed(data) {
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
      if (held === "" && !bytes.includes(ESCAPE) && !bytes.includes(ENQUIRY)) return data
      let text = (held + bytes.toString("latin1")).replace(QUESTION, "")
      const cut = UNFINISHED.exec(text.slice(-HELD_BYTES_MAX))
      held = cut === null ? "" : cut[0]
      if (held !== "") text = text.slice(0, -held.length)
      return Buffer.from(text, "latin1")
    },
    end() {
      const rest = Buffer.from(held, "latin1")
      held = ""
      return rest
    }
  }
}
