/**
 * The commands of a session, whatever kind it is, for formats that show one after the other: those that were given to a shell
 * for commands, those of an interactive shell that marks its prompts (PromptCommands.ts), and of any other program the
 * program itself as the only one. A fold over the events, told to a sink in order. What is missing is told too.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, OutputChannel, SessionEvent } from "../../journal/Event.ts"
import { type PromptCommand, type PromptCommandEnd, PromptCommands } from "../../projections/PromptCommands.ts"
import { commandOf } from "../SafeText.ts"
import type { SessionView } from "../session/SessionView.ts"
import type { ExportError, ExportFold, ExportSource } from "./ExportFormat.ts"
import { wholeMillis } from "./ExportTime.ts"

export interface CommandRow {
  readonly number: number
  /** Microseconds since 1970; null: its beginning is not in the journal any more. */
  readonly startedAt: number | null
  /** It may become known until there is output. */
  readonly text: string
  readonly cwd: string
  /** given: to a shell for commands. reported, echo: as PromptCommand has it. session: it is the session's program. */
  readonly textFrom: "given" | "reported" | "echo" | "session"
  readonly textCut: boolean
  /** It wrote to the clipboard; told of a marked shell's commands. Complete at its end. */
  readonly clipboard: boolean
}

export interface CommandOutcome {
  /** As CommandFinished has it, or the session's; `running` too. */
  readonly status: string
  readonly exitCode: number | null
  readonly exitCodeDoubtful: boolean
  readonly signal: string | null
  readonly durationMillis: number | null
  readonly outputBytes: number
}

export interface MissingPart {
  readonly timeMicros: number
  /** In words, on one line. */
  readonly text: string
}

/** One command is open at a time; `ended` may come long after its end, since processes it left go on printing. */
export interface CommandRowsSink {
  began(row: CommandRow): void
  /** Of the open one. */
  output(channel: OutputChannel, data: Uint8Array): void
  ended(row: CommandRow, outcome: CommandOutcome): void
  missing(part: MissingPart): void
}

/** Where the commands of a session are found. */
export type CommandKind = "given" | "marked" | "session"

/** Reads a terminal session up to its first mark. */
export const commandKindOf = ({ events, view }: ExportSource): Effect.Effect<CommandKind, ExportError> => {
  if (view.kind === "exec") return Effect.succeed("given")
  return Effect.suspend(() => {
    let isMarked = false
    const commands = new PromptCommands({
      started: () => {
        isMarked = true
      },
      output: () => undefined,
      ended: () => undefined
    })
    return Stream.chunks(events).pipe(
      Stream.takeUntil((entries) => {
        for (const entry of entries) commands.take(entry)
        return isMarked
      }),
      Stream.runDrain,
      Effect.map(() => (isMarked ? "marked" : "session"))
    )
  })
}

/** What is told of one session; `end` when there are no more events. */
export interface CommandRows {
  take(entry: JournalEntry): void
  end(): void
}

/** A fold that gives each page to the rows. `taken`: what their sink made of it since it was asked last. */
export const foldOf = (rows: CommandRows, taken: () => string): ExportFold => ({
  page: (entries) => {
    for (const entry of entries) rows.take(entry)
    return taken()
  },
  end: () => {
    rows.end()
    return taken()
  }
})

export const commandRows = (kind: CommandKind, view: SessionView, sink: CommandRowsSink): CommandRows => {
  const rows =
    kind === "given"
      ? new GivenCommands(view, sink)
      : kind === "marked"
        ? new MarkedCommands(view, sink)
        : new SessionProgram(view, sink)
  let sequence = 0
  return {
    take: (entry) => {
      const parts = missingParts(entry, sequence)
      sequence = entry.sequence
      if (parts.length > 0) rows.settle()
      for (const part of parts) sink.missing(part)
      rows.take(entry)
    },
    end: () => rows.end()
  }
}

interface Rows extends CommandRows {
  /** Tells of a command that has ended and is held only for output that may follow. */
  settle(): void
}

type EventOf<Tag extends SessionEvent["_tag"]> = Extract<SessionEvent, { readonly _tag: Tag }>

/** What is missing before the event, and what it says to be. */
const missingParts = ({ event, sequence, timeMicros }: JournalEntry, before: number): ReadonlyArray<MissingPart> => {
  if (event._tag === "EventsRemoved") {
    const text = `events ${event.from} to ${event.to} were removed: ${event.policy}`
    return [{ timeMicros: event.lastTimeMicros, text }]
  }
  const texts: Array<string> = []
  if (sequence !== before + 1) texts.push(`events ${before + 1} to ${sequence - 1} are not in the journal any more`)
  if (event._tag === "GapDetected")
    texts.push(`${event.what} ${event.from} to ${event.to ?? "?"} is missing: ${event.why}`)
  if (event._tag === "SessionLost") texts.push(`the session was lost: ${event.reason}`)
  return texts.map((text) => ({ timeMicros, text }))
}

const unseen = (view: SessionView): Omit<CommandOutcome, "outputBytes"> => ({
  status: view.status === "running" ? "running" : "lost",
  exitCode: null,
  exitCodeDoubtful: false,
  signal: null,
  durationMillis: null
})

class GivenCommands implements Rows {
  readonly #view: SessionView
  readonly #sink: CommandRowsSink
  #shellCwd = ""
  /** The last command that was started: it waits for output that comes after its end, until the next one starts. */
  #open:
    | {
        readonly row: CommandRow
        readonly isTty: boolean
        outputBytes: number
        outcome: Omit<CommandOutcome, "outputBytes"> | undefined
      }
    | undefined

  constructor(view: SessionView, sink: CommandRowsSink) {
    this.#view = view
    this.#sink = sink
  }

  take({ event, timeMicros }: JournalEntry): void {
    switch (event._tag) {
      case "SessionCreated":
        this.#shellCwd = event.cwd
        return
      case "CommandStarted":
        // One runs at a time: the end of one that has none here was not seen.
        this.#flush("lost")
        this.#begin(event.exec, timeMicros, event)
        return
      case "OutputReceived":
        this.#output(event)
        return
      case "CommandFinished": {
        if (this.#open?.row.number !== event.exec) {
          // Its beginning is not in the journal any more.
          this.#flush("lost")
          this.#begin(event.exec, null, { code: "", tty: false })
        }
        const { exitCode, signal, status } = event
        const durationMillis = wholeMillis(event.durationMicros)
        if (this.#open !== undefined)
          this.#open.outcome = { status, exitCode, exitCodeDoubtful: false, signal, durationMillis }
        if (event.cwd !== "") this.#shellCwd = event.cwd
        return
      }
      case "ShellRestarted":
        this.#shellCwd = event.restored.cwd ?? this.#shellCwd
    }
  }

  settle(): void {
    if (this.#open?.outcome !== undefined) this.#flush("lost")
  }

  end(): void {
    this.#flush(this.#view.status === "running" ? "running" : "lost")
  }

  #begin(
    number: number,
    startedAt: number | null,
    { code, cwd, tty }: Pick<EventOf<"CommandStarted">, "code" | "cwd" | "tty">
  ): void {
    const row: CommandRow = {
      number,
      startedAt,
      text: code,
      cwd: cwd ?? this.#shellCwd,
      textFrom: "given",
      textCut: false,
      clipboard: false
    }
    this.#open = { row, isTty: tty, outputBytes: 0, outcome: undefined }
    this.#sink.began(row)
  }

  #output({ channel, data, exec }: EventOf<"OutputReceived">): void {
    const open = this.#open
    if (open === undefined) return
    if (channel === "tty" ? !open.isTty || open.outcome !== undefined : exec !== open.row.number) return
    open.outputBytes += data.length
    this.#sink.output(channel, data)
  }

  /** `status` of a command whose end is in no event. */
  #flush(status: string): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    const outcome = open.outcome ?? { ...unseen(this.#view), status }
    this.#sink.ended(open.row, { ...outcome, outputBytes: open.outputBytes })
  }
}

class MarkedCommands implements Rows {
  readonly #view: SessionView
  readonly #sink: CommandRowsSink
  readonly #commands: PromptCommands
  #row: MarkedRow | undefined

  constructor(view: SessionView, sink: CommandRowsSink) {
    this.#view = view
    this.#sink = sink
    this.#commands = new PromptCommands({
      started: (command) => {
        this.#row = new MarkedRow(command)
        sink.began(this.#row)
      },
      output: (data) => sink.output("tty", data),
      ended: (end) => this.#ended(end)
    })
  }

  take(entry: JournalEntry): void {
    this.#commands.take(entry)
  }

  settle(): void {}

  end(): void {
    if (this.#row === undefined) return
    const outputBytes = this.#commands.running?.outputBytes ?? 0
    this.#sink.ended(this.#row, { ...unseen(this.#view), outputBytes })
  }

  #ended({ endedAt, exitCode, exitCodeDoubtful, outputBytes, signal, status }: PromptCommandEnd): void {
    const row = this.#row
    if (row === undefined) return
    this.#row = undefined
    const durationMillis = status === "lost" ? null : Math.max(0, wholeMillis(endedAt - row.startedAt))
    this.#sink.ended(row, { status, exitCode, exitCodeDoubtful, signal, durationMillis, outputBytes })
  }
}

class MarkedRow implements CommandRow {
  readonly #command: PromptCommand

  constructor(command: PromptCommand) {
    this.#command = command
  }

  get number() {
    return this.#command.number
  }
  get startedAt() {
    return this.#command.startedAt
  }
  get text() {
    return this.#command.text
  }
  get cwd() {
    return this.#command.cwd
  }
  get textFrom() {
    return this.#command.textFrom
  }
  get textCut() {
    return this.#command.textCut
  }
  get clipboard() {
    return this.#command.clipboard
  }
}

class SessionProgram implements Rows {
  readonly #view: SessionView
  readonly #sink: CommandRowsSink
  #row: CommandRow | undefined
  #outputBytes = 0

  constructor(view: SessionView, sink: CommandRowsSink) {
    this.#view = view
    this.#sink = sink
  }

  take({ event }: JournalEntry): void {
    if (event._tag !== "OutputReceived" || event.channel !== "tty") return
    this.#begin()
    this.#outputBytes += event.data.length
    this.#sink.output("tty", event.data)
  }

  settle(): void {}

  end(): void {
    const { createdAt, endedAt, exitCode, signal, startedAt, status } = this.#view
    this.#sink.ended(this.#begin(), {
      status,
      exitCode,
      exitCodeDoubtful: false,
      signal,
      durationMillis: endedAt === null ? null : wholeMillis(endedAt - (startedAt ?? createdAt)),
      outputBytes: this.#outputBytes
    })
  }

  /** Behind what is told to be missing before it. */
  #begin(): CommandRow {
    if (this.#row !== undefined) return this.#row
    const { createdAt, cwd, startedAt } = this.#view
    this.#row = {
      number: 1,
      startedAt: startedAt ?? createdAt,
      text: commandOf(this.#view),
      cwd,
      textFrom: "session",
      textCut: false,
      clipboard: false
    }
    this.#sink.began(this.#row)
    return this.#row
  }
}
