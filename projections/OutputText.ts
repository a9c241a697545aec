/**
 * The text in a terminal's output for finding words in it: escape sequences are taken out and every move of the cursor
 * ends a line, so that no two places of a screen become one word. What full-screen programs draw is part of it. One byte
 * of UTF-8 is one character of the strings here: what is looked for is turned into the same form. It is no emulator, and
 * what it gives is not for showing.
 */

/** Of a sequence that is not complete; what is longer is text. */
const HELD_CHARACTERS_MAX = 4096

/** CSI; OSC, DCS and other strings; other escapes; controls. */
const SEQUENCE =
  /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\|(?=[\x18\x1a\x1b])|$)|\x1b[ -/]*[0-~]|[\x00-\x1f\x7f]/g
/** The beginning of one at the end. */
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x18\x1a\x1b]*\x1b?|[ -/]*)$/

export class OutputText {
  #held = ""

  feed(data: Uint8Array): string {
    let text = this.#held + Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1")
    this.#held = ""
    const last = text.lastIndexOf("\x1b")
    // An escape at the very end may be the end of a string.
    const starts = last > 0 && last === text.length - 1 ? [text.lastIndexOf("\x1b", last - 1), last] : [last]
    for (const at of starts) {
      if (at === -1 || text.length - at > HELD_CHARACTERS_MAX || !UNFINISHED.test(text.slice(at))) continue
      this.#held = text.slice(at)
      text = text.slice(0, at)
      break
    }
    return text.replace(SEQUENCE, replacement)
  }
}

const replacement = (sequence: string, _parameters: string | undefined, final: string | undefined): string => {
  if (final !== undefined) {
    if (final === "m" || final === "K" || final === "h" || final === "l" || final === "X") return ""
    return final === "C" ? " " : "\n"
  }
  if (sequence.charCodeAt(0) === 0x1b) return ""
  return sequence === "\n" || sequence === "\r" ? "\n" : sequence === "\t" ? " " : ""
}

/** Text as it stands in what `OutputText` gives; small letters also mean capitals. */
export const makeFinder = (wanted: string): { readonly length: number; in(text: string): boolean } => {
  const text = Buffer.from(wanted).toString("latin1")
  const anyCase = wanted === wanted.toLowerCase()
  const needle = anyCase ? text.toLowerCase() : text
  return { length: needle.length, in: (hay) => (anyCase ? hay.toLowerCase() : hay).includes(needle) }
}
