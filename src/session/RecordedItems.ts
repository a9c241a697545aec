/**
 * What a recording of a session holds, whatever its format: output, input, sizes, markers, gaps and the end, in the order
 * of the journal, with times that never go back. A fold over pages of events; every recording format begins with it. It
 * holds one page at a time, knows no format, and never decodes a byte.
 *
 * Commands of a shell stay what they are here, with their own streams: TerminalItems.ts puts them on the one terminal that
 * most formats know.
 */
import { constants } from "node:os"
import type { JournalEntry, OutputChannel, SessionEvent, TerminalSize } from "../../journal/Event.ts"
import { escapeText } from "../SafeText.ts"
import type { SessionView } from "./SessionView.ts"

/** Microseconds since 1970; never less than that of the item before. */
interface Timed {
  readonly timeMicros: number
}

export interface RecordedOutput extends Timed {
  readonly _tag: "Output"
  readonly channel: OutputChannel
  /** The command whose stream it is; 0 for the terminal. */
  readonly exec: number
  /** As the program wrote it: a character may be cut anywhere. */
  readonly data: Uint8Array
}

export type RecordedItem =
  | RecordedOutput
  /** Typed into the terminal (`exec` 0), or the standard input of a command. */
  | (Timed & { readonly _tag: "Input"; readonly exec: number; readonly data: Uint8Array })
  /** Something was typed that is not kept, and not counted: a secret. */
  | (Timed & { readonly _tag: "HiddenInput" })
  /** The first one is the size that the recording begins with, and nothing stands before it. */
  | (Timed & { readonly _tag: "Resize"; readonly size: TerminalSize })
  | (Timed & { readonly _tag: "Marker"; readonly label: string })
  /** Something is missing here, or nobody recorded for a while: in words, on one line. */
  | (Timed & { readonly _tag: "Gap"; readonly label: string })
  | (Timed & { readonly _tag: "CommandBegan"; readonly exec: number; readonly code: string })
  | (Timed & {
      readonly _tag: "CommandEnded"
      readonly exec: number
      readonly status: string
      readonly exitCode: number | null
      readonly signal: string | null
    })
  /** At most one, and the last item. Both null: how it ended is not known. */
  | (Timed & { readonly _tag: "Exit"; readonly exitCode: number | null; readonly signal: string | null })

/** What the terminal showed where a recording begins whose first events are not in the journal any more. */
export interface RecordingOpening {
  readonly size: TerminalSize
  /** Draws it on an empty terminal of this size; may be empty. */
  readonly data: Uint8Array
}

/** A shell's way to tell an end as one number; undefined where it is not known. */
export const exitStatus = ({
  exitCode,
  signal
}: {
  readonly exitCode: number | null
  readonly signal: string | null
}): number | undefined => {
  if (signal === null) return exitCode ?? undefined
  const number = (constants.signals as Readonly<Record<string, number>>)[signal]
  return number === undefined ? undefined : 128 + number
}

type ExitItem = Extract<RecordedItem, { readonly _tag: "Exit" }>

export class RecordedItems {
  readonly #opening: RecordingOpening
  #items: Array<RecordedItem> = []
  #sequence = 0
  #timeMicros = Number.NEGATIVE_INFINITY
  #hasBegun = false
  /** How the program ended, while nothing says that the session went on. */
  #exit: ExitItem | undefined

  /** `opening` is for a session of which the beginning was removed; the others begin with the size they were made with. */
  constructor(view: Pick<SessionView, "size">, opening?: RecordingOpening) {
    this.#opening = opening ?? { size: view.size, data: new Uint8Array(0) }
  }

  /** One that goes on from here by itself. */
  copy(): RecordedItems {
    const copy = new RecordedItems(this.#opening, this.#opening)
    copy.#sequence = this.#sequence
    copy.#timeMicros = this.#timeMicros
    copy.#hasBegun = this.#hasBegun
    copy.#exit = this.#exit
    return copy
  }

  /** The items of the next page. */
  page(entries: ReadonlyArray<JournalEntry>): ReadonlyArray<RecordedItem> {
    for (const entry of entries) this.#entry(entry)
    return this.#taken()
  }

  /** The items behind the last page. */
  end(): ReadonlyArray<RecordedItem> {
    if (this.#exit !== undefined) this.#items.push({ ...this.#exit, timeMicros: this.#timeMicros })
    this.#exit = undefined
    return this.#taken()
  }

  #taken(): ReadonlyArray<RecordedItem> {
    const items = this.#items
    this.#items = []
    return items
  }

  #entry({ event, sequence, timeMicros }: JournalEntry): void {
    // What was removed is told with the time of the removal, which is later than all that follows.
    const time = event._tag === "EventsRemoved" ? event.lastTimeMicros : timeMicros
    // Order is the sequence: a clock that was set back must not turn it around.
    if (time > this.#timeMicros) this.#timeMicros = time
    if (!this.#hasBegun) {
      this.#hasBegun = true
      this.#items.push({
        _tag: "Resize",
        timeMicros: this.#timeMicros,
        size: event._tag === "SessionCreated" ? event.size : this.#opening.size
      })
    }
    if (sequence !== this.#sequence + 1 && event._tag !== "EventsRemoved") {
      this.#gap(`events ${this.#sequence + 1} to ${sequence - 1} are not in the journal any more`)
    }
    this.#sequence = sequence
    this.#event(event)
  }

  #event(event: SessionEvent): void {
    const timeMicros = this.#timeMicros
    switch (event._tag) {
      case "OutputReceived":
        this.#output(event.channel, event.exec, event.data)
        break
      case "InputWritten":
        this.#items.push({ _tag: "Input", timeMicros, exec: 0, data: event.data })
        break
      case "CommandInputWritten":
        if (event.base64 !== "") {
          this.#items.push({ _tag: "Input", timeMicros, exec: event.exec, data: Buffer.from(event.base64, "base64") })
        }
        break
      case "InputHidden":
        this.#items.push({ _tag: "HiddenInput", timeMicros })
        break
      case "Resized":
        this.#items.push({ _tag: "Resize", timeMicros, size: event.size })
        break
      case "MarkerSet":
        this.#items.push({ _tag: "Marker", timeMicros, label: event.label })
        break
      case "EventsRemoved":
        this.#gap(`events ${event.from} to ${event.to} were removed: ${event.policy}`)
        this.#output("tty", 0, this.#opening.data)
        break
      case "GapDetected":
        this.#gap(`${event.what} ${event.from} to ${event.to ?? "?"} is missing: ${event.why}`)
        break
      case "SessionInterrupted":
        this.#gap(`nobody recorded for a while: ${event.reason}`)
        break
      case "SessionResumed":
        this.#exit = undefined
        this.#gap(`recording goes on, ${event.gapBytes === 0 ? "no byte" : `${event.gapBytes} bytes`} missing`)
        break
      case "SessionLost":
        this.#gap(`the session was lost: ${event.reason}`)
        break
      case "CommandStarted":
        this.#items.push({ _tag: "CommandBegan", timeMicros, exec: event.exec, code: event.code })
        break
      case "CommandFinished": {
        const { exec, exitCode, signal, status } = event
        this.#items.push({ _tag: "CommandEnded", timeMicros, exec, status, exitCode, signal })
        break
      }
      case "ShellRestarted":
        this.#exit = undefined
        this.#gap(`the shell was started again (${event.reason})`)
        break
      case "ProcessStarted":
        this.#exit = undefined
        break
      case "LeaderExited":
      case "SessionClosed":
        this.#exit = { _tag: "Exit", timeMicros, exitCode: event.exitCode, signal: event.signal }
        break
    }
  }

  #output(channel: OutputChannel, exec: number, data: Uint8Array): void {
    if (data.length > 0) this.#items.push({ _tag: "Output", timeMicros: this.#timeMicros, channel, exec, data })
  }

  #gap(label: string): void {
    this.#items.push({ _tag: "Gap", timeMicros: this.#timeMicros, label: escapeText(label) })
  }
}
