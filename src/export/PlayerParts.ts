/**
 * A session's output as the parts of a player (PlayerFormat.ts). It draws what it is given, so that each part begins with
 * the screen before it and a player can go to any moment by drawing one part. What the parts hold has passed the
 * screen's guard: text, and sequences that draw. No clipboard write, query or link of the output is in them, and of what
 * was typed nothing. It holds one part, the screen and the list of marks.
 */
import { deflateRawSync } from "node:zlib"
import type { JournalEntry, OutputChannel, SessionEvent, TerminalSize } from "../../journal/Event.ts"
import { type CommandReader, PromptCommands } from "../../projections/PromptMarks.ts"
import { Screen } from "../../projections/Screen.ts"
import { SCREEN_SCROLLBACK_LINES } from "../../projections/ScreenBounds.ts"
import { guard, makeScreenGuard, type ScreenGuard } from "../../projections/ScreenGuard.ts"
import { encodeSnapshot } from "../../projections/SnapshotCodec.ts"
import { escapeLines, escapeText } from "../SafeText.ts"
import type { RecordingOpening } from "../session/RecordedItems.ts"
import type { SessionView } from "../session/SessionView.ts"
import { describeCommand } from "./CommandOutcome.ts"
import {
  MARK_CHARACTERS_MAX,
  MARKS_MAX,
  PART_BYTES_MAX,
  PART_RECORDS_MAX,
  type PartHeader,
  type PlayerIndex,
  type PlayerMark,
  RecordWriter
} from "./PlayerFormat.ts"

const CR = 0x0d
const LF = 0x0a
const NOTHING = new Uint8Array(0)

type EventOf<Tag extends SessionEvent["_tag"]> = Extract<SessionEvent, { readonly _tag: Tag }>

export class PlayerParts {
  readonly #view: SessionView
  /** The screen where the journal begins, when its beginning was removed and that is known. */
  readonly #begun: RecordingOpening | undefined
  #screen: Screen | undefined
  #guard: ScreenGuard
  /** Where the first entry is; the times of all others are counted from it. */
  #startedAt: number | undefined
  #firstSize: TerminalSize
  #time = 0
  #sequence = 0
  readonly #writer = new RecordWriter()
  /** Of the part that is being written. */
  #header: PartHeader | undefined
  #keyframe: Uint8Array = NOTHING
  #recordTime = 0
  #recordSequence = 0
  /** Records of the parts before. */
  #records = 0
  readonly #parts: Array<readonly [number, number]> = []
  readonly #marks: Array<PlayerMark> = []
  #marksLeftOut = 0
  readonly #running = new Map<number, PlayerMark>()
  /** Commands of an interactive shell that marks its prompt. */
  readonly #prompts = new PromptCommands()
  readonly #reader: CommandReader
  /** Last byte of each stream of a command: a line feed that came with its carriage return needs no other. */
  readonly #lastBytes = new Map<OutputChannel, number>()
  #isLineOpen = false

  constructor(view: SessionView, begun: RecordingOpening | undefined) {
    this.#view = view
    this.#begun = begun
    this.#firstSize = begun?.size ?? view.size
    this.#guard = makeScreenGuard(this.#firstSize)
    this.#reader = {
      started: ({ line, number }) => this.#started(number, line),
      output: () => undefined,
      finished: ({ number }, exitCode) => {
        const mark = this.#running.get(number)
        this.#running.delete(number)
        if (mark === undefined || exitCode === null) return
        mark.outcome = `exit code ${exitCode}`
        mark.isGood = exitCode === 0
        mark.durationMicros = this.#time - mark.time
      }
    }
  }

  /** Takes an event; `emit` gets each part that is complete, as base64. */
  take({ event, sequence, timeMicros }: JournalEntry, emit: (part: string) => void): void {
    const at = event._tag === "EventsRemoved" ? event.lastTimeMicros : timeMicros
    this.#startedAt ??= at
    // Order is the sequence: a clock that was set back stands still here.
    this.#time = Math.max(this.#time, Math.round(at - this.#startedAt))
    const expected = this.#sequence + 1
    this.#sequence = sequence
    if (event._tag !== "EventsRemoved" && sequence !== expected) {
      this.#mark("gap", `events ${expected} to ${sequence - 1} are not in the journal any more`)
    }
    this.#event(event)
    if (this.#writer.outputBytes >= PART_BYTES_MAX || this.#writer.records >= PART_RECORDS_MAX) emit(this.#part())
  }

  /** The part that is not complete, if there is one, and the index. */
  end(notices: ReadonlyArray<string>): { readonly part: string | undefined; readonly index: string } {
    const part = this.#writer.records > 0 ? this.#part() : undefined
    this.#screen?.dispose()
    const index: PlayerIndex = {
      parts: this.#parts,
      records: this.#records,
      endTime: this.#time,
      startedAt: this.#startedAt ?? this.#view.createdAt,
      size: this.#firstSize,
      scrollback: SCREEN_SCROLLBACK_LINES,
      marks: this.#marks,
      marksLeftOut: this.#marksLeftOut,
      notices
    }
    return { part, index: packed(new TextEncoder().encode(JSON.stringify(index))) }
  }

  #event(event: SessionEvent): void {
    switch (event._tag) {
      case "OutputReceived":
        if (event.channel === "tty") {
          if (this.#view.kind === "terminal") this.#prompts.feed(event.data, this.#reader)
          this.#output(event.data)
        } else this.#lines(event.data, event.channel)
        break
      case "SessionCreated":
        this.#resize(event.size)
        break
      case "Resized":
        this.#resize(event.size)
        break
      case "CommandStarted":
        this.#begin(event)
        break
      case "CommandFinished": {
        const mark = this.#running.get(event.exec)
        this.#running.delete(event.exec)
        if (mark === undefined) break
        mark.outcome = escapeText(describeCommand(event))
        mark.isGood = event.status === "completed" && event.exitCode === 0
        mark.durationMicros = event.durationMicros
        break
      }
      case "MarkerSet":
        this.#mark("marker", event.label)
        break
      case "EventsRemoved": {
        const isDrawn = this.#begun !== undefined && this.#begun.data.length > 0
        const screen = isDrawn ? "" : "; what the screen showed then is not known"
        this.#mark("gap", `events ${event.from} to ${event.to} were removed (${event.policy})${screen}`)
        if (isDrawn) this.#output(this.#begun!.data)
        break
      }
      case "GapDetected":
        this.#mark("gap", `${event.what} ${event.from} to ${event.to ?? "?"} is missing: ${event.why}`)
        break
      case "SessionInterrupted":
        this.#mark("gap", `nobody recorded for a while: ${event.reason}`)
        break
      case "SessionResumed":
        this.#mark("gap", `recording goes on, ${event.gapBytes === 0 ? "no byte" : `${event.gapBytes} bytes`} missing`)
        break
      case "SessionLost":
        this.#mark("gap", `the session was lost: ${event.reason}`)
        break
      case "ShellRestarted":
        this.#mark("gap", `the shell was started again (${event.reason})`)
        break
    }
  }

  /** A shell's commands are not typed into a terminal: they are shown as if they were. */
  #begin({ code, exec }: EventOf<"CommandStarted">): void {
    this.#started(exec, code)
    this.#lastBytes.clear()
    const lines = escapeLines(code).trimEnd().replaceAll("\n", "\r\n  ")
    this.#output(new TextEncoder().encode(`${this.#isLineOpen ? "\r\n" : ""}\x1b[0;1m$ ${lines}\x1b[0m\r\n`))
  }

  /** One runs at a time. */
  #started(number: number, code: string): void {
    const mark = this.#mark("command", code)
    this.#running.clear()
    if (mark !== undefined) this.#running.set(number, mark)
  }

  /** The streams of a command are pipes: no terminal has put carriage returns into them. */
  #lines(data: Uint8Array, channel: OutputChannel): void {
    let feeds = 0
    for (let at = data.indexOf(LF); at !== -1; at = data.indexOf(LF, at + 1)) feeds++
    const bytes = new Uint8Array(data.length + feeds)
    let last = this.#lastBytes.get(channel) ?? 0
    let to = 0
    for (const byte of data) {
      if (byte === LF && last !== CR) bytes[to++] = CR
      bytes[to++] = byte
      last = byte
    }
    this.#lastBytes.set(channel, last)
    this.#output(bytes.subarray(0, to))
  }

  #output(data: Uint8Array): void {
    if (data.length === 0) return
    this.#isLineOpen = data[data.length - 1] !== LF
    const safe = guard(this.#guard, data)
    if (safe.length === 0) return
    this.#record()
    this.#writer.output(this.#micros(), this.#events(), safe)
    this.#screen!.feed(safe)
  }

  #resize(size: TerminalSize): void {
    this.#guard.size = size
    if (this.#records === 0 && this.#writer.records === 0) {
      this.#firstSize = size
      this.#screen?.dispose()
      this.#screen = undefined
      return
    }
    this.#record()
    this.#writer.size(this.#micros(), this.#events(), size)
    this.#screen!.resize(size)
  }

  /** Before each record: the first of a part begins with the screen as it is. */
  #record(): void {
    this.#screen ??= new Screen(this.#firstSize)
    if (this.#header !== undefined) return
    const isFirst = this.#records === 0
    // The sequence is counted up with the first record.
    this.#header = { time: this.#time, sequence: this.#recordSequence, size: this.#screen.size }
    this.#recordTime = this.#time
    this.#keyframe = isFirst ? NOTHING : (this.#screen.serialize() ?? NOTHING)
    this.#parts.push([this.#time, this.#records])
  }

  #micros(): number {
    const micros = this.#time - this.#recordTime
    this.#recordTime = this.#time
    return micros
  }

  #events(): number {
    const events = this.#sequence - this.#recordSequence
    this.#recordSequence = this.#sequence
    return events
  }

  #part(): string {
    this.#records += this.#writer.records
    const part = packed(encodeSnapshot(this.#header!, [this.#writer.take(), this.#keyframe]))
    this.#header = undefined
    this.#keyframe = NOTHING
    return part
  }

  #mark(kind: PlayerMark["kind"], text: string): PlayerMark | undefined {
    if (this.#marks.length >= MARKS_MAX) {
      this.#marksLeftOut++
      return undefined
    }
    // Cut before it is made safe, which can make it longer: no time is spent on what nobody sees.
    const isCut = text.length > MARK_CHARACTERS_MAX
    const mark: PlayerMark = {
      kind,
      time: this.#time,
      record: this.#records + this.#writer.records,
      text: `${escapeText(text.slice(0, MARK_CHARACTERS_MAX).trimEnd())}${isCut ? " …" : ""}`
    }
    this.#marks.push(mark)
    return mark
  }
}

const packed = (bytes: Uint8Array): string => deflateRawSync(bytes).toString("base64")
