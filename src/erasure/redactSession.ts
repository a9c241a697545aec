/**
 * A redaction from its search to its end: reads the session through `History` twice (what the rules find, then every further
 * copy of it), and asks `Redaction` to replace it, in requests of a bounded size. The command line uses it; a program can,
 * over the same services. It writes nothing itself.
 */
import { Effect, Stream } from "effect"
import type { JournalEntry, SessionId } from "../../journal/Event.ts"
import type { EditedEvent } from "../../journal/Journal.ts"
import { COPY_RULE, FoundSecrets } from "../redact/FoundSecrets.ts"
import { maskedText } from "../redact/maskedText.ts"
import { NumberList } from "../redact/NumberList.ts"
import { everythingRule, PATTERN_RULE, type RedactRule } from "../redact/RedactRule.ts"
import { SessionScan } from "../redact/SessionScan.ts"
import { History } from "../session/History.ts"
import { withinPatternTime } from "../session/PatternTime.ts"
import { REDACT_REQUEST_BYTES_MAX, REDACT_REQUEST_EVENTS_MAX, Redaction } from "./Redaction.ts"

export interface RedactOptions {
  readonly rules: ReadonlyArray<RedactRule>
  /** All text of these events, both included, instead of what rules find. */
  readonly range?: { readonly from: number; readonly to: number } | undefined
  /** Texts that are among what is looked for: they go also from what stands for removed events. */
  readonly texts?: ReadonlyArray<string> | undefined
  readonly reason: string
  readonly isDryRun: boolean
}

export interface Redacted {
  /** The events that were looked at: 1 to this one. */
  readonly to: number
  readonly rules: ReadonlyArray<{ readonly rule: string; readonly matches: number }>
  /** Sequences of the events that hold something. */
  readonly events: ReadonlyArray<number>
  /** Of them, those that could not be replaced yet. */
  readonly left: ReadonlyArray<number>
  /** What was found. For the caller's own use: it is told to nobody. */
  readonly secrets: ReadonlyArray<string>
}

/** What is known of an event beside its edits: how large its record is. */
interface Sized {
  readonly event: EditedEvent
  readonly isInput: boolean
  readonly bytes: number
}

/** Of a record beside its payload. */
const RECORD_BYTES = 200

export const redactSession = Effect.fn("redactSession")(function* (session: SessionId, options: RedactOptions) {
  const history = yield* History
  const redaction = yield* Redaction
  const { removed, sequence: head } = yield* history.get(session)
  const range =
    options.range === undefined ? undefined : { from: options.range.from, to: Math.min(options.range.to, head) }
  const rules = range === undefined ? options.rules : [everythingRule]
  const secrets = new FoundSecrets()
  let found = yield* scan(session, head, { rules, range, secrets })
  const copies = secrets.rule
  // Found once, it is looked for everywhere: in events before it, and where no rule says what it is.
  if (copies !== undefined)
    found = yield* scan(session, head, { rules: [...rules, copies], range: undefined, secrets: undefined })
  const counted = [...found.matches].map(([rule, matches]) => ({ rule, matches }))
  const counts = counted.filter(({ matches, rule }) => matches > 0 && rule !== COPY_RULE)
  const events = found.edited.map(({ event }) => event.sequence)
  const left: Array<number> = []
  // It is kept with the session, and may name what it takes out.
  const reason =
    range === undefined
      ? yield* timed(rules, () => maskedText(copies === undefined ? rules : [...rules, copies], options.reason))
      : options.reason
  const texts = [...secrets.texts, ...(options.texts ?? [])]
  // What stands for removed events is no event, and may hold it alone.
  const isKept = removed != null && texts.length > 0
  if (!options.isDryRun && (events.length > 0 || isKept)) {
    const requests = events.length === 0 ? [[]] : inRequests(found.edited)
    for (const [index, request] of requests.entries()) {
      const report = yield* redaction.redact({
        session,
        from: range?.from ?? 1,
        to: range?.to ?? head,
        rules: counts,
        reason,
        events: request.map(({ event: { edits, payload, sequence }, isInput }) => ({
          sequence,
          isInput,
          edits,
          ...(payload !== undefined && { payload })
        })),
        secrets: index === 0 ? texts : [],
        isLast: index === requests.length - 1
      })
      left.push(...report.left)
    }
  }
  const redacted: Redacted = { to: head, rules: counts, events, left, secrets: texts }
  return redacted
})

const scan = Effect.fnUntraced(function* (
  session: SessionId,
  until: number,
  options: ConstructorParameters<typeof SessionScan>[0]
) {
  const history = yield* History
  const scanned = new SessionScan(options)
  /** Of each event, from the first one read on: twice the bytes of its payload where that is large, and one for input. */
  const sizes = new NumberList()
  let first = 0
  const take = (entry: JournalEntry): void => {
    scanned.take(entry)
    const { event, sequence } = entry
    if (sizes.length === 0) first = sequence
    // What was removed has no size.
    while (sizes.length < sequence - first) sizes.push(0)
    const isInput = event._tag === "InputWritten" || event._tag === "CommandInputWritten"
    sizes.push(("data" in event ? event.data.byteLength : 0) * 2 + (isInput ? 1 : 0))
  }
  yield* history.events(session, { until }).pipe(
    Stream.runForEachArray((page) =>
      Effect.andThen(
        timed(options.rules, () => page.forEach(take)),
        Effect.yieldNow
      )
    )
  )
  const ended = yield* timed(options.rules, () => scanned.end())
  const edited = ended.map((event): Sized => {
    const size = sizes.at(event.sequence - first)
    const bytes = RECORD_BYTES + Math.max(Math.floor(size / 2), event.payload?.byteLength ?? 0)
    return { event, isInput: size % 2 === 1, bytes }
  })
  return { edited, matches: scanned.matches }
})

/** Our own rules take time by the length of a text, and no more. */
const timed = <A>(rules: ReadonlyArray<RedactRule>, work: () => A) =>
  rules.some(({ name }) => name === PATTERN_RULE) ? withinPatternTime("pattern", work) : Effect.sync(work)

const inRequests = (events: ReadonlyArray<Sized>): ReadonlyArray<ReadonlyArray<Sized>> => {
  const requests: Array<Array<Sized>> = []
  let bytes = 0
  for (const event of events) {
    const last = requests[requests.length - 1]
    if (
      last === undefined ||
      last.length >= REDACT_REQUEST_EVENTS_MAX ||
      bytes + event.bytes > REDACT_REQUEST_BYTES_MAX
    ) {
      requests.push([event])
      bytes = event.bytes
    } else {
      last.push(event)
      bytes += event.bytes
    }
  }
  return requests
}
