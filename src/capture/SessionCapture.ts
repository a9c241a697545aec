/**
 * What a session's rules do to it before it is journaled: streams that are filtered and given on in time, and events that are
 * masked. A LiveSession with rules has one, loaded when it is made or taken back; a session without rules has none. It
 * journals nothing itself. What it was given to look for is in its memory, and in its keeper's for the next engine.
 */
import type { NewEvent, SessionEvent } from "../../journal/Event.ts"
import { maskedText } from "../redact/maskedText.ts"
import { everythingRule } from "../redact/RedactRule.ts"
import { SessionScan } from "../redact/SessionScan.ts"
import { type Captured, CaptureFilter, type CaptureFilterOptions } from "./CaptureFilter.ts"
import { type CaptureNote, type CaptureRequest, captureNames } from "./CaptureRequest.ts"
import { type CaptureRule, captureRules } from "./CaptureRule.ts"

/**
 * What may be the beginning of a match waits so long for the rest. A program that prints a secret in one go is read within a
 * millisecond or two; an echo that comes this much later is not seen by anybody.
 */
const HOLD_MILLIS = 20

/** Far more pieces than are on their way to the journal, unless a program prints byte by byte beside a slow disk. */
const STEPS_MAX = 4096

/** Replacements in what was just given on. */
export interface Replaced {
  readonly rules: ReadonlyArray<{ readonly rule: string; readonly matches: number }>
  readonly bytes: number
}

/** One stream of a session. */
export class CaptureStream {
  readonly #filter: CaptureFilter
  readonly #emit: (bytes: Uint8Array, replaced: Replaced | undefined) => void
  #timer: NodeJS.Timeout | undefined
  /** What was given on and is not durable yet, as far as is known: where it ends, and what is needed to go on there. */
  #steps: Array<{ readonly to: number; needed: number }>

  constructor(options: CaptureFilterOptions, emit: (bytes: Uint8Array, replaced: Replaced | undefined) => void) {
    this.#filter = new CaptureFilter(options)
    this.#emit = emit
    const { outTo = 0, position = 0 } = options
    this.#steps = [{ to: Math.max(position, outTo), needed: position }]
  }

  get position(): number {
    return this.#filter.position
  }

  /**
   * Whoever goes on behind `durable` with another filter needs no byte before this: the filter may be far ahead of what is
   * journaled, and a match that it has behind it may be journaled in part.
   */
  neededFor(durable: number): number {
    let passed = 0
    while (passed + 1 < this.#steps.length && this.#steps[passed + 1]!.to <= durable) passed++
    this.#steps.splice(0, passed)
    return Math.min(durable, this.#steps[0]!.needed)
  }

  /** The bytes are given on before this returns, or HOLD_MILLIS later. */
  push(bytes: Uint8Array): void {
    this.#give(this.#filter.push(bytes))
    const last = this.#steps.at(-1)!
    // Only looked at.
    if (this.#filter.position <= last.to) last.needed = this.#filter.neededFrom
    if (this.#filter.heldBytes === 0) this.stop()
    else
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.release()
      }, HOLD_MILLIS)
  }

  /** All that is held is given on. */
  release(): void {
    this.stop()
    if (this.#filter.heldBytes > 0) this.#give(this.#filter.release())
  }

  resize(cols: number): void {
    this.#filter.resize(cols)
  }

  /** What is held is of no use any more. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #give(captured: Captured): void {
    if (captured.bytes.byteLength === 0) return
    const step = { to: this.#filter.position - this.#filter.heldBytes, needed: this.#filter.neededFrom }
    // Left out, the one before stands for it: more is needed then.
    if (this.#steps.length < STEPS_MAX) this.#steps.push(step)
    this.#emit(captured.bytes, replacedOf(captured))
  }
}

export class SessionCapture {
  readonly request: CaptureRequest
  readonly #rules: ReadonlyArray<CaptureRule>
  #typed: CaptureFilter
  /** The last that was typed, from where a match may go on. */
  #typedTail: Buffer = Buffer.alloc(0)
  #typedTo = 0
  /** The same before the last write, which may not get into the journal. */
  #before = { tail: this.#typedTail, to: 0 }

  constructor(
    request: CaptureRequest,
    options: { readonly masksAll?: boolean; readonly typed?: Buffer | undefined } = {}
  ) {
    this.request = request
    this.#rules =
      options.masksAll === true
        ? [{ rule: everythingRule, open: () => undefined, keptUnits: 0 }]
        : captureRules(request)
    this.#typedTail = options.typed ?? Buffer.alloc(0)
    this.#typed = this.#typedFrom(this.#typedTail)
  }

  #typedFrom(tail: Buffer): CaptureFilter {
    const filter = new CaptureFilter({ rules: this.#rules, isTyped: true, outTo: tail.length })
    filter.push(tail)
    return filter
  }

  /** The storage was away: what was typed last and is not among the `inputBytes` that are journaled was not typed. */
  retake(inputBytes: number): void {
    if (this.#typedTo <= inputBytes) return
    this.#typedTail = this.#before.tail
    this.#typedTo = this.#before.to
    this.#typed = this.#typedFrom(this.#typedTail)
  }

  /** For the next engine. */
  get note(): CaptureNote {
    if (this.#typedTail.length === 0) return this.request
    return { ...this.request, typed: this.#typedTail.toString("base64"), typedTo: this.#typedTo }
  }

  /**
   * For a session that is taken back: `names` are those of the journal, `given` is what the keeper remembers. Where it does not
   * remember what the names tell of, everything is masked.
   */
  static restored(
    names: ReadonlyArray<string>,
    note: CaptureNote | undefined,
    /** Bytes of input that are journaled. */
    inputBytes: number
  ): SessionCapture {
    if (note === undefined || !names.every((name) => captureNames(note).includes(name)))
      return new SessionCapture({ rules: names }, { masksAll: true })
    const { typed = "", typedTo = 0, ...request } = note
    const tail = Buffer.from(typed, "base64")
    // The engine before died before it had journaled the last of it.
    const missing = Math.min(tail.length, Math.max(0, typedTo - inputBytes))
    return new SessionCapture(request, { typed: tail.subarray(0, tail.length - missing) })
  }

  stream(
    options: Omit<CaptureFilterOptions, "rules" | "isTyped">,
    emit: (bytes: Uint8Array, replaced: Replaced | undefined) => void
  ): CaptureStream {
    return new CaptureStream({ ...options, rules: this.#rules }, emit)
  }

  /**
   * What is journaled of typed bytes: as many of them. Goes on from what was typed before. `to`: bytes of journaled input then.
   * `isNoteNew`: the keeper is to be told first.
   */
  typed(
    bytes: Uint8Array,
    to: number
  ): { readonly bytes: Uint8Array; readonly replaced: Replaced | undefined; readonly isNoteNew: boolean } {
    this.#before = { tail: this.#typedTail, to: this.#typedTo }
    const hadTail = this.#typedTail.length > 0
    const first = this.#typed.push(bytes)
    const rest = this.#typed.release()
    const matches = new Map(first.matches)
    for (const [rule, count] of rest.matches) matches.set(rule, (matches.get(rule) ?? 0) + count)
    const all: Captured = {
      bytes: rest.bytes.byteLength === 0 ? first.bytes : Buffer.concat([first.bytes, rest.bytes]),
      replaced: first.replaced + rest.replaced,
      matches
    }
    const tail = Buffer.concat([this.#typedTail, bytes])
    const open = this.#typed.position - this.#typed.neededFrom
    this.#typedTail = open === 0 ? Buffer.alloc(0) : tail.subarray(Math.max(0, tail.length - open))
    this.#typedTo = to
    return { bytes: all.bytes, replaced: replacedOf(all), isNoteNew: hadTail || this.#typedTail.length > 0 }
  }

  /** As many asterisks; control characters stay. */
  asterisks(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly replaced: Replaced } {
    const shown = bytes.map((byte) => (byte < 0x20 || byte === 0x7f ? byte : 0x2a))
    return {
      bytes: shown,
      replaced: { rules: [], bytes: bytes.filter((byte) => byte >= 0x20 && byte !== 0x7f).length }
    }
  }

  /** The same events without what the rules find in their texts. Terminal output and input are not looked at. */
  masked(events: ReadonlyArray<NewEvent>): {
    readonly events: ReadonlyArray<NewEvent>
    readonly replaced: Replaced | undefined
  } {
    const matches = new Map<string, number>()
    let bytes = 0
    const masked = events.map((one) => {
      if (UNSEARCHED.has(one.event._tag)) return one
      const scan = new SessionScan({ rules: this.#rules.map(({ rule }) => rule) })
      const event = maskedEvent(scan, one.event)
      if (event === one.event) return one
      for (const [rule, count] of scan.matches) matches.set(rule, (matches.get(rule) ?? 0) + count)
      bytes += differing(JSON.stringify(one.event), JSON.stringify(event))
      return { ...one, event }
    })
    if (bytes === 0) return { events, replaced: undefined }
    return { events: masked, replaced: { rules: listOf(matches), bytes } }
  }

  /** Whether something in these texts would be masked. */
  changes(texts: { readonly argv: ReadonlyArray<string>; readonly deny: ReadonlyArray<string> }): boolean {
    return [...texts.argv, ...texts.deny].some((text) => this.maskedText(text) !== text)
  }

  /** Whether something in these bytes would be masked. */
  holds(bytes: Uint8Array): boolean {
    const event: SessionEvent = {
      _tag: "CommandInputWritten",
      exec: 1,
      base64: Buffer.from(bytes).toString("base64"),
      end: true
    }
    return maskedEvent(new SessionScan({ rules: this.#rules.map(({ rule }) => rule) }), event) !== event
  }

  /** A text that is shown to whoever asks, and journaled nowhere. */
  maskedText(text: string): string {
    return maskedText(
      this.#rules.map(({ rule }) => rule),
      text
    )
  }
}

const UNSEARCHED: ReadonlySet<SessionEvent["_tag"]> = new Set([
  "OutputReceived",
  "InputWritten",
  "InputHidden",
  "SecretsRedacted"
])

const maskedEvent = (scan: SessionScan, event: SessionEvent): SessionEvent => {
  scan.take({ sequence: 1, actor: "", timeMicros: 0, event })
  const payload = scan.end()[0]?.payload
  if (payload === undefined) return event
  return { _tag: event._tag, ...JSON.parse(Buffer.from(payload).toString("utf8")) } as SessionEvent
}

const replacedOf = ({ matches, replaced }: Captured): Replaced | undefined =>
  replaced === 0 ? undefined : { rules: listOf(matches), bytes: replaced }

const listOf = (matches: ReadonlyMap<string, number>) => [...matches].map(([rule, count]) => ({ rule, matches: count }))

/** Of two texts of which one is the other masked. */
const differing = (one: string, other: string): number => {
  let count = Math.abs(one.length - other.length)
  for (let at = 0; at < Math.min(one.length, other.length); at++) if (one[at] !== other[at]) count++
  return count
}
