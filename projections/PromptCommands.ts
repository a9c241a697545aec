/**
 * The commands of an interactive shell that marks its prompts (ShellMark.ts): a fold over a session's events from the first on,
 * which tells a sink as a command begins, prints and ends. Exports use it. What it knows a program could have printed: it is
 * shown, and nothing is decided by it. It invents no outcome: an exit code is what the shell said, else unknown.
 *
 * A mark that fits nowhere is passed over: an end without a beginning, a second beginning, a command line that is empty.
 * A new prompt ends a command whose shell did not; a shell that ends while one runs ended in it (`exit`, `exec`).
 */
import type { JournalEntry, SessionEvent, SessionId } from "../journal/Event.ts"
import { makeOscScanner, scanOsc } from "./OscScanner.ts"
import { feedPlainText, makePlainText, openLine } from "./PlainText.ts"
import { parseShellMark, type ShellMark } from "./ShellMark.ts"
import { noteReport, WorkingDirectory } from "./WorkingDirectory.ts"

/** Bytes of one OSC that are read: command lines are in them, and this is longer than nearly all that are typed. */
const PAYLOAD_BYTES_MAX = 64 * 1024
/** Bytes of an input's echo that a command line is read from where the shell tells none. */
const ECHO_BYTES_MAX = 16 * 1024

export interface PromptCommand {
  /** From 1, as far as the journal goes back. */
  readonly number: number
  /** What was typed, as far as it is known. It may be told a moment after the beginning, before there is output. */
  text: string
  /** reported: the shell said it. echo: read from what was typed on the screen. */
  textFrom: "reported" | "echo"
  /** It came with the session's nonce: no other program can have said it. */
  trusted: boolean
  /** Only the beginning of the text is here. */
  textCut: boolean
  /** Of the shell when it began. */
  readonly cwd: string
  /** Microseconds since 1970, and the event. */
  readonly startedAt: number
  readonly sequence: number
  /** It wrote to the clipboard (OSC 52), where secrets are. */
  clipboard: boolean
}

export interface PromptCommandEnd {
  /**
   * completed: the shell said so, or asked for the next. exited: the shell ended in it. died: a signal ended the shell, or the
   * session was ended. lost: nobody saw its end.
   */
  readonly status: "completed" | "exited" | "died" | "lost"
  /** null: not known. */
  readonly exitCode: number | null
  /** The shell is known to say 0 whatever happened. */
  readonly exitCodeDoubtful: boolean
  readonly signal: string | null
  /** Bytes of the terminal between beginning and end. */
  readonly outputBytes: number
  readonly endedAt: number
  readonly sequence: number
}

/** Told in order; one command runs at a time. The bytes are valid during the call. */
export interface PromptCommandSink {
  started(command: PromptCommand): void
  /** In pieces; sequences of the terminal are in it, and of the mark that ends it a part may be. */
  output(data: Uint8Array): void
  ended(end: PromptCommandEnd): void
}

export interface PromptCommandsOptions {
  /** The secret that the shell was given to sign its command lines with (OSC 633;E). */
  readonly nonce?: string
}

type EventOf<Tag extends SessionEvent["_tag"]> = Extract<SessionEvent, { readonly _tag: Tag }>

export class PromptCommands {
  readonly #sink: PromptCommandSink
  readonly #nonce: string | undefined
  readonly #scanner = makeOscScanner(PAYLOAD_BYTES_MAX)
  #directory = WorkingDirectory.initial("" as SessionId)
  #isExitCodeDoubtful = false
  #number = 0
  #running: PromptCommand | undefined
  /** Bytes of the terminal before the running command's output, and up to the last event. */
  #outputFrom = 0
  #outputTo = 0
  /** What the shell said that it runs next. */
  #told: { text: string; readonly trusted: boolean; readonly cut: boolean } | undefined
  /** Echo of the input since its prompt ended; undefined while nothing is typed. */
  #echo: EchoedInput | undefined

  constructor(sink: PromptCommandSink, options: PromptCommandsOptions = {}) {
    this.#sink = sink
    this.#nonce = options.nonce
  }

  /** The command that has not ended, and the bytes of its output so far. */
  get running(): { readonly command: PromptCommand; readonly outputBytes: number } | undefined {
    return this.#running === undefined
      ? undefined
      : { command: this.#running, outputBytes: Math.max(0, this.#outputTo - this.#outputFrom) }
  }

  take(entry: JournalEntry): void {
    const { event } = entry
    if (event._tag === "OutputReceived") {
      if (event.channel === "tty") this.#output(event, entry)
      return
    }
    this.#directory = WorkingDirectory.fold(this.#directory, entry)
    switch (event._tag) {
      case "SessionCreated":
        this.#isExitCodeDoubtful = saysAlwaysZero(event)
        return
      case "LeaderExited":
      case "SessionClosed": {
        const wasExit = event.signal === null && !(event._tag === "SessionClosed" && event.reason === "ended")
        this.#end(entry, wasExit ? "exited" : "died", event.exitCode, event.signal)
        return
      }
      case "SessionLost":
      case "ProcessStarted":
        this.#end(entry, "lost")
    }
  }

  #output({ data, offset }: EventOf<"OutputReceived">, entry: JournalEntry): void {
    let from = 0
    this.#outputTo = offset + data.length
    scanOsc(this.#scanner, data, (payload, truncated, begun, to) => {
      const mark = parseShellMark(payload, this.#nonce)
      if (mark !== undefined) {
        this.#text(data.subarray(from, to), entry, offset + from)
        from = to
        this.#mark(mark, truncated, entry, offset + begun, offset + to)
      } else if (payload[0] === 0x35 && payload[1] === 0x32 && payload[2] === 0x3b) {
        if (this.#running !== undefined) this.#running.clipboard = true
      } else if (!truncated) noteReport(this.#directory, payload, entry.sequence)
    })
    if (from < data.length) this.#text(data.subarray(from), entry, offset + from)
  }

  /** What stands between two marks, the second of them included. */
  #text(data: Uint8Array, entry: JournalEntry, offset: number): void {
    if (this.#running !== undefined) {
      this.#sink.output(data)
      return
    }
    const echo = this.#echo
    if (echo === undefined) return
    const lineEnd = echo.oneLine ? data.indexOf(0x0a) : -1
    echo.feed(lineEnd === -1 ? data : data.subarray(0, lineEnd))
    if (lineEnd === -1) return
    this.#start(null, entry, offset + lineEnd + 1)
    this.#text(data.subarray(lineEnd + 1), entry, offset + lineEnd + 1)
  }

  #mark(mark: ShellMark, truncated: boolean, entry: JournalEntry, begun: number, to: number): void {
    switch (mark._tag) {
      case "PromptStarted":
        if (mark.secondary) this.#echo?.pause()
        else {
          this.#end(entry, "completed", null, null, begun)
          this.#echo = undefined
          // A line that was told for a command that did not follow is not the next one's.
          this.#told = undefined
        }
        return
      case "InputStarted":
        if (this.#echo?.isPaused === true) this.#echo.resume()
        else {
          this.#end(entry, "completed", null, null, begun)
          this.#echo = new EchoedInput(mark.oneLine)
        }
        return
      case "CommandLineTold": {
        const running = this.#running
        if (running === undefined) this.#told = { text: mark.text, trusted: mark.trusted, cut: truncated }
        else if (running.textFrom === "echo" && mark.text !== "") {
          running.text = mark.text
          running.textFrom = "reported"
          running.textCut = truncated
          running.trusted = mark.trusted
        }
        return
      }
      case "OutputStarted":
        if (this.#running === undefined) this.#start(mark.text, entry, to, truncated)
        return
      case "CommandEnded":
        this.#end(entry, "completed", mark.exitCode, null, begun)
        this.#told = undefined
        this.#echo = undefined
    }
  }

  #start(text: string | null, { sequence, timeMicros }: JournalEntry, outputFrom: number, cut = false): void {
    const told = text === null ? this.#told : { text, trusted: false, cut }
    const echo = this.#echo
    this.#told = undefined
    this.#echo = undefined
    // Nothing was typed, and the shell says so.
    if (told !== undefined && told.text.trim() === "") return
    const command: PromptCommand = {
      number: ++this.#number,
      text: told?.text ?? echo?.text() ?? "",
      textFrom: told === undefined ? "echo" : "reported",
      trusted: told?.trusted ?? false,
      textCut: told?.cut ?? echo?.isCut ?? false,
      cwd: this.#directory.cwd,
      startedAt: timeMicros,
      sequence,
      clipboard: false
    }
    this.#running = command
    this.#outputFrom = outputFrom
    this.#sink.started(command)
  }

  #end(
    { sequence, timeMicros }: JournalEntry,
    status: PromptCommandEnd["status"],
    exitCode: number | null = null,
    signal: string | null = null,
    outputTo?: number
  ): void {
    if (this.#running === undefined) return
    this.#running = undefined
    this.#sink.ended({
      status,
      exitCode,
      exitCodeDoubtful: this.#isExitCodeDoubtful && status === "completed" && exitCode === 0,
      signal,
      outputBytes: Math.max(0, (outputTo ?? this.#outputTo) - this.#outputFrom),
      endedAt: timeMicros,
      sequence
    })
  }
}

/** The integration of Ghostty 1.3 for bash gives 0 at the end of every command. What says otherwise is true. */
const saysAlwaysZero = ({ argv, envNames, term }: EventOf<"SessionCreated">): boolean =>
  /(?:^|\/)bash$/.test(argv[0] ?? "") &&
  (term === "xterm-ghostty" || envNames.some((name) => name.startsWith("GHOSTTY_")))

/** What the terminal showed while a command was typed, without the prompts in the middle of it. */
class EchoedInput {
  readonly oneLine: boolean
  readonly #bytes = new Uint8Array(ECHO_BYTES_MAX)
  #length = 0
  #isCut = false
  /** Length before the secondary prompt that is being shown. */
  #pausedAt: number | undefined

  constructor(oneLine: boolean) {
    this.oneLine = oneLine
  }

  get isPaused(): boolean {
    return this.#pausedAt !== undefined
  }

  get isCut(): boolean {
    return this.#isCut
  }

  feed(data: Uint8Array): void {
    const kept = data.subarray(0, ECHO_BYTES_MAX - this.#length)
    this.#bytes.set(kept, this.#length)
    this.#length += kept.length
    if (kept.length < data.length) this.#isCut = true
  }

  /** A prompt without a known end stays: what follows it may be typed. */
  pause(): void {
    this.#pausedAt ??= this.#length
  }

  resume(): void {
    this.#length = this.#pausedAt ?? this.#length
    this.#pausedAt = undefined
  }

  text(): string {
    const text = makePlainText()
    const lines: Array<string> = []
    feedPlainText(text, this.#bytes.subarray(0, this.#length), (line) => lines.push(line))
    lines.push(openLine(text))
    return lines.join("\n").trim()
  }
}
