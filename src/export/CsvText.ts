/**
 * Cells and rows of a CSV file (RFC 4180) that a spreadsheet shows as text and never computes: what a program printed may
 * begin as a formula does (OWASP, CSV injection; ASVS 1.2.10). Pure.
 */
import { escapeLines } from "../SafeText.ts"

/**
 * What a spreadsheet takes for the beginning of a formula: `= + - @`, their wide forms, and the control characters that
 * some drop before they look. Blanks before it are passed over, as spreadsheets do.
 */
const FORMULA = /^[\s\u0000]*[=+\-@\t\r\n\u0000\uff1d\uff0b\uff0d\uff20]/

/** Characters of a cell; spreadsheets take 32,767 and cut or refuse what is longer. */
const CELL_CHARACTERS_MAX = 30_000

/** A cell of text from anywhere: quoted, shown as text, no control character but line feed and tab; cut with a mark. */
export const textCell = (text: string): string => {
  // Cut before it is escaped too: that bounds the work.
  const shown = cut(escapeLines(cut(text)))
  return `"${FORMULA.test(text) ? "'" : ""}${shown.replaceAll('"', '""')}"`
}

const cut = (text: string): string =>
  text.length <= CELL_CHARACTERS_MAX ? text : `${text.slice(0, CELL_CHARACTERS_MAX).toWellFormed()} [… cut]`

/** A cell of a number of ours; null is empty. */
export const numberCell = (value: number | null): string => (value === null ? "" : String(value))

export const csvRow = (cells: ReadonlyArray<string>): string => `${cells.join(",")}\r\n`
