/**
 * Watches what a program does to the terminal it is shown on, so that leaving it in the middle (detached, lost, ended by
 * a signal) gives the person a usable terminal back: alternate screen, hidden cursor and its shape, mouse reports,
 * bracketed paste, keyboard protocols, scroll region, character sets, colours. It reads the output; it never changes it.
 */

/** Longest sequence that is followed over the border of two chunks. */
const SEQUENCE_BYTES_MAX = 64
const ESCAPE = 0x1b
/** DEC private modes that a person notices when they stay as they are. 25 (cursor) and 7 (wrap) are on by default. */
const MODES_OFF_BY_DEFAULT = new Set([
  1, 5, 6, 9, 69, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048
])
const MODES_ON_BY_DEFAULT = new Set([7, 25])
const ALTERNATE_SCREEN = new Set([47, 1047, 1049])

/**
 * One sequence that matters, of what a terminal is sent:
 * 1, 2: DEC private modes; 3: keypad or full reset; 4: SGR; 5: soft reset; 6: scroll region; 7: shape of the cursor;
 * 8, 9: keyboard protocol (kitty); 10: modified keys (xterm); 11, 12: insert mode and the like; 13, 14: character set;
 * 15, 16: OSC.
 */
const SEQUENCE =
  /\x1b(?:\[\?([\d;]{1,40})([hl])|([=>c])|\[([\d;:]{0,40})m|\[!(p)|\[([\d;]{0,12})r|\[(\d{0,3}) q|\[([<>=])([\d;]{0,12})u|\[>4(;\d{0,3})?m|\[([\d;]{1,20})([hl])|([()*+])([ -~])|\](\d{1,4});?([^\x07\x1b]{0,40}))/g

/** OSC that sets a colour, and the one that gives it its usual value back. */
const COLOURS: Readonly<Record<string, string>> = { 4: "104", 10: "110", 11: "111", 12: "112" }

export interface TerminalModes {
  watch(bytes: Uint8Array): void
  /** What gives the terminal its usual modes back; "" when nothing was changed. */
  reset(): string
  /** The terminal shows its alternate screen. */
  readonly isAlternate: boolean
}

export const makeTerminalModes = (): TerminalModes => {
  const changed = new Map<number, "h" | "l">()
  const insertModes = new Set<string>()
  const charsets = new Set<string>()
  const colours = new Set<string>()
  /** Keyboard protocols pushed on the normal and on the alternate screen; each has its own stack. */
  let pushed: [number, number] = [0, 0]
  let alternate: number | undefined
  let isKeypadApplication = false
  let isColored = false
  let hasRegion = false
  let hasCursorShape = false
  let hasModifiedKeys = false
  let isLink = false
  let isProgress = false
  let carried = ""

  const softReset = () => {
    isKeypadApplication = false
    isColored = false
    hasRegion = false
    insertModes.clear()
    charsets.clear()
    for (const mode of [1, 6, 25]) changed.delete(mode)
  }
  const fullReset = () => {
    softReset()
    changed.clear()
    alternate = undefined
    pushed = [0, 0]
    hasCursorShape = false
    hasModifiedKeys = false
  }
  const setPrivateModes = (numbers: string, set: "h" | "l") => {
    for (const number of numbers.split(";").map(Number)) {
      if (ALTERNATE_SCREEN.has(number)) alternate = set === "h" ? number : undefined
      else changed.set(number, set)
    }
  }
  const setKeyboard = (kind: string, value: string) => {
    const screen = alternate === undefined ? 0 : 1
    if (kind === ">") pushed[screen] += 1
    else if (kind === "<") pushed[screen] = Math.max(0, pushed[screen] - (value === "" ? 1 : Number(value)))
  }
  const setOsc = (number: string, text: string) => {
    if (number === "8") isLink = /^[^;]*;./.test(text)
    else if (number === "9" && text.startsWith("4;")) isProgress = !text.startsWith("4;0")
    else if (COLOURS[number] !== undefined && !text.endsWith("?")) colours.add(COLOURS[number])
    else if (/^1(04|1[0-2])$/.test(number)) colours.delete(number)
  }

  return {
    watch(bytes) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (carried === "" && !buffer.includes(ESCAPE)) return
      // One byte a character, so that positions are bytes; an escape is the rare case.
      const text = carried + buffer.toString("latin1")
      for (const match of text.matchAll(SEQUENCE)) {
        if (match[1] !== undefined) setPrivateModes(match[1], match[2] as "h" | "l")
        else if (match[3] === "c") fullReset()
        else if (match[3] !== undefined) isKeypadApplication = match[3] === "="
        else if (match[4] !== undefined) isColored = match[4] !== "" && match[4] !== "0"
        else if (match[5] !== undefined) softReset()
        else if (match[6] !== undefined) hasRegion = match[6] !== ""
        else if (match[7] !== undefined) hasCursorShape = match[7] !== "" && match[7] !== "0"
        else if (match[8] !== undefined) setKeyboard(match[8], match[9]!)
        else if (match[0].startsWith("\x1b[>4")) hasModifiedKeys = match[10] !== undefined && match[10] !== ";0"
        else if (match[11] !== undefined) {
          for (const number of match[11].split(";")) {
            if (match[12] === "h") insertModes.add(number)
            else insertModes.delete(number)
          }
        } else if (match[13] !== undefined) {
          if (match[14] === "B") charsets.delete(match[13])
          else charsets.add(match[13])
        } else if (match[15] !== undefined) setOsc(match[15], match[16]!)
      }
      const last = text.lastIndexOf("\x1b")
      carried = last === -1 || text.length - last > SEQUENCE_BYTES_MAX ? "" : text.slice(last)
    },
    reset() {
      let text = ""
      if (alternate !== undefined) {
        if (pushed[1] > 0) text += `\x1b[<${pushed[1]}u`
        text += `\x1b[?${alternate}l`
      }
      // Leaves the cursor where it is, which resetting the region or the origin by themselves does not.
      if (hasRegion || insertModes.size > 0 || charsets.size > 0 || changed.get(6) === "h" || changed.get(69) === "h") {
        text += "\x1b[!p"
        // And for a terminal that does not know a soft reset.
        for (const slot of charsets) text += `\x1b${slot}B`
        if (charsets.size > 0) text += "\x0f"
        for (const mode of insertModes) text += `\x1b[${mode}l`
        if (hasRegion) text += "\x1b7\x1b[r\x1b8"
      }
      if (isColored) text += "\x1b[0m"
      for (const [mode, set] of changed) {
        if (set === "h" && MODES_OFF_BY_DEFAULT.has(mode)) text += `\x1b[?${mode}l`
        if (set === "l" && MODES_ON_BY_DEFAULT.has(mode)) text += `\x1b[?${mode}h`
      }
      if (isKeypadApplication) text += "\x1b>"
      if (pushed[0] > 0) text += `\x1b[<${pushed[0]}u`
      if (hasModifiedKeys) text += "\x1b[>4m"
      if (hasCursorShape) text += "\x1b[0 q"
      if (isLink) text += "\x1b]8;;\x1b\\"
      if (isProgress) text += "\x1b]9;4;0\x1b\\"
      for (const colour of colours) text += `\x1b]${colour}\x1b\\`
      return text
    },
    get isAlternate() {
      return alternate !== undefined
    }
  }
}
