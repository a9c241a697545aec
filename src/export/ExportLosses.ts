/**
 * What of a session a format could not hold, counted: said on standard error when an export is done, and by whoever vouches
 * for the file. A format that holds everything counts nothing. It counts; it knows no session and no format.
 */

import type { RecordedItem } from "../session/RecordedItems.ts"

/** Names are public, and none changes its meaning. */
const LOSSES = {
  /** Bytes of the terminal that are U+FFFD in the file. */
  invalidUtf8: {
    one: "byte that is not UTF-8 (U+FFFD stands for it)",
    many: "bytes that are not UTF-8 (U+FFFD stands for them)"
  },
  /** What was typed that is kept, in bytes. */
  inputBytes: { one: "byte of input", many: "bytes of input" },
  markers: { one: "marker", many: "markers" },
  /** Places where something is missing in the session itself. */
  gaps: { one: "note of a gap", many: "notes of gaps" },
  exits: { one: "exit code", many: "exit codes" }
} as const

export type Loss = keyof typeof LOSSES

export interface LossReport {
  readonly loss: Loss
  readonly count: number
}

export class ExportLosses {
  readonly #counts = new Map<Loss, number>()

  add(loss: Loss, count = 1): void {
    if (count > 0) this.#counts.set(loss, (this.#counts.get(loss) ?? 0) + count)
  }

  /** An item that the format has no place for. */
  lacks(item: RecordedItem): void {
    if (item._tag === "Input") this.add("inputBytes", item.data.length)
    else if (item._tag === "Marker") this.add("markers")
    else if (item._tag === "Gap") this.add("gaps")
    else if (item._tag === "Exit") this.add("exits")
  }

  /** Only what there is of; complete when the export is. */
  report(): ReadonlyArray<LossReport> {
    return [...this.#counts].map(([loss, count]) => ({ loss, count })).sort((a, b) => (a.loss < b.loss ? -1 : 1))
  }

  /** A sentence for a person, or none: of what nobody asked to have left out. */
  told(hasInput: boolean): ReadonlyArray<string> {
    const lost = this.report().filter(({ loss }) => hasInput || loss !== "inputBytes")
    if (lost.length === 0) return []
    const list = lost.map(({ count, loss }) => `${count} ${count === 1 ? LOSSES[loss].one : LOSSES[loss].many}`)
    return [`this format has no place for: ${list.join(", ")}`]
  }
}
