/**
 * A recording of another program as the events of a session that has ended: what all formats but the lossless one give to
 * who imports (Import.ts). Times never go back, output is cut to the size of an event and its offsets are dense, and
 * nothing is invented: what the recording does not say is empty or null.
 */
import {
  ACTOR_ENGINE,
  ACTOR_PROGRAM,
  type NewEvent,
  type SessionEvent,
  TERMINAL_CELLS_MAX
} from "../../journal/Event.ts"
import { CHUNK_BYTES_MAX } from "../../journal/Record.ts"

/** Of terminals whose recording names none. */
const SIZE_DEFAULT = { cols: 80, rows: 24 }
/** Who typed, as far as a recording knows. */
const ACTOR_PERSON = "recording"
/** Of a marker's label; what is longer is cut with a mark. */
const LABEL_CHARACTERS_MAX = 16_384

export interface RecordedHead {
  /** Of its format, for a recording that does not say what ran. */
  readonly format: string
  readonly beganMicros: number
  /** 0 stands for the size that terminals have had for fifty years, as players take it. */
  readonly cols: number
  readonly rows: number
  readonly command?: string | undefined
  readonly term?: string | undefined
  readonly envNames?: ReadonlyArray<string> | undefined
}

export class RecordedSession {
  #timeMicros: number
  #offset = 0
  #exitCode: number | null = null
  readonly #head: RecordedHead

  constructor(head: RecordedHead) {
    this.#head = head
    this.#timeMicros = head.beganMicros
  }

  /** The first event. */
  created(): NewEvent {
    const { cols, command, envNames = [], format, rows, term = "" } = this.#head
    return this.#event(ACTOR_ENGINE, {
      _tag: "SessionCreated",
      argv: [command ?? format],
      cwd: "",
      envNames,
      size: sizeOf(cols, rows),
      term,
      owner: "",
      kind: "terminal"
    })
  }

  /** Microseconds since the beginning; a time before that of the event before is taken as that one's. */
  at(micros: number): void {
    this.#timeMicros = Math.max(this.#timeMicros, this.#head.beganMicros + micros)
  }

  *output(data: Uint8Array): Generator<NewEvent, void> {
    for (let from = 0; from < data.length; from += CHUNK_BYTES_MAX) {
      const chunk = data.subarray(from, from + CHUNK_BYTES_MAX)
      const event = { _tag: "OutputReceived", channel: "tty", exec: 0, offset: this.#offset, data: chunk } as const
      this.#offset += chunk.length
      yield this.#event(ACTOR_PROGRAM, event)
    }
  }

  *input(data: Uint8Array): Generator<NewEvent, void> {
    for (let from = 0; from < data.length; from += CHUNK_BYTES_MAX) {
      yield this.#event(ACTOR_PERSON, { _tag: "InputWritten", data: data.subarray(from, from + CHUNK_BYTES_MAX) })
    }
  }

  resize(cols: number, rows: number): NewEvent {
    return this.#event(ACTOR_PERSON, { _tag: "Resized", size: sizeOf(cols, rows) })
  }

  marker(label: string): NewEvent {
    const cut = label.length <= LABEL_CHARACTERS_MAX ? label : `${label.slice(0, LABEL_CHARACTERS_MAX)}…`
    return this.#event(ACTOR_PERSON, { _tag: "MarkerSet", label: cut.toWellFormed() })
  }

  /** As the recording says it. */
  exit(code: number): void {
    this.#exitCode = code
  }

  /** The last events. */
  *ended(): Generator<NewEvent, void> {
    yield this.#event(ACTOR_PROGRAM, { _tag: "LeaderExited", exitCode: this.#exitCode, signal: null })
    yield this.#event(ACTOR_ENGINE, { _tag: "TerminalClosed", outputBytes: this.#offset })
    const exitCode = this.#exitCode
    yield this.#event(ACTOR_ENGINE, { _tag: "SessionClosed", exitCode, signal: null, reason: "exited", survivors: [] })
  }

  #event(actor: string, event: SessionEvent): NewEvent {
    return { event, actor, timeMicros: this.#timeMicros }
  }
}

const sizeOf = (cols: number, rows: number) => ({
  cols: Math.min(cols === 0 ? SIZE_DEFAULT.cols : cols, TERMINAL_CELLS_MAX),
  rows: Math.min(rows === 0 ? SIZE_DEFAULT.rows : rows, TERMINAL_CELLS_MAX)
})
