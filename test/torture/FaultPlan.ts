/**
 * Which calls of a run fail, and how: decided by a seed, and by nothing else. Each port (storage, host, socket, clock) has a
 * stream of decisions of its own, so that what one port is asked does not change what another one does; one seed and the
 * same calls give the same run. The wrappers of this folder (FaultyStorage, FaultyHost, FaultySocket) ask it; it breaks
 * nothing itself.
 */
import { crc32 } from "node:zlib"
import { seededRandom } from "../fixtures/seededRandom.ts"

/** What the operating system says, in the words that Node and LevelDB use for it. */
export const FAULT_TEXTS = {
  EIO: "Input/output error",
  ENOSPC: "No space left on device",
  EMFILE: "Too many open files",
  EFBIG: "File too large"
} as const
export type FaultCode = keyof typeof FAULT_TEXTS

export interface Fault {
  /** What goes wrong, as the port names it. */
  readonly kind: string
  /** A number for whatever the port needs one for: a place, a length, a time. From 0 to 999. */
  readonly degree: number
}

/** Decides about one call. `call` counts the calls of the port from 1. */
export type Decide = (
  call: number,
  operation: string,
  kinds: ReadonlyArray<string>,
  below: (bound: number) => number
) => string | undefined

/** One call in `times` fails, in any of the ways there are for it. */
export const oneIn =
  (times: number): Decide =>
  (_call, _operation, kinds, below) =>
    below(times) === 0 ? kinds[below(kinds.length)] : undefined

/** The n-th call that can fail so does, and with `forEver` all that follow it. */
export const nth = (number: number, kind: string, forEver: boolean): Decide => {
  let able = 0
  return (_call, _operation, kinds) => {
    if (!kinds.includes(kind)) return undefined
    able++
    return able === number || (forEver && able > number) ? kind : undefined
  }
}

/** Entries of the trace that are kept to be shown; the digest is of all of them. */
const TRACE_MAX = 2000

export class FaultPlan {
  readonly seed: number
  /** Faults so far, by port and kind. */
  readonly counts = new Map<string, number>()
  /** The last decisions, oldest first. */
  readonly trace: Array<string> = []
  #digest = 0
  #isOver = false
  readonly #ports = new Map<string, FaultPort>()

  constructor(seed: number) {
    this.seed = seed
  }

  /** The port of this name, with how its calls are decided; asked for again, it is the same one. */
  port(name: string, decide: Decide): FaultPort {
    const known = this.#ports.get(name)
    if (known !== undefined) return known
    const port = new FaultPort(this, name, decide)
    this.#ports.set(name, port)
    return port
  }

  /** From here on nothing fails: the time in which everything must work again without help. */
  stop(): void {
    this.#isOver = true
    for (const port of this.#ports.values()) port.stopped()
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** All faults so far. */
  get faults(): number {
    return [...this.counts.values()].reduce((sum, times) => sum + times, 0)
  }

  /** Stands for everything that was noted: two runs are the same where this is. */
  get digest(): string {
    return (this.#digest >>> 0).toString(16)
  }

  note(line: string): void {
    this.#digest = crc32(line, this.#digest)
    this.trace.push(line)
    if (this.trace.length > 2 * TRACE_MAX) this.trace.splice(0, TRACE_MAX)
  }
}

export class FaultPort {
  readonly name: string
  readonly #plan: FaultPlan
  readonly #decide: Decide
  readonly #random: ReturnType<typeof seededRandom>
  readonly #stopped: Array<() => void> = []
  #calls = 0

  constructor(plan: FaultPlan, name: string, decide: Decide) {
    this.#plan = plan
    this.name = name
    this.#decide = decide
    this.#random = seededRandom(plan.seed ^ crc32(name))
  }

  get calls(): number {
    return this.#calls
  }

  /** Called once for each call of the port; `kinds` are the ways in which it can fail. */
  next(operation: string, kinds: ReadonlyArray<string>): Fault | undefined {
    this.#calls++
    const below = (bound: number) => this.#random.below(bound)
    const kind = this.#plan.isOver ? undefined : this.#decide(this.#calls, operation, kinds, below)
    this.#plan.note(`${this.name} ${this.#calls} ${operation} ${kind ?? "-"}`)
    if (kind === undefined) return undefined
    const name = `${this.name} ${kind}`
    this.#plan.counts.set(name, (this.#plan.counts.get(name) ?? 0) + 1)
    return { kind, degree: this.#random.below(1000) }
  }

  /** Whatever a fault left behind that would never end by itself is undone when the faults stop. */
  onStopped(undo: () => void): void {
    this.#stopped.push(undo)
  }

  stopped(): void {
    for (const undo of this.#stopped.splice(0)) undo()
  }
}
