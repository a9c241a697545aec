/**
 * Watches what a program does to the terminal it is shown on, so that leaving it in the middle (detached, lost, ended by
 * a signal) gives the person a usable terminal back: alternate screen, hidden cursor, mouse reports, bracketed paste,
 * keypad and cursor-key modes. It reads the output; it never changes it.
 */

/** Longest sequence that is followed over the border of two chunks. */
const SEQUENCE_BYTES_MAX = 64
/** DEC private modes that a person notices when they stay as they are. 25 (cursor) and 7 (wrap) are on by default. */
const MODES_OFF_BY_DEFAULT = new Set([
  1, 5, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004, 2026
])
const MODES_ON_BY_DEFAULT = new Set([7, 25])

export interface TerminalModes {
  watch(bytes: Uint8Array): void
  /** What gives the terminal its usual modes back; "" when nothing was changed. */
  reset(): string
}

export const makeTerminalModes = (): TerminalModes => {
  const changed = new Map<number, "h" | "l">()
  let isKeypadApplication = false
  let isColored = false
  let carried = ""
  return {
    watch(bytes) {
      // One byte a character, so that positions are bytes; an escape is the rare case.
      const text = carried + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
      for (const match of text.matchAll(/\x1b(?:\[\?([\d;]{1,40})([hl])|([=>c])|\[([\d;:]{0,40})m|\[!(p))/g)) {
        const [, numbers, set, single, , soft] = match
        if (numbers !== undefined) {
          for (const number of numbers.split(";").map(Number)) changed.set(number, set as "h" | "l")
        } else if (single === "=" || single === ">") {
          isKeypadApplication = single === "="
        } else if (single === "c" || soft !== undefined) {
          changed.clear()
          isKeypadApplication = false
          isColored = false
        } else {
          isColored = match[4] !== "" && match[4] !== "0"
        }
      }
      const last = text.lastIndexOf("\x1b")
      carried = last === -1 || text.length - last > SEQUENCE_BYTES_MAX ? "" : text.slice(last)
    },
    reset() {
      let text = isColored ? "\x1b[0m" : ""
      for (const [mode, set] of changed) {
        if (set === "h" && MODES_OFF_BY_DEFAULT.has(mode)) text += `\x1b[?${mode}l`
        if (set === "l" && MODES_ON_BY_DEFAULT.has(mode)) text += `\x1b[?${mode}h`
      }
      return isKeypadApplication ? `${text}\x1b>` : text
    }
  }
}
