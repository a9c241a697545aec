/**
 * Takes out of output that is shown again what a terminal would answer or act on: questions about itself (its answer
 * would be typed into a program that asked long ago) and writes to the clipboard. What is drawn stays as it is. Used for
 * what a program printed before somebody attached; `replay` prints the bytes as they are.
 */

/** Of a sequence that is cut off at the end of a piece: kept until the rest comes. A longer one is passed on. */
const HELD_BYTES_MAX = 4096
const ESCAPE = 0x1b
const ENQUIRY = 0x05
/** With the byte behind it, in UTF-8, the forms of one character that xterm takes for ESC [, ESC ], ESC P, ESC Z and ESC \. */
const C1_LEAD = 0xc2

const CSI = String.raw`(?:\x1b\[|\xc2\x9b)`
const OSC = String.raw`(?:\x1b\]|\xc2\x9d)`
const DCS = String.raw`(?:\x1bP|\xc2\x90)`
/** Of a string: anything but what ends it or begins something else, so that no search runs over the same bytes twice. */
const BODY = String.raw`(?:[^\x07\x1b\xc2]|\xc2[^\x90\x9a-\x9d])*?`
const END = String.raw`(?:\x07|\x1b\\|\xc2\x9c)`

const QUESTION = new RegExp(
  [
    // ENQ, DECID.
    String.raw`\x05|\x1bZ|\xc2\x9a`,
    // Device attributes, device status and cursor position, terminal version, keyboard protocol, modes, window reports,
    // parameters, cursor and tab stops, checksums, graphics, keys, locator, character set, colours.
    String.raw`${CSI}(?:[?>=]?[\d;]*c|\??[\d;]*n|>[\d;]*q|\?u|\??[\d;]*\$p|(?:1[1-689]|2[01])(?:;\d*)*t|[01]?x|[\d;]*\$[uw]|[\d;]*\*y|\?[\d;]*[Sm]|"v|&u|#R)`,
    // The clipboard, whatever is done to it; of all other strings those that end in a question.
    String.raw`${OSC}(?:52;${BODY}|\d+;(?:${BODY};)?\?|1337;ReportCellSize)${END}`,
    // Capabilities and settings.
    `${DCS}[+$][qQ]${BODY}${END}`
  ].join("|"),
  "g"
)
/** A sequence of these kinds without its end. */
const UNFINISHED = new RegExp(String.raw`(?:\x1b|\xc2|${CSI}[?>=]?[\d;]*[$*"&#]?|(?:${OSC}|${DCS})${BODY}[\x1b\xc2]?)$`)

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
      if (held === "" && ![ESCAPE, ENQUIRY, C1_LEAD].some((lead) => bytes.includes(lead))) return data
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
