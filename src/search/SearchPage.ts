/**
 * Events on their way to the search worker: what it needs of a page of them, in two arrays that change hands instead of
 * being copied event by event. `packPage` is called where the journal is, `stepsOf` in the thread.
 */
import type { JournalEntry, SessionEvent } from "../../journal/Event.ts"
import { commandOf } from "../SafeText.ts"

export const StepKind = {
  other: 0,
  tty: 1,
  stdout: 2,
  stderr: 3,
  input: 4,
  commandInput: 5,
  /** JSON: `command`, `cwd`, `name`. */
  created: 6,
  /** JSON: `cwd`, `source`. */
  cwd: 7,
  /** The command's text. */
  commandStarted: 8,
  commandFinished: 9
} as const

export interface PackedPage {
  /** STEP_NUMBERS for each event: sequence, time, kind, exec, bytes. */
  readonly numbers: Float64Array<ArrayBuffer>
  readonly bytes: Uint8Array<ArrayBuffer>
}

export interface SearchStep {
  readonly sequence: number
  readonly timeMicros: number
  readonly kind: number
  readonly exec: number
  /** Valid until the next step. */
  readonly data: Uint8Array
}

const STEP_NUMBERS = 5
const NOTHING = new Uint8Array(0)
const OTHER = { kind: StepKind.other, exec: 0, data: NOTHING }

const contentOf = (
  event: SessionEvent
): { readonly kind: number; readonly exec: number; readonly data: Uint8Array } => {
  switch (event._tag) {
    case "OutputReceived":
      return { kind: StepKind[event.channel], exec: event.exec, data: event.data }
    case "InputWritten":
      return { kind: StepKind.input, exec: 0, data: event.data }
    case "CommandInputWritten":
      return { kind: StepKind.commandInput, exec: event.exec, data: Buffer.from(event.base64, "base64") }
    case "CommandStarted":
      return { kind: StepKind.commandStarted, exec: event.exec, data: Buffer.from(event.code) }
    case "CommandFinished":
      return { kind: StepKind.commandFinished, exec: event.exec, data: NOTHING }
    case "SessionCreated": {
      const created = { command: commandOf(event), cwd: event.cwd, name: event.name }
      return { kind: StepKind.created, exec: 0, data: Buffer.from(JSON.stringify(created)) }
    }
    case "CwdChanged":
      return {
        kind: StepKind.cwd,
        exec: 0,
        data: Buffer.from(JSON.stringify({ cwd: event.cwd, source: event.source }))
      }
    default:
      return OTHER
  }
}

export const packPage = (entries: ReadonlyArray<JournalEntry>): PackedPage => {
  const contents = entries.map(({ event }) => contentOf(event))
  const bytes = new Uint8Array(contents.reduce((sum, { data }) => sum + data.length, 0))
  const numbers = new Float64Array(entries.length * STEP_NUMBERS)
  let offset = 0
  contents.forEach(({ data, exec, kind }, index) => {
    const { sequence, timeMicros } = entries[index]!
    numbers.set([sequence, timeMicros, kind, exec, data.length], index * STEP_NUMBERS)
    bytes.set(data, offset)
    offset += data.length
  })
  return { numbers, bytes }
}

export function* stepsOf({ bytes, numbers }: PackedPage): Generator<SearchStep> {
  let offset = 0
  for (let at = 0; at < numbers.length; at += STEP_NUMBERS) {
    const [sequence, timeMicros, kind, exec, length] = numbers.subarray(at, at + STEP_NUMBERS) as unknown as [
      number,
      number,
      number,
      number,
      number
    ]
    yield { sequence, timeMicros, kind, exec, data: bytes.subarray(offset, offset + length) }
    offset += length
  }
}
