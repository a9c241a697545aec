/**
 * What a measurement answers with (tables and aims), the few statistics they share, and how it is printed. Used by every
 * file of test/bench. It measures nothing.
 */

export interface Table {
  readonly title: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

/** A promise of the project with the figure that was measured for it. */
export interface Aim {
  readonly aim: string
  readonly measured: string
  readonly holds: boolean
}

export interface Report {
  readonly tables: ReadonlyArray<Table>
  readonly aims: ReadonlyArray<Aim>
  /** What a reader must know to believe the tables; a tool that is missing is named here. */
  readonly notes: ReadonlyArray<string>
}

/** The value below which the part `share` of the samples lies. */
export const percentile = (samples: ReadonlyArray<number>, share: number): number => {
  const sorted = [...samples].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const median = (samples: ReadonlyArray<number>): number => {
  const sorted = [...samples].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Three significant digits: more would be noise. */
export const figure = (value: number): string => {
  if (!Number.isFinite(value)) return "-"
  const magnitude = Math.abs(value)
  return value.toFixed(magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3)
}

export const tableText = ({ columns, rows, title }: Table): string => {
  const widths = columns.map((column, index) => Math.max(column.length, ...rows.map((row) => row[index]?.length ?? 0)))
  // Names to the left, figures to the right.
  const line = (cells: ReadonlyArray<string>) =>
    cells
      .map((cell, index) => (index === 0 ? cell.padEnd(widths[index]!) : cell.padStart(widths[index]!)))
      .join("  ")
      .trimEnd()
  return [title, line(columns), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n")
}

export const aimText = ({ aim, holds, measured }: Aim): string => `${holds ? "holds " : "MISSED"}  ${aim}: ${measured}`
