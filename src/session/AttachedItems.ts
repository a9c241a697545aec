/**
 * A session's events as the items of one attached client: what `OutputItem` makes of them, in one pass over any number of
 * pages. It holds the end back: a session that was lost can be brought back to life, and then its stream goes on.
 */
import type { JournalEntry } from "../../journal/Event.ts"
import type { ReplayComplete } from "./Attach.ts"
import { type AttachedOutput, joinOutput, type OutputEnded, otherItem } from "./OutputItem.ts"

export class AttachedItems {
  /** The end, if the events so far end with one. */
  end: typeof OutputEnded.Type | undefined
  /** Last event taken, or what it began after: nothing up to there is taken again. */
  sequence: number
  #isSynced = false
  /** The session was lost and has another process: what the first one wrote meanwhile is not known. */
  #unseen: string | undefined

  constructor(after: number) {
    this.sequence = after
  }

  take(entries: ReadonlyArray<JournalEntry>): ReadonlyArray<AttachedOutput> {
    const items: Array<AttachedOutput> = []
    const last = entries[entries.length - 1]!.sequence
    const fresh = entries[0]!.sequence > this.sequence ? entries : entries.filter((one) => one.sequence > this.sequence)
    joinOutput(fresh, items, {
      isTaken: () => true,
      before: (entry) => this.#missing(entry),
      other: (entry) => this.#other(entry)
    })
    this.sequence = Math.max(this.sequence, last)
    return items
  }

  /** What the client missed was told. Once. */
  synced(): ReadonlyArray<typeof ReplayComplete.Type> {
    if (this.#isSynced) return []
    this.#isSynced = true
    return [{ _tag: "ReplayComplete", sequence: this.sequence }]
  }

  #missing({ event, sequence }: JournalEntry): AttachedOutput | undefined {
    const why = this.#unseen
    if (why === undefined || event._tag !== "OutputReceived") return undefined
    this.#unseen = undefined
    return { _tag: "Missing", from: event.offset, to: null, why, sequence: sequence - 1 }
  }

  #other(entry: JournalEntry): AttachedOutput | undefined {
    const { event, sequence } = entry
    switch (event._tag) {
      case "Resized":
        return { _tag: "Resized", size: event.size, sequence }
      case "ProcessStarted":
        if (this.end !== undefined) this.#unseen = `the session was lost: ${this.end.detail}`
        this.end = undefined
        return undefined
      case "SessionResumed":
        this.end = undefined
        return undefined
      default: {
        const item = otherItem(entry)
        if (item?._tag !== "Ended") return item
        this.end = item
        return undefined
      }
    }
  }
}
