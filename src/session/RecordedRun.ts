/**
 * One run as the journal tells it: a whole session, or one command of its shell. What it printed as plain lines, how it
 * ended, how long it took, where. Comparing runs is made of it. It reads History and changes nothing; of output that is
 * too long it keeps the beginning, and a digest of all.
 */
import { createHash } from "node:crypto"
import { Effect, Stream } from "effect"
import type { JournalEntry, SessionId, TerminalSize } from "../../journal/Event.ts"
import { feedPlainText, makePlainText, openLine } from "../../projections/PlainText.ts"
import { PromptCommands } from "../../projections/PromptMarks.ts"
import { History } from "./History.ts"
import { withinPatternTime } from "./PatternTime.ts"
import { InvalidRequest } from "./SessionError.ts"

/** Lines and characters of one run that are kept: more than anybody reads, and two runs fit a process comfortably. */
const RUN_LINES_MAX = 200_000
const RUN_CHARACTERS_MAX = 32 * 1024 * 1024

export interface RunLines {
  /** output: the terminal, also for a whole session. stdout, stderr: of a command of a shell for commands. */
  readonly name: "output" | "stdout" | "stderr"
  /** Without escape sequences and without what full-screen programs draw. */
  readonly lines: ReadonlyArray<string>
  /** Of all, also those that were not kept. */
  readonly lineCount: number
  readonly bytes: number
  /** Hex SHA-256 over all lines. */
  readonly sha256: string
}

export interface RecordedRun {
  readonly session: SessionId
  /** null: the whole session. */
  readonly number: number | null
  /** As it was typed or given. */
  readonly command: string
  /** It has not ended, or nobody saw its end. */
  readonly isOpen: boolean
  readonly exitCode: number | null
  readonly signal: string | null
  readonly durationMicros: number | null
  /** Where a command began; where a session is, or was in the end. */
  readonly cwd: string
  readonly size: TerminalSize
  readonly streams: ReadonlyArray<RunLines>
  /** The beginning of the session's history was removed. */
  readonly isBeginningRemoved: boolean
}

/** Plain lines of one stream, bounded. */
class LineKeeper {
  readonly #text = makePlainText()
  readonly #lines: Array<string> = []
  readonly #digest = createHash("sha256")
  readonly #key: (line: string) => string
  readonly #linesMax: number
  #count = 0
  #characters = 0
  bytes = 0

  constructor(key: (line: string) => string, linesMax: number) {
    this.#key = key
    this.#linesMax = linesMax
  }

  feed(data: Uint8Array): void {
    this.bytes += data.length
    feedPlainText(this.#text, data, (line) => this.add(line))
  }

  add(line: string): void {
    this.#count += 1
    this.#digest.update(this.#key(line)).update("\n")
    if (this.#lines.length >= this.#linesMax || this.#characters + line.length > RUN_CHARACTERS_MAX) return
    this.#characters += line.length
    this.#lines.push(line)
  }

  end(name: RunLines["name"]): RunLines {
    const open = openLine(this.#text)
    if (open !== "") this.add(open)
    return {
      name,
      lines: this.#lines,
      lineCount: this.#count,
      bytes: this.bytes,
      sha256: this.#digest.digest("hex")
    }
  }
}

export interface RunOptions {
  /** What of a line counts; the digest is of that. All of it if absent. InvalidRequest when it takes too long. */
  readonly key?: ((line: string) => string) | undefined
  /** Lines that are kept; RUN_LINES_MAX if absent. */
  readonly linesMax?: number | undefined
}

/** Reads a run: the command of a number, or the whole session. A number that is not there fails with InvalidRequest. */
export const readRun = Effect.fnUntraced(function* (
  session: SessionId,
  number: number | null,
  { key, linesMax = RUN_LINES_MAX }: RunOptions = {}
) {
  const history = yield* History
  const timed = <A>(work: () => A) => (key === undefined ? Effect.sync(work) : withinPatternTime("ignore", work))
  const view = yield* history.get(session)
  const run = new RunReader(view.kind === "exec", number, () => new LineKeeper(key ?? ((line) => line), linesMax))
  yield* history.events(session, { until: view.sequence }).pipe(
    Stream.chunks,
    Stream.runForEachWhile((entries) =>
      timed(() => {
        for (const entry of entries) run.feed(entry)
        return !run.isComplete
      })
    )
  )
  const result = timed(() => run.result(session))
  if (number === null) {
    const ended = view.endedAt ?? null
    return {
      ...(yield* result),
      command: view.argv.join(" "),
      isOpen: ended === null,
      exitCode: view.exitCode,
      signal: view.signal,
      durationMicros: ended === null ? null : ended - view.createdAt,
      cwd: view.cwd,
      size: view.size
    } satisfies RecordedRun
  }
  const begun = run.begun
  if (begun === undefined) {
    const reason =
      view.kind === "exec"
        ? `session ${session} has no command ${number}; \`reprise history\` lists them`
        : `session ${session} has no command ${number}, or its shell does not mark its prompt (OSC 133)`
    return yield* new InvalidRequest({ field: "command", reason })
  }
  const { view: then } = yield* history.stateAt(session, { _tag: "Sequence", sequence: begun })
  return { ...(yield* result), cwd: then.cwd, size: then.size } satisfies RecordedRun
})

class RunReader {
  readonly #isExec: boolean
  readonly #number: number | null
  readonly #prompts = new PromptCommands()
  readonly #keepers: Readonly<Record<RunLines["name"], LineKeeper>>
  #removed = false
  #command = ""
  #startedAt = 0
  #tty: { readonly from: number; to: number } | undefined
  #expected: { readonly stdout: number; readonly stderr: number } | undefined
  #ended: { exitCode: number | null; signal: string | null; durationMicros: number; isLost: boolean } | undefined
  /** First event of the command. */
  begun: number | undefined

  constructor(isExec: boolean, number: number | null, keeper: () => LineKeeper) {
    this.#isExec = isExec
    this.#number = number
    this.#keepers = { output: keeper(), stdout: keeper(), stderr: keeper() }
  }

  /** Nothing more of it can come. */
  get isComplete(): boolean {
    if (this.#number === null || this.#ended === undefined) return false
    const { stderr, stdout } = this.#keepers
    return (
      this.#expected === undefined || (stdout.bytes >= this.#expected.stdout && stderr.bytes >= this.#expected.stderr)
    )
  }

  feed(entry: JournalEntry): void {
    if (entry.event._tag === "EventsRemoved") this.#removed = true
    if (this.#number === null) this.#feedSession(entry)
    else if (this.#isExec) this.#feedCommand(entry, this.#number)
    else this.#feedMarked(entry, this.#number)
  }

  #feedSession({ event }: JournalEntry): void {
    const { output } = this.#keepers
    if (event._tag === "CommandStarted") for (const line of event.code.split("\n")) output.add(`$ ${line}`)
    if (event._tag === "OutputReceived") output.feed(event.data)
  }

  #feedCommand({ event, sequence, timeMicros }: JournalEntry, number: number): void {
    if (event._tag === "CommandStarted" && event.exec === number) {
      this.begun = sequence
      this.#command = event.code
      this.#startedAt = timeMicros
      if (event.tty) this.#tty = { from: event.ttyFrom, to: Number.POSITIVE_INFINITY }
    } else if (event._tag === "CommandFinished" && event.exec === number) {
      const { durationMicros, exitCode, signal, status } = event
      this.#ended = { exitCode, signal, durationMicros, isLost: status === "lost" }
      this.#expected = { stdout: event.stdoutBytes, stderr: event.stderrBytes }
      if (this.#tty !== undefined) this.#tty.to = event.ttyTo
    } else if (event._tag === "OutputReceived" && this.begun !== undefined) {
      if (event.channel !== "tty") {
        if (event.exec === number) this.#keepers[event.channel].feed(event.data)
      } else if (this.#tty !== undefined) {
        const from = Math.max(0, this.#tty.from - event.offset)
        const to = Math.min(event.data.length, this.#tty.to - event.offset)
        if (from < to) this.#keepers.output.feed(event.data.subarray(from, to))
      }
    }
  }

  #feedMarked({ event, sequence, timeMicros }: JournalEntry, number: number): void {
    if (event._tag !== "OutputReceived" || event.channel !== "tty") return
    this.#prompts.feed(event.data, {
      started: (command) => {
        if (command.number !== number) return
        this.begun = sequence
        this.#command = command.line
        this.#startedAt = timeMicros
      },
      output: (command, bytes) => {
        if (command.number === number) this.#keepers.output.feed(bytes)
      },
      finished: (command, exitCode) => {
        if (command.number !== number) return
        this.#ended = { exitCode, signal: null, durationMicros: timeMicros - this.#startedAt, isLost: false }
      }
    })
  }

  result(session: SessionId): Omit<RecordedRun, "cwd" | "size"> {
    const names: ReadonlyArray<RunLines["name"]> =
      this.#number !== null && this.#isExec && this.#tty === undefined ? ["stdout", "stderr"] : ["output"]
    const ended = this.#ended
    return {
      session,
      number: this.#number,
      command: this.#command,
      isOpen: ended === undefined || ended.isLost,
      exitCode: ended?.exitCode ?? null,
      signal: ended?.signal ?? null,
      durationMicros: ended?.durationMicros ?? null,
      streams: names.map((name) => this.#keepers[name].end(name)),
      isBeginningRemoved: this.#removed
    }
  }
}
