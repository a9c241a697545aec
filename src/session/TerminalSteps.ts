/**
 * A session as one terminal shows it (TerminalItems.ts), as steps that a screen is drawn with: what a recording of it makes
 * a player show, without the recording. It is a fold over pages of events that can be copied at any place, so that
 * whoever keeps a screen of that place can go on from there. It holds no output but the beginning of a character.
 */
import type { JournalEntry, TerminalSize } from "../../journal/Event.ts"
import { ScreenSteps } from "../../projections/ScreenSteps.ts"
import type { ScreenStep } from "../../projections/ScreenWorker.ts"
import { RecordedItems } from "./RecordedItems.ts"
import type { SessionView } from "./SessionView.ts"
import { TerminalItems } from "./TerminalItems.ts"

export interface DrawnPage {
  /** Of the blank screen that it begins with, where the session does. */
  readonly size: TerminalSize | undefined
  readonly steps: ReadonlyArray<ScreenStep>
  readonly bytes: number
  /** The first event whose output can be to blame when drawing it fails. */
  readonly firstDrawn: number
}

export class TerminalSteps {
  readonly #view: Pick<SessionView, "size">
  #recorded: RecordedItems
  #terminal = new TerminalItems()
  #hasBegun = false
  /** Of the command that was begun last. */
  #command: string | undefined
  /** Of the last event. */
  #gap: string | undefined

  constructor(view: Pick<SessionView, "size">) {
    this.#view = view
    this.#recorded = new RecordedItems(view)
  }

  /** One that goes on from here by itself. */
  copy(): TerminalSteps {
    const copy = new TerminalSteps(this.#view)
    copy.#recorded = this.#recorded.copy()
    copy.#terminal = this.#terminal.copy()
    copy.#hasBegun = this.#hasBegun
    copy.#command = this.#command
    copy.#gap = this.#gap
    return copy
  }

  /**
   * What recordings say of the last event that something is missing there, or else of the last command: that it began, or
   * how it ended. On one line; undefined where there was neither.
   */
  get label(): string | undefined {
    return this.#gap ?? this.#command
  }

  /** Of events that follow those of the page before. */
  page(entries: ReadonlyArray<JournalEntry>): DrawnPage {
    const steps = new ScreenSteps()
    let size: TerminalSize | undefined
    let firstDrawn: number | undefined
    for (const entry of entries) {
      this.#gap = undefined
      for (const item of this.#terminal.page(this.#itemsOf(entry))) {
        if (item._tag === "Output") {
          firstDrawn ??= entry.sequence
          steps.output(item.data)
        } else if (item._tag === "Resize") {
          if (this.#hasBegun) steps.resize(item.size)
          else size = item.size
          this.#hasBegun = true
        } else if (item._tag === "Gap") {
          this.#gap = `gap: ${item.label}`
          // What was removed may have been commands.
          this.#command ??= this.#gap
        } else if (item._tag === "Marker" && entry.event._tag !== "MarkerSet") this.#command = item.label
      }
    }
    return { size, steps: steps.end(), bytes: steps.bytes, firstDrawn: firstDrawn ?? entries[0]!.sequence }
  }

  #itemsOf(entry: JournalEntry) {
    const items = this.#recorded.page([entry])
    // Nothing goes on behind it: what a recording has at its end is shown with it.
    return entry.event._tag === "SessionClosed" ? [...items, ...this.#recorded.end()] : items
  }
}
