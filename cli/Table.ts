/** Text in columns for people. Cells are escaped here, so that no caller can forget it. */
import { CliOutput } from "effect/cli"
import { escapeText } from "./Escape.ts"

const GAP = "  "

/** Cuts to a number of terminal cells, with an ellipsis when something is missing. */
export const cutText = (text: string, cells: number): string => {
  if (CliOutput.displayWidth(text) <= cells) return text
  // A cell each: the data of all scripts, 18 ms to read, says nothing more.
  if (/^[ -~]*$/.test(text)) return `${text.slice(0, Math.max(0, cells - 1))}…`
  let out = ""
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (CliOutput.displayWidth(out + segment) > cells - 1) break
    out += segment
  }
  return `${out}…`
}

const pad = (text: string, cells: number): string =>
  text + " ".repeat(Math.max(0, cells - CliOutput.displayWidth(text)))

/** Rows under a head. The last column takes what is left of `width`, when there is one. */
export const table = (
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  width?: number | undefined
): string => {
  const lines = [head, ...rows.map((row) => row.map(escapeText))]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => CliOutput.displayWidth(line[column] ?? ""))))
  return lines
    .map((line) => {
      const text = line
        .map((cell, column) => (column === head.length - 1 ? cell : pad(cell, widths[column]!)))
        .join(GAP)
      return `${(width === undefined ? text : cutText(text, width)).trimEnd()}\n`
    })
    .join("")
}

/** Names and values, one a line. */
export const fields = (pairs: ReadonlyArray<readonly [string, string]>): string => {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${`${name.padEnd(width)}${GAP}${escapeText(value)}`.trimEnd()}\n`).join("")
}

/** Lines of a screen in a frame of its size. */
export const box = (lines: ReadonlyArray<string>, cols: number): string => {
  const edge = "─".repeat(cols)
  return `┌${edge}┐\n${lines.map((line) => `│${pad(cutText(escapeText(line), cols), cols)}│\n`).join("")}└${edge}┘\n`
}
